"""
Tests for L{pptpgw.tunnels.pptp.native} and the thread: whatever packets come, from either side and
in any order, the native data path does the same as the one in Python.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pptpgw.datapath import engine as engineModule
from pptpgw.datapath.interface import SendAll, SendPacket
from pptpgw.datapath.mppe import PythonEncryptor
from pptpgw.interfaces import Attachment
from pptpgw.ppp.wire.ppp import IPV4, IPX, LCP
from pptpgw.tunnels.pptp.channel import GREChannel
from pptpgw.tunnels.pptp.native import NativeChannel
from pptpgw.tunnels.pptp.owner import Ends
from pptpgw.tunnels.pptp.port.gre import GREPort
from pptpgw.tunnels.pptp.port.raw import CompiledRaw, sendEach
from pptpgw.tunnels.pptp.wire.gre import ACKNOWLEDGEMENT_ONLY, NUMBERS, decode, encode
from tests.datapath.twinend import Owner, TwinEnd, datagrams, drained
from tests.datapath.twins import GOOD, KEY, LOST, Twins, ipv4, ipv4To, stepsWith

pytestmark = pytest.mark.skipif(bool(engineModule.lacking()), reason="it isn't compiled")

LOCAL, PEER = "192.0.2.1", "192.0.2.2"
OURS, THEIRS = 7, 9


class Sockets:
    """
    The system of a port, whose raw socket is one end of a pair.
    """

    def __init__(self) -> None:
        self.far, self.near = datagrams()

    def socket(self, *arguments: int) -> socket.socket:
        """
        Return the pair's end at first, and then a socket that gets nothing.
        """
        near, self.near = self.near, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        return near


class Raw(CompiledRaw):
    """
    Sending without addresses.
    """

    def sender(self, opened: socket.socket, source: bytes, destination: bytes) -> SendPacket:
        """
        See L{CompiledRaw.sender}.
        """
        return opened.send

    def allSender(self, opened: socket.socket, source: bytes, destination: bytes) -> SendAll:
        """
        See L{CompiledRaw.allSender}.
        """

        def sendAll(packets: Sequence[bytes]) -> list[tuple[int, OSError]]:
            return sendEach(opened.send, packets)

        return sendAll


class End(TwinEnd):
    """
    See L{TwinEnd}.

    @ivar sent: the GRE packets that were sent, without acknowledgements, by their call ids: one
        call's may overtake another's, if the thread has one and Python the other.
    @ivar acknowledged: how many packets only acknowledged.
    """

    def __init__(self, native: bool, offload: bool) -> None:
        super().__init__(native, offload)
        self.system = Sockets()
        self._near = self.system.near
        self.far = self.system.far
        self.port = GREPort(self.clock, "", self.portCounters, self.system, Raw())
        self.port.startListening()
        kind: Any = NativeChannel if native else GREChannel
        self.join(kind(self.host, self.owner, Ends(LOCAL, PEER, OURS, THEIRS), self.port))
        self.sent: dict[int, list[object]] = {}
        self.acknowledged = 0

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """
        See L{TwinEnd.sockets}.
        """
        return (self._near,)

    def settle(self) -> None:
        """
        See L{TwinEnd.settle}.
        """
        super().settle()
        for octets in drained(self.far):
            if int.from_bytes(octets[:2], "big") == ACKNOWLEDGEMENT_ONLY:
                self.acknowledged += 1
                continue
            callID, payload, sequence, _ = decode(octets)
            self.sent.setdefault(callID, []).append((sequence, payload))

    def close(self) -> None:
        """
        See L{TwinEnd.close}.
        """
        super().close()
        for one in (self.far, self.system.near):
            one.close()


OCTETS = st.one_of(
    st.binary(max_size=60),
    st.binary(max_size=12).map(lambda octets: b"\x30\x01\x88\x0b" + octets),
    st.just(encode(OURS, acknowledgement=3)),
    st.just(encode(OURS + 1, b"\xff\x03\0\x21no call", 5)),
)


class Both(Twins):
    """
    A caller of PPTP.
    """

    changed = 14

    def __init__(self, offload: bool, mode: str, first: int) -> None:
        self._sequence = first
        super().__init__((End(True, offload), End(False, offload)), mode)

    def arrive(self, octets: bytes) -> None:
        """
        Have octets arrive behind an IP header.
        """
        packet = b"\x45" + bytes(11) + socket.inet_aton(PEER) + bytes(4) + octets
        for end in self.ends:
            end.far.send(packet)

    def frame(self, payload: bytes) -> bytes:
        """
        Return a GRE packet with the next number.
        """
        octets = encode(OURS, payload, self._sequence)
        self._sequence = (self._sequence + 1) % NUMBERS
        return octets


@contextmanager
def both(offload: bool = False, mode: str = "stateless", first: int = 0) -> Iterator[Both]:
    """
    Make a caller and two ends, and close everything.
    """
    made = Both(offload, mode, first)
    try:
        yield made
    finally:
        made.close()


@settings(max_examples=300, deadline=None)
@given(
    st.booleans(),
    st.sampled_from(["clear", "stateless", "stateful"]),
    st.sampled_from([0, 1, NUMBERS - 30]),
    stepsWith(OCTETS),
)
def test_sameAsPython(offload: bool, mode: str, first: int, steps: list[tuple[str, Any]]) -> None:
    with both(offload, mode, first) as made:
        made.control((LCP, b"echo"))
        made.settle()
        for name, step in steps:
            getattr(made, name)(step)
            made.settle()


class TestOwnership:
    """
    Tests of who handles packets.
    """

    def taken(self, monkeypatch: pytest.MonkeyPatch) -> list[NativeChannel]:
        """
        Return a list to which channels are added when they take their sessions.
        """
        taken: list[NativeChannel] = []
        take = NativeChannel.take

        def noted(channel: NativeChannel) -> None:
            taken.append(channel)
            take(channel)

        monkeypatch.setattr(NativeChannel, "take", noted)
        return taken

    @pytest.mark.parametrize("mode", ["clear", "stateless", "stateful"])
    @pytest.mark.parametrize("offload", [False, True])
    def test_theThreadCarriesWhatIsOrdinary(
        self, offload: bool, mode: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        After the first frame, packets in both directions don't reach the interpreter.
        """
        with both(offload, mode) as made:
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
    @pytest.mark.parametrize("offload", [False, True])
    def test_theThreadOrders(
        self, offload: bool, mode: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        The thread waits for packets that are late, and passes gaps after a tenth of a second, or
        with more than 64 packets after them.
        """
        with both(offload, mode) as made:
            made.peer([GOOD])
            made.settle()
            native = made.ends[0]
            taken = self.taken(monkeypatch)
            made.peer([GOOD, (GOOD[0], "later"), *[GOOD] * 40])
            made.settle()
            assert native.channel.counters.packetsReceived == 43
            made.peer([GOOD, LOST, GOOD])
            made.settle()
            assert native.channel.counters.packetsReceived == 44
            made.link("pause")
            made.settle()
            assert native.channel.counters.packetsReceived == 44
            made.link("pause")
            made.settle()
            assert native.channel.counters.discards == {"lost before it reached us": 1}
            made.peer([LOST, *[GOOD] * 10, LOST, LOST, *[GOOD] * 54])
            made.settle()
            assert native.channel.counters.packetsReceived == 45
            made.peer([GOOD] * 2)
            made.settle()
            assert native.channel.counters.packetsReceived == 55
            assert native.channel.counters.discards == {"lost before it reached us": 2}
            made.link("wait")
            made.peer([GOOD, (GOOD[0], "twice"), (GOOD[0], "uncounted"), (GOOD[0], "twice")])
            made.settle()
            made.link("wait")
            made.peer([(GOOD[0], "late"), *[GOOD] * 2])
            made.settle()
            assert not taken and native.channel._given
            assert native.channel.counters.discards == {
                "lost before it reached us": 5,
                "duplicate": 2,
            }

    def test_aLongGap(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The thread passes a gap of as many packets as Python would with one frame, and counts those
        that come after it without a doubt.
        """
        with both(mode="stateless") as made:
            made.peer([GOOD])
            made.settle()
            native = made.ends[0]
            taken = self.taken(monkeypatch)
            made.peer([LOST] * 4000)
            made.peer([GOOD] * 65)
            made.settle()
            assert native.channel.counters.packetsReceived == 66
            made.again((70, 5))
            made.settle()
            assert not taken and native.channel._given and not native.owner.told
            assert native.channel.counters.discards == {
                "lost before it reached us": 4000,
                "late: its gap was given up": 5,
            }

    def test_repetitions(self) -> None:
        """
        The thread counts packets with old numbers, and leaves the third one in a row to Python,
        which doubts then that the peer's packets are heard.
        """
        with both() as made:
            made.peer([GOOD] * 3)
            made.settle()
            native = made.ends[0]
            for _ in range(3):
                made.again((2, 2))
                made.peer([GOOD])
                made.settle()
                assert native.channel._given and not native.owner.told
            made.again((2, 2))
            made.settle()
            assert native.channel._given and not native.owner.told
            made.again((1, 1))
            made.settle()
            assert not native.channel._given and native.owner.told == ["confirm"]
            assert native.channel.counters.discards == {"duplicate": 9}

    @pytest.mark.parametrize("comes", [False, True])
    def test_doubt(self, comes: bool) -> None:
        """
        After packets that weren't believed, and that the peer was asked about in vain, no packet
        waits for its turn, until one comes in order.
        """
        with both() as made:
            made.peer([GOOD])
            made.settle()
            made.peer([LOST, (GOOD[0], "altered")])
            for _ in range(4):
                made.link("wait")
                made.settle()
            made.link("frame")
            made.settle()
            channel = made.ends[0].channel
            assert channel._given and made.ends[0].owner.told == ["confirm"] * 4
            if comes:
                made.again((2, 1))
            made.peer([LOST, GOOD])
            made.settle()
            assert channel._given and channel.counters.packetsReceived == 2
            made.link("wait")
            made.settle()
            assert channel.counters.packetsReceived == 2 + comes

    def test_implausible(self) -> None:
        """
        A packet after a gap isn't passed on if its plaintext makes no sense.
        """
        packet = ipv4("10.77.0.10", b"good")
        broken = packet[:10] + bytes(2) + packet[12:]
        with both() as made:
            made.peer([GOOD])
            made.settle()
            made.peer([LOST, ((b"\0\x21", broken), "arrives")])
            made.settle()
            assert made.ends[0].channel._given
            made.link("wait")
            made.settle()
            assert made.ends[0].channel.counters.packetsReceived == 1

    def test_noiseThatMadeSense(self) -> None:
        """
        If the packet after a gap wasn't the peer's, the state before the gap is found again, though
        the thread went past it.
        """
        with both() as made:
            made.peer([GOOD])
            made.settle()
            other = PythonEncryptor(KEY[:15] + bytes([made._keys]), 128, False)
            for _ in range(9):
                other.encrypt(b"", b"\0\x21", GOOD[0][1])
            made.frame(b"")
            made.arrive(made.frame(other.encrypt(b"\0\xfd", *GOOD[0])))
            made.settle()
            made.link("wait")
            made.settle()
            channel = made.ends[0].channel
            assert channel._given and channel.counters.packetsReceived == 2
            made.peer([GOOD, GOOD])
            made.settle()
            assert channel.counters.packetsReceived == 4

    def test_aGap(self) -> None:
        """
        In stateful mode Python handles a gap once it is given up, and gives the session back when
        nothing waits any more.
        """
        with both(mode="stateful") as made:
            made.peer([GOOD])
            made.settle()
            channel = made.ends[0].channel
            made.peer([GOOD, LOST, GOOD])
            made.settle()
            assert channel._given and not channel._window.held
            made.ends[1].advance(0.1)
            made.ends[0].advance(0.1)
            made.settle()
            assert not channel._given and made.ends[0].owner.told == ["resync", "confirm"]
            assert made.encryptor is not None
            made.encryptor.reset()
            made.peer([GOOD, GOOD])
            made.link("wait")
            made.settle()
            made.peer([GOOD])
            made.settle()
            assert channel._given and channel.counters.packetsReceived == 5

    @pytest.mark.parametrize(
        "change, why",
        [
            ("filter", "it has a filter"),
            ("record", "its frames are recorded"),
            ("ipx", "it carries protocol 0x002b"),
        ],
    )
    def test_whatTheThreadCannot(self, change: str, why: str) -> None:
        """
        A session with something that the thread can't carry goes on in Python, and returns to the
        thread afterwards.
        """
        with both() as made:
            made.peer([GOOD])
            made.settle()
            channel = made.ends[0].channel

            def toggle(isOn: bool) -> None:
                if change != "ipx":
                    made.link(change)
                    return
                for end in made.ends:
                    if isOn:
                        receive = end.written.append
                        end.channel.openNetwork(IPX, Attachment((), 1400, receive=receive))
                    else:
                        end.channel.closeNetwork(IPX)

            toggle(True)
            assert channel.path == f"python: {why}" and not channel._given
            made.peer([GOOD] * 3)
            made.device([ipv4To("10.77.0.10", b"answer")])
            made.settle()
            toggle(False)
            made.peer([GOOD] * 3)
            made.settle()
            assert channel.path == "native" and channel._given
            channel.carriedHere("no module pptp")
            assert channel.path == "native: no module pptp"
            toggle(True)
            assert channel.path == f"python: no module pptp; {why}"

    def test_givenUpWhileHolding(self) -> None:
        """
        Python learns of the packets that a session holds, though what the thread leaves to it is a
        packet of the device that only gets an answer by ICMP.
        """
        with both(mode="clear") as made:
            made.peer([GOOD])
            made.settle()
            made.peer([LOST, GOOD])
            made.settle()
            made.device([ipv4To("10.77.0.10", bytes(1390), flags=0x4000)])
            made.settle()
            made.link("wait")
            made.settle()
            assert made.ends[0].written[-1] == GOOD[0][1]

    def test_acknowledgements(self) -> None:
        """
        Half a window of packets is acknowledged once the thread has handled the batch that
        completes it, and the rest when the time has come.
        """
        with both() as made:
            made.peer([GOOD])
            made.settle()
            native = made.ends[0]
            before = native.acknowledged
            made.peer([GOOD] * 100)
            native.settle()
            assert before + 1 <= native.acknowledged <= before + 3
            for _ in range(2):
                # The timer runs for half a second from the first packet.
                native.advance(0.6)
                now = native.acknowledged
                made.peer([GOOD] * 5)
                native.settle()
                assert native.acknowledged == now
            native.advance(0.6)
            assert native.acknowledged == now + 1

    def test_close(self) -> None:
        """
        A closed channel keeps its figures. Packets that come later belong to no call.
        """
        with both() as made:
            made.peer([GOOD] * 5)
            made.settle()
            channel = made.ends[0].channel
            for end in made.ends:
                end.channel.close()
            assert channel.session is None and channel.counters.packetsReceived == 5
            channel.sendFrame(LCP, b"late")
            channel.close()
            made.peer([GOOD])
            made.device([ipv4To("10.77.0.10", b"late")])
            made.settle()
            assert made.ends[0].portCounters.discards == {"GRE of no call": 1}
            assert made.ends[0].host.counters.discards == {"no session has the destination": 1}

    def test_aTakenCallID(self) -> None:
        """
        A call id that is in use with the peer is refused, and nothing is left of the second
        session.
        """
        with both() as made:
            end = made.ends[0]
            with pytest.raises(ValueError, match="in use"):
                NativeChannel(end.host, Owner(), Ends(LOCAL, PEER, OURS, 10), end.port)
            made.peer([GOOD] * 2)
            made.settle()

    def test_twoSessions(self) -> None:
        """
        A narrower network of another peer isn't spoofed by the peer that has the wider one.
        """
        with both() as made:
            made.peer([GOOD])
            made.settle()
            narrow = IPv4Network("10.88.0.3/32")
            for end in made.ends:
                kind = NativeChannel if end.native else GREChannel
                other = kind(end.host, end.owner, Ends(LOCAL, "192.0.2.3", 8, 10), end.port)
                other.openNetwork(IPV4, Attachment((narrow,), 1400))
                end.other = other
            made.peer([((b"\0\x21", ipv4("10.88.0.3", b"another's")), "arrives"), GOOD])
            made.device([ipv4To("10.88.0.3", b"for the other"), ipv4To("10.88.0.4", b"for this")])
            made.settle()
            assert made.ends[0].channel.counters.discards == {"source address not the peer's": 1}
            for end in made.ends:
                end.other.close()
            made.peer([((b"\0\x21", ipv4("10.88.0.3", b"free again")), "arrives"), GOOD])
            made.settle()


class TestFailures:
    """
    Tests of errors of the thread's descriptors, which it counts.
    """

    def test_sending(self) -> None:
        with both() as made:
            made.peer([GOOD])
            made.settle()
            native = made.ends[0]
            native.far.close()
            made.device([ipv4To("10.77.0.10", b"answer")])
            native.host.wait(native.tun.near)
            assert native.channel.counters.discards == {"not sent by the system": 1}
            native.host.engine.count(native.host.counters)
            assert native.host.counters.discards["GRE not sent: ECONNREFUSED"] == 1

    def test_writing(self) -> None:
        with both() as made:
            made.peer([GOOD])
            made.settle()
            native = made.ends[0]
            native.tun.far.close()
            made.peer([GOOD] * 3)
            native.host.wait(native._near)
            assert native.channel.counters.discards == {"not taken by the network": 3}

    def test_reading(self) -> None:
        """
        A socket that can't be read is counted, not read for a while, and made again by its port.
        """
        with both() as made:
            made.peer([GOOD])
            made.settle()
            native = made.ends[0]
            descriptor = native._near.detach()
            os.close(descriptor)
            # A wait for the descriptor has begun already, and ends with this.
            made.device([ipv4To("10.77.0.11", b"nobody's")])
            deadline = time.monotonic() + 5
            reasons = native.host.counters.discards
            while "GRE not read: EBADF" not in reasons and time.monotonic() < deadline:
                native.host.engine.count(native.host.counters)
                time.sleep(0.02)
            assert 1 <= reasons["GRE not read: EBADF"] < 60
            os.dup2(native.system.near.fileno(), descriptor)
            native._near = socket.socket(fileno=descriptor)
