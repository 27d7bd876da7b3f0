"""
Limits on guessing: claims that are found false, counted by user and by source.

The rules:

 - A claim counts against the user that it names, whether there is one or not, and against the
   address that it came from, unless it is found true or nobody can judge it. So one that is taken
   back before its verdict counts as a false one does. C{[limits] lockout} seconds forget as many as
   are allowed, evenly; a claim found true forgets the user's at once, and nothing of the source's,
   for who guesses may have an account too.
 - Names of one user are told apart neither by case nor by a Windows domain (L{Claim.identity}).
   Where somebody else converses with the peer (L{Claim.relayed}), the user that is proven may be
   another than the one that was named: a lockout of either holds, and only the one that is proven
   begins anew.
 - The answer to a false claim comes L{FIRST_SECONDS} to L{LAST_SECONDS} after the claim, the later
   the more there were. That is counted from the claim's arrival, so it doesn't show how long
   judging it took: an unknown user's is answered as late as one with a wrong password.
 - Where there were as many as are allowed the user, or the source, is locked out: for C{lockout}
   seconds every claim is answered as a false one, the true ones too, and nobody is asked. Claims
   that were being judged then fare no better, so to make many at once gains nothing.
 - What comes during a lockout isn't counted: it doesn't prolong that, and who keeps calling for a
   user that is locked out, or from a source, does no harm to the other.
 - Each table has L{SUBJECTS} subjects at most, and forgets the one that was quiet longest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from pptpgw.error import Refused, Unavailable, Unproven
from pptpgw.interfaces import Claim, Grant
from pptpgw.section import Limits

FIRST_SECONDS = 0.5
LAST_SECONDS = 8.0
SUBJECTS = 10_000
# How long a claim may be judged: [radius] deadline is less, and how long exchanges wait is more.
JUDGING_SECONDS = 28.0

Authenticate = Callable[[Claim], Deferred[Grant]]
Told = Callable[[str, str, int, float], None]
"""
Called with a kind, a subject, the number of failures and the seconds that the lockout takes.
"""


class _Record:
    """
    One subject.

    @ivar failures: how many aren't forgotten.
    @ivar last: when the last one was.
    @ivar until: when its lockout ends.
    """

    __slots__ = ("failures", "last", "until")

    def __init__(self, now: float) -> None:
        self.failures = 0.0
        self.last = now
        self.until = 0.0


class FailureTable:
    """
    The subjects of one kind.
    """

    def __init__(
        self, kind: str, allowed: int, seconds: float, clock: IReactorTime, told: Told
    ) -> None:
        """
        @param kind: C{"user"} or C{"source"}.
        @param allowed: how many failures lock a subject out; 0: none does.
        @param seconds: for how long, and how long it takes to forget so many.
        @param told: called when one is locked out.
        """
        self._kind = kind
        self._allowed = allowed
        self._seconds = seconds
        self._clock = clock
        self._told = told
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def __len__(self) -> int:
        return len(self._records)

    def locked(self, subject: str) -> bool:
        """
        Whether C{subject} is locked out.
        """
        record = self._records.get(subject)
        return record is not None and self._clock.seconds() < record.until

    def failed(self, subject: str) -> float:
        """
        Count a failure of C{subject}, unless it is locked out.

        @return: how near to a lockout C{subject} is, from 0 to 1.
        """
        if not self._allowed:
            return 0.0
        if self.locked(subject):
            return 1.0
        now = self._clock.seconds()
        record = self._records.get(subject)
        if record is None:
            record = self._records[subject] = _Record(now)
            if len(self._records) > SUBJECTS:
                self._records.popitem(last=False)
        self._records.move_to_end(subject)
        forgotten = (now - record.last) * self._allowed / self._seconds
        record.failures = max(0.0, record.failures - forgotten) + 1
        record.last = now
        share = min(1.0, record.failures / self._allowed)
        # A little of a row was forgotten before its last one came.
        if record.failures > self._allowed - 1:
            record.failures = 0.0
            record.until = now + self._seconds
            self._told(self._kind, subject, self._allowed, self._seconds)
        return share

    def forget(self, subject: str) -> None:
        """
        C{subject} begins anew.
        """
        self._records.pop(subject, None)


class Lockout:
    """
    Stands before whoever judges claims.
    """

    def __init__(self, clock: IReactorTime, limits: Limits, told: Told) -> None:
        """
        @param told: called when a user or a source is locked out.
        """
        self._clock = clock
        self._users = FailureTable("user", limits.maxFailures, limits.lockout, clock, told)
        self._sources = FailureTable(
            "source", limits.maxFailuresPerSource, limits.lockout, clock, told
        )

    def judge(
        self, claim: Claim, source: str, authenticate: Authenticate, excused: bool = False
    ) -> Deferred[Grant]:
        """
        Have C{claim}, from the address C{source}, judged by C{authenticate}.

        @param excused: whether it is judged even during a lockout, for which its maker isn't to
            blame. What it comes to is counted all the same.
        @return: fails with L{Unproven}; with L{Unavailable} where it takes too long; or as
            C{authenticate} does.
        """
        user, arrived = claim.identity(), self._clock.seconds()
        pending = True

        def locked(*users: str) -> bool:
            return not excused and any(self._locked(one, source) for one in users)

        def proven(grant: Grant) -> Grant | Deferred[Grant]:
            nonlocal pending
            if not pending:
                raise CancelledError
            pending = False
            proved = claim.identity(grant.name)
            if locked(user, proved):
                return self._deny(user, source, arrived)
            # What a relayed claim named first isn't proven by its success.
            for one in {proved} if claim.relayed else {user, proved}:
                self._users.forget(one)
            return grant

        def refuted(failure: Failure) -> Failure | Deferred[Grant]:
            nonlocal pending
            if not pending:
                raise CancelledError
            pending = False
            # Of a password that has expired it is told that it is right.
            hidden = failure.check(Refused) is not None and locked(user)
            if hidden or failure.check(Unproven) is not None:
                return self._deny(user, source, arrived, excused)
            if claim.relayed and failure.check(Unavailable) is None:
                # The peer broke the conversation off, at what may have been a wrong password.
                self._count(user, source, excused)
            return failure

        def withdrawn(_: Deferred[Grant]) -> None:
            nonlocal pending
            if pending:
                pending = False
                self._count(user, source, excused)
            judged.cancel()

        if locked(user):
            return self._deny(user, source, arrived)
        judged: Deferred[Grant] = maybeDeferred(authenticate, claim)
        if not claim.relayed:
            judged.addTimeout(JUDGING_SECONDS, self._clock, _late)
        answer: Deferred[Grant] = Deferred(withdrawn)
        judged.addCallbacks(proven, refuted).addCallbacks(answer.callback, answer.errback)
        return answer

    def refuse(self, claim: Claim, source: str) -> Deferred[Grant]:
        """
        Have C{claim} answered, and counted, as a false one, and ask nobody.
        """
        return self._deny(claim.identity(), source, self._clock.seconds())

    def _locked(self, user: str, source: str) -> bool:
        return self._users.locked(user) or self._sources.locked(source)

    def _count(self, user: str, source: str, excused: bool) -> float:
        """
        Count a claim that wasn't found true, unless it wasn't judged because of a lockout.

        @return: how near to a lockout user or source is, from 0 to 1.
        """
        if self._locked(user, source) and not excused:
            return 1.0
        return max(self._users.failed(user), self._sources.failed(source))

    def _deny(
        self, user: str, source: str, arrived: float, excused: bool = False
    ) -> Deferred[Grant]:
        share = self._count(user, source, excused)
        seconds = FIRST_SECONDS * (LAST_SECONDS / FIRST_SECONDS) ** share
        due = max(0.0, arrived + seconds - self._clock.seconds())
        denied: Deferred[Grant] = deferLater(self._clock, due, _unproven)
        # Who hangs up meanwhile isn't believed either.
        return denied.addErrback(_hungUp)


def _late(result: object, seconds: float) -> object:
    """
    What becomes of a claim that nobody judged in time.
    """
    raise Unavailable("there was no verdict in time")


def _unproven() -> Grant:
    raise Unproven


def _hungUp(failure: Failure) -> Failure:
    if failure.check(CancelledError) is None:
        return failure
    return Failure(Unproven())
