"""
Tests for the lanes in which packets wait in a L{pptpgw.tunnels.pptp.port.gre.GREPort}: with packets
counted, a clock that stands still, and both implementations compared.
"""

from __future__ import annotations

import importlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pptpgw.counting.counters import LOST
from pptpgw.datapath.fair import BATCH, FULL, MOST, READ
from pptpgw.tunnels.pptp.port.gre import STRAY
from pptpgw.tunnels.pptp.port.raw import (
    STRAYS,
    CompiledRaw,
    PythonRaw,
    Raw,
    Receiver,
)
from pptpgw.tunnels.pptp.wire.gre import encode
from tests.datapath.test_python import Fixture as Channel
from tests.datapath.test_python import packet as ipv4Packet
from tests.tunnels.pptp.port.test_gre import HEAD, PEER, Fixture

RAWS: list[Raw] = [PythonRaw()]
try:
    importlib.import_module("pptpgw.tunnels.pptp.port._gre")
except ImportError:
    pass
else:
    RAWS.append(CompiledRaw())

PEER_KEY = int.from_bytes(HEAD[12:16], "big") << 16
FLOOD, QUIET = 7, 8


def packet(callID: int, sequence: int, size: int = 1400) -> bytes:
    """
    A packet with an IPv4 packet of C{size} octets.
    """
    return HEAD + encode(callID, b"\x21" + bytes(size), sequence)


class Lanes(Fixture):
    """
    An open port with two calls, each of which notes what it gets.
    """

    def __init__(self) -> None:
        super().__init__()
        self.got: list[tuple[int, int]] = []
        self.dropped: list[tuple[int, int]] = []
        self.port.startListening()
        # Nothing takes any time.
        self.reactor.seconds = lambda: self.reactor.rightNow  # type: ignore[method-assign]
        for callID in (FLOOD, QUIET):
            self.open(callID)

    def open(self, callID: int) -> None:
        def receive(sequence: int, protocol: int, frames: list[bytes]) -> None:
            self.got += [(callID, number) for number in range(sequence, sequence + len(frames))]

        def dropped(count: int) -> None:
            self.dropped.append((callID, count))

        self.port.register(PEER, callID, receive, dropped)


@pytest.fixture
def lanes() -> Lanes:
    return Lanes()


