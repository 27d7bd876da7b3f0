"""
Tests for L{pptpgw.tunnels.pptp.port.gre}: with sockets in memory, with the two ways of receiving
compared, and with real sockets in a network namespace.
"""

from __future__ import annotations

import errno
import importlib
import socket
from itertools import product
from types import ModuleType
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.interfaces import IReactorFDSet
from twisted.python.failure import Failure

from pptpgw.counting.counters import Counters
from pptpgw.datapath.fair import BATCH
from pptpgw.error import NotPermitted
from pptpgw.ports import bpf
from pptpgw.tunnels.pptp.port import gre
from pptpgw.tunnels.pptp.port.filter import OURS, share
from pptpgw.tunnels.pptp.port.gre import MALFORMED, STRAY, GREPort
from pptpgw.tunnels.pptp.port.raw import RECEIVE_SIZE, CompiledRaw, PythonRaw
from pptpgw.tunnels.pptp.wire.gre import encode
from tests.ports.namespace import inNamespace
from tests.ticking import Ticking

compiled: ModuleType | None
try:
    compiled = importlib.import_module("pptpgw.tunnels.pptp.port._gre")
except ImportError:
    compiled = None

PEER = "192.0.2.2"
LOOPBACK = bytes((127, 0, 0, 1))
HEAD = b"\x45\x00\x00\x00\x00\x00\x00\x00\x40\x2f\x00\x00" + bytes([192, 0, 2, 2, 192, 0, 2, 1])


class MemorySocket:
    """
    A raw socket that reads from a list and records what is sent.
    """

    def __init__(self, system: MemorySystem, protocol: int) -> None:
        self.system = system
        self.protocol = protocol
        self.arrived: list[bytes | OSError] = []
        self.sent: list[tuple[bytes, tuple[str, int], list[Any]]] = []
        self.options: dict[int, int | bytes] = {}
        self.bound: tuple[str, int] | None = None
        self.closed = False
        # The error of the next packet that is sent.
        self.full: OSError | None = None

    def setblocking(self, blocking: bool) -> None:
        assert not blocking

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        if option in (32, 33) and not self.system.mayForce:
            raise PermissionError(errno.EPERM, "no")
        self.options[option] = value

    def bind(self, address: tuple[str, int]) -> None:
        if self.system.bindError is not None:
            raise self.system.bindError
        self.bound = address

    def recv(self, size: int) -> bytes:
        if not self.arrived:
            raise BlockingIOError
        first = self.arrived.pop(0)
        if isinstance(first, OSError):
            raise first
        return first[:size]

    def sendmsg(
        self, parts: tuple[bytes, ...], ancillary: list[Any], flags: int, address: tuple[str, int]
    ) -> int:
        if self.full is not None:
            error, self.full = self.full, None
            raise error
        self.sent.append((b"".join(parts), address, ancillary))
        return len(parts[0])

    def fileno(self) -> int:
        return 99

    def close(self) -> None:
        self.closed = True


class MemorySystem:
    """
    A system whose sockets are in memory.
    """

    def __init__(self) -> None:
        self.sockets: list[MemorySocket] = []
        self.error: OSError | None = None
        self.bindError: OSError | None = None
        self.mayForce = True
        self.mostSockets = 2

    def socket(self, family: int, type: int, proto: int) -> socket.socket:
        if self.error is not None:
            raise self.error
        if len(self.sockets) == self.mostSockets:
            raise OSError(errno.EMFILE, "too many open files")
        opened = MemorySocket(self, proto)
        self.sockets.append(opened)
        return cast(socket.socket, opened)


