"""
Tests for L{pptpgw.ppp.quality}, with the links of a gateway and a client joined.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.ppp.lcpoption import QUALITY_PROTOCOL, LCPSettings
from pptpgw.ppp.link import Phase
from pptpgw.ppp.quality import BAD, Quality
from pptpgw.ppp.settings import LinkSettings
from pptpgw.ppp.wire import ppp
from pptpgw.ppp.wire.lqr import Report, decode, encode
from pptpgw.sessions.cause import Termination, codeOf
from pptpgw.testing import Frame, MemoryChannel
from tests.ppp.test_lcp import Peer
from tests.ppp.test_link import CLIENT, SERVER, Pair

REPORTING = replace(SERVER, qualityReports=2)
REPORTED = replace(CLIENT, qualityReports=3)


def pair(server: LinkSettings = REPORTING, client: LinkSettings = REPORTED) -> Pair:
    made = Pair(server, client)
    made.start()
    made.run(1)
    assert made.server.phase is made.client.phase is Phase.NETWORK
    return made


def reports(channel: MemoryChannel) -> list[Report]:
    return [decode(one[1]) for one in channel.sent if one[0] == ppp.LQR]


def losing(every: int, begin: int = 0) -> Callable[[Frame], bool]:
    """
    Return a function that says that one of so many frames is lost.
    """
    passed = begin

    def lose(frame: Frame) -> bool:
        nonlocal passed
        passed += 1
        return passed % every == 0

    return lose


def converse(made: Pair, seconds: int) -> None:
    """
    Exchange 100 packets a second in each direction.
    """
    for _ in range(seconds * 100):
        for channel in (made.serverChannel, made.clientChannel):
            channel.sendPacket(ppp.IPV4, bytes(50))
        made.run(0.01)


def test_periods() -> None:
    """
    Each end reports as often as the other one asks, and nothing is lost.
    """
    made = pair()
    assert (made.server.lcp.reportEvery, made.server.lcp.reportedEvery) == (3.0, 2.0)
    converse(made, 12)
    assert len(reports(made.serverChannel)) == 4
    assert len(reports(made.clientChannel)) == 6
    for link in (made.server, made.client):
        assert link.quality is not None
        assert link.quality.lostFromPeer == link.quality.lostToPeer == 0
        assert min(link.quality.fromPeer, link.quality.toPeer) > 600


def test_counters() -> None:
    """
    A report has what its sender has counted, itself included, and what it was told last.
    """
    made = pair()
    converse(made, 9)
    first = reports(made.serverChannel)[-1]
    number = first.peerInLQRs
    theirs = next(one for one in reports(made.clientChannel) if one.peerOutLQRs == number)
    assert (first.lastOutLQRs, first.lastOutPackets) == (theirs.peerOutLQRs, theirs.peerOutPackets)
    assert first.lastOutOctets == theirs.peerOutOctets == first.peerInOctets
    assert first.peerInPackets == theirs.peerOutPackets
    assert first.magic == made.server.lcp.magic != 0
    place = [decode(one[1]) if one[0] == ppp.LQR else one for one in made.serverChannel.sent].index(
        first
    )
    assert first.peerOutPackets == place + 1
    packets = sum(len(one[1]) for one in made.serverChannel.sent[:place] if one[0] == ppp.IPV4)
    assert first.peerOutOctets == packets


def test_losses() -> None:
    """
    The losses of each direction are what really was lost, as both ends see it.
    """
    made = pair()
    made.serverChannel.lose, made.clientChannel.lose = losing(10), losing(4)
    converse(made, 30)
    server, client = made.server.quality, made.client.quality
    assert server is not None and client is not None
    for seen, part in (
        (server.lostToPeer / server.toPeer, 0.1),
        (server.lostFromPeer / server.fromPeer, 0.25),
        (client.lostToPeer / client.toPeer, 0.25),
        (client.lostFromPeer / client.fromPeer, 0.1),
    ):
        assert abs(seen - part) < 0.01
    assert made.server.phase is Phase.NETWORK, "no limit is set"


def test_off() -> None:
    """
    By default the option is neither asked for nor allowed, and a report gets a Protocol-Reject.
    """
    made = pair(server=SERVER)
    assert not made.server.lcp.monitors and not made.client.lcp.monitors
    converse(made, 5)
    assert not reports(made.serverChannel) and not reports(made.clientChannel)
    made.server.frameReceived(ppp.LQR, encode(Report()))
    rejects = [one[1] for one in made.serverChannel.sent if one[0] == ppp.LCP and one[1][0] == 8]
    assert rejects[0][4:6] == b"\xc0\x25"


@pytest.mark.parametrize(
    ("limit", "every", "ends"), [(0.2, 4, True), (0.2, 6, False), (0.05, 4, True), (0, 2, False)]
)
def test_policy(limit: float, every: int, ends: bool) -> None:
    """
    A link ends by more losses than the limit, and by no others.
    """
    made = pair(server=replace(REPORTING, qualityLoss=limit))
    made.clientChannel.lose = lambda frame: frame[0] == ppp.IPV4 and drop(frame)
    drop = losing(every)
    converse(made, 25)
    assert bool(made.gateway.causes) is ends
    if ends:
        (cause,) = made.gateway.causes
        assert cause.startswith(f"in {BAD} of 5 periods more than {limit:.0%} of the packets")
        assert codeOf(cause) is Termination.LOST_CARRIER
        made.run(20, 0.1)
        assert not made.timers()


def test_aShortLossIsBorne() -> None:
    """
    Two bad periods of five don't end the link.
    """
    made = pair(server=replace(REPORTING, qualityLoss=0.1))
    for _ in range(6):
        made.clientChannel.lose = losing(2)
        converse(made, 3)
        made.clientChannel.lose = lambda frame: False
        converse(made, 9)
    assert not made.gateway.causes


def test_silence() -> None:
    """
    Periods without a report are bad.
    """
    made = pair(server=replace(REPORTING, qualityLoss=0.1, echoFailures=0))
    made.clientChannel.lose = lambda frame: True
    made.run(13, 0.1)
    assert made.server.phase is Phase.TERMINATE
    made = pair(server=replace(REPORTING, echoFailures=0))
    made.clientChannel.lose = lambda frame: True
    made.run(60, 0.1)
    assert made.server.phase is Phase.NETWORK


class Lone:
    """
    The monitoring of one link, whose peer the test plays.
    """

    def __init__(self, period: str) -> None:
        self.peer = Peer(LCPSettings(qualityReports=5))
        self.peer.open((4, "c025" + period))
        self.channel: Any = pair().serverChannel
        self.sent: list[Report] = []
        self.failures: list[str] = []
        self.quality = Quality(
            self.peer.clock, self.peer.lcp, self.channel, self._send, 0.5, self.failures.append
        )

    def _send(self, protocol: int, packet: bytes) -> None:
        assert protocol == ppp.LQR
        self.sent.append(decode(packet))


def test_answersOnly() -> None:
    """
    A peer that asks for a period of 0 gets one report for each of its own, and none otherwise.
    """
    lone = Lone("00000000")
    lone.peer.clock.pump([1] * 20)
    assert not lone.sent
    for number in range(1, 4):
        lone.quality.received(encode(Report(peerOutLQRs=number, peerInLQRs=number - 1)))
        assert [one.lastOutLQRs for one in lone.sent] == list(range(1, number + 1))


def test_missedReport() -> None:
    """
    A peer that repeats what it has received is sent a report at once, since ours got lost.
    """
    lone = Lone("00000bb8")
    lone.quality.received(encode(Report(peerInLQRs=1)))
    lone.quality.received(encode(Report(peerInLQRs=2)))
    assert not lone.sent
    lone.quality.received(encode(Report(peerInLQRs=2)))
    assert len(lone.sent) == 1
    lone.peer.clock.pump([1] * 30)
    assert len(lone.sent) == 2
    lone.quality.rejected()
    lone.peer.clock.pump([1] * 60)
    assert len(lone.sent) == 2
    lone.quality.stop()
    lone.quality.received(encode(Report(magic=lone.peer.lcp.magic)))
    lone.quality.received(bytes(47))
    assert lone.quality.discarded == 2


@given(st.lists(st.lists(st.integers(0, (1 << 32) - 1), min_size=12, max_size=12), max_size=8))
def test_anyReports(numbers: list[list[int]]) -> None:
    """
    Whatever the numbers, losses are parts of a whole, and a peer gets one report for one at most.
    """
    lone = Lone("00000000")
    for one in numbers:
        lone.quality.received(encode(Report(*one)))
        measured = lone.quality.measured
        if measured is not None:
            assert 0 <= measured.lossFromPeer <= 1 and 0 <= measured.lossToPeer <= 1
    assert len(lone.sent) <= len(numbers)


@pytest.mark.parametrize(
    ("value", "code", "answer"),
    [
        ("c025000003e8", ppp.CONFIGURE_ACK, "c025000003e8"),
        ("c02500000000", ppp.CONFIGURE_ACK, "c02500000000"),
        ("c025ffffffff", ppp.CONFIGURE_ACK, "c025ffffffff"),
        ("c02500000001", ppp.CONFIGURE_NAK, "c02500000064"),
        ("c02600000064", ppp.CONFIGURE_NAK, "c025000001f4"),
        ("c025", ppp.CONFIGURE_NAK, "c025000001f4"),
        ("", ppp.CONFIGURE_NAK, "c025000001f4"),
    ],
)
def test_judged(value: str, code: int, answer: str) -> None:
    """
    The peer may have any period but one shorter than a second, of Link-Quality-Reports alone.
    """
    peer = Peer(LCPSettings(qualityReports=5))
    peer.request((QUALITY_PROTOCOL, value))
    assert peer.last() == (code, [(QUALITY_PROTOCOL, answer)])


def test_asked() -> None:
    """
    A peer may suggest another period, or refuse.
    """
    peer = Peer(LCPSettings(qualityReports=5))
    assert peer.asked()[QUALITY_PROTOCOL] == "c025000001f4"
    peer.answer(ppp.CONFIGURE_NAK, (QUALITY_PROTOCOL, "c02500000fa0"))
    assert peer.asked()[QUALITY_PROTOCOL] == "c02500000fa0"
    peer.answer(ppp.CONFIGURE_NAK, (QUALITY_PROTOCOL, "c02500000000"))
    assert QUALITY_PROTOCOL not in peer.asked()
    assert Peer().asked().keys().isdisjoint({QUALITY_PROTOCOL})
