"""
Rules for believing that a frame with an unexpected sequence number is the peer's, and not forged.
L{pptpgw.pptp.window} says why that matters.

These frames are believed:

 - An encrypted frame whose plaintext makes sense under the key that its numbers lead to
   (L{pptpgw.datapath.recovery}). It must begin with the protocol number of IPv4 or IPv6, which
   peers may send before these are open here, or of another open protocol; if the tunnel had the
   frame in order, one of L{COMMON} suffices. An IPv4 packet must have a correct header checksum and
   a fitting length, an IPv6 packet a fitting length. Under a wrong key a frame is noise, which
   looks like IPv4 less than once in 2**32 frames, and like IPv6 less than once in 2**16. Other
   protocols are known by their number alone, which one frame in 256 has.
 - After a gap of less than L{REACH}: a packet in clear of a network that may come in clear, and a
   control frame that can't end anything that is open. That is any frame while no network is open,
   and later frames of the control protocols of networks that aren't open.
 - An answer to our Echo-Request that only the peer can have made, whatever its number; and any
   frame after the peer was asked for such an answer in vain.

No other control frame is believed, not even one that came early and whose turn comes later: control
protocols repeat packets that aren't answered.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from pptpgw.datapath.ip import HEADER
from pptpgw.datapath.network import IPV4, IPV6, Network
from pptpgw.pptp.window import REACH
from pptpgw.wire import ppp
from pptpgw.wire.checksum import checksum
from pptpgw.wire.ipv6 import HEADER as IPV6_HEADER

BEYOND_NETWORKS = 0x4000
"""
The numbers of control protocols, LCP and authentication begin here (RFC 1661 section 2).
"""

COMMON = frozenset((ppp.IPV4, ppp.IPV6, ppp.BRIDGE, ppp.IPX, ppp.MPLS, ppp.MPLS_MULTICAST))
"""
The protocols of which callers are known to send packets before our side is open.
"""

# Masks off the bit that distinguishes the number of a control protocol from its network's.
_NETWORK = 0x7FFF


def canFollowGap(
    protocol: int, gap: int, opened: Mapping[int, Network], inClear: Container[int]
) -> bool:
    """
    Whether a frame in clear is believed after a gap.

    @param gap: the number of sequence numbers missing before it; 0 if it follows no gap.
    @param opened: the protocol numbers of the networks that are open.
    @param inClear: those of them whose packets may come in clear.
    """
    if not 0 < gap < REACH:
        return False
    if not opened or protocol in inClear:
        return True
    ofNetworks = BEYOND_NETWORKS <= protocol < ppp.LCP and protocol != ppp.CCP
    return ofNetworks and protocol & _NETWORK not in opened


def isPlausible(plain: bytes, opened: Container[int], inOrder: bool) -> bool:
    """
    Whether a plaintext makes sense.

    @param opened: the protocol numbers of the networks that are open.
    @param inOrder: whether the tunnel had the frame in order, so that a number of L{COMMON}
        suffices.
    """
    start = 1 if plain[0] & 1 else 2
    protocol = int.from_bytes(plain[:start], "big")
    packet = plain[start:]
    if protocol == IPV4:
        return _isIPv4(packet)
    if protocol == IPV6:
        return _isIPv6(packet)
    return protocol in opened or (inOrder and protocol in COMMON)


def _isIPv4(packet: bytes) -> bool:
    """
    Whether C{packet} is an IPv4 packet (RFC 791 section 3.1).
    """
    if len(packet) < HEADER or packet[0] >> 4 != 4:
        return False
    header = (packet[0] & 0x0F) * 4
    length = int.from_bytes(packet[2:4], "big")
    return HEADER <= header <= length <= len(packet) and checksum(packet[:header]) == 0


def _isIPv6(packet: bytes) -> bool:
    """
    Whether C{packet} is an IPv6 packet (RFC 8200 section 3).
    """
    if len(packet) < IPV6_HEADER or packet[0] >> 4 != 6:
        return False
    return IPV6_HEADER + int.from_bytes(packet[4:6], "big") <= len(packet)
