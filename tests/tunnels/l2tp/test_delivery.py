"""
Tests for L{pptpgw.tunnels.l2tp.delivery}.
"""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from pptpgw.tunnels.l2tp.delivery import CYCLE, MOST, QUEUE, TRIES, WINDOW, Delivery
from pptpgw.tunnels.l2tp.wire.header import ControlHeader, decodeControl


class Side:
    """
    One side, whose datagrams wait in C{sent}.
    """

    def __init__(self, clock: Clock, proven: bool = True) -> None:
        self.sent: list[bytes] = []
        self.got: list[bytes] = []
        self.discards: list[str] = []
        self.alive = False
        self.asked = self.empty = 0
        self.delivery = Delivery(clock, self, proven)
        self.delivery.peerID = 7

    def transmit(self, octets: bytes) -> None:
        self.sent.append(octets)

    def delivered(self, sessionID: int, body: bytes) -> None:
        self.got.append(body)

    def emptied(self) -> None:
        self.empty += 1

    def undelivered(self) -> bool:
        self.asked += 1
        return self.alive

    def discard(self, reason: str) -> None:
        self.discards.append(reason)

    def take(self) -> list[tuple[ControlHeader, bytes]]:
        """
        The datagrams that wait.
        """
        sent, self.sent = self.sent, []
        return [decodeControl(one) for one in sent]

    def hear(self, sent: int, expected: int = 0, body: bytes = b"x") -> list[ControlHeader]:
        """
        Receive a message.

        @return: the headers of what is sent then.
        """
        self.delivery.received(ControlHeader(0, 0, sent, expected), body)
        return [header for header, _ in self.take()]


def test_aMessageIsRepeatedUntilThePeerIsGivenUp() -> None:
    """
    A message is repeated after 1, 2, 4, 8 and 8 seconds, and after 8 more the peer is given up.
    """
    clock = Clock()
    side = Side(clock)
    side.delivery.send(3, b"hello")
    times: list[float] = []
    while clock.getDelayedCalls():
        times += [clock.seconds()] * len(side.take())
        clock.advance(0.5)
    assert times == [0, 1, 3, 7, 15, 23]
    assert side.asked == 1
    assert clock.seconds() == CYCLE == 31
    side.delivery.send(3, b"late")
    assert not side.sent


def test_aPeerThatIsThereIsNotGivenUp() -> None:
    clock = Clock()
    side = Side(clock)
    side.alive = True
    side.delivery.send(0, b"hello")
    clock.pump([1] * 200)
    assert side.asked > 10
    (header, body), *_ = side.take()
    assert (header, body) == (ControlHeader(7, 0, 0, 0), b"hello")
    side.hear(0, expected=1, body=b"")
    assert side.empty == 1 and not clock.getDelayedCalls()


def test_slowStart() -> None:
    """
    One message is under way at first, one more with each acknowledgement, and no more than the
    peer's window; after a loss it begins anew.
    """
    clock = Clock()
    side = Side(clock)
    side.delivery.peerWindow = 4
    for number in range(20):
        side.delivery.send(0, b"%d" % number)
    flights = []
    acknowledged = 0
    for _ in range(4):
        flights.append(len(side.take()))
        acknowledged += flights[-1]
        side.delivery.received(ControlHeader(0, 0, 0, acknowledged), b"")
    assert flights == [1, 2, 4, 4]
    side.take()
    clock.advance(1)
    assert [body for _, body in side.take()] == [b"11"]
    # All that was under way is acknowledged, since it had arrived: two are sent.
    side.delivery.received(ControlHeader(0, 0, 0, 15), b"")
    assert len(side.take()) >= 1


def test_theTimeoutFollowsTheRoundTrip() -> None:
    clock = Clock()
    side = Side(clock)
    assert side.delivery.timeout == 1
    for number in range(20):
        side.delivery.send(0, b"x")
        clock.advance(0.9)
        side.delivery.received(ControlHeader(0, 0, 0, number + 1), b"")
    assert 1 <= side.delivery.timeout < 1.3
    for number in range(20, 24):
        side.delivery.send(0, b"x")
        clock.advance(0.1)
        side.delivery.received(ControlHeader(0, 0, 0, number + 1), b"")
    assert 1 < side.delivery.timeout < MOST
    # A repeated message tells nothing of the round trip (Karn).
    before = side.delivery.timeout
    side.delivery.send(0, b"x")
    clock.advance(7)
    side.delivery.received(ControlHeader(0, 0, 0, 25), b"")
    assert side.delivery.timeout == before


