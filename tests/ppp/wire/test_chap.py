"""
Tests for CHAP's packets and the values that MS-CHAP puts into them.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.error import Malformed
from pptpgw.ppp.wire import chap

identifiers = st.integers(0, 255)
values = st.binary(min_size=1, max_size=255)
texts = st.binary(max_size=300)
packets = (
    st.builds(chap.Challenge, identifiers, values, texts)
    | st.builds(chap.CHAPResponse, identifiers, values, texts)
    | st.builds(chap.CHAPSuccess, identifiers, texts)
    | st.builds(chap.CHAPFailure, identifiers, texts)
    | st.builds(
        chap.ChangePassword,
        identifiers,
        *(st.binary(min_size=size, max_size=size) for size in (516, 16, 16, 24)),
    )
)


@given(packets, st.binary(max_size=8))
def test_roundTrip(packet: chap.Packet, padding: bytes) -> None:
    """
    An encoded packet is decoded to an equal one, with or without padding.
    """
    assert chap.decode(packet.encode() + padding) == packet


@given(st.binary(max_size=64))
def test_arbitraryOctets(octets: bytes) -> None:
    """
    Octets are decoded to a packet or raise L{Malformed}, and nothing else.
    """
    try:
        packet = chap.decode(octets)
    except Malformed:
        return
    assert octets.startswith(packet.encode())


def test_octets() -> None:
    """
    The octets of each packet are those of RFC 1994 section 4.
    """
    assert chap.Challenge(7, b"abc", b"gw").encode() == b"\x01\x07\x00\x0a\x03abcgw"
    assert chap.CHAPSuccess(255, b"ok").encode() == b"\x03\xff\x00\x06ok"


def test_changePassword() -> None:
    """
    A Change-Password packet has 586 octets, as in RFC 2759 section 7. Its flags and reserved octets
    are ignored.
    """
    fields = b"p" * 516, b"h" * 16, b"c" * 16, b"r" * 24
    packet = chap.ChangePassword(9, *fields)
    octets = b"\x07\x09\x02\x4a" + b"".join(fields[:3]) + bytes(8) + fields[3] + bytes(2)
    assert len(octets) == 586
    assert packet.encode() == octets
    noisy = octets[:552] + b"\xff" * 8 + octets[560:584] + b"\xff\xff"
    assert chap.decode(noisy) == packet
    assert "pppp" not in repr(packet)


@pytest.mark.parametrize("size", [0, 1, 24, 516, 581, 583, 1020, 65531])
def test_changePasswordOfAnotherSize(size: int) -> None:
    """
    A Change-Password packet of any other size is malformed, and so is one that is shorter than its
    length.
    """
    with pytest.raises(Malformed):
        chap.decode(b"\x07\x01" + (4 + size).to_bytes(2, "big") + bytes(size))
    with pytest.raises(Malformed):
        chap.decode(b"\x07\x01\x02\x4a" + bytes(581))


@pytest.mark.parametrize("sizes", [(515, 16, 16, 24), (516, 17, 16, 24), (516, 16, 16, 0)])
def test_noChangePassword(sizes: tuple[int, ...]) -> None:
    """
    A Change-Password packet with fields of wrong sizes can't be made.
    """
    with pytest.raises(ValueError, match="octets are allowed"):
        chap.ChangePassword(1, *map(bytes, sizes))


def test_valueToTheEnd() -> None:
    """
    A Response with an empty name is decoded.
    """
    assert chap.decode(b"\x02\x01\x00\x07\x02ab") == chap.CHAPResponse(1, b"ab", b"")


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x01\x01\x00",
        b"\x03\x01\x00\x03",
        b"\x03\x01\x00\x05",
        b"\x01\x01\x00\x04",
        b"\x01\x01\x00\x05\x00",
        b"\x01\x01\x00\x06\x02a",
        b"\x00\x01\x00\x04",
        b"\x05\x01\x00\x06\x01a",
    ],
)
def test_malformed(octets: bytes) -> None:
    """
    Short packets, wrong lengths, values that are empty or too long, and unknown codes are
    malformed.
    """
    with pytest.raises(Malformed):
        chap.decode(octets)


def test_whatCannotBeSentCannotBeBuilt() -> None:
    """
    A packet with values out of range can't be made.
    """
    for identifier in (-1, 256):
        with pytest.raises(ValueError):
            chap.CHAPSuccess(identifier)
    for value in (b"", bytes(256)):
        with pytest.raises(ValueError):
            chap.CHAPResponse(1, value, b"user")
    with pytest.raises(ValueError):
        chap.Challenge(1, b"value", bytes(0xFFFF))
    with pytest.raises(ValueError):
        chap.CHAPFailure(1, bytes(0xFFFF))
    with pytest.raises(ValueError):
        chap.MSCHAPResponse(bytes(23), bytes(24), True)
    with pytest.raises(ValueError):
        chap.MSCHAPV2Response(bytes(16), bytes(25))


def test_secretsStayOutOfRepresentations() -> None:
    """
    The representation of a packet shows nothing from which a password could be guessed.
    """
    assert "hidden" not in repr(chap.CHAPResponse(1, b"hidden", b"user"))
    assert "user" in repr(chap.CHAPResponse(1, b"hidden", b"user"))


@given(st.binary(min_size=24, max_size=24), st.binary(min_size=24, max_size=24), st.booleans())
def test_mschapResponse(lmResponse: bytes, ntResponse: bytes, useNT: bool) -> None:
    """
    An MS-CHAPv1 value is decoded to what was encoded.
    """
    response = chap.MSCHAPResponse(lmResponse, ntResponse, useNT)
    assert response.encode() == lmResponse + ntResponse + bytes((useNT,))
    assert chap.MSCHAPResponse.decode(response.encode()) == response


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=24, max_size=24))
def test_mschapV2Response(peerChallenge: bytes, ntResponse: bytes) -> None:
    """
    An MS-CHAPv2 value is decoded to what was encoded, and its reserved octets are zero.
    """
    response = chap.MSCHAPV2Response(peerChallenge, ntResponse)
    assert response.encode() == peerChallenge + bytes(8) + ntResponse + bytes(1)
    assert chap.MSCHAPV2Response.decode(response.encode()) == response


@given(st.binary(max_size=60).filter(lambda value: len(value) != 49))
def test_mschapSizes(value: bytes) -> None:
    """
    An MS-CHAP value of any size but 49 octets is malformed.
    """
    for kind in (chap.MSCHAPResponse, chap.MSCHAPV2Response):
        with pytest.raises(Malformed):
            kind.decode(value)


@given(
    st.builds(
        chap.FailureMessage,
        error=st.integers(0, 9_999_999_999),
        retry=st.booleans(),
        challenge=st.binary(max_size=16),
        version=st.integers(0, 9_999_999_999),
        text=st.binary(max_size=40),
    )
)
def test_failureMessage(message: chap.FailureMessage) -> None:
    """
    The message of a Failure is decoded to what was encoded, whatever its text is.
    """
    assert chap.FailureMessage.decode(message.encode()) == message


def test_failureMessageAsPrinted() -> None:
    """
    The message of a Failure has the form that RFC 2759 section 6 shows.
    """
    message = chap.FailureMessage(691, True, bytes(range(16)), 3, b"No way")
    assert message.encode() == b"E=691 R=1 C=000102030405060708090A0B0C0D0E0F V=3 M=No way"


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        (b"E=691 R=0", chap.FailureMessage(691, False, version=1)),
        (b"E=647", chap.FailureMessage(647, False, version=1)),
        (b"E=691 R=1 X=9 noise V=2", chap.FailureMessage(691, True, version=2)),
    ],
)
def test_failureMessageLeniently(octets: bytes, message: chap.FailureMessage) -> None:
    """
    The message of a Failure may lack fields, and unknown fields in it are ignored.
    """
    assert chap.FailureMessage.decode(octets) == message


@pytest.mark.parametrize("octets", [b"", b"R=1", b"E=", b"E=x", b"E=691 C=zz", b"E=12345678901"])
def test_failureMessageMalformed(octets: bytes) -> None:
    """
    The message of a Failure without a readable error code is malformed.
    """
    with pytest.raises(Malformed):
        chap.FailureMessage.decode(octets)


@given(st.binary(max_size=60) | st.binary(max_size=40).map(lambda octets: b"E=691 " + octets))
def test_failureMessageArbitrary(octets: bytes) -> None:
    """
    Any octets are decoded to the message of a Failure or raise L{Malformed}.
    """
    try:
        message = chap.FailureMessage.decode(octets)
    except Malformed:
        return
    assert chap.FailureMessage.decode(message.encode()) == message
