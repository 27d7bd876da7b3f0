"""
Tests for L{pptpgw.networks.mpls.wire.mpls}, compared with scapy.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.contrib.mpls import MPLS

from pptpgw.error import Malformed
from pptpgw.networks.mpls.wire.mpls import (
    DEPTH_LIMIT,
    LARGEST,
    LabelStackEntry,
    decode,
    encode,
    topLabel,
)

entries = st.builds(
    LabelStackEntry, st.integers(0, LARGEST), st.integers(0, 255), st.integers(0, 7)
)
stacks = st.lists(entries, min_size=1, max_size=DEPTH_LIMIT)


@given(stacks, st.binary(max_size=40))
def test_roundTrip(stack: list[LabelStackEntry], packet: bytes) -> None:
    """
    A stack and its packet are decoded to what was encoded.
    """
    assert decode(encode(stack, packet)) == (stack, packet)


@given(st.binary(max_size=100))
def test_arbitraryOctets(octets: bytes) -> None:
    """
    Octets are decoded to a stack and a packet or raise L{Malformed}, and nothing else.
    """
    try:
        stack, packet = decode(octets)
    except Malformed:
        return
    assert encode(stack, packet) == octets


@given(st.binary(max_size=100) | st.builds(encode, stacks, st.binary(max_size=8)))
def test_topLabel(octets: bytes) -> None:
    """
    C{topLabel} is the first label of a valid stack, and raises L{Malformed} for the others.
    """
    try:
        stack, _ = decode(octets)
    except Malformed:
        with pytest.raises(Malformed):
            topLabel(octets)
    else:
        assert topLabel(octets) == stack[0].label


@given(stacks)
def test_scapy(stack: list[LabelStackEntry]) -> None:
    """
    The octets are those of scapy for the same fields, with the last entry alone marked as the
    bottom.
    """
    octets = b"".join(
        bytes(MPLS(label=entry.label, cos=entry.trafficClass, ttl=entry.ttl, s=at == len(stack)))
        for at, entry in enumerate(stack, 1)
    )
    assert encode(stack, b"") == octets


def test_octets() -> None:
    """
    The octets are those of RFC 3032 section 2.1.
    """
    assert (
        encode([LabelStackEntry(0x12345, 64, 5), LabelStackEntry(16, 1)], b"!").hex()
        == "12345a400001010121"
    )


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x00\x01\x01",
        # No bottom: the packet ends within an entry or after one.
        b"\x00\x01\x00\x40",
        b"\x00\x01\x00\x40\x00\x01\x01",
        # A stack without a bottom as long as the packet.
        b"\x00\x01\x00\x40" * 350,
        b"\x00\x01\x00\x40" * DEPTH_LIMIT + b"\x00\x01\x01\x40",
    ],
)
def test_malformed(octets: bytes) -> None:
    """
    A stack without a bottom within the limit is malformed.
    """
    with pytest.raises(Malformed):
        decode(octets)


def test_deepest() -> None:
    """
    A stack of L{DEPTH_LIMIT} entries is read.
    """
    stack, packet = decode(b"\x00\x01\x00\x40" * (DEPTH_LIMIT - 1) + b"\x00\x01\x01\x40!")
    assert (len(stack), packet) == (DEPTH_LIMIT, b"!")
