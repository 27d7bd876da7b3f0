"""
Tests for L{pptpgw.networks.ipv6.router}, with scapy as the host at the other end.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6MLReport2,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    IPv6,
    IPv6ExtHdrHopByHop,
)
from scapy.packet import Raw
from twisted.internet.task import Clock

from pptpgw.counting.counters import Counters
from pptpgw.networks.ipv6.dhcpv6 import DHCPv6Server
from pptpgw.networks.ipv6.router import (
    LIMIT,
    MALFORMED,
    MAX_INTERVAL,
    MIN_INTERVAL,
    NOT_OURS,
    SOLICITED_LIMIT,
    SOLICITED_SECONDS,
    TOO_MANY,
    IPv6Router,
)
from pptpgw.networks.ipv6.wire.neighbor import PrefixInformation, RouterAdvertisement

OURS, NODE = "fe80::aaaa:1111:2222", "ff02::1:ff11:2222"
HOST = "fe80::bbbb:3333:4444"
GLOBAL = "fc00:0:1:7::a"
ADVERTISEMENT = RouterAdvertisement(
    1800, (PrefixInformation(IPv6Network("fc00:0:1:7::/64"), 3600, 7200),), other=True, mtu=1396
)


class Server:
    """
    A DHCPv6 server that answers every message but C{b"silence"}.
    """

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, str, bool]] = []

    def received(self, octets: bytes, source: IPv6Address, unicast: bool = False) -> bytes | None:
        self.messages.append((octets, str(source), unicast))
        return None if octets == b"silence" else b"re: " + octets


class Link:
    """
    A router, and the packets that it sends.
    """

    def __init__(self, dhcp: Server | None = None) -> None:
        self.clock = Clock()
        self.sent: list[bytes] = []
        self.counters = Counters()
        self.router = IPv6Router(
            self.clock,
            IPv6Address(OURS),
            ADVERTISEMENT,
            self.sent.append,
            self.counters,
            cast(DHCPv6Server, dhcp),
        )

    def answers(self, packet: Any) -> list[Any]:
        """
        The packets that the router sends in answer to C{packet}.
        """
        count = len(self.sent)
        self.router.received(bytes(packet))
        return [IPv6(octets) for octets in self.sent[count:]]

    def answer(self, packet: Any) -> Any:
        """
        The only answer to C{packet}.
        """
        (answer,) = self.answers(packet)
        return answer


@pytest.fixture
def link() -> Link:
    return Link()


def ip(source: str = HOST, destination: str = OURS, hlim: int = 255) -> Any:
    return IPv6(src=source, dst=destination, hlim=hlim)


class TestAdvertising:
    """
    Tests for unsolicited Router Advertisements (RFC 4861 section 6.2.4).
    """

    def test_atOnceAndAtIntervals(self, link: Link) -> None:
        link.router.start()
        assert len(link.sent) == 1
        advertisement = IPv6(link.sent[0])
        assert (advertisement.src, advertisement.dst, advertisement.hlim) == (OURS, "ff02::1", 255)
        told = advertisement[ICMPv6ND_RA]
        assert (told.routerlifetime, told.M, told.O, told.chlim) == (1800, 0, 1, 64)
        for count in (2, 3):
            link.clock.advance(15.9)
            assert len(link.sent) == count - 1
            link.clock.advance(0.1)
            assert len(link.sent) == count
        link.clock.pump([1] * int(MIN_INTERVAL - 1))
        assert len(link.sent) == 3
        link.clock.pump([1] * int(MAX_INTERVAL - MIN_INTERVAL + 2))
        assert len(link.sent) >= 4
        assert set(link.sent) == {link.sent[0]}

    def test_intervals(self, link: Link) -> None:
        """
        The intervals between advertisements vary within their bounds.
        """
        link.router.start()
        link.clock.pump([1] * 20000)
        assert 20000 / MAX_INTERVAL <= len(link.sent) <= 20000 / MIN_INTERVAL + 3
        link.router.stop()
        link.router.stop()
        assert link.clock.getDelayedCalls() == []

    def test_ceases(self, link: Link) -> None:
        """
        The last advertisement has a router lifetime of zero and is otherwise the same.
        """
        link.router.start()
        link.router.stop()
        link.router.cease()
        last = IPv6(link.sent[-1])[ICMPv6ND_RA]
        assert last.routerlifetime == 0
        last.routerlifetime = 1800
        first = IPv6(link.sent[0])[ICMPv6ND_RA]
        assert bytes(last)[4:] == bytes(first)[4:]


class TestRouterSolicitation:
    """
    Tests for answers to Router Solicitations (RFC 4861 section 6.2.6).
    """

    def test_answeredAtOnce(self, link: Link) -> None:
        answer = link.answer(ip(destination="ff02::2") / ICMPv6ND_RS())
        assert (answer.src, answer.dst, answer.hlim) == (OURS, HOST, 255)
        assert answer[ICMPv6ND_RA].routerlifetime == 1800

    def test_ofNobody(self, link: Link) -> None:
        answer = link.answer(ip("::", "ff02::2") / ICMPv6ND_RS())
        assert (answer.src, answer.dst) == (OURS, "ff02::1")

    def test_tooMany(self, link: Link) -> None:
        """
        A host that solicits without end gets a limited number of answers.
        """
        solicitation = ip(destination="ff02::2") / ICMPv6ND_RS()
        for _ in range(SOLICITED_LIMIT + 4):
            link.answers(solicitation)
        assert len(link.sent) == SOLICITED_LIMIT
        assert link.counters.discards == {TOO_MANY: 4}
        link.clock.advance(SOLICITED_SECONDS)
        link.answer(solicitation)

    def test_forwarded(self, link: Link) -> None:
        assert link.answers(ip(destination="ff02::2", hlim=254) / ICMPv6ND_RS()) == []
        assert link.counters.discards == {MALFORMED: 1}


class TestNeighborSolicitation:
    """
    Tests for answers to Neighbor Solicitations (RFC 4861 section 7.2.4).
    """

    @pytest.mark.parametrize("destination", [OURS, NODE])
    def test_answered(self, link: Link, destination: str) -> None:
        answer = link.answer(ip(destination=destination) / ICMPv6ND_NS(tgt=OURS))
        assert (answer.src, answer.dst, answer.hlim) == (OURS, HOST, 255)
        told = answer[ICMPv6ND_NA]
        assert (told.tgt, told.R, told.S, told.O) == (OURS, 1, 1, 1)

    def test_duplicateAddressDetection(self, link: Link) -> None:
        """
        A peer that tests whether it may have our address is told that it is taken.
        """
        answer = link.answer(ip("::", NODE) / ICMPv6ND_NS(tgt=OURS))
        assert (answer.src, answer.dst) == (OURS, "ff02::1")
        assert (answer[ICMPv6ND_NA].tgt, answer[ICMPv6ND_NA].S) == (OURS, 0)

    @pytest.mark.parametrize(
        ("destination", "target"),
        [
            ("ff02::1:ff33:4444", HOST),
            ("ff02::1:ff00:a", GLOBAL),
            (NODE, "fc00:0:1:7::aaaa:1111:2222"),
        ],
    )
    def test_othersAddresses(self, link: Link, destination: str, target: str) -> None:
        """
        A peer's Duplicate Address Detection of its own address gets no answer.
        """
        assert link.answers(ip("::", destination) / ICMPv6ND_NS(tgt=target)) == []
        assert link.counters.discards == {NOT_OURS: 1}


class TestEcho:
    """
    Tests for answers to echo requests (RFC 4443 section 4.2).
    """

    @pytest.mark.parametrize("source", [HOST, GLOBAL])
    @pytest.mark.parametrize("destination", [OURS, "ff02::1", "ff02::2"])
    def test_answered(self, link: Link, source: str, destination: str) -> None:
        request = ICMPv6EchoRequest(id=7, seq=8, data=b"octets")
        answer = link.answer(ip(source, destination, 64) / request)
        assert (answer.src, answer.dst) == (OURS, source)
        told = answer[ICMPv6EchoReply]
        assert (told.id, told.seq, told.data) == (7, 8, b"octets")
        del answer[ICMPv6EchoReply].cksum
        assert bytes(answer) == link.sent[-1]

    @pytest.mark.parametrize(
        ("source", "destination"), [("::", OURS), ("ff02::1", OURS), (HOST, "ff02::fb")]
    )
    def test_notAnswered(self, link: Link, source: str, destination: str) -> None:
        assert link.answers(ip(source, destination) / ICMPv6EchoRequest()) == []


class TestDHCPv6:
    """
    Tests for the messages that go to the DHCPv6 server.
    """

    def test_multicast(self) -> None:
        server = Server()
        answer = Link(server).answer(
            ip(destination="ff02::1:2", hlim=1) / UDP(sport=546, dport=547) / Raw(b"solicit")
        )
        assert server.messages == [(b"solicit", HOST, False)]
        assert (answer.src, answer.dst) == (OURS, HOST)
        assert (answer.sport, answer.dport) == (547, 546)
        assert bytes(answer[UDP].payload) == b"re: solicit"

    def test_unicast(self) -> None:
        server = Server()
        Link(server).answer(ip() / UDP(sport=546, dport=547) / Raw(b"request"))
        assert server.messages == [(b"request", HOST, True)]

    def test_silence(self) -> None:
        link = Link(Server())
        assert link.answers(ip() / UDP(sport=546, dport=547) / Raw(b"silence")) == []
        assert link.counters.discards == {}

    @pytest.mark.parametrize(
        "packet",
        [
            ip() / UDP(sport=546, dport=546) / Raw(b"solicit"),
            ip(destination="ff02::1") / UDP(sport=546, dport=547) / Raw(b"solicit"),
        ],
        ids=["another port", "another address"],
    )
    def test_notForIt(self, packet: Any) -> None:
        link = Link(Server())
        assert link.answers(packet) == []
        assert link.counters.discards == {NOT_OURS: 1}

    def test_wrongChecksum(self) -> None:
        link = Link(Server())
        assert link.answers(ip() / UDP(sport=546, dport=547, chksum=1) / Raw(b"solicit")) == []
        assert link.counters.discards == {MALFORMED: 1}

    def test_noServer(self, link: Link) -> None:
        assert link.answers(ip() / UDP(sport=546, dport=547) / Raw(b"solicit")) == []
        assert link.counters.discards == {NOT_OURS: 1}


class TestDiscarded:
    """
    Tests for packets that get no answer.
    """

    @pytest.mark.parametrize(
        "packet",
        [
            ip(destination="ff02::16", hlim=1) / IPv6ExtHdrHopByHop() / ICMPv6MLReport2(),
            ip(destination="ff02::fb") / UDP(sport=5353, dport=5353) / Raw(b"mDNS"),
            ip() / ICMPv6ND_RA(),
            ip() / ICMPv6ND_NA(),
            ip() / ICMPv6EchoReply(),
            ip(destination="fe80::99") / ICMPv6EchoRequest(),
            ip(destination="ff02::1:ff99:9999") / ICMPv6ND_NS(tgt="fe80::9999:9999"),
        ],
    )
    def test_notOurs(self, link: Link, packet: Any) -> None:
        """
        Packets that hosts usually send, and that aren't for the router, are counted and discarded.
        """
        assert link.answers(packet) == []
        assert link.counters.discards == {NOT_OURS: 1}

    @pytest.mark.parametrize("octets", [b"", b"\x60", bytes(60), bytes(ip() / UDP())[:44]])
    def test_malformed(self, link: Link, octets: bytes) -> None:
        link.router.received(octets)
        assert link.sent == []
        assert link.counters.discards == {MALFORMED: 1}

    def test_tooMany(self, link: Link) -> None:
        """
        Packets beyond the rate limit are only counted.
        """
        echo = bytes(ip() / ICMPv6EchoRequest())
        for _ in range(LIMIT + 30):
            link.router.received(echo)
        assert len(link.sent) == LIMIT
        assert link.counters.discards == {TOO_MANY: 30}
        link.clock.advance(1)
        link.answer(echo)

    @settings(max_examples=300, deadline=None)
    @given(
        st.sampled_from((OURS, NODE, "ff02::1", "ff02::1:2")),
        st.sampled_from((17, 58, 0)),
        st.integers(128, 140),
        st.binary(max_size=60),
    )
    def test_hostile(self, destination: str, protocol: int, kind: int, body: bytes) -> None:
        """
        No packet raises an exception, and every packet is answered or counted.
        """
        link = Link(Server())
        packet = ip(destination=destination) / Raw(bytes((kind,)) + body)
        packet.nh = protocol
        link.router.received(bytes(packet))
        assert len(link.sent) + sum(link.counters.discards.values()) == 1
