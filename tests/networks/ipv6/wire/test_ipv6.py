"""
Tests for L{pptpgw.networks.ipv6.wire.ipv6}, compared with scapy.
"""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.packet import Raw

from pptpgw.error import Malformed
from pptpgw.networks.ipv6.wire.ipv6 import (
    Datagram,
    ICMPv6Message,
    IPv6Packet,
    decode,
    decodeDatagram,
    decodeMessage,
    encode,
    encodeDatagram,
    encodeMessage,
)

HERE, THERE = IPv6Address("fe80::1"), IPv6Address("ff02::1:2")

addresses = st.binary(min_size=16, max_size=16).map(IPv6Address)
octets = st.integers(0, 255)
packets = st.builds(IPv6Packet, addresses, addresses, octets, st.binary(max_size=50), octets)


def udp(payload: bytes, **fields: Any) -> IPv6Packet:
    """
    A UDP packet that scapy made, decoded.
    """
    header = UDP(sport=546, dport=547, **fields)
    return decode(bytes(IPv6(src=str(HERE), dst=str(THERE)) / header / Raw(payload)))


@settings(deadline=None)
@given(packets)
def test_thereAndBack(packet: IPv6Packet) -> None:
    assert decode(encode(packet)) == packet
    assert decode(encode(packet) + b"padding") == packet


@settings(deadline=None)
@given(packets)
def test_cutShort(packet: IPv6Packet) -> None:
    with pytest.raises(Malformed):
        decode(encode(packet)[:-1])


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_hostile(octets: bytes) -> None:
    """
    No octets raise anything but L{Malformed}.
    """
    try:
        packet = decode(octets)
    except Malformed:
        return
    for read in (decodeMessage, decodeDatagram):
        try:
            read(packet)
        except Malformed:
            pass


@pytest.mark.parametrize("octets", [b"", b"\x60" + bytes(38), b"\x45" + bytes(60)])
def test_noIPv6(octets: bytes) -> None:
    with pytest.raises(Malformed):
        decode(octets)


def test_jumbo() -> None:
    """
    A packet with a payload length of 0 has no payload, as jumbograms aren't supported.
    """
    octets = bytearray(encode(IPv6Packet(HERE, THERE, 0, b"payload")))
    octets[4:6] = b"\0\0"
    assert decode(bytes(octets)).payload == b""


def test_asScapyHasIt() -> None:
    made = IPv6(src=str(HERE), dst=str(THERE), nh=59, hlim=7) / Raw(b"octets")
    assert encode(IPv6Packet(HERE, THERE, 59, b"octets", 7)) == bytes(made)


class TestMessage:
    """
    Tests for ICMPv6.
    """

    @settings(deadline=None)
    @given(st.binary(max_size=40))
    def test_againstScapy(self, body: bytes) -> None:
        made = IPv6(src=str(HERE), dst=str(THERE), hlim=255)
        made = made / ICMPv6EchoRequest(id=0x1234, seq=0x5678, data=body)
        message = ICMPv6Message(128, 0, b"\x12\x34\x56\x78" + body)
        assert encodeMessage(HERE, THERE, message) == bytes(made)
        assert decodeMessage(decode(bytes(made))) == message

    @settings(deadline=None)
    @given(st.integers(0, 11), st.integers(1, 255))
    def test_damaged(self, at: int, difference: int) -> None:
        payload = bytearray(
            decode(encodeMessage(HERE, THERE, ICMPv6Message(128, 0, bytes(8)))).payload
        )
        payload[at] ^= difference
        with pytest.raises(Malformed):
            decodeMessage(IPv6Packet(HERE, THERE, 58, bytes(payload)))

    @pytest.mark.parametrize("payload", [b"", b"\x80\0\0"])
    def test_short(self, payload: bytes) -> None:
        with pytest.raises(Malformed):
            decodeMessage(IPv6Packet(HERE, THERE, 58, payload))


class TestDatagram:
    """
    Tests for UDP.
    """

    @settings(deadline=None)
    @given(st.binary(max_size=40))
    def test_againstScapy(self, payload: bytes) -> None:
        made = IPv6(src=str(HERE), dst=str(THERE), hlim=255)
        made = made / UDP(sport=546, dport=547) / Raw(payload)
        datagram = Datagram(546, 547, payload)
        assert encodeDatagram(HERE, THERE, datagram) == bytes(made)
        assert decodeDatagram(decode(bytes(made))) == datagram

    def test_checksumOfZero(self) -> None:
        """
        A checksum of 0 is sent as 0xFFFF, and a datagram without a checksum is malformed.
        """
        total = int.from_bytes(decode(encodeDatagram(HERE, THERE, Datagram(1, 2, b""))).payload[6:])
        sent = decode(encodeDatagram(HERE, THERE, Datagram(1 + total, 2, b"")))
        assert sent.payload[6:] == b"\xff\xff"
        assert decodeDatagram(sent) == Datagram(1 + total, 2, b"")

    @pytest.mark.parametrize(
        "packet",
        [
            udp(b"octets", chksum=0),
            udp(b"octets", chksum=1),
            udp(b"octets", len=13),
            udp(b"octets", len=15),
            IPv6Packet(HERE, THERE, 17, bytes(7)),
        ],
        ids=["no checksum", "a wrong checksum", "a short length", "a long length", "no header"],
    )
    def test_malformed(self, packet: IPv6Packet) -> None:
        with pytest.raises(Malformed):
            decodeDatagram(packet)
