"""
The audit: events of sessions and callers as lines of JSON.

The rules:

 - An event is one JSON object on one line of ASCII characters: no text of a peer's can break a line
   or begin another. Keys without a meaning for an event are left out.
 - Every event has C{time} (ISO 8601, UTC) and C{event}: C{started}, C{changed}, C{opened},
   C{closed}, C{ended}, C{refused}, C{attacked}, C{lockedOut} or C{operated}. Those of a session
   have C{session}, C{user} and C{source}, the address that it calls from; C{concentrator} if that
   is of an access concentrator, and C{callingStation} and C{calledStation} if these are known.
   C{operated} has C{operator}, C{from}, C{action}, C{target} and C{outcome}.
 - Octets and packets are those of the network packets, seen from the gateway: received from the
   user, sent to it.
 - No event contains a password, key or challenge.
 - Anybody can cause refusals, so refusals, attacks and lockouts have a rate limit, and what
   operators do has another one. Those beyond it are counted, and the next event of these says how
   many were C{omitted}.
 - Sessions that an earlier run left open, because it was killed for example, get their C{ended}
   from the next run, with the data of the store or, without a store, of this file. Duration and
   figures are known only to the store.

The events go through L{twisted.logger}, in the namespace C{pptpgw.audit}, to an observer of their
own; the JSON object is the value C{audit} of each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from time import time
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import ILogObserver, LogEvent, Logger
from zope.interface import implementer

from pptpgw.counting.bucket import Bucket
from pptpgw.interfaces import (
    Attack,
    IAttackObserver,
    INetworkProtocol,
    IOperatorObserver,
    ISession,
    Operated,
)
from pptpgw.sessions.cause import codeOf
from pptpgw.sessions.leftopen import BROKEN_OFF, LeftOpen
from pptpgw.sessions.observer import SessionObserver
from pptpgw.sessions.profile import Profile
from pptpgw.store.record import SessionRecord

REFUSALS = (20.0, 1000.0)
"""
How many refusals a second are written in the long run, and how many at once; and how many acts of
operators.
"""

Addresses = dict[str, tuple[str, ...]]
"""
The networks of a session, as text, by the names of the network protocols.
"""


@implementer(ILogObserver)
class LineObserver:
    """
    A log observer that passes each event of the audit to C{write} as one line, newline included.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def __call__(self, event: LogEvent) -> None:
        """
        Write the line of one event.
        """
        self._write(json.dumps(event["audit"], separators=(",", ":")) + "\n")


def timestamp(seconds: float) -> str:
    """
    Return a time, in seconds since the epoch, in the form of ISO 8601.
    """
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def allowed(profile: Profile) -> dict[str, object]:
    """
    Return what an account's profile says beyond the configuration, in types that JSON has.
    """
    found: dict[str, object] = {}
    for one in fields(profile):
        value = getattr(profile, one.name)
        default = () if one.default is MISSING else one.default
        if one.name != "name" and value != default:
            found[one.name] = _plain(value)
    return found


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, frozenset):
        return sorted(map(str, value))
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return str(value)


def _recorded(record: SessionRecord) -> dict[str, object]:
    """
    Return the values that the store has for a session that an earlier run left open.
    """
    return {
        "user": record.user,
        "source": record.caller,
        "tunnel": record.tunnel,
        "started": timestamp(record.started),
        "duration": round(record.changed - record.started, 3),
        "method": record.authentication,
        "encryption": record.encryption,
        "addresses": {
            name: addresses
            for name, addresses in (
                ("ipv4", [one for one in record.addresses if ":" not in one]),
                ("ipv6", [one for one in record.addresses if ":" in one]),
            )
            if addresses
        },
        "octetsReceived": record.octetsReceived,
        "octetsSent": record.octetsSent,
        "packetsReceived": record.packetsReceived,
        "packetsSent": record.packetsSent,
    }


