"""
Tests for CHAP's exchanges: every method, both ends, with lost packets, wrong claims and silent
peers.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import md5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pptpgw.auth.protocols import CHAP, MSCHAP, MSCHAPV2, CHAPProtocol
from pptpgw.error import Refused, Unavailable
from pptpgw.interfaces import Claim, Grant
from pptpgw.ppp import mppe, mschap
from pptpgw.ppp.exchange import OUTAGE, PAUSE_SECONDS, VERIFICATION_SECONDS
from pptpgw.ppp.wire import chap
from pptpgw.testing import DrivenAuthenticator, ExchangePair, ExchangeRecorder
from tests.octets import generateNTResponse

METHODS = (CHAP, MSCHAP, MSCHAPV2)
PASSWORD = b"sesame"


def judge(claim: Claim, password: bytes = PASSWORD) -> Grant:
    """
    Return a L{Grant} if C{claim} was made with C{password}. The arithmetic of each method is
    written once more here, straight from the RFCs.

    @raise Refused: if it was made with another password.
    """
    message, keys = b"Welcome", None
    passwordHash = mschap.ntPasswordHash(password)
    hashHash = mschap.hashNtPasswordHash(passwordHash)
    if claim.method.name == "chap":
        octets = bytes((claim.identifier,)) + password + claim.challenge
        right = claim.response == md5(octets).digest()
    elif claim.method.name == "mschap":
        expected = mschap.challengeResponse(claim.challenge, passwordHash)
        right = claim.response[24:] == expected + b"\1"
        keys = mppe.mschapKeys(mschap.lmPasswordHash(password), hashHash, claim.challenge)
    else:
        peerChallenge, response = claim.response[:16], claim.response[24:48]
        right = response == generateNTResponse(
            claim.challenge, peerChallenge, claim.name, passwordHash
        )
        hashed = mschap.challengeHash(peerChallenge, claim.challenge, claim.name)
        message = mschap.generateAuthenticatorResponse(hashHash, response, hashed) + b" M=Hello"
        keys = mppe.mschapV2Keys(hashHash, response, True)
    if not right:
        raise Refused("wrong password")
    return Grant(claim.name.decode(), message, keys, None)


def recorder() -> ExchangeRecorder:
    """
    A recorder of CHAP's packets that judges by L{judge}.
    """
    return ExchangeRecorder(chap.decode, judge)


class Scene(DrivenAuthenticator):
    """
    An authenticator and a peer that the test plays by hand.
    """

    def __init__(self, method: CHAPProtocol = MSCHAPV2, rechallenge: float = 0) -> None:
        DrivenAuthenticator.__init__(self, method, chap.decode, judge, rechallenge)
        self.method = method

    def respond(
        self,
        password: bytes = PASSWORD,
        challenge: chap.Challenge | None = None,
        name: bytes = b"user",
    ) -> bytes:
        """
        Answer C{challenge}, or the latest packet without it.

        @return: the Response, which has been delivered.
        """
        if challenge is None:
            assert isinstance(self.last, chap.Challenge)
            challenge = self.last
        sent: list[bytes] = []
        peer = self.method.makePeer(Clock(), sent.append, name, password, recorder())
        peer.received(challenge.encode())
        self.authenticator.received(sent[0])
        return sent[0]

    def retryChallenge(self) -> chap.Challenge:
        """
        The challenge in the Failure just sent, which the peer may answer.
        """
        assert isinstance(self.last, chap.CHAPFailure)
        message = chap.FailureMessage.decode(self.last.message)
        assert (message.error, message.retry, message.version) == (691, True, 3)
        return chap.Challenge((self.last.identifier + 1) & 0xFF, message.challenge, b"")


def pair(
    method: CHAPProtocol, fates: Sequence[int] = (), password: bytes = PASSWORD
) -> ExchangePair:
    """
    Both ends of an exchange, after each has its result.
    """
    return ExchangePair(
        method, b"user", password, judge=judge, decode=chap.decode, fates=fates
    ).run()


@pytest.mark.parametrize("method", METHODS)
def test_success(method: CHAPProtocol) -> None:
    """
    Each method proves the peer. The authenticator reports the grant before it sends the Success,
    and the end of authentication after it.
    """
    pipe = pair(method)
    challenge, granted, success, authenticated = pipe.ours.events
    assert isinstance(challenge, chap.Challenge) and challenge.name == b"gateway"
    assert (granted, authenticated) == ("granted user", "authenticated")
    assert isinstance(success, chap.CHAPSuccess) and success.identifier == challenge.identifier
    assert pipe.theirs.told == ["proven"]
    (claim,) = pipe.ours.claims
    assert (claim.method, claim.name, claim.challenge) == (method, b"user", challenge.value)
    assert claim.identifier == challenge.identifier
    assert not pipe.clock.getDelayedCalls()


@pytest.mark.parametrize("method", (MSCHAP, MSCHAPV2))
def test_keys(method: CHAPProtocol) -> None:
    """
    Both ends derive the same keys.
    """
    pipe = pair(method)
    ours, theirs = pipe.ours.keys, pipe.theirs.keys
    assert ours is not None and theirs is not None
    for bits in (40, 56, 128):
        assert ours.send(bits, False) == theirs.receive(bits, False)
        assert ours.receive(bits, True) == theirs.send(bits, True)


def test_noKeys() -> None:
    """
    CHAP with MD5 derives no keys.
    """
    pipe = pair(CHAP)
    assert pipe.theirs.told == ["proven"] and pipe.theirs.keys is None


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(METHODS), st.lists(st.sampled_from([0, 1]), max_size=8))
def test_losses(method: CHAPProtocol, fates: list[int]) -> None:
    """
    Both ends succeed and the claim is judged once, whichever of the first packets are lost.
    """
    pipe = pair(method, fates)
    assert pipe.ours.told == ["granted user", "authenticated"]
    assert pipe.theirs.told == ["proven"]
    assert len(pipe.ours.claims) == 1
    successes = {packet for packet in pipe.ours.packets if isinstance(packet, chap.CHAPSuccess)}
    assert len(successes) == 1
    assert not pipe.clock.getDelayedCalls()


@pytest.mark.parametrize("method", METHODS)
def test_wrongPassword(method: CHAPProtocol) -> None:
    """
    The first Failure ends the exchange at a peer that has only one password, and the peer reports
    its message.
    """
    pipe = pair(method, password=b"wrong")
    assert isinstance(pipe.ours.packets[-1], chap.CHAPFailure)
    ours, theirs = pipe.ours.told, pipe.theirs.told
    if method.name == "chap":
        assert ours == ["refused: wrong password"]
    else:
        assert ours == ["refused: the peer did not try again"]
        assert theirs == ["refused: no such user or wrong password: 'Authentication failed'"]
    assert len(theirs) == 1
    assert not pipe.clock.getDelayedCalls()


def test_challengesAreFresh() -> None:
    """
    Each exchange begins with a new identifier and a new challenge.
    """
    challenges = [Scene().last for _ in range(20)]
    assert len({packet.value for packet in challenges if isinstance(packet, chap.Challenge)}) == 20
    assert len({packet.identifier for packet in challenges}) > 5


@pytest.mark.parametrize(("method", "size"), [(MSCHAP, 8), (MSCHAPV2, 16)])
def test_retry(method: CHAPProtocol, size: int) -> None:
    """
    The authenticator judges a Response to the challenge in a Failure, under the next identifier.
    """
    scene = Scene(method)
    first = scene.last
    assert isinstance(first, chap.Challenge)
    scene.respond(b"wrong")
    challenge = scene.retryChallenge()
    assert len(challenge.value) == size and challenge.value != first.value
    scene.respond(challenge=challenge)
    assert (
        isinstance(scene.last, chap.CHAPSuccess) and scene.last.identifier == challenge.identifier
    )
    assert [claim.challenge for claim in scene.recorder.claims] == [first.value, challenge.value]
    assert scene.recorder.told == ["granted user", "authenticated"]


def test_retryToTheOldChallenge() -> None:
    """
    The right answer to the challenge before the Failure is a wrong one after it.
    """
    scene = Scene()
    first = scene.last
    assert isinstance(first, chap.Challenge)
    scene.respond(b"wrong")
    challenge = scene.retryChallenge()
    stale = chap.Challenge(challenge.identifier, first.value, b"")
    scene.respond(challenge=stale)
    assert isinstance(scene.last, chap.CHAPFailure) and len(scene.recorder.claims) == 2


@pytest.mark.parametrize("method", (MSCHAP, MSCHAPV2))
def test_threeTries(method: CHAPProtocol) -> None:
    """
    The third wrong password ends the exchange, the Failure says so, and no claim is judged after
    it.
    """
    scene = Scene(method)
    scene.respond(b"wrong")
    scene.respond(b"wronger", scene.retryChallenge())
    scene.respond(b"wrongest", scene.retryChallenge())
    assert isinstance(scene.last, chap.CHAPFailure)
    message = chap.FailureMessage.decode(scene.last.message)
    assert (message.error, message.retry) == (691, False)
    assert len(message.challenge) == {MSCHAP: 8, MSCHAPV2: 16}[method]
    assert scene.recorder.told == ["refused: wrong password"]
    successor = chap.Challenge((scene.last.identifier + 1) & 0xFF, message.challenge, b"")
    scene.respond(challenge=successor)
    assert len(scene.recorder.claims) == 3 and scene.authenticator.discards == 1
    assert not scene.clock.getDelayedCalls()


def test_md5HasOneTry() -> None:
    """
    A Failure of CHAP with MD5 is final.
    """
    scene = Scene(CHAP)
    scene.respond(b"wrong")
    assert scene.last.encode()[4:] == b"Authentication failed"
    assert scene.recorder.told == ["refused: wrong password"]


def test_retryNotAllowedByTheJudge() -> None:
    """
    A refusal with C{retry=False} makes the Failure forbid a retry.
    """
    scene = Scene()
    scene.recorder.judge = lambda claim: fail(Refused("the account is disabled", retry=False))
    scene.respond()
    assert isinstance(scene.last, chap.CHAPFailure)
    assert not chap.FailureMessage.decode(scene.last.message).retry
    assert scene.recorder.told == ["refused: the account is disabled"]


def test_duplicateOfASuccess() -> None:
    """
    A repeated Response gets the same Success again, and is neither judged nor reported again.
    """
    scene = Scene()
    response = scene.respond()
    success = scene.last
    scene.clock.advance(100)
    scene.authenticator.received(response)
    assert isinstance(success, chap.CHAPSuccess) and scene.recorder.packets[-2:] == [success] * 2
    assert len(scene.recorder.claims) == 1
    assert scene.recorder.told == ["granted user", "authenticated"]


def test_duplicateOfAFailure() -> None:
    """
    A repeated Response to which the Failure was lost doesn't count as another try.
    """
    scene = Scene()
    response = scene.respond(b"wrong")
    failure = scene.last
    scene.authenticator.received(response)
    assert scene.recorder.packets[-2:] == [failure] * 2 and len(scene.recorder.claims) == 1
    scene.respond(challenge=scene.retryChallenge())
    assert isinstance(scene.last, chap.CHAPSuccess)


def test_oneVerificationAtATime() -> None:
    """
    The authenticator discards further Responses while a claim is judged.
    """
    scene = Scene()
    verdict: Deferred[Grant] = Deferred()
    scene.recorder.judge = lambda claim: verdict
    response = scene.respond()
    scene.authenticator.received(response)
    assert len(scene.recorder.claims) == 1 and scene.authenticator.discards == 1
    scene.clock.advance(10)
    assert len(scene.recorder.packets) == 1, "no challenge is repeated meanwhile"
    verdict.callback(judge(scene.recorder.claims[0]))
    assert isinstance(scene.last, chap.CHAPSuccess)
    assert not scene.clock.getDelayedCalls()


def test_noVerdict() -> None:
    """
    A verdict that takes longer than L{VERIFICATION_SECONDS} is treated as an outage and cancelled.
    """
    scene = Scene()
    cancelled: list[object] = []
    scene.recorder.judge = lambda claim: Deferred(cancelled.append)
    scene.respond()
    scene.clock.advance(VERIFICATION_SECONDS - 0.1)
    assert not scene.recorder.told
    scene.clock.advance(0.2)
    assert scene.recorder.told == [f"refused: {OUTAGE}"] and cancelled
    assert isinstance(scene.last, chap.Challenge)


def test_brokenJudge(loggedFailures: list[Failure]) -> None:
    """
    An exception of the judge is treated as an outage, and the log has its traceback.
    """
    scene = Scene()

    def broken(claim: Claim) -> Grant:
        raise KeyError("broken")

    scene.recorder.judge = broken
    scene.respond()
    assert isinstance(scene.last, chap.Challenge)
    assert scene.recorder.told == [f"refused: {OUTAGE}"]
    assert [failure.type for failure in loggedFailures] == [KeyError]
    loggedFailures.clear()


@pytest.mark.parametrize("method", METHODS)
def test_outage(method: CHAPProtocol) -> None:
    """
    An outage ends the exchange without a packet to the peer, and later Responses aren't judged.
    """
    scene = Scene(method)
    scene.recorder.judge = lambda claim: fail(Unavailable("db.example doesn't answer"))
    response = scene.respond()
    assert [type(one) for one in scene.recorder.packets] == [chap.Challenge]
    assert scene.recorder.told == [f"refused: {OUTAGE}"] and "db.example" not in OUTAGE
    scene.authenticator.received(response)
    assert len(scene.recorder.claims) == 1 and not scene.clock.getDelayedCalls()


def test_grantTurnedDown() -> None:
    """
    A caller that is refused after the grant gets a Failure that forbids a retry, in place of the
    Success.
    """
    scene = Scene()

    def full() -> None:
        raise Refused("the address pool is used up")

    scene.recorder.atGranted = full
    scene.respond()
    assert isinstance(scene.last, chap.CHAPFailure)
    assert not chap.FailureMessage.decode(scene.last.message).retry
    assert scene.recorder.told == ["granted user", "refused: the address pool is used up"]


def test_grantBreaks(loggedFailures: list[Failure]) -> None:
    """
    An exception after the grant is treated as an outage, since the peer has proven itself.
    """
    scene = Scene()

    def broken() -> None:
        raise KeyError("broken")

    scene.recorder.atGranted = broken
    scene.respond()
    assert isinstance(scene.last, chap.Challenge)
    assert scene.recorder.told == ["granted user", f"refused: {OUTAGE}"]
    assert [failure.type for failure in loggedFailures] == [KeyError]
    loggedFailures.clear()


def test_verdictBreaks(loggedFailures: list[Failure]) -> None:
    """
    An exception of the owner when it is told of a refusal is logged and goes no further.
    """
    scene = Scene()

    def broken() -> None:
        raise KeyError("broken")

    scene.recorder.atRefused = broken
    scene.recorder.judge = lambda claim: fail(Refused("no", retry=False))
    scene.respond()
    assert isinstance(scene.last, chap.CHAPFailure)
    assert [failure.type for failure in loggedFailures] == [KeyError]
    loggedFailures.clear()


def test_stoppedWhenGranted() -> None:
    """
    An authenticator that is stopped while it reports the grant sends nothing more.
    """
    scene = Scene()
    scene.recorder.atGranted = scene.authenticator.stop
    scene.respond()
    assert isinstance(scene.last, chap.Challenge) and scene.recorder.told == ["granted user"]


def test_silentPeer() -> None:
    """
    The authenticator sends the same Challenge ten times, three seconds apart, and then gives the
    peer up.
    """
    scene = Scene()
    scene.clock.pump([0.5] * 59)
    assert len(scene.recorder.packets) == 10 and len(set(scene.recorder.packets)) == 1
    assert not scene.recorder.told
    scene.clock.pump([0.5])
    assert scene.recorder.told == ["refused: the peer did not answer the challenge"]
    scene.respond()
    assert not scene.recorder.claims, "too late"


def test_silentAfterAFailure() -> None:
    """
    A peer has a minute to answer a Failure, as its user may have to type another password.
    """
    scene = Scene()
    scene.respond(b"wrong")
    scene.clock.advance(59)
    assert not scene.recorder.told
    scene.clock.advance(1.5)
    assert scene.recorder.told == ["refused: the peer did not try again"]


def test_stop() -> None:
    """
    An authenticator that is stopped sends nothing, reports nothing and cancels the verdict that it
    waits for.
    """
    scene = Scene()
    scene.authenticator.stop()
    assert not scene.clock.getDelayedCalls()
    cancelled: list[object] = []
    scene = Scene()
    scene.recorder.judge = lambda claim: Deferred(cancelled.append)
    response = scene.respond()
    scene.authenticator.stop()
    scene.authenticator.received(response)
    assert cancelled and not scene.clock.getDelayedCalls()
    assert len(scene.recorder.packets) == 1 and not scene.recorder.told


@pytest.mark.parametrize("method", METHODS)
def test_rechallenge(method: CHAPProtocol) -> None:
    """
    The authenticator challenges the peer again during a session, with another identifier and
    challenge. A right answer changes nothing.
    """
    scene = Scene(method, rechallenge=60)
    first = scene.last
    scene.respond()
    for _ in range(3):
        scene.clock.advance(60)
        again = scene.last
        assert isinstance(first, chap.Challenge) and isinstance(again, chap.Challenge)
        assert again.identifier != first.identifier and again.value != first.value
        scene.respond()
        assert isinstance(scene.last, chap.CHAPSuccess)
    assert len(scene.recorder.claims) == 4
    assert scene.recorder.told == ["granted user", "authenticated"]


@pytest.mark.parametrize("method", METHODS)
def test_rechallengeFails(method: CHAPProtocol) -> None:
    """
    A wrong answer to a challenge during a session ends the exchange at once.
    """
    scene = Scene(method, rechallenge=60)
    scene.respond()
    scene.clock.advance(60)
    scene.respond(b"wrong")
    assert isinstance(scene.last, chap.CHAPFailure)
    assert scene.recorder.told[2:] == ["refused: wrong password"]
    assert not scene.clock.getDelayedCalls()


@pytest.mark.parametrize("rechallenge", [9, 600])
def test_rechallengeDuringAnOutage(rechallenge: float) -> None:
    """
    A peer whose answer can't be judged during a session stays, is told nothing, and is challenged
    again soon.
    """
    scene = Scene(rechallenge=rechallenge)
    scene.respond()
    scene.clock.advance(rechallenge)
    soon = min(rechallenge, 20)
    for asked in range(3):
        scene.recorder.judge = lambda claim: fail(Unavailable("nobody there"))
        scene.respond()
        scene.clock.advance(soon - 0.1)
        assert len(scene.recorder.claims) == asked + 2
        scene.clock.advance(0.1)
    scene.recorder.judge = judge
    scene.respond()
    assert isinstance(scene.last, chap.CHAPSuccess)
    assert scene.recorder.told == ["granted user", "authenticated"]
    assert scene.clock.getDelayedCalls()[0].getTime() - scene.clock.seconds() == rechallenge


def test_rechallengeByAJudgeThatHangs() -> None:
    """
    A peer whose answer wasn't judged in time during a session is challenged again after
    L{PAUSE_SECONDS}.
    """
    scene = Scene(rechallenge=600)
    scene.respond()
    scene.clock.advance(600)
    scene.recorder.judge = lambda claim: Deferred()
    scene.respond()
    scene.clock.advance(VERIFICATION_SECONDS)
    scene.clock.advance(PAUSE_SECONDS)
    assert [type(one) for one in scene.recorder.packets[2:]] == [chap.Challenge] * 2
    assert scene.recorder.told == ["granted user", "authenticated"]
    scene.authenticator.stop()


def test_rechallengeUnanswered() -> None:
    """
    A peer that doesn't answer a challenge during a session is refused.
    """
    scene = Scene(rechallenge=60)
    scene.respond()
    scene.clock.pump([1.0] * 91)
    assert scene.recorder.told[2:] == ["refused: the peer did not answer the challenge"]


def test_rechallengeUnderAnotherName() -> None:
    """
    A right answer under another name during a session is refused.
    """
    scene = Scene(rechallenge=60)
    scene.respond()
    scene.clock.advance(60)
    scene.respond(name=b"another")
    assert isinstance(scene.last, chap.CHAPFailure)
    assert scene.recorder.told[2:] == [
        "refused: the peer took another name when it was challenged again"
    ]


def test_lateDuplicateDuringRechallenge() -> None:
    """
    A repetition of the first Response gets the first Success during a new challenge too, and
    doesn't count as an answer to that challenge.
    """
    scene = Scene(rechallenge=60)
    response = scene.respond()
    success = scene.last
    scene.clock.advance(60)
    scene.authenticator.received(response)
    assert scene.last == success and len(scene.recorder.claims) == 1
    challenge = scene.recorder.packets[-2]
    assert isinstance(challenge, chap.Challenge)
    scene.respond(challenge=challenge)
    assert len(scene.recorder.claims) == 2


@pytest.mark.parametrize("method", METHODS)
def test_wrongSizes(method: CHAPProtocol) -> None:
    """
    Both ends discard a value whose size is another method's, and still take the right one.
    """
    scene = Scene(method)
    challenge = scene.last
    assert isinstance(challenge, chap.Challenge)
    for size in (1, 15, 17, 24, 48, 50, 255):
        scene.authenticator.received(
            chap.CHAPResponse(challenge.identifier, bytes(size), b"user").encode()
        )
    assert scene.authenticator.discards == 7 and not scene.recorder.claims
    scene.respond()
    assert isinstance(scene.last, chap.CHAPSuccess)


def test_wrongIdentifier() -> None:
    """
    The authenticator discards a Response with another identifier.
    """
    scene = Scene()
    challenge = scene.last
    assert isinstance(challenge, chap.Challenge)
    for step in range(1, 256):
        identifier = (challenge.identifier + step) & 0xFF
        scene.authenticator.received(chap.CHAPResponse(identifier, bytes(49), b"user").encode())
    assert scene.authenticator.discards == 255 and not scene.recorder.claims


def test_emptyName() -> None:
    """
    An authenticator can't be made with an empty name.
    """
    one = recorder()
    with pytest.raises(ValueError):
        CHAP.makeAuthenticator(Clock(), one.send, b"", one.authenticate, one, 0)


@given(st.sampled_from(METHODS), st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_arbitraryOctets(method: CHAPProtocol, packets: list[bytes], tagged: bool) -> None:
    """
    No octets make either end raise, in any state.
    """
    scene = Scene(method)
    theirs = recorder()
    peer = method.makePeer(scene.clock, theirs.send, b"user", PASSWORD, theirs)
    peer.start()
    assert isinstance(scene.last, chap.Challenge)
    peer.received(scene.last.encode())
    for packet in packets:
        if tagged:
            # A packet with a valid code, the right identifier and the right length.
            code = packet[0] % 4 + 1 if packet else 1
            length = (len(packet) + 4).to_bytes(2, "big")
            packet = bytes((code, scene.last.identifier)) + length + packet
        scene.authenticator.received(packet)
        peer.received(packet)


class PeerScene:
    """
    A peer, and an authenticator that the test plays by hand.
    """

    def __init__(self, method: CHAPProtocol = MSCHAPV2) -> None:
        self.clock = Clock()
        self.recorder = recorder()
        self.peer = method.makePeer(
            self.clock, self.recorder.send, b"user", PASSWORD, self.recorder
        )
        self.peer.start()
        self.challenge = chap.Challenge(5, bytes(8 if method.name == "mschap" else 16), b"gw")
        self.method = method

    def grant(self) -> chap.CHAPSuccess:
        """
        Deliver the right Success for the Response just sent.
        """
        response = self.recorder.packets[-1]
        assert isinstance(response, chap.CHAPResponse)
        claim = Claim(
            self.method, response.name, response.identifier, self.challenge.value, response.value
        )
        return chap.CHAPSuccess(response.identifier, judge(claim).message)


def test_peerChecksTheAuthenticator() -> None:
    """
    The peer refuses a Success that doesn't prove that the authenticator knows the password.
    """
    for message in (b"", b"Welcome", b"S=" + b"0" * 40 + b" M=Welcome"):
        scene = PeerScene()
        scene.peer.received(scene.challenge.encode())
        scene.peer.received(chap.CHAPSuccess(5, message).encode())
        assert scene.recorder.told == [
            "refused: the authenticator did not prove that it knows the password"
        ]
        scene.peer.received(scene.grant().encode())
        assert len(scene.recorder.told) == 1, "and it stays ended"


def test_peerMatchesIdentifiers() -> None:
    """
    The peer discards a Success with another identifier, or before any Challenge.
    """
    scene = PeerScene()
    scene.peer.received(chap.CHAPSuccess(5, b"S=" + b"0" * 40).encode())
    scene.peer.received(scene.challenge.encode())
    scene.peer.received(chap.CHAPSuccess(6, b"S=" + b"0" * 40).encode())
    scene.peer.received(chap.CHAPFailure(4, b"E=691 R=0").encode())
    assert scene.peer.discards == 3 and not scene.recorder.told
    scene.peer.received(scene.grant().encode())
    assert scene.recorder.told == ["proven"]


def test_peerRepeatsItsResponse() -> None:
    """
    The peer answers a repeated Challenge with the same Response, and another Challenge with a new
    Response under its identifier.
    """
    scene = PeerScene()
    scene.peer.received(scene.challenge.encode())
    scene.peer.received(scene.challenge.encode())
    scene.peer.received(chap.Challenge(6, bytes(16), b"gw").encode())
    first, second, third = scene.recorder.packets
    assert first == second and first != third and third.identifier == 6


def test_peerIsChallengedAgain() -> None:
    """
    The peer answers a challenge during the session and reports nothing new.
    """
    scene = PeerScene()
    scene.peer.received(scene.challenge.encode())
    scene.peer.received(scene.grant().encode())
    scene.challenge = chap.Challenge(6, bytes(range(16)), b"gw")
    scene.peer.received(scene.challenge.encode())
    scene.peer.received(scene.grant().encode())
    assert scene.recorder.told == ["proven"] and not scene.clock.getDelayedCalls()
    scene.challenge = chap.Challenge(7, bytes(16), b"gw")
    scene.peer.received(scene.challenge.encode())
    scene.peer.received(chap.CHAPFailure(7, b"E=649 R=0 V=3 M=Go\naway").encode())
    assert scene.recorder.told[1:] == ["refused: the account may not dial in: 'Go\\naway'"]


def test_peerOfAnotherMethod() -> None:
    """
    The peer discards a challenge whose size isn't the method's.
    """
    scene = PeerScene(MSCHAP)
    scene.peer.received(chap.Challenge(1, bytes(16), b"gw").encode())
    assert not scene.recorder.packets and scene.peer.discards == 1


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"E=691 R=0 V=3", "no such user or wrong password"),
        (b"E=12 R=0 V=3 M=Odd", "error 12: 'Odd'"),
        (b"nonsense\x1b[2J", "the authenticator does not believe us: 'nonsense\\x1b[2J'"),
        (b"", "the authenticator does not believe us"),
    ],
)
def test_peerExplainsAFailure(message: bytes, reason: str) -> None:
    """
    The peer's reason has the message of the Failure, escaped for printing.
    """
    scene = PeerScene()
    scene.peer.received(scene.challenge.encode())
    scene.peer.received(chap.CHAPFailure(5, message).encode())
    assert scene.recorder.told == [f"refused: {reason}"]


def test_peerGivesUp() -> None:
    """
    The peer waits half a minute for a Challenge, sends its Response ten times, and then gives up.
    """
    scene = PeerScene()
    scene.clock.pump([1.0] * 31)
    assert scene.recorder.told == ["refused: no challenge came"]
    scene = PeerScene()
    scene.peer.received(scene.challenge.encode())
    scene.clock.pump([1.0] * 31)
    assert scene.recorder.told == ["refused: our response was not answered"]
    assert len(scene.recorder.packets) == 10 and len(set(scene.recorder.packets)) == 1


def test_peerStops() -> None:
    """
    A peer that is stopped ignores every packet.
    """
    scene = PeerScene()
    scene.peer.stop()
    scene.peer.received(scene.challenge.encode())
    assert not scene.recorder.events and not scene.clock.getDelayedCalls()
