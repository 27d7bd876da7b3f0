"""
Tests for callers that bridge, with kernels on all sides: Ethernet hosts behind two calls of our own
client, and a host behind a Linux bridge that the gateway's TAP device joins.

No other system's client takes part: pppd has no BCP, and nothing else that bridges over PPTP runs
on Linux.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.integration.conftest import Serve
from tests.integration.world import ALICE, CALLER, GATEWAY, METER, Client, Program, Served, World
from tests.lab.peers import Namespace

Start = Callable[[], Client]
ONE, OTHER, LAN, BRIDGE = (f"10.1.0.{number}" for number in (1, 2, 3, 4))
LAN_ADDRESS = "02:00:00:00:00:03"
MRU = 1600
SECTIONS: dict[str, dict[str, object]] = {
    "network": {"protocols": ["ipv4", "bridge"]},
    "link": {"mru": MRU},
}

SEND = """
import socket, sys
device, amount, address, tag = sys.argv[1], int(sys.argv[2]), *map(bytes.fromhex, sys.argv[3:])
opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
opened.bind((device, 0))
for number in range(amount):
    source = address or b"\\x02\\x01" + number.to_bytes(4, "big")
    opened.send(b"\\xff" * 6 + source + tag + b"\\x88\\xb5" + bytes(46))
