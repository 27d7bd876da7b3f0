"""
Accounting (RFC 2866, with the interim updates of RFC 2869): which records are sent, and when.

The rules:

 - Accounting-On comes first and Accounting-Off last (RFC 2866 section 5.1).
 - A session's Start is sent when its first network protocol opens, because only then is the user
   served and the addresses are known. A session that ends before that has no records at all.
 - These records and the Stop go through the spool, so that they survive dead servers and a restart.
   Each contains the time of its event (Event-Timestamp); each time it is sent it says how long ago
   that was (Acct-Delay-Time).
 - Interim updates come at the interval of the account or, without one, of the configuration, a
   tenth more or less, and shortly after addresses or the profile have changed. An update that no
   server answers isn't repeated, since the next one contains its figures; none is sent before the
   Start is answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import uniform
from secrets import token_hex
from time import time
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from pptpgw.counting.counters import Counters
from pptpgw.error import Malformed, PPTPGWError
from pptpgw.interfaces import INetworkProtocol, ISession
from pptpgw.log import Logger
from pptpgw.radius.nas import NAS
from pptpgw.radius.packet import (
    ACCOUNTING_REQUEST,
    Attributes,
    RADIUSRequest,
    Reply,
    integer,
)
from pptpgw.radius.record import (
    INTERIM_UPDATE,
    OFF,
    ON,
    START,
    STOP,
    describe,
    figures,
    general,
    pack,
    unpack,
)
from pptpgw.radius.spool import Spool
from pptpgw.radius.transport import Fill
from pptpgw.sessions.cause import Termination, codeOf
from pptpgw.sessions.observer import SessionObserver
from pptpgw.timing.slices import inSlices
from pptpgw.timing.timer import cancelled

SHORTEST_INTERVAL = 60.0
"""
The shortest interval between interim updates (RFC 2869 section 2.1).
"""
SETTLING = 2.0
"""
The seconds for which an update is delayed, so that several changes of a session are reported by
one.
"""
JITTER = 0.1
STOP_SECONDS = 5.0
"""
The seconds that the servers are given to answer when the gateway stops.
"""

UNANSWERED = "an interim accounting record was not answered"

Ask = Callable[[int, Fill, float], Deferred[Reply]]
"""
The type of L{pptpgw.radius.client.RADIUSClient.request}.
"""


class Accounting(SessionObserver):
    """
    A session observer that sends records to accounting servers.

    @ivar isOn: whether sessions to come have records. Those that have a Start have a Stop too.
    @ivar spool: the records that no server has answered yet.
    @ivar nas: the gateway's name and address.
    @ivar interval: seconds between interim updates; 0 for none.
    @ivar deadline: seconds that a request may take.
    """

    def __init__(
        self,
        clock: IReactorTime,
        ask: Ask,
        makeSpool: Callable[[Callable[[bytes], Deferred[None]]], Spool],
        nas: NAS,
        interval: float,
        deadline: float,
        counters: Counters,
        now: Callable[[], float] = time,
    ) -> None:
        """
        @param clock: measures intervals.
        @param ask: sends a request.
        @param makeSpool: makes the spool, given the function that sends a record.
        @param nas: the gateway's name and address.
        @param interval: seconds between interim updates; 0 for none.
        @param deadline: seconds that a request may take.
        @param counters: where discards are counted.
        @param now: returns the time of day, in seconds since 1970.
        """
        self.clock = clock
        self.isOn = True
        self.nas = nas
        self.interval = interval
        self.deadline = deadline
        self._ask = ask
        self._counters = counters
        self._now = now
        self._accounts: dict[int, _Account] = {}
        self.spool = makeSpool(self._send)
        self._run = token_hex(8).encode()

    def open(self) -> None:
        """
        Open the spool, and begin to send the records that an earlier run left there.

        @raise pptpgw.error.ConfigurationError: the spool can't be used.
        """
        self.spool.start()

    def start(self) -> None:
        """
        Send Accounting-On, the first record of this run of the gateway.
        """
        self._run = token_hex(8).encode()
        self.record(b"", general(self.nas, self._run, ON))

    def stop(self) -> Deferred[None]:
        """
        Send Accounting-Off. Call this after the sessions have ended.

        @return: fires when the servers have all records, or after L{STOP_SECONDS}.
        """
        for account in self._accounts.values():
            account.end()
        self._accounts.clear()
        off = (
            *general(self.nas, self._run, OFF),
            ("Acct-Terminate-Cause", integer(Termination.ADMIN_REBOOT)),
        )
        self.record(b"", off)
        return self.spool.stop(STOP_SECONDS)

    def close(self) -> Deferred[None]:
        """
        Close the spool. Calling this again does nothing.

        @return: fires when all records are written to the disk.
        """
        return self.spool.close()

    def schedule(self) -> Deferred[None]:
        """
        Set the timers of the interim updates of all sessions anew, since L{interval} has changed.

        @return: fires when that is done.
        """
        return inSlices(self.clock, self._scheduling())

    def _scheduling(self) -> Iterator[None]:
        for number in tuple(self._accounts):
            if number in self._accounts:
                self._accounts[number].schedule()
            yield

    # ISessionObserver

    def protocolOpened(self, session: ISession, protocol: INetworkProtocol) -> None:
        """
        See L{ISessionObserver.protocolOpened}: send the Start if this is the session's first
        protocol, and otherwise an update soon, as there are more addresses.
        """
        account = self._accounts.get(session.number)
        if account is not None:
            account.changed()
            return
        if not self.isOn:
            return
        self._accounts[session.number] = account = _Account(self, session)
        self.record(session.identifier.encode(), self._describe(account, START))

    def protocolClosed(self, session: ISession, protocol: INetworkProtocol) -> None:
        """
        See L{ISessionObserver.protocolClosed}: send an update soon, as there are fewer addresses.
        """
        self.sessionChanged(session)

    def networksChanged(self, session: ISession) -> None:
        """
        See L{ISessionObserver.networksChanged}: send an update soon, as there are other prefixes.
        """
        self.sessionChanged(session)

    def sessionChanged(self, session: ISession) -> None:
        """
        See L{ISessionObserver.sessionChanged}: send an update soon; the new profile may have
        another interval.
        """
        account = self._accounts.get(session.number)
        if account is not None:
            account.changed()

    def sessionEnded(self, session: ISession, cause: str) -> Deferred[None] | None:
        """
        See L{ISessionObserver.sessionEnded}: send a Stop.

        @return: fires when a server has the Stop, or when it is on the disk and no server answers.
        """
        account = self._accounts.pop(session.number, None)
        if account is None:
            return None
        account.end()
        stop = (
            *self._describe(account, STOP),
            *figures(session),
            ("Acct-Terminate-Cause", integer(codeOf(cause))),
        )
        identifier = session.identifier.encode()
        self.record(identifier, stop)
        return self.spool.accounted(identifier)

    # Methods for _Account

    def record(self, session: bytes, attributes: Attributes) -> None:
        """
        Send a record that must not be lost, through the spool.

        @param session: the session's identifier; empty for a record of the gateway itself.
        """
        now = int(self._now())
        self.spool.put(session, pack(now, (*attributes, ("Event-Timestamp", integer(now)))))

    def update(self, account: _Account) -> Deferred[None] | None:
        """
        Send an interim update, unless the Start hasn't been answered yet; then return None.
        """
        session = account.session
        account.look()
        if self.spool.awaits(session.identifier.encode()):
            return None
        attributes = (
            *self._describe(account, INTERIM_UPDATE),
            *figures(session),
            ("Event-Timestamp", integer(int(self._now()))),
        )
        asked = self._ask(
            ACCOUNTING_REQUEST, lambda request: request.addAll(attributes), self.deadline
        )
        return asked.addCallbacks(_answered, self._unanswered)

    def _unanswered(self, failure: Failure) -> None:
        failure.trap(PPTPGWError)
        self._counters.discard(UNANSWERED)

    def _send(self, octets: bytes) -> Deferred[None]:
        """
        Send a record of the spool.

        @return: fires when a server has the record.
        """
        try:
            happened, attributes = unpack(octets)
        except Malformed:
            # Another version of the program wrote this record; no version that runs can read it.
            self._counters.discard("an accounting record of the spool is none")
            return succeed(None)

        def add(request: RADIUSRequest) -> None:
            request.addAll(attributes)
            delay = max(0, int(self._now()) - happened)
            request.add("Acct-Delay-Time", integer(delay))

        return self._ask(ACCOUNTING_REQUEST, add, self.deadline).addCallback(_answered)

    def _describe(self, account: _Account, status: int) -> Attributes:
        return describe(self.nas, account.session, account.networks, status)


class _Account:
    """
    A session that has a Start: the timer of its next update, and its networks.

    @ivar networks: the session's networks by protocol. Those of a protocol that has closed are kept
        for the Stop.
    """

    __slots__ = ("_accounting", "_asked", "_timer", "networks", "session")

    _log = Logger()

    def __init__(self, accounting: Accounting, session: ISession) -> None:
        self._accounting = accounting
        self._asked: Deferred[None] | None = None
        self._timer: IDelayedCall | None = None
        self.session = session
        self.networks = dict(session.networks)
        self.schedule()

    def look(self) -> None:
        """
        Remember the networks that the session has now.
        """
        self.networks.update(self.session.networks)

    def changed(self) -> None:
        """
        Send an update after L{SETTLING} seconds.
        """
        self.look()
        self._set(SETTLING)

    def end(self) -> None:
        """
        Cancel the timer of the next update, and an update that is being sent.
        """
        self._timer = cancelled(self._timer)
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.cancel()

    def schedule(self) -> None:
        """
        Set the timer of the next update.
        """
        interval = self.session.profile.interim
        if interval is None:
            interval = self._accounting.interval
        self._timer = cancelled(self._timer)
        if interval:
            self._set(max(SHORTEST_INTERVAL, interval * uniform(1 - JITTER, 1 + JITTER)))

    def _set(self, seconds: float) -> None:
        self._timer = cancelled(self._timer)
        self._timer = self._accounting.clock.callLater(seconds, self._update)

    def _update(self) -> None:
        self._timer = None
        self.schedule()
        if self._asked is not None:
            # The last update hasn't been answered.
            return
        asked = self._accounting.update(self)
        if asked is not None:
            self._asked = asked
            asked.addErrback(self._failed)
            asked.addCallback(self._over)

    def _failed(self, failure: Failure) -> None:
        if self._asked is not None:
            self._log.failure("an interim accounting record failed", failure=failure)

    def _over(self, _: None) -> None:
        self._asked = None


def _answered(_: Any) -> None:
    """
    Ignore the content of an Accounting-Response; only its arrival matters.
    """
