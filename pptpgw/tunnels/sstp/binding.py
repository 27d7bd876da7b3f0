"""
The crypto binding of SSTP ([MS-SSTP] section 3.2.5.2), which proves to the server that the end of
the TLS connection is the one that authenticated within it.

The client sends the hash of the certificate that it was shown, and a MAC of its whole message under
a key that only the two ends of the authentication can have. A third one that terminates the TLS
connection of each end can show the client another certificate only, and can't make the MAC.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from enum import IntEnum
from hashlib import new

from pptpgw.tunnels.sstp.wire import HASH_OCTETS, CryptoBinding, Kind, Message

NO_KEY = bytes(32)
"""
The key where the authentication earned none.
"""

_SEED = b"SSTP inner method derived CMK"
# The length of a Call Connected packet, of which the Compound MAC is the end.
_CONNECTED_OCTETS = 112


class Hash(IntEnum):
    """
    The hashes that a binding can use, each a bit of the masks in packets (section 2.2.7).
    """

    SHA1 = 1
    SHA256 = 2

    @property
    def size(self) -> int:
        """
        The octets of a hash.
        """
        return 20 if self is Hash.SHA1 else 32

    def of(self, octets: bytes) -> bytes:
        """
        Return the hash of C{octets} as packets have it, in 32 octets.
        """
        digest = new(self.name, octets, usedforsecurity=False).digest()
        return digest.ljust(HASH_OCTETS, b"\0")


HASHES = Hash.SHA1 | Hash.SHA256
"""
The mask of all of them.
"""


def strongest(mask: int) -> Hash | None:
    """
    Return the strongest of the hashes in C{mask}; None if it has none that is known.
    """
    return next((one for one in reversed(Hash) if mask & one), None)


def compoundMAC(hash: Hash, key: bytes, packet: bytes) -> bytes:
    """
    Return the Compound MAC of a Call Connected packet, whatever stands in the MAC's place, in 32
    octets.

    @param key: the Higher-Layer Authentication Key, one of L{pptpgw.interfaces.IKeys.bindings}.
    """
    name = hash.name
    seed = _SEED + hash.size.to_bytes(2, "little") + b"\1"
    cleared = packet[:-HASH_OCTETS] + bytes(HASH_OCTETS)
    return hmac.digest(hmac.digest(key, seed, name), cleared, name).ljust(HASH_OCTETS, b"\0")


def callConnected(hash: Hash, nonce: bytes, certificate: bytes, key: bytes) -> bytes:
    """
    Return the Call Connected packet of a client.

    @param certificate: the server's certificate in DER.
    """
    binding = CryptoBinding(hash, nonce, hash.of(certificate), bytes(HASH_OCTETS))
    packet = Message(Kind.CALL_CONNECTED, (binding.encode(),)).encode()
    return packet[:-HASH_OCTETS] + compoundMAC(hash, key, packet)


def fault(
    packet: bytes, binding: CryptoBinding, nonce: bytes, certificate: bytes, keys: Iterable[bytes]
) -> str:
    """
    Return why a client's binding doesn't hold, in words; empty if it does.

    @param packet: the whole Call Connected packet.
    @param binding: the Crypto Binding in it.
    @param nonce: the nonce that the client was sent.
    @param certificate: the certificate that the client was shown, in DER.
    @param keys: the keys with which it may have made the MAC.
    """
    if binding.hash not in set(Hash) or len(packet) != _CONNECTED_OCTETS:
        return "its hash wasn't offered"
    hash = Hash(binding.hash)
    if not hmac.compare_digest(binding.nonce, nonce):
        return "its nonce is another one"
    if not hmac.compare_digest(binding.certificate, hash.of(certificate)):
        return "the caller was shown another certificate than ours"
    expected = (compoundMAC(hash, key, packet) for key in keys)
    if not any(hmac.compare_digest(binding.mac, one) for one in expected):
        return "its MAC is wrong"
    return ""
