"""
The computations of MS-CHAP (RFC 2433 appendix A, RFC 2759 section 8).

All functions are pure. The RFCs pass the password to every routine; these functions take its NT
hash instead, so that accounts may be stored as NT hashes or as passwords.

L{selfTest} returns what this installation lacks.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from hashlib import md5, sha1

from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4
from cryptography.hazmat.primitives.ciphers import Cipher

from pptpgw.ppp.des import des
from pptpgw.ppp.md4 import md4
from pptpgw.sessions.username import accountName

PASSWORD_OCTETS = 512
"""
The most octets of a new password in UTF-16 (RFC 2759 section 8.9).
"""

# RFC 2759 section 8.7.
_MAGIC1 = b"Magic server to client signing constant"
_MAGIC2 = b"Pad to make it do more than one iteration"

# The text that the LAN Manager hash encrypts (RFC 2433 section A.3).
_LM_TEXT = b"KGS!@#$%"


def unicodePassword(password: bytes) -> bytes:
    """
    Return a password in UTF-16 little-endian, from which the NT hash is made.

    @param password: the password in UTF-8; octets that aren't UTF-8 are read as ISO 8859-1.
    """
    return _text(password).encode("utf-16-le")


def ntPasswordHash(password: bytes) -> bytes:
    """
    Return the NT hash of a password: 16 octets (RFC 2759 section 8.3).
    """
    return md4(unicodePassword(password))


def hashNtPasswordHash(passwordHash: bytes) -> bytes:
    """
    Return the hash of an NT hash: 16 octets (RFC 2759 section 8.4).
    """
    return md4(passwordHash)


def lmPasswordHash(password: bytes) -> bytes:
    """
    Return the LAN Manager hash of a password: 16 octets (RFC 2433 section A.2).

    It is made from the first 14 octets of the password in capitals, in the OEM character set. Each
    country has its own; this function uses code page 437.
    """
    octets = _text(password).upper().encode("cp437", "replace")[:14].ljust(14, b"\0")
    return des(_LM_TEXT, octets[:7]) + des(_LM_TEXT, octets[7:])


def challengeResponse(challenge: bytes, passwordHash: bytes) -> bytes:
    """
    Return the 24 octets that answer a challenge of 8 octets (RFC 2759 section 8.5).

    With the NT hash this is NtChallengeResponse of RFC 2433, with the LAN Manager hash
    LmChallengeResponse.
    """
    return (
        des(challenge, passwordHash[:7])
        + des(challenge, passwordHash[7:14])
        + des(challenge, passwordHash[14:] + bytes(5))
    )


def challengeHash(peerChallenge: bytes, authenticatorChallenge: bytes, userName: bytes) -> bytes:
    """
    Return the hash of both challenges and the user's name: 8 octets (RFC 2759 section 8.2).

    @param userName: the name as the peer sent it; a domain before it is ignored.
    """
    digest = sha1(peerChallenge, usedforsecurity=False)
    digest.update(authenticatorChallenge)
    digest.update(accountName(userName))
    return digest.digest()[:8]


def generateAuthenticatorResponse(
    passwordHashHash: bytes, ntResponse: bytes, challenge: bytes
) -> bytes:
    """
    Return the text by which the authenticator authenticates itself: C{S=} and 40 hexadecimal digits
    (RFC 2759 section 8.7).

    @param challenge: the result of L{challengeHash}.
    """
    digest = sha1(passwordHashHash + ntResponse + _MAGIC1, usedforsecurity=False).digest()
    digest = sha1(digest + challenge + _MAGIC2, usedforsecurity=False).digest()
    return b"S=" + digest.hex().upper().encode("ascii")


def checkAuthenticatorResponse(
    passwordHashHash: bytes, ntResponse: bytes, challenge: bytes, received: bytes
) -> bool:
    """
    Return whether C{received}, the message of a Success, begins with the right authenticator
    response (RFC 2759 section 8.8).
    """
    expected = generateAuthenticatorResponse(passwordHashHash, ntResponse, challenge)
    return hmac.compare_digest(expected, received[: len(expected)])


def decryptPassword(encrypted: bytes, oldHash: bytes) -> bytes | None:
    """
    Decrypt NewPasswordEncryptedWithOldNtPasswordHash (RFC 2759 sections 8.9 to 8.11).

    @param encrypted: 516 octets.
    @return: the new password in UTF-16 little-endian; None if it was encrypted with another hash,
        so that the result isn't a valid block.
    """
    clear = Cipher(ARC4(oldHash), mode=None).decryptor().update(encrypted)
    block, size = clear[:-4], int.from_bytes(clear[-4:], "little")
    # The password is at the end of its block, after random octets.
    return block[len(block) - size :] if size <= len(block) else None


def encryptPassword(password: bytes, oldHash: bytes) -> bytes:
    """
    Return NewPasswordEncryptedWithOldNtPasswordHash: 516 octets (RFC 2759 sections 8.9 and 8.10).

    @param password: the new password, in UTF-16 little-endian.
    @raise ValueError: the password is longer than L{PASSWORD_OCTETS}.
    """
    if len(password) > PASSWORD_OCTETS:
        raise ValueError(f"a password of more than {PASSWORD_OCTETS // 2} characters")
    block = secrets.token_bytes(PASSWORD_OCTETS - len(password)) + password
    clear = block + len(password).to_bytes(4, "little")
    return Cipher(ARC4(oldHash), mode=None).encryptor().update(clear)


def encryptPasswordHash(passwordHash: bytes, key: bytes) -> bytes:
    """
    Encrypt an NT hash with another one: 16 octets. The old hash encrypted with the new one is
    OldNtPasswordHashEncryptedWithNewNtPasswordHash (RFC 2759 sections 8.12 and 8.13).
    """
    return des(passwordHash[:8], key[:7]) + des(passwordHash[8:], key[7:14])


def chapMD5(identifier: int, secret: bytes, challenge: bytes) -> bytes:
    """
    Return the value of a Response of CHAP with MD5: 16 octets (RFC 1994 section 4.1).
    """
    return md5(bytes((identifier,)) + secret + challenge, usedforsecurity=False).digest()


def selfTest() -> tuple[str, ...]:
    """
    Try every primitive that authentication and encryption need with a known answer.

    @return: the names of the primitives that this installation lacks or has wrong; empty if all
        work.
    """
    return tuple(name for name, works in _PRIMITIVES.items() if not _succeeds(works))


def _rc4() -> bool:
    cypher = Cipher(ARC4(bytes((1, 2, 3, 4, 5))), mode=None).encryptor()
    return cypher.update(bytes(16)).hex() == "b2396305f03dc027ccc3524a0a1118a8"


_PRIMITIVES: dict[str, Callable[[], bool]] = {
    # RFC 1320 section A.5, FIPS 81's example, FIPS 180-1 appendix A, RFC 1321 section A.5,
    # RFC 6229 section 2.
    "MD4": lambda: md4(b"abc").hex() == "a448017aaf21d8525fc10ae87aa6729d",
    "DES": lambda: des(b"Now is t", bytes.fromhex("00451338957377")).hex() == "3fa40e8a984d4815",
    "SHA-1": lambda: (
        sha1(b"abc", usedforsecurity=False).hexdigest()
        == "a9993e364706816aba3e25717850c26c9cd0d89d"
    ),
    "MD5": lambda: (
        md5(b"abc", usedforsecurity=False).hexdigest() == "900150983cd24fb0d6963f7d28e17f72"
    ),
    "RC4": _rc4,
    # The codec is loaded at its first use, which must be before privileges are given up.
    "UTF-16": lambda: "a".encode("utf-16-le") == b"a\0",
}


def _succeeds(works: Callable[[], bool]) -> bool:
    # A restricted library may raise any exception; the primitive doesn't work then.
    try:
        return works()
    except Exception:
        return False


def _text(password: bytes) -> str:
    try:
        return password.decode("utf-8")
    except UnicodeDecodeError:
        return password.decode("iso-8859-1")
