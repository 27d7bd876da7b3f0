"""
Tests for L{pptpgw.datapath.openipv6}, in memory. L{test_python} tests IPv4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv6Network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop
from scapy.packet import Raw
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pptpgw.counting.bucket import Bucket
from pptpgw.counting.counters import Counters
from pptpgw.datapath.checks import (
    FAILURE_LIMIT,
    NOT_DELIVERED,
    SPOOFED,
    TOO_BIG,
    OpenProtocol,
)
from pptpgw.datapath.openipv6 import ERROR_LIMIT, OpenIPv6
from pptpgw.interfaces import Attachment

PREFIX = IPv6Network("fc00:0:1:7::/64")
DELEGATED = IPv6Network("fc00:1:0:700::/56")
OURS, BEHIND, FAR = "fc00:0:1:7::a", "fc00:1:0:7ff::1", "2001:db8::1"


class Fixture:
    """
    An IPv6 network, with a call and a TUN device that record what they get.
    """

    isFull = False

    def __init__(
        self,
        addresses: tuple[IPv6Network, ...] = (PREFIX, DELEGATED),
        local: bool = True,
        receive: Callable[[bytes], None] | None = None,
        clamp: bool = True,
    ) -> None:
        self.counters = Counters()
        self.clock = Clock()
        self.sent: list[bytes] = []
        self.delivered: list[bytes] = []
        self.local: list[bytes] = []
        self.network = OpenIPv6(
            0x57,
            Attachment(addresses, 1400, receive, self.local.append if local else None),
            self,
            receive or self.delivered.append,
            None,
            Bucket(self.clock.seconds, FAILURE_LIMIT),
            None,
            clamp,
            Bucket(self.clock.seconds, (ERROR_LIMIT, ERROR_LIMIT)),
        )

    def transmit(self, network: OpenProtocol, packets: Sequence[bytes]) -> None:
        self.sent += packets

    def arrive(self, *packets: Any) -> None:
        self.network.received([bytes(packet) for packet in packets])


def udp(source: str, destination: str) -> bytes:
    return bytes(IPv6(src=source, dst=destination) / UDP(sport=1, dport=2) / Raw(b"octets"))


def syn(source: str, destination: str, mss: int, *headers: Any) -> bytes:
    packet = IPv6(src=source, dst=destination)
    for header in headers:
        packet = packet / header
    return bytes(packet / TCP(flags="S", options=[("MSS", mss)]))


class TestReceived:
    """
    Tests for packets from the peer.
    """

    @pytest.mark.parametrize(
        ("source", "destination"),
        [(OURS, FAR), (OURS, OURS), (BEHIND, FAR), (BEHIND, "fec0::1"), (OURS, "::1")],
    )
    def test_toTheNetwork(self, source: str, destination: str) -> None:
        fixture = Fixture()
        fixture.arrive(udp(source, destination))
        assert fixture.delivered == [udp(source, destination)]
        assert fixture.local == []
        assert (fixture.counters.packetsReceived, fixture.counters.octetsReceived) == (1, 54)

    @pytest.mark.parametrize(
        ("source", "destination"),
        [
            ("fe80::1", "ff02::2"),
            ("fe80::1", "fe80::2"),
            ("febf::1", FAR),
            (OURS, "fe80::2"),
            (OURS, "ff02::1"),
            (OURS, "ff0e::1"),
            ("::", "ff02::1:ff00:2"),
            ("::", FAR),
        ],
    )
    def test_toTheLinkItself(self, source: str, destination: str) -> None:
        """
        Link-local packets and packets to the link's own addresses don't pass to the network, even
        when every source is allowed.
        """
        for addresses in ((PREFIX, DELEGATED), (IPv6Network("::/0"),)):
            fixture = Fixture(addresses)
            fixture.arrive(udp(source, destination))
            assert fixture.local == [udp(source, destination)]
            assert fixture.delivered == []
            counters = fixture.counters
            assert (counters.packetsReceived, counters.octetsReceived) == (1, 54)

    def test_everySourceAllowed(self) -> None:
        fixture = Fixture((IPv6Network("::/0"),))
        for source in (OURS, FAR, "64:ff9b::1", "::1"):
            fixture.arrive(udp(source, FAR))
        assert len(fixture.delivered) == 4

    def test_nobodyOnTheLinkItself(self) -> None:
        fixture = Fixture(local=False)
        fixture.arrive(udp("fe80::1", "ff02::2"), udp(OURS, FAR))
        assert fixture.delivered == [udp(OURS, FAR)]
        assert fixture.counters.discards == {NOT_DELIVERED: 1}

    @pytest.mark.parametrize("source", ["fc00:0:1:8::a", FAR, "::1", "fec0::1", "::ffff:1.2.3.4"])
    def test_foreignSource(self, source: str) -> None:
        fixture = Fixture()
        fixture.arrive(udp(source, FAR))
        assert fixture.delivered == fixture.local == []
        assert fixture.counters.discards == {SPOOFED: 1}
        assert fixture.counters.packetsReceived == 0

    @settings(max_examples=200, deadline=None)
    @given(st.integers(0, 59), st.integers(0, 255))
    def test_hostile(self, cut: int, first: int) -> None:
        """
        Octets that aren't an IPv6 packet are discarded, however short they are.
        """
        octets = bytes((first,)) + udp(OURS, FAR)[1:]
        fixture = Fixture()
        fixture.arrive(octets[:cut])
        whole = first >> 4 == 6 and cut >= 40
        assert len(fixture.delivered) == whole
        assert fixture.counters.discards == ({} if whole else {SPOOFED: 1})

    def test_servedInThisProcess(self) -> None:
        """
        A network that is served in this process gets the link's packets too.
        """
        taken: list[bytes] = []
        fixture = Fixture((), local=False, receive=taken.append)
        packets = [udp("fe80::1", "ff02::1"), udp(FAR, OURS)]
        fixture.arrive(*packets)
        assert taken == packets

    def test_itFails(self, loggedFailures: list[Failure]) -> None:
        """
        A packet is delivered after the receiver has raised for the one before it.
        """
        taken: list[bytes] = []

        def receive(packet: bytes) -> None:
            taken.append(packet)
            raise ValueError("a packet of no use")

        Fixture((), local=False, receive=receive).arrive(udp(OURS, FAR), udp("fe80::1", "ff02::1"))
        assert len(taken) == len(loggedFailures) == 2
        loggedFailures.clear()

    def test_closed(self) -> None:
        """
        Packets for a closed network are discarded, also in the middle of a run of packets.
        """
        fixture = Fixture()
        fixture.network.close()
        fixture.arrive(udp(OURS, FAR), udp("fe80::1", "fe80::2"))
        assert fixture.delivered == fixture.local == []
        assert fixture.counters.discards == {NOT_DELIVERED: 2}

    def test_clamped(self) -> None:
        """
        The MSS is clamped behind extension headers too.
        """
        header = IPv6ExtHdrHopByHop()
        fixture = Fixture()
        fixture.arrive(syn(OURS, FAR, 1460), syn(BEHIND, FAR, 1460, header), syn(OURS, FAR, 1300))
        assert fixture.delivered == [
            syn(OURS, FAR, 1340),
            syn(BEHIND, FAR, 1340, header),
            syn(OURS, FAR, 1300),
        ]

    def test_notClamped(self) -> None:
        fixture = Fixture(clamp=False)
        fixture.arrive(syn(OURS, FAR, 1460))
        assert fixture.delivered == [syn(OURS, FAR, 1460)]


class TestTransmit:
    """
    Tests for packets to the peer.
    """

    def test_clamped(self) -> None:
        fixture = Fixture()
        fixture.network.transmit([syn(FAR, OURS, 1460)])
        fixture.network.transmit([syn(FAR, OURS, 1460, IPv6ExtHdrDestOpt())])
        fixture.network.transmit([udp(FAR, OURS)])
        assert fixture.sent == [
            syn(FAR, OURS, 1340),
            syn(FAR, OURS, 1340, IPv6ExtHdrDestOpt()),
            udp(FAR, OURS),
        ]

    def test_tooBig(self) -> None:
        """
        The sender of a packet that is too big is told, within a rate limit.
        """
        fixture = Fixture()
        fits = udp(FAR, OURS) + bytes(1400 - 54)
        fixture.network.transmit([fits])
        assert fixture.sent == [fits]
        for _ in range(ERROR_LIMIT + 5):
            fixture.network.transmit([fits + b"!"])
        assert len(fixture.sent) == 1
        assert len(fixture.delivered) == ERROR_LIMIT
        answer = IPv6(fixture.delivered[0])
        assert (answer.dst, answer[ICMPv6PacketTooBig].mtu) == (FAR, 1400)
        assert fixture.counters.discards == {TOO_BIG: ERROR_LIMIT + 5}
        fixture.clock.advance(1)
        fixture.network.transmit([fits + b"!"])
        assert len(fixture.delivered) == ERROR_LIMIT + 1

    def test_tooBigAndNobodyToTell(self) -> None:
        fixture = Fixture()
        fixture.network.transmit([udp("::", OURS) + bytes(1400)])
        assert fixture.delivered == []
        fixture.network.close()
        fixture.network.transmit([udp(FAR, OURS) + bytes(1400)])
        assert fixture.counters.discards == {TOO_BIG: 2, NOT_DELIVERED: 1}
