"""
Tests for PAP's packets.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.error import Malformed
from pptpgw.ppp.wire import pap

identifiers = st.integers(0, 255)
fields = st.binary(max_size=255)
packets = (
    st.builds(pap.AuthenticateRequest, identifiers, fields, fields)
    | st.builds(pap.AuthenticateAck, identifiers, fields)
    | st.builds(pap.AuthenticateNak, identifiers, fields)
)


@given(packets, st.binary(max_size=8))
def test_roundTrip(packet: pap.Packet, padding: bytes) -> None:
    """
    An encoded packet is decoded to an equal one, with or without padding.
    """
    assert pap.decode(packet.encode() + padding) == packet


@given(st.binary(max_size=64))
def test_arbitraryOctets(octets: bytes) -> None:
    """
    Octets are decoded to a packet or raise L{Malformed}, and nothing else.
    """
    try:
        packet = pap.decode(octets)
    except Malformed:
        return
    assert pap.decode(packet.encode()) == packet


def test_octets() -> None:
    """
    The octets of each packet are those of RFC 1334 section 2.2.
    """
    request = pap.AuthenticateRequest(9, b"joe", b"pw")
    assert request.encode() == b"\x01\x09\x00\x0b\x03joe\x02pw"
    assert pap.AuthenticateNak(9, b"no").encode() == b"\x03\x09\x00\x07\x02no"


def test_replyWithoutMessage() -> None:
    """
    A reply that is only a header is decoded.
    """
    assert pap.decode(b"\x02\x01\x00\x04") == pap.AuthenticateAck(1)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x01\x01\x00\x04",
        b"\x01\x01\x00\x06\x01a",
        b"\x01\x01\x00\x07\x01a\x01",
        b"\x02\x01\x00\x05\x01",
        b"\x04\x01\x00\x05\x00",
        b"\x02\x01\x00\x09\x00",
    ],
)
def test_malformed(octets: bytes) -> None:
    """
    Missing and overlong fields, unknown codes and wrong lengths are malformed.
    """
    with pytest.raises(Malformed):
        pap.decode(octets)


def test_whatCannotBeSentCannotBeBuilt() -> None:
    """
    A packet with values out of range can't be made.
    """
    with pytest.raises(ValueError):
        pap.AuthenticateRequest(1, bytes(256), b"")
    with pytest.raises(ValueError):
        pap.AuthenticateRequest(1, b"", bytes(256))
    with pytest.raises(ValueError):
        pap.AuthenticateAck(1, bytes(256))
    with pytest.raises(ValueError):
        pap.AuthenticateNak(256)


def test_passwordStaysOutOfRepresentations() -> None:
    """
    The representation of a packet doesn't show the password.
    """
    assert "hidden" not in repr(pap.AuthenticateRequest(1, b"user", b"hidden"))
