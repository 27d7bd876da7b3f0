"""
Tests for L{pptpgw.ppp.des}, compiled and in Python.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from Crypto.Cipher import DES
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.ppp import des

both = pytest.mark.parametrize("function", [des.des, des.pythonDES])
Encrypt = Callable[[bytes, bytes], bytes]


def test_whatIsCompiledIsUsed() -> None:
    compiled = pytest.importorskip("pptpgw.ppp._des")
    assert des.des is compiled.des


def test_keys() -> None:
    """
    The DES keys have odd parity, as in RFC 2759 section 9.3.
    """
    assert des.desKey(bytes.fromhex("FC156AF7EDCD6C")).hex() == "fd0b5b5e7f6e34d9"
    assert des.desKey(bytes.fromhex("0EDDE3337D427F")).hex() == "0e6e796737ea08fe"


@both
@pytest.mark.parametrize(
    ("key", "clear", "encrypted"),
    [
        # FIPS 81, appendix B, table B1: "Now is the time for all ".
        ("00451338957377", b"Now is t", "3fa40e8a984d4815"),
        ("00451338957377", b"he time ", "6a271787ab8883f9"),
        ("00451338957377", b"for all ", "893d51ec4b563b53"),
    ],
)
def test_theExamplesOfTheStandard(
    function: Encrypt, key: str, clear: bytes, encrypted: str
) -> None:
    assert function(clear, bytes.fromhex(key)).hex() == encrypted


@given(st.binary(min_size=8, max_size=8), st.binary(min_size=7, max_size=7))
def test_anotherImplementationAgrees(clear: bytes, key: bytes) -> None:
    expected = DES.new(des.desKey(key), DES.MODE_ECB).encrypt(clear)
    assert des.des(clear, key) == des.pythonDES(clear, key) == expected


@both
@pytest.mark.parametrize("place", range(64))
def test_everyBit(function: Encrypt, place: int) -> None:
    """
    Each bit of the block, and each of the key, is used: blocks and keys of one bit.
    """
    block, key = (1 << place).to_bytes(8, "big"), (1 << place % 56).to_bytes(7, "big")
    for clear, secret in ((block, bytes(7)), (bytes(8), key)):
        expected = DES.new(des.desKey(secret), DES.MODE_ECB).encrypt(clear)
        assert function(clear, secret) == expected


@both
@pytest.mark.parametrize(("clear", "key"), [(b"", bytes(7)), (bytes(9), bytes(7)), (bytes(8), b"")])
def test_sizes(function: Encrypt, clear: bytes, key: bytes) -> None:
    with pytest.raises(ValueError, match="a block of 8 octets and a key of 7"):
        function(clear, key)


@both
@pytest.mark.parametrize("clear", ["12345678", None, 3])
def test_onlyOctets(function: Encrypt, clear: object) -> None:
    with pytest.raises(TypeError):
        function(clear, bytes(7))  # type: ignore[arg-type]
