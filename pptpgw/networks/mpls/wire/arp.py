"""
Encoding and decoding of ARP for IPv4 on Ethernet (RFC 826).
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from pptpgw.error import Malformed

REQUEST = 1
REPLY = 2

_PACKET = Struct("!6sH6s4s6s4s")
# The types of Ethernet and IPv4 addresses, and their lengths in octets.
_KINDS = b"\x00\x01\x08\x00\x06\x04"


class ARP(NamedTuple):
    """
    An ARP packet; an Ethernet address is six octets, an IPv4 address is four.

    @ivar operation: L{REQUEST} or L{REPLY}.
    @ivar sender: the sender's Ethernet address.
    @ivar senderAddress: the sender's IPv4 address.
    @ivar target: the target's Ethernet address; zeros in a request.
    @ivar targetAddress: the target's IPv4 address.
    """

    operation: int
    sender: bytes
    senderAddress: bytes
    target: bytes
    targetAddress: bytes

    def encode(self) -> bytes:
        """
        Return the encoding of the packet.
        """
        return _PACKET.pack(_KINDS, *self)


def decode(packet: bytes) -> ARP:
    """
    Return the packet that C{packet} holds; octets past its end are padding.

    @raise Malformed: C{packet} is too short, or about addresses of other types.
    """
    if len(packet) < _PACKET.size:
        raise Malformed(f"an ARP packet of {len(packet)} octets")
    kinds, *fields = _PACKET.unpack_from(packet)
    if kinds != _KINDS:
        raise Malformed(f"ARP for kinds of address 0x{kinds.hex()}")
    return ARP(*fields)
