"""
Tests for EAP's exchanges: both ends, with lost packets, wrong claims and silent peers; methods for
passwords, and methods that a checker continues.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure

from pptpgw.auth.credentials import MSCHAPV2Credentials
from pptpgw.auth.eap import EAP, EAPProtocol
from pptpgw.auth.eapmethod import MD5, MSCHAPV2, EAPMethod, MD5Method, MD5Peer
from pptpgw.auth.eapmethod import RELAYED as RADIUS
from pptpgw.error import Refused, Unavailable
from pptpgw.interfaces import (
    Claim,
    Grant,
    IEAPConversation,
    IEAPCredentials,
    IEAPMethod,
    IKeys,
)
from pptpgw.ppp import mschap
from pptpgw.ppp.eap import IDENTITY_OCTETS, RELAYED_OCTETS, ROUNDS, EAPAuthenticator
from pptpgw.ppp.eappeer import EAPPeer
from pptpgw.ppp.exchange import (
    OUTAGE,
    OUTAGE_SECONDS,
    RESTART_SECONDS,
    TRANSMISSIONS,
    VERIFICATION_SECONDS,
)
from pptpgw.ppp.wire import chap, eap
from pptpgw.ppp.wire.eap import Method
from pptpgw.sessions.cause import Termination, codeOf
from pptpgw.testing import PASSWORD, DrivenEAP, ExchangePair, ExchangeRecorder, Judge, makeGrant
from tests.garbage import leftBy

OTHER = Method(77)


def unavailable(claim: Claim) -> Grant:
    """
    Fail as a judge does during an outage.
    """
    raise Unavailable("nobody there")


class Scene(DrivenEAP):
    """
    An authenticator and a peer that the test plays by hand.
    """

    def __init__(
        self, *methods: IEAPMethod, judge: Judge = makeGrant, rechallenge: float = 0
    ) -> None:
        DrivenEAP.__init__(
            self, *(methods or (MD5, MSCHAPV2)), judge=judge, rechallenge=rechallenge
        )

    def nak(self, *wanted: Method, expanded: bool = False) -> None:
        self.authenticator.received(eap.Nak(self.asked.identifier, wanted, expanded).encode())

    def md5(self, password: bytes = PASSWORD) -> None:
        """
        Answer an MD5-Challenge with C{password}.
        """
        request = self.asked
        assert request.method == eap.MD5_CHALLENGE
        value = request.content[1:17]
        assert (request.content[0], request.content[17:]) == (16, b"gateway")
        self.answer(b"\x10" + mschap.chapMD5(request.identifier, password, value) + b"alice")

    @property
    def packets(self) -> list[eap.Packet]:
        return self.recorder.packets

    @property
    def events(self) -> list[str]:
        """
        What the authenticator reported, in order, with each Success and Failure that it sent.
        """
        results = eap.EAPSuccess, eap.EAPFailure
        return [
            event if isinstance(event, str) else type(event).__name__.removeprefix("EAP")
            for event in self.recorder.events
            if isinstance(event, (str, *results))
        ]

    def assertIdle(self) -> None:
        """
        Assert that no timer is left.
        """
        assert not self.clock.getDelayedCalls()


class Pipe(ExchangePair):
    """
    Both ends, each with methods of its own.
    """

    def __init__(
        self, servers: Sequence[IEAPMethod], peers: Sequence[IEAPMethod], **more: Any
    ) -> None:
        theirs = EAPProtocol(tuple(peers))
        ExchangePair.__init__(self, EAPProtocol(tuple(servers)), peer=theirs, **more)

    def run(self) -> Pipe:
        ExchangePair.run(self)
        return self

    @property
    def methods(self) -> list[int]:
        """
        The numbers of the methods that were asked for, in order and without repetitions.
        """
        found = [packet[4] for packet in self.packets if packet[0] == eap.EAPRequest.CODE]
        return [one for index, one in enumerate(found) if index == 0 or found[index - 1] != one]


def vanish(scene: Scene) -> None:
    """
    End before the peer has said who it is.
    """


def vanishWhileJudged(scene: Scene) -> None:
    """
    End while the claim is judged.
    """
    scene.recorder.judge = lambda claim: Deferred()
    scene.identify()
    scene.md5()


def beWrong(scene: Scene) -> None:
    """
    End with a wrong password.
    """
    scene.recorder.judge = lambda claim: deferLater(scene.clock, 1, makeGrant, claim)
    scene.identify()
    scene.md5(b"wrong")
    scene.clock.advance(1)


def beSilent(scene: Scene) -> None:
    """
    End by silence, after the authenticator has sent its Request as often as it does.
    """
    for _ in range(TRANSMISSIONS):
        scene.clock.advance(RESTART_SECONDS)


@pytest.mark.parametrize("end", [vanish, vanishWhileJudged, beWrong, beSilent])
def test_anEndedConversationIsFreed(end: Callable[[Scene], None]) -> None:
    """
    An ended conversation is freed without the garbage collector.
    """

    def converse() -> None:
        scene = Scene()
        end(scene)
        scene.authenticator.stop()
        # The scene has the authenticator, which calls the scene: break that circle.
        vars(scene).clear()

    assert leftBy(converse)[EAPAuthenticator] == 0


def keysMatch(ours: IKeys | None, theirs: IKeys | None) -> bool:
    """
    Whether each end decrypts with the key that the other end encrypts with.
    """
    assert ours is not None and theirs is not None
    assert ours.bits == theirs.bits == (40, 56, 128)
    return all(
        ours.send(bits, False) == theirs.receive(bits, False)
        and ours.receive(bits, False) == theirs.send(bits, False)
        and ours.send(bits, False) != ours.receive(bits, False)
        for bits in ours.bits
    )


class TestSuccess:
    def test_MD5(self) -> None:
        pipe = Pipe([MD5], [MD5]).run()
        assert pipe.ours.told == ["granted alice", "authenticated"]
        assert pipe.theirs.told == ["proven"]
        assert pipe.ours.keys is None and pipe.theirs.keys is None
        assert pipe.methods == [1, 4]

    def test_MSCHAPv2(self) -> None:
        pipe = Pipe([MSCHAPV2], [MSCHAPV2]).run()
        assert pipe.ours.told == ["granted alice", "authenticated"]
        assert pipe.theirs.told == ["proven"]
        assert keysMatch(pipe.ours.keys, pipe.theirs.keys)
        # Challenge, Response, Success, and the peer's confirmation of the Success (section 2 of the
        # draft).
        inner = [packet[5] for packet in pipe.packets if packet[4:5] == b"\x1a"]
        assert inner == [1, 2, 3, 3]

    def test_thePeerIsBelievedBeforeItHears(self) -> None:
        """
        The authenticator reports "granted" before it sends the Success, so that what is prepared
        then is ready when the peer reads the Success.
        """
        scene = Scene()
        scene.identify()
        scene.md5()
        assert scene.events == ["granted alice", "Success", "authenticated"]
        assert scene.last == eap.EAPSuccess(scene.recorder.claims[0].identifier)
        scene.assertIdle()

    def test_theNameOfAnMD5ClaimIsTheIdentity(self) -> None:
        """
        The name of an MD5 claim is the identity. The name beside the hash is ignored, as RFC 1994's
        hash, which RFC 3748 section 5.4 takes over, doesn't cover it.
        """
        scene = Scene()
        scene.identify(b"bob\0options of RFC 4284")
        scene.md5()
        assert scene.recorder.claims[0].name == b"bob"

    def test_withoutAnIdentityItIsTheNameBesideTheHash(self) -> None:
        scene = Scene()
        scene.identify(b"")
        scene.md5()
        assert scene.recorder.claims[0].name == b"alice"

    def test_theNameOfAnMSCHAPv2ClaimIsTheOneHashed(self) -> None:
        pipe = Pipe([MSCHAPV2], [MSCHAPV2], name=b"NT\\carol").run()
        assert pipe.ours.told[0] == "granted NT\\carol"

    def test_aSuccessThatWasLostIsRepeated(self) -> None:
        scene = Scene()
        scene.authenticator.repeat()
        assert len(scene.packets) == 1
        scene.identify()
        scene.md5()
        scene.authenticator.repeat()
        assert scene.packets[-2:] == [scene.last] * 2
        assert scene.events.count("authenticated") == 1


def test_theVectorsOfMSCHAPv2() -> None:
    """
    An exchange with the values of RFC 2759 section 9.2 has the octets that
    draft-kamath-pppext-eap-mschapv2 gives its packets.
    """

    def clientPass(claim: Claim) -> Grant:
        credentials = claim.method.credentials(claim, claim.name)
        assert isinstance(credentials, MSCHAPV2Credentials)
        assert credentials.checkPassword(b"clientPass")
        return Grant("User", credentials.message, credentials.keys, None)

    challenge = bytes.fromhex("5B5D7C7D7B3F2F3E3C2C602132262628")
    scene = Scene(MSCHAPV2, judge=clientPass)
    scene.authenticator.random = lambda size: challenge[:size]
    scene.identify(b"User")
    # A Challenge with the identifier 0x5B, 28 octets long, with a value of 16 octets.
    assert scene.asked.encode()[4:] == bytes.fromhex("1a 01 5b 001c 10") + challenge + b"gateway"
    scene.answer(
        bytes.fromhex(
            "02 5b 003a 31 21402324255E262A28295F2B3A337C7E 0000000000000000"
            "82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF 00"
        )
        + b"User"
    )
    message = b"S=407A5589115FD0D6209F510FE9C04566932CDA56 M=Welcome"
    assert scene.asked.encode()[4:] == bytes.fromhex("1a 03 5b 0038") + message
    scene.answer(b"\3")
    assert scene.last == eap.EAPSuccess(scene.packets[-2].identifier)
    assert scene.recorder.keys is not None
    # The server's send key (RFC 3079 section 3.5.3).
    key = scene.recorder.keys.send(128, False).startKey
    assert key.hex() == "8b7cdc149b993a1ba118cb153f56dccb"


class TestPeer:
    """
    Tests for our own peer. The test plays the authenticator by hand.
    """

    def _peer(self, *methods: IEAPMethod) -> tuple[EAPPeer, ExchangeRecorder, list[eap.Packet]]:
        recorder, packets = ExchangeRecorder(), list[eap.Packet]()
        peer = EAPProtocol(methods).makePeer(
            Clock(), lambda packet: packets.append(eap.decode(packet)), b"a", PASSWORD, recorder
        )
        return peer, recorder, packets

    def test_aSuccessBeforeTheProof(self) -> None:
        """
        The peer discards a Success while its method isn't done, as anybody can send one (section
        4.2).
        """
        peer, recorder, packets = self._peer(MSCHAPV2)
        challenge = chap.Challenge(1, bytes(16), b"gateway").encode()
        for packet in (
            eap.EAPSuccess(0),
            eap.EAPRequest(1, eap.IDENTITY),
            eap.EAPSuccess(1),
            eap.EAPRequest(2, eap.MSCHAPV2, challenge),
            eap.EAPSuccess(2),
        ):
            peer.received(packet.encode())
        assert not recorder.events and peer.discards == 3
        assert len(packets) == 2

    @pytest.mark.parametrize(
        ("method", "expanded"), [(OTHER, False), (Method(1, 311), True), (Method(255), False)]
    )
    def test_aMethodThatItHasNot(self, method: Method, expanded: bool) -> None:
        """
        The peer answers a Request for an unknown method with a Nak in the same form, which names
        all of its methods (section 5.3).
        """
        peer, _, packets = self._peer(MSCHAPV2, MD5)
        peer.received(eap.EAPRequest(7, method).encode())
        assert packets == [eap.Nak(7, (eap.MSCHAPV2, eap.MD5_CHALLENGE), expanded)]

    def test_aNotificationIsAnswered(self) -> None:
        peer, _, packets = self._peer(MD5)
        peer.received(eap.EAPRequest(7, eap.NOTIFICATION, b"soon").encode())
        assert packets == [eap.EAPResponse(7, eap.NOTIFICATION)]

    def test_anotherMethodInBetween(self) -> None:
        peer, _, packets = self._peer(MSCHAPV2, MD5)
        challenge = chap.Challenge(1, bytes(16), b"gateway").encode()
        peer.received(eap.EAPRequest(2, eap.MSCHAPV2, challenge).encode())
        peer.received(eap.EAPRequest(3, eap.MD5_CHALLENGE, b"\1x").encode())
        assert len(packets) == 1 and peer.discards == 1

    @pytest.mark.parametrize("failing", ["begin", "answer", "keys"])
    def test_aMethodThatFails(
        self, failing: str, monkeypatch: pytest.MonkeyPatch, loggedFailures: list[Failure]
    ) -> None:
        """
        An exception of a method, which may be a third party's, is logged and ends the exchange.
        """

        def fail(*arguments: object) -> None:
            raise ZeroDivisionError

        class Method(MD5Method):
            pass

        class Peer(MD5Peer):
            pass

        monkeypatch.setattr(Method, "makePeer", Peer)
        monkeypatch.setattr(Method if failing == "begin" else Peer, failing, fail, raising=True)
        peer, recorder, _ = self._peer(Method())
        peer.received(eap.EAPRequest(1, eap.MD5_CHALLENGE, b"\1x").encode())
        peer.received(eap.EAPSuccess(1).encode())
        assert recorder.events == ["refused: the EAP method failed"]
        assert [failure.type for failure in loggedFailures] == [ZeroDivisionError]
        loggedFailures.clear()

    def test_aSilentAuthenticator(self) -> None:
        clock, recorder = Clock(), ExchangeRecorder()
        EAP.makePeer(clock, lambda packet: None, b"a", PASSWORD, recorder).start()
        clock.advance(RESTART_SECONDS * TRANSMISSIONS)
        assert recorder.events == ["refused: the authenticator is silent"]

    def test_anAuthenticatorWithoutAnEnd(self) -> None:
        peer, recorder, packets = self._peer(MD5)
        for number in range(ROUNDS + 5):
            peer.received(eap.EAPRequest(number & 0xFF, eap.IDENTITY).encode())
        assert recorder.events == [f"refused: no result after {ROUNDS} requests"]
        assert len(packets) == ROUNDS


class TestFailure:
    @pytest.mark.parametrize("method", [MD5, MSCHAPV2], ids=lambda method: method.name)
    def test_aWrongPassword(self, method: IEAPMethod) -> None:
        pipe = Pipe([method], [method], password=b"wrong").run()
        assert pipe.ours.told == ["refused: wrong password"]
        why = (
            "the authenticator does not believe us"
            if method is MD5
            else "no such user or wrong password: 'Authentication failed'"
        )
        assert pipe.theirs.told == [f"refused: {why}"]
        assert pipe.packets[-1][0] == eap.EAPFailure.CODE

    def test_MSCHAPv2LetsThePeerTryAgain(self) -> None:
        """
        The peer may answer the challenge in a failure under the next identifier (RFC 2759 section
        6), and has three tries in all.
        """
        scene = Scene(MSCHAPV2)
        scene.identify()
        challenge = chap.decode(scene.asked.content)
        assert isinstance(challenge, chap.Challenge)
        for password in (b"one", b"two"):
            self._respond(scene, challenge, password)
            failure = chap.decode(scene.asked.content)
            assert isinstance(failure, chap.CHAPFailure)
            said = chap.FailureMessage.decode(failure.message)
            assert (said.error, said.retry, said.version) == (691, True, 3)
            assert failure.identifier == challenge.identifier
            challenge = chap.Challenge(
                (challenge.identifier + 1) & 0xFF, said.challenge, b"gateway"
            )
        self._respond(scene, challenge, PASSWORD)
        assert isinstance(chap.decode(scene.asked.content), chap.CHAPSuccess)
        scene.answer(b"\3")
        assert scene.events == ["granted alice", "Success", "authenticated"]

    def test_threeTriesOfMSCHAPv2AreEnough(self) -> None:
        scene = Scene(MSCHAPV2)
        scene.identify()
        challenge = chap.decode(scene.asked.content)
        for retry in (True, True, False):
            assert isinstance(challenge, chap.Challenge)
            self._respond(scene, challenge, b"wrong")
            failure = chap.decode(scene.asked.content)
            assert isinstance(failure, chap.CHAPFailure)
            said = chap.FailureMessage.decode(failure.message)
            assert said.retry is retry
            challenge = chap.Challenge((challenge.identifier + 1) & 0xFF, said.challenge, b"x")
        scene.answer(b"\4")
        assert scene.events == ["Failure", "refused: wrong password"]

    def _respond(self, scene: Scene, challenge: chap.Challenge, password: bytes) -> None:
        conversation = MSCHAPV2.begin(b"alice", password)
        request = eap.EAPRequest(0, eap.MSCHAPV2, challenge.encode())
        scene.answer(conversation.answer(request))

    def test_aPeerThatDoesNotBelieveUs(self) -> None:
        """
        A peer that answers the success with a failure is refused.
        """
        scene = Scene(MSCHAPV2)
        scene.identify()
        challenge = chap.decode(scene.asked.content)
        assert isinstance(challenge, chap.Challenge)
        self._respond(scene, challenge, PASSWORD)
        scene.answer(b"\4")
        assert scene.events[-2:] == ["Failure", "refused: the peer does not believe us"]

    def test_anAuthenticatorThatDoesNotKnowThePassword(self) -> None:
        """
        Our peer refuses a Success without the proof that the authenticator knows the password.
        """

        def believe(claim: Claim) -> Grant:
            return Grant("alice", b"S=" + b"0" * 40, None, None)

        pipe = Pipe([MSCHAPV2], [MSCHAPV2], judge=believe).run()
        assert pipe.theirs.told == [
            "refused: the authenticator did not prove that it knows the password"
        ]

    @pytest.mark.parametrize(
        "content",
        [b"", b"\0", b"\x11" + bytes(16), b"\x0f" + bytes(15), b"\xff", b"\x10" + bytes(15)],
    )
    def test_anMD5ResponseThatIsNone(self, content: bytes) -> None:
        scene = Scene(MD5)
        scene.identify()
        scene.answer(content)
        assert scene.events[0] == "Failure" and "can't be read" in scene.events[1]
        assert not scene.recorder.claims

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\2",
            b"\2\0\0\4",
            b"\1\0\0\x06\1x",
            b"\2\0\0\x07\2xx",
            b"\2\0\xff\xff\x31",
            b"\xff" * 60,
        ],
    )
    def test_anMSCHAPv2ResponseThatIsNone(self, content: bytes) -> None:
        scene = Scene(MSCHAPV2)
        scene.identify()
        scene.answer(content)
        assert scene.events[0] == "Failure"
        assert not scene.recorder.claims

    def test_anIdentityThatIsTooLong(self) -> None:
        scene = Scene()
        scene.identify(bytes(IDENTITY_OCTETS + 1))
        assert scene.events == ["Failure", "refused: an identity of 254 octets"]
        scene.assertIdle()

    def test_whenJudgingBreaks(self, loggedFailures: list[Failure]) -> None:
        def broken(claim: Claim) -> Grant:
            raise ValueError("broken")

        scene = Scene(judge=broken)
        scene.identify()
        scene.md5()
        assert scene.events == [f"refused: {OUTAGE}"]
        assert codeOf(scene.recorder.reason) == Termination.SERVICE_UNAVAILABLE
        assert [failure.type for failure in loggedFailures] == [ValueError]
        loggedFailures.clear()

    def test_whenNobodyJudges(self) -> None:
        scene = Scene(judge=lambda claim: Deferred())
        scene.identify()
        scene.md5()
        scene.clock.advance(VERIFICATION_SECONDS)
        assert scene.events == [f"refused: {OUTAGE}"]
        scene.assertIdle()

    def test_duringAnOutage(self) -> None:
        """
        An outage sends no Failure to the peer. A peer that has proven itself stays, and is asked
        again after L{OUTAGE_SECONDS}.
        """
        scene = Scene(judge=unavailable)
        scene.identify()
        scene.md5()
        assert scene.events == [f"refused: {OUTAGE}"]
        scene.assertIdle()
        scene = Scene(rechallenge=600)
        scene.identify()
        scene.md5()
        scene.clock.advance(600)
        for _ in range(3):
            scene.recorder.judge = unavailable
            scene.identify()
            scene.md5()
            scene.clock.advance(OUTAGE_SECONDS)
        scene.recorder.judge = makeGrant
        scene.identify()
        scene.md5()
        assert scene.events == ["granted alice", "Success", "authenticated", "Success"]
        scene.authenticator.stop()

    def test_theLinkCannotTakeThePeer(self) -> None:
        scene = Scene()

        def full() -> None:
            raise Refused("no address is free", retry=False)

        scene.recorder.atGranted = full
        scene.identify()
        scene.md5()
        assert scene.events == ["granted alice", "Failure", "refused: no address is free"]

    def test_nothingFollowsAFailure(self) -> None:
        scene = Scene()
        scene.identify()
        scene.md5(b"wrong")
        before = len(scene.packets)
        for identifier in range(256):
            scene.authenticator.received(eap.EAPResponse(identifier, eap.IDENTITY, b"bob").encode())
        assert len(scene.packets) == before and scene.authenticator.discards == 256


class TestRepetition:
    def test_aRequestIsRepeatedAsItWas(self) -> None:
        """
        A repeated Request has the same identifier (section 4.1).
        """
        scene = Scene()
        for _ in range(TRANSMISSIONS):
            scene.clock.advance(RESTART_SECONDS)
        assert scene.packets[:-1] == [scene.packets[0]] * TRANSMISSIONS
        assert scene.events == ["Failure", "refused: the peer did not answer the request"]
        assert codeOf(scene.recorder.reason) == Termination.LOST_CARRIER
        scene.assertIdle()

    def test_everyRequestHasAnotherIdentifier(self) -> None:
        scene = Scene()
        scene.identify()
        scene.nak(eap.MSCHAPV2)
        identifiers = [packet.identifier for packet in scene.packets]
        assert len(set(identifiers)) == 3

    def test_aDuplicateIsDiscarded(self) -> None:
        """
        The authenticator discards a repeated Response (section 4.1), also while the first one is
        judged.
        """
        verdict: Deferred[Grant] = Deferred()
        scene = Scene(judge=lambda claim: verdict)
        scene.identify()
        scene.md5()
        scene.md5()
        assert len(scene.recorder.claims) == 1 and scene.authenticator.discards == 1
        verdict.callback(makeGrant(scene.recorder.claims[0]))
        assert scene.events == ["granted alice", "Success", "authenticated"]

    def test_aResponseToAnEarlierRequestIsDiscarded(self) -> None:
        scene = Scene()
        first = scene.asked.identifier
        scene.identify()
        scene.authenticator.received(eap.EAPResponse(first, eap.IDENTITY, b"mallory").encode())
        assert scene.authenticator.discards == 1
        assert len(scene.packets) == 2

    def test_aResponseOfAnotherMethodIsDiscarded(self) -> None:
        """
        The authenticator discards a Response of another method than its Request, and still takes
        one of the right method (section 2).
        """
        scene = Scene()
        scene.identify()
        scene.answer(bytes(60), eap.MSCHAPV2)
        scene.answer(b"alice", eap.IDENTITY)
        assert scene.authenticator.discards == 2
        scene.md5()
        assert scene.events[0] == "granted alice"

    def test_whatIsForThePeerIsPassedOver(self) -> None:
        """
        The authenticator ignores packets for a peer without counting them as discarded, since both
        ends may run on one link.
        """
        scene = Scene()
        for packet in (eap.EAPSuccess(0), eap.EAPFailure(0), eap.EAPRequest(0, eap.IDENTITY)):
            scene.authenticator.received(packet.encode())
        assert len(scene.packets) == 1 and not scene.events
        scene.authenticator.received(b"\2\0\0\4")
        assert scene.authenticator.discards == 1

    @settings(deadline=None, max_examples=60)
    @given(
        st.lists(st.sampled_from([0, 1, 1, 2]), max_size=24),
        st.sampled_from([MD5, MSCHAPV2]),
    )
    def test_losses(self, fates: list[int], method: IEAPMethod) -> None:
        """
        Both ends succeed, whichever packets are lost or come twice.
        """
        pipe = Pipe([method], [method], fates=fates).run()
        assert pipe.ours.told == ["granted alice", "authenticated"]
        assert pipe.theirs.told == ["proven"]


class TestNak:
    @pytest.mark.parametrize("expanded", [False, True])
    def test_theMethodThatItNamesIsTried(self, expanded: bool) -> None:
        """
        The authenticator asks for the method that a Nak names (sections 5.3.1 and 5.3.2).
        """
        scene = Scene(MD5, MSCHAPV2)
        scene.identify()
        scene.nak(OTHER, eap.MSCHAPV2, expanded=expanded)
        assert scene.asked.method == eap.MSCHAPV2

    def test_bothEndsFindTheOneThatBothHave(self) -> None:
        pipe = Pipe([MSCHAPV2, MD5], [MD5]).run()
        assert pipe.ours.told == ["granted alice", "authenticated"]
        assert pipe.methods == [1, 26, 4]

    def test_ofSeveralThatItNamesOurOrderCounts(self) -> None:
        scene = Scene(_Never(), MD5, MSCHAPV2)
        scene.identify()
        scene.nak(eap.MSCHAPV2, eap.MD5_CHALLENGE)
        assert scene.asked.method == eap.MD5_CHALLENGE

    @pytest.mark.parametrize("wanted", [(), (OTHER,), (eap.MD5_CHALLENGE,)])
    def test_noneOfOurs(self, wanted: tuple[Method, ...]) -> None:
        """
        The authenticator doesn't try the method again that the peer has just refused, so a Nak
        can't cause a loop.
        """
        scene = Scene(MD5)
        scene.identify()
        scene.nak(*wanted)
        assert scene.events[0] == "Failure" and "the peer wants EAP method" in scene.events[1]

    @pytest.mark.parametrize("method", [eap.MD5_CHALLENGE, eap.MSCHAPV2])
    def test_eachIsTriedOnce(self, method: Method) -> None:
        scene = Scene(MD5, MSCHAPV2)
        scene.identify()
        scene.nak(eap.MSCHAPV2)
        scene.nak(method)
        assert scene.events[0] == "Failure"

    def test_theAnswerToAnIdentityRequestIsNoNak(self) -> None:
        scene = Scene()
        scene.nak(eap.MD5_CHALLENGE)
        assert scene.authenticator.discards == 1
        scene.identify()
        assert scene.asked.method == eap.MD5_CHALLENGE

    def test_aMethodThatHasBegunIsNotTurnedDown(self) -> None:
        """
        The authenticator discards a Nak once the peer has answered a method (section 2.1).
        """
        scene = Scene(MSCHAPV2, MD5)
        scene.identify()
        challenge = chap.decode(scene.asked.content)
        assert isinstance(challenge, chap.Challenge)
        TestFailure()._respond(scene, challenge, PASSWORD)
        before = len(scene.packets)
        scene.nak(eap.MD5_CHALLENGE)
        assert len(scene.packets) == before and scene.authenticator.discards == 1


class _Never(EAPMethod):
    """
    A method that no peer has.
    """

    name = "never"
    number = Method(200)
    strength = 1

    async def authenticate(self, conversation: IEAPConversation) -> Grant:
        await conversation.ask(self.number)
        raise Refused("it has")


class _Endless(_Never):
    async def authenticate(self, conversation: IEAPConversation) -> Grant:
        while True:
            await conversation.ask(self.number)


class TestLimits:
    def test_rounds(self) -> None:
        scene = Scene(_Endless())
        scene.identify()
        for _ in range(ROUNDS):
            if isinstance(scene.last, eap.EAPRequest):
                scene.answer(b"again")
        assert len(scene.packets) == ROUNDS + 1
        assert scene.events == ["Failure", f"refused: no result after {ROUNDS} requests"]
        scene.assertIdle()

    @settings(deadline=None)
    @given(st.lists(st.binary(max_size=70), max_size=20))
    def test_anyOctetsAtAll(self, packets: list[bytes]) -> None:
        """
        No octets make either end raise, and no octets count as a proof.
        """
        for methods in ((MD5,), (MSCHAPV2,)):
            scene = Scene(*methods)
            for packet in packets:
                scene.authenticator.received(packet)
                if isinstance(scene.last, eap.EAPRequest):
                    scene.answer(packet)
            assert "authenticated" not in scene.events
            recorder, sent = ExchangeRecorder(), list[bytes]()
            peer = EAP.makePeer(Clock(), sent.append, b"alice", PASSWORD, recorder)
            for packet in packets:
                peer.received(packet)
                peer.received(eap.EAPRequest(1, methods[0].number, packet).encode())
            assert "proven" not in recorder.events


class TestEnd:
    @pytest.mark.parametrize("stage", range(4))
    def test_stop(self, stage: int) -> None:
        """
        An authenticator that is stopped reports nothing, leaves no timer and cancels the verdict
        that it waits for.
        """
        cancelled: list[Deferred[Grant]] = []
        verdict: Deferred[Grant] = Deferred(cancelled.append)
        scene = Scene(
            judge=lambda claim: verdict if stage == 2 else makeGrant(claim), rechallenge=9
        )
        if stage > 0:
            scene.identify()
        if stage > 1:
            scene.md5()
        told = scene.events
        scene.authenticator.stop()
        assert scene.events == told and cancelled == [verdict] * (stage == 2)
        scene.assertIdle()
        before = len(scene.packets)
        scene.authenticator.repeat()
        scene.authenticator.received(eap.EAPResponse(1, eap.IDENTITY).encode())
        assert len(scene.packets) == before

    def test_whoeverIsToldMayEndTheLink(self) -> None:
        scene = Scene()
        scene.recorder.atGranted = lambda: scene.authenticator.stop()
        scene.identify()
        scene.md5()
        assert scene.events == ["granted alice"]
        scene.assertIdle()


class TestRechallenge:
    def test_thePeerIsAskedAgain(self) -> None:
        scene = Scene(rechallenge=60)
        scene.identify()
        scene.md5()
        scene.clock.advance(60)
        scene.identify()
        scene.md5()
        # The second Success isn't reported again, and the timer for the next time runs.
        assert scene.events == ["granted alice", "Success", "authenticated", "Success"]
        scene.clock.advance(60)
        assert scene.asked.method == eap.IDENTITY

    @pytest.mark.parametrize(
        ("identity", "password", "reason"),
        [
            (b"bob", PASSWORD, "another name"),
            (b"alice", b"wrong", "wrong password"),
        ],
    )
    def test_aFalseClaimEndsTheSession(self, identity: bytes, password: bytes, reason: str) -> None:
        scene = Scene(rechallenge=60)
        scene.identify()
        scene.md5()
        scene.clock.advance(60)
        scene.identify(identity)
        scene.md5(password)
        assert reason in scene.events[-1]
        assert isinstance(scene.last, eap.EAPFailure)
        scene.assertIdle()


class Server:
    """
    A judge that continues the conversation: it asks each Request of C{requests} in turn, then gives
    its verdict.
    """

    def __init__(self, *requests: bytes, verdict: Grant | Exception | None = None) -> None:
        self.requests = requests
        self.verdict = verdict or Grant("alice", b"", None, None)
        self.responses: list[bytes] = []

    def __call__(self, claim: Claim) -> Deferred[Grant]:
        return Deferred.fromCoroutine(self.judge(claim))

    async def judge(self, claim: Claim) -> Grant:
        assert isinstance(claim.method, EAPProtocol)
        credentials = claim.method.credentials(claim, claim.name)
        assert IEAPCredentials.providedBy(credentials)
        assert hasattr(credentials, "response") and hasattr(credentials, "converse")
        self.responses.append(credentials.response)
        for request in self.requests:
            self.responses.append(await credentials.converse(request))
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict


class TestPassingOn:
    def test_aConversation(self) -> None:
        """
        The authenticator passes packets on unchanged in both directions, identifiers included.
        """
        requests = [eap.EAPRequest(n, Method(21), b"say %d" % n).encode() for n in (40, 41)]
        server = Server(*requests)
        scene = Scene(RADIUS, judge=server)
        identifier = scene.asked.identifier
        scene.identify(b"alice@example.net")
        said = eap.EAPResponse(identifier, eap.IDENTITY, b"alice@example.net")
        assert server.responses == [said.encode()]
        assert scene.recorder.claims[0].name == b"alice@example.net"
        for request in requests:
            assert scene.asked.encode() == request
            scene.answer(b"ho")
        assert server.responses[1:] == [
            eap.EAPResponse(n, Method(21), b"ho").encode() for n in (40, 41)
        ]
        assert scene.events == ["granted alice", "Success", "authenticated"]
        assert scene.last == eap.EAPSuccess(41)
        scene.assertIdle()

    def test_aNakGoesToTheJudge(self) -> None:
        server = Server(*(eap.EAPRequest(n, Method(n), b"").encode() for n in (21, 25)))
        scene = Scene(RADIUS, MD5, judge=server)
        scene.identify()
        scene.nak(Method(25))
        scene.answer(b"yes")
        nak = eap.Nak(21, (Method(25),))
        assert server.responses[1:] == [
            nak.encode(),
            eap.EAPResponse(25, Method(25), b"yes").encode(),
        ]

    def test_theJudgeSaysNo(self) -> None:
        scene = Scene(RADIUS, judge=Server(verdict=Refused("no such user or wrong password")))
        scene.identify()
        assert scene.events == ["Failure", "refused: no such user or wrong password"]

    def test_afterOurOwnMethodsWereTurnedDown(self) -> None:
        """
        The identity that the judge gets has the identifier of the latest Request, so that the
        judge's first Request has an identifier that the peer hasn't just seen.
        """
        server = Server()
        scene = Scene(MD5, RADIUS, judge=server)
        scene.identify()
        identifier = scene.asked.identifier
        scene.nak(Method(25))
        assert server.responses == [eap.EAPResponse(identifier, eap.IDENTITY, b"alice").encode()]
        assert scene.events[0] == "granted alice"

    def test_notWhereThePeerWantsNone(self) -> None:
        scene = Scene(MD5, RADIUS, judge=Server())
        scene.identify()
        scene.nak()
        assert scene.events[0] == "Failure" and not scene.recorder.claims

    @pytest.mark.parametrize(
        "packet",
        [
            b"",
            b"\1\0\0\4",
            eap.EAPSuccess(1).encode(),
            eap.EAPResponse(1, Method(21)).encode(),
            eap.EAPRequest(1, Method(21), bytes(RELAYED_OCTETS)).encode(),
        ],
        ids=["nothing", "no type", "a Success", "a Response", "too much"],
    )
    def test_whatTheJudgeMayNotSend(self, packet: bytes) -> None:
        scene = Scene(RADIUS, judge=Server(packet))
        scene.identify()
        assert scene.events[0] == "Failure" and len(scene.packets) == 2

    def test_oneRequestAtATime(self) -> None:
        request = eap.EAPRequest(1, Method(21), b"").encode()
        problems: list[object] = []

        async def twice(claim: Claim) -> Grant:
            assert hasattr(claim, "converse")
            first = claim.converse(request)
            claim.converse(request).addErrback(lambda failure: problems.append(failure.type))
            await first
            return Grant("alice", b"", None, None)

        scene = Scene(RADIUS, judge=lambda claim: Deferred.fromCoroutine(twice(claim)))
        scene.identify()
        scene.answer(b"")
        assert problems == [Refused]
        assert scene.events[-1] == "authenticated"

    def test_theEndOfTheLinkCancelsTheJudge(self) -> None:
        server = Server(eap.EAPRequest(1, Method(21)).encode())
        ended: list[object] = []

        def judged(claim: Claim) -> Deferred[Grant]:
            verdict = server(claim)

            def note(failure: Failure) -> Failure:
                ended.append(failure.type)
                return failure

            return verdict.addErrback(note)

        scene = Scene(RADIUS, judge=judged)
        scene.identify()
        scene.authenticator.stop()
        assert ended == [CancelledError] and not scene.events
        scene.assertIdle()

    def test_aSilentPeerEndsIt(self) -> None:
        scene = Scene(RADIUS, judge=Server(eap.EAPRequest(1, Method(21)).encode()))
        scene.identify()
        for _ in range(TRANSMISSIONS):
            scene.clock.advance(RESTART_SECONDS)
        assert scene.events == ["Failure", "refused: the peer did not answer the request"]

    def test_theJudgeTakesItsTimeOfEachStep(self) -> None:
        """
        The time limit of a judge begins anew with each step, and doesn't include the time that the
        peer takes.
        """
        scene = Scene(
            RADIUS, judge=Server(*(eap.EAPRequest(n, Method(21)).encode() for n in range(5)))
        )
        scene.identify()
        for _ in range(5):
            scene.clock.pump([RESTART_SECONDS] * 9)
            scene.answer(b"")
        assert scene.events[-1] == "authenticated"
