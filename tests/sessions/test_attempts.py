"""
Tests for L{pptpgw.sessions.attempts}, L{pptpgw.sessions.attempt} and L{pptpgw.sessions.following}:
the attempts of real lines, and of callers that are turned away.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.filepath import FilePath
from zope.interface.verify import verifyObject

from pptpgw.auth.checkers import ChapSecretsChecker
from pptpgw.auth.protocols import PAP
from pptpgw.interfaces import (
    AttemptEvent,
    Ending,
    Frame,
    IAttempt,
    IAttempts,
    IFollowing,
    Outcome,
    Stage,
    TunnelKind,
)
from pptpgw.ppp.wire import ppp
from pptpgw.sessions.attempt import FRAME_OCTETS, FRAMES
from pptpgw.sessions.attempts import SHARE, Attempts
from pptpgw.sessions.following import EVENTS
from pptpgw.sessions.lockout import USER_LOCKED_OUT
from pptpgw.testing import CALLER, World, resultOf

KIND = TunnelKind("pptp", "PPTP")
SET_UP = ["TCP", "call", "GRE", "LCP", "authentication", "limits", "addresses", "CCP", "ipv4"]


@pytest.fixture
def checker(tmp_path: object) -> ChapSecretsChecker:
    """
    A checker that knows alice and bob.
    """
    path = FilePath(str(tmp_path)).child("chap-secrets")
    path.setContent(b'alice * "open sesame" *\nbob * builder *\n')
    path.chmod(0o600)
    return ChapSecretsChecker(path)


@pytest.fixture
def world(checker: ChapSecretsChecker) -> Iterator[World]:
    """
    A gateway that remembers its attempts.
    """
    world = World("", [checker])
    yield world
    world.stop()


def call(
    world: World, name: bytes = b"alice", password: bytes = b"open sesame", **options: Any
) -> Deferred[Any]:
    """
    Place a call and give it time; what becomes of it is no matter here.
    """
    placed = world.placeCall(world.connect(), name, password, **options)
    placed.addErrback(lambda failure: None)
    world.run(2)
    return placed


def names(attempt: IAttempt) -> list[str]:
    return [stage.name for stage in attempt.stages]


def texts(world: World, attempt: IAttempt) -> list[str]:
    return [world.gateway.attempts.text(frame) for frame in attempt.frames]


def test_itProvidesItsInterfaces(world: World) -> None:
    call(world)
    attempts = world.gateway.attempts
    (attempt,) = attempts
    assert verifyObject(IAttempts, attempts) and verifyObject(IAttempt, attempt)
    assert verifyObject(IFollowing, attempts.follow(lambda one: True, lambda one: None))


def test_aCallThatComesUp(world: World) -> None:
    call(world)
    (session,), (attempt,) = world.gateway.sessions, world.gateway.attempts
    assert attempt.identifier == session.identifier
    assert (attempt.source, attempt.user, attempt.tunnel.name) == ("192.0.2.7", "alice", "pptp")
    assert attempt.outcome is Outcome.UP
    assert names(attempt) == SET_UP
    assert not any(stage.failure for stage in attempt.stages)
    times = [stage.seconds for stage in attempt.stages]
    assert times == sorted(times) and times[0] == 0 < times[-1] < 0.1
    shown = texts(world, attempt)
    assert shown[0].startswith("sent [LCP ConfReq id=0x1 <mru 1400>")
    assert any(one.startswith("rcvd [IPCP ConfAck") for one in shown)
    assert [one.seconds for one in attempt.frames] == sorted(one.seconds for one in attempt.frames)
    assert (attempt.going, attempt.cause) == ("", "")


def test_theEndOfASession(world: World) -> None:
    placed = call(world)
    (attempt,) = world.gateway.attempts
    resultOf(placed).hangUp("enough")
    world.run(1)
    assert list(world.gateway.attempts) == [attempt]
    assert attempt.outcome is Outcome.ENDED
    assert attempt.cause == "the peer terminated LCP: enough"
    assert names(attempt) == SET_UP
    shown = texts(world, attempt)
    assert shown[0].startswith("sent [LCP ConfReq id=0x1 <mru 1400>")
    assert shown[-2:] == ['rcvd [LCP TermReq id=0x2 "enough"]', "sent [LCP TermAck id=0x2]"]
    duration = attempt.duration
    world.run(5, 1)
    assert attempt.duration == duration


def test_echoesDoNotDriveOutOtherFrames(world: World) -> None:
    call(world)
    (attempt,) = world.gateway.attempts
    before = attempt.frames
    world.run(300, 1)
    assert attempt.frames == before
    assert attempt.outcome is Outcome.UP


def test_aWrongPassword(world: World) -> None:
    call(world, password=b"wrong")
    (attempt,) = world.gateway.attempts
    assert (attempt.user, attempt.outcome) == ("alice", Outcome.FAILED)
    assert names(attempt) == SET_UP[:5]
    assert attempt.stages[-1].failure == "no such user or wrong password"
    assert attempt.going == "authentication"
    shown = texts(world, attempt)
    assert any("rcvd [CHAP Response id=0x" in one and 'name = "alice"]' in one for one in shown)
    assert shown[0].startswith("sent [LCP ConfReq id=0x1 <mru 1400> <auth chap MS-v2> <magic 0x")
    assert "wrong" not in "".join(shown).replace("no such user or wrong password", "")


def test_passwordsInClearAreNotKept(checker: ChapSecretsChecker) -> None:
    world = World('[link]\nauthentication = ["pap"]\nencryption = "prefer"', [checker])
    call(world, password=b"wrong horse", methods=(PAP,), encryption="prefer")
    (attempt,) = world.gateway.attempts
    assert not any(b"horse" in frame.information for frame in attempt.frames)
    shown = texts(world, attempt)
    assert any(' user="alice" password=<hidden>]' in one for one in shown)
    world.stop()


def test_aLockout(checker: ChapSecretsChecker) -> None:
    """
    The caller can't tell a lockout from a wrong password, but the attempt tells the operator.
    """
    world = World("[limits]\nmax-failures = 2", [checker])
    for password in (b"wrong", b"wrong", b"open sesame"):
        call(world, password=password)
        world.run(10, 0.1)
    assert [one.stages[-1].failure for one in world.gateway.attempts] == [
        USER_LOCKED_OUT,
        "no such user or wrong password",
        "no such user or wrong password",
    ]
    world.stop()


def test_encryptionIsRefused(world: World) -> None:
    call(world, encryption="off")
    (attempt,) = world.gateway.attempts
    assert names(attempt) == SET_UP[:8]
    assert attempt.stages[-1] == ("CCP", attempt.stages[-1].seconds, "the peer doesn't know CCP")
    assert attempt.cause == "encryption is required: the peer doesn't know CCP"
    assert "sent [CCP ConfReq id=0x1 <mppe +H -M +S -L -D -C>]" in texts(world, attempt)


def test_noFrameComes(world: World) -> None:
    world.network.lose = lambda frame: True
    call(world)
    world.run(40, 0.1)
    (attempt,) = world.gateway.attempts
    assert names(attempt) == ["TCP", "call", "GRE"]
    assert "is protocol 47 blocked between us?" in attempt.stages[-1].failure
    assert {one.isSent for one in attempt.frames} == {True}


def test_LCPIsNeverAnswered(world: World) -> None:
    """
    Frames of the caller arrive, but none of them is a reply to ours.
    """
    world.network.lose = lambda frame: frame[0] == ppp.LCP and frame[1][0] == ppp.CONFIGURE_ACK
    call(world)
    world.run(40, 0.1)
    (attempt,) = world.gateway.attempts
    assert names(attempt) == ["TCP", "call", "GRE", "LCP"]
    assert attempt.stages[-1].failure


def test_aCallThatIsSetUp(world: World) -> None:
    """
    An attempt is there from the beginning, and says what goes on.
    """
    world.network.lose = lambda frame: frame[0] == ppp.CHAP
    call(world)
    (attempt,) = world.gateway.attempts
    assert attempt.outcome is Outcome.SETTING_UP
    assert (attempt.going, attempt.user) == ("authentication", "")
    assert world.gateway.attempts.find(outcome=Outcome.SETTING_UP) == [attempt]


def test_aCallThatIsRefused(checker: ChapSecretsChecker) -> None:
    world = World("[limits]\nmax-sessions-per-source = 1", [checker])
    call(world)
    for _ in range(3):
        call(world)
    refused, up = sorted(world.gateway.attempts, key=lambda one: one.outcome.value)
    assert (refused.outcome, up.outcome) == (Outcome.REFUSED, Outcome.UP)
    assert refused.cause == "there are 1 sessions from there, see [limits] max-sessions-per-source"
    assert refused.stages == [Stage("call", 0.0, refused.cause)]
    assert refused.repeats == 2
    assert refused.source == up.source
    assert world.gateway.attempts.withIdentifier(refused.identifier) is refused
    world.stop()


def test_aConnectionWithoutACall(world: World) -> None:
    world.connect()
    world.run(20, 0.1)
    (attempt,) = world.gateway.attempts
    assert attempt.outcome is Outcome.FAILED
    assert attempt.stages[0].name == "control connection"
    assert attempt.cause == "no call for 10 s"


def test_lookingUp(world: World) -> None:
    call(world)
    call(world, b"bob", b"wrong")
    attempts = world.gateway.attempts
    alice, bob = attempts
    assert (alice.user, bob.user) == ("alice", "bob")
    assert attempts.find(user="bob") == attempts.find(user="EXAMPLE\\BOB") == [bob]
    assert attempts.find(source="192.0.2.7") == [alice, bob]
    assert attempts.find(user="alice", outcome=Outcome.FAILED) == []
    assert attempts.find(source="192.0.2.8") == []
    assert attempts.withIdentifier(bob.identifier) is bob
    assert attempts.withIdentifier("0") is None
    assert len(attempts) == 2


class Ring:
    """
    Attempts without lines.
    """

    def __init__(self, size: int) -> None:
        self.clock = Clock()
        self.attempts = Attempts(self.clock, self.clock.seconds, size)

    def refuse(self, source: str, reason: str = "no") -> None:
        self.clock.advance(1)
        self.attempts.turnedAway(source, KIND, "call", reason)

    @property
    def kept(self) -> list[tuple[str, str]]:
        return [(one.source, one.cause) for one in self.attempts]


def test_thereAreSoManyAttempts() -> None:
    ring = Ring(16)
    for number in range(20):
        ring.refuse(f"192.0.2.{number}")
    assert ring.kept == [(f"192.0.2.{number}", "no") for number in range(19, 3, -1)]


def test_oneSourceHasAShare() -> None:
    """
    A stranger that is refused for ever new reasons only drives out its own attempts.
    """
    ring = Ring(2 * SHARE)
    ring.refuse("192.0.2.1")
    for number in range(100):
        ring.refuse("198.51.100.1", f"reason {number}")
    assert ring.kept == [
        ("198.51.100.1", "reason 99"),
        ("198.51.100.1", "reason 98"),
        ("192.0.2.1", "no"),
    ]


def test_noneAreKept(checker: ChapSecretsChecker) -> None:
    world = World("[limits]\nattempts = 0", [checker])
    call(world)
    (attempt,) = world.gateway.attempts
    assert not attempt.frames
    world.stop()
    assert len(world.gateway.attempts) == 0


def test_failedAttemptsAreKeptBesideSessions(checker: ChapSecretsChecker) -> None:
    """
    However many sessions end, an attempt that failed is remembered.
    """
    world = World("[limits]\nattempts = 16", [checker])
    call(world, b"bob", b"wrong")
    for number in range(30):
        source = f"192.0.2.{10 + number}"
        placed = world.placeCall(world.connect(source), b"alice", b"open sesame")
        world.run(0.2)
        resultOf(placed).hangUp("enough")
        world.run(0.5)
    attempts = world.gateway.attempts
    assert len(attempts) == 16
    assert [one.user for one in attempts.find(outcome=Outcome.FAILED)] == ["bob"]
    assert len(attempts.find(outcome=Outcome.ENDED)) == 15
    world.stop()


def test_theCallsThatCameUpLastKeepTheirFrames(checker: ChapSecretsChecker) -> None:
    """
    Whether or not they are over, so many calls have the frames of their set-up, and not more.
    """
    world = World("[limits]\nattempts = 3", [checker])
    attempts = world.gateway.attempts
    placed = []
    for number in range(4):
        connection = world.connect(f"192.0.2.{10 + number}")
        placed.append(world.placeCall(connection, b"alice", b"open sesame"))
        world.run(1)
    by = {one.source: one for one in attempts}
    first, second, third, last = (by[f"192.0.2.{10 + number}"] for number in range(4))
    assert not first.frames
    assert all(one.frames for one in (second, third, last))
    resultOf(placed[2]).hangUp("enough")
    world.run(1)
    assert third.outcome is Outcome.ENDED
    assert names(third) == SET_UP and len(third.frames) > 10
    attempts.resize(1)
    assert not second.frames and last.frames
    attempts.resize(0)
    assert not last.frames
    # What comes afterwards is kept.
    resultOf(placed[3]).hangUp("enough")
    world.run(1)
    assert texts(world, last) == [
        'rcvd [LCP TermReq id=0x2 "enough"]',
        "sent [LCP TermAck id=0x2]",
    ]
    world.stop()


def test_framesAreLimited(world: World) -> None:
    world.network.lose = lambda frame: frame[0] == ppp.CHAP
    call(world)
    (attempt,) = world.gateway.attempts
    long = ppp.encodePacket(ppp.IDENTIFICATION, 1, b"\0\0\0\0" + bytes(1400))
    link = next(iter(world.gateway.lines)).link
    for _ in range(2 * FRAMES):
        link.frameReceived(ppp.LCP, long)
    assert len(attempt.frames) == FRAMES
    assert {len(one.information) for one in attempt.frames} == {FRAME_OCTETS}
    assert {one.size for one in attempt.frames} == {1408}
    assert texts(world, attempt)[-1].endswith(" ...")


def test_stagesAreLimited(world: World) -> None:
    """
    A peer that negotiates for ever gets no more than so many stages, and the first ones stay.
    """
    call(world)
    (attempt,) = world.gateway.attempts
    for number in range(200):
        attempt.failed("LCP", f"reason {number}")
    assert names(attempt)[:9] == SET_UP
    assert len(attempt.stages) == 32
    assert attempt.stages[-1].failure == "reason 199"


class Watcher:
    """
    Somebody who follows attempts.
    """

    def __init__(self, world: World, user: str) -> None:
        self.world = world
        self.woken = 0
        self.events: list[AttemptEvent] = []
        self.following = world.gateway.attempts.follow(lambda one: one.isOf(user), self.listen)

    def listen(self, following: IFollowing) -> None:
        self.woken += 1

    def wakings(self) -> int:
        """
        How often the listener was called since this was called last.
        """
        woken, self.woken = self.woken, 0
        return woken

    @property
    def said(self) -> list[str]:
        """
        The events to be taken, in words.
        """
        said = []
        for _, what in self.following.take():
            if isinstance(what, Frame):
                said.append(self.world.gateway.attempts.text(what))
            elif isinstance(what, Stage):
                said.append(what.name)
            else:
                assert isinstance(what, Ending)
                said.append(f"end: {what.cause}")
        return said


def test_followingACallerThatIsNotThereYet(world: World) -> None:
    """
    Everything is told from the first stage on, though the caller gives its name later.
    """
    watcher = Watcher(world, "alice")
    call(world, b"bob", b"builder")
    assert not watcher.said and not watcher.woken
    placed = call(world)
    said = watcher.said
    assert [one for one in said if one in SET_UP] == SET_UP
    assert said[:3] == ["TCP", "call", "GRE"]
    assert said[3].startswith("sent [LCP ConfReq id=0x1 <mru 1400>")
    assert said[-1] == "ipv4"
    assert "sent [CCP ConfAck id=0x1 <mppe +H -M +S -L -D -C>]" in said
    assert any(one.startswith("rcvd [IPCP ConfReq id=0x1 <addr 0.0.0.0>") for one in said)
    assert watcher.wakings() == 1
    resultOf(placed).hangUp("enough")
    world.run(1)
    assert watcher.said == [
        'rcvd [LCP TermReq id=0x2 "enough"]',
        "sent [LCP TermAck id=0x2]",
        "end: the peer terminated LCP: enough",
    ]
    assert watcher.wakings() == 1


def test_followingASessionShowsItsEchoes(world: World) -> None:
    call(world)
    watcher = Watcher(world, "alice")
    # What is kept of the session: its stages, and the frames of its set-up.
    said = watcher.said
    assert [one for one in said if one in SET_UP] == SET_UP
    assert any(one.startswith("rcvd [IPCP ConfReq id=0x1 <addr 0.0.0.0>") for one in said)
    world.run(100, 1)
    assert {one.split("magic")[0] for one in watcher.said} >= {
        "sent [LCP EchoReq id=0x1 ",
        "rcvd [LCP EchoRep id=0x1 ",
    }


def test_aFollowerThatDoesNotKeepUp(world: World) -> None:
    call(world)
    watcher = Watcher(world, "alice")
    echo = ppp.encodePacket(ppp.ECHO_REPLY, 1, b"\0\0\0\0")
    link = next(iter(world.gateway.lines)).link
    for _ in range(EVENTS + 10):
        link.frameReceived(ppp.LCP, echo)
    (attempt,) = world.gateway.attempts
    assert watcher.following.lost == len(SET_UP) + len(attempt.frames) + 10
    assert len(watcher.following.take()) == EVENTS
    assert watcher.woken == 1
    link.frameReceived(ppp.LCP, echo)
    assert len(watcher.following.take()) == 1


def test_afterStoppingNothingIsLeft(world: World) -> None:
    call(world)
    watcher = Watcher(world, "alice")
    (attempt,) = world.gateway.attempts
    assert watcher.following in attempt.followers
    watcher.following.stop()
    watcher.following.stop()
    assert not attempt.followers
    watcher.following.take()
    call(world)
    assert not watcher.said
    assert watcher.woken == 1


def test_aFollowerThatFails(world: World, loggedFailures: Any) -> None:
    """
    The call isn't affected.
    """

    def fail(following: IFollowing) -> None:
        raise ValueError("broken follower")

    def judge(attempt: IAttempt) -> bool:
        raise ValueError("broken predicate")

    world.gateway.attempts.follow(lambda one: True, fail)
    world.gateway.attempts.follow(judge, lambda following: None)
    call(world)
    (attempt,) = world.gateway.attempts
    assert attempt.outcome is Outcome.UP
    assert attempt.followers == ()
    assert len(loggedFailures) == 2
    loggedFailures.clear()


def test_followingCallersThatAreTurnedAway(checker: ChapSecretsChecker) -> None:
    world = World("[limits]\nmax-sessions-per-source = 1", [checker])
    call(world)
    heard: list[Any] = []
    following = world.gateway.attempts.follow(
        lambda one: one.source == CALLER.address, lambda one: heard.extend(one.take())
    )
    following.take()
    heard.clear()
    call(world)
    reason = "there are 1 sessions from there, see [limits] max-sessions-per-source"
    assert [what for _, what in heard] == [Stage("call", 0.0, reason), Ending(0.0, reason)]
    world.stop()
