"""
Tests for the lanes in which packets from the network wait in a
L{pptpgw.datapath.python.PythonDataPath}: with packets counted, and a clock that stands still.
"""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from pptpgw.datapath.fair import BATCH, FULL, MOST, READ
from pptpgw.datapath.python import DEEP, NO_ROUTE, SHARED
from pptpgw.interfaces import Attachment
from pptpgw.tunnels.pptp.owner import Ends
from tests.datapath.test_python import LOCAL, PEER, SUBSCRIBER, Fixture, Owner, packet

FLOOD, QUIET = "10.77.0.10", "10.77.0.11"
ROUTED = "10.5.0.0/24"


class Turns(Fixture):
    """
    A data path with two sessions, the first of which has a network behind it too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.channel.openNetwork(0x21, Attachment((SUBSCRIBER, IPv4Network(ROUTED)), 1400))
        self.quiet = self.opened(Ends(LOCAL, PEER, 8, 10), Owner())
        self.quiet.openNetwork(0x21, Attachment((IPv4Network(f"{QUIET}/32"),), 1400))

    def counts(self) -> tuple[int, int]:
        """
        How many packets each session was sent.
        """
        return self.channel.counters.packetsSent, self.quiet.counters.packetsSent

    def turn(self) -> None:
        """
        Run one turn of the reactor. L{twisted.internet.task.Clock.advance} runs all at once.
        """
        for call in list(self.clock.calls):
            if call.getTime() <= self.clock.seconds():
                self.clock.calls.remove(call)
                call.called = 1
                call.func()

    def finish(self) -> None:
        """
        Run turns until no packet waits, each of which sends some.
        """
        while self.dataPath._fair.waiting:
            before = sum(self.counts())
            self.turn()
            assert 0 < sum(self.counts()) - before <= BATCH


@pytest.fixture
def path() -> Turns:
    return Turns()


def flood(count: int) -> list[bytes]:
    """
    Numbered packets for the first session.
    """
    return [packet("10.1.1.1", FLOOD, number.to_bytes(4, "big")) for number in range(count)]


PING = packet("10.1.1.1", QUIET, b"ping")


def test_fewAreSentAtOnce(path: Turns) -> None:
    path.tun.receiveAll([*flood(BATCH - 1), PING])
    assert path.counts() == (BATCH - 1, 1)
    assert not path.clock.getDelayedCalls()


def test_aPingAmongAFlood(path: Turns) -> None:
    """
    A packet for one session is sent in the turn in which it is read, though a thousand for another
    one came before it.
    """
    path.tun.receiveAll([*flood(READ - 1), PING])
    assert path.counts() == (BATCH - 1, 1)
    # In the same turn more may be read, but no more is sent.
    path.tun.receiveAll([PING])
    assert path.counts() == (BATCH - 1, 1)
    path.turn()
    assert path.counts() == (2 * BATCH - 2, 2)
    path.finish()
    assert path.counts() == (READ - 1, 2)
    sent = [octets[-4:] for octets, _ in path.wire.sent if octets[-4:] != b"ping"]
    assert sent == [number.to_bytes(4, "big") for number in range(READ - 1)]
    assert not path.clock.getDelayedCalls()


def test_howManyAreRead(path: Turns) -> None:
    """
    More is read than can be sent while several sessions get packets, and for some time after that.
    """
    assert path.tun.batches == 1
    path.tun.receiveAll(flood(2))
    assert path.tun.batches == 1
    path.tun.receiveAll([*flood(2), PING])
    assert path.tun.batches == DEEP
    path.clock.advance(SHARED - 0.1)
    path.tun.receiveAll(flood(2))
    assert path.tun.batches == DEEP
    path.clock.advance(0.1)
    path.tun.receiveAll(flood(2))
    assert path.tun.batches == 1


def test_aSegmentThatIsSplit(path: Turns) -> None:
    """
    A few more than a batch are sent at once if they are all of one session.
    """
    path.tun.receiveAll(flood(BATCH + 44))
    assert path.counts() == (BATCH + 44, 0)


def test_aNetworkBehindASession(path: Turns) -> None:
    """
    All destinations of a session share its lane.
    """
    routed = [packet("10.1.1.1", f"10.5.0.{number % 256}") for number in range(READ)]
    path.tun.receiveAll([*flood(READ), *routed, *[PING] * 64])
    path.turn()
    path.turn()
    assert path.counts()[1] == 64
    path.finish()


def test_whatIsDropped(path: Turns) -> None:
    """
    What is too much is dropped of the session that has most, and counted there.
    """
    path.tun.receiveAll([PING, *flood(MOST + 100)])
    assert path.channel.counters.discards == {FULL: 101}
    path.finish()
    assert path.counts() == (MOST - 1, 1)
    assert path.quiet.counters.discards == path.dataPath.counters.discards == {}


def test_aSessionThatCloses(path: Turns) -> None:
    """
    Packets that wait for a session that closes are forgotten with it.
    """
    path.tun.receiveAll(flood(READ))
    path.channel.close()
    assert path.dataPath._fair.waiting == 0
    assert path.dataPath.counters.discards == {NO_ROUTE: READ - BATCH}
    path.turn()
    assert not path.clock.getDelayedCalls()


def test_theEnd(path: Turns) -> None:
    path.tun.receiveAll(flood(READ))
    path.dataPath.stop()
    path.turn()
    assert path.counts() == (BATCH, 0)
