"""
MD4 (RFC 1320), which OpenSSL 3, and so hashlib, doesn't offer everywhere.

C{md4} is the compiled function if the extension module fits (L{pptpgw.ports.compiled}), and
otherwise L{pythonMD4}, which computes the same.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from pptpgw.ports.compiled import fits

_BLOCK = Struct("<16L")
_DIGEST = Struct("<4L")
_LENGTH = Struct("<Q")
_START = 0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476
_MASK = 0xFFFFFFFF

# The order of the words in each of the three rounds, the constant, and the shifts.
_ROUNDS = (
    (tuple(range(16)), 0, (3, 7, 11, 19)),
    ((0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), 0x5A827999, (3, 5, 9, 13)),
    ((0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15), 0x6ED9EBA1, (3, 9, 11, 15)),
)
_MIXES: tuple[Callable[[int, int, int], int], ...] = (
    lambda b, c, d: b & c | ~b & d,
    lambda b, c, d: b & c | b & d | c & d,
    lambda b, c, d: b ^ c ^ d,
)


def pythonMD4(message: bytes) -> bytes:
    """
    Return the MD4 digest of C{message}: 16 octets.
    """
    padding = b"\x80" + bytes(-(len(message) + 9) % 64)
    state = _START
    for words in _BLOCK.iter_unpack(message + padding + _LENGTH.pack(len(message) * 8)):
        a, b, c, d = state
        for (order, constant, shifts), mix in zip(_ROUNDS, _MIXES, strict=True):
            for index, word in enumerate(order):
                sum = a + mix(b, c, d) + words[word] + constant & _MASK
                shift = shifts[index % 4]
                a, b, c, d = d, (sum << shift | sum >> 32 - shift) & _MASK, b, c
        state = (
            state[0] + a & _MASK,
            state[1] + b & _MASK,
            state[2] + c & _MASK,
            state[3] + d & _MASK,
        )
    return _DIGEST.pack(*state)


md4: Callable[[bytes], bytes] = pythonMD4
"""
Returns the MD4 digest of a message, as L{pythonMD4} does.
"""

try:
    from pptpgw.ppp import _md4
except ImportError:
    pass
else:
    if fits(_md4):
        md4 = _md4.md4
