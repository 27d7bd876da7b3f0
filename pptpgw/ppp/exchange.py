"""
The common part of all authentication exchanges.

The authenticator's rules:

 - One claim is verified at a time, for L{VERIFICATION_SECONDS} at most.
 - For a true claim L{IVerdicts.granted} is called before the peer is told, and may still refuse the
   peer; L{IVerdicts.authenticated} is called afterwards.
 - A false claim may be followed by another one, up to L{TRIES} claims, if the method and the
   checker allow it. The last one ends the exchange with L{IVerdicts.refused}.
 - A claim with a password that has expired may be followed by a change of the password, once.
 - During a session the peer may be challenged again. Then a false claim ends the exchange at once,
   and so does a true claim for another name.
 - A claim that nobody could judge ends the exchange with L{IVerdicts.refused} and the cause
   L{OUTAGE}. The peer is sent no verdict, since it would think that its password is wrong. A peer
   that has authenticated before keeps its session, and is challenged again soon.
 - No input raises an exception. Unexpected packets are counted in C{discards} and silently
   discarded.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from pptpgw.error import Refused, Unavailable
from pptpgw.interfaces import Claim, Grant, IAuthenticationProtocol, IPeerResults, IVerdicts
from pptpgw.log import Logger
from pptpgw.ppp import automaton
from pptpgw.sessions.cause import Cause, Termination, causeOf
from pptpgw.sessions.remedy import Remedy
from pptpgw.timing.timer import cancelled, within

# Seconds between two transmissions of a packet, and the number of transmissions (pppd's defaults).
RESTART_SECONDS = automaton.RESTART_SECONDS
TRANSMISSIONS = 10
# Seconds that the verification of a claim may take: a little more than checkers have, and as long
# as some peers wait for an answer.
VERIFICATION_SECONDS = 30.0
# Seconds that a peer may take whose user must type the password again.
RETRY_SECONDS = 60.0
# Seconds that a peer may take whose user must choose a new password.
CHANGE_SECONDS = 120.0
# The number of claims that may be false, including the first.
TRIES = 3
# The time when a peer is challenged again after an outage: seconds after the peer's last answer,
# since some peers hang up after waiting for 30 seconds; and the least number of seconds after the
# verification failed.
OUTAGE_SECONDS = 20.0
PAUSE_SECONDS = 1.0

OUTAGE = Cause(
    "no resources: callers can't be judged or served just now, dial again later",
    Termination.SERVICE_UNAVAILABLE,
    Remedy.OUTAGE,
)
"""
The cause of the end of a link in an outage, which the peer is told; the log says more.
"""

Authenticate = Callable[[Claim], Deferred[Grant]]
"""
A function that judges a claim; fails with L{Refused} if it is false.
"""

Send = Callable[[bytes], None]
"""
A function that sends a packet of the exchange to the other end.
"""

RandomOctets = Callable[[int], bytes]
"""
A function that returns so many random octets.
"""


class Exchange:
    """
    A base class of exchanges, with one timer. Once stopped, an exchange does nothing more.

    @ivar discards: how many packets were silently discarded.
    """

    __slots__ = ("_claimedAt", "_clock", "_send", "_stopped", "_timer", "discards")

    _log = Logger()

    def __init__(self, clock: IReactorTime, send: Send) -> None:
        self.discards = 0
        self._clock = clock
        self._send = send
        self._stopped = False
        # The time when the last claim was made.
        self._claimedAt = 0.0
        self._timer: IDelayedCall | None = None

    def stop(self) -> None:
        """
        See L{IExchange.stop}.
        """
        self._stopped = True
        self._disarm()

    def _arm(self, seconds: float, function: Callable[..., None], *arguments: object) -> None:
        """
        Call C{function} in C{seconds}, instead of the function that the timer was set for before.
        """
        self._disarm()
        self._timer = self._clock.callLater(seconds, function, *arguments)

    def _armSoon(self, rechallenge: float, ask: Callable[[], None]) -> None:
        """
        Set the timer to call C{ask}, which challenges the peer again after an outage.

        @param rechallenge: the seconds after which C{ask} would be called without an outage.
        """
        due = self._claimedAt + min(rechallenge, OUTAGE_SECONDS) - self._clock.seconds()
        self._arm(max(PAUSE_SECONDS, due), ask)

    def _disarm(self) -> None:
        self._timer = cancelled(self._timer)

    def _broken(self, failure: Failure) -> None:
        self._log.failure("what was told a verdict failed", failure)


class PeerExchange(Exchange):
    """
    The peer's end: what it proves, and who is told the result.
    """

    __slots__ = ("_name", "_password", "_results")

    def __init__(
        self,
        clock: IReactorTime,
        send: Send,
        name: bytes,
        password: bytes,
        results: IPeerResults,
    ) -> None:
        """
        @param name: our name.
        @param password: our password in UTF-8.
        """
        Exchange.__init__(self, clock, send)
        self._name = name
        self._password = password
        self._results = results

    def _refused(self, reason: str) -> None:
        self.stop()
        self._results.refused(reason)

    def _disbelieved(self, reason: str) -> None:
        """
        End the exchange, since one end doesn't believe the other. Trying again won't help.
        """
        self._refused(Cause(reason, Termination.USER_ERROR, Remedy.NOT_BELIEVED))


class AuthenticatorExchange(Exchange):
    """
    The authenticator's end: claims, tries and verdicts. Derived classes add the packets of a
    protocol.
    """

    __slots__ = (
        "_authenticate",
        "_method",
        "_name",
        "_over",
        "_pending",
        "_refusal",
        "_tries",
        "_verdicts",
    )

    def __init__(
        self,
        clock: IReactorTime,
        send: Send,
        method: IAuthenticationProtocol,
        authenticate: Authenticate,
        verdicts: IVerdicts,
    ) -> None:
        """
        @param method: the protocol that claims name as their method.
        @param authenticate: judges a claim. The Deferred fails with L{pptpgw.error.Refused} if the
            claim is false, and with L{pptpgw.error.Unavailable} if it can't be judged at present.
        """
        Exchange.__init__(self, clock, send)
        self._method = method
        self._authenticate = authenticate
        self._verdicts = verdicts
        self._pending: Deferred[Grant] | None = None
        # The name for which the peer has been authenticated.
        self._name: str | None = None
        # Whether the exchange has failed for good, so that no claim is verified any more.
        self._over = False
        self._tries = 0
        # The last refusal.
        self._refusal = Refused("")

    def stop(self) -> None:
        """
        See L{IExchange.stop}. The verification that is under way is cancelled.
        """
        Exchange.stop(self)
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.cancel()

    # Methods that derived classes override

    def repeat(self) -> None:
        """
        Do nothing: a peer that didn't receive its success asks again.
        """

    @property
    def _mayRetry(self) -> bool:
        """
        Whether the protocol allows a peer whose claim was false to try again.
        """
        return True

    @property
    def _mayChange(self) -> bool:
        """
        Whether the peer that is being refused may change its password instead.
        """
        return False

    def _accept(self, message: bytes) -> None:
        """
        Tell the peer that its claim is true.

        @param message: the text for the peer, L{Grant.message}.
        """
        raise NotImplementedError

    def _deny(self, retry: bool) -> None:
        """
        Tell the peer that its claim is false, for the reason in C{_refusal}.

        @param retry: whether the peer may try again.
        """
        raise NotImplementedError

    def _askLater(self) -> None:
        """
        Challenge an authenticated peer again soon. Do nothing if the protocol can't.
        """

    # Methods that derived classes call

    def _verify(self, claim: Claim) -> None:
        """
        Have C{claim} judged, and act on the verdict.
        """
        self._disarm()
        self._claimedAt = self._clock.seconds()
        self._tries += 1
        self._refusal = Refused("")
        self._pending = judged = maybeDeferred(self._authenticate, claim)
        within(judged, VERIFICATION_SECONDS, self._clock)
        judged.addCallbacks(self._granted, self._denied).addErrback(self._broken)

    def _unanswered(self, reason: str, remedy: Remedy = Remedy.NO_ANSWER) -> None:
        """
        End the exchange because the peer took too long to answer.
        """
        self._over = True
        self._disarm()
        self._verdicts.refused(Cause(reason, Termination.LOST_CARRIER, remedy))

    # The verdicts

    def _granted(self, grant: Grant) -> None:
        self._pending = None
        if self._stopped:
            return
        if self._name is None:
            self._admit(grant)
        elif grant.name == self._name:
            self._accept(grant.message)
        else:
            self._refuse("the peer took another name when it was challenged again")

    def _admit(self, grant: Grant) -> None:
        try:
            self._verdicts.granted(grant)
        except Refused as refusal:
            # The traceback refers to this frame, and so to this exchange.
            self._refusal = refusal.with_traceback(None)
            self._refuse(causeOf(refusal))
        except Exception:
            self._lacking(Failure())
        else:
            if not self._stopped:
                self._name = grant.name
                self._accept(grant.message)
                self._verdicts.authenticated(grant)

    def _denied(self, failure: Failure) -> None:
        self._pending = None
        if self._stopped:
            return
        problem = failure.value
        if not isinstance(problem, Refused):
            self._lacking(failure)
            return
        self._refusal = problem
        if self._mayChange and self._name is None:
            self._deny(False)
            reason = "the peer did not change its password"
            self._arm(CHANGE_SECONDS, self._unanswered, reason, Remedy.EXPIRED)
        elif problem.retry and self._mayRetry and self._name is None and self._tries < TRIES:
            self._deny(True)
            self._arm(RETRY_SECONDS, self._unanswered, "the peer did not try again")
        else:
            self._refuse(causeOf(problem))

    def _lacking(self, failure: Failure) -> None:
        """
        Handle an outage: the claim couldn't be judged, or the peer can't be served.
        """
        if failure.check(Unavailable, DeferredTimeout) is None:
            self._log.failure("a claim could not be verified", failure)
        if self._name is not None:
            self._askLater()
        else:
            self._over = True
            self._verdicts.refused(OUTAGE)

    def _refuse(self, reason: str) -> None:
        self._over = True
        self._deny(False)
        self._verdicts.refused(reason)
