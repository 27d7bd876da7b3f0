"""
Tests for L{pptpgw.ppp.md4}, compiled and in Python.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from Crypto.Hash import MD4
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.ppp import md4

both = pytest.mark.parametrize("function", [md4.md4, md4.pythonMD4])
Digest = Callable[[bytes], bytes]


def test_whatIsCompiledIsUsed() -> None:
    compiled = pytest.importorskip("pptpgw.ppp._md4")
    assert md4.md4 is compiled.md4


@both
@pytest.mark.parametrize(
    ("message", "digest"),
    [
        (b"", "31d6cfe0d16ae931b73c59d7e0c089c0"),
        (b"a", "bde52cb31de33e46245e05fbdbd6fb24"),
        (b"abc", "a448017aaf21d8525fc10ae87aa6729d"),
        (b"message digest", "d9130a8164549fe818874806e1c7014b"),
        (b"abcdefghijklmnopqrstuvwxyz", "d79e1c308aa5bbcdeea8ed63df412da9"),
        (b"1234567890" * 8, "e33b4ddc9c38f2199c3e7b164fcc0536"),
    ],
)
def test_theExamplesOfTheRFC(function: Digest, message: bytes, digest: str) -> None:
    """
    RFC 1320 section A.5.
    """
    assert function(message).hex() == digest


@both
def test_everyLengthAroundABlock(function: Digest) -> None:
    """
    The padding is right whatever the length is.
    """
    for length in range(200):
        message = bytes(range(length))
        assert function(message) == MD4.new(message).digest(), length


@given(st.binary(max_size=600))
def test_anotherImplementationAgrees(message: bytes) -> None:
    assert md4.md4(message) == md4.pythonMD4(message) == MD4.new(message).digest()


@both
@pytest.mark.parametrize("message", ["abc", None, 3])
def test_onlyOctets(function: Digest, message: object) -> None:
    with pytest.raises(TypeError):
        function(message)  # type: ignore[arg-type]
