"""
Accounting (RFC 2866, with RFC 2869's interim updates): which records there are, and when.

The rules:

 - Accounting-On comes first and Accounting-Off last (RFC 2866 section 5.1).
 - A session's Start is sent when its first network protocol opens: then it is served, and its
   addresses are known. A session that never gets there is nothing to be paid for, and has no Stop
   either.
 - These and the Stop go through the spool, so that they survive dead servers and a restart. They
   keep when they happened (Event-Timestamp); each time they are sent they say how long ago that is
   (Acct-Delay-Time).
 - Interim updates come at the interval of the account or, without one, of the configuration, more
   or less a tenth, and shortly after addresses or the profile have changed. One that nobody answers
   is not repeated, since the next one says more; none is sent before the Start is answered.
"""

from __future__ import annotations

from collections.abc import Callable
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
from pptpgw.radius.description import (
    INTERIM_UPDATE,
    OFF,
    ON,
    START,
    STOP,
    Attributes,
    describe,
    figures,
    fill,
    general,
    integer,
    pack,
    unpack,
)
from pptpgw.radius.nas import NAS
from pptpgw.radius.packet import ACCOUNTING_REQUEST, RADIUSRequest, Reply
from pptpgw.radius.spool import Spool
from pptpgw.radius.transport import Fill
from pptpgw.sessions.cause import Termination, codeOf
from pptpgw.sessions.observer import SessionObserver
from pptpgw.timing.timer import cancelled

SHORTEST_INTERVAL = 60.0
"""
Seconds between interim updates, at least (RFC 2869 section 2.1).
"""
SETTLING = 2.0
"""
Seconds in which changes of a session become one update.
"""
JITTER = 0.1
STOP_SECONDS = 5.0
"""
Seconds that the servers are given to answer when the gateway stops.
"""

UNANSWERED = "an interim accounting record was not answered"

Ask = Callable[[int, Fill, float], Deferred[Reply]]
"""
L{pptpgw.radius.client.RADIUSClient.request}.
"""


class Accounting(SessionObserver):
    """
    Tells accounting servers of sessions.
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
        @param makeSpool: makes the spool, given the function that sends a record.
        @param nas: the gateway's name and address.
        @param interval: seconds between interim updates; 0 for none.
        @param deadline: seconds that a request may take.
        @param now: gives the time of day, in seconds since 1970.
        """
        self.clock = clock
        self.interval = interval
        self._ask = ask
        self._nas = nas
        self._deadline = deadline
        self._counters = counters
        self._now = now
        self._accounts: dict[int, _Account] = {}
        self._spool = makeSpool(self._send)
        self._run = token_hex(8).encode()

    def open(self) -> None:
        """
        Take up what an earlier run left.

        @raise pptpgw.error.ConfigurationError: the spool can't be used.
        """
        self._spool.start()

    def start(self) -> None:
        """
        Say that we are here.
        """
        self._run = token_hex(8).encode()
        self.record(b"", general(self._nas, self._run, ON))

    def stop(self) -> Deferred[None]:
        """
        Say that we are gone, after the sessions; fires when the servers have all of it, or the time
        for that is over.
        """
        for account in self._accounts.values():
            account.end()
        self._accounts.clear()
        off = (
            *general(self._nas, self._run, OFF),
            ("Acct-Terminate-Cause", integer(Termination.ADMIN_REBOOT)),
        )
        self.record(b"", off)
        return self._spool.stop(STOP_SECONDS)

    def close(self) -> Deferred[None]:
        """
        Close the spool. Calling this again does nothing.

        @return: fires when everything is written.
        """
        return self._spool.close()

    # ISessionObserver

    def protocolOpened(self, session: ISession, protocol: INetworkProtocol) -> None:
        """
        The session begins to be served, or has more addresses.
        """
        account = self._accounts.get(session.number)
        if account is not None:
            account.changed()
            return
        self._accounts[session.number] = account = _Account(self, session)
        self.record(session.identifier.encode(), self._describe(account, START))

    def protocolClosed(self, session: ISession, protocol: INetworkProtocol) -> None:
        """
        It has fewer addresses.
        """
        self.sessionChanged(session)

    def networksChanged(self, session: ISession) -> None:
        """
        It has other prefixes.
        """
        self.sessionChanged(session)

    def sessionChanged(self, session: ISession) -> None:
        """
        Another profile, with another interval perhaps.
        """
        account = self._accounts.get(session.number)
        if account is not None:
            account.changed()

    def sessionEnded(self, session: ISession, cause: str) -> Deferred[None] | None:
        """
        See L{pptpgw.interfaces.ISessionObserver.sessionEnded}: send a Stop.

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
        return self._spool.accounted(identifier)

    # For the class below

    def record(self, session: bytes, attributes: Attributes) -> None:
        """
        Have a record sent that must not be lost.
        """
        now = int(self._now())
        self._spool.put(session, pack(now, (*attributes, ("Event-Timestamp", integer(now)))))

    def update(self, account: _Account) -> Deferred[None] | None:
        """
        Send an interim update, unless its Start hasn't been answered.
        """
        session = account.session
        account.look()
        if self._spool.awaits(session.identifier.encode()):
            return None
        attributes = (
            *self._describe(account, INTERIM_UPDATE),
            *figures(session),
            ("Event-Timestamp", integer(int(self._now()))),
        )
        asked = self._ask(
            ACCOUNTING_REQUEST, lambda request: fill(request, attributes), self._deadline
        )
        return asked.addCallbacks(_answered, self._unanswered)

    def _unanswered(self, failure: Failure) -> None:
        failure.trap(PPTPGWError)
        self._counters.discard(UNANSWERED)

    def _send(self, octets: bytes) -> Deferred[None]:
        """
        Send a record of the spool.
        """
        try:
            happened, attributes = unpack(octets)
        except Malformed:
            # Of another version of the program: nobody can take it.
            self._counters.discard("an accounting record of the spool is none")
            return succeed(None)

        def add(request: RADIUSRequest) -> None:
            fill(request, attributes)
            delay = max(0, int(self._now()) - happened)
            request.add("Acct-Delay-Time", integer(delay))

        return self._ask(ACCOUNTING_REQUEST, add, self._deadline).addCallback(_answered)

    def _describe(self, account: _Account, status: int) -> Attributes:
        return describe(self._nas, account.session, account.networks, status)


class _Account:
    """
    A session that is served: when its next update is due.

    @ivar networks: those it has; of a protocol that has closed those it had, for the Stop.
    """

    __slots__ = ("_accounting", "_asked", "_timer", "networks", "session")

    _log = Logger()

    def __init__(self, accounting: Accounting, session: ISession) -> None:
        self._accounting = accounting
        self._asked: Deferred[None] | None = None
        self._timer: IDelayedCall | None = None
        self.session = session
        self.networks = dict(session.networks)
        self._schedule()

    def look(self) -> None:
        """
        Remember what networks it has.
        """
        self.networks.update(self.session.networks)

    def changed(self) -> None:
        """
        Tell of it shortly.
        """
        self.look()
        self._set(SETTLING)

    def end(self) -> None:
        """
        Send nothing more.
        """
        self._timer = cancelled(self._timer)
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.cancel()

    def _schedule(self) -> None:
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
        self._schedule()
        if self._asked is not None:
            # Nobody has answered the last one.
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
    An Accounting-Response has nothing to say but that it came.
    """
