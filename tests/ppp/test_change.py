"""
Tests for changing an expired password within the exchange of MS-CHAPv2 (RFC 2759 section 7).
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from zope.interface.verify import verifyObject

from pptpgw.auth.credentials import ChangeCredentials, MSCHAPV2Credentials
from pptpgw.auth.protocols import CHAP, MSCHAP, MSCHAPV2, CHAPProtocol
from pptpgw.error import Refused
from pptpgw.interfaces import Claim, Grant, IChangingExchange
from pptpgw.ppp.chap import ChangeClaim, CHAPPeer
from pptpgw.ppp.exchange import CHANGE_SECONDS, TRANSMISSIONS
from pptpgw.ppp.mschap import encryptPassword, ntPasswordHash
from pptpgw.ppp.settings import Identity
from pptpgw.ppp.wire import chap
from pptpgw.testing import ExchangePair
from tests.change import changePassword
from tests.ppp.test_chap import Scene

EXPIRED = Refused("it has expired", retry=False, error=648, text=b"It is old")
NEW = "fresh".encode("utf-16-le")


def judge(claim: Claim) -> Grant:
    """
    Find every password expired, and grant every change of it.
    """
    if isinstance(claim, ChangeClaim):
        return Grant("user", b"S=...", None, None)
    raise EXPIRED


class World(Scene):
    """
    A L{Scene} in which every password has expired.
    """

    def __init__(self, method: CHAPProtocol = MSCHAPV2, rechallenge: float = 0) -> None:
        Scene.__init__(self, method, rechallenge)
        self.recorder.judge = judge

    def expire(self) -> chap.FailureMessage:
        """
        Send a Response, and return the message of the Failure that says that the password has
        expired.
        """
        self.respond()
        assert isinstance(self.last, chap.CHAPFailure)
        return chap.FailureMessage.decode(self.last.message)

    def change(self, challenge: bytes, identifier: int | None = None) -> bytes:
        """
        Send a Change-Password packet that answers C{challenge}, and return it.
        """
        number = (self.last.identifier + 1) & 0xFF if identifier is None else identifier
        packet = changePassword(number, challenge, b"user", "sesame", NEW)
        self.authenticator.received(packet)
        return packet


@pytest.fixture
def world() -> World:
    """
    A world whose authenticator has sent its Challenge.
    """
    return World()


def test_itIsChanged(world: World) -> None:
    """
    A password is changed as RFC 2759 section 9.1.3 shows: the Failure has E=648 and a challenge of
    its own, the Change-Password claim answers that challenge under the same name, and the Success
    has the identifier of the Change-Password.
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
    A repeated Change-Password gets the same answer again and isn't judged again.
    """
    packet = world.change(world.expire().challenge)
    world.authenticator.received(packet)
    assert len(world.recorder.claims) == 2
    assert world.recorder.packets[-1] == world.recorder.packets[-2]


def test_nobodyAskedForIt(world: World) -> None:
    """
    The authenticator silently discards a Change-Password before a Response, after a wrong password
    and after a Success.
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
    The authenticator discards a Response with the expired password after E=648.
    """
    failure = world.expire()
    challenge = chap.Challenge((world.last.identifier + 1) & 0xFF, failure.challenge, b"")
    world.respond(challenge=challenge)
    assert (len(world.recorder.claims), world.authenticator.discards) == (1, 1)


@pytest.mark.parametrize("error", [648, 691, 709])
def test_once(world: World, error: int) -> None:
    """
    A Change-Password that is refused ends the exchange, even if the judge allows a retry.
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
    The authenticator discards a Change-Password that arrives while another is judged.
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
    The authenticator ends the exchange when the user hasn't chosen a new password after
    L{CHANGE_SECONDS}.
    """
    world.expire()
    world.clock.advance(CHANGE_SECONDS - 1)
    assert not world.recorder.told
    world.clock.advance(1)
    assert world.recorder.told == ["refused: the peer did not change its password"]


@pytest.mark.parametrize("method", [CHAP, MSCHAP])
def test_otherMethods(method: CHAPProtocol) -> None:
    """
    An expired password ends the exchange with E=648 and no retry where the method isn't MS-CHAPv2,
    whose Change-Password is the only one.
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
    An expired password ends the exchange when the peer is challenged again during a session.
    """
    scene = Scene(MSCHAPV2, 60)
    scene.respond()
    scene.recorder.judge = judge
    scene.clock.advance(60)
    scene.respond()
    assert scene.recorder.told[-1] == "refused: it has expired"


def test_turnedDownAfterwards(world: World) -> None:
    """
    A caller without room gets the refusal's own code, not E=648, after its password has been
    changed.
    """
    failure = world.expire()

    def full() -> None:
        raise Refused("no room", error=649, text=b"No room")

    world.recorder.atGranted = full
    world.change(failure.challenge)
    assert isinstance(world.last, chap.CHAPFailure)
    assert world.last.message.startswith(b"E=649 R=0 ")
    assert world.last.message.endswith(b"M=No room")


class Changing:
    """
    Both ends of MS-CHAPv2. The peer has a new password, and the old one has expired. The arithmetic
    of the authenticator is tested with another implementation of RFC 2759.

    @ivar changes: how often the peer said that its password was changed.
    @ivar password: the password that the authenticator knows.
    """

    def __init__(self, new: bytes = b"fresh", fates: Sequence[int] = ()) -> None:
        self.changes = 0
        self.password = b"sesame"
        self.hasExpired = True
        self.pair = ExchangePair(
            MSCHAPV2, b"user", b"sesame", judge=self.judge, decode=chap.decode, fates=fates
        )
        assert isinstance(self.pair.peer, CHAPPeer)
        self.pair.peer.mayChange(new, self.changed)

    def changed(self) -> None:
        assert not self.pair.theirs.told
        self.changes += 1

    def judge(self, claim: Claim) -> Grant:
        credentials = MSCHAPV2.credentials(claim, b"user")
        if isinstance(credentials, ChangeCredentials):
            new = credentials.changed(ntPasswordHash(self.password))
            assert new is not None
            self.password, self.hasExpired = new.decode("utf-16-le").encode(), False
            return Grant("user", credentials.message, credentials.keys, None)
        assert isinstance(credentials, MSCHAPV2Credentials)
        assert credentials.checkPassword(self.password)
        if self.hasExpired:
            raise EXPIRED
        return Grant("user", credentials.message, credentials.keys, None)


@pytest.mark.parametrize("new", [b"fresh", "\N{SNOWMAN}".encode() * 256, b"x"])
def test_thePeerChangesIt(new: bytes) -> None:
    """
    The peer's end changes a password that has expired, is told so once, and both ends have the keys
    of the new one.
    """
    changing = Changing(new)
    pair = changing.pair.run()
    assert pair.ours.told == ["granted user", "authenticated"]
    assert pair.theirs.told == ["proven"]
    assert (changing.password, changing.changes) == (new, 1)
    ours, theirs = pair.ours.keys, pair.theirs.keys
    assert ours is not None and theirs is not None
    assert ours.send(128, False) == theirs.receive(128, False)
    assert not pair.clock.getDelayedCalls()
    # The next challenge is answered with the new one.
    pair.authenticator.start()
    pair.clock.pump([0.1] * 20)
    assert (len(pair.ours.claims), changing.changes) == (3, 1)
    assert isinstance(pair.ours.packets[-1], chap.CHAPSuccess)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2]), max_size=TRANSMISSIONS - 1))
def test_thePeerChangesItOverALossyLine(fates: list[int]) -> None:
    """
    The password is changed once, whichever of the first packets are lost or come twice, as long as
    not all transmissions of one packet are lost.
    """
    changing = Changing(fates=fates)
    pair = changing.pair.run()
    assert pair.theirs.told == ["proven"]
    assert (changing.password, changing.changes) == (b"fresh", 1)
    assert len(pair.ours.claims) == 2


@pytest.mark.parametrize(
    "message",
    [
        b"E=648 R=0 C=" + b"11" * 16 + b" V=2 M=Too old",
        b"E=648 R=0 C=" + b"11" * 15 + b" V=3",
        b"E=648 R=0 V=3",
        b"E=691 R=0 C=" + b"11" * 16 + b" V=3",
        b"E=648 R=0 C=" + b"11" * 300 + b" V=3",
        b"E=648",
        b"",
    ],
)
def test_thePeerDoesNotChangeIt(message: bytes) -> None:
    """
    A Failure that has another error, another version or no challenge for it is final.
    """
    changing = Changing()
    peer, recorder = changing.pair.peer, changing.pair.theirs
    peer.start()
    peer.received(chap.Challenge(5, bytes(16), b"gw").encode())
    peer.received(chap.CHAPFailure(5, message).encode())
    assert len(recorder.packets) == 1
    assert len(recorder.told) == 1 and recorder.told[0].startswith("refused: ")
    assert not changing.changes


def test_aNewPasswordThatWillNotDo() -> None:
    """
    A Failure after the Change-Password is final, even if it says once more that the password has
    expired, and so is a Success that doesn't prove that the authenticator knows the new password.
    """
    for answer, reason in (
        (chap.CHAPFailure(6, b"E=709 R=0 V=3 M=Longer"), "could not be changed: 'Longer'"),
        (chap.CHAPFailure(6, b"E=648 R=0 C=" + b"22" * 16 + b" V=3"), "has expired"),
        (chap.CHAPSuccess(6, b"S=" + b"0" * 40), "did not prove that it knows the password"),
    ):
        changing = Changing()
        peer, recorder = changing.pair.peer, changing.pair.theirs
        peer.start()
        peer.received(chap.Challenge(5, bytes(16), b"gw").encode())
        peer.received(chap.CHAPFailure(5, b"E=648 R=0 C=" + b"11" * 16 + b" V=3").encode())
        assert isinstance(recorder.packets[-1], chap.ChangePassword)
        assert recorder.packets[-1].identifier == 6
        # The first Failure, repeated because our Response was, isn't the answer to this.
        peer.received(chap.CHAPFailure(5, b"E=648 R=0 C=" + b"11" * 16 + b" V=3").encode())
        assert not recorder.told
        peer.received(answer.encode())
        assert len(recorder.packets) == 2
        assert recorder.told[0].startswith("refused: ") and recorder.told[0].endswith(reason)
        assert not changing.changes


def test_aPeerOfOtherMethodsNeverChangesIt() -> None:
    """
    MS-CHAPv1 and MD5 have no Change-Password of version 3: the Failure is final.
    """
    for method, size in ((MSCHAP, 8), (CHAP, 16)):
        pair = ExchangePair(method, b"user", b"sesame", decode=chap.decode)
        assert isinstance(pair.peer, CHAPPeer)
        verifyObject(IChangingExchange, pair.peer)
        pair.peer.mayChange(b"fresh", lambda: None)
        pair.peer.received(chap.Challenge(5, bytes(size), b"gw").encode())
        failure = b"E=648 R=0 C=" + b"11" * size + b" V=3"
        pair.peer.received(chap.CHAPFailure(5, failure).encode())
        assert len(pair.theirs.packets) == 1 and pair.theirs.isOver


def test_aNewPasswordThatIsTooLong() -> None:
    """
    A password of more than 256 characters can't be sent.
    """
    with pytest.raises(ValueError, match="256 characters"):
        Identity(b"user", b"sesame", (MSCHAPV2,), b"x" * 257)
    with pytest.raises(ValueError, match="256 characters"):
        encryptPassword(bytes(514), bytes(16))
    assert "fresh" not in repr(Identity(b"user", b"sesame", (MSCHAPV2,), b"fresh"))
