"""
Limits on guessing: claims that are found false, counted by user and by source.

The rules:

 - A claim counts against the user that it names, whether that user exists or not, and against the
   address that it came from, unless it is found true or nobody can judge it. So a claim that is
   withdrawn before its verdict counts as a false one. Counts decay evenly, by the number that is
   allowed in C{[limits] lockout} seconds. A true claim clears the user's count, but not the
   source's, since a guesser may have an account too.
 - Callers of an access concentrator share its address: their claims count against the number that
   calls (L{pptpgw.interfaces.Caller.guesser}), and against their users alone if none is known.
 - A true claim of a user whose account doesn't permit the tunnel is answered as a false one, and
   neither counted nor does it clear a count: so a client that goes on to dial by that tunnel
   doesn't lock its user out of the others. The same holds for a password that is right and has
   expired. The delays of this answer and the next ones are those of a false claim, so that they
   don't show that the password is right.
 - When a call loses its place to a newer one, its claim is judged to the end, and counts by the
   verdict. This applies to one claim of a source at a time and to L{DISPLACED_LIMIT} in all, so
   that displacing one's own calls doesn't get any number of claims judged at once. It doesn't apply
   to a relayed claim, whose peer may know already that its password is wrong. All others count as
   withdrawn.
 - Names that differ only in case or in a Windows domain are one user (L{Claim.identity}). When
   another server converses with the peer (L{Claim.relayed}), the user that is authenticated may
   differ from the one that the peer named: a lockout of either holds, and only the count of the
   authenticated user is cleared.
 - The answer to a false claim comes L{FIRST_SECONDS} to L{LAST_SECONDS} after the claim's arrival;
   the delay grows with the count. So it doesn't show how long judging took, and an unknown user is
   answered as late as a wrong password.
 - When the count reaches the limit, the user or the source is locked out: for C{lockout} seconds
   every claim, true or false, is answered as a false one without being judged. That holds for
   claims that are being judged at that time too, so making many at once gains nothing.
 - The peer isn't told of a lockout; the log is (L{Unproven.why}).
 - Claims during a lockout aren't counted. They don't prolong it, and claims for a user that is
   locked out don't count against the source, nor the other way round.
 - Each table has L{SUBJECTS} subjects at most, and forgets the one that was quiet longest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from pptpgw.config.section import LimitsSection
from pptpgw.error import Category, Refused, Unavailable, Unproven, untraced
from pptpgw.interfaces import Claim, Grant, ISubscriber
from pptpgw.ppp.exchange import Authenticate
from pptpgw.sessions.admission import Disclosed, barred
from pptpgw.timing.timer import passOn, within

FIRST_SECONDS = 0.5
LAST_SECONDS = 8.0
SUBJECTS = 10_000
# The seconds that judging a claim may take: longer than [radius] deadline can be, and shorter than
# the authentication exchanges wait.
JUDGING_SECONDS = 28.0
# How many claims of displaced calls are judged at a time.
DISPLACED_LIMIT = 256

USER_LOCKED_OUT = "the user is locked out after too many failures"
SOURCE_LOCKED_OUT = "the caller's address is locked out after too many failures"
"""
Why a claim is refused during a lockout.
"""

Told = Callable[[str, str, int, float], None]
"""
Called with a kind, a subject, the number of failures and the duration of the lockout in seconds.
"""


class LockedOut(NamedTuple):
    """
    A user or a source that is locked out.

    @ivar kind: what the subject is: C{"user"} or C{"source"}.
    @ivar subject: the L{Claim.identity} of the user, or the address.
    @ivar failures: the number of failures that led to the lockout.
    @ivar seconds: how long the lockout still lasts.
    """

    kind: str
    subject: str
    failures: int
    seconds: float


class _Record:
    """
    The failures of one subject.

    @ivar failures: the number of failures that aren't forgotten, which decays; in a lockout, of
        those that led to it.
    @ivar last: the time of the last failure, or of the last claim that was answered like one.
    @ivar until: the time at which the lockout ends or has ended; 0 if there was none since.
    @ivar shown: like C{failures}, with the claims that were answered as false ones and aren't: what
        peers see by the delays of answers.
    @ivar shownUntil: like C{until}, by C{shown}.
    """

    __slots__ = ("failures", "last", "shown", "shownUntil", "until")

    def __init__(self, now: float) -> None:
        self.failures = self.shown = 0.0
        self.last = now
        self.until = self.shownUntil = 0.0


class FailureTable:
    """
    The failures of all subjects of one kind.
    """

    def __init__(
        self, kind: str, allowed: int, seconds: float, clock: IReactorTime, told: Told
    ) -> None:
        """
        @param kind: C{"user"} or C{"source"}.
        @param allowed: the number of failures that lock a subject out; 0 for no lockouts.
        @param seconds: the duration of a lockout, and the time in which C{allowed} failures are
            forgotten.
        @param told: called when a subject is locked out.
        """
        self._kind = kind
        self._allowed = allowed
        self._seconds = seconds
        self._clock = clock
        self._told = told
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def __len__(self) -> int:
        return len(self._records)

    def change(self, allowed: int, seconds: float) -> None:
        """
        Count by other limits from now on. A lockout that goes on ends when it would have.
        """
        self._allowed = allowed
        self._seconds = seconds

    def locked(self, subject: str) -> bool:
        """
        Return whether C{subject} is locked out.
        """
        record = self._records.get(subject)
        return record is not None and self._clock.seconds() < record.until

    def failed(self, subject: str, isFalse: bool = True) -> float:
        """
        Count a failure of C{subject}, unless it is locked out.

        @param isFalse: False for a claim that is answered as a false one and isn't: it leads to no
            lockout.
        @return: how close C{subject} seems to be to a lockout, from 0 to 1.
        """
        if not self._allowed:
            return 0.0
        if self.locked(subject):
            return 1.0
        now, most = self._clock.seconds(), self._allowed
        record = self._records.get(subject)
        if record is None:
            record = self._records[subject] = _Record(now)
            if len(self._records) > SUBJECTS:
                self._records.popitem(last=False)
        self._records.move_to_end(subject)
        forgotten = (now - record.last) * most / self._seconds
        record.last = now
        # A lockout that is over took the failures with it.
        failures = 0.0 if record.until else max(0.0, record.failures - forgotten)
        record.failures, record.until = failures + isFalse, 0.0
        share = 1.0
        if now >= record.shownUntil:
            shown = 0.0 if record.shownUntil else max(0.0, record.shown - forgotten)
            record.shown, record.shownUntil = shown + 1, 0.0
            share = min(1.0, record.shown / most)
            if record.shown > most - 1:
                record.shownUntil = now + self._seconds
        # Failures decay, so the sum is a little less than the number of failures when the last one
        # comes.
        if record.failures > most - 1:
            record.failures = float(most)
            record.until = record.shownUntil = now + self._seconds
            self._told(self._kind, subject, most, self._seconds)
        return share

    def forget(self, subject: str) -> None:
        """
        Clear the count of C{subject}, and end its lockout.
        """
        self._records.pop(subject, None)

    def lockouts(self) -> Iterator[LockedOut]:
        """
        Iterate over the lockouts that go on. There may be others meanwhile.
        """
        now = self._clock.seconds()
        for subject, record in tuple(self._records.items()):
            if now < record.until:
                yield LockedOut(self._kind, subject, int(record.failures), record.until - now)


class Lockout:
    """
    Wraps the judging of claims: it refuses claims during a lockout, and counts false ones. An
    iteration goes over the lockouts that go on.
    """

    def __init__(self, clock: IReactorTime, limits: LimitsSection, told: Told) -> None:
        """
        @param told: called when a user or a source is locked out.
        """
        self._clock = clock
        self._users = FailureTable("user", limits.maxFailures, limits.lockout, clock, told)
        self._sources = FailureTable(
            "source", limits.maxFailuresPerSource, limits.lockout, clock, told
        )
        self._tables = {"user": self._users, "source": self._sources}
        # The sources with a claim that is judged after its call has lost its place.
        self._displaced: set[str] = set()

    def change(self, limits: LimitsSection) -> None:
        """
        Count by other limits from now on. Failures that were counted stay, as do lockouts.
        """
        self._users.change(limits.maxFailures, limits.lockout)
        self._sources.change(limits.maxFailuresPerSource, limits.lockout)

    def __iter__(self) -> Iterator[LockedOut]:
        for table in self._tables.values():
            yield from table.lockouts()

    def clear(self, kind: str, subject: str) -> bool:
        """
        End the lockout of C{subject}, and forget its failures.

        @param kind: as in L{LockedOut}.
        @return: whether it was locked out.
        """
        table = self._tables.get(kind)
        if table is None or not table.locked(subject):
            return False
        table.forget(subject)
        return True

    def judge(
        self,
        claim: Claim,
        source: str,
        authenticate: Authenticate,
        excused: bool = False,
        isDisplaced: Callable[[], bool] = lambda: False,
    ) -> Deferred[Grant]:
        """
        Have C{claim}, from the address C{source}, judged by C{authenticate}.

        @param excused: whether to judge the claim even during a lockout, because its caller already
            has a session. The verdict is counted all the same.
        @param isDisplaced: whether the caller has lost its place to a newer one; asked when the
            answer is cancelled.
        @return: the grant; fails with L{Unproven}, with L{Unavailable} when judging takes too long,
            or as C{authenticate} does.
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
                return self._deny(user, source, arrived, why=self._why(source, user, proved))
            if claim.caller is not None and (
                why := barred(ISubscriber(grant.subscriber).profile, claim.caller.tunnel)
            ):
                return self._bar(user, source, arrived, why)
            # The success of a relayed claim doesn't prove the name that the peer gave first.
            for one in {proved} if claim.relayed else {user, proved}:
                self._users.forget(one)
            return grant

        def refuted(failure: Failure) -> Failure | Deferred[Grant]:
            nonlocal pending
            if not pending:
                raise CancelledError
            pending = False
            # A caller whose password has expired learns that the password is right, except during a
            # lockout.
            hidden = failure.check(Refused) is not None and locked(user)
            if hidden or failure.check(Unproven) is not None:
                return self._deny(user, source, arrived, excused)
            error = failure.value
            if (
                isinstance(error, Disclosed)
                and claim.caller is not None
                and (why := barred(error.profile, claim.caller.tunnel))
            ):
                return self._bar(user, source, arrived, why)
            if claim.relayed and failure.check(Unavailable) is None:
                # The peer broke the conversation off, perhaps after a wrong password: count that
                # too.
                self._count(user, source, excused)
            return failure

        def withdrawn(_: Deferred[Grant]) -> None:
            nonlocal pending
            if pending and isDisplaced() and self._goesOn(claim, source):
                self._displaced.add(source)
                judged.addBoth(lambda _: self._displaced.discard(source))
                return
            if pending:
                pending = False
                self._count(user, source, excused)
            judged.cancel()

        if locked(user):
            return self._deny(user, source, arrived)
        judged: Deferred[Grant] = maybeDeferred(authenticate, claim).addErrback(untraced)
        if not claim.relayed:
            within(judged, JUDGING_SECONDS, self._clock, _late)
        answer: Deferred[Grant] = Deferred(withdrawn)
        judged.addCallbacks(proven, refuted).addBoth(passOn, answer)
        return answer

    def refuse(self, claim: Claim, source: str) -> Deferred[Grant]:
        """
        Answer and count C{claim} as a false one, without having it judged.
        """
        return self._deny(claim.identity(), source, self._clock.seconds())

    def _goesOn(self, claim: Claim, source: str) -> bool:
        """
        Return whether C{claim}, of a displaced call, is judged to the end.
        """
        displaced = self._displaced
        return not claim.relayed and source not in displaced and len(displaced) < DISPLACED_LIMIT

    def _locked(self, user: str, source: str) -> bool:
        return self._users.locked(user) or self._sources.locked(source)

    def _why(self, source: str, *users: str) -> str:
        """
        Return why one of C{users} is refused during a lockout; empty if none is locked out.
        """
        if any(map(self._users.locked, users)):
            return USER_LOCKED_OUT
        return SOURCE_LOCKED_OUT if self._sources.locked(source) else ""

    def _count(self, user: str, source: str, excused: bool) -> float:
        """
        Count a claim that wasn't found true, unless a lockout was the reason.

        @return: how close to a lockout the user or the source is, from 0 to 1, whichever is closer.
        """
        if self._locked(user, source) and not excused:
            return 1.0
        return max(self._users.failed(user), self._sources.failed(source) if source else 0.0)

    def _deny(
        self, user: str, source: str, arrived: float, excused: bool = False, why: str = ""
    ) -> Deferred[Grant]:
        """
        Answer a claim as a false one, and count it.

        @param why: see L{Unproven.why}; empty to name the lockout, if there is one.
        """
        why = why or ("" if excused else self._why(source, user))
        category = Category.LOCKED_OUT if why else Category.WRONG_PASSWORD
        return self._answer(arrived, self._count(user, source, excused), Unproven(why, category))

    def _bar(self, user: str, source: str, arrived: float, why: str) -> Deferred[Grant]:
        """
        Answer a true claim as a false one, since its user may not call by the tunnel.
        """
        share = max(self._users.failed(user, False), self._sources.failed(source, False))
        return self._answer(arrived, share, Unproven(why, Category.TUNNEL))

    def _answer(self, arrived: float, share: float, error: Unproven) -> Deferred[Grant]:
        """
        Answer a claim as a false one.

        @param share: how close to a lockout its user or source is, from 0 to 1.
        """
        seconds = FIRST_SECONDS * (LAST_SECONDS / FIRST_SECONDS) ** share
        due = max(0.0, arrived + seconds - self._clock.seconds())
        denied: Deferred[Grant] = deferLater(self._clock, due, _unproven, error)
        # The claim is false even if the caller hangs up before the answer is due.
        return denied.addErrback(_hungUp, error)


def _late(result: object, seconds: float) -> object:
    """
    Fail a claim whose judgement took too long.
    """
    raise Unavailable("there was no verdict in time")


def _unproven(error: Unproven) -> Grant:
    raise error


def _hungUp(failure: Failure, error: Unproven) -> Failure:
    return failure if failure.check(CancelledError) is None else Failure(error)
