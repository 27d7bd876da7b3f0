"""
Tests for L{pptpgw.networks.wire.checksum}.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pptpgw.networks.wire.checksum import checksum


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_againstTheDefinition(octets: bytes) -> None:
    """
    The checksum is that of RFC 1071 section 1.
    """
    padded = octets + bytes(len(octets) % 2)
    total = sum(int.from_bytes(padded[at : at + 2], "big") for at in range(0, len(padded), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert checksum(octets) == total ^ 0xFFFF


def test_allOnes() -> None:
    assert checksum(b"\xff\xff") == 0
    assert checksum(b"") == 0xFFFF
