"""
Dynamic authorization (RFC 5176): a RADIUS server ends sessions, or changes what they are allowed.

The rules:

 - A request is not answered if its sender's address isn't configured, if it isn't signed with the
   secret of that address, if it is malformed, or if its Message-Authenticator is wrong (section
   2.3, RFC 5080).
 - A request says when it was made (Event-Timestamp), and must not be older or newer than the window
   (section 6.3). Answered requests are remembered for that time. A duplicate, from the same port
   with the same identifier, gets the same answer again, and nothing is done twice; a copy from
   another address or port is a replay, and not answered.
 - The time of a request is compared with the time of day, but how long it is remembered is measured
   by a monotonic clock. When the machine's clock is set back by more than the window, earlier
   requests can be replayed once more.
 - When L{REMEMBERED} requests are remembered, others are not answered until one is forgotten.
 - A request is obeyed as a whole: either everything is done, to all sessions that are meant
   (L{pptpgw.radius.identification}), or nothing (sections 2.3 and 3.5).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from time import time
from typing import Any

from pyrad import packet as pyrad
from twisted.application.service import Service
from twisted.internet.error import CannotListenError, MessageLengthError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import DatagramProtocol
from zope.interface import implementer

from pptpgw.config.configuration import Configuration
from pptpgw.config.reload import ReloadStep
from pptpgw.counting.bucket import Bucket
from pptpgw.counting.counters import Counters
from pptpgw.error import ConfigurationError, Malformed
from pptpgw.interfaces import IPreparable, ISession, ISessions
from pptpgw.log import Logger
from pptpgw.ports.machine import lackingAddress
from pptpgw.radius.attributes import applied
from pptpgw.radius.identification import ErrorCause, RADIUSRefusal, check, find
from pptpgw.radius.nas import NAS
from pptpgw.radius.packet import (
    COA_REQUEST,
    DISCONNECT_REQUEST,
    HEADER_OCTETS,
    RADIUSPacket,
    checked,
    dictionary,
)
from pptpgw.radius.signature import reply, requestAuthenticator, signed
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.sessions.profile import Profile

REMEMBERED = 8192
"""
The number of requests that are remembered.
"""
# The rate of log lines about requests that can't be trusted: one a minute, three at once.
_WARNINGS = (1 / 60, 3)

_CODES = {DISCONNECT_REQUEST: "disconnect", COA_REQUEST: "change"}


class Discarded(Exception):
    """
    A request that is not answered; the text is the reason.
    """


@dataclass(slots=True)
class _Answer:
    """
    The answer to a request, the sender, and until when it is remembered.
    """

    port: int
    identifier: int
    octets: bytes
    until: float


class DynamicAuthorization:
    """
    Judges requests of dynamic authorization, and carries them out.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        secrets: Mapping[str, bytes],
        nas: NAS,
        sessions: ISessions,
        window: float,
        timestamps: bool,
        counters: Counters,
        filters: Container[str],
        now: Callable[[], float] = time,
    ) -> None:
        """
        @param clock: measures how long requests are remembered.
        @param secrets: the secret of each address that requests may come from.
        @param nas: the gateway's name and addresses.
        @param sessions: the sessions that exist.
        @param window: seconds by which a request may be older or newer than now.
        @param timestamps: whether a request without Event-Timestamp is discarded.
        @param counters: where discards are counted.
        @param filters: the names of the configured filters.
        @param now: returns the time of day, in seconds since 1970.
        """
        self._clock = clock
        self._sessions = sessions
        self._counters = counters
        self._now = now
        self._window = window
        # The time before which no request may have been made, although the window allows it.
        self._earliest = -inf
        self.change(secrets, nas, window, timestamps, filters)
        self._answers: dict[tuple[str, bytes], _Answer] = {}
        self._warnings = Bucket(clock.seconds, _WARNINGS)

    def change(
        self,
        secrets: Mapping[str, bytes],
        nas: NAS,
        window: float,
        timestamps: bool,
        filters: Container[str],
    ) -> None:
        """
        Judge by other settings, which are those of the constructor. Requests that are remembered
        stay so; the others that a wider window would allow now may be replays, and are too old.
        """
        self._secrets = dict(secrets)
        self._nas = nas
        if window > self._window:
            self._earliest = self._now() - self._window
        self._window = window
        self._timestamps = timestamps
        self._filters = filters

    def received(self, octets: bytes, host: str, port: int) -> bytes | None:
        """
        Handle a packet from C{host} and C{port}, and return the answer; None if it isn't answered.
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
        if not hmac.compare_digest(requestAuthenticator(octets, secret), authenticator):
            raise Discarded("the authenticator is wrong")
        if not signed(octets, secret):
            raise Discarded("the Message-Authenticator is wrong")
        self._forget()
        known = self._answers.get((host, authenticator))
        if known is not None:
            if (known.port, known.identifier) != (port, identifier):
                raise Discarded("a replay")
            return known.octets
        request = pyrad.Packet(dict=dictionary(), packet=octets)
        packet = RADIUSPacket(request)
        self._judgeTime(packet)
        if len(self._answers) >= REMEMBERED:
            raise Discarded("too many requests")
        answer = self._obey(packet, request.keys(), host)
        answered = reply(octets, secret, packet.octets("Proxy-State"), answer or 0)
        if answered is None:
            raise Discarded("no room for an answer")
        until = self._clock.seconds() + 2 * self._window
        self._answers[host, authenticator] = _Answer(port, identifier, answered, until)
        return answered

    def _forget(self) -> None:
        """
        Forget the answers to requests that are now refused for their age. The oldest stand first.
        """
        now = self._clock.seconds()
        while self._answers:
            first = next(iter(self._answers))
            if self._answers[first].until >= now:
                return
            del self._answers[first]

    def _judgeTime(self, packet: RADIUSPacket) -> None:
        times = list(packet.values("Event-Timestamp"))
        if not times:
            if self._timestamps:
                raise Discarded("no Event-Timestamp")
        elif abs(times[0] - self._now()) > self._window or times[0] < self._earliest:
            raise Discarded("stale, or a clock is wrong")

    def _obey(self, packet: RADIUSPacket, keys: Iterable[Any], host: str) -> ErrorCause | None:
        """
        Carry the request out. Return None, or why it is refused.
        """
        try:
            check(packet, keys, self._nas)
            sessions = find(packet, self._sessions)
            if packet.code == COA_REQUEST:
                profiles = [(session, _applied(packet, session)) for session in sessions]
                for _, profile in profiles:
                    if profile.filter and profile.filter not in self._filters:
                        raise RADIUSRefusal(
                            ErrorCause.INVALID_ATTRIBUTE_VALUE,
                            f"there is no filter {profile.filter!a}",
                        )
                for session, profile in profiles:
                    session.change(profile)
            else:
                for session in sessions:
                    session.hangUp(
                        Cause("disconnected by a RADIUS server", Termination.ADMIN_RESET)
                    )
        except RADIUSRefusal as refusal:
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


def _applied(packet: RADIUSPacket, session: ISession) -> Profile:
    """
    Return the profile of C{session} with the changes of C{packet}.

    @raise RADIUSRefusal: the packet can't be obeyed.
    """
    try:
        return applied(packet, session.profile)
    except Malformed as problem:
        raise RADIUSRefusal(ErrorCause.INVALID_ATTRIBUTE_VALUE, str(problem)) from problem


class DynamicPort(DatagramProtocol):
    """
    The UDP port of dynamic authorization.
    """

    _log = Logger()

    def __init__(self, rules: DynamicAuthorization) -> None:
        self._rules = rules

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """
        Answer a datagram if it is a valid request.
        """
        host, port = addr[:2]
        answer = self._rules.received(datagram, host, port)
        if answer is not None and self.transport is not None:
            try:
                self.transport.write(answer, addr)
            except (OSError, MessageLengthError) as error:
                self._log.warn("no answer to {host}: {error}", host=host, error=error)


@implementer(IPreparable)
class DynamicService(Service):
    """
    The UDP port of dynamic authorization, which is open while this service runs, if C{[radius]
    dynamic} names one.
    """

    def __init__(
        self,
        reactor: Any,
        configuration: Configuration,
        sessions: ISessions,
        counters: Counters,
    ) -> None:
        """
        @param sessions: the sessions that exist.
        @raise ConfigurationError: nobody may send requests, or a secret is missing.
        """
        Service.setName(self, "RADIUS dynamic authorization")
        self._reactor = reactor
        self._port: Any = None
        self._place = configuration.radius.dynamic
        self._rules = DynamicAuthorization(
            reactor,
            counters=counters,
            sessions=sessions,
            **_settings(configuration),
        )

    @property
    def port(self) -> int:
        """
        The number of the UDP port, once it is open.
        """
        port: int = self._port.getHost().port
        return port

    def lacking(self) -> Iterator[str]:
        """
        See L{IPreparable.lacking}.
        """
        if self._place and (fault := lackingAddress(self._place.rpartition(":")[0])):
            yield f"[radius] dynamic = {fault}"

    def follow(self, configuration: Configuration) -> ReloadStep:
        """
        Prepare to follow C{configuration}, at another port too.

        @raise ConfigurationError: it can't be used.
        """
        settings, place = _settings(configuration), configuration.radius.dynamic
        opened: list[Any] = []

        def open() -> None:
            if self.running and place != self._place:
                opened.append(self._open(place))

        def close() -> None:
            for port in filter(None, opened):
                port.stopListening()

        def apply() -> None:
            self._rules.change(**settings)
            self._place = place
            if opened:
                old, self._port = self._port, opened.pop()
                if old is not None:
                    old.stopListening()

        return ReloadStep("[radius] dynamic", apply, open, close)

    def privilegedStartService(self) -> None:
        """
        Open the port.

        @raise ConfigurationError: that isn't possible; the text says why.
        """
        Service.privilegedStartService(self)
        self._port = self._open(self._place)

    def stopService(self) -> Any:
        """
        Close the port.
        """
        Service.stopService(self)
        port, self._port = self._port, None
        return port.stopListening() if port is not None else None

    def _open(self, place: str) -> Any:
        if not place:
            return None
        host, _, number = place.rpartition(":")
        try:
            return self._reactor.listenUDP(int(number), DynamicPort(self._rules), interface=host)
        except CannotListenError as error:
            raise ConfigurationError(
                f"[radius] dynamic: can't listen on {place}: {error.socketError.strerror}"
            ) from error


def _settings(configuration: Configuration) -> dict[str, Any]:
    """
    Return the arguments of L{DynamicAuthorization.change} that C{configuration} gives.

    @raise ConfigurationError: nobody may send requests, or a secret is missing.
    """
    radius = configuration.radius
    if radius.dynamic and not radius.client:
        raise ConfigurationError(
            "[radius] dynamic: nobody may send requests there; a [[radius.client]] names somebody"
        )
    return {
        "secrets": {one.host: one.sharedSecret() for one in radius.client if radius.dynamic},
        "nas": NAS.of(configuration),
        "window": radius.dynamicWindow,
        "timestamps": radius.requireEventTimestamp,
        "filters": [one.name for one in configuration.network.filter],
    }
