"""
Tests for L2TP with anything in any order: what holds whatever a peer sends.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pptpgw.tunnels.l2tp.sender import LATE, DataSender
from tests.fuzz.l2tp import TARGETS


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(TARGETS)), st.binary(max_size=200))
def test_anything(name: str, octets: bytes) -> None:
    """
    Nothing raises, no table exceeds its limit, nobody who hasn't shown that it reads our answers
    gets more than it sends, and everything ends.
    """
    TARGETS[name](octets)


@given(st.integers(0, 0xFFFF), st.lists(st.none() | st.integers(0, 30), max_size=40))
def test_numberedFrames(first: int, numbers: list[int | None]) -> None:
    """
    Frames with numbers are passed on in the order of these, each once, across the end of the
    numbers, too; those that are late are counted. Frames without a number are passed on as they
    come.
    """
    passed: list[int | None] = []
    discards: list[str] = []
    writer: Any = SimpleNamespace(write=None, writeAll=None)
    sender = DataSender(
        (1, 2), writer, lambda: None, discards.append, lambda send, receive: None, False
    )
    sender.receive = lambda frame: passed.append(int(frame) if frame else None)
    for number in numbers:
        if number is None:
            sender.received(b"")
        else:
            sender.received(b"%d" % number, (first + number) & 0xFFFF)
    ordered = [one for one in passed if one is not None]
    assert ordered == sorted(set(ordered))
    assert passed.count(None) == numbers.count(None)
    assert discards == [LATE] * (len(numbers) - len(passed))
