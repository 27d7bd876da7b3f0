"""
What a LAC tells an LNS of a call and its caller (RFC 2661 sections 4.4.4 and 4.4.5), both ways.

As LAC we tell who calls whom, what LCP has agreed on, and the caller's claim. A password that came
by PAP is told only to an LNS with which a secret is agreed on, and is hidden then. What the RFC has
no type for, such as EAP, isn't told: the LNS asks anew.

As LNS we believe this only of a LAC that has a secret of its own and has proved that it knows it.
Everybody else could claim to be any caller, and repeat claims of others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pptpgw.error import Malformed
from pptpgw.interfaces import ICall, Negotiated, ProxyClaim, Stations
from pptpgw.log import readable
from pptpgw.ppp.wire.ppp import CHAP, PAP, decodeOptions
from pptpgw.tunnels.concentrator import numbersOf
from pptpgw.tunnels.l2tp.carriage import ASYNCHRONOUS
from pptpgw.tunnels.l2tp.wire.code import AVP, ProxyAuthentication
from pptpgw.tunnels.l2tp.wire.message import L2TPMessage

_TYPES = {
    (CHAP, b"\x05"): ProxyAuthentication.CHAP,
    (CHAP, b"\x81"): ProxyAuthentication.CHAP,
    (CHAP, b"\x80"): ProxyAuthentication.MSCHAP,
    (PAP, b""): ProxyAuthentication.PAP,
}
"""
The Proxy Authen Type by the protocol and its algorithm. MS-CHAPv2 is younger than the RFC. It is a
CHAP (RFC 2759), and the option of LCP says which.
"""

_AUTHENTICATION_PROTOCOL = 3
"""
The type of LCP's option Authentication-Protocol (RFC 1661 section 6.2).
"""

_LONGEST_NUMBER = 128


class CallDetails(NamedTuple):
    """
    AVPs and their values.

    @ivar request: those of the ICRQ.
    @ivar connected: those of the ICCN.
    @ivar hidden: the attributes whose values are hidden.
    """

    request: Mapping[int, Any]
    connected: Mapping[int, Any]
    hidden: frozenset[int] = frozenset()


NO_DETAILS = CallDetails({}, {})
"""
The details of a call that isn't passed on.
"""


def detailsOf(negotiated: Negotiated, caller: ICall, mayHide: bool) -> CallDetails:
    """
    Return what an LNS is told of a call.

    @param mayHide: whether a secret is agreed on with the LNS, by which values can be hidden.
    """
    request = _requested(caller)
    connected: dict[int, Any] = {}
    if caller.accm is not None:
        connected[AVP.FRAMING_TYPE] = ASYNCHRONOUS
    if not negotiated.lastSent:
        return CallDetails(request, connected)
    connected |= {
        AVP.INITIAL_RECEIVED_LCP_CONFREQ: negotiated.firstReceived,
        AVP.LAST_SENT_LCP_CONFREQ: negotiated.lastSent,
        AVP.LAST_RECEIVED_LCP_CONFREQ: negotiated.lastReceived,
        AVP.PROXY_AUTHEN_TYPE: ProxyAuthentication.NONE,
    }
    claim = negotiated.claim
    if claim is None:
        return CallDetails(request, connected)
    kind = _TYPES.get((claim.number, claim.algorithm))
    hidden: frozenset[int] = frozenset()
    if kind is ProxyAuthentication.PAP:
        hidden = frozenset({AVP.PROXY_AUTHEN_RESPONSE})
    if kind is not None and (mayHide or not hidden):
        connected[AVP.PROXY_AUTHEN_TYPE] = kind
        connected[AVP.PROXY_AUTHEN_NAME] = claim.name
        connected[AVP.PROXY_AUTHEN_CHALLENGE] = claim.challenge
        connected[AVP.PROXY_AUTHEN_ID] = claim.identifier
        connected[AVP.PROXY_AUTHEN_RESPONSE] = claim.response
    return CallDetails(request, connected, hidden)


def _requested(caller: ICall) -> dict[int, Any]:
    """
    Return what the ICRQ says of the call that is passed on: its numbers, or else its addresses.
    """
    told = numbersOf(caller)
    texts = {
        AVP.CALLED_NUMBER: told.called,
        AVP.CALLING_NUMBER: told.calling,
        AVP.SUB_ADDRESS: told.subaddress,
    }
    return {key: text.encode()[:_LONGEST_NUMBER] for key, text in texts.items() if text}


def stationsOf(request: L2TPMessage) -> Stations:
    """
    Return which names and numbers a LAC tells of a call in its ICRQ.
    """
    channel = request.get(AVP.PHYSICAL_CHANNEL_ID)
    return Stations(
        readable(request.get(AVP.CALLING_NUMBER, b"")),
        readable(request.get(AVP.CALLED_NUMBER, b"")),
        readable(request.get(AVP.SUB_ADDRESS, b"")),
        channel="" if channel is None else str(channel),
    )


def groupOf(connected: L2TPMessage) -> str:
    """
    Return the private group that a LAC tells in its ICCN; empty if it tells none.
    """
    return readable(connected.get(AVP.PRIVATE_GROUP_ID, b""))


def negotiatedOf(connected: L2TPMessage) -> Negotiated | None:
    """
    Return what a LAC says that it has negotiated with a caller; None if it doesn't say all of LCP.

    @param connected: the ICCN.
    """
    lastSent = connected.get(AVP.LAST_SENT_LCP_CONFREQ)
    lastReceived = connected.get(AVP.LAST_RECEIVED_LCP_CONFREQ)
    if lastSent is None or lastReceived is None:
        return None
    first = connected.get(AVP.INITIAL_RECEIVED_LCP_CONFREQ, b"")
    return Negotiated(first, lastReceived, lastSent, _claimIn(connected, lastSent))


def _claimIn(connected: L2TPMessage, lastSent: bytes) -> ProxyClaim | None:
    """
    Return the claim that a LAC tells; None if it tells none, or one of another protocol than LCP
    has agreed on.
    """
    try:
        asked = dict(decodeOptions(lastSent)).get(_AUTHENTICATION_PROTOCOL, b"")
    except Malformed:
        return None
    number, algorithm = int.from_bytes(asked[:2], "big"), asked[2:]
    kind = _TYPES.get((number, algorithm))
    told = connected.get(AVP.PROXY_AUTHEN_TYPE)
    identifier = connected.get(AVP.PROXY_AUTHEN_ID)
    response = connected.get(AVP.PROXY_AUTHEN_RESPONSE)
    if kind is None or told != kind or identifier is None or response is None:
        return None
    return ProxyClaim(
        number,
        algorithm,
        connected.get(AVP.PROXY_AUTHEN_NAME, b""),
        identifier,
        connected.get(AVP.PROXY_AUTHEN_CHALLENGE, b""),
        response,
    )