class TestPort:
    """
    Tests of whole turns of the reactor.
    """

    def test_aPingAmongAFlood(self, lanes: Lanes) -> None:
        """
        The ping of one call is passed on in the turn in which it is read, though a thousand packets
        of another call came before it; after that turn the reactor serves others.
        """
        packets = [packet(FLOOD, number) for number in range(READ - 1)]
        lanes.arrive(*packets, packet(QUIET, 5, 20))
        assert len(lanes.got) == BATCH and (QUIET, 5) in lanes.got
        assert lanes.got[-1] == (FLOOD, BATCH - 2)
        # While packets wait, others that arrive are read, but no more are passed on in a turn.
        lanes.arrive(packet(QUIET, 6, 20))
        assert len(lanes.got) == BATCH
        lanes.reactor.turn()
        assert len(lanes.got) == 2 * BATCH and (QUIET, 6) in lanes.got
        lanes.reactor.finish()
        assert [number for call, number in lanes.got if call == FLOOD] == list(range(READ - 1))
        assert not lanes.reactor.getDelayedCalls()
        assert lanes.dropped == [] and lanes.counters.discards == {}

    def test_whatIsDropped(self, lanes: Lanes) -> None:
        """
        What is too much is dropped of the call that sends it, which is told; strays are counted by
        the port.
        """
        for start in range(0, MOST, READ):
            lanes.system.sockets[0].arrived += [
                packet(FLOOD, number) for number in range(start, start + READ)
            ]
        lanes.arrive(packet(QUIET, 0, 20))
        lanes.arrive(*(packet(FLOOD, number) for number in range(MOST, MOST + 10)))
        lanes.reactor.finish()
        assert {call for call, _ in lanes.dropped} <= {FLOOD}
        assert (QUIET, 0) in lanes.got
        flood = [number for call, number in lanes.got if call == FLOOD]
        assert flood == sorted(flood)
        assert len(flood) + sum(count for _, count in lanes.dropped) == MOST + 10

    def test_strays(self, lanes: Lanes) -> None:
        """
        Packets of no call share one lane, and are counted when they are dropped.
        """
        port, receiver = lanes.port, lanes.port._receiver
        assert receiver is not None
        lanes.system.sockets[0].arrived += [packet(9, number) for number in range(MOST + 100)]
        while lanes.system.sockets[0].arrived:
            port._read(receiver)
        assert lanes.counters.discards == {FULL: 100}
        lanes.arrive(packet(QUIET, 1, 20))
        assert lanes.got == [(QUIET, 1)]
        lanes.reactor.finish()
        assert lanes.counters.discards == {FULL: 101, STRAY: MOST - 1}

    def test_aCallThatCloses(self, lanes: Lanes) -> None:
        """
        Packets that wait when their call closes are strays, and nothing of it is left.
        """
        lanes.arrive(*(packet(FLOOD, number) for number in range(500)))
        lanes.port.unregister(PEER, FLOOD)
        lanes.reactor.finish()
        assert len(lanes.got) == BATCH
        assert lanes.counters.discards == {STRAY: 500 - BATCH}
        receiver = lanes.port._receiver
        assert receiver is not None and receiver.waiting == 0
        assert list(lanes.port._channels) == list(lanes.port._dropped) == [PEER_KEY | QUIET]

    def test_aPortThatCloses(self, lanes: Lanes) -> None:
        lanes.arrive(*(packet(FLOOD, number) for number in range(500)))
        lanes.port.stopListening()
        assert not lanes.reactor.getDelayedCalls()
        assert len(lanes.got) == BATCH

    def test_aCallThatClosesThePort(self, lanes: Lanes) -> None:
        def receive(*arguments: object) -> None:
            lanes.port.stopListening()

        lanes.port.register(PEER, 9, receive)
        lanes.arrive(*(packet(9, number) for number in range(500)))
        assert not lanes.reactor.getDelayedCalls()

    def test_anotherReceiver(self, lanes: Lanes) -> None:
        """
        Packets that wait go to the function that their call has registered by the time of their
        turn.
        """
        lanes.arrive(*(packet(FLOOD, number) for number in range(BATCH + 5)))
        lanes.port.unregister(PEER, FLOOD)
        lanes.open(FLOOD)
        lanes.reactor.finish()
        assert lanes.got == [(FLOOD, number) for number in range(BATCH + 5)]


@contextmanager
def receivers() -> Iterator[tuple[list[Receiver], list[socket.socket]]]:
    """
    A receiver of each implementation, and the other ends of their sockets.
    """
    made: list[Receiver] = []
    ends: list[socket.socket] = []
    nears: list[socket.socket] = []
    try:
        for raw in RAWS:
            near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            near.setblocking(False)
            nears.append(near)
            ends.append(far)
            made.append(raw.receiver(near))
        yield made, ends
    finally:
        for one in nears + ends:
            one.close()