"""
"""
A program that sends broadcasts from one address, or each from a new one, with or without a VLAN
tag.
"""


class Host:
    """
    An Ethernet host behind a call.
    """

    def __init__(
        self, world: World, client: Client, address: str, who: tuple[str, str], encryption: str
    ) -> None:
        self.call = client.ask("bridge", *who, MRU, encryption)
        assert "error" not in self.call, self.call
        self.client = client
        self.device: str = self.call["device"]
        self.namespace = world.namespace("h")
        world.caller.ip(f"link set {self.device} netns {self.namespace.name}")
        self.namespace.ip(f"addr add {address}/24 dev {self.device}", f"link set {self.device} up")

    def neighbours(self) -> dict[str, str]:
        """
        The Ethernet addresses that the host has learnt, by IP address.
        """
        found = self.namespace.show("neigh", "show", "dev", self.device)
        return {str(one["dst"]): str(one["lladdr"]) for one in found if "lladdr" in one}

    @property
    def address(self) -> str:
        """
        The host's own Ethernet address.
        """
        return addressOf(self.namespace, self.device)

    def send(self, amount: int, source: str = "", tag: str = "") -> None:
        """
        Send broadcasts with L{SEND}.
        """
        arguments = (self.device, str(amount), source.replace(":", ""), tag)
        self.namespace.run(sys.executable, "-c", SEND, *arguments)

    @property
    def received(self) -> int:
        """
        How many frames the host has received.
        """
        return received(self.namespace, self.device)


def addressOf(namespace: Namespace, device: str) -> str:
    (link,) = namespace.show("link", "show", "dev", device)
    return str(link["address"])


def details(namespace: Namespace, bridge: str) -> dict[str, object]:
    """
    What a kernel tells about a bridge.
    """
    (link,) = json.loads(namespace.run("ip", "-j", "-d", "link", "show", "dev", bridge))
    found: dict[str, object] = link["linkinfo"]["info_data"]
    return found


def received(namespace: Namespace, device: str) -> int:
    """
    How many packets a device has received.
    """
    (link,) = json.loads(namespace.run("ip", "-j", "-s", "link", "show", "dev", device))
    packets: int = link["stats64"]["rx"]["packets"]
    return packets


def tagsPass(one: Host, other: Host) -> bool:
    """
    Whether frames with a VLAN tag reach the other host.
    """
    other.namespace.ping(ONE)
    before = other.received
    one.send(30, one.address, "81000007")
    one.namespace.ping(OTHER)
    return other.received - before >= 30


@pytest.fixture
def lan(world: World) -> Iterator[Namespace]:
    """
    A host on a bridge in the gateway's namespace.
    """
    made = world.namespace("l")
    world.gateway.ip(
        "link add br0 type bridge",
        f"addr add {BRIDGE}/24 dev br0",
        "link set br0 up",
        f"link add port type veth peer name eth0 netns {made.name}",
        "link set port master br0 up",
    )
    made.ip(f"link set eth0 address {LAN_ADDRESS} up", f"addr add {LAN}/24 dev eth0")
    yield made
    world.gateway.ip("link del port", "link del br0")


@pytest.fixture
def served(lan: Namespace, serve: Serve) -> Callable[..., Served]:
    """
    A function that starts a gateway which bridges to the LAN. Its arguments are keys of
    C{[bridge]}.
    """
    return lambda **keys: serve(**SECTIONS, bridge={"bridge": "br0"} | keys)


@pytest.fixture
def host(world: World, client: Start) -> Callable[..., Host]:
    """
    A function that starts a client with an Ethernet host behind it.
    """
    numbers = count(1)

    def start(who: tuple[str, str] = ALICE, encryption: str = "require") -> Host:
        return Host(world, client(), f"10.1.0.{next(numbers)}", who, encryption)

    return start


def test_oneLAN(
    world: World, lan: Namespace, served: Callable[..., Served], host: Callable[..., Host]
) -> None:
    """
    The hosts of two callers, a host on the bridge and the gateway itself reach each other,
    encrypted. Whole Ethernet frames pass too, although GRE's packets are fragmented on the wire.
    When one session ends the other goes on, and the ended session's stations are forgotten.
    """
    gateway = served()
    one, other = host(), host(METER)
    assert one.call["encryption"] == other.call["encryption"] == "MPPE 128 bit stateless"
    one.namespace.ping(OTHER)
    assert one.neighbours()[OTHER] == other.address
    assert other.neighbours()[ONE] == one.address
    for pinging in (one, other):
        pinging.namespace.ping(LAN)
        pinging.namespace.ping(BRIDGE)
        assert pinging.neighbours()[LAN] == LAN_ADDRESS
        pinging.namespace.ping(LAN, "-M", "do", "-s", "1472")
    lan.ping(ONE, "-M", "do", "-s", "1472")
    one.namespace.ping(OTHER, "-M", "do", "-s", "1472")

    before = received(lan, "eth0")
    one.namespace.ping(OTHER, "-i", "0.01", count=100)
    assert received(lan, "eth0") - before < 20, "the LAN saw what wasn't for it"

    assert "hung up" in one.client.ask("hangUp", one.call["number"])["cause"]
    gateway.waitFor("alice from .*: ended after")
    other.namespace.ping(LAN)
    assert not other.namespace.reaches(ONE)
    assert not lan.reaches(ONE)
    gateway.restart()
    assert "cause" in other.client.ask("ended", other.call["number"])


def test_captured(world: World, serve: Serve, host: Callable[..., Host], tmp_path: Path) -> None:
    """
    tshark reads our unencrypted GRE packets as bridged PDUs with Ethernet frames, each with a good
    checksum where the gateway sends one.
    """
    link: dict[str, object] = {"mru": MRU, "encryption": "off"}
    serve(**SECTIONS | {"link": link}, bridge={"checksum": True})
    capture = tmp_path / "wire.pcap"
    dump = ["tcpdump", "--immediate-mode", "-U", "-i", "wire", "-w", str(capture), "ip proto 47"]
    dumping = Program(world.gateway, tmp_path / "tcpdump.log", *dump)
    dumping.waitFor("listening on")
    one, other = (host(who, "off") for who in (ALICE, METER))
    one.namespace.ping(OTHER, count=2)
    assert dumping.interrupt() == 0
    fields = ["ip.src", "eth.src", "eth.dst", "bcp_bpdu.flags", "eth.fcs.status"]
    shown = subprocess.run(
        ["tshark", "-n", "-r", str(capture), "-o", "eth.check_fcs:TRUE", "-T", "fields"]
        + ["-Y", "bcp_bpdu && icmp.type == 8"]
        + [word for field in fields for word in ("-e", field)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = [line.split("\t") for line in shown.stdout.splitlines()]
    expected = []
    for source, flags, status in ((CALLER, "0x00", ""), (GATEWAY, "0x80", "1")):
        expected.append([f"{source},{ONE}", one.address, other.address, flags, status])
    got = [
        [ips, sources.split(",")[-1], to.split(",")[-1], *rest] for ips, sources, to, *rest in found
    ]
    assert got == expected * 2


def test_limits(
    world: World, lan: Namespace, served: Callable[..., Served], host: Callable[..., Host]
) -> None:
    """
    The addresses and the broadcasts a second of a caller are limited, and no caller can have
    another's address.
    """
    served(**{"addresses-per-session": 8, "floods": 50})
    one, other = host(), host(METER)
    other.namespace.ping(LAN)
    one.namespace.ping(LAN)
    # A frame that went astray would be noticed in the first ping, before which nothing arrives.
    one.send(5, LAN_ADDRESS)
    other.namespace.ping(LAN)
    one.send(5, other.address)
    lan.ping(OTHER)

    assert not tagsPass(one, other)

    one.send(200)
    device = ["bridge", "-j", "fdb", "show", "br", "br0", "brport", "pptptap0"]
    learnt = {one["mac"] for one in json.loads(world.gateway.run(*device))}
    assert len({mac for mac in learnt if mac.startswith("02:01:")}) in range(1, 8)

    began, before = time.monotonic(), other.received
    one.send(2000, one.address)
    lasted = time.monotonic() - began
    # The burst, the broadcasts that were permitted meanwhile, and what the kernels send by
    # themselves.
    assert other.received - before <= 50 * (1 + lasted) + 20


def test_tagsAndSpanningTree(
    world: World, lan: Namespace, served: Callable[..., Served], host: Callable[..., Host]
) -> None:
    """
    Tags and BPDUs pass where they are permitted. Linux bridges behind two calls are in one spanning
    tree with the gateway's bridge, which has the best priority, so that each finds its root
    elsewhere.
    """
    world.gateway.ip("link set br0 type bridge stp_state 1 priority 4096")
    served(**{"spanning-tree": True, "tagged": True})
    hosts = one, other = host(), host(METER)
    assert tagsPass(one, other)
    for one in hosts:
        one.namespace.ip(
            "link add br1 type bridge",
            "link set br1 type bridge stp_state 1",
            f"link set {one.device} master br1",
            "link set br1 up",
        )
        deadline = time.monotonic() + 10
        while not details(one.namespace, "br1")["root_port"]:
            assert time.monotonic() < deadline, details(one.namespace, "br1")
            time.sleep(0.1)
