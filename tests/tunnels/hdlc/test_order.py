"""
Tests for lines and chat scripts with anything in any order: what holds whatever comes.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.python.failure import Failure

from tests.fuzz.hdlc import TARGETS
from tests.tunnels.hdlc.test_chat import DIAL, Modem

STEPS = st.binary(max_size=300)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_aLine(octets: bytes) -> None:
    """
    A call ends once, nothing is passed on after its end, and what waits is bounded.
    """
    TARGETS["line"](octets)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_aScript(octets: bytes) -> None:
    """
    A script ends once, and keeps no more than the longest word.
    """
    TARGETS["chat"](octets)


WORDS = st.sampled_from((b"OK", b"O", b"K", b"CONNECT", b"CON", b"BUSY", b"NO CARRIER", b"\r\n"))


@given(st.lists(WORDS, max_size=12), st.lists(st.integers(1, 5), min_size=1))
def test_howTheModemsWordsAreCut(words: list[bytes], sizes: list[int]) -> None:
    """
    A script does the same however what the modem says is cut.
    """
    stream = b"".join(words)
    whole, cut = Modem(DIAL), Modem(DIAL)
    said = whole.says(stream)
    pieces, at = list[bytes](), 0
    while at < len(stream):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(stream[at : at + size])
        at += size
    assert cut.says(*pieces) == said
    if isinstance(whole.result, Failure):
        assert cut.failed == whole.failed
    elif whole.result is None:
        assert cut.result is None
    else:
        # What comes after the last word is PPP's.
        assert whole.result.startswith(cut.result)
