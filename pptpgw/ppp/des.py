"""
DES (FIPS 46-3) with keys of seven octets, as MS-CHAP uses it (RFC 2759 section 8.6).

C{des} is the compiled function if the extension module fits (L{pptpgw.ports.compiled}), and
otherwise L{pythonDES}, which computes the same by TripleDES with the same key three times, because
single DES isn't offered any more. That takes ten times as long, since a cipher is made for each
block.
"""

from __future__ import annotations

from collections.abc import Callable

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.modes import ECB

from pptpgw.ports.compiled import fits

BLOCK_OCTETS, KEY_OCTETS = 8, 7

_ECB = ECB()

# Each group of seven bits, with a parity bit after it that makes the number of ones odd.
_ODD_PARITY = bytes(bits << 1 | (bits.bit_count() + 1) % 2 for bits in range(128))


def desKey(key: bytes) -> bytes:
    """
    Return the DES key of eight octets for seven octets: an odd parity bit follows each seven bits
    (RFC 2759 section 9.3).
    """
    bits = int.from_bytes(key, "big")
    return bytes([_ODD_PARITY[bits >> shift & 0x7F] for shift in range(49, -1, -7)])


def pythonDES(clear: bytes, key: bytes) -> bytes:
    """
    Encrypt eight octets by DES, with a key of seven octets.

    @raise ValueError: there are more or fewer octets.
    """
    if len(clear) != BLOCK_OCTETS or len(key) != KEY_OCTETS:
        raise ValueError("DES takes a block of 8 octets and a key of 7")
    return Cipher(TripleDES(desKey(key) * 3), _ECB).encryptor().update(clear)


des: Callable[[bytes, bytes], bytes] = pythonDES
"""
Encrypts eight octets with a key of seven octets, as L{pythonDES} does.
"""

try:
    from pptpgw.ppp import _des
except ImportError:
    pass
else:
    if fits(_des):
        des = _des.des