@pytest.mark.skipif(len(RAWS) < 2, reason="the extension isn't built")
class TestTwins:
    """
    Tests that both implementations do the same.
    """

    @settings(max_examples=30, deadline=None)
    @given(st.data())
    def test_same(self, data: Any) -> None:
        """
        The same packets come out, in the same order and runs, and the same are dropped, however
        many wait.
        """
        channels: dict[int, Any] = {PEER_KEY | FLOOD: len, PEER_KEY | QUIET: repr}
        shares = data.draw(
            st.lists(st.lists(st.sampled_from([7, 7, 7, 7, 8, 9, 10]), min_size=1), min_size=1)
        )
        numbers = dict.fromkeys(range(7, 11), 0)
        with receivers() as (made, ends):
            for step in range(data.draw(st.integers(1, 40))):
                calls = shares[step % len(shares)]
                for callID in calls * (1 + 80 // len(calls)):
                    size = (0, 40, 1400)[(numbers[callID] * callID) % 3]
                    octets = packet(callID, numbers[callID], size)
                    numbers[callID] += 1
                    for end in ends:
                        end.send(octets)
                    if not sum(numbers.values()) % 8:
                        self._read(made, channels)
                self._read(made, channels)
                if step % 7 == 5:
                    self._take(made, channels)
                if step == 20:
                    channels[PEER_KEY | 10] = max
                    del channels[PEER_KEY | QUIET]
            while made[0].waiting:
                self._take(made, channels)
            assert made[1].waiting == 0

    def test_limits(self) -> None:
        """
        No more than the limit wait, and the longest lane loses.
        """
        channels: dict[int, Any] = {PEER_KEY | FLOOD: len, PEER_KEY | QUIET: repr}
        with receivers() as (made, ends):
            dropped: dict[int, int] = {}
            for number in range(MOST + 50):
                for end in ends:
                    end.send(packet(QUIET if number == 3 else FLOOD, number, 20))
                    end.send(packet(11, number, 20)) if number % 100 == 0 else None
                for key, count in self._read(made, channels).items():
                    dropped[key] = dropped.get(key, 0) + count
            strays = len(range(0, MOST + 50, 100))
            assert dropped == {PEER_KEY | FLOOD: 50 + strays}
            assert made[0].waiting == MOST
            runs = self._take(made, channels)
            assert repr in [run[0] for run in runs]
            assert [run[3] for run in runs if run[0] is None] != []

    def test_readsNoMoreThanItMay(self) -> None:
        with receivers() as (made, ends):
            for near, end in zip(made, ends, strict=True):
                end.setblocking(False)
                sent = 0
                try:
                    while sent < READ + 500:
                        end.send(packet(FLOOD, sent, 0))
                        sent += 1
                except BlockingIOError:
                    pass
                near.read({})
                assert near.waiting == min(sent, READ)

    def test_forms(self) -> None:
        """
        Packets that aren't of a call's form are strays; those with IP options have their call's
        lane.
        """
        channels: dict[int, Any] = {PEER_KEY | FLOOD: len}
        options = b"\x46" + HEAD[1:] + bytes(4) + encode(FLOOD, b"\x21", 1)
        wrong = [b"", b"\x45", HEAD, b"\x41" + packet(FLOOD, 1, 0)[1:], HEAD + bytes(11)]
        with receivers() as (made, ends):
            for octets in (*wrong, options, packet(FLOOD, 2, 1)):
                for end in ends:
                    end.send(octets)
            self._read(made, channels)
            assert self._take(made, channels) == [
                *((None, 0, 0, [octets]) for octets in (*wrong, options)),
                (len, 2, 0x21, [b"\0"]),
            ]

    def _read(self, made: list[Receiver], channels: dict[int, Any]) -> dict[int, int]:
        one, other = (receiver.read(channels) for receiver in made)
        assert one == other and set(one) <= {*channels, STRAYS, PEER_KEY | QUIET}
        assert made[0].waiting == made[1].waiting <= MOST
        return one

    def _take(self, made: list[Receiver], channels: dict[int, Any]) -> list[Any]:
        one, other = (receiver.take(channels) for receiver in made)
        assert one == other
        return one


def test_aChannelIsTold() -> None:
    """
    What is dropped of a session is counted as such, and not also as lost on the way; what follows
    isn't held back, other than after packets that may still come.
    """
    path = Channel()
    path.open()
    network = b"\x21" + ipv4Packet()
    path.arrive(network, 0)
    path.channel.framesDropped(3)
    path.arrive(network, 4)
    path.arrive(network, 6)
    assert len(path.tun.written) == 2
    path.clock.advance(1)
    assert len(path.tun.written) == 3
    assert path.channel.counters.discards == {FULL: 3, LOST: 1}