def test_orderDuplicatesAndTheWindow() -> None:
    clock = Clock()
    side = Side(clock)
    assert side.hear(1) == []
    assert side.hear(WINDOW) == []
    assert side.discards == ["control message out of order", "control message beyond the window"]
    assert side.hear(0, body=b"first") == [ControlHeader(7, 0, 0, 2)]
    assert side.got == [b"first", b"x"]
    # A duplicate is acknowledged again, and so is one of which only the acknowledgement was lost.
    assert side.hear(0) == side.hear(1) == [ControlHeader(7, 0, 0, 2)]
    assert len(side.got) == 2
    # A ZLB message has no number of its own, and isn't acknowledged.
    assert side.hear(2, body=b"") == []
    assert side.hear(2) == [ControlHeader(7, 0, 0, 3)]


def test_anAnswerAcknowledges() -> None:
    """
    What is sent while a message is handled acknowledges it.
    """
    clock = Clock()
    side = Side(clock)

    def answer(sessionID: int, body: bytes) -> None:
        side.delivery.send(5, b"answer")

    side.delivered = answer  # type: ignore[method-assign]
    assert side.hear(0) == [ControlHeader(7, 5, 0, 1)]


def test_acknowledgementsOfWhatWasNotSent() -> None:
    clock = Clock()
    side = Side(clock)
    side.delivery.send(0, b"x")
    for expected in (2, 100, 0xFFFF):
        side.hear(0, expected, b"")
        assert not side.delivery.isEmpty
    side.hear(0, 1, b"")
    assert side.delivery.isEmpty


def test_aStrangerGetsOneDatagramForOne() -> None:
    """
    To a peer that hasn't shown that it reads what we send nothing is repeated by itself, and our
    message is sent again whenever the peer repeats its own.
    """
    clock = Clock()
    side = Side(clock, proven=False)
    side.delivery.send(0, b"answer")
    assert len(side.take()) == 1
    assert side.hear(0) == [ControlHeader(7, 0, 1, 1)]
    clock.pump([1] * 100)
    assert not side.sent
    for _ in range(5):
        assert side.hear(0) == [ControlHeader(7, 0, 0, 1)]
    side.delivery.proven = True
    assert side.hear(1, expected=1) == [ControlHeader(7, 0, 1, 2)]


def test_whatWaitsIsLimited() -> None:
    side = Side(Clock())
    for _ in range(QUEUE + 3):
        side.delivery.send(0, b"x")
    assert side.discards == ["control message not sent: too many wait"] * 3


def test_nothingComesAfterTheEnd() -> None:
    clock = Clock()
    side = Side(clock)
    side.delivery.send(0, b"x")
    side.delivery.close()
    side.take()
    side.delivery.send(0, b"x")
    assert side.hear(0) == [] and side.got == [] and not clock.getDelayedCalls()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 12),
    st.sampled_from([0.0, 0.1, 0.3]),
    st.sampled_from([0, 0xFFF8]),
)
def test_everythingArrivesOnceAndInOrder(seed: int, window: int, loss: float, first: int) -> None:
    """
    Over a wire that loses, repeats and reorders, both ends get all messages once and in order,
    across the end of the numbers, too.
    """
    chance = random.Random(seed)
    clock = Clock()
    sides = [Side(clock), Side(clock)]
    messages = [[b"%d" % number for number in range(30)] for _ in sides]
    for side, wanted in zip(sides, messages, strict=True):
        side.alive = True
        side.delivery.peerWindow = window
        side.delivery._base = side.delivery._expected = first
        for message in wanted:
            side.delivery.send(1, message)
    for _ in range(2000):
        moved = [(sides[1 - number], one) for number in (0, 1) for one in sides[number].take()]
        if chance.random() < 0.2:
            chance.shuffle(moved)
        for side, (header, body) in moved:
            for _ in range(chance.choice((1, 1, 1, 2))):
                if chance.random() >= loss:
                    side.delivery.received(header, body)
        if all(side.delivery.isEmpty for side in sides):
            break
        clock.advance(0.25)
    assert [side.got for side in sides] == [messages[1], messages[0]]
    assert TRIES == 5
