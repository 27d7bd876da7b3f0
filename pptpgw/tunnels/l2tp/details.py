"""
What an LNS is told of a call that is passed on to it (RFC 2661 sections 4.4.4 and 4.4.5).

It is told of LCP, and of the caller's claim by CHAP or MS-CHAP. It isn't told passwords that came
by PAP: it asks for them again, as it does where it doesn't know the protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pptpgw.interfaces import ICall, Negotiated
from pptpgw.tunnels.l2tp.wire.code import AVP

_NO_AUTHENTICATION = 4
# The numbers of Proxy Authen Type (RFC 2661 section 4.4.5), by the protocol and its algorithm.
_TYPES = {(0xC223, b"\x05"): 2, (0xC223, b"\x80"): 5}
_LONGEST_NUMBER = 128


class CallDetails(NamedTuple):
    """
    AVPs and their values.

    @ivar request: those of the ICRQ.
    @ivar connected: those of the ICCN.
    """

    request: Mapping[int, Any]
    connected: Mapping[int, Any]


NO_DETAILS = CallDetails({}, {})
"""
The details of a call that isn't passed on.
"""


def detailsOf(negotiated: Negotiated, caller: ICall) -> CallDetails:
    """
    Return what an LNS is told of a call.
    """
    request: dict[int, Any] = {
        AVP.CALLED_NUMBER: caller.called.encode()[:_LONGEST_NUMBER],
        AVP.CALLING_NUMBER: caller.caller.encode()[:_LONGEST_NUMBER],
    }
    connected: dict[int, Any] = {}
    if negotiated.lastSent:
        connected[AVP.INITIAL_RECEIVED_LCP_CONFREQ] = negotiated.firstReceived
        connected[AVP.LAST_SENT_LCP_CONFREQ] = negotiated.lastSent
        connected[AVP.LAST_RECEIVED_LCP_CONFREQ] = negotiated.lastReceived
        claim = negotiated.claim
        number = claim and _TYPES.get((claim.method.number, claim.method.algorithm))
        connected[AVP.PROXY_AUTHEN_TYPE] = number or _NO_AUTHENTICATION
        if claim is not None and number:
            connected[AVP.PROXY_AUTHEN_NAME] = claim.name
            connected[AVP.PROXY_AUTHEN_CHALLENGE] = claim.challenge
            connected[AVP.PROXY_AUTHEN_ID] = claim.identifier
            connected[AVP.PROXY_AUTHEN_RESPONSE] = claim.response
    return CallDetails(request, connected)
