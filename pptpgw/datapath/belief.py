"""
What is believed of a frame that doesn't come in order; L{pptpgw.pptp.window} says why it matters.

 - A frame that is encrypted, where its plaintext makes sense under the key that its numbers lead to
   (L{pptpgw.datapath.recovery}). It must begin with the number of IPv4 or IPv6, which peers send
   before they are open here too, or of another protocol that is open; one of L{COMMON} will do
   where GRE had the frame in order. An IPv4 packet must have a true checksum over its header and a
   length that fits, an IPv6 packet a length that fits. Under a wrong key a frame is noise, which
   looks like IPv4 less than once in 2**32 frames, and like IPv6 less than once in 2**16. Of other
   protocols nothing but the number is known: one frame in 256 has it.
 - A packet in clear of a network that may come in clear, and a control frame that can't end what is
   open, where it follows a gap that isn't wide (L{REACH}): any frame while no network is open, and
   later those of the control protocols of networks that aren't.
 - An answer to an Echo-Request that can only be the peer's, whatever its number; and anything
   where the peer was asked for one in vain.
 - No other control frame, not even when its turn comes after it was early: control protocols repeat
   what isn't answered.
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
What callers are known to send before our side is open.
"""

# A control protocol has the number of its network's packets, and the bit that isn't here.
_NETWORK = 0x7FFF


def canFollowGap(
    protocol: int, gap: int, opened: Mapping[int, Network], inClear: Container[int]
) -> bool:
    """
    Whether a frame in clear may follow a gap.

    @param gap: how many of GRE's numbers are missing before it, 0 where it follows none.
    @param opened: the networks that are open.
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
    Whether a plaintext makes sense, where the networks C{opened} are open.

    @param inOrder: whether GRE had the frame in order, so that a number of L{COMMON} will do.
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
    Whether this is an IPv4 packet (RFC 791 section 3.1).
    """
    if len(packet) < HEADER or packet[0] >> 4 != 4:
        return False
    header = (packet[0] & 0x0F) * 4
    length = int.from_bytes(packet[2:4], "big")
    return HEADER <= header <= length <= len(packet) and checksum(packet[:header]) == 0


def _isIPv6(packet: bytes) -> bool:
    """
    Whether this is an IPv6 packet (RFC 8200 section 3).
    """
    if len(packet) < IPV6_HEADER or packet[0] >> 4 != 6:
        return False
    return IPV6_HEADER + int.from_bytes(packet[4:6], "big") <= len(packet)
