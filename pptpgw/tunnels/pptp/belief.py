"""
Rules for believing that a frame with an unexpected GRE sequence number is the peer's, and not
forged. L{pptpgw.tunnels.pptp.window} says why that matters.

These frames are believed:

 - An encrypted frame whose plaintext makes sense (L{pptpgw.datapath.belief}).
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

from pptpgw.datapath.belief import BEYOND_NETWORKS
from pptpgw.datapath.checks import OpenProtocol
from pptpgw.ppp.wire import ppp
from pptpgw.tunnels.pptp.window import REACH

# Masks off the bit that distinguishes the number of a control protocol from its network's.
_NETWORK = 0x7FFF


def canFollowGap(
    protocol: int, gap: int, opened: Mapping[int, OpenProtocol], inClear: Container[int]
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
