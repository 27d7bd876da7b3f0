"""
The arithmetic of MS-CHAP (RFC 2433 appendix A, RFC 2759 section 8).

Pure functions.  Where the RFCs hand the password down to every routine, these take its NT hash, so
that an account that is kept as an NT hash serves as well as one that is kept as a password.

MD4 comes from pycryptodome: OpenSSL 3, and with it hashlib, no longer offers it everywhere.  DES is
TripleDES under three times the same key: single DES isn't offered any more either.  L{selfTest}
says what this installation lacks.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from hashlib import md5, sha1

from Crypto.Hash import MD4
from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4, TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.modes import ECB

from pptpgw.sessions.naming import accountName

_ECB = ECB()

# RFC 2759 section 8.7.
_MAGIC1 = b"Magic server to client signing constant"
_MAGIC2 = b"Pad to make it do more than one iteration"

# RFC 2433 section A.3: what the LAN Manager hash encrypts.
_LM_TEXT = b"KGS!@#$%"

# Every seven bits with the parity bit behind them that makes their number of ones odd.
_ODD_PARITY = bytes(bits << 1 | (bits.bit_count() + 1) % 2 for bits in range(128))


def unicodePassword(password: bytes) -> bytes:
    """
    The UTF-16 little-endian form of a password, which the NT hash is made of.

    @param password: in UTF-8; octets that aren't UTF-8 are read as ISO 8859-1.
    """
    return _text(password).encode("utf-16-le")


def desKey(key: bytes) -> bytes:
    """
    Seven octets of key with odd parity inserted: eight octets (RFC 2759 section 9.3).
    """
    bits = int.from_bytes(key, "big")
    return bytes([_ODD_PARITY[bits >> shift & 0x7F] for shift in range(49, -1, -7)])


def desEncrypt(clear: bytes, key: bytes) -> bytes:
    """
    Eight octets encrypted under a key of seven (RFC 2759 section 8.6).
    """
    return Cipher(TripleDES(desKey(key) * 3), _ECB).encryptor().update(clear)


def md4(message: bytes) -> bytes:
    """
    The MD4 digest, 16 octets.
    """
    digest: bytes = MD4.new(message).digest()
    return digest


def ntPasswordHash(password: bytes) -> bytes:
    """
    The NT hash of a password: 16 octets (RFC 2759 section 8.3).
    """
    return md4(unicodePassword(password))


def hashNtPasswordHash(passwordHash: bytes) -> bytes:
    """
    The hash of the NT hash: 16 octets (RFC 2759 section 8.4).
    """
    return md4(passwordHash)


def lmPasswordHash(password: bytes) -> bytes:
    """
    The LAN Manager hash of a password: 16 octets (RFC 2433 section A.2).

    It is made of the first 14 octets of the password in capitals, in the OEM character set.  There
    was one of those for each country; this takes code page 437.
    """
    octets = _text(password).upper().encode("cp437", "replace")[:14].ljust(14, b"\0")
    return desEncrypt(_LM_TEXT, octets[:7]) + desEncrypt(_LM_TEXT, octets[7:])


def challengeResponse(challenge: bytes, passwordHash: bytes) -> bytes:
    """
    The 24 octets that answer a challenge of 8 (RFC 2759 section 8.5).

    With the NT hash it is NtChallengeResponse of RFC 2433, with the LAN Manager hash
    LmChallengeResponse.
    """
    return (
        desEncrypt(challenge, passwordHash[:7])
        + desEncrypt(challenge, passwordHash[7:14])
        + desEncrypt(challenge, passwordHash[14:] + bytes(5))
    )


def challengeHash(peerChallenge: bytes, authenticatorChallenge: bytes, userName: bytes) -> bytes:
    """
    The 8 octets that both challenges and the user's name come down to (RFC 2759 section 8.2).

    @param userName: as the peer presented it; a domain before it is left out.
    """
    digest = sha1(peerChallenge, usedforsecurity=False)
    digest.update(authenticatorChallenge)
    digest.update(accountName(userName))
    return digest.digest()[:8]


def generateNTResponse(
    authenticatorChallenge: bytes, peerChallenge: bytes, userName: bytes, passwordHash: bytes
) -> bytes:
    """
    The NT-Response of MS-CHAPv2: 24 octets (RFC 2759 section 8.1).
    """
    challenge = challengeHash(peerChallenge, authenticatorChallenge, userName)
    return challengeResponse(challenge, passwordHash)


def generateAuthenticatorResponse(
    passwordHashHash: bytes, ntResponse: bytes, challenge: bytes
) -> bytes:
    """
    What the authenticator proves itself with: C{S=} and 40 hexadecimal digits (RFC 2759
    section 8.7).

    @param challenge: what L{challengeHash} gave.
    """
    digest = sha1(passwordHashHash + ntResponse + _MAGIC1, usedforsecurity=False).digest()
    digest = sha1(digest + challenge + _MAGIC2, usedforsecurity=False).digest()
    return b"S=" + digest.hex().upper().encode("ascii")


def checkAuthenticatorResponse(
    passwordHashHash: bytes, ntResponse: bytes, challenge: bytes, received: bytes
) -> bool:
    """
    Whether C{received}, the message of a Success, begins with the right authenticator response
    (RFC 2759 section 8.8).
    """
    expected = generateAuthenticatorResponse(passwordHashHash, ntResponse, challenge)
    return hmac.compare_digest(expected, received[: len(expected)])


def decryptPassword(encrypted: bytes, oldHash: bytes) -> bytes | None:
    """
    The new password, in UTF-16 little-endian, that NewPasswordEncryptedWithOldNtPasswordHash holds
    (RFC 2759 sections 8.9 to 8.11); None: it was encrypted under another hash, and what comes out
    is no such block.

    @param encrypted: 516 octets.
    """
    clear = Cipher(ARC4(oldHash), mode=None).decryptor().update(encrypted)
    block, size = clear[:-4], int.from_bytes(clear[-4:], "little")
    # The password stands at the end of its block, behind octets that mean nothing.
    return block[len(block) - size :] if size <= len(block) else None


def encryptPasswordHash(passwordHash: bytes, key: bytes) -> bytes:
    """
    An NT hash encrypted under another one: 16 octets, of the old hash under the new one
    OldNtPasswordHashEncryptedWithNewNtPasswordHash (RFC 2759 sections 8.12 and 8.13).
    """
    return desEncrypt(passwordHash[:8], key[:7]) + desEncrypt(passwordHash[8:], key[7:14])


def chapMD5(identifier: int, secret: bytes, challenge: bytes) -> bytes:
    """
    The response value of CHAP with MD5: 16 octets (RFC 1994 section 4.1).
    """
    return md5(bytes((identifier,)) + secret + challenge, usedforsecurity=False).digest()


def selfTest() -> tuple[str, ...]:
    """
    Try every primitive that authentication and encryption stand on with a known answer.

    @return: the names of those that this installation lacks or has wrong; empty: all is well.
    """
    return tuple(name for name, works in _PRIMITIVES.items() if not _succeeds(works))


def _rc4() -> bool:
    cypher = Cipher(ARC4(bytes((1, 2, 3, 4, 5))), mode=None).encryptor()
    return cypher.update(bytes(16)).hex() == "b2396305f03dc027ccc3524a0a1118a8"


_PRIMITIVES: dict[str, Callable[[], bool]] = {
    # RFC 1320 section A.5, FIPS 81's example, FIPS 180-1 appendix A, RFC 1321 section A.5,
    # RFC 6229 section 2.
    "MD4": lambda: md4(b"abc").hex() == "a448017aaf21d8525fc10ae87aa6729d",
    "DES": lambda: (
        desEncrypt(b"Now is t", bytes.fromhex("00451338957377")).hex() == "3fa40e8a984d4815"
    ),
    "SHA-1": lambda: (
        sha1(b"abc", usedforsecurity=False).hexdigest()
        == "a9993e364706816aba3e25717850c26c9cd0d89d"
    ),
    "MD5": lambda: (
        md5(b"abc", usedforsecurity=False).hexdigest() == "900150983cd24fb0d6963f7d28e17f72"
    ),
    "RC4": _rc4,
    # Loaded at its first use, which must not be after privileges were given up.
    "UTF-16": lambda: "a".encode("utf-16-le") == b"a\0",
}


def _succeeds(works: Callable[[], bool]) -> bool:
    # What a crippled library raises is its own affair; it doesn't work.
    try:
        return works()
    except Exception:
        return False


def _text(password: bytes) -> str:
    try:
        return password.decode("utf-8")
    except UnicodeDecodeError:
        return password.decode("iso-8859-1")
