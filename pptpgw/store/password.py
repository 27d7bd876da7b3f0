"""
The hashes of operators' passwords: scrypt (RFC 7914), salted, with its parameters.

Hashing takes a few tenths of a second and 32 MiB, so a running gateway does it in a thread.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from hashlib import scrypt
from secrets import token_bytes
from typing import NamedTuple

from pptpgw.store.error import StoreError

_SALT_OCTETS = 16
_HASH_OCTETS = 32
_MOST_MEMORY = 1 << 28


class Cost(NamedTuple):
    """
    The parameters of scrypt (RFC 7914 section 2).

    @ivar n: the cost of processor time and memory, a power of two.
    @ivar r: the size of a block.
    @ivar p: how often the work is done.
    """

    n: int
    r: int
    p: int


COST = Cost(1 << 15, 8, 3)
"""
The cost of new hashes. It takes C{128 * n * r} octets of memory.
"""


def hashPassword(password: bytes, cost: Cost = COST) -> str:
    """
    Return the hash of a password with a new salt, as the store keeps it.
    """
    salt = token_bytes(_SALT_OCTETS)
    fields = ("scrypt", *map(str, cost), _text(salt), _text(_derived(password, salt, cost)))
    return "$".join(fields)


def matchless(cost: Cost = COST) -> str:
    """
    Return a text like a hash that no password has, for comparisons that must take as long as others
    and fail.
    """
    fields = (
        "scrypt",
        *map(str, cost),
        *(_text(token_bytes(n)) for n in (_SALT_OCTETS, _HASH_OCTETS)),
    )
    return "$".join(fields)


def isPassword(password: bytes, stored: str) -> bool:
    """
    Return whether C{stored} is the hash of C{password}. The comparison takes constant time.

    @raise StoreError: C{stored} is no hash of a password.
    """
    try:
        kind, n, r, p, salt, digest = stored.split("$")
        cost = Cost(int(n), int(r), int(p))
        if kind != "scrypt":
            raise ValueError(kind)
        derived = _derived(password, b64decode(salt, validate=True), cost)
        return hmac.compare_digest(derived, b64decode(digest, validate=True))
    except ValueError as error:
        raise StoreError("the store has a hash of a password that this version can't read") from (
            error
        )


def _derived(password: bytes, salt: bytes, cost: Cost) -> bytes:
    return scrypt(
        password,
        salt=salt,
        n=cost.n,
        r=cost.r,
        p=cost.p,
        maxmem=_MOST_MEMORY,
        dklen=_HASH_OCTETS,
    )


def _text(octets: bytes) -> str:
    return b64encode(octets).decode()
