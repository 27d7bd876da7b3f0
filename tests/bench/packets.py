"""
What a packet costs the server process: CPU time, and from it Gb/s and packets/s a core.

The server process, with the real GRE port, TUN port and data path and one channel opened directly,
runs in a network namespace of its own, the peer at the other end of a veth pair in another:

 - in: GRE from the peer; the server writes to the TUN device and the kernel forwards to a dummy
 The peer sends ahead as far as acknowledgements let it, so nothing is lost.
 - out: datagrams into the TUN device from another process; the server sends GRE, dropped at the far
   end of the veth pair.

Both processes share one CPU, so that the server always has a queue to work on, as it has under the
load that these figures are about; it isn't charged for the other's time.

CPU time is user and system of the server process, so it holds what the kernel does on its behalf
in these calls: forwarding, and the crossing of a veth pair.

Run as root: C{python -m tests.bench.packets}, or by path; C{--quick} for one short run each.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

SERVER = "192.0.2.1"
PEER = "192.0.2.2"
SUBSCRIBER = "10.77.0.10"
BEYOND = "10.88.0.2"
KEY = bytes(range(16))
WARM_UP = 0.4
AHEAD = 1024
BURST = 256
PAUSE = 0.0005

TARGETS = {
    # mode, encrypted, octets of the packet: (unit, figure)
    ("in", False, 1400): ("Gb/s", 1.0),
    ("out", False, 1400): ("Gb/s", 1.0),
    ("in", True, 1400): ("Gb/s", 0.55),
    ("out", True, 1400): ("Gb/s", 0.7),
    ("in", False, 64): ("k/s", 200.0),
    ("out", False, 64): ("k/s", 110.0),
}


def datagram(source: str, destination: str, size: int) -> bytes:
    """
    An IPv4 packet of C{size} octets that holds a UDP datagram without a checksum.
    """
    from pptpgw.wire.checksum import checksum

    def header(value: int) -> bytes:
        return struct.pack(
            "!BBHHHBBH4s4s",
            *(0x45, 0, size, 0, 0x4000, 64, 17, value),
            IPv4Address(source).packed,
            IPv4Address(destination).packed,
        )

    udp = struct.pack("!HHHH", 9, 9, size - 20, 0)
    return header(checksum(header(0))) + udp + bytes(size - 28)


def serve(mode: str, encrypted: bool, seconds: float) -> None:
    """
    The server process: measure itself for C{seconds} and print the result.
    """
    from twisted.internet.epollreactor import EPollReactor
    from zope.interface import implementer

    from pptpgw.counters import Counters
    from pptpgw.datapath.python import PythonDataPath
    from pptpgw.interfaces import Attachment, IChannelOwner, MPPEParameters, Tunnel
    from pptpgw.ports.gre import GREPort
    from pptpgw.ports.tun import TUNPort

    @implementer(IChannelOwner)
    class Owner:
        def frameReceived(self, protocol: int, information: bytes) -> None:
            raise AssertionError(f"protocol 0x{protocol:04x}")

        def resyncNeeded(self) -> None:
            raise AssertionError("a resync")

        def channelFailed(self, reason: str) -> None:
            raise AssertionError(reason)

    reactor = EPollReactor()
    port = GREPort(reactor, "", Counters())
    tun = TUNPort(reactor, "bench0", Counters())
    dataPath = PythonDataPath(reactor, lambda address: port, tun)
    port.startListening()
    tun.startReading()
    for command in (
        "address add 10.77.0.1/24 dev bench0",
        "link set bench0 mtu 1500 up",
        f"neighbor replace {BEYOND} lladdr 02:00:00:00:00:01 dev beyond",
    ):
        subprocess.run(["ip", *command.split()], check=True)
    channel = dataPath.openChannel(Tunnel(SERVER, PEER, 7, 9), Owner())
    channel.setFraming(True, True)
    channel.openNetwork(0x21, Attachment((IPv4Network(SUBSCRIBER),), 1500))
    if encrypted:
        channel.setSendMPPE(MPPEParameters(KEY, 128))
        channel.setReceiveMPPE(MPPEParameters(KEY, 128))
    begin: list[float] = []

    def figures() -> list[float]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        counters = channel.counters
        packets = counters.packetsReceived if mode == "in" else counters.packetsSent
        return [usage.ru_utime + usage.ru_stime, packets, time.monotonic()]

    def started() -> None:
        begin[:] = figures()
        reactor.callLater(seconds, finished)

    def finished() -> None:
        cpu, packets, elapsed = (b - a for a, b in zip(begin, figures(), strict=True))
        discards = {**channel.counters.discards, **port.counters.discards}
        print(json.dumps([cpu, packets, elapsed, discards]), flush=True)
        reactor.stop()

    print("ready", flush=True)
    reactor.callLater(WARM_UP, started)
    reactor.run(installSignalHandlers=False)


def sendGRE(encrypted: bool, size: int) -> None:
    """
    The peer: GRE as fast as it is acknowledged.
    """
    from pptpgw.datapath.mppe import Encryptor

    gre = socket.socket(socket.AF_INET, socket.SOCK_RAW, 47)
    gre.connect((SERVER, 0))
    gre.setblocking(False)
    packet = datagram(SUBSCRIBER, BEYOND, size)
    encryptor = Encryptor(KEY, 128)
    header = struct.Struct("!IHHI").pack
    length = size + (4 if encrypted else 1)
    sequence, acknowledged = 0, 0
    while True:
        while sequence - acknowledged > AHEAD - BURST:
            # Let the server have the CPU, rather than be woken by every acknowledgement.
            time.sleep(PAUSE)
            with suppress(BlockingIOError):
                while True:
                    octets = gre.recv(2048)
                    if octets[20] & 0x20 and octets[21] & 0x80:
                        acknowledged = struct.unpack_from("!I", octets, 28)[0]
        for _ in range(BURST):
            head = header(0x3001880B, length, 7, sequence)
            if encrypted:
                gre.send(encryptor.encrypt(head + b"\xfd", b"\x21", packet))
            else:
                gre.send(head + b"\x21" + packet)
            sequence += 1


def sendUDP(size: int) -> None:
    """
    Whoever is behind the gateway: datagrams for the peer, too many.
    """
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.connect((SUBSCRIBER, 9))
    payload = bytes(size - 28)
    while True:
        for _ in range(BURST):
            with suppress(OSError):
                udp.send(payload)
        time.sleep(PAUSE)


@contextmanager
def namespaces() -> Iterator[tuple[str, str]]:
    """
    Two network namespaces joined by a veth pair.
    """
    near, far = f"bench-{os.getpid()}-a", f"bench-{os.getpid()}-b"
    try:
        for command in (
            f"ip netns add {near}",
            f"ip netns add {far}",
            f"ip link add out netns {near} type veth peer name out netns {far}",
            f"ip -n {near} address add {SERVER}/24 dev out",
            f"ip -n {far} address add {PEER}/24 dev out",
            f"ip link add beyond netns {near} type veth peer name beyond netns {far}",
            f"ip -n {near} address add 10.88.0.1/24 dev beyond",
            f"ip -n {near} link set beyond up",
            f"ip -n {far} link set beyond up",
            f"ip -n {near} link set lo up",
            f"ip -n {near} link set out up",
            f"ip -n {far} link set out up",
            f"ip netns exec {near} sysctl -qw net.ipv4.ip_forward=1",
        ):
            subprocess.run(command.split(), check=True)
        yield near, far
    finally:
        for name in (near, far):
            subprocess.run(["ip", "netns", "delete", name], check=False)


def drop(namespace: str, device: str) -> None:
    """
    Drop IP as it comes into the namespace by this device.
    """
    rules = (
        f"table netdev bench {{ chain arrive {{ type filter hook ingress device {device} "
        "priority 0; ether type ip drop; }; }"
    )
    command = ["ip", "netns", "exec", namespace, "nft", "-f", "-"]
    subprocess.run(command, input=rules, text=True, check=True)


def run(mode: str, encrypted: bool, size: int, seconds: float) -> tuple[float, float]:
    """
    One run: microseconds of CPU time a packet, and the share of a core that was busy.
    """

    def start(namespace: str, *arguments: object) -> subprocess.Popen[str]:
        command = ["ip", "netns", "exec", namespace, sys.executable, __file__]
        return subprocess.Popen([*command, *map(str, arguments)], stdout=subprocess.PIPE, text=True)

    with namespaces() as (near, far):
        drop(far, "out" if mode == "out" else "beyond")
        server = start(near, "--serve", mode, int(encrypted), seconds)
        assert server.stdout is not None
        load = None
        try:
            if server.stdout.readline() != "ready\n":
                raise RuntimeError("the server process didn't start")
            if mode == "in":
                load = start(far, "--gre", int(encrypted), size)
            else:
                load = start(near, "--udp", size)
            cpu, packets, elapsed, discards = json.loads(server.stdout.readline())
        finally:
            for process in (load, server):
                if process is not None:
                    process.kill()
                    process.wait()
    if discards:
        print(f"  discards: {discards}")
    return cpu / packets * 1e6, cpu / elapsed


def main() -> None:
    """
    Run every case and print medians, ranges and the ratio to each target.
    """
    parser = argparse.ArgumentParser(description="CPU time a packet of the server process")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one run of a second each")
    parser.add_argument("--only", help="cases whose name has this in it")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.runs = 1.0, 1
    from pptpgw.datapath.mppe import implementation

    print(f"MPPE: {implementation}; {options.runs} runs of {options.seconds:g} s each")
    print(f"{'case':24}{'us a packet':>22}{'k/s a core':>12}{'Gb/s a core':>13}  of target")
    for (mode, encrypted, size), (unit, target) in TARGETS.items():
        name = f"{mode} {'MPPE-128' if encrypted else 'plain'} {size}"
        if options.only and options.only not in name:
            continue
        costs = sorted(run(mode, encrypted, size, options.seconds)[0] for _ in range(options.runs))
        cost = statistics.median(costs)
        rate, bits = 1e3 / cost, size * 8e-3 / cost
        ratio = (bits if unit == "Gb/s" else rate) / target
        spread = f"{cost:.2f} ({costs[0]:.2f}-{costs[-1]:.2f})"
        print(
            f"{name:24}{spread:>22}{rate:>12.0f}{bits:>13.2f}  {ratio:.2f} of {target:g} {unit}",
            flush=True,
        )


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in ("--serve", "--gre", "--udp"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    match sys.argv[1:]:
        case ["--serve", mode, encrypted, seconds]:
            serve(mode, encrypted == "1", float(seconds))
        case ["--gre", encrypted, size]:
            sendGRE(encrypted == "1", int(size))
        case ["--udp", size]:
            sendUDP(int(size))
        case _:
            main()
