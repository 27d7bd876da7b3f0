"""
The identification of the sessions that a request of dynamic authorization means (RFC 5176 section
3), and the check whether it can be obeyed.

The rules:

 - If a request names a NAS, that must be this gateway (section 3). It must name at least one
   session, by attributes each of which must be the session's; if several sessions have them all,
   all are meant.
 - A request with an attribute that can't be obeyed, or a value that can't be read, is refused as a
   whole (sections 2.3 and 3.5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from ipaddress import IPv6Network
from typing import Any

from pptpgw.interfaces import ISession, ISessions
from pptpgw.radius.attributes import read
from pptpgw.radius.nas import NAS
from pptpgw.radius.packet import COA_REQUEST, FRAMED, RADIUSPacket, decode, dictionary, integer


class ErrorCause(IntEnum):
    """
    The reasons for which a request is refused, as values of Error-Cause (RFC 5176 section 3.5).
    """

    UNSUPPORTED_ATTRIBUTE = 401
    MISSING_ATTRIBUTE = 402
    NAS_IDENTIFICATION_MISMATCH = 403
    UNSUPPORTED_SERVICE = 405
    INVALID_ATTRIBUTE_VALUE = 407
    SESSION_CONTEXT_NOT_FOUND = 503


class RADIUSRefusal(Exception):
    """
    A request can't be obeyed.

    @ivar cause: the L{ErrorCause}.
    """

    def __init__(self, cause: ErrorCause, why: str) -> None:
        super().__init__(why)
        self.cause = cause


def check(packet: RADIUSPacket, keys: Iterable[Any], nas: NAS) -> None:
    """
    Check every attribute of a request, before anything is done.

    @param packet: the request.
    @param keys: the keys that pyrad has for its attributes.
    @param nas: the gateway's name and addresses.
    @raise RADIUSRefusal: the request can't be obeyed.
    """
    changing = _CHANGING if packet.code == COA_REQUEST else frozenset()
    for key in keys:
        name = _nameOf(key)
        if name not in _IDENTIFYING and name not in _PASSING and name not in changing:
            raise RADIUSRefusal(ErrorCause.UNSUPPORTED_ATTRIBUTE, f"attribute {name}")
        if name in changing:
            for octets in packet.octets(name):
                try:
                    read(name, octets)
                except ValueError as problem:
                    raise RADIUSRefusal(
                        ErrorCause.INVALID_ATTRIBUTE_VALUE, f"{name}: {problem}"
                    ) from problem
    if any(octets != integer(FRAMED) for octets in packet.octets("Service-Type")):
        raise RADIUSRefusal(ErrorCause.UNSUPPORTED_SERVICE, "another Service-Type than Framed")
    if changing and not any(packet.octets(name) for name in changing):
        raise RADIUSRefusal(ErrorCause.MISSING_ATTRIBUTE, "it changes nothing")
    for octets in packet.octets("NAS-Identifier"):
        if octets != nas.identifier:
            raise RADIUSRefusal(ErrorCause.NAS_IDENTIFICATION_MISMATCH, "another NAS-Identifier")
    # If none of our addresses is configured, any NAS-IP-Address is accepted: the request reached
    # us.
    ours = [address.packed for address in nas.addresses]
    for octets in packet.octets("NAS-IP-Address"):
        if ours and octets not in ours:
            raise RADIUSRefusal(ErrorCause.NAS_IDENTIFICATION_MISMATCH, "another NAS-IP-Address")


def find(packet: RADIUSPacket, sessions: ISessions) -> list[ISession]:
    """
    Return those of C{sessions} that a request means.

    @raise RADIUSRefusal: it names no session, or none that exists.
    """
    change = packet.code == COA_REQUEST
    given = [
        (judge, octets)
        for name, judge in _JUDGES.items()
        # An attribute that a CoA-Request may change doesn't identify a session in it.
        if not (change and name in _CHANGING)
        for octets in packet.octets(name)
    ]
    if not given:
        raise RADIUSRefusal(ErrorCause.MISSING_ATTRIBUTE, "it names no session")
    found = [
        session
        for session in _candidates(packet, sessions)
        if all(judge(session, octets) for judge, octets in given)
    ]
    if not found:
        raise RADIUSRefusal(ErrorCause.SESSION_CONTEXT_NOT_FOUND, "there is no such session")
    return found


def _candidates(packet: RADIUSPacket, sessions: ISessions) -> Iterable[ISession]:
    """
    Give the sessions that a request may mean: one, where the request has its identifier.
    """
    for octets in packet.octets("Acct-Session-Id"):
        session = sessions.withIdentifier(octets.decode(errors="replace"))
        return () if session is None else (session,)
    return sessions


_CHANGING = frozenset(
    (
        "Session-Timeout",
        "Idle-Timeout",
        "Acct-Interim-Interval",
        "Class",
        "Filter-Id",
        "Port-Limit",
        "Mikrotik-Rate-Limit",
        "WISPr-Bandwidth-Max-Up",
        "WISPr-Bandwidth-Max-Down",
    )
)
"""
The attributes that can change while a session lasts.
"""


def _hasPrefix(session: ISession, octets: bytes) -> bool:
    try:
        prefix = IPv6Network(decode("Framed-IPv6-Prefix", octets))
    except ValueError:
        return False
    return prefix in session.networks.get("ipv6", ())


def _hasAddress(session: ISession, octets: bytes) -> bool:
    return any(
        network.network_address.packed == octets for network in session.networks.get("ipv4", ())[:1]
    )


_JUDGES: Mapping[str, Callable[[ISession, bytes], bool]] = {
    "Acct-Session-Id": lambda session, octets: session.identifier.encode() == octets,
    "User-Name": lambda session, octets: session.user.encode("utf-8", "surrogateescape") == octets,
    "Framed-IP-Address": _hasAddress,
    "Framed-IPv6-Prefix": _hasPrefix,
    "Delegated-IPv6-Prefix": _hasPrefix,
    "Calling-Station-Id": lambda session, octets: (
        (session.stations.calling or session.caller).encode() == octets
    ),
    "NAS-Port": lambda session, octets: (session.number & 0xFFFFFFFF).to_bytes(4, "big") == octets,
    "Class": lambda session, octets: octets in session.profile.accountingClass,
}
"""
The functions that tell whether a session is meant by the value of an attribute.
"""

_IDENTIFYING = frozenset(_JUDGES) | {"NAS-Identifier", "NAS-IP-Address"}
_PASSING = frozenset(
    (
        "Acct-Terminate-Cause",
        "Event-Timestamp",
        "Message-Authenticator",
        "Proxy-State",
        "Reply-Message",
        "Service-Type",
    )
)
"""
The attributes that neither name a session nor change it.
"""


def _nameOf(key: Any) -> str:
    """
    Return the name of an attribute, given the key that pyrad has for it in a packet.
    """
    index = dictionary().attrindex
    return str(index.GetBackward(key)) if index.HasBackward(key) else str(key)
