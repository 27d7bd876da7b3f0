"""
Tests for L{pptpgw.ppp.wire.lqr}.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.error import Malformed
from pptpgw.ppp.wire.lqr import NUMBERS, Report, decode, encode


@given(st.lists(st.integers(0, NUMBERS - 1), min_size=12, max_size=12), st.binary(max_size=8))
def test_bothWays(numbers: list[int], padding: bytes) -> None:
    report = Report(*numbers)
    assert decode(encode(report) + padding) == report


@given(st.binary(max_size=47))
def test_tooShort(octets: bytes) -> None:
    with pytest.raises(Malformed):
        decode(octets)


def test_wraps() -> None:
    """
    Counters go on from 0 after 32 bits.
    """
    assert decode(encode(Report(peerOutOctets=NUMBERS + 7))) == Report(peerOutOctets=7)


def test_order() -> None:
    """
    The numbers stand in the order of RFC 1989 section 2.6: the magic number, what the other end has
    sent, what the sender has received, and what it has sent.
    """
    report = Report(
        magic=1,
        lastOutLQRs=2,
        lastOutPackets=3,
        lastOutOctets=4,
        peerInLQRs=5,
        peerInPackets=6,
        peerInDiscards=7,
        peerInErrors=8,
        peerInOctets=9,
        peerOutLQRs=10,
        peerOutPackets=11,
        peerOutOctets=12,
    )
    assert encode(report) == b"".join(number.to_bytes(4, "big") for number in range(1, 13))
