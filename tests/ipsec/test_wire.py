"""
Tests of the packets of vici.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.error import Malformed
from pptpgw.ipsec.wire import LONGEST, Kind, Message, Packet, decode, encodeMessage, split

NAMES = st.text("abcdefghijklmnop-_0123456789", min_size=1, max_size=20)
VALUES = st.binary(max_size=50)
MESSAGES: Any = st.recursive(
    st.dictionaries(NAMES, VALUES | st.lists(VALUES), max_size=5),
    lambda within: st.dictionaries(NAMES, VALUES | st.lists(VALUES) | within, max_size=5),
    max_leaves=10,
)

ENCODED = (
    b"\x03\x04key1\x00\x06value1"
    b"\x01\x08section1\x01\x0bsub-section\x03\x04key2\x00\x06value2\x02"
    b"\x04\x05list1\x05\x00\x05item1\x05\x00\x05item2\x06\x02"
)
"""
The example in the documentation of vici, with its values as octets.
"""


def test_theExampleOfTheDocumentation() -> None:
    message: Message = {
        "key1": b"value1",
        "section1": {"sub-section": {"key2": b"value2"}, "list1": [b"item1", b"item2"]},
    }
    assert encodeMessage(message) == ENCODED
    assert decode(b"\x01" + ENCODED) == Packet(Kind.RESPONSE, "", message)


@given(st.sampled_from(Kind), MESSAGES)
def test_whatIsEncodedIsDecoded(kind: Kind, message: Mapping[str, Any]) -> None:
    """
    A packet comes back as it was, also in pieces and behind another one.
    """
    name = "name" if kind in (Kind.REQUEST, Kind.REGISTER, Kind.UNREGISTER, Kind.EVENT) else ""
    packet = Packet(kind, name, message)
    octets = packet.encode()
    assert split(octets[:-1]) == ([], octets[:-1])
    packets, rest = split(octets + octets + octets[:3])
    assert [decode(one) for one in packets] == [packet, packet]
    assert rest == octets[:3]


@given(st.binary(max_size=60))
def test_anythingElseIsMalformed(octets: bytes) -> None:
    """
    Octets from anywhere are decoded, or are C{Malformed} and nothing else.
    """
    for one in (octets, b"\x01" + octets, b"\x07\x01a" + octets):
        try:
            decode(one)
        except Malformed:
            pass


@pytest.mark.parametrize(
    "message",
    [
        "0301610005",  # A value without its octets.
        "0103616263",  # A section that doesn't end.
        "02",  # The end of a section that didn't begin.
        "04016103016100",  # A value in a list.
        "040161050001",  # An item without its octets.
        "07",
        "010161" * 17 + "02" * 17,  # Too deep.
    ],
)
def test_messagesThatArentWhole(message: str) -> None:
    with pytest.raises(Malformed):
        decode(b"\x01" + bytes.fromhex(message))


def test_lengths() -> None:
    """
    What doesn't fit isn't encoded, and a longer packet isn't waited for.
    """
    for message in ({"": b""}, {"n" * 256: b""}, {"n": bytes(0x10000)}):
        with pytest.raises(ValueError):
            encodeMessage(message)
    with pytest.raises(ValueError):
        Packet(Kind.REQUEST, "x", {str(n): bytes(0xFFFF) for n in range(9)}).encode()
    with pytest.raises(Malformed):
        split((LONGEST + 1).to_bytes(4, "big"))
