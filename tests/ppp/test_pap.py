"""
PAP's exchanges, both roles.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from pptpgw.auth.protocols import PAP
from pptpgw.error import Refused
from pptpgw.interfaces import Claim, Grant, IKeys, IPeerResults, IVerdicts
from pptpgw.ppp.pap import PAPAuthenticator, PAPPeer
from pptpgw.ppp.wire import pap

GRANT = Grant("user", b"Welcome", None, None)


def judge(claim: Claim) -> Deferred[Grant]:
    """
    Believe whoever says sesame.
    """
    return succeed(GRANT) if claim.response == b"sesame" else fail(Refused("wrong password"))


@implementer(IVerdicts, IPeerResults)
class Recorder:
    """
    Verdicts and PeerResults that write down what they are told, and packets that are sent.
    """

    def __init__(self) -> None:
        self.packets: list[pap.Packet] = []
        self.told: list[str] = []
        self.claims: list[Claim] = []
        self.judge: Callable[[Claim], Deferred[Grant]] = judge

    def send(self, packet: bytes) -> None:
        """
        Write down a packet.
        """
        self.packets.append(pap.decode(packet))

    def authenticate(self, claim: Claim) -> Deferred[Grant]:
        """
        Write down a claim and judge it.
        """
        self.claims.append(claim)
        return self.judge(claim)

    def granted(self, grant: Grant) -> None:
        """
        Write it down.
        """
        self.told.append(f"granted after {len(self.packets)} packets")

    def authenticated(self, grant: Grant) -> None:
        """
        Write it down.
        """
        self.told.append(f"authenticated after {len(self.packets)} packets")

    def proven(self, keys: IKeys | None) -> None:
        """
        Write it down.
        """
        self.told.append("proven")
        assert keys is None

    def refused(self, reason: str) -> None:
        """
        Write it down.
        """
        self.told.append(f"refused: {reason}")


class Scene:
    """
    An authenticator, driven by hand.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.recorder = Recorder()
        self.authenticator = PAPAuthenticator(
            self.clock,
            self.recorder.send,
            PAP,
            self.recorder.authenticate,
            self.recorder,
        )
        self.authenticator.start()

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
    assert scene.recorder.packets == [pap.AuthenticateAck(9, b"Welcome")]
    assert scene.recorder.told == ["granted after 0 packets", "authenticated after 1 packets"]
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
@given(st.lists(st.booleans(), max_size=8), st.booleans())
def test_losses(losses: list[bool], right: bool) -> None:
    """
    Whichever of the first packets are lost, both sides come to the same end.
    """
    clock, ours, theirs = Clock(), Recorder(), Recorder()
    lost = iter(losses)

    def carry(
        sender: Recorder, to: Callable[[], Callable[[bytes], None]]
    ) -> Callable[[bytes], None]:
        def send(packet: bytes) -> None:
            sender.send(packet)
            if not next(lost, False):
                clock.callLater(0.01, to(), packet)

        return send

    authenticator = PAPAuthenticator(
        clock,
        carry(ours, lambda: peer.received),
        PAP,
        ours.authenticate,
        ours,
    )
    password = b"sesame" if right else b"wrong"
    peer = PAPPeer(
        clock,
        carry(theirs, lambda: authenticator.received),
        b"user",
        password,
        theirs,
    )
    authenticator.start()
    peer.start()
    clock.pump([0.01] * 10 + [0.5] * 200)
    assert not clock.getDelayedCalls()
    if right:
        assert [event.split()[0] for event in ours.told] == ["granted", "authenticated"]
        assert theirs.told == ["proven"] and len(ours.claims) == 1
    else:
        assert len(ours.told) == 1 and ours.told[0].startswith("refused: ")
        assert theirs.told == [
            "refused: the authenticator does not believe us: 'Authentication failed'"
        ]


def test_peerRepeats() -> None:
    """
    Ten requests go out, three seconds apart, each with another identifier.
    """
    clock, recorder = Clock(), Recorder()
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
    clock, recorder = Clock(), Recorder()
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
    theirs = Recorder()
    peer = PAPPeer(scene.clock, theirs.send, b"user", b"sesame", theirs)
    peer.start()
    for packet in packets:
        if code:
            length = (len(packet) + 4).to_bytes(2, "big")
            packet = bytes((code, theirs.packets[-1].identifier)) + length + packet
        scene.authenticator.received(packet)
        peer.received(packet)
