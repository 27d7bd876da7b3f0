"""
Tests for L{pptpgw.datapath.ipv6}, compared with scapy.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6ND_Redirect,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
    RouterAlert,
)
from scapy.packet import Raw

from pptpgw.datapath.ipv6 import clampMSS, tooBig, upperLayer

SENDER, CALLER = "2001:db8:1::1", "fc00:0:1:7::a"


def ip(source: str = SENDER, destination: str = CALLER, **fields: Any) -> Any:
    return IPv6(src=source, dst=destination, **fields)


def chain(*headers: Any) -> Any:
    """
    A packet with these headers.
    """
    packet = ip()
    for header in headers:
        packet = packet / header
    return packet


def syn(mss: int) -> Any:
    return TCP(flags="S", options=[("NOP", None), ("MSS", mss), ("SAckOK", b"")])


HOP_BY_HOP = IPv6ExtHdrHopByHop(options=[RouterAlert(), PadN(optdata=b"\0\0")])
LONG = IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(60))])

CHAINS: list[list[Any]] = [
    [],
    [HOP_BY_HOP],
    [LONG],
    [HOP_BY_HOP, LONG, IPv6ExtHdrRouting(addresses=[CALLER]), IPv6ExtHdrFragment(m=1), LONG],
]


class TestUpperLayer:
    """
    Tests for where the extension headers end.
    """

    @pytest.mark.parametrize("headers", CHAINS, ids=len)
    def test_found(self, headers: list[Any]) -> None:
        octets = bytes(chain(*headers, TCP()))
        assert upperLayer(octets) == (6, len(octets) - 20)

    def test_laterFragment(self) -> None:
        for offset in (1, 31, 32, 0x1FFF):
            octets = bytes(chain(IPv6ExtHdrFragment(offset=offset, nh=6), Raw(bytes(40))))
            assert upperLayer(octets)[0] == -1

    def test_notLookedInto(self) -> None:
        """
        What follows an Authentication Header or too many headers isn't looked into.
        """
        assert upperLayer(bytes(ip(nh=51) / Raw(bytes(40))))[0] == 51
        assert upperLayer(bytes(chain(*[HOP_BY_HOP] * 7, TCP())))[0] == 0

    @settings(max_examples=300, deadline=None)
    @given(st.sampled_from((0, 43, 44, 60, 6)), st.binary(max_size=60))
    def test_hostile(self, number: int, payload: bytes) -> None:
        octets = bytes(ip(nh=number) / Raw(payload))
        upperLayer(octets)
        assert len(clampMSS(octets, 100)) == len(octets)


class TestClamp:
    """
    Tests for the MSS of a SYN.
    """

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.sampled_from(CHAINS[:3]))
    def test_againstScapy(self, mss: int, limit: int, headers: list[Any]) -> None:
        packet = bytes(chain(*headers, syn(mss)))
        expected = bytes(chain(*headers, syn(min(mss, limit))))
        assert clampMSS(packet, limit) == expected

    @pytest.mark.parametrize(
        "packet",
        [
            chain(TCP(flags="A", options=[("MSS", 1460)])),
            chain(UDP(), Raw(b"\x00" * 40)),
            chain(IPv6ExtHdrFragment(offset=1, nh=6), syn(1460)),
            chain(HOP_BY_HOP, UDP()),
        ],
        ids=["no SYN", "no TCP", "a later fragment", "no TCP behind a header"],
    )
    def test_unchanged(self, packet: Any) -> None:
        assert clampMSS(bytes(packet), 100) == bytes(packet)


class TestTooBig:
    """
    Tests for Packet Too Big (RFC 4443 section 3.2).
    """

    @pytest.mark.parametrize(("size", "quoted"), [(1232, 1232), (1400, 1232), (100, 100)])
    def test_asScapyReadsIt(self, size: int, quoted: int) -> None:
        packet = bytes(chain(UDP(), Raw(bytes(size - 48))))
        octets = tooBig(packet, 1396)
        assert octets is not None
        answer = IPv6(octets)
        assert (answer.src, answer.dst) == (CALLER, SENDER)
        assert (answer[ICMPv6PacketTooBig].code, answer[ICMPv6PacketTooBig].mtu) == (0, 1396)
        assert octets[48:] == packet[:quoted]
        assert len(octets) <= 1280
        del answer[ICMPv6PacketTooBig].cksum, answer.plen
        assert bytes(answer) == octets

    @pytest.mark.parametrize(
        "packet",
        [
            chain(ICMPv6DestUnreach(), Raw(bytes(40))),
            chain(HOP_BY_HOP, ICMPv6PacketTooBig(), Raw(bytes(40))),
            chain(ICMPv6ND_Redirect()),
            ip(source="::") / UDP(),
            ip(source="::1") / UDP(),
            ip(source="ff02::1") / UDP(),
            ip(destination="ff0e::1") / UDP(),
        ],
    )
    def test_notAbout(self, packet: Any) -> None:
        """
        No error is sent about the packets that RFC 4443 section 2.4 (e) lists.
        """
        assert tooBig(bytes(packet), 1396) is None

    def test_aboutAnEcho(self) -> None:
        assert tooBig(bytes(chain(ICMPv6EchoRequest(data=bytes(1400)))), 1396) is not None

    @settings(max_examples=300, deadline=None)
    @given(st.binary(min_size=40, max_size=80))
    def test_hostile(self, packet: bytes) -> None:
        tooBig(packet, 1396)
