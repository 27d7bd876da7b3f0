"""
PAP's exchanges, both roles.
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
    Believe whoever says sesame.
    """
    return succeed(GRANT) if claim.response == b"sesame" else fail(Refused("wrong password"))


class Scene(DrivenAuthenticator):
    """
    An authenticator, driven by hand.
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
    The right password is Acked, between the two verdicts.
    """
    scene = Scene()
    scene.ask(9)
    assert scene.recorder.claims == [Claim(PAP, b"user", 9, b"", b"sesame")]
    ack = pap.AuthenticateAck(9, b"Welcome")
    assert scene.recorder.events == ["granted user", ack, "authenticated"]
    assert not scene.clock.getDelayedCalls()


def test_acksWhateverFollows() -> None:
    """
    Requests after the Ack get one of their own, and are judged no more.
    """
    scene = Scene()
    for identifier in (1, 1, 2):
        scene.ask(identifier)
    scene.ask(3, b"wrong")
    assert scene.recorder.packets == [pap.AuthenticateAck(i, b"Welcome") for i in (1, 1, 2, 3)]
    assert len(scene.recorder.claims) == 1 and len(scene.recorder.told) == 2


def test_threeTries() -> None:
    """
    The third wrong password ends it; what follows gets the same Nak.
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
    A right password after a wrong one is Acked.
    """
    scene = Scene()
    scene.ask(1, b"wrong")
    scene.ask(2)
    assert [packet.CODE for packet in scene.recorder.packets] == [3, 2]


def test_duplicateOfANak() -> None:
    """
    The same request again is no second try.
    """
    scene = Scene()
    for _ in range(5):
        scene.ask(1, b"wrong")
    assert len(scene.recorder.claims) == 1 and len(scene.recorder.packets) == 5
    scene.ask(2)
    assert scene.recorder.packets[-1] == pap.AuthenticateAck(2, b"Welcome")


def test_repeatedWhileJudged() -> None:
    """
    A repetition gives the identifier to answer; another claim is discarded meanwhile.
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
    A peer that says nothing for half a minute is given up, and can't come back.
    """
    scene = Scene()
    scene.clock.advance(31)
    assert scene.recorder.told == ["refused: the peer sent no name and password"]
    scene.ask(1)
    assert not scene.recorder.claims and not scene.recorder.packets


def test_stop() -> None:
    """
    Stopped, it is deaf and waits for nothing.
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
    Whichever of the first packets are lost, both sides come to the same end.
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
    Ten requests go out, three seconds apart, each with another identifier.
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
    An Ack of any request so far counts; one of none doesn't.
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
    Nothing that arrives raises, on either side, in any state.
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
