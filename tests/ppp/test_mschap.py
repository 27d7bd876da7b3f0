"""
Tests for the arithmetic of MS-CHAP, with the examples of RFC 2433 and RFC 2759.
"""

from __future__ import annotations

from binascii import unhexlify
from hashlib import md5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.ppp import mschap
from pptpgw.ppp.wire import chap
from pptpgw.sessions.username import accountName
from tests.change import changePassword, ntHash
from tests.octets import generateNTResponse

# RFC 2759 section 9.2.
USER = b"User"
PASSWORD = b"clientPass"
AUTHENTICATOR_CHALLENGE = unhexlify("5B5D7C7D7B3F2F3E3C2C602132262628")
PEER_CHALLENGE = unhexlify("21402324255E262A28295F2B3A337C7E")
CHALLENGE = unhexlify("D02E4386BCE91226")
PASSWORD_HASH = unhexlify("44EBBA8D5312B8D611474411F56989AE")
NT_RESPONSE = unhexlify("82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF")
PASSWORD_HASH_HASH = unhexlify("41C00C584BD2D91C4017A2A12FA59F3F")
AUTHENTICATOR_RESPONSE = b"S=407A5589115FD0D6209F510FE9C04566932CDA56"

# RFC 2433 appendix B.2. The LAN Manager values are for the same password and challenge.
V1_CHALLENGE = unhexlify("102DB5DF085D3041")
V1_HASH = unhexlify("FC156AF7EDCD6C0EDDE3337D427F4EAC")
V1_RESPONSE = unhexlify("4E9D3C8F9CFD385D5BF4D3246791956CA4C351AB409A3D61")
LM_HASH = unhexlify("75BA30198E6D1975AAD3B435B51404EE")
LM_RESPONSE = unhexlify("91881D0152AB0C33C524135EC24A95EE64E23CDC2D33347D")


def test_mschapV2Example() -> None:
    """
    Every intermediate value is that of RFC 2759 section 9.2.
    """
    assert mschap.challengeHash(PEER_CHALLENGE, AUTHENTICATOR_CHALLENGE, USER) == CHALLENGE
    assert mschap.ntPasswordHash(PASSWORD) == PASSWORD_HASH
    assert mschap.hashNtPasswordHash(PASSWORD_HASH) == PASSWORD_HASH_HASH
    assert (
        generateNTResponse(AUTHENTICATOR_CHALLENGE, PEER_CHALLENGE, USER, PASSWORD_HASH)
        == NT_RESPONSE
    )
    assert (
        mschap.generateAuthenticatorResponse(PASSWORD_HASH_HASH, NT_RESPONSE, CHALLENGE)
        == AUTHENTICATOR_RESPONSE
    )


@pytest.mark.parametrize(
    ("received", "right"),
    [
        (AUTHENTICATOR_RESPONSE, True),
        (AUTHENTICATOR_RESPONSE + b" M=Welcome", True),
        (AUTHENTICATOR_RESPONSE[:-1], False),
        (AUTHENTICATOR_RESPONSE[:-1] + b"7", False),
        (AUTHENTICATOR_RESPONSE.lower(), False),
        (b"", False),
        (b"M=Welcome", False),
    ],
)
def test_checkAuthenticatorResponse(received: bytes, right: bool) -> None:
    """
    C{checkAuthenticatorResponse} accepts only a message that begins with the authenticator
    response, in capital digits.
    """
    assert (
        mschap.checkAuthenticatorResponse(PASSWORD_HASH_HASH, NT_RESPONSE, CHALLENGE, received)
        is right
    )


def test_domainIsNotHashed() -> None:
    """
    A Windows domain before the name doesn't change the hash.
    """
    assert (
        mschap.challengeHash(PEER_CHALLENGE, AUTHENTICATOR_CHALLENGE, b"BIGCO\\User") == CHALLENGE
    )
    assert accountName(b"BIGCO\\User") == b"User"
    assert accountName(b"User") == b"User"


