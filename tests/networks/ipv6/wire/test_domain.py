"""
Tests for domain names.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.error import Malformed
from pptpgw.networks.ipv6.wire.domain import decodeNames, encodeNames, isName

labels = st.text("abcXYZ019-_", min_size=1, max_size=63)
names = st.lists(labels, min_size=1, max_size=5).map(".".join).filter(isName)


@given(st.lists(names, max_size=4))
def test_roundTrip(several: list[str]) -> None:
    """
    Names are decoded to what was encoded.
    """
    assert decodeNames(encodeNames(several)) == tuple(several)


@given(st.binary(max_size=40) | st.text("\0\1\2ab.", max_size=12).map(str.encode))
def test_arbitraryOctets(octets: bytes) -> None:
    """
    Octets are decoded to names or raise L{Malformed}, and nothing else.
    """
    try:
        several = decodeNames(octets)
    except Malformed:
        return
    assert encodeNames(several) == octets


def test_octets() -> None:
    """
    The octets of a name are those of RFC 1035 section 3.1.
    """
    assert encodeNames(["example.org", "lan"]) == b"\7example\3org\0\3lan\0"


@pytest.mark.parametrize(
    "octets",
    [
        b"\3lan",
        b"\3la",
        b"\0",
        b"\3lan\0\0",
        b"\3a.b\0",
        b"\xc0\0",
        b"\x40" + 64 * b"a" + b"\0",
        4 * (b"\x3f" + 63 * b"a") + b"\0",
        b"\1\xe4\0",
    ],
)
def test_malformed(octets: bytes) -> None:
    """
    Names without an end, cut names, empty names, a dot within a label, compression, long labels and
    names, and octets beyond ASCII are malformed.
    """
    with pytest.raises(Malformed):
        decodeNames(octets)


@pytest.mark.parametrize("name", ["", ".", "a.", ".a", "a..b", "ä.de", "a b", 64 * "a", "a." * 127])
def test_noName(name: str) -> None:
    """
    C{isName} is false for what isn't a name.
    """
    assert not isName(name)


def test_longest() -> None:
    """
    A name may have 255 octets and no more.
    """
    longest = ".".join([63 * "a", 63 * "b", 63 * "c", 61 * "d"])
    assert isName(longest)
    assert len(encodeNames([longest])) == 255
    assert not isName(longest + "d")