class _Limited:
    """
    A limit on the events of one kind, and how many were left out.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._bucket = Bucket(clock.seconds, REFUSALS)
        self._omitted = 0

    def allows(self) -> bool:
        """
        Return whether an event may be written. If not, count it.
        """
        if self._bucket.take():
            return True
        self._omitted += 1
        return False

    def omitted(self) -> int:
        """
        Return how many were left out since this was asked last.
        """
        omitted, self._omitted = self._omitted, 0
        return omitted


@implementer(IOperatorObserver, IAttackObserver)
class Audit(SessionObserver):
    """
    A session observer that passes what happens to a log observer, as events of the audit.
    """

    def __init__(
        self, clock: IReactorTime, observer: ILogObserver, now: Callable[[], float] = time
    ) -> None:
        """
        @param observer: receives the events.
        @param now: returns the time of day, in seconds since 1970.
        """
        self._now = now
        self._log = Logger(namespace="pptpgw.audit", observer=observer)
        # The networks that each session has now, or had last.
        self._addresses: dict[str, Addresses] = {}
        self._refusals = _Limited(clock)
        self._acts = _Limited(clock)

    def sessionStarted(self, session: ISession) -> None:
        """
        See L{ISessionObserver.sessionStarted}. The time of the event is the one that C{ended} and
        the store have as the session's start.
        """
        self._addresses[session.identifier] = {}
        self._tell(
            "started",
            session,
            time=timestamp(session.since),
            method=session.authentication,
            profile=allowed(session.profile),
        )

    def sessionChanged(self, session: ISession) -> None:
        """
        See L{ISessionObserver.sessionChanged}.
        """
        self._tell("changed", session, profile=allowed(session.profile))

    def protocolOpened(self, session: ISession, protocol: INetworkProtocol) -> None:
        """
        See L{ISessionObserver.protocolOpened}.
        """
        name = protocol.name
        addresses = tuple(map(str, session.networks.get(name, ())))
        self._addresses.setdefault(session.identifier, {})[name] = addresses
        self._tell(
            "opened",
            session,
            protocol=name,
            addresses=addresses,
            method=session.authentication,
            encryption=session.encryption,
        )

    def protocolClosed(self, session: ISession, protocol: INetworkProtocol) -> None:
        """
        See L{ISessionObserver.protocolClosed}.
        """
        name = protocol.name
        addresses = self._addresses.get(session.identifier, {}).get(name, ())
        self._tell("closed", session, protocol=name, addresses=addresses)

    def sessionEnded(self, session: ISession, cause: str) -> None:
        """
        See L{ISessionObserver.sessionEnded}.
        """
        counters = session.counters
        self._tell(
            "ended",
            session,
            cause=str(cause),
            code=int(codeOf(cause)),
            started=timestamp(session.since),
            duration=round(session.duration, 3),
            method=session.authentication,
            encryption=session.encryption,
            addresses=self._addresses.pop(session.identifier, {}),
            octetsReceived=counters.octetsReceived,
            octetsSent=counters.octetsSent,
            packetsReceived=counters.packetsReceived,
            packetsSent=counters.packetsSent,
        )

    def endEarlier(self, leftOpen: LeftOpen, records: Iterable[SessionRecord]) -> None:
        """
        Write the end of each session that an earlier run left open.

        @param records: those that the store has ended.
        """
        for record in records:
            if record.identifier not in leftOpen.ended:
                leftOpen.open.pop(record.identifier, None)
                self._endEarlier(record.identifier, _recorded(record))
        for identifier, found in leftOpen.open.items():
            self._endEarlier(identifier, found)

    def _endEarlier(self, identifier: str, found: Mapping[str, object]) -> None:
        cause = {"cause": str(BROKEN_OFF), "code": int(BROKEN_OFF.code)}
        self._write("ended", {"session": identifier, **found, **cause})

    def callerRefused(self, caller: str, name: str, method: str, reason: str, tunnel: str) -> None:
        """
        See L{ISessionObserver.callerRefused}.
        """
        self._refusal(
            "refused", source=caller, tunnel=tunnel, user=name, method=method, cause=str(reason)
        )

    def attacked(self, attack: Attack) -> None:
        """
        See L{IAttackObserver.attacked}.
        """
        self._refusal(
            "attacked",
            session=attack.session,
            user=attack.user,
            source=attack.source,
            tunnel=attack.tunnel,
            cause=attack.reason,
        )

    def lockedOut(self, kind: str, subject: str, failures: int, until: float) -> None:
        """
        See L{ISessionObserver.lockedOut}.
        """
        found: dict[str, object] = {kind: subject}
        self._refusal("lockedOut", failures=failures, until=timestamp(until), **found)

    def operated(self, act: Operated) -> None:
        """
        See L{IOperatorObserver.operated}.
        """
        found = {
            "operator": act.operator,
            "from": act.source,
            "action": act.action,
            "target": act.target,
            "outcome": act.outcome,
        }
        self._limited(self._acts, "operated", found)

    def _refusal(self, event: str, **found: object) -> None:
        self._limited(self._refusals, event, found)

    def _limited(self, limited: _Limited, event: str, found: Mapping[str, object]) -> None:
        if limited.allows():
            told = {**found, "omitted": limited.omitted()}
            self._write(event, {key: value for key, value in told.items() if value})

    def _tell(self, event: str, session: ISession, **found: object) -> None:
        stations = {
            "concentrator": session.concentrator,
            "callingStation": session.stations.calling,
            "calledStation": session.stations.called,
        }
        self._write(
            event,
            {
                "session": session.identifier,
                "user": session.user,
                "source": session.caller,
                "tunnel": session.tunnel.name,
                **{name: text for name, text in stations.items() if text},
                **found,
            },
        )

    def _write(self, event: str, found: Mapping[str, Any]) -> None:
        told = {"time": timestamp(self._now()), "event": event, **found}
        self._log.info("{event}: {audit}", event=event, audit=told)
