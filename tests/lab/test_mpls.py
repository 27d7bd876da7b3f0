"""
Tests for labelled packets between callers, which the kernel's MPLS router forwards.

No client of Linux speaks MPLSCP, so the callers are our own (L{tests.lab.labelled}).
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.contrib.mpls import MPLS
from scapy.layers.inet import ICMP, IP, UDP
from scapy.packet import Packet, Raw
from scapy.utils import rdpcap

from tests.lab.peers import GATEWAY_ADDRESS, Host, Namespace, Network, Process, run
from tests.lab.server import ALICE, BOB, Gateway, StartGateway

LABELLED = str(Path(__file__).with_name("labelled.py"))
AT_ALICE, AT_BOB = "10.77.0.10", "10.77.0.200"
DEVICE = "pptpmpls0"
INTO_THE_DEVICE = """
import socket, sys
port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
port.bind((sys.argv[1], 0))
port.send(bytes.fromhex(sys.argv[2]))
"""


class Labelled:
    """
    A caller with MPLS.

    @ivar address: its IPv4 address.
    """

    def __init__(self, host: Host, user: str, password: str) -> None:
        # The process alone has this open: whoever read by its descriptor would move the place at
        # which it writes.
        self._log = host.runFolder / f"mpls-{time.monotonic_ns()}.log"
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                host.command(sys.executable, LABELLED, GATEWAY_ADDRESS, user, password),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.address = self._wait(r"open (\S+)\n")[1]
        self._read = 0

    def send(self, *layers: MPLS, inside: Packet | None = None, number: int = 0x0281) -> None:
        """
        Send C{inside}, or some octets, under a label stack.
        """
        packet = bytes(inside or Raw(b"plain"))
        for layer in reversed(layers):
            packet = bytes(layer) + packet
        assert self._process.stdin is not None
        self._process.stdin.write(f"{number:04x} {packet.hex()}\n".encode())
        self._process.stdin.flush()

    def next(self) -> tuple[int, bytes]:
        """
        The PPP protocol number and the octets of the next packet that arrives.
        """
        match = self._wait(r"([0-9a-f]{4}) ([0-9a-f]*)\n", self._read)
        self._read = match.end()
        return int(match[1], 16), bytes.fromhex(match[2])

    def nextLabelled(self) -> MPLS:
        """
        The next packet, which must be a labelled one.
        """
        number, packet = self.next()
        assert number == 0x0281
        return MPLS(packet)

    def quiet(self) -> bool:
        """
        Whether nothing unread arrives within a moment.
        """
        time.sleep(0.3)
        return re.search(r"[0-9a-f]{4} [0-9a-f]*\n", self._text[self._read :]) is None

    def hangUp(self) -> None:
        """
        End the call in order.
        """
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(20) == 0, self._text

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def _text(self) -> str:
        return self._log.read_text(errors="replace")

    def _wait(self, pattern: str, position: int = 0) -> re.Match[str]:
        deadline = time.monotonic() + 20
        while True:
            match = re.compile(pattern).search(self._text, position)
            if match:
                return match
            assert self.running, f"ended:\n{self._text}"
            assert time.monotonic() < deadline, f"no {pattern!r}:\n{self._text}"
            time.sleep(0.02)


def label(number: int, bottom: bool = True, ttl: int = 64) -> MPLS:
    return MPLS(label=number, s=bottom, ttl=ttl)


def forward(kernel: Namespace, route: str) -> None:
    """
    Add a row to the kernel's table of labels.
    """
    kernel.run("ip", "-f", "mpls", "route", "add", *route.split())


@pytest.fixture
def kernel(network: Network) -> Iterator[Namespace]:
    """
    The gateway's namespace, whose kernel forwards labelled packets.
    """
    run("modprobe", "-d", "/run/lab/modroot", "-a", "mpls_router", "mpls_iptunnel")
    network.gateway.run("sysctl", "-q", "-w", "net.mpls.platform_labels=1048575")
    yield network.gateway
    network.gateway.run("sysctl", "-q", "-w", "net.mpls.platform_labels=0")


def start(startGateway: StartGateway) -> Gateway:
    return startGateway(network={"protocols": ["ipv4", "mpls"]})


def test_theKernelForwardsBetweenCallers(
    kernel: Namespace, network: Network, startGateway: StartGateway
) -> None:
    """
    The kernel swaps, pops and pushes labels, counts the time to live down, and drops packets that
    can't be forwarded. Both callers' packets are encrypted.
    """
    gateway = start(startGateway)
    alice = Labelled(network.host(0), *ALICE)
    bob = Labelled(network.host(1), *BOB)
    assert (alice.address, bob.address) == (AT_ALICE, AT_BOB)
    for route in (
        f"100 as 200 via inet {AT_BOB} dev {DEVICE}",
        f"101 as 201/202 via inet {AT_BOB} dev {DEVICE}",
        f"102 via inet {AT_BOB} dev {DEVICE}",
        "103 dev pptp0",
        # By the link address that is made from the IPv4 address.
        f"104 as 204 via link 02:00:0a:4d:00:0a dev {DEVICE}",
    ):
        forward(kernel, route)

    alice.send(label(100, ttl=9))
    got = bob.nextLabelled()
    assert (got.label, got.ttl, got.s) == (200, 8, 1)
    assert bytes(got.payload) == b"plain"
    # The label under the one that is swapped stays.
    alice.send(label(100, bottom=False), label(777, ttl=3))
    got = bob.nextLabelled()
    under = got.payload
    assert (got.label, got.ttl, got.s) == (200, 63, 0)
    assert (under.label, under.ttl, under.s) == (777, 3, 1)
    # One label is replaced by two.
    alice.send(label(101))
    got = bob.nextLabelled()
    assert [got.label, got.s, got.payload.label, got.payload.s] == [201, 0, 202, 1]
    # One of two labels is popped.
    alice.send(label(102, bottom=False), label(777))
    got = bob.nextLabelled()
    assert (got.label, got.s, bytes(got.payload)) == (777, 1, b"plain")
    # The last label is popped: the packet in it is routed as IPv4, whatever its source is.
    inside = IP(src="192.0.2.77", dst=AT_BOB, ttl=20) / UDP(sport=1, dport=2) / b"popped"
    alice.send(label(103), inside=inside)
    number, octets = bob.next()
    assert number == 0x0021
    assert (IP(octets).src, IP(octets).dst, bytes(IP(octets)[UDP].payload)) == (
        "192.0.2.77",
        AT_BOB,
        b"popped",
    )
    # The other direction.
    bob.send(label(104))
    assert alice.nextLabelled().label == 204

    # An IPv4 packet to this network gets a label.
    kernel.ip(f"route add 203.0.113.0/24 encap mpls 300 via {AT_ALICE} dev {DEVICE} onlink")
    subprocess.run(kernel.command("ping", "-c1", "-W1", "203.0.113.5"), capture_output=True)
    got = alice.nextLabelled()
    assert (got.label, IP(bytes(got.payload)).dst) == (300, "203.0.113.5")
    assert ICMP in IP(bytes(got.payload))

    # Packets whose time to live ends, without a route, with a reserved label or without a bottom
    # are dropped.
    alice.send(label(100, ttl=1))
    alice.send(label(555))
    alice.send(label(0))
    alice.send(label(100, bottom=False), inside=Raw(bytes(20)))
    assert bob.quiet()

    # The route by the IPv4 address is right for the next call too.
    bob.hangUp()
    gateway.waitFor("bob from .* ended")
    alice.send(label(100))
    bob = Labelled(network.host(1), *BOB)
    alice.send(label(100))
    assert bob.nextLabelled().label == 200
    for caller in (alice, bob):
        caller.hangUp()


def test_multicast(kernel: Namespace, network: Network, startGateway: StartGateway) -> None:
    """
    Multicast packets reach programs on the device, although the kernel's MPLS router doesn't take
    them. A packet to a group address goes to every session, with multicast's protocol number.
    """
    start(startGateway)
    alice = Labelled(network.host(0), *ALICE)
    bob = Labelled(network.host(1), *BOB)
    forward(kernel, f"100 as 200 via inet {AT_BOB} dev {DEVICE}")
    capture = network.folder / "multicast.pcap"
    tcpdump = Process(
        kernel.command(
            "tcpdump", "-U", "--immediate-mode", "-i", DEVICE, "-w", str(capture), "-Z", "root"
        ),
        capture.with_suffix(".log"),
    )
    tcpdump.waitFor("listening on")
    alice.send(label(100), number=0x0283)
    assert bob.quiet()
    packet = bytes(label(100)) + b"to all"
    frame = bytes.fromhex("01005e8000640200000000018848") + packet
    kernel.run(sys.executable, "-c", INTO_THE_DEVICE, DEVICE, frame.hex())
    assert alice.next() == bob.next() == (0x0283, packet)
    assert tcpdump.stop(signal.SIGINT) == 0
    (seen,) = [frame for frame in rdpcap(str(capture)) if frame.src == "02:00:0a:4d:00:0a"]
    assert (seen.type, MPLS(seen.load).label) == (0x8848, 100)
    for caller in (alice, bob):
        caller.hangUp()
