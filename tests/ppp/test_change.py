"""
A password that has expired is changed within the exchange (RFC 2759 section 7).
"""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, fail

from pptpgw.auth.protocols import CHAP, MSCHAP, MSCHAPV2, CHAPProtocol
from pptpgw.error import Refused
from pptpgw.interfaces import Claim, Grant
from pptpgw.ppp.chap import ChangeClaim
from pptpgw.ppp.exchange import CHANGE_SECONDS
from pptpgw.ppp.wire import chap
from tests.change import changePassword
from tests.ppp.test_chap import Scene

EXPIRED = Refused("it has expired", retry=False, error=648, text=b"It is old")
NEW = "fresh".encode("utf-16-le")


def judge(claim: Claim) -> Grant:
    """
    Everybody's password has expired.
    """
    if isinstance(claim, ChangeClaim):
        return Grant("user", b"S=...", None, None)
    raise EXPIRED


class World(Scene):
    """
    A Scene in which passwords have expired.
    """

    def __init__(self, method: CHAPProtocol = MSCHAPV2, rechallenge: float = 0) -> None:
        Scene.__init__(self, method, rechallenge)
        self.recorder.judge = judge

    def expire(self) -> chap.FailureMessage:
        """
        Respond, and have the password found expired.
        """
        self.respond()
        assert isinstance(self.last, chap.CHAPFailure)
        return chap.FailureMessage.decode(self.last.message)

    def change(self, challenge: bytes, identifier: int | None = None) -> bytes:
        """
        Send a Change-Password for it.
        """
        number = (self.last.identifier + 1) & 0xFF if identifier is None else identifier
        packet = changePassword(number, challenge, b"user", "sesame", NEW)
        self.authenticator.received(packet)
        return packet


@pytest.fixture
def world() -> World:
    """
    One that has just begun.
    """
    return World()


def test_itIsChanged(world: World) -> None:
    """
    Section 9.1.3: E=648 with a challenge of its own; the claim that follows answers it, under the
    name of before, and the Success has its identifier.
    """
    first = world.last
    failure = world.expire()
    assert (failure.error, failure.retry, failure.version) == (648, False, 3)
    assert (len(failure.challenge), failure.text) == (16, b"It is old")
    assert world.last.identifier == first.identifier
    assert not world.recorder.told
    world.change(failure.challenge)
    claim = world.recorder.claims[-1]
    assert isinstance(claim, ChangeClaim)
    assert (claim.name, claim.challenge) == (b"user", failure.challenge)
    assert claim.identifier == claim.change.identifier == (first.identifier + 1) & 0xFF
    response = chap.MSCHAPV2Response.decode(claim.response)
    assert response.ntResponse == claim.change.ntResponse
    assert isinstance(world.last, chap.CHAPSuccess)
    assert world.last.identifier == claim.identifier
    assert world.recorder.told == ["granted user", "authenticated"]
    assert not world.clock.getDelayedCalls()
    assert "fresh" not in repr(claim)


def test_onceMore(world: World) -> None:
    """
    A Change-Password whose answer was lost gets it again, and isn't judged again.
    """
    packet = world.change(world.expire().challenge)
    world.authenticator.received(packet)
    assert len(world.recorder.claims) == 2
    assert world.recorder.packets[-1] == world.recorder.packets[-2]


def test_nobodyAskedForIt(world: World) -> None:
    """
    Before a response, after a wrong password, after it was let in: it is silently discarded.
    """
    assert isinstance(world.last, chap.Challenge)
    world.change(world.last.value, world.last.identifier)
    world.recorder.judge = lambda claim: fail(Refused("wrong"))
    failure = world.expire()
    assert (failure.error, failure.retry) == (691, True)
    world.change(failure.challenge)
    assert (len(world.recorder.claims), world.authenticator.discards) == (1, 2)
    other = Scene()
    other.respond()
    assert isinstance(other.last, chap.CHAPSuccess)
    packet = changePassword((other.last.identifier + 1) & 0xFF, bytes(16), b"user", "sesame", NEW)
    other.authenticator.received(packet)
    assert (len(other.recorder.claims), other.authenticator.discards) == (1, 1)


def test_aResponseInstead(world: World) -> None:
    """
    The old password is good for nothing but a change.
    """
    failure = world.expire()
    challenge = chap.Challenge((world.last.identifier + 1) & 0xFF, failure.challenge, b"")
    world.respond(challenge=challenge)
    assert (len(world.recorder.claims), world.authenticator.discards) == (1, 1)


@pytest.mark.parametrize("error", [648, 691, 709])
def test_once(world: World, error: int) -> None:
    """
    One that is turned down is the last, whether or not whoever judged would allow another.
    """
    failure = world.expire()
    world.recorder.judge = lambda claim: fail(Refused("it won't do", retry=True, error=error))
    world.change(failure.challenge)
    assert isinstance(world.last, chap.CHAPFailure)
    last = chap.FailureMessage.decode(world.last.message)
    assert (last.error, last.retry) == (error, False)
    assert world.recorder.told == ["refused: it won't do"]
    world.change(last.challenge)
    assert len(world.recorder.claims) == 2
    assert not world.clock.getDelayedCalls()


def test_whileItIsJudged(world: World) -> None:
    """
    Another one isn't judged beside it.
    """
    failure = world.expire()
    verdict: Deferred[Grant] = Deferred()
    world.recorder.judge = lambda claim: verdict
    packet = world.change(failure.challenge)
    world.authenticator.received(packet)
    assert (len(world.recorder.claims), world.authenticator.discards) == (2, 1)
    world.authenticator.stop()


def test_nobodyDoes(world: World) -> None:
    """
    Who thinks of no new password in its time is gone.
    """
    world.expire()
    world.clock.advance(CHANGE_SECONDS - 1)
    assert not world.recorder.told
    world.clock.advance(1)
    assert world.recorder.told == ["refused: the peer did not change its password"]


@pytest.mark.parametrize("method", [CHAP, MSCHAP])
def test_otherMethods(method: CHAPProtocol) -> None:
    """
    They have no packet for it, or another one: E=648 is the end.
    """
    world = World(method)
    world.respond()
    assert isinstance(world.last, chap.CHAPFailure)
    assert b"It is old" in world.last.message
    assert (method is MSCHAP) is world.last.message.startswith(b"E=648 R=0 ")
    assert world.recorder.told == ["refused: it has expired"]
    world.change(bytes(16))
    assert len(world.recorder.claims) == 1


def test_duringASession() -> None:
    """
    There the exchange ends, as with every claim that isn't granted.
    """
    scene = Scene(MSCHAPV2, 60)
    scene.respond()
    scene.recorder.judge = judge
    scene.clock.advance(60)
    scene.respond()
    assert scene.recorder.told[-1] == "refused: it has expired"


def test_turnedDownAfterwards(world: World) -> None:
    """
    Whom there is no room for isn't told that the password has expired: it has been changed.
    """
    failure = world.expire()

    def full() -> None:
        raise Refused("no room", error=649, text=b"No room")

    world.recorder.atGranted = full
    world.change(failure.challenge)
    assert isinstance(world.last, chap.CHAPFailure)
    assert world.last.message.startswith(b"E=649 R=0 ")
    assert world.last.message.endswith(b"M=No room")
