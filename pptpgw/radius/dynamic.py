"""
Dynamic authorization (RFC 5176): a RADIUS server ends sessions, or changes what they are allowed.

The rules:

 - Whoever isn't known by its address, or doesn't know the secret of that address, is not answered;
   nor is what is malformed or has a Message-Authenticator that is wrong (section 2.3, RFC 5080).
 - A request says when it was made (Event-Timestamp), and isn't older or newer than the window
   (section 6.3). What was answered within that is remembered: a duplicate, from the same port with
   the same identifier, has the same answer again, and nothing is done twice; a copy of it from
   somewhere else is a replay, and not answered.
 - When L{REMEMBERED} requests are remembered, others are not answered until one is forgotten.
 - A request names us, if it names a NAS at all (section 3), and at least one session, by attributes
   each of which must be the session's; if they are those of several, all are meant.
 - An attribute that can't be obeyed, or a value that can't be read, refuses the whole request
   (sections 2.3 and 3.5): either all is done, to all that are meant, or nothing.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from hashlib import md5
from ipaddress import IPv6Network
from typing import Any

from pyrad import packet as pyrad
from twisted.internet.error import MessageLengthError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger

from pptpgw.bucket import Bucket
from pptpgw.cause import Cause, Termination
from pptpgw.counters import Counters
from pptpgw.error import Malformed
from pptpgw.profile import Profile
from pptpgw.radius.attributes import applied, read
from pptpgw.radius.nas import NAS
from pptpgw.radius.packet import (
    COA_ACK,
    COA_NAK,
    COA_REQUEST,
    DISCONNECT_ACK,
    DISCONNECT_NAK,
    DISCONNECT_REQUEST,
    HEADER_OCTETS,
    MAXIMUM_OCTETS,
    Packet,
    checked,
    decode,
    dictionary,
)
from pptpgw.session.session import Session

REMEMBERED = 8192
"""
Requests that are remembered, at most.
"""
_FRAMED = 2
# Lines of the log on requests that can't be trusted: one a minute, a few at once.
_WARNINGS = (1 / 60, 3)


class ErrorCause(IntEnum):
    """
    Why a request is refused (RFC 5176 section 3.5).
    """

    UNSUPPORTED_ATTRIBUTE = 401
    MISSING_ATTRIBUTE = 402
    NAS_IDENTIFICATION_MISMATCH = 403
    UNSUPPORTED_SERVICE = 405
    INVALID_ATTRIBUTE_VALUE = 407
    SESSION_CONTEXT_NOT_FOUND = 503


class Refusal(Exception):
    """
    A request can't be obeyed.
    """

    def __init__(self, cause: ErrorCause, why: str) -> None:
        super().__init__(why)
        self.cause = cause


class Discarded(Exception):
    """
    A request is not answered; the text is the reason.
    """


@dataclass(slots=True)
class _Answer:
    """
    What was answered, to whom, and until when it is remembered.
    """

    port: int
    identifier: int
    octets: bytes
    until: float


class DynamicAuthorization:
    """
    Obeys the requests of those who may make them.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        secrets: Mapping[str, bytes],
        nas: NAS,
        sessions: Callable[[], Iterable[Session]],
        window: float,
        timestamps: bool,
        counters: Counters,
    ) -> None:
        """
        @param clock: its seconds are those since 1970.
        @param secrets: the secret of each address that requests may come from.
        @param sessions: gives the sessions of now.
        @param window: seconds by which a request may be older or newer than now.
        @param timestamps: whether a request without Event-Timestamp is discarded.
        """
        self._clock = clock
        self._secrets = dict(secrets)
        self._nas = nas
        self._sessions = sessions
        self._window = window
        self._timestamps = timestamps
        self._counters = counters
        self._answers: dict[tuple[str, bytes], _Answer] = {}
        self._warnings = Bucket(clock.seconds, _WARNINGS)

    def received(self, octets: bytes, host: str, port: int) -> bytes | None:
        """
        A packet came; give the answer to it, if there is one.
        """
        try:
            return self._answer(octets, host, port)
        except (Discarded, Malformed) as reason:
            text = str(reason) if isinstance(reason, Discarded) else "malformed"
            self._counters.discard(f"dynamic authorization: {text}")
            if self._warnings.take():
                self._log.warn(
                    "a packet from {host} to the port of dynamic authorization is discarded: "
                    "{reason}",
                    host=host,
                    reason=str(reason),
                )
        return None

    def _answer(self, octets: bytes, host: str, port: int) -> bytes:
        secret = self._secrets.get(host)
        if secret is None:
            raise Discarded("from nobody who may")
        octets = octets[: checked(octets)]
        code, identifier, authenticator = octets[0], octets[1], octets[4:HEADER_OCTETS]
        if code not in _CODES:
            raise Discarded("no request")
        if not hmac.compare_digest(_requestAuthenticator(octets, secret), authenticator):
            raise Discarded("the authenticator is wrong")
        if not _signed(octets, secret):
            raise Discarded("the Message-Authenticator is wrong")
        self._forget()
        known = self._answers.get((host, authenticator))
        if known is not None:
            if (known.port, known.identifier) != (port, identifier):
                raise Discarded("a replay")
            return known.octets
        request = pyrad.Packet(dict=dictionary(), packet=octets)
        packet = Packet(request)
        self._judgeTime(packet)
        if len(self._answers) >= REMEMBERED:
            raise Discarded("too many requests")
        answer = self._obey(packet, request.keys(), host)
        answered = _reply(octets, secret, packet, answer)
        until = self._clock.seconds() + 2 * self._window
        self._answers[host, authenticator] = _Answer(port, identifier, answered, until)
        return answered

    def _forget(self) -> None:
        """
        Forget what is old enough to be refused for its age; the oldest stand first.
        """
        now = self._clock.seconds()
        while self._answers:
            first = next(iter(self._answers))
            if self._answers[first].until >= now:
                return
            del self._answers[first]

    def _judgeTime(self, packet: Packet) -> None:
        times = list(packet.values("Event-Timestamp"))
        if not times:
            if self._timestamps:
                raise Discarded("no Event-Timestamp")
        elif abs(times[0] - self._clock.seconds()) > self._window:
            raise Discarded("stale, or a clock is wrong")

    def _obey(self, packet: Packet, keys: Iterable[Any], host: str) -> ErrorCause | None:
        """
        Do what the request says, or say why not.
        """
        try:
            change = packet.code == COA_REQUEST
            self._check(packet, keys, _CHANGING if change else frozenset())
            sessions = self._find(packet, change)
            if change:
                profiles = [(session, _changed(packet, session)) for session in sessions]
                for session, profile in profiles:
                    session.change(profile)
            else:
                for session in sessions:
                    session.hangUp(
                        Cause("disconnected by a RADIUS server", Termination.ADMIN_RESET)
                    )
        except Refusal as refusal:
            self._log.warn(
                "a request of {host} to {what} is refused: {why}",
                host=host,
                what=_CODES[packet.code],
                why=str(refusal),
            )
            return refusal.cause
        self._log.info(
            "{host} has asked to {what}: {sessions}",
            host=host,
            what=_CODES[packet.code],
            sessions=", ".join(map(str, sessions)),
        )
        return None

    def _check(self, packet: Packet, keys: Iterable[Any], changing: frozenset[str]) -> None:
        """
        Look at every attribute before anything is done.
        """
        for key in keys:
            name = _nameOf(key)
            if name not in _IDENTIFYING and name not in _PASSING and name not in changing:
                raise Refusal(ErrorCause.UNSUPPORTED_ATTRIBUTE, f"attribute {name}")
            if name in changing:
                for octets in packet.octets(name):
                    try:
                        read(name, octets)
                    except ValueError as problem:
                        raise Refusal(
                            ErrorCause.INVALID_ATTRIBUTE_VALUE, f"{name}: {problem}"
                        ) from problem
        if any(octets != _FRAMED.to_bytes(4, "big") for octets in packet.octets("Service-Type")):
            raise Refusal(ErrorCause.UNSUPPORTED_SERVICE, "another Service-Type than Framed")
        if changing and not any(packet.octets(name) for name in changing):
            raise Refusal(ErrorCause.MISSING_ATTRIBUTE, "it changes nothing")
        for octets in packet.octets("NAS-Identifier"):
            if octets != self._nas.identifier:
                raise Refusal(ErrorCause.NAS_IDENTIFICATION_MISMATCH, "another NAS-Identifier")
        # Where none is ours by name, it was enough to reach us.
        ours = [address.packed for address in self._nas.addresses]
        for octets in packet.octets("NAS-IP-Address"):
            if ours and octets not in ours:
                raise Refusal(ErrorCause.NAS_IDENTIFICATION_MISMATCH, "another NAS-IP-Address")

    def _find(self, packet: Packet, change: bool) -> list[Session]:
        """
        The sessions that are meant.
        """
        given = [
            (judge, octets)
            for name, judge in _JUDGES.items()
            # What a session repeats in accounting names it, unless that is what is changed.
            if not (change and name in _CHANGING)
            for octets in packet.octets(name)
        ]
        if not given:
            raise Refusal(ErrorCause.MISSING_ATTRIBUTE, "it names no session")
        found = [
            session
            for session in self._sessions()
            if all(judge(session, octets) for judge, octets in given)
        ]
        if not found:
            raise Refusal(ErrorCause.SESSION_CONTEXT_NOT_FOUND, "there is no such session")
        return found