class Readers(Ticking):
    """
    The parts of a reactor that watch readers and run timers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[object] = []

    def addReader(self, reader: object) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: object) -> None:
        # Like a reactor's, this ignores a reader that isn't there.
        self.readers[:] = [other for other in self.readers if other is not reader]


class Fixture:
    """
    An open port.
    """

    def __init__(self, address: str = "") -> None:
        self.system = MemorySystem()
        self.reactor = Readers()
        self.counters = Counters()
        self.port = GREPort(
            cast(IReactorFDSet, self.reactor), address, self.counters, self.system, PythonRaw()
        )
        self.received: list[tuple[int, int, bytes]] = []

    def register(self, callID: int = 7) -> None:
        self.port.register(PEER, callID, self._received)

    def _received(self, sequence: int, protocol: int, frames: list[bytes]) -> None:
        for number, information in enumerate(frames, sequence):
            self.received.append((number, protocol, information))

    def arrive(self, *packets: bytes | OSError) -> None:
        self.system.sockets[0].arrived += packets
        self.port.doRead()


@pytest.fixture
def path() -> Fixture:
    opened = Fixture()
    opened.port.startListening()
    return opened


class TestLife:
    """
    Tests for opening and closing.
    """

    def test_opensAndCloses(self, path: Fixture) -> None:
        opened, silencer = path.system.sockets
        assert opened.protocol == silencer.protocol == 47
        assert opened.bound is silencer.bound is None
        assert path.reactor.readers == [path.port]
        assert path.port.fileno() == 99
        assert set(opened.options.values()) == {gre.BUFFER, OURS.argument}
        path.port.stopListening()
        path.port.stopListening()
        assert opened.closed and silencer.closed
        assert path.reactor.readers == []
        assert path.port.fileno() == -1
        path.port.doRead()

    def test_connectionLost(self, path: Fixture) -> None:
        path.port.connectionLost(Failure(Exception("the reactor stops")))
        assert path.reactor.readers == []
        # Calls still send by the socket's descriptor.
        assert not path.system.sockets[0].closed
        path.port.stopListening()
        assert path.system.sockets[0].closed

    def test_oneAddress(self) -> None:
        path = Fixture("192.0.2.1")
        path.port.startListening()
        assert [opened.bound for opened in path.system.sockets] == [("192.0.2.1", 0)] * 2

    def test_everyAddressInWords(self) -> None:
        path = Fixture("0.0.0.0")
        path.port.startListening()
        assert path.system.sockets[0].bound is None

    def test_notOurAddress(self) -> None:
        path = Fixture("192.0.2.77")
        path.system.bindError = OSError(errno.EADDRNOTAVAIL, "not ours")
        with pytest.raises(OSError):
            path.port.startListening()
        assert path.system.sockets[0].closed
        assert path.reactor.readers == []

    def test_noSecondSocket(self) -> None:
        """
        The port doesn't open if it can't have the second socket, which keeps the kernel from
        answering.
        """
        path = Fixture()
        path.system.mostSockets = 1
        with pytest.raises(OSError, match="too many"):
            path.port.startListening()
        assert path.system.sockets[0].closed
        assert path.reactor.readers == []
        assert path.port.fileno() == -1

    def test_notPermitted(self) -> None:
        path = Fixture()
        path.system.error = PermissionError(errno.EPERM, "no")
        with pytest.raises(NotPermitted, match="CAP_NET_RAW"):
            path.port.startListening()

    def test_smallBuffersWhereTheyMayNotBeForced(self) -> None:
        path = Fixture()
        path.system.mayForce = False
        path.port.startListening()
        assert path.system.sockets[0].options == {
            socket.SO_RCVBUF: gre.BUFFER,
            socket.SO_SNDBUF: gre.BUFFER,
            bpf.ATTACH_FILTER: OURS.argument,
        }


class Threads:
    """
    Threads that read a port, which have no place for another one.
    """

    def __init__(self, readers: int) -> None:
        self.readers = readers
        self.ours, self.other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.watched: tuple[int, ...] = ()
        self.forgotten: list[int] = []

    def watch(self, descriptors: tuple[int, ...], watcher: Any) -> tuple[int, socket.socket]:
        assert not self.watched
        self.watched = descriptors
        return 5, self.ours

    def forget(self, place: int) -> None:
        self.forgotten.append(place)

    def sync(self) -> None: ...


class TestThreads:
    """
    Tests for a port that threads read.
    """

    def test_eachHasASocket(self, path: Fixture) -> None:
        path.system.mostSockets = 4
        threads = Threads(3)
        assert path.port.readBy(threads) == path.port.readBy(threads) == 5
        first, _, *others = path.system.sockets
        assert threads.watched == (99, 99, 99)
        for number, one in enumerate((first, *others)):
            assert one.options[bpf.ATTACH_FILTER] == share(number, 3).argument
            assert one.options[33] == gre.BUFFER
        assert path.port.fileno() == threads.ours.fileno()
        path.port.stopListening()
        assert all(one.closed for one in path.system.sockets)
        assert threads.forgotten == [5]
        threads.other.close()

    def test_thereCanBeNoMore(self, path: Fixture) -> None:
        """
        Where not all sockets can be had, one thread reads all packets.
        """
        path.system.mostSockets = 3
        threads = Threads(3)
        path.port.readBy(threads)
        first, _, other = path.system.sockets
        assert threads.watched == (99,) and other.closed and not first.closed
        assert first.options[bpf.ATTACH_FILTER] == OURS.argument
        path.port.stopListening()
        threads.other.close()


class TestReceiving:
    """
    Tests for which call gets a packet.
    """

    def test_frames(self, path: Fixture) -> None:
        path.register()
        path.arrive(
            HEAD + encode(7, b"\xff\x03\xc0\x21abc", 5),
            HEAD + encode(7, b"\x21abc", 6, 9) + b"padding",
        )
        assert path.received == [(5, 0xC021, b"abc"), (6, 0x21, b"abc")]
        assert path.counters.discards == {}

    def test_whatTakesLongComesInTheNextTurn(self, path: Fixture) -> None:
        """
        A call that takes long over its packets, such as one that ends, doesn't hold up the turn of
        the reactor: the rest is read in the next turn.
        """
        path.register()
        # Frames that follow each other with one protocol number would be one run.
        numbers = range(0, 40, 2)
        path.arrive(*(HEAD + encode(7, b"\xff\x03\xc0\x21abc", number) for number in numbers))
        assert 0 < len(path.received) < 10
        path.system.sockets[0].arrived.append(HEAD + encode(7, b"\xff\x03\xc0\x21abc", 41))
        while path.reactor.getDelayedCalls():
            before = len(path.received)
            path.reactor.turn()
            path.port.doRead()
            assert len(path.received) - before < 10
        path.port.doRead()
        assert [number for number, _, _ in path.received] == [*numbers, 41]

    def test_nothingIsLeftOfWhatTookLong(self, path: Fixture) -> None:
        path.register()
        path.arrive(*(HEAD + encode(7, b"\xff\x03\xc0\x21abc", 2 * one) for one in range(20)))
        path.port.stopListening()
        assert not path.reactor.getDelayedCalls()

    def test_acknowledgement(self, path: Fixture) -> None:
        path.register()
        path.arrive(HEAD + encode(7, acknowledgement=4))
        assert path.received == [(-1, 0, b"")]

    def test_noFrameInIt(self, path: Fixture) -> None:
        path.register()
        path.arrive(HEAD + encode(7, b"", 1), HEAD + encode(7, b"\xff\x03\xc0", 2))
        assert path.received == [(1, 0, b""), (2, 0, b"")]

    def test_optionsInTheIPHeader(self, path: Fixture) -> None:
        path.register()
        path.arrive(b"\x46" + HEAD[1:] + bytes(4) + encode(7, b"\x21abc", 5))
        assert path.received == [(5, 0x21, b"abc")]

    def test_strays(self, path: Fixture) -> None:
        path.register()
        path.arrive(
            HEAD + encode(8, b"\x21abc", 5),
            HEAD[:12] + bytes([192, 0, 2, 3]) + HEAD[16:] + encode(7, b"\x21abc", 5),
        )
        path.port.unregister(PEER, 7)
        path.port.unregister(PEER, 7)
        path.arrive(HEAD + encode(7, b"\x21abc", 5))
        assert path.received == []
        assert path.counters.discards == {STRAY: 3}

    def test_malformed(self, path: Fixture) -> None:
        path.register()
        path.arrive(
            b"",
            HEAD,
            HEAD + encode(7, b"\x21abc", 5)[:-1],
            HEAD + b"\x00\x00\x08\x00" + bytes(20),
        )
        path.reactor.finish()
        assert path.counters.discards == {MALFORMED: 4}

    def test_oneCallAPeerAndID(self, path: Fixture) -> None:
        path.register()
        with pytest.raises(ValueError):
            path.register()
        path.port.register("192.0.2.3", 7, lambda *arguments: None)

    def test_errors(self, path: Fixture) -> None:
        path.register()
        path.arrive(OSError(errno.EHOSTUNREACH, "ICMP"))
        path.arrive(HEAD + encode(7, b"\x21abc", 5), OSError(errno.EHOSTUNREACH, "ICMP"))
        assert len(path.received) == 1
        assert path.counters.discards == {"GRE not read: EHOSTUNREACH": 1}
        assert path.reactor.readers == [path.port]

    def test_aCallThatFails(self, path: Fixture, loggedFailures: list[Failure]) -> None:
        def fail(*arguments: object) -> None:
            raise ZeroDivisionError

        path.port.register(PEER, 8, fail)
        path.register()
        path.arrive(HEAD + encode(8, b"\x21abc", 5), HEAD + encode(7, b"\x21abc", 5))
        assert len(path.received) == 1
        assert [failure.type for failure in loggedFailures] == [ZeroDivisionError]
        loggedFailures.clear()

    def test_noMoreThanABatch(self, path: Fixture) -> None:
        path.register()
        path.arrive(*[HEAD + encode(7, b"\x21abc", 5)] * (BATCH + 1))
        assert len(path.received) <= BATCH
        path.reactor.finish()
        assert len(path.received) == BATCH + 1


class TestSending:
    """
    Tests for the source address of a packet.
    """

    @pytest.mark.parametrize("address", ["", "192.0.2.1"])
    def test_fromTheAddressThatWasCalled(self, address: str) -> None:
        path = Fixture(address)
        path.port.startListening()
        path.port.sender("192.0.2.1", PEER)(b"octets")
        information = bytes(4) + bytes([192, 0, 2, 1]) + bytes(4)
        assert path.system.sockets[0].sent == [(b"octets", (PEER, 0), [(0, 8, information)])]

    def test_notOpen(self) -> None:
        with pytest.raises(OSError):
            Fixture().port.sender("192.0.2.1", PEER)

    def test_several(self) -> None:
        """
        Each packet is tried, even if others can't be sent.
        """
        path = Fixture("192.0.2.1")
        path.port.startListening()
        send = path.port.allSender("192.0.2.1", PEER)
        assert send([b"one", b"two"]) == []
        path.system.sockets[0].full = OSError(errno.ENOBUFS, "full")
        ((place, error),) = send((b"three", b"four"))
        assert (place, error.errno) == (0, errno.ENOBUFS)
        assert [octets for octets, *_ in path.system.sockets[0].sent] == [b"one", b"two", b"four"]
        with pytest.raises(OSError):
            Fixture().port.allSender("192.0.2.1", PEER)

    def test_errorsAreCounted(self, path: Fixture) -> None:
        path.port.sendFailed(OSError(errno.ENOBUFS, "full"))
        path.port.sendFailed(OSError("unheard of"))
        assert path.counters.discards == {"GRE not sent: ENOBUFS": 1, "GRE not sent: unknown": 1}


@pytest.mark.skipif(
    compiled is None, reason="the extension isn't built: python setup.py build_ext --inplace"
)
class TestTwins:
    """
    Tests that both ways of receiving give the same, over a pair of datagram sockets.
    """

    def both(self, packets: list[bytes], channels: dict[int, Any]) -> tuple[list[Any], list[Any]]:
        results: list[list[Any]] = []
        for raw in (PythonRaw(), CompiledRaw()):
            near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            with near, far:
                near.setblocking(False)
                for packet in packets:
                    far.send(packet)
                receiver = raw.receiver(near)
                assert receiver.read(channels) == {}
                assert receiver.waiting == len(packets)
                results.append(receiver.take(channels))
                assert receiver.waiting == 0
        return results[0], results[1]

    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(
            st.one_of(
                st.binary(max_size=80),
                st.builds(
                    lambda callID, payload, sequence, acknowledgement, first, cut: (
                        first + HEAD[1:] + encode(callID, payload, sequence, acknowledgement)
                    )[: -cut or None],
                    st.integers(6, 8),
                    st.builds(
                        bytes.__add__,
                        st.sampled_from(
                            [
                                b"",
                                b"\xff\x03",
                                b"\xff\x03\x00\x21",
                                b"\x21",
                                b"\xff",
                                b"\x00\xfd",
                                b"\x80",
                            ]
                        ),
                        st.binary(max_size=9),
                    ),
                    st.integers(0, 0xFFFFFFFF),
                    st.none() | st.integers(0, 0xFFFFFFFF),
                    st.sampled_from([b"\x45", b"\x45", b"\x45", b"\x46"]),
                    st.integers(0, 3),
                ),
            ),
            max_size=8,
        )
    )
    def test_sameArrivals(self, packets: list[bytes]) -> None:
        peer = int.from_bytes(HEAD[12:16], "big") << 16
        one, other = self.both(packets, {peer | 7: len, peer | 8: repr})
        assert one == other
        assert sum(len(frames) for *_, frames in one) == len(packets)

    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(
            st.builds(
                lambda callID, payload, sequence: HEAD + encode(callID, payload, sequence),
                st.sampled_from([7, 7, 7, 8, 9]),
                st.sampled_from([b"\x21a", b"\x21b", b"\xff\x03\x00\x21c", b"\x00\xfdd", b"\x80"]),
                st.sampled_from([0xFFFFFFFF, 0, 1]),
            ),
            max_size=8,
        )
    )
    def test_sameRuns(self, packets: list[bytes]) -> None:
        peer = int.from_bytes(HEAD[12:16], "big") << 16
        one, other = self.both(packets, {peer | 7: len, peer | 8: repr})
        assert one == other
        assert sum(len(frames) for *_, frames in one) == len(packets)

    def test_runs(self) -> None:
        peer = int.from_bytes(HEAD[12:16], "big") << 16
        packets = [
            HEAD + encode(callID, payload, sequence)
            for callID, payload, sequence in [
                (7, b"\x21a", 4),
                (7, b"\xff\x03\x00\x21b", 5),
                (7, b"\xfdc", 6),
                (8, b"\xfdd", 7),
                (8, b"\xfde", 9),
                (8, b"\xfdf", 0xFFFFFFFF),
                (8, b"\xfdg", 0),
                (9, b"\xfdh", 1),
            ]
        ]
        one, other = self.both(packets, {peer | 7: len, peer | 8: repr})
        assert one == other
        assert one == [
            (len, 4, 0x21, [b"a", b"b"]),
            (len, 6, 0xFD, [b"c"]),
            (repr, 7, 0xFD, [b"d"]),
            (repr, 9, 0xFD, [b"e"]),
            (repr, 0xFFFFFFFF, 0xFD, [b"f"]),
            (repr, 0, 0xFD, [b"g"]),
            (None, 0, 0, [packets[-1]]),
        ]

    def test_largest(self) -> None:
        octets = HEAD + encode(7, b"\x21" + bytes(RECEIVE_SIZE), 1)
        one, other = self.both([octets], {int.from_bytes(HEAD[12:16], "big") << 16 | 7: len})
        assert one == other == [(None, 0, 0, [octets[:RECEIVE_SIZE]])]

    def test_errors(self) -> None:
        assert compiled is not None
        receiver = compiled.Receiver(-1)
        with pytest.raises(OSError):
            receiver.read({})
        wrong: list[tuple[Any, ...]] = [(), ([],), ({}, 2)]
        for method, arguments in product((receiver.read, receiver.take), wrong):
            with pytest.raises(TypeError):
                method(*arguments)
        for arguments in ((), ("1",), (1, 2)):
            with pytest.raises(TypeError):
                compiled.Receiver(*arguments)

    def test_senderErrors(self) -> None:
        assert compiled is not None
        with pytest.raises(OSError):
            compiled.sender(-1, bytes(4), bytes(4))(b"octets")
        with pytest.raises(TypeError):
            compiled.sender(-1, bytes(4), bytes(4))("octets")
        for arguments in ((-1, bytes(3), bytes(4)), (-1, bytes(4), bytes(5))):
            with pytest.raises(ValueError):
                compiled.sender(*arguments)
            with pytest.raises(ValueError):
                compiled.allSender(*arguments)

    def test_sendingAll(self) -> None:
        """
        Packets that can't be sent don't keep others from being sent, however many there are.
        """
        assert compiled is not None
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
            sendAll = compiled.allSender(opened.fileno(), LOOPBACK, LOOPBACK)
            # A datagram may have 65,507 octets; the socket's address has no port, which is EINVAL.
            failures = sendAll([b"octets"] * 300)
            assert [place for place, _ in failures] == list(range(300))
            assert {(type(error), error.errno) for _, error in failures} == {
                (OSError, errno.EINVAL)
            }
            assert failures[0][1].strerror == "Invalid argument"
            assert sendAll(()) == []
            for wrong in (None, [None], [b"octets", "octets"]):
                with pytest.raises(TypeError):
                    sendAll(wrong)

    def test_nothingThere(self) -> None:
        assert self.both([], {}) == ([], [])


class TestNamespace:
    """
    Tests with the real kernel.
    """

    @pytest.mark.parametrize("name", ["addresses", "packets", "full"])
    def test_kernel(self, name: str) -> None:
        inNamespace(name)
