"""
The rules by which a frame with an unexpected GRE sequence number is believed to be the peer's, and
not forged. L{pptpgw.tunnels.pptp.window} says why that matters.

These frames are believed:

 - An encrypted frame whose plaintext makes sense (L{pptpgw.datapath.plausibility}).
 - After a gap of less than L{REACH}: a packet in clear of a network that allows it, and a control
   frame that can't end anything that is open. That means any frame while no network is open, and
   otherwise frames of the control protocols of networks that aren't open.
 - An answer to our Echo-Request that only the peer can have made, whatever its sequence number.
 - Any frame after the peer was asked for such an answer in vain.

No other control frame is believed, and none is held until its turn comes, since control protocols
repeat packets that aren't answered.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from pptpgw.datapath.checks import OpenProtocol
from pptpgw.datapath.plausibility import BEYOND_NETWORKS
from pptpgw.ppp.wire import ppp
from pptpgw.tunnels.pptp.window import REACH

# Clears the bit by which the number of a control protocol differs from that of its network.
_NETWORK = 0x7FFF


def canFollowGap(
    protocol: int, gap: int, opened: Mapping[int, OpenProtocol], inClear: Container[int]
) -> bool:
    """
    Return whether a frame in clear is believed after a gap.

    @param gap: how many sequence numbers are missing before the frame; 0 if it follows no gap.
    @param opened: the protocol numbers of the networks that are open.
    @param inClear: the protocol numbers of those whose packets may come in clear.
    """
    if not 0 < gap < REACH:
        return False
    if not opened or protocol in inClear:
        return True
    ofNetworks = BEYOND_NETWORKS <= protocol < ppp.LCP and protocol != ppp.CCP
    return ofNetworks and protocol & _NETWORK not in opened