class DynamicPort(DatagramProtocol):
    """
    The UDP port of dynamic authorization.
    """

    _log = Logger()

    def __init__(self, rules: DynamicAuthorization) -> None:
        self._rules = rules

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """
        A request, maybe.
        """
        host, port = addr[:2]
        answer = self._rules.received(datagram, host, port)
        if answer is not None and self.transport is not None:
            try:
                self.transport.write(answer, addr)
            except (OSError, MessageLengthError) as error:
                self._log.warn("no answer to {host}: {error}", host=host, error=error)


_CODES = {DISCONNECT_REQUEST: "disconnect", COA_REQUEST: "change"}
_ANSWERS = {
    DISCONNECT_REQUEST: (DISCONNECT_ACK, DISCONNECT_NAK),
    COA_REQUEST: (COA_ACK, COA_NAK),
}
_MESSAGE_AUTHENTICATOR = 80
_ERROR_CAUSE = 101
_PROXY_STATE = 33

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
What can be changed while a session lasts.
"""


def _hasPrefix(session: Session, octets: bytes) -> bool:
    try:
        prefix = IPv6Network(decode("Framed-IPv6-Prefix", octets))
    except (Malformed, ValueError):
        return False
    return prefix in session.networks.get("ipv6", ())


def _hasAddress(session: Session, octets: bytes) -> bool:
    return any(
        network.network_address.packed == octets for network in session.networks.get("ipv4", ())[:1]
    )


_JUDGES: Mapping[str, Callable[[Session, bytes], bool]] = {
    "Acct-Session-Id": lambda session, octets: session.identifier.encode() == octets,
    "User-Name": lambda session, octets: session.user.encode("utf-8", "surrogateescape") == octets,
    "Framed-IP-Address": _hasAddress,
    "Framed-IPv6-Prefix": _hasPrefix,
    "Delegated-IPv6-Prefix": _hasPrefix,
    "Calling-Station-Id": lambda session, octets: session.caller.encode() == octets,
    "NAS-Port": lambda session, octets: (session.number & 0xFFFFFFFF).to_bytes(4, "big") == octets,
    "Class": lambda session, octets: octets in session.profile.accountingClass,
}
"""
Whether a session is the one that an attribute means.
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
What neither names a session nor changes it.
"""


def _nameOf(key: Any) -> str:
    """
    The name of an attribute that pyrad has found in a packet.
    """
    index = dictionary().attrindex
    return str(index.GetBackward(key)) if index.HasBackward(key) else str(key)


def _changed(packet: Packet, session: Session) -> Profile:
    return applied(packet, session.profile)


def _requestAuthenticator(octets: bytes, secret: bytes) -> bytes:
    """
    What it must be (RFC 5176 section 2.3, as RFC 2866 section 3 has it).
    """
    signed = octets[:4] + bytes(16) + octets[HEADER_OCTETS:] + secret
    return md5(signed, usedforsecurity=False).digest()


def _signed(octets: bytes, secret: bytes) -> bool:
    """
    Whether its Message-Authenticator is right, or there is none (RFC 5176 section 3.3).
    """
    place = HEADER_OCTETS
    while place < len(octets):
        if octets[place] == _MESSAGE_AUTHENTICATOR:
            start = place + 2
            blank = octets[:4] + bytes(16) + octets[HEADER_OCTETS:start] + bytes(16)
            signature = _signature(blank + octets[start + 16 :], secret)
            return hmac.compare_digest(signature, octets[start : start + 16])
        place += octets[place + 1]
    return True


def _signature(octets: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, octets, "md5")


def _reply(request: bytes, secret: bytes, packet: Packet, refused: ErrorCause | None) -> bytes:
    """
    The answer, with a Message-Authenticator, and with each Proxy-State as it came (section 3.1).
    """
    attributes = b""
    if refused is not None:
        attributes = _attribute(_ERROR_CAUSE, refused.to_bytes(4, "big"))
    for octets in packet.octets("Proxy-State"):
        attributes += _attribute(_PROXY_STATE, octets)
    length = HEADER_OCTETS + 18 + len(attributes)
    if length > MAXIMUM_OCTETS:
        raise Discarded("no room for an answer")
    code = _ANSWERS[packet.code][refused is not None]
    header = bytes((code, request[1])) + length.to_bytes(2, "big")
    vector = request[4:HEADER_OCTETS]
    blank = _attribute(_MESSAGE_AUTHENTICATOR, bytes(16))
    signature = _signature(header + vector + blank + attributes, secret)
    attributes = _attribute(_MESSAGE_AUTHENTICATOR, signature) + attributes
    signed = header + vector + attributes + secret
    return header + md5(signed, usedforsecurity=False).digest() + attributes


def _attribute(kind: int, octets: bytes) -> bytes:
    return bytes((kind, 2 + len(octets))) + octets
