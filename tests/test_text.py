"""
Tests for how L{pptpgw.log} makes peers' texts fit for a log.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pptpgw.log import LONGEST, escape, readable


def test_readable() -> None:
    """
    Unprintable characters become question marks, and long texts are cut.
    """
    assert readable(b"a\x1b[31m\xff b") == "a?[31m? b"
    assert readable("Zürich ".encode()) == "Zürich"
    assert readable(b"x" * 1000) == "x" * LONGEST


@given(st.binary(max_size=200))
def test_anyOctets(octets: bytes) -> None:
    """
    Any octets become one line.
    """
    text = readable(octets)
    assert (text == "" or text.isprintable()) and len(text) <= LONGEST


def test_escape() -> None:
    """
    Printable characters aren't escaped.
    """
    assert escape("CORP\\carol äß") == "CORP\\carol äß"
    assert escape("a\0b\nc\x85\u2028\ud800\u202e") == "a\\x00b\\nc\\x85\\u2028\\ud800\\u202e"


@given(st.text(st.characters(codec=None)))
def test_anyTextIsEscaped(text: str) -> None:
    """
    Any text becomes one line that every encoding of Unicode has.
    """
    found = escape(text)
    assert found == "" or found.isprintable()
    found.encode()