def test_mschapExample() -> None:
    """
    The values are those of RFC 2433 appendix B.2, and the LAN Manager values are right for the same
    password.
    """
    assert mschap.unicodePassword(b"MyPw") == unhexlify("4D00790050007700")
    assert mschap.ntPasswordHash(b"MyPw") == V1_HASH
    assert mschap.challengeResponse(V1_CHALLENGE, V1_HASH) == V1_RESPONSE
    assert mschap.lmPasswordHash(b"MyPw") == LM_HASH
    assert mschap.challengeResponse(V1_CHALLENGE, LM_HASH) == LM_RESPONSE


def test_lmPasswordHash() -> None:
    """
    The LAN Manager hash ignores the case of letters and everything after the fourteenth octet.
    """
    assert mschap.lmPasswordHash(PASSWORD) == unhexlify("76A152936096D7830E2390227404AFD2")
    assert mschap.lmPasswordHash(b"CLIENTPASS") == mschap.lmPasswordHash(PASSWORD)
    assert mschap.lmPasswordHash(b"a" * 14) == mschap.lmPasswordHash(b"a" * 30)
    # The hash of an empty password is a well-known constant.
    assert mschap.lmPasswordHash(b"") == unhexlify("AAD3B435B51404EE" * 2)


@pytest.mark.parametrize(
    ("password", "text"),
    [(b"Stra\xc3\x9fe", "Straße"), (b"Stra\xdfe", "Straße"), (b"\xf0\x9f\x94\x91", "🔑")],
)
def test_passwordCharacters(password: bytes, text: str) -> None:
    """
    A password is decoded as UTF-8, or as ISO 8859-1 if it isn't valid UTF-8.
    """
    assert mschap.unicodePassword(password) == text.encode("utf-16-le")


@given(
    st.text(max_size=200),
    st.text(max_size=256).filter(lambda text: len(text.encode("utf-16-le")) <= 512),
)
def test_changedPassword(old: str, new: str) -> None:
    """
    A changed password is decrypted from a packet that another implementation of RFC 2759 sections
    8.9 to 8.13 encrypted.
    """
    octets = new.encode("utf-16-le")
    packet = chap.decode(changePassword(1, bytes(16), b"bob", old, octets))
    assert isinstance(packet, chap.ChangePassword)
    assert mschap.decryptPassword(packet.encryptedPassword, ntHash(old)) == octets
    assert mschap.encryptPasswordHash(ntHash(old), ntHash(new)) == packet.encryptedHash


@given(st.binary(min_size=516, max_size=516), st.binary(min_size=16, max_size=16))
def test_arbitraryBlocks(encrypted: bytes, oldHash: bytes) -> None:
    """
    Decryption of arbitrary octets with an arbitrary hash never raises. Its result is a password
    only by chance.
    """
    password = mschap.decryptPassword(encrypted, oldHash)
    assert password is None or len(password) <= 512


@pytest.mark.parametrize(
    ("size", "expected"), [(0, 0), (512, 512), (513, None), (0x80000000, None), (0xFFFFFFFF, None)]
)
def test_sizesOfPasswords(size: int, expected: int | None) -> None:
    """
    The encrypted block has room for 512 octets of password, and a greater length in it is refused.
    """
    packet = chap.decode(changePassword(1, bytes(16), b"bob", "old", b"new", size=size))
    assert isinstance(packet, chap.ChangePassword)
    password = mschap.decryptPassword(packet.encryptedPassword, ntHash("old"))
    assert (None if password is None else len(password)) == expected


def test_chapMD5() -> None:
    """
    The response is RFC 1994's hash of identifier, secret and challenge.
    """
    assert mschap.chapMD5(1, b"MyPw", V1_CHALLENGE) == unhexlify("8F028814450D66D94C72331EF455A172")


def test_selfTest(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    C{selfTest} names every algorithm that is missing or gives a wrong result, and none on this
    machine.
    """
    assert mschap.selfTest() == ()

    def missing(*arguments: object, **keywords: object) -> object:
        raise ValueError("unsupported hash type")

    monkeypatch.setattr(mschap, "md4", missing)
    monkeypatch.setattr(mschap, "sha1", missing)
    monkeypatch.setattr(mschap, "md5", lambda octets, usedforsecurity: md5(b"wrong"))
    assert mschap.selfTest() == ("MD4", "SHA-1", "MD5")
