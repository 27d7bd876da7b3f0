"""
Tests for L{pptpgw.ppp.control}: what holds for every control protocol.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from zope.interface import implementer

from pptpgw.auth.protocols import CHAP, MSCHAP, MSCHAPV2, PAP
from pptpgw.interfaces import Attachments, INetworkLink, INetworkProtocol
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ppp.automaton import MAX_CONFIGURE, RESTART_SECONDS, TIMED, State
from pptpgw.ppp.ccp import CCP, CCPSettings
from pptpgw.ppp.control import ControlProtocol
from pptpgw.ppp.lcp import LCP
from pptpgw.ppp.lcpoption import LCPSettings
from pptpgw.ppp.wire import ppp


@implementer(INetworkLink)
class Layer:
    """
    A layer, and a link for network protocols, that records what it is told and what is sent.
    """

    def __init__(self, clock: Clock) -> None:
        self.peerMRU = 1500
        self.clock = clock
        self.told: list[str] = []
        self.sent: list[bytes] = []
        self.carry: Callable[[bytes], None] = self.sent.append

    def send(self, protocol: int, packet: bytes) -> None:
        self.carry(packet)

    def layerUp(self, protocol: ControlProtocol) -> None:
        assert protocol.opened
        self.told.append("up")

    def layerDown(self, protocol: ControlProtocol) -> None:
        assert not protocol.opened
        self.told.append("down")

    def layerFinished(self, protocol: ControlProtocol, reason: str) -> None:
        assert reason
        self.told.append(f"finished: {reason}")

    def sendPacket(self, number: int, packet: bytes) -> None:
        raise AssertionError("nothing here is served in this process")

    def networkOpened(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        self.told.append("up")

    def networkChanged(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        raise AssertionError("nothing changes here")

    def networkClosed(self, protocol: INetworkProtocol) -> None:
        self.told.append("down")

    def networkFinished(self, protocol: INetworkProtocol, reason: str) -> None:
        assert reason
        self.told.append(f"finished: {reason}")


def makeLCP(layer: Layer, end: int, choice: random.Random) -> ControlProtocol:
    methods = tuple(method for method in (MSCHAPV2, MSCHAP, CHAP, PAP) if choice.random() < 0.5)
    return LCP(
        layer.clock,
        layer.send,
        layer,
        LCPSettings(
            mru=choice.choice((64, 1400, 1500, 4000)),
            magic=choice.random() < 0.8,
            pfc=choice.random() < 0.5,
            authentication=methods if end == 0 else (),
            answers=methods if end == 1 else (),
        ),
        choice.randbytes,
    )


def makeCCP(layer: Layer, end: int, choice: random.Random) -> ControlProtocol:
    bits = tuple(length for length in (40, 56, 128) if choice.random() < 0.6)
    return CCP(
        layer.clock,
        layer.send,
        layer,
        CCPSettings(bits, choice.random() < 0.5, bits != () and choice.random() < 0.5),
    )


def makeIPCP(layer: Layer, end: int, choice: random.Random) -> ControlProtocol:
    if end == 0:
        protocol = IPCP(
            IPv4Settings(
                "10.77.0.1",
                "10.77.0.10",
                dns=("10.77.0.53", "10.77.0.54")[: choice.randrange(3)],
                wins=("10.77.0.55",)[: choice.randrange(2)],
            )
        )
    else:
        own = choice.choice(("0.0.0.0", "10.77.0.10", "192.0.2.9"))
        protocol = IPCP(IPv4Settings(own, requestDNS=choice.random() < 0.5))
    protocol.attach(layer)
    return protocol


MAKERS = {"LCP": makeLCP, "CCP": makeCCP, "IPCP": makeIPCP}


class Pipe:
    """
    Two control protocols and a line between them. While the line is bad it loses and doubles
    packets, and with C{reorders} it also reorders them.
    """

    def __init__(self, make: Callable[[Layer, int, random.Random], ControlProtocol], seed: int):
        self.choice = random.Random(seed)
        self.clock = Clock()
        self.bad = 0.0
        self.reorders = True
        self.latest = [0.0, 0.0]
        self.packets = 0
        self.layers = (Layer(self.clock), Layer(self.clock))
        self.ends = [make(layer, end, self.choice) for end, layer in enumerate(self.layers)]
        for end, layer in enumerate(self.layers):
            layer.carry = partial(self.carry, 1 - end)

    def carry(self, end: int, packet: bytes) -> None:
        self.packets += 1
        assert self.packets < 5000
        copies = self.choice.choice((0, 1, 1, 2)) if self.choice.random() < self.bad else 1
        for _ in range(copies):
            delay = self.choice.uniform(0.01, 4 if self.choice.random() < self.bad else 0.02)
            when = self.clock.seconds() + delay
            if not self.reorders:
                when = self.latest[end] = max(self.latest[end], when)
            self.clock.callLater(when - self.clock.seconds(), self.ends[end].received, packet)

    def start(self) -> None:
        for end in self.ends:
            end.open()
            if self.choice.random() < 0.5:
                self.clock.callLater(self.choice.uniform(0, 2), end.lowerUp)
            else:
                end.lowerUp()

    def run(self, seconds: float) -> None:
        finish = self.clock.seconds() + seconds
        while self.clock.seconds() < finish:
            self.clock.advance(0.05)

    def assertAgreement(self) -> None:
        one, other = self.ends
        if not self.reorders:
            # PPP relies on a line that keeps the order (RFC 1661 section 1), as GRE's sequence
            # numbers do: on a line that doesn't, an old request that arrives last would be
            # acknowledged last.
            assert one.negotiator.granted == other.negotiator.allowed
            assert other.negotiator.granted == one.negotiator.allowed
        if isinstance(one, CCP) and isinstance(other, CCP):
            assert one.sendBits == other.receiveBits == one.receiveBits == other.sendBits
        if isinstance(one, IPCP) and isinstance(other, IPCP):
            assert (other.localAddress, other.peerAddress) == ("10.77.0.10", "10.77.0.1")


@settings(max_examples=75, deadline=None)
@given(
    kind=st.sampled_from(list(MAKERS)),
    seed=st.integers(0, 2**32),
    bad=st.sampled_from((0.0, 0.3, 0.7)),
    reorders=st.booleans(),
)
def test_convergence(kind: str, seed: int, bad: float, reorders: bool) -> None:
    """
    Two ends reach the same agreement over a line that is bad for a while, or finish with a reason
    within the counters' limits. After that they send nothing.
    """
    pipe = Pipe(MAKERS[kind], seed)
    pipe.bad = bad
    pipe.reorders = reorders
    pipe.start()
    pipe.run(15)
    pipe.bad = 0
    pipe.run(RESTART_SECONDS * (2 * MAX_CONFIGURE + 4))
    one, other = pipe.ends
    assert one.state not in TIMED and other.state not in TIMED, (one.state, other.state)
    assert one.opened == other.opened
    if one.opened:
        pipe.assertAgreement()
    else:
        assert any(told.startswith("finished") for layer in pipe.layers for told in layer.told)
    before = pipe.packets
    pipe.run(60)
    assert pipe.packets == before
    for layer in pipe.layers:
        told = [what for what in layer.told if not what.startswith("finished")]
        assert told == [("up", "down")[number % 2] for number in range(len(told))]


@pytest.mark.parametrize("kind", MAKERS)
def test_cleanLine(kind: str) -> None:
    """
    Over a good line every pair that can agree does so without waiting for the Restart timer.
    """
    for seed in range(40):
        pipe = Pipe(MAKERS[kind], seed)
        pipe.reorders = False
        for end in pipe.ends:
            end.open()
            end.lowerUp()
        pipe.run(1)
        if all(end.opened for end in pipe.ends):
            pipe.assertAgreement()
        else:
            assert isinstance(pipe.ends[0], CCP | LCP)
            pipe.run(60)
            assert any("finished" in told for layer in pipe.layers for told in layer.told)


@st.composite
def packets(draw: st.DrawFn) -> bytes:
    """
    Lists of packets that are almost well formed, mixed with arbitrary octets.
    """
    if draw(st.booleans()):
        return draw(st.binary(max_size=40))
    options = draw(
        st.lists(
            st.tuples(st.sampled_from((1, 2, 3, 5, 7, 8, 13, 18, 129, 132)), st.binary(max_size=9)),
            max_size=9,
        )
    )
    data = draw(st.one_of(st.just(ppp.encodeOptions(options)), st.binary(max_size=200)))
    return ppp.encodePacket(draw(st.integers(0, 17)), draw(st.integers(0, 6)), data)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(list(MAKERS)),
    received=st.lists(packets(), max_size=25),
    mru=st.sampled_from((64, 128, 1500)),
    seed=st.integers(0, 99),
    up=st.booleans(),
)
def test_arbitraryPackets(kind: str, received: list[bytes], mru: int, seed: int, up: bool) -> None:
    """
    No octets make a control protocol raise, in any state, and no answer is larger than the peer's
    MRU.
    """
    clock = Clock()
    layer = Layer(clock)
    protocol = MAKERS[kind](layer, seed % 2, random.Random(seed))
    protocol.open()
    if up:
        protocol.lowerUp()
    for packet in received:
        # LCP takes the MRU from the peer's options, which these packets seldom have.
        protocol.peerMRU = mru
        layer.sent.clear()
        protocol.received(packet)
        assert all(len(sent) <= mru for sent in layer.sent)
        for sent in layer.sent:
            ppp.decodePacket(sent)
        clock.advance(1)
    protocol.lowerDown()
    assert not clock.getDelayedCalls()


def opened() -> tuple[LCP, Layer, Clock]:
    """
    An LCP in Opened whose peer asked for no options.
    """
    clock = Clock()
    layer = Layer(clock)
    lcp = LCP(clock, layer.send, layer, LCPSettings())
    lcp.open()
    lcp.lowerUp()
    lcp.received(b"\2" + layer.sent[0][1:])
    lcp.received(bytes.fromhex("01630004"))
    assert lcp.opened
    layer.sent.clear()
    return lcp, layer, clock


def test_noAnswer() -> None:
    """
    A control protocol gives up a silent peer after Max-Configure requests.
    """
    clock = Clock()
    layer = Layer(clock)
    lcp = LCP(clock, layer.send, layer, LCPSettings())
    lcp.open()
    lcp.lowerUp()
    clock.pump([RESTART_SECONDS] * (MAX_CONFIGURE + 2))
    assert len(layer.sent) == MAX_CONFIGURE
    assert len(set(layer.sent)) == 1
    assert layer.told == ["finished: no answer to our Configure-Requests"]


def test_terminatedByPeer() -> None:
    """
    The peer's Terminate-Request is acknowledged with its identifier, and its text becomes the
    reason.
    """
    lcp, layer, clock = opened()
    lcp.received(ppp.encodePacket(ppp.TERMINATE_REQUEST, 9, b"bye\n"))
    assert layer.sent == [bytes.fromhex("06090004")]
    clock.advance(RESTART_SECONDS)
    assert layer.told == ["up", "down", "finished: the peer terminated LCP: bye?"]


def test_close() -> None:
    """
    A closed protocol sends its reason in a Terminate-Request and finishes at the Terminate-Ack.
    """
    lcp, layer, _ = opened()
    lcp.close("enough")
    code, identifier, data = ppp.decodePacket(layer.sent[0])
    assert (code, data) == (ppp.TERMINATE_REQUEST, b"enough")
    lcp.received(ppp.encodePacket(ppp.TERMINATE_ACK, identifier))
    assert layer.told == ["up", "down", "finished: enough"]
    assert lcp.state is State.CLOSED


def test_lowerDown() -> None:
    """
    A control protocol without its lower layer sends nothing and has no timer.
    """
    lcp, layer, clock = opened()
    lcp.lowerDown()
    assert layer.told == ["up", "down"]
    assert (layer.sent, clock.getDelayedCalls()) == ([], [])
    lcp.received(bytes.fromhex("01010004"))
    assert layer.sent == []
    lcp.lowerUp()
    assert layer.sent[0][0] == ppp.CONFIGURE_REQUEST


def test_unknownCode() -> None:
    """
    A packet with an unknown code is returned in a Code-Reject, cut to the peer's MRU.
    """
    lcp, layer, _ = opened()
    lcp.received(bytes.fromhex("63050006abcd") + b"padding")
    assert ppp.decodePacket(layer.sent[0])[::2] == (7, bytes.fromhex("63050006abcd"))
    lcp.peerMRU = 64
    lcp.received(ppp.encodePacket(99, 6, bytes(500)))
    assert len(layer.sent[1]) == 64


def test_codeRejected() -> None:
    """
    A Code-Reject of a code of RFC 1661 section 5 ends the protocol. A Code-Reject of another code
    doesn't.
    """
    lcp, layer, clock = opened()
    lcp.received(ppp.encodePacket(ppp.CODE_REJECT, 1, b"\x0c\x01\x00\x04"))
    assert layer.told == ["up"]
    lcp.received(ppp.encodePacket(ppp.CODE_REJECT, 2, b"\x01\x01\x00\x04"))
    assert layer.told == ["up", "down"]
    clock.pump([RESTART_SECONDS] * 2)
    assert layer.told == ["up", "down", "finished: the peer rejects LCP code 1"]


def test_protocolRejected() -> None:
    """
    A Protocol-Reject finishes the protocol at once.
    """
    layer = Layer(Clock())
    ccp = CCP(layer.clock, layer.send, layer, CCPSettings())
    ccp.open()
    ccp.lowerUp()
    ccp.rejected()
    assert layer.told == ["finished: the peer doesn't know CCP"]


def test_strayReplies() -> None:
    """
    A control protocol discards a repeated Ack, an Ack with another identifier and an Ack with other
    octets.
    """
    layer = Layer(Clock())
    lcp = LCP(layer.clock, layer.send, layer, LCPSettings())
    lcp.open()
    lcp.lowerUp()
    request = layer.sent[0]
    lcp.received(bytes((2, request[1] + 1)) + request[2:])
    lcp.received(b"\2" + request[1:-1] + b"\x09")
    states = [lcp.state]
    lcp.received(b"\2" + request[1:])
    states.append(lcp.state)
    for code in (2, 3, 4):
        lcp.received(bytes((code,)) + request[1:])
    states.append(lcp.state)
    assert states == [State.REQ_SENT, State.ACK_RCVD, State.ACK_RCVD]
    assert lcp.discarded == 5


def test_oversizedAck() -> None:
    """
    A control protocol discards a request whose Ack would exceed the peer's MRU.
    """
    layer = Layer(Clock())
    layer.peerMRU = 64
    ipcp = IPCP(IPv4Settings("10.77.0.1", "10.77.0.10"))
    ipcp.attach(layer)
    ipcp.open()
    ipcp.lowerUp()
    layer.sent.clear()
    ipcp.received(ppp.encodePacket(1, 1, bytes.fromhex("03060a4d000a") * 11))
    assert (layer.sent, ipcp.discarded) == ([], 1)
    ipcp.received(ppp.encodePacket(1, 1, bytes.fromhex("03060a4d000a") * 10))
    assert len(layer.sent) == 1


def test_askAgain() -> None:
    """
    C{askAgain} sends the outstanding request once more, unchanged, and sends nothing when none is
    outstanding.
    """
    layer = Layer(Clock())
    ccp = CCP(layer.clock, layer.send, layer, CCPSettings())
    ccp.askAgain()
    ccp.open()
    ccp.lowerUp()
    ccp.askAgain()
    assert len(layer.sent) == 2
    assert layer.sent[0] == layer.sent[1]
    ccp.received(b"\2" + layer.sent[0][1:])
    ccp.askAgain()
    assert len(layer.sent) == 2


def test_closedFromTheLayer() -> None:
    """
    A layer that closes the protocol while it is told "up" is told "down" after that.
    """
    clock = Clock()

    class Hasty(Layer):
        def layerUp(self, protocol: ControlProtocol) -> None:
            super().layerUp(protocol)
            protocol.close("no")
            assert protocol.opened

    layer = Hasty(clock)
    lcp = LCP(clock, layer.send, layer, LCPSettings())
    lcp.open()
    lcp.lowerUp()
    lcp.received(b"\2" + layer.sent[0][1:])
    lcp.received(bytes.fromhex("01630004"))
    assert layer.told == ["up", "down"]
    assert [packet[0] for packet in layer.sent][-2:] == [ppp.CONFIGURE_ACK, ppp.TERMINATE_REQUEST]
