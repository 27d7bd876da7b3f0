"""
Tests for L{pptpgw.networks.mpls.wire.arp}, compared with scapy.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.l2 import ARP as ScapyARP

from pptpgw.error import Malformed
from pptpgw.networks.mpls.wire import arp

hardware = st.binary(min_size=6, max_size=6)
addresses = st.binary(min_size=4, max_size=4)
packets = st.builds(arp.ARP, st.integers(0, 65535), hardware, addresses, hardware, addresses)


@given(packets, st.binary(max_size=18))
def test_roundTrip(packet: arp.ARP, padding: bytes) -> None:
    """
    A packet is decoded to what was encoded, with or without Ethernet's padding.
    """
    assert arp.decode(packet.encode() + padding) == packet


@given(st.binary(max_size=40) | st.binary(max_size=30).map(b"\0\1\x08\0\6\4".__add__))
def test_arbitraryOctets(octets: bytes) -> None:
    """
    Octets are decoded to a packet or raise L{Malformed}, and nothing else.
    """
    try:
        packet = arp.decode(octets)
    except Malformed:
        return
    assert octets.startswith(packet.encode())


def test_scapy() -> None:
    """
    A reply has the octets of scapy's.
    """
    other = ScapyARP(
        op="is-at",
        hwsrc="02:00:0a:4d:00:0a",
        psrc="10.77.0.10",
        hwdst="92:84:73:cf:11:be",
        pdst="10.77.0.1",
    )
    ours = arp.ARP(
        arp.REPLY,
        bytes.fromhex("02000a4d000a"),
        bytes([10, 77, 0, 10]),
        bytes.fromhex("928473cf11be"),
        bytes([10, 77, 0, 1]),
    )
    assert ours.encode() == bytes(other)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        bytes.fromhex("0001080006040001") + bytes(19),
        # Address types other than Ethernet's and IPv4's.
        bytes.fromhex("0006080006040001") + bytes(20),
        bytes.fromhex("0001080606040001") + bytes(20),
        # Lengths that don't belong to these types.
        bytes.fromhex("0001080008040001") + bytes(24),
        bytes.fromhex("0001080006100001") + bytes(44),
    ],
)
def test_malformed(octets: bytes) -> None:
    """
    Short packets and packets about other kinds of addresses are malformed.
    """
    with pytest.raises(Malformed):
        arp.decode(octets)
