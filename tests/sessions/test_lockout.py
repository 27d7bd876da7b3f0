"""
Tests for L{pptpgw.sessions.lockout}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure

from pptpgw.auth.eap import EAP
from pptpgw.auth.eapmethod import RELAYED, RelayedClaim
from pptpgw.auth.eaptls import TLS, CertifiedClaim
from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.config.section import LimitsSection
from pptpgw.error import Malformed, Refused, Unavailable, Unproven
from pptpgw.interfaces import Claim, Grant
from pptpgw.sessions import lockout
from pptpgw.sessions.lockout import (
    DISPLACED_LIMIT,
    FIRST_SECONDS,
    JUDGING_SECONDS,
    LAST_SECONDS,
    FailureTable,
    Lockout,
)
from pptpgw.sessions.profile import Profile

HERE, THERE = "192.0.2.1", "192.0.2.2"
WRONG, RIGHT = b"wrong", b"right"


def claim(name: bytes, response: bytes) -> Claim:
    return Claim(MSCHAPV2, name, 1, b"challenge", response)


class World:
    """
    A lockout before a judge who knows that the password of alice and bob is C{right}.

    @ivar took: how long judging takes, by name.
    @ivar asked: the names that were judged.
    @ivar told: whom the lockout told of.
    """

    def __init__(self, **limits: Any) -> None:
        self.clock = Clock()
        self.took: dict[bytes, float] = {}
        self.asked: list[bytes] = []
        self.told: list[tuple[str, str, int, float]] = []
        self.lockout = Lockout(
            self.clock, LimitsSection(**limits), lambda *arguments: self.told.append(arguments)
        )

    def authenticate(self, claim: Claim) -> Deferred[Grant]:
        self.asked.append(claim.name)
        return deferLater(self.clock, self.took.get(claim.name, 0), self._verdict, claim)

    def _verdict(self, claim: Claim) -> Grant:
        if claim.response != RIGHT or claim.name not in (b"alice", b"bob"):
            raise Unproven
        return Grant(claim.name.decode(), b"", None, Profile(claim.name.decode()))

    def start(self, name: bytes, response: bytes, source: str = HERE) -> list[object]:
        answers: list[object] = []
        self.lockout.judge(claim(name, response), source, self.authenticate).addBoth(answers.append)
        return answers

    def judge(
        self, name: bytes, response: bytes, source: str = HERE
    ) -> tuple[float, type | Exception | None, str]:
        """
        Have a claim judged.

        @return: how many seconds the answer took, the class of the exception or C{None} for a
        grant, and the text of the exception or the user's name.
        """
        before = self.clock.seconds()
        answers = self.start(name, response, source)
        while not answers:
            self.clock.advance(0.001)
        took = round(self.clock.seconds() - before, 2)
        (answer,) = answers
        if isinstance(answer, Failure):
            assert isinstance(answer.value, Refused)
            return took, type(answer.value), f"{answer.value} {answer.value.retry}"
        assert isinstance(answer, Grant)
        return took, None, answer.name

    def guess(self, count: int, name: bytes = b"alice", source: str = HERE) -> list[float]:
        return [self.judge(name, WRONG, source)[0] for _ in range(count)]


def test_rightAtOnce() -> None:
    """
    A right password is answered without a delay.
    """
    world = World()
    assert world.judge(b"alice", RIGHT)[0] == 0
    assert not world.told


def test_delaysGrow() -> None:
    world = World(maxFailures=10)
    took = world.guess(9)
    assert took == sorted(took) and len(set(took)) == len(took)
    assert FIRST_SECONDS < took[0] < 1
    assert LAST_SECONDS / 2 < took[-1] <= LAST_SECONDS
    assert not world.told


def test_lockedOut() -> None:
    """
    After C{max-failures} failures no claim of the user is believed or judged until the reported
    time is over.
    """
    world = World(maxFailures=5, lockout=100.0)
    world.guess(4)
    before = world.clock.seconds()
    world.guess(1)
    ((kind, subject, failures, seconds),) = world.told
    assert (kind, subject, failures, seconds) == ("user", "alice", 5, 100)
    asked = len(world.asked)
    assert world.judge(b"alice", RIGHT, THERE) == (LAST_SECONDS, Unproven, f"{Unproven()} True")
    assert len(world.asked) == asked
    assert world.judge(b"bob", RIGHT)[1] is None
    world.clock.advance(before + seconds - world.clock.seconds() - 0.001)
    assert world.judge(b"alice", RIGHT)[1] is Unproven
    assert world.judge(b"alice", RIGHT) == (0, None, "alice")


def test_aLockoutIsNotProlonged() -> None:
    world = World(maxFailures=3, lockout=60.0)
    world.guess(3)
    world.guess(7)
    assert len(world.told) == 1
    world.clock.advance(10)
    assert world.judge(b"alice", RIGHT)[1] is None


def test_nothingTellsTheUnknownFromTheKnown() -> None:
    """
    An unknown user and a known one with a wrong password get the same answers after the same times,
    before the lockout and during it, although judging takes different times. The right password
    during the lockout gets the same answers too.
    """
    worlds = [World(maxFailures=5), World(maxFailures=5), World(maxFailures=5)]
    worlds[0].took, worlds[1].took = {b"alice": 0.3}, {b"mallory": 0.0}
    known = [worlds[0].judge(b"alice", WRONG) for _ in range(10)]
    unknown = [worlds[1].judge(b"mallory", WRONG) for _ in range(10)]
    right = [worlds[2].judge(b"alice", WRONG if n < 5 else RIGHT) for n in range(10)]
    assert known == unknown == right
    assert {text for _, _, text in known} == {"no such user or wrong password True"}
    assert [len(world.told) for world in worlds] == [1, 1, 1]


def test_bySource() -> None:
    """
    One guess at each of many users locks out the source, which has its own threshold.
    """
    world = World(maxFailures=5, maxFailuresPerSource=20, lockout=1000.0)
    for number in range(20):
        assert not world.told
        world.guess(1, b"user%d" % number)
    ((kind, subject, failures, _),) = world.told
    assert (kind, subject, failures) == ("source", HERE, 20)
    assert world.judge(b"alice", RIGHT)[1] is Unproven
    assert world.judge(b"alice", RIGHT, THERE)[1] is None


def test_aSourceThatIsLockedOutLocksNobodyOut() -> None:
    """
    A source that is locked out doesn't lock out its users. A locked-out user whose machine goes on
    dialling doesn't lock out others at its address.
    """
    world = World(maxFailures=3, maxFailuresPerSource=6, lockout=100_000.0)
    world.guess(3)
    world.guess(20)
    assert world.judge(b"bob", RIGHT)[1] is None
    world.guess(3, b"carol")
    assert [kind for kind, _, _, _ in world.told] == ["user", "user", "source"]
    world.guess(20, b"bob")
    assert world.judge(b"bob", RIGHT, THERE)[1] is None


def test_successForgetsTheUsers() -> None:
    """
    A success forgets the user's failures and not the source's, since a guesser may have an account.
    """
    world = World(maxFailures=3, maxFailuresPerSource=8, lockout=10_000.0)
    for _ in range(4):
        world.guess(2)
        world.judge(b"alice", RIGHT)
    assert [kind for kind, _, _, _ in world.told] == ["source"]


def test_timeForgets() -> None:
    """
    A user who mistypes now and then is never locked out.
    """
    world = World(maxFailures=3, lockout=300.0)
    for _ in range(20):
        world.guess(1)
        world.clock.advance(100)
    assert not world.told


def test_manyAtOnce() -> None:
    """
    The right password among a hundred guesses that are judged at the same time isn't believed,
    since too many wrong ones came before it.
    """
    world = World(maxFailures=5)
    world.took = {b"alice": 0.1}
    answers = [world.start(b"alice", WRONG) for _ in range(99)] + [world.start(b"alice", RIGHT)]
    for _ in range(100):
        world.clock.advance(0.1)
    assert all(isinstance(answer[0], Failure) for answer in answers)
    assert len(world.told) == 1


def test_manyWhoAreRight() -> None:
    """
    A hundred machines that use one account with the right password at the same time are all let in.
    """
    world = World(maxFailures=5)
    world.took = {b"alice": 0.1}
    answers = [world.start(b"alice", RIGHT) for _ in range(100)]
    world.clock.advance(0.1)
    assert all(isinstance(answer[0], Grant) for answer in answers)


@pytest.mark.parametrize("error", [Refused("no checker"), ValueError("broken"), KeyError("down")])
def test_noGuess(error: Exception) -> None:
    """
    An outage is passed on at once and isn't counted as a failure.
    """
    world = World(maxFailures=1)
    answers: list[object] = []
    for judge in (lambda claim: fail(error), raising(error)):
        world.lockout.judge(claim(b"alice", WRONG), HERE, judge).addBoth(answers.append)
    assert [answer.value for answer in answers if isinstance(answer, Failure)] == [error, error]
    assert not world.told


def test_whatHasExpiredDuringALockout() -> None:
    """
    The answer that a password has expired is withheld once the user is locked out, as it would tell
    a guesser that the password is right.
    """
    world = World(maxFailures=3)
    verdict: Deferred[Grant] = Deferred()
    answers: list[object] = []
    judged = world.lockout.judge(claim(b"alice", RIGHT), HERE, lambda _: verdict)
    judged.addBoth(answers.append)
    for _ in range(3):
        world.judge(b"alice", WRONG)
    verdict.errback(Refused("the password has expired", retry=False, error=648))
    world.clock.advance(LAST_SECONDS)
    assert isinstance(answers[0], Failure)
    assert answers[0].check(Unproven)


def raising(error: Exception) -> Callable[[Claim], Deferred[Grant]]:
    def authenticate(claim: Claim) -> Deferred[Grant]:
        raise error

    return authenticate


def test_whoHangsUp() -> None:
    """
    A caller that hangs up while a failure's answer is delayed has made a guess, and no timer is
    left.
    """
    world = World(maxFailures=2)
    for _ in range(2):
        judged = world.lockout.judge(claim(b"alice", WRONG), HERE, world.authenticate)
        answers: list[object] = []
        judged.addBoth(answers.append)
        world.clock.advance(0)
        judged.cancel()
        (answer,) = answers
        assert isinstance(answer, Failure) and isinstance(answer.value, Unproven)
    assert len(world.told) == 1
    assert world.clock.getDelayedCalls() == []


@pytest.mark.parametrize("stubborn", [False, True])
def test_whoTakesItBack(stubborn: bool) -> None:
    """
    A claim that is cancelled before its verdict counts as a guess, and its judging is cancelled.
    """
    world = World(maxFailures=2)
    verdicts: list[Deferred[Grant]] = []

    def authenticate(claim: Claim) -> Deferred[Grant]:
        late = ValueError("cancelled")
        verdicts.append(Deferred(lambda one: one.errback(late) if stubborn else None))
        return verdicts[-1]

    for _ in range(2):
        judged = world.lockout.judge(claim(b"alice", WRONG), HERE, authenticate)
        answers: list[object] = []
        judged.addBoth(answers.append)
        judged.cancel()
        (answer,) = answers
        assert isinstance(answer, Failure) and answer.check(CancelledError)
    assert [verdict.called for verdict in verdicts] == [True, True]
    assert len(world.told) == 1
    assert world.clock.getDelayedCalls() == []


@pytest.mark.parametrize("relayed", [False, True])
def test_whoIsDisplaced(relayed: bool) -> None:
    """
    A claim of a displaced caller is judged to the end and counts by its verdict. A relayed claim
    can't be judged without its caller, so it counts as a guess at once.
    """
    world = World(maxFailures=1)
    made = claim(b"alice", WRONG)
    if relayed:
        made = RelayedClaim(EAP, b"alice", 1, b"", b"", RELAYED, cast(Any, None))
    verdict: Deferred[Grant] = Deferred()
    answers: list[object] = []
    judged = world.lockout.judge(made, HERE, lambda _: verdict, isDisplaced=lambda: True)
    judged.addBoth(answers.append)
    judged.cancel()
    (answer,) = answers
    assert isinstance(answer, Failure) and answer.check(CancelledError)
    assert len(world.told) == relayed
    assert verdict.called is relayed
    if not relayed:
        verdict.errback(Unproven())
        assert len(world.told) == 1
        world.clock.advance(LAST_SECONDS)
    assert len(answers) == 1
    assert world.clock.getDelayedCalls() == []


def test_manyWhoAreDisplaced() -> None:
    """
    A second displaced claim from one address, and those beyond L{DISPLACED_LIMIT}, count as guesses
    at once.
    """
    world = World(maxFailures=1)
    made = [(b"a", HERE), (b"b", HERE)]
    made += [(b"%d" % number, f"198.51.100.{number}") for number in range(DISPLACED_LIMIT)]
    for name, source in made:
        judged = world.lockout.judge(
            claim(name, WRONG), source, lambda _: Deferred(), isDisplaced=lambda: True
        )
        judged.addErrback(lambda failure: failure.trap(CancelledError))
        judged.cancel()
    assert [subject for _, subject, _, _ in world.told] == ["b", str(DISPLACED_LIMIT - 1)]
    world.clock.advance(JUDGING_SECONDS)
    assert len(world.told) == 2
    assert world.clock.getDelayedCalls() == []


def test_whoeverHangs() -> None:
    """
    A claim that isn't judged in time is an outage and doesn't count as a guess.
    """
    world = World(maxFailures=1)
    answers: list[object] = []
    world.lockout.judge(claim(b"alice", WRONG), HERE, lambda _: Deferred()).addBoth(answers.append)
    world.clock.advance(JUDGING_SECONDS)
    (answer,) = answers
    assert isinstance(answer, Failure) and answer.check(Unavailable)
    assert not world.told


class TestExcused:
    """
    Claims of users who have a session are judged in spite of lockouts.
    """

    def test_theyAreJudged(self) -> None:
        world = World(maxFailures=2)
        world.guess(2)
        judged = world.lockout.judge(claim(b"alice", RIGHT), HERE, world.authenticate, True)
        answers: list[object] = []
        judged.addBoth(answers.append)
        world.clock.advance(0)
        assert isinstance(answers[0], Grant)

    def test_theyAreCounted(self) -> None:
        """
        Failures of an excused claim count against the source while the user is locked out, and
        against the user while the source is.
        """
        world = World(maxFailures=2, maxFailuresPerSource=5)
        world.guess(2)
        for _ in range(3):
            judged = world.lockout.judge(claim(b"alice", WRONG), HERE, world.authenticate, True)
            judged.addErrback(lambda failure: None)
            world.clock.advance(LAST_SECONDS)
        assert [(kind, subject) for kind, subject, *_ in world.told] == [
            ("user", "alice"),
            ("source", HERE),
        ]


class TestRelayed:
    """
    Claims that somebody else judges in a conversation. The grant may name another user than the
    claim does.
    """

    def judge(self, world: World, verdict: object, outer: bytes = b"outer") -> list[object]:
        conversation: Any = None
        relayed = RelayedClaim(EAP, outer, 1, b"", b"", RELAYED, conversation)
        answers: list[object] = []

        def authenticate(claim: Claim) -> Any:
            if isinstance(verdict, Exception):
                return fail(verdict)
            return succeed(Grant(str(verdict), b"", None, Profile(str(verdict))))

        world.lockout.judge(relayed, HERE, authenticate).addBoth(answers.append)
        return answers

    def test_aLockoutOfEitherNameHolds(self) -> None:
        world = World(maxFailures=2)
        world.guess(2)
        denied = self.judge(world, "Alice")
        world.clock.advance(LAST_SECONDS)
        assert isinstance(denied[0], Failure) and denied[0].check(Unproven)
        assert isinstance(self.judge(world, "bob")[0], Grant)
        assert not self.judge(world, "bob", b"DOM\\alice")

    def test_onlyWhoIsProvenBeginsAnew(self) -> None:
        """
        A relayed claim's success forgets only the failures of the user whom the grant names.
        Otherwise a user could claim to be alice, succeed as bob, and guess alice's password without
        a limit.
        """
        world = World(maxFailures=3)
        world.guess(2)
        self.judge(world, "bob", b"alice")
        world.guess(1)
        assert [subject for _, subject, _, _ in world.told] == ["alice"]
        world = World(maxFailures=3)
        world.guess(2)
        self.judge(world, "Alice", b"anonymous")
        world.guess(2)
        assert not world.told

    def test_whoBreaksItOffIsCounted(self) -> None:
        """
        A conversation that the caller breaks off counts as a guess. An outage doesn't, however long
        it takes.
        """
        world = World(maxFailures=2)
        for problem in (Unavailable("nobody there"), Refused("silent"), Malformed("what?")):
            assert not world.told
            self.judge(world, problem)
        assert [subject for _, subject, _, _ in world.told] == ["outer"]
        judged = world.lockout.judge(
            RelayedClaim(EAP, b"x", 1, b"", b"", RELAYED, cast(Any, None)),
            HERE,
            lambda _: Deferred(),
        )
        world.clock.advance(10 * JUDGING_SECONDS)
        assert not judged.called


def test_aCertificatesNameHasNoDomain() -> None:
    """
    A certificate's name with a backslash is one name: the part before it isn't a domain, and its
    failures don't count against the name without that part.
    """
    world = World(maxFailures=1)
    keys: Any = None
    certified = CertifiedClaim(EAP, b"PARTNER\\Alice", 1, b"", b"", TLS, keys)
    world.lockout.judge(certified, HERE, lambda _: fail(Unproven()))
    assert [subject for _, subject, _, _ in world.told] == ["partner\\alice"]


@pytest.mark.parametrize("name", [b"ALICE", b"Alice", b"DOMAIN\\alice"])
def test_whoeverIsMeant(name: bytes) -> None:
    """
    All spellings of a name are counted for one user.
    """
    world = World(maxFailures=2)
    world.guess(1)
    world.guess(1, name)
    assert [subject for _, subject, _, _ in world.told] == ["alice"]


@pytest.mark.parametrize("name", [b"", b"\\", b"\xff\xfe", b"x" * 2000, b"\x00\n"])
def test_anyName(name: bytes) -> None:
    world = World(maxFailures=2)
    world.guess(2, name)
    assert len(world.told) == 1
    assert len(world.told[0][1]) <= 1024


def test_never() -> None:
    """
    Without limits nobody is locked out, and failures are delayed all the same.
    """
    world = World(maxFailures=0, maxFailuresPerSource=0)
    assert set(world.guess(50)) == {FIRST_SECONDS}
    assert not world.told
    assert world.judge(b"alice", RIGHT)[1] is None


def test_theTableHasAnEnd(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The subject that was quiet longest is forgotten when the table is full.
    """
    monkeypatch.setattr(lockout, "SUBJECTS", 3)
    clock = Clock()
    table = FailureTable("user", 2, 1000, clock, lambda *arguments: None)
    for name in ("a", "b", "c"):
        table.failed(name)
        clock.advance(0.01)
    table.failed("a")
    assert table.locked("a")
    table.failed("d")
    assert len(table) == 3
    table.failed("b")
    assert table.locked("a") and not table.locked("b")
    assert len(table) == 3


