"""
Tests for L{pptpgw.tunnels.l2tp.native} and the threads: whatever datagrams come, from either side
and in any order, the native data path does the same as the one in Python.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from struct import pack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pptpgw.counting.counters import Counters
from pptpgw.datapath import engine as engineModule
from pptpgw.ports.buffers import enlarge
from pptpgw.ports.udpsockets import UDP_GRO, UDP_SEGMENT
from pptpgw.tunnels.l2tp.carriage import Carriage
from pptpgw.tunnels.l2tp.channel import L2TPChannel
from pptpgw.tunnels.l2tp.native import NativeL2TPChannel
from pptpgw.tunnels.l2tp.port.udp import L2TPPort
from pptpgw.tunnels.l2tp.settings import ControlSettings
from pptpgw.tunnels.l2tp.statetable import CallKind
from pptpgw.tunnels.l2tp.wire.header import L, O, P, S, T, decodeData
from tests.datapath.twinend import TwinEnd, drained, isEmpty
from tests.datapath.twins import GOOD, LOST, Twins, ipv4To, stepsWith

pytestmark = pytest.mark.skipif(bool(engineModule.lacking()), reason="it isn't compiled")

HERE = "127.0.0.1"
TUNNEL, SESSION = 0x1234, 0x5678
THEIRS = 0x9ABC, 0xDEF0
NUMBERS = 0x10000
SO_NO_CHECK = 11


class Connection:
    """
    The control connection of the call.
    """

    localAddress = HERE
    localID, peerID = TUNNEL, THEIRS[0]

    def __init__(self, port: L2TPPort, peer: tuple[str, int], counters: Counters) -> None:
        self.port = port
        self.peer = peer
        self.counters = counters
        self.settings = ControlSettings()

    def send(self, message: object, sessionID: int = 0) -> None:
        """
        Send nothing.
        """


class Control:
    """
    The control connections of a port, of which one is known.
    """

    def __init__(self, peer: tuple[str, int]) -> None:
        self._peer = peer
        self.told: list[tuple[object, ...]] = []

    def knows(self, tunnelID: int, peer: tuple[str, int]) -> bool:
        return tunnelID == TUNNEL and peer == self._peer

    def continued(self, tunnelID: int, octets: bytes) -> None:
        self.told.append((tunnelID, octets))

    def received(self, octets: bytes, peer: tuple[str, int], localAddress: str) -> None:
        self.told.append((octets, peer, localAddress))


class Peers:
    """
    The sockets of the call's peer, and of a stranger.
    """

    def __init__(self) -> None:
        self.caller, self.stranger = self._opened(), self._opened()

    def _opened(self) -> socket.socket:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.setblocking(False)
        enlarge(opened, 4 << 20)
        opened.bind((HERE, 0))
        return opened


class End(TwinEnd):
    """
    See L{TwinEnd}.

    @ivar sent: the datagrams that were sent.
    """

    def __init__(
        self, native: bool, offload: bool, peers: Peers, threads: int, kind: CallKind, address: str
    ) -> None:
        super().__init__(native, offload, threads)
        self.port = L2TPPort(self.clock, address, 0, self.portCounters)
        peer = peers.caller.getsockname()
        self.control = self.port.connections = Control(peer)
        self.port.startListening()
        connection: Any = Connection(self.port, peer, self.portCounters)
        self.carriage = Carriage(connection, kind, SESSION, THEIRS[1])
        self.join(self.carriage.open(self.owner, self.host))
        assert type(self.channel) is (NativeL2TPChannel if native else L2TPChannel)
        self.sent: list[bytes] = []

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """
        See L{TwinEnd.sockets}.
        """
        return (self.port._socket, *self.port._others)

    def sendAtOnce(self, packets: list[bytes]) -> None:
        """
        Have the kernel send packets to the device before a thread reads one of them.
        """
        threads = self.host.engine.threads
        threads.stop()
        for packet in packets:
            self.tun.send(packet)
        threads.start()
        self.host.wait(self.tun.near)


class Both(Twins):
    """
    A caller of L2TP.

    @ivar numbers: whether it numbers its messages.
    @ivar flags: the bits of their headers, without S and the version.
    """

    changed = 8

    def __init__(
        self,
        offload: bool,
        mode: str,
        first: int,
        threads: int = 1,
        kind: CallKind = CallKind.LNS_INCOMING,
        address: str = HERE,
    ) -> None:
        self.numbers, self.flags = first >= 0, 0
        self._sequence = max(first, 0)
        self.peers = Peers()
        shared = offload, self.peers, threads, kind, address
        super().__init__((End(True, *shared), End(False, *shared)), mode)

    def arrive(self, octets: bytes, joined: int = 0, isStranger: bool = False) -> None:
        """
        Have a datagram arrive.

        @param joined: the octets of each datagram that C{octets} are; 0 if they are one.
        """
        sender = self.peers.stranger if isStranger else self.peers.caller
        ancillary = [(socket.IPPROTO_UDP, UDP_SEGMENT, pack("=H", joined))] if joined else []
        for end in self.ends:
            sender.sendmsg([octets], ancillary, 0, (HERE, end.port.number))

    def frame(self, payload: bytes) -> bytes:
        """
        Return the next data message.
        """
        made = message(payload, self.flags, self._sequence if self.numbers else -1)
        self._sequence = (self._sequence + self.numbers) % NUMBERS
        return made

    def stranger(self, step: bytes) -> None:
        """
        Have another peer send a datagram.
        """
        self.arrive(step, isStranger=True)

    def form(self, step: tuple[bool, int]) -> None:
        """
        Have the caller's messages have another form.
        """
        self.numbers, self.flags = step

    def number(self, step: None) -> None:
        """
        Have both ends send sequence numbers, as the peer demands by a control message.
        """
        for end in self.ends:
            end.carriage.number()

    def settle(self) -> None:
        """
        See L{Twins.settle}. Meanwhile the threads' limit on what belongs to no call ends.
        """
        for end in self.ends:
            end.advance(0.05)
        super().settle()
        native, python = self.ends
        assert native.control.told == python.control.told
        for octets, sender in received(self.peers.caller):
            (python if sender[1] == python.port.number else native).sent.append(octets)
        assert native.sent == python.sent

    def close(self) -> None:
        super().close()
        self.peers.caller.close()
        self.peers.stranger.close()


def received(one: socket.socket) -> Iterator[tuple[bytes, tuple[str, int]]]:
    """
    Read all datagrams that wait.
    """
    while not isEmpty(one):
        yield one.recvfrom(1 << 16)


def message(
    payload: bytes, flags: int = 0, number: int = -1, ids: tuple[int, int] = (TUNNEL, SESSION)
) -> bytes:
    """
    Return a data message with optional fields.
    """
    head = pack("!2H", *ids)
    if number >= 0:
        flags |= S
        head += pack("!2H", number, 0)
    if flags & O:
        head += b"\0\3pad"
    if flags & L:
        head = pack("!H", 4 + len(head) + len(payload)) + head
        payload += b"beyond"
    return pack("!H", flags | 2) + head + payload


FRAME = b"\xff\x03\0\x21no call"
OCTETS = st.one_of(
    st.binary(max_size=40),
    st.binary(max_size=12).map(lambda octets: b"\0\2\x12\x34\x56\x78" + octets),
    st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=12)).map(
        lambda made: pack("!3H", made[0], TUNNEL, SESSION) + made[1]
    ),
    st.sampled_from(
        [
            b"",
            message(b"", L),
            message(FRAME, ids=(TUNNEL, 1)),
            message(FRAME, ids=(1, SESSION)),
            message(FRAME, L | O | P, 7, ids=(1, SESSION)),
            pack("!6H", T | L | S | 2, 12, TUNNEL, 0, 1, 1),
            pack("!6H", T | L | S | 2, 12, TUNNEL, 0, 1, 1) + b"AVPs",
            pack("!6H", T | L | S | 2, 12, 0, 0, 0, 0),
            pack("!6H", T | 2, 12, 0, 0, 0, 0),
            message(FRAME)[:7],
            message(FRAME, L)[:11],
            message(bytes(5000)),
        ]
    ),
)
FORMS = st.tuples(st.booleans(), st.sampled_from([0, 0, L, O, P, L | O | P]))


@contextmanager
def both(*arguments: Any, **more: Any) -> Iterator[Both]:
    """
    Make a caller and two ends, and close everything.
    """
    made = Both(*(arguments or (False, "clear", -1)), **more)
    try:
        yield made
    finally:
        made.close()


@settings(max_examples=300, deadline=None)
@given(
    st.booleans(),
    st.sampled_from(["clear", "stateless", "stateful"]),
    st.sampled_from([-1, -1, 0, NUMBERS - 30]),
    st.sampled_from([1, 2]),
    st.sampled_from([CallKind.LNS_INCOMING, CallKind.LAC_INCOMING]),
    st.sampled_from([HERE, ""]),
    stepsWith(OCTETS),
    st.lists(
        st.one_of(
            FORMS.map(lambda step: ("form", step)),
            OCTETS.map(lambda step: ("stranger", step)),
            st.just(("number", None)),
        ),
        max_size=4,
    ),
    st.randoms(use_true_random=False),
)
def test_sameAsPython(
    offload: bool,
    mode: str,
    first: int,
    threads: int,
    kind: CallKind,
    address: str,
    steps: list[tuple[str, Any]],
    others: list[tuple[str, Any]],
    random: Any,
) -> None:
    for one in others:
        steps.insert(random.randint(0, len(steps)), one)
    with both(offload, mode, first, threads, kind, address) as made:
        made.control((0xC021, b"echo"))
        made.settle()
        for name, step in steps:
            getattr(made, name)(step)
            made.settle()


class TestOwnership:
    """
    Tests of who handles datagrams.
    """

    def taken(self, monkeypatch: pytest.MonkeyPatch) -> list[NativeL2TPChannel]:
        """
        Return a list to which channels are added when they take their sessions.
        """
        taken: list[NativeL2TPChannel] = []
        take = NativeL2TPChannel.take

        def noted(channel: NativeL2TPChannel) -> None:
            taken.append(channel)
            take(channel)

        monkeypatch.setattr(NativeL2TPChannel, "take", noted)
        return taken

    @pytest.mark.parametrize("mode", ["clear", "stateless", "stateful"])
    @pytest.mark.parametrize("flags", [0, L | O | P])
    @pytest.mark.parametrize("first, threads", [(-1, 1), (NUMBERS - 9, 1), (-1, 3)])
    def test_theThreadCarriesWhatIsOrdinary(
        self, mode: str, flags: int, first: int, threads: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        After the first frame, packets in both directions don't reach the interpreter.
        """
        with both(True, mode, first, threads) as made:
            made.flags = flags
            made.peer([GOOD])
            made.settle()
            native = made.ends[0]
            assert native.channel._given and native.channel.path == "native"
            taken = self.taken(monkeypatch)
            made.peer([GOOD] * 200)
            made.device([ipv4To("10.77.0.10", b"answer")] * 200)
            made.settle()
            assert not taken and native.channel.counters.packetsReceived == 201
            assert native.channel.counters.packetsSent == 200

    @pytest.mark.parametrize("mode", ["clear", "stateless"])
    def test_joinedDatagrams(self, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Datagrams that the kernel has joined are split, also those that are none of the call's, and
        the last one may be shorter than the others.
        """
        with both(True, mode, -1) as made:
            made.peer([GOOD])
            made.settle()
            taken = self.taken(monkeypatch)
            frames: list[bytes] = []
            monkeypatch.setattr(made, "arrive", frames.append)
            made.peer([GOOD] * 100)
            monkeypatch.undo()
            size = len(frames[0])
            for begin in (0, 50):
                made.arrive(b"".join(frames[begin : begin + 50]), joined=size)
            made.settle()
            assert not taken and made.ends[0].channel.counters.packetsReceived == 101
            control = pack("!6H", T | L | S | 2, 12, TUNNEL, 0, 1, 1).ljust(size, b"\0")
            stray = message(b"\xff\x03\0\x21", ids=(1, 1)).ljust(size, b"\0")
            made.arrive(control + stray + control + stray + control[:-1], joined=size)
            made.settle()
            assert len(made.ends[0].control.told) == 3

    @pytest.mark.parametrize("mode, first", [("clear", (63, 1)), ("stateless", (62, 2))])
    def test_joinsDatagrams(self, mode: str, first: tuple[int, int]) -> None:
        """
        Packets of one size leave as one message, which a smaller one ends, and so do 65,000 octets.
        """
        with both(True, mode, -1) as made:
            made.peer([GOOD])
            made.settle()
            caller = made.peers.caller
            caller.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
            native = made.ends[0]
            sizes = [1000] * 70 + [900] + [1000] * 3 + [1001] * 2
            native.sendAtOnce([ipv4To("10.77.0.10", bytes(size)) for size in sizes])
            found = []
            while not isEmpty(caller):
                octets, ancillary, _, _ = caller.recvmsg(1 << 17, 64)
                one = int.from_bytes(ancillary[0][2], "little") if ancillary else len(octets)
                found.append((len(octets) + one - 1) // one)
            # The thread handles 64 packets at once.
            assert found == [*first, 7, 3, 2]
            assert native.channel.counters.packetsSent == len(sizes)
            caller.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 0)

    def test_theSystemJoinsNone(self) -> None:
        """
        Where the system refuses to make several datagrams of one message, they are sent one by one,
        and it is tried again after a while.
        """
        with both(True, "clear", -1) as made:
            made.peer([GOOD])
            made.settle()
            native = made.ends[0]
            for refuses in (1, 0):
                # Without checksums the kernel splits nothing.
                native.port._socket.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, refuses)
                native.sendAtOnce([ipv4To("10.77.0.10", b"answer")] * 20)
            assert native.channel.counters.packetsSent == 40
            assert len(list(received(made.peers.caller))) == 40
            assert native.channel.counters.discards == {}
            made.peers.caller.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
            for passed, messages in ((0, 20), (11, 1)):
                native.advance(passed)
                native.sendAtOnce([ipv4To("10.77.0.10", b"answer")] * 20)
                assert len(drained(made.peers.caller)) == messages

    def test_lateNumbers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Frames that are late by their numbers are counted, as those after them have passed.
        """
        with both(False, "clear", 0) as made:
            made.peer([GOOD] * 3)
            made.settle()
            taken = self.taken(monkeypatch)
            made.peer([LOST, GOOD])
            made.settle()
            assert not taken
            made.again((2, 2))
            made.peer([GOOD])
            made.settle()
            assert taken and made.ends[0].channel._given
            assert made.ends[0].portCounters.discards == {"L2TP data message late": 2}
            assert made.ends[0].channel.counters.packetsReceived == 5

    def test_theLACFollows(self) -> None:
        """
        A LAC sends sequence numbers from the first frame on that has one, and goes on to.
        """
        with both(False, "clear", 0, 1, CallKind.LAC_INCOMING) as made:
            made.numbers = False
            made.peer([GOOD])
            made.settle()
            for numbers in (False, True, False):
                made.numbers = numbers
                made.peer([GOOD])
                made.settle()
                made.device([ipv4To("10.77.0.10", b"answer")])
                made.settle()
            found = [decodeData(one).sequence for one in made.ends[0].sent]
            assert found == [-1, 0, 1] and made.ends[0].channel._given

    def test_losses(self) -> None:
        """
        MPPE goes on behind losses, which Python sees to, and the thread goes on after that.
        """
        with both(True, "stateless", -1) as made:
            made.peer([GOOD, LOST, LOST, GOOD, GOOD])
            made.settle()
            made.peer([GOOD] * 2)
            made.settle()
            channel = made.ends[0].channel
            assert channel._given and channel.counters.packetsReceived == 5

    def test_strangers(self) -> None:
        """
        Nobody else can send for a call. Control messages aren't limited like what is only counted.
        """
        with both(True, "clear", -1) as made:
            made.peer([GOOD])
            made.settle()
            for _ in range(100):
                made.stranger(message(GOOD[0][1]))
                made.stranger(pack("!6H", T | L | S | 2, 12, 0, 0, 0, 0))
            native, python = made.ends
            native.settle()
            python.settle()
            assert native.channel.counters.packetsReceived == 1
            counted = native.figures()
            assert counted["port"] == {"L2TP of no connection": 64}
            assert counted["path"] == {"too many for the interpreter": 36}
            assert native.control.told == python.control.told
            assert len(native.control.told) == 100

    def test_reading(self) -> None:
        """
        Sockets that can't be read are made again by their port, and each thread gets the same peers
        as before.
        """
        with both(True, "clear", -1, 3) as made:
            made.peer([GOOD])
            made.settle()
            native = made.ends[0]
            port: Any = native.port
            # The kernel numbers sockets anew when one of them is closed.
            os.close(port._socket.fileno())
            made.device([ipv4To("10.77.0.11", b"nobody's")])
            deadline = time.monotonic() + 5
            reasons = native.host.counters.discards
            while "L2TP not read: EBADF" not in reasons and time.monotonic() < deadline:
                native.host.engine.count(native.host.counters)
                time.sleep(0.02)
            native.clock.advance(1)
            assert not port.fault
            native.host.engine.threads.stop()
            for _ in range(20):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                    one.sendto(b"stray", (HERE, port.number))
                    far = one.getsockname()[1]
                expected = [False] * 3
                expected[(0x7F00 + 0x0001 + far) % 3] = True
                sockets = port._socket, *port._others
                assert [not isEmpty(one) for one in sockets] == expected
                for one in sockets:
                    drained(one)
            native.host.engine.threads.start()

    def test_close(self) -> None:
        """
        A closed channel keeps its figures. Datagrams that come later belong to no call.
        """
        with both(True, "clear", -1) as made:
            made.peer([GOOD] * 5)
            made.settle()
            channel = made.ends[0].channel
            for end in made.ends:
                end.channel.close()
            assert channel.session is None and channel.counters.packetsReceived == 5
            made.peer([GOOD])
            made.device([ipv4To("10.77.0.10", b"late")])
            made.settle()
            assert made.ends[0].portCounters.discards == {"L2TP of no connection": 1}
            assert made.ends[0].host.counters.discards == {"no session has the destination": 1}
