"""
Tests for L{pptpgw.tunnels.pptp.wire.framing}.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.error import Malformed
from pptpgw.tunnels.pptp.wire.framing import Framing
from pptpgw.tunnels.pptp.wire.message import LONGEST, MESSAGES, EchoRequest, encode

OCTETS = [encode(kind()) for kind in MESSAGES]


def _all(framing: Framing) -> list[bytes]:
    found = []
    while (message := framing.next()) is not None:
        found.append(message)
    return found


def test_joined() -> None:
    """
    Messages in one segment are returned one by one, without waiting for another octet.
    """
    framing = Framing()
    framing.feed(b"".join(OCTETS))
    assert _all(framing) == OCTETS


def test_byteByByte() -> None:
    """
    A message is returned when its last octet has arrived, and not before.
    """
    framing = Framing()
    for octets in OCTETS:
        for octet in octets[:-1]:
            framing.feed(bytes([octet]))
            assert framing.next() is None
        framing.feed(octets[-1:])
        assert _all(framing) == [octets]


@given(st.lists(st.sampled_from(OCTETS), max_size=6), st.lists(st.integers(1, 300)))
def test_cutAnyhow(messages: list[bytes], cuts: list[int]) -> None:
    """
    The same messages are returned however the stream is cut.
    """
    stream = b"".join(messages)
    framing = Framing()
    found = []
    for cut in [*cuts, len(stream)]:
        framing.feed(stream[:cut])
        stream = stream[cut:]
        found += _all(framing)
    assert found == messages


@pytest.mark.parametrize("length", [0, 1, 11, LONGEST + 1, 0xFFFF])
def test_badLength(length: int) -> None:
    """
    A length that no message has is refused after its two octets.
    """
    framing = Framing()
    framing.feed(length.to_bytes(2, "big"))
    with pytest.raises(Malformed, match=f"of {length} octets"):
        framing.next()


def test_badCookie() -> None:
    """
    A wrong magic cookie is refused at its first wrong octet.
    """
    framing = Framing()
    framing.feed(b"\0\x10\0\1\x1a\x2b")
    assert framing.next() is None
    framing.feed(b"\x3d")
    with pytest.raises(Malformed, match="magic cookie"):
        framing.next()


def test_goodBeforeBad() -> None:
    """
    The messages before a fault are returned first.
    """
    framing = Framing()
    framing.feed(encode(EchoRequest(1)) + b"GET / HTTP/1.1\r\n")
    assert framing.next() == encode(EchoRequest(1))
    with pytest.raises(Malformed):
        framing.next()


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_arbitraryOctets(segments: list[bytes]) -> None:
    """
    No octets raise anything but L{Malformed}, and less than a message is kept.
    """
    framing = Framing()
    for segment in segments:
        framing.feed(segment)
        try:
            _all(framing)
        except Malformed:
            return
    framing.feed(b"")
    assert len(framing._buffer) < LONGEST