def test_claimsThatSucceedLeaveNothing() -> None:
    world = World()
    for _ in range(3):
        world.lockout.judge(
            claim(b"alice", RIGHT), HERE, lambda claim: succeed(Grant("alice", b"", None, None))
        )
    assert world.clock.getDelayedCalls() == []


@pytest.mark.parametrize("pause", [0, 30, 100])
def test_whatIsAnsweredAsFalse(pause: float) -> None:
    """
    Claims that are answered as false ones and aren't delay answers as false ones do, whatever the
    pauses between them, and lock nobody out.
    """
    shares: list[list[float]] = []
    for isFalse in (True, False):
        clock = Clock()
        table = FailureTable("user", 5, 600, clock, lambda *arguments: None)
        shares.append([])
        for _ in range(12):
            shares[-1].append(table.failed("a", isFalse))
            clock.advance(pause)
        assert bool(list(table.lockouts())) is (isFalse and pause < 100)
    assert shares[0] == pytest.approx(shares[1])
    assert len(set(shares[0])) > 1


def test_falseClaimsAmongOthers() -> None:
    """
    Claims that aren't false neither hasten a lockout nor keep one from coming.
    """
    clock, told = Clock(), list[Any]()
    table = FailureTable("user", 3, 600, clock, lambda *arguments: told.append(arguments))
    for isFalse in (True, False, False, False, True, False):
        table.failed("a", isFalse)
    assert not told and not table.locked("a")
    assert table.failed("a") == 1.0
    assert len(told) == 1 and table.locked("a")
    clock.advance(600)
    assert table.failed("a", False) == pytest.approx(1 / 3)
