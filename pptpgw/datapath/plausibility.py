"""
Rules that decide whether the plaintext of an encrypted frame makes sense. If it does, the frame is
taken for the peer's, and for neither forged nor decrypted in a wrong state. A frame that skips
numbers is decrypted under the key that its numbers lead to (L{pptpgw.datapath.recovery}).

The plaintext must begin with the protocol number of an open protocol, or of IPv4 or IPv6, which
peers may send before these are open here. If the tunnel delivered the frame in order, any number of
L{COMMON} is accepted. An IPv4 packet must have a correct header checksum and a fitting length, an
IPv6 packet a fitting length. Under a wrong key a frame is noise, which looks like IPv4 less than
once in 2**32 frames, and like IPv6 less than once in 2**16. Other protocols are recognised by their
number alone, which one frame of noise in 256 has.
"""

from __future__ import annotations

from collections.abc import Container

from pptpgw.networks.wire.checksum import checksum
from pptpgw.networks.wire.ip import IPV4_HEADER, IPV6_HEADER
from pptpgw.ppp.wire import ppp

BEYOND_NETWORKS = 0x4000
"""
The lowest protocol number that isn't a network protocol's: those of control protocols, LCP and
authentication begin here (RFC 1661 section 2).
"""

COMMON = frozenset((ppp.IPV4, ppp.IPV6, ppp.BRIDGE, ppp.IPX, ppp.MPLS, ppp.MPLS_MULTICAST))
"""
The protocols of which callers are known to send packets before our side is open.
"""


def isPlausible(plain: bytes, opened: Container[int], inOrder: bool) -> bool:
    """
    Return whether the plaintext of a frame makes sense.

    @param opened: the protocol numbers of the networks that are open.
    @param inOrder: whether the tunnel delivered the frame in order, so that any number of L{COMMON}
        is accepted.
    """
    start = 1 if plain[0] & 1 else 2
    protocol = int.from_bytes(plain[:start], "big")
    packet = plain[start:]
    if protocol == ppp.IPV4:
        return _isIPv4(packet)
    if protocol == ppp.IPV6:
        return _isIPv6(packet)
    return protocol in opened or (inOrder and protocol in COMMON)


def _isIPv4(packet: bytes) -> bool:
    """
    Return whether C{packet} is an IPv4 packet with a correct header checksum (RFC 791 section 3.1).
    """
    if len(packet) < IPV4_HEADER or packet[0] >> 4 != 4:
        return False
    header = (packet[0] & 0x0F) * 4
    length = int.from_bytes(packet[2:4], "big")
    return IPV4_HEADER <= header <= length <= len(packet) and checksum(packet[:header]) == 0


def _isIPv6(packet: bytes) -> bool:
    """
    Return whether C{packet} is an IPv6 packet (RFC 8200 section 3).
    """
    if len(packet) < IPV6_HEADER or packet[0] >> 4 != 6:
        return False
    return IPV6_HEADER + int.from_bytes(packet[4:6], "big") <= len(packet)
