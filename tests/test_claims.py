"""
Tests for which users a caller may claim to be: claims within a session, claims that are cancelled,
and names that mean one user. The gateway and its callers are in memory.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, maybeDeferred

from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.ppp.settings import Identity
from pptpgw.ppp.wire import chap, ppp
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.sessions.places import GRACE
from pptpgw.sessions.profile import Profile
from tests.limited import Made, Placed, World, worlds

make = pytest.fixture(worlds)

MALLORY = "192.0.2.66"


def claimAgain(placed: Placed, name: bytes, password: bytes) -> None:
    """
    Negotiate LCP anew, and claim to be C{name} this time.
    """
    assert placed.call is not None
    link = placed.call.link
    link.settings = replace(link.settings, identity=Identity(name, password, (MSCHAPV2,)))
    link.lcp.lowerDown()
    link.lcp.lowerUp()


def asked(world: World) -> list[bytes]:
    """
    The users about whom the checker is asked from now on.
    """
    checker: Any = world.checker
    names: list[bytes] = []
    request = checker.requestAvatarId

    def watched(credentials: Any) -> Deferred[Any]:
        names.append(credentials.username)
        answer: Deferred[Any] = request(credentials)
        return answer

    checker.requestAvatarId = watched
    return names


def answers(world: World) -> list[tuple[float, int, bytes]]:
    """
    When the gateway answers claims from now on, the code of each answer, and its contents without
    the next challenge.
    """
    found: list[tuple[float, int, bytes]] = []
    channel: Any
    (channel,) = [one for one in world.dataPath.channels if one.sent]
    send = channel.sendFrame
    begun = world.clock.seconds()

    def watched(protocol: int, information: bytes) -> None:
        if protocol == ppp.CHAP and information[0] != chap.Challenge.CODE:
            message = bytes(information[4:]).partition(b" C=")[0]
            found.append((round(world.clock.seconds() - begun, 2), information[0], message))
        send(protocol, information)

    channel.sendFrame = watched
    return found


class TestWithinASession:
    def test_anotherUser(self, make: Made) -> None:
        """
        A caller with an account can't tell the right password of another user from a wrong one by
        any answer or delay. The checker isn't asked, and the claim counts as a guess.
        """
        seen = []
        for name, password in ((b"alice", b"alice"), (b"alice", b"wrong"), (b"bob", b"wrong")):
            world = make()
            placed = world.call(b"bob", MALLORY)
            names, found = asked(world), answers(world)
            claimAgain(placed, name, password)
            world.run(20, 0.01)
            seen.append((found, world.users))
            assert names == ([b"bob"] if name == b"bob" else [])
            assert [refused[1:] for refused in world.observer.refused] == [
                (name.decode(), "mschapv2", "no such user or wrong password", "pptp")
            ]
        assert seen[0][0] and seen[0] == seen[1] == seen[2]

    def test_guessing(self, make: Made) -> None:
        """
        Guesses at other users within a session are limited like any guesses, and lead to a lockout.
        """
        world = make(maxFailures=4)
        for _ in range(4):
            placed = world.call(b"bob", MALLORY)
            claimAgain(placed, b"alice", b"wrong")
            world.run(10, 0.01)
        assert [(kind, subject) for kind, subject, *_ in world.observer.lockouts] == [
            ("user", "alice")
        ]

    def test_itsOwnUser(self, make: Made) -> None:
        """
        A caller may claim its own user again, however the name is written, even while strangers
        have locked that user out. Wrong guesses are counted, and after one the lockout applies here
        too.
        """
        world = make(maxFailures=3, lockout=600.0)
        world.allow(Profile("ALICE"))
        placed = world.call(b"alice", MALLORY)
        for number in range(3):
            world.place(world.connect(f"192.0.2.{number + 80}"), b"alice", b"wrong")
        world.run(10, 0.01)
        assert world.observer.lockouts
        claimAgain(placed, b"DOMAIN\\alice", b"alice")
        world.run(1)
        assert world.users == ["alice"]
        names = asked(world)
        claimAgain(placed, b"alice", b"wrong")
        world.run(10, 0.01)
        assert names == [b"alice"]
        assert world.users == []

    def test_itsOwnGuessesAreCounted(self, make: Made) -> None:
        """
        Guesses within a session count against the caller's address, and the user's right password
        doesn't reset that count.
        """
        world = make(maxFailuresPerSource=3)
        for _ in range(3):
            placed = world.call(b"alice", MALLORY)
            claimAgain(placed, b"alice", b"wrong")
            world.run(10, 0.01)
        assert [(kind, subject) for kind, subject, *_ in world.observer.lockouts] == [
            ("source", MALLORY)
        ]


class TestTakenBack:
    def test_itIsCounted(self, make: Made) -> None:
        """
        Claims that a stranger cancels by negotiating LCP anew are judged one at a time, and no more
        often than wrong ones may be.
        """
        world = make(maxFailures=1000, maxFailuresPerSource=20)
        judging: list[Deferred[Any]] = []
        checker: Any = world.checker

        def slow(credentials: Any) -> Deferred[Any]:
            judging.append(Deferred())
            assert [one.called for one in judging[:-1]] == [True] * (len(judging) - 1)
            return judging[-1]

        checker.requestAvatarId = slow
        world.place(world.connect(MALLORY), b"alice", b"wrong")
        world.run(0.05)
        (line,) = world.gateway.lines
        for _ in range(300):
            line.link.frameReceived(ppp.LCP, ppp.encodePacket(ppp.CONFIGURE_REQUEST, 99, b""))
            world.run(0.008)
        assert [(kind, subject) for kind, subject, *_ in world.observer.lockouts] == [
            ("source", MALLORY)
        ]
        assert len(judging) == 20


class TestDisplaced:
    """
    Tests for callers that lose their place to a newer call while their claims are judged.
    """

    @pytest.mark.parametrize(
        ("passwords", "before", "after"),
        [
            ((b"alice",), [], []),
            ((b"wrong",), [], ["alice"]),
            ((b"alice", b"alice"), ["alice"], ["alice"]),
        ],
        ids=["right", "wrong", "two"],
    )
    def test_itsVerdictCounts(
        self, make: Made, passwords: tuple[bytes, ...], before: list[str], after: list[str]
    ) -> None:
        """
        A displaced caller's claim counts by its verdict: a right password isn't a guess. A second
        displaced claim of one source counts like a cancelled one.
        """
        world = make(maxFailures=1, maxSetupsPerSource=1)
        checker: Any = world.checker
        judging: list[tuple[Deferred[Any], Any]] = []

        def slow(credentials: Any) -> Deferred[Any]:
            judging.append((Deferred(), credentials))
            return judging[-1][0]

        checker.requestAvatarId, judge = slow, checker._judge
        connection = world.connect(MALLORY)
        for password in (*passwords, b"newer"):
            world.place(connection, b"alice", password)
            world.run(GRACE + 0.1, 0.01)
        users = [subject for kind, subject, *_ in world.observer.lockouts if kind == "user"]
        assert users == before
        verdict, credentials = judging[0]
        maybeDeferred(judge, credentials).chainDeferred(verdict)
        world.run(10, 0.1)
        users = [subject for kind, subject, *_ in world.observer.lockouts if kind == "user"]
        assert users == after

    def test_byItsTunnel(self, make: Made) -> None:
        """
        A right password isn't a guess if the tunnel ended the call to make room, and is one if the
        tunnel ended it for another reason.
        """
        for code, locked in (
            (Termination.PORT_PREEMPTED, []),
            (Termination.LOST_CARRIER, ["alice"]),
        ):
            world = make(maxFailures=1)
            judging: list[Deferred[Any]] = []
            checker: Any = world.checker

            def slow(credentials: Any, judging: list[Deferred[Any]] = judging) -> Deferred[Any]:
                judging.append(Deferred())
                return judging[-1]

            checker.requestAvatarId = slow
            world.place(world.connect(MALLORY), b"alice")
            world.run(0.1)
            (line,) = world.gateway.lines
            call: Any = line.call
            call.connection.end(Cause("a newer connection needs its place", code))
            assert not world.gateway.lines and len(judging) == 1
            users = [subject for kind, subject, *_ in world.observer.lockouts if kind == "user"]
            assert users == locked


class TestNames:
    @pytest.mark.parametrize("name", ["alice", "Alice", "ALICE", "DOM\\alice", "dom\\ALICE"])
    def test_oneUserHasOneLimit(self, make: Made, name: str) -> None:
        """
        All spellings of a user's name share one limit of sessions, if the checker has no other user
        of that spelling.
        """
        world = make(maxSessionsPerUser=1, perUser="replace")
        world.checker.profiles[name.encode()] = Profile(name)
        world.call(b"alice")
        placed = world.place(world.connect(), name.encode())
        world.run(1)
        assert placed.call is not None and world.users == [name]

    def test_whatItHadIsWaitedFor(self, make: Made) -> None:
        """
        A newer call under another spelling of the name waits for the accounting of the user's older
        session.
        """
        world = make()
        world.observer.reports = []
        world.allow(Profile("Alice"))
        world.call(b"alice").hangUp()
        world.run(0.5)
        second = world.call(b"Alice")
        assert second.call is None and not second.failure
        world.observer.reports[0].callback(None)
        world.run(0.2)
        assert second.address == "10.77.0.11"
        world.observer.reports = None
