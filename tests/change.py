"""
Makes a peer's Change-Password packet by RFC 2759 sections 7 and 8, with another library than the
gateway's own.
"""

from __future__ import annotations

import os
from hashlib import sha1

from Crypto.Cipher import ARC4, DES
from Crypto.Hash import MD4


def changePassword(
    identifier: int,
    challenge: bytes,
    name: bytes,
    old: str,
    new: bytes,
    oldTold: str | None = None,
    size: int | None = None,
) -> bytes:
    """
    Return the packet by which the user C{name} changes its password.

    @param new: the new password, in UTF-16 little-endian, 512 octets at most.
    @param oldTold: the old password that the packet proves, if it lies about the one that encrypts
        the new password.
    @param size: the length that the packet states, if it lies about that of the new password.
    """
    oldHash, newHash = ntHash(old), MD4.new(new).digest()
    block = os.urandom(512 - len(new)) + new
    length = len(new) if size is None else size
    encrypted = ARC4.new(oldHash).encrypt(block + length.to_bytes(4, "little"))
    told = oldHash if oldTold is None else ntHash(oldTold)
    hidden = _des(told[:8], newHash[:7]) + _des(told[8:], newHash[7:14])
    peerChallenge = os.urandom(16)
    digest = sha1(peerChallenge + challenge + name).digest()[:8]
    padded = newHash.ljust(21, b"\0")
    response = b"".join(_des(digest, padded[at : at + 7]) for at in (0, 7, 14))
    body = encrypted + hidden + peerChallenge + bytes(8) + response + bytes(2)
    return bytes((7, identifier)) + (4 + len(body)).to_bytes(2, "big") + body


def ntHash(password: str) -> bytes:
    """
    Return the NT hash of a password.
    """
    return MD4.new(password.encode("utf-16-le")).digest()


def _des(clear: bytes, key: bytes) -> bytes:
    bits = int.from_bytes(key, "big")
    # DES uses seven bits of each octet.
    eight = bytes((bits >> 49 - 7 * index & 0x7F) << 1 for index in range(8))
    return DES.new(eight, DES.MODE_ECB).encrypt(clear)
