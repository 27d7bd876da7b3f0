"""
ARP for IPv4 on Ethernet (RFC 826).
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from pptpgw.error import Malformed

REQUEST = 1
REPLY = 2

_PACKET = Struct("!6sH6s4s6s4s")
# Ethernet, IPv4, and how long their addresses are.
_KINDS = b"\x00\x01\x08\x00\x06\x04"


class ARP(NamedTuple):
    """
    One packet; addresses as octets, six of Ethernet's and four of IPv4's.

    @ivar operation: L{REQUEST} or L{REPLY}.
    @ivar sender: the sender's Ethernet address, C{senderAddress} its IPv4 address.
    @ivar target: the target's Ethernet address, zero where that is the question.
    """

    operation: int
    sender: bytes
    senderAddress: bytes
    target: bytes
    targetAddress: bytes

    def encode(self) -> bytes:
        """
        The octets of it.
        """
        return _PACKET.pack(_KINDS, *self)


def decode(packet: bytes) -> ARP:
    """
    The packet; octets past its end are padding.

    @raise Malformed: it is too short, or about other kinds of address.
    """
    if len(packet) < _PACKET.size:
        raise Malformed(f"an ARP packet of {len(packet)} octets")
    kinds, *fields = _PACKET.unpack_from(packet)
    if kinds != _KINDS:
        raise Malformed(f"ARP for kinds of address 0x{kinds.hex()}")
    return ARP(*fields)
