"""
Tests for PAP's exchanges, at both ends.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from pptpgw.auth.protocols import PAP
from pptpgw.error import Refused
from pptpgw.interfaces import Claim, Grant
from pptpgw.ppp.pap import PAPPeer
from pptpgw.ppp.wire import pap
from pptpgw.testing import PASSWORD, DrivenAuthenticator, ExchangePair, ExchangeRecorder

GRANT = Grant("user", b"Welcome", None, None)


def judge(claim: Claim) -> Deferred[Grant]:
    """
    Grant the claim if its password is C{sesame}.
    """
    return succeed(GRANT) if claim.response == b"sesame" else fail(Refused("wrong password"))


class Scene(DrivenAuthenticator):
    """
    An authenticator and a peer that the test plays by hand.
    """

    def __init__(self) -> None:
        DrivenAuthenticator.__init__(self, PAP, pap.decode, judge)

    def ask(self, identifier: int, password: bytes = b"sesame", name: bytes = b"user") -> None:
        """
        Deliver an Authenticate-Request.
        """
        self.authenticator.received(pap.AuthenticateRequest(identifier, name, password).encode())


def test_success() -> None:
    """
    The right password gets an Ack, which is sent between the reports of the grant and of the end of
    authentication.
    """
    scene = Scene()
    scene.ask(9)
    assert scene.recorder.claims == [Claim(PAP, b"user", 9, b"", b"sesame")]
    ack = pap.AuthenticateAck(9, b"Welcome")
    assert scene.recorder.events == ["granted user", ack, "authenticated"]
    assert not scene.clock.getDelayedCalls()


def test_acksWhateverFollows() -> None:
    """
    A request after the Ack gets an Ack of its own and isn't judged.
    """
    scene = Scene()
    for identifier in (1, 1, 2):
        scene.ask(identifier)
    scene.ask(3, b"wrong")
    assert scene.recorder.packets == [pap.AuthenticateAck(i, b"Welcome") for i in (1, 1, 2, 3)]
    assert len(scene.recorder.claims) == 1 and len(scene.recorder.told) == 2


def test_threeTries() -> None:
    """
    The third wrong password ends the exchange, and later requests get the same Nak.
    """
    scene = Scene()
    for identifier in (1, 2, 3):
        assert not scene.recorder.told
        scene.ask(identifier, b"wrong")
    assert scene.recorder.told == ["refused: wrong password"]
    scene.ask(4)
    assert scene.recorder.packets == [
        pap.AuthenticateNak(i, b"Authentication failed") for i in (1, 2, 3, 4)
    ]
    assert len(scene.recorder.claims) == 3
    assert not scene.clock.getDelayedCalls()


def test_secondTry() -> None:
    """
    A right password after a wrong one gets an Ack.
    """
    scene = Scene()
    scene.ask(1, b"wrong")
    scene.ask(2)
    assert [packet.CODE for packet in scene.recorder.packets] == [3, 2]


def test_duplicateOfANak() -> None:
    """
    A repetition of a refused request doesn't count as another try.
    """
    scene = Scene()
    for _ in range(5):
        scene.ask(1, b"wrong")
    assert len(scene.recorder.claims) == 1 and len(scene.recorder.packets) == 5
    scene.ask(2)
    assert scene.recorder.packets[-1] == pap.AuthenticateAck(2, b"Welcome")


def test_repeatedWhileJudged() -> None:
    """
    While a claim is judged, a repetition with another identifier sets the identifier of the answer,
    and another claim is discarded.
    """
    scene = Scene()
    verdict: Deferred[Grant] = Deferred()
    scene.recorder.judge = lambda claim: verdict
    scene.ask(1)
    scene.ask(2)
    scene.ask(3, b"wrong")
    scene.ask(4, name=b"another")
    assert scene.authenticator.discards == 2 and len(scene.recorder.claims) == 1
    verdict.callback(GRANT)
    assert scene.recorder.packets == [pap.AuthenticateAck(2, b"Welcome")]


def test_silentPeer() -> None:
    """
    A peer that sends nothing for half a minute is given up, and a later request is ignored.
    """
    scene = Scene()
    scene.clock.advance(31)
    assert scene.recorder.told == ["refused: the peer sent no name and password"]
    scene.ask(1)
    assert not scene.recorder.claims and not scene.recorder.packets


def test_stop() -> None:
    """
    An authenticator that is stopped ignores every packet and has no timer.
    """
    scene = Scene()
    scene.recorder.judge = lambda claim: Deferred()
    scene.ask(1)
    scene.authenticator.stop()
    scene.ask(2)
    assert not scene.clock.getDelayedCalls()
    assert not scene.recorder.told and not scene.recorder.packets


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0, 1]), max_size=8), st.booleans())
def test_losses(fates: list[int], right: bool) -> None:
    """
    Both ends reach the same result, whichever of the first packets are lost.
    """
    pair = ExchangePair(PAP, password=PASSWORD if right else b"wrong", fates=fates).run()
    assert not pair.clock.getDelayedCalls()
    if right:
        assert pair.ours.told == ["granted alice", "authenticated"]
        assert pair.theirs.told == ["proven"] and len(pair.ours.claims) == 1
    else:
        assert len(pair.ours.told) == 1 and pair.ours.told[0].startswith("refused: ")
        assert pair.theirs.told == [
            "refused: the authenticator does not believe us: 'Authentication failed'"
        ]


def test_peerRepeats() -> None:
    """
    The peer sends ten requests, three seconds apart, each with another identifier.
    """
    clock, recorder = Clock(), ExchangeRecorder(pap.decode)
    peer = PAPPeer(clock, recorder.send, b"user", b"sesame", recorder)
    peer.start()
    clock.pump([1.0] * 29)
    assert len({packet.identifier for packet in recorder.packets}) == len(recorder.packets) == 10
    assert not recorder.told
    clock.pump([1.0])
    assert recorder.told == ["refused: the authenticator did not answer"]


@pytest.mark.parametrize("late", [0, 1, 2])
def test_peerTakesALateAnswer(late: int) -> None:
    """
    The peer takes an Ack of any of its requests, and no other.
    """
    clock, recorder = Clock(), ExchangeRecorder(pap.decode)
    peer = PAPPeer(clock, recorder.send, b"user", b"sesame", recorder)
    peer.start()
    clock.pump([3.0] * 2)
    identifiers = [packet.identifier for packet in recorder.packets]
    peer.received(pap.AuthenticateAck((identifiers[0] - 1) & 0xFF).encode())
    peer.received(pap.AuthenticateNak((identifiers[-1] + 1) & 0xFF).encode())
    assert peer.discards == 2 and not recorder.told
    peer.received(pap.AuthenticateAck(identifiers[late]).encode())
    peer.received(pap.AuthenticateAck(identifiers[late]).encode())
    assert recorder.told == ["proven"] and not clock.getDelayedCalls()


@given(st.lists(st.binary(max_size=30), max_size=6), st.sampled_from([0, 1, 2, 3, 4]))
def test_arbitraryOctets(packets: list[bytes], code: int) -> None:
    """
    No octets make either end raise, in any state.
    """
    scene = Scene()
    theirs = ExchangeRecorder(pap.decode)
    peer = PAPPeer(scene.clock, theirs.send, b"user", b"sesame", theirs)
    peer.start()
    for packet in packets:
        if code:
            length = (len(packet) + 4).to_bytes(2, "big")
            packet = bytes((code, theirs.packets[-1].identifier)) + length + packet
        scene.authenticator.received(packet)
        peer.received(packet)
