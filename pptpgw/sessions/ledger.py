"""
The ledger: a row of the store for each session, while it goes on and when it is over.

The rules:

 - Changes within L{DELAY} seconds make one row, and so does a session that is shorter than that.
 - Every session that goes on is written again at intervals, so that a crash costs little of its
   figures.
 - The times of a row are the time of day at which its session began plus durations. So when the
   machine's clock is set, durations stay right, and no row looks older than the one before.

L{pptpgw.sessions.rows} writes the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from pptpgw.config.configuration import Configuration
from pptpgw.config.reload import ReloadStep
from pptpgw.interfaces import INetworkProtocol, ISession
from pptpgw.log import Logger
from pptpgw.ports.queue import Queue
from pptpgw.sessions.cause import codeOf
from pptpgw.sessions.observer import SessionObserver
from pptpgw.sessions.rows import Rows
from pptpgw.store.error import StoreError
from pptpgw.store.interface import IStore
from pptpgw.store.record import FailedAttempts, SessionRecord
from pptpgw.timing.timer import cancelled

DELAY = 1.0


class _Entry:
    """
    A session that goes on.

    @ivar addresses: what it has, or had, by the names of the network protocols.
    """

    __slots__ = ("addresses", "session")

    def __init__(self, session: ISession) -> None:
        self.session = session
        self.addresses: dict[str, tuple[str, ...]] = {}


class Ledger(SessionObserver):
    """
    Writes a row of the store for each session of one gateway when it starts and ends, and from time
    to time between.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        store: IStore,
        queue: Queue,
        gateway: str,
        interim: float,
        now: Callable[[], float] = time,
        brokenOff: Callable[[Sequence[SessionRecord]], object] = lambda records: None,
    ) -> None:
        """
        @param queue: keeps the rows that the store doesn't have yet.
        @param gateway: the gateway's name, no other's that shares the store.
        @param interim: seconds between two rows of a session in which nothing changes.
        @param now: gives the time of day, in seconds since 1970.
        @param brokenOff: called with the sessions that an earlier run left open, once they are
            closed.
        """
        self._clock = clock
        self._now = now
        self._store = store
        self._rows = Rows(clock, store, queue, gateway, brokenOff)
        self._interim = interim
        # Those that go on, by identifier, and those whose row is out of date.
        self._entries: dict[str, _Entry] = {}
        self._changed: set[str] = set()
        self._timers: dict[str, IDelayedCall] = {}

    def open(self) -> None:
        """
        Take up the rows that an earlier run couldn't write. See L{Rows.open}.
        """
        self._rows.open()

    def close(self) -> Deferred[None]:
        """
        Close the queue. See L{Rows.close}.
        """
        return self._rows.close()

    def start(self) -> None:
        """
        Begin to write, with what an earlier run left.
        """
        self._rows.start()
        self._later("interim", self._interim, self._again)

    def stop(self) -> Deferred[None]:
        """
        Every session is over: fires when all is written, or as L{Rows.stop} gives it up.
        """
        self._cancel("interim")
        self._flush()
        return self._rows.stop()

    def follow(self, configuration: Configuration) -> ReloadStep:
        """
        Prepare to write rows under another name of the gateway, and at other intervals.
        """
        return ReloadStep(
            "the records of sessions",
            partial(self._follow, configuration.link.name, configuration.audit.interim),
        )

    def _follow(self, gateway: str, interim: float) -> None:
        self._rows.gateway = gateway
        if interim != self._interim:
            self._interim = interim
            if "interim" in self._timers:
                self._cancel("interim")
                self._later("interim", interim, self._again)

    # ISessionObserver

    def sessionStarted(self, session: ISession) -> None:
        """
        See L{ISessionObserver.sessionStarted}.
        """
        self._entries[session.identifier] = _Entry(session)
        self._touch(session)

    def sessionChanged(self, session: ISession) -> None:
        """
        See L{ISessionObserver.sessionChanged}.
        """
        self._touch(session)

    def protocolOpened(self, session: ISession, protocol: INetworkProtocol) -> None:
        """
        See L{ISessionObserver.protocolOpened}.
        """
        name = protocol.name
        entry = self._entries[session.identifier]
        entry.addresses[name] = tuple(map(str, session.networks.get(name, ())))
        self._touch(session)

    def sessionEnded(self, session: ISession, cause: str) -> Deferred[None] | None:
        """
        See L{ISessionObserver.sessionEnded}.
        """
        identifier = session.identifier
        record = self._record(self._entries.pop(identifier), cause)
        self._changed.discard(identifier)
        return self._rows.putLast(record)

    def lockedOut(self, kind: str, subject: str, failures: int, until: float) -> None:
        """
        See L{ISessionObserver.lockedOut}; C{pptpgw lockouts} reads it.
        """
        attempts = FailedAttempts(kind, subject, failures, self._now(), until)
        self._store.keepAttempts(attempts).addErrback(self._notKept)

    # Rows

    def _record(self, entry: _Entry, cause: str | None = None) -> SessionRecord:
        session, over = entry.session, cause is not None
        now = session.since + session.duration
        counters = session.counters
        return SessionRecord(
            identifier=session.identifier,
            user=_kept(session.user),
            gateway=self._rows.gateway,
            caller=session.caller,
            started=session.since,
            changed=now,
            authentication=session.authentication,
            encryption=session.encryption,
            addresses=tuple(one for all_ in entry.addresses.values() for one in all_),
            octetsReceived=counters.octetsReceived,
            octetsSent=counters.octetsSent,
            packetsReceived=counters.packetsReceived,
            packetsSent=counters.packetsSent,
            ended=now if over else None,
            cause=str(cause) if cause is not None else "",
            code=int(codeOf(cause)) if cause is not None else 0,
            tunnel=session.tunnel.name,
        )

    def _touch(self, session: ISession) -> None:
        self._changed.add(session.identifier)
        if "flush" not in self._timers:
            self._later("flush", DELAY, self._flush)

    def _again(self) -> None:
        self._changed.update(self._entries)
        self._flush()
        self._later("interim", self._interim, self._again)

    def _flush(self) -> None:
        self._cancel("flush")
        changed, self._changed = self._changed, set()
        for identifier in changed:
            self._rows.put(self._record(self._entries[identifier]))
        self._rows.write()

    def _notKept(self, failure: Failure) -> None:
        if failure.check(StoreError) is None:
            self._log.failure("A lockout could not be written", failure=failure)
        else:
            self._log.error("a lockout can't be written: {why}", why=failure.getErrorMessage())

    def _later(self, name: str, seconds: float, function: Any) -> None:
        self._timers[name] = self._clock.callLater(seconds, function)

    def _cancel(self, name: str) -> None:
        cancelled(self._timers.pop(name, None))


def _kept(name: str) -> str:
    """
    C{name} without what a database can't keep: NUL, and halves of surrogate pairs.
    """
    return name.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")
