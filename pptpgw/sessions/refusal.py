"""
Reports of callers that the gateway turns away, to the log and to session observers.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from pptpgw.counting.counters import Counters
from pptpgw.error import Category, Exhausted, Refused
from pptpgw.interfaces import Claim, Grant, ICall
from pptpgw.log import Logger, Quota
from pptpgw.sessions.cause import categoryOf, causeOf, whyOf
from pptpgw.sessions.outage import Outage
from pptpgw.sessions.registry import Registry
from pptpgw.sessions.tally import Tally


class Refusals:
    """
    Reports the refusals of a gateway, within a L{Quota} so that callers can't fill the log.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        quota: Quota,
        counters: Counters,
        sessions: Registry,
        now: Callable[[], float],
        tally: Tally,
    ) -> None:
        """
        @param quota: limits the lines of the log.
        @param counters: where calls that are refused before they began are counted.
        @param sessions: tells the observers.
        @param now: returns the time of day, in seconds since 1970.
        @param tally: counts refusals by their category.
        """
        self._quota = quota
        self._counters = counters
        self._sessions = sessions
        self._now = now
        self._tally = tally
        self._outage = Outage(clock)

    def call(self, call: ICall, reason: str, category: Category) -> None:
        """
        Report a call that is refused before it began.
        """
        source, tunnel = call.caller, call.tunnel.name
        self._tally.refusals[tunnel, category] += 1
        self._counters.discard("call refused")
        if self._quota.allows("refused calls", source):
            self._log.warn(
                "{caller}: call refused: {reason} ({count} calls refused so far)",
                caller=source,
                reason=reason,
                count=self._counters.discards["call refused"],
            )
            self._sessions.callerRefused(source, "", "", reason, tunnel)

    def claim(self, claim: Claim, source: str, failure: Failure, inSession: bool) -> None:
        """
        Report C{claim}, from the address C{source}: it was false, or its caller can't be served.

        @param failure: L{Refused} or L{Exhausted}; C{CancelledError} if the claim was withdrawn,
            which isn't reported; any other exception is an outage.
        @param inSession: whether the caller has a session, which an outage doesn't end.
        """
        if failure.check(CancelledError) is not None:
            return
        tunnel = "" if claim.caller is None else claim.caller.tunnel.name
        self._tally.refusals[tunnel, categoryOf(failure.value)] += 1
        name = claim.name[:64].decode("utf-8", "replace")
        why = str(whyOf(causeOf(failure.value)))
        if failure.check(Refused, Exhausted) is None:
            self._outage.touched(failure)
            if inSession:
                return
        elif self._quota.allows("refused callers", source):
            self._log.warn(
                "{caller}: {name!a} is refused, by {method}: {why}",
                session=claim.caller.session if claim.caller is not None else "",
                caller=source,
                name=name,
                method=claim.method.name,
                why=why,
            )
        self._sessions.callerRefused(source, name, claim.method.name, why, tunnel)

    def served(self, grant: Grant) -> Grant:
        """
        Note that a claim was true and its caller is served, which may end an outage.
        """
        self._outage.served()
        return grant

    def lockedOut(self, kind: str, subject: str, failures: int, seconds: float) -> None:
        """
        Report that a user, or a source, is locked out.
        """
        until = self._now() + seconds
        if self._quota.allows("lockouts", subject):
            self._log.warn(
                "{kind} {subject!a} is locked out until {until}, after {failures} failures",
                kind=kind,
                subject=subject,
                until=datetime.fromtimestamp(until).isoformat(" ", "seconds"),
                failures=failures,
            )
        self._sessions.lockedOut(kind, subject, failures, until)

    def stop(self) -> None:
        """
        Report the end of an outage, if there is one, and how many lines of the log were left out.
        Call this when all calls and the connections of all tunnels are over.
        """
        self._outage.stop()
        self._quota.tell()
