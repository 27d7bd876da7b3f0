"""
Sessions whose rates the real kernel limits. This file is run as a script in a network namespace,
with a TUN device and a shaper and without a gateway. Packets are written to the device, or sent
through it, much faster than is allowed, and those that come out are counted.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import time
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_address
from pathlib import Path
from struct import pack
from typing import Any, cast

from twisted.internet.task import Clock

from pptpgw.counting.counters import Counters
from pptpgw.ports.kernelinterface import KernelInterface
from pptpgw.ports.shaper import Shaper
from pptpgw.ports.tun import TUNPort
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.session import Session
from pptpgw.testing import makeSession
from tests.ports.namespace import Readers

PORT = 5001
GATEWAY = {4: "10.77.0.1", 6: "fc00:0:1::1"}
LIMITED = {4: "10.77.0.10", 6: "fc00:0:1:2::10"}
FREE = {4: "10.77.0.11", 6: "fc00:0:1:3::10"}
SECONDS = 0.4
SIZE = 1000
"""
Octets of a packet, with its headers.
"""


def packet(source: str, destination: str) -> bytes:
    """
    A UDP packet of L{SIZE} octets.
    """
    one, other = ip_address(source), ip_address(destination)
    if one.version == 6:
        header = pack("!IHBB", 0x60000000, SIZE - 40, 17, 64) + one.packed + other.packed
        pseudo = one.packed + other.packed + pack("!II", SIZE - 40, 17)
        udp = bytearray(pack("!4H", PORT, PORT, SIZE - 40, 0) + bytes(SIZE - 48))
        udp[6:8] = checksum(pseudo + udp)
        return header + bytes(udp)
    header = pack("!BBHHHBBH", 0x45, 0, SIZE, 0, 0, 64, 17, 0) + one.packed + other.packed
    header = header[:10] + checksum(header) + header[12:]
    return header + pack("!4H", PORT, PORT, SIZE - 20, 0) + bytes(SIZE - 28)


def checksum(octets: bytes) -> bytes:
    """
    The checksum of RFC 1071.
    """
    total = sum(
        int.from_bytes(octets[place : place + 2], "big") for place in range(0, len(octets), 2)
    )
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (total ^ 0xFFFF).to_bytes(2, "big")


class Scene:
    """
    The device, and the shaper of its sessions.
    """

    def __init__(self, name: str = "pptp0") -> None:
        """
        @param name: the name of the device; if it isn't the gateway's, it belongs to a session.
        """
        self.tun = TUNPort(cast(Any, Readers()), name, Counters())
        self.tun.startReading()
        self.netlink = KernelInterface(Clock(), name)
        self.netlink.configure(1400)
        self.netlink.addAddress(IPv4Interface(f"{GATEWAY[4]}/16"))
        self.netlink.addAddress(IPv6Interface(f"{GATEWAY[6]}/48"))
        shared = self.netlink
        if name != "pptp0":
            # The gateway's own device, by which no packets pass.
            self.other = TUNPort(cast(Any, Readers()), "pptp0", Counters())
            self.other.startReading()
            shared = KernelInterface(Clock(), "pptp0")
        self.shaper = Shaper(Readers(), shared)
        self.interface = "" if name == "pptp0" else name
        self.count = 0
        self.sockets = {4: self.bound(socket.AF_INET, 4), 6: self.bound(socket.AF_INET6, 6)}

    def bound(self, family: socket.AddressFamily, version: int) -> socket.socket:
        """
        A socket on the gateway's host.
        """
        made = socket.socket(family, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        deadline = time.monotonic() + 5
        while True:
            try:
                made.bind((GATEWAY[version], PORT))
            except OSError:
                # The kernel first checks that no other host has the IPv6 address.
                assert time.monotonic() < deadline
                time.sleep(0.05)
            else:
                made.setblocking(False)
                return made

    def session(self, addresses: dict[int, str], profile: Profile) -> Session:
        """
        A session that has opened both families.
        """
        self.count += 1
        session = makeSession(profile, self.count, changed=self.shaper.sessionChanged)
        session.interface = self.interface
        session.networks["ipv4"] = (IPv4Network(addresses[4]),)
        session.networks["ipv6"] = (IPv6Network(f"{addresses[6]}/64", strict=False),)
        self.shaper.networksChanged(session)
        return session

    def sent(self, version: int, *addresses: str) -> list[float]:
        """
        The rate in bits a second that reaches each of C{addresses} while as much as possible is
        sent to each.
        """
        payload = bytes(SIZE - (28 if version == 4 else 48))
        octets = dict.fromkeys((ip_address(one).packed for one in addresses), 0)
        place = 16 if version == 4 else 24
        size = 4 if version == 4 else 16
        began = time.monotonic()
        while time.monotonic() < began + SECONDS:
            for address in addresses:
                try:
                    self.sockets[version].sendto(payload, (address, PORT))
                except BlockingIOError:
                    pass
            for got in self.read():
                to = got[place : place + size]
                if got[0] >> 4 == version and to in octets:
                    octets[to] += len(got)
        seconds = time.monotonic() - began
        self.rest()
        return [count * 8 / seconds for count in octets.values()]

    def received(self, version: int, *addresses: str) -> list[float]:
        """
        The rate in bits a second at which packets from each of C{addresses} arrive while each sends
        as much as possible.
        """
        packets = [packet(address, GATEWAY[version]) for address in addresses]
        octets = dict.fromkeys(addresses, 0)
        began = time.monotonic()
        while time.monotonic() < began + SECONDS:
            for one in packets:
                self.tun.write(one)
            while True:
                try:
                    _, address = self.sockets[version].recvfrom(65536)
                except BlockingIOError:
                    break
                # Packets that waited before belong to an earlier measurement.
                if address[0] in octets:
                    octets[address[0]] += SIZE
        seconds = time.monotonic() - began
        self.rest()
        return [count * 8 / seconds for count in octets.values()]

    def read(self) -> list[bytes]:
        """
        The packets that come out of the device now.
        """
        packets: list[bytes] = []
        self.tun.receiveAll = packets.extend
        while select.select([self.tun.fileno()], [], [], 0)[0]:
            self.tun.doRead()
        return packets

    def rest(self) -> None:
        """
        Let the queues run empty.
        """
        end = time.monotonic() + 0.15
        while time.monotonic() < end:
            self.read()
            for one in self.sockets.values():
                try:
                    one.recv(65536)
                except BlockingIOError:
                    time.sleep(0.01)


def tc(*words: str) -> str:
    """
    The output of C{tc}.
    """
    return subprocess.run(["tc", *words], check=True, capture_output=True, text=True).stdout


def near(rate: float, wanted: float) -> None:
    """
    Assert that a measured rate is about C{rate}. Packets that wait in queues at the end are
    missing, and a burst at the beginning is too much.
    """
    assert 0.7 < rate / wanted < 1.2, (rate, wanted)


def shaper() -> None:
    """
    The rates of a session are limited in both directions and for both families, follow a change,
    and end with the session. A session beside it isn't limited.
    """
    scene = Scene()
    found = {}
    session = scene.session(LIMITED, Profile("alice", sendRate=2_000_000, receiveRate=1_000_000))
    scene.session(FREE, Profile("bob"))
    for version in (4, 6):
        limited, free = scene.sent(version, LIMITED[version], FREE[version])
        found[f"sent IPv{version}"] = limited, free
        near(limited, 2_000_000)
        assert free > 5 * limited, (limited, free)
        limited, free = scene.received(version, LIMITED[version], FREE[version])
        found[f"received IPv{version}"] = limited, free
        near(limited, 1_000_000)
        assert free > 5 * limited, (limited, free)
    session.change(Profile("alice", sendRate=4_000_000, receiveRate=3_000_000))
    (limited,) = scene.sent(4, LIMITED[4])
    near(limited, 4_000_000)
    (limited,) = scene.received(4, LIMITED[4])
    near(limited, 3_000_000)
    session.change(Profile("alice"))
    (limited,) = scene.sent(4, LIMITED[4])
    assert limited > 10_000_000, limited
    (limited,) = scene.received(4, LIMITED[4])
    assert limited > 10_000_000, limited
    assert "match" not in tc("filter", "show", "dev", "pptp0", "ingress")
    assert tc("class", "show", "dev", "pptp0") == tc("class", "show", "dev", "pptp0-in") == ""
    session.change(Profile("alice", receiveRate=1_000_000))
    scene.shaper.sessionEnded(session, "enough")
    scene.shaper.stop()
    assert not Path("/sys/class/net/pptp0-in").exists()
    # The device that a killed gateway leaves.
    subprocess.run(["ip", "link", "add", "pptp0-in", "type", "ifb"], check=True)
    session.change(Profile("alice", receiveRate=1_000_000))
    (limited,) = scene.received(4, LIMITED[4])
    near(limited, 1_000_000)
    scene.shaper.stop()
    print(json.dumps(found))


def own() -> None:
    """
    The rates of a session with a device of its own are limited in both directions and for both
    families, within a tenth while packets flow, follow a change, and end with the session.
    """
    scene = Scene("ppp7")
    found = {}
    session = scene.session(LIMITED, Profile("alice", sendRate=2_000_000, receiveRate=2_000_000))
    for version in (4, 6):
        (found[f"sent IPv{version}"],) = scene.sent(version, LIMITED[version])
        (found[f"received IPv{version}"],) = scene.received(version, LIMITED[version])
    print(json.dumps(found))
    for rate in found.values():
        near(rate, 2_000_000)
    session.change(Profile("alice", sendRate=4_000_000, receiveRate=3_000_000))
    (limited,) = scene.sent(4, LIMITED[4])
    near(limited, 4_000_000)
    (limited,) = scene.received(4, LIMITED[4])
    near(limited, 3_000_000)
    # Another program takes the IFB away.
    subprocess.run(["ip", "link", "del", "pptp0-in"], check=True)
    scene.shaper._restore()
    scene.rest()
    (limited,) = scene.received(4, LIMITED[4])
    near(limited, 3_000_000)
    (limited,) = scene.sent(4, LIMITED[4])
    near(limited, 4_000_000)
    session.change(Profile("alice"))
    for limited in (*scene.sent(4, LIMITED[4]), *scene.received(4, LIMITED[4])):
        assert limited > 10_000_000, limited
    assert "match" not in tc("filter", "show", "dev", "ppp7", "ingress")
    assert tc("class", "show", "dev", "ppp7") == tc("class", "show", "dev", "pptp0-in") == ""
    scene.shaper.stop()


if __name__ == "__main__":
    {"shaper": shaper, "own": own}[sys.argv[1]]()
