"""
Tests for L{pptpgw.tunnels.pptp.native} and the thread: whatever packets come, from either side and
in any order, the native data path does the same as the one in Python.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from zope.interface import implementer

from pptpgw.counting.counters import Counters
from pptpgw.datapath import engine as engineModule
from pptpgw.datapath.engine import Engine
from pptpgw.datapath.interface import SendAll, SendPacket
from pptpgw.datapath.mppe import PythonEncryptor
from pptpgw.datapath.python import PythonDataPath
from pptpgw.datapath.recording import startRecording, stopRecording
from pptpgw.datapath.threaded import NativeDataPath
from pptpgw.interfaces import Attachment, IChannelOwner, MPPEParameters
from pptpgw.networks.wire.checksum import checksum
from pptpgw.ports.devicesystem import CompiledSystem
from pptpgw.ppp.wire.ppp import CCP, IPV4, IPV6, IPX, LCP
from pptpgw.sessions.filter import Filter
from pptpgw.sessions.gate import Gate
from pptpgw.tunnels.pptp.channel import GREChannel
from pptpgw.tunnels.pptp.native import NativeChannel
from pptpgw.tunnels.pptp.owner import Ends
from pptpgw.tunnels.pptp.port.gre import GREPort
from pptpgw.tunnels.pptp.port.raw import CompiledRaw, sendEach
from pptpgw.tunnels.pptp.wire.gre import ACKNOWLEDGEMENT_ONLY, NUMBERS, decode, encode

pytestmark = pytest.mark.skipif(bool(engineModule.lacking()), reason="it isn't compiled")

LOCAL, PEER = "192.0.2.1", "192.0.2.2"
OURS, THEIRS = 7, 9
HOST, BEHIND = IPv4Network("10.77.0.10/32"), IPv4Network("10.88.0.0/24")
PREFIX = IPv6Network("2001:db8:0:7::/64")
KEY = bytes(range(16))
DENIAL = Filter(("deny udp from any to any", "permit ip from any to any"))


class Reactor(Clock):
    """
    A clock with the methods for descriptors, which are read by hand.
    """

    def addReader(self, reader: object) -> None:
        """
        Do nothing.
        """

    def removeReader(self, reader: object) -> None:
        """
        Do nothing.
        """


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


def datagrams() -> tuple[socket.socket, socket.socket]:
    """
    Return two connected sockets that don't block.
    """
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for one in pair:
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    return pair


def isEmpty(one: socket.socket) -> bool:
    """
    Return whether nothing waits to be read.
    """
    try:
        one.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    return False


def drained(one: socket.socket) -> list[bytes]:
    """
    Read all that waits.
    """
    found = []
    while not isEmpty(one):
        found.append(one.recv(1 << 16))
    return found


class TUN:
    """
    The TUN device of a data path, which is one end of a pair. It writes like the real one.
    """

    def __init__(self, offload: bool) -> None:
        self.far, self.near = datagrams()
        system = CompiledSystem()
        self.write = system.writer(self.near.fileno(), offload)
        self.writeAll = system.allWriter(self.near.fileno(), offload)
        self.read = system.reader(self.near.fileno(), offload)
        self._written = system.reader(self.far.fileno(), offload)
        self.offload = offload
        self.batches = 1
        self.receiveAll: Callable[[list[bytes]], object] = list

    def send(self, packet: bytes) -> None:
        """
        Have the kernel send a packet to the device.
        """
        self.far.send(bytes(10 * self.offload) + packet)

    def written(self) -> list[bytes]:
        """
        Return what was written to the device, split as the kernel would.
        """
        packets: list[bytes] = []
        while found := self._written()[0]:
            packets += found
        return packets


@implementer(IChannelOwner)
class Owner:
    """
    The link of a channel, which answers an Echo-Request at once.
    """

    channel: GREChannel

    def __init__(self) -> None:
        self.told: list[object] = []

    def frameReceived(self, protocol: int, information: bytes) -> None:
        self.told.append((protocol, information))
        if protocol == LCP:
            self.channel.sendFrame(LCP, b"answer")
        elif protocol == CCP:
            self.channel.resetSendMPPE()

    def resyncNeeded(self) -> None:
        self.told.append("resync")

    def confirmationNeeded(self) -> None:
        self.told.append("confirm")

    def confirms(self, protocol: int, information: bytes) -> bool:
        return information == b"proof"

    def channelFailed(self, reason: str) -> None:
        self.told.append(reason)


class PythonHost(PythonDataPath):
    """
    A data path in Python on a device.
    """

    def settled(self, tun: TUN) -> None:
        """
        Handle what waits at the device.
        """
        while packets := tun.read()[0]:
            self.packetsReceived(packets)


class NativeHost(NativeDataPath):
    """
    The native data path on a device.
    """

    def __init__(self, clock: Reactor, tun: TUN) -> None:
        self.engine = Engine()
        self._sessions = {}
        PythonDataPath.__init__(self, clock, tun)
        self.engine.open()
        self._setTime()
        self.left = self.engine.tun((tun.near.fileno(),), tun.offload)
        self.engine.start()

    def _setTime(self) -> None:
        """
        Have the thread's time be that of the clock.
        """
        assert self.engine.threads is not None
        self.engine.threads.time(round((1000 + self.clock.seconds()) * 1e9))

    def timePassed(self) -> None:
        """
        Have the thread handle timers that have ended.
        """
        self._setTime()
        # The thread looks at its timers between two commands.
        for _ in range(2):
            self.engine.changeTUN((self.tun.near.fileno(),), self.tun.offload)

    def settled(self, tun: TUN) -> None:
        """
        Wait until the thread has handled what waited at the device, and handle what it left.
        """
        self.wait(tun.near)
        self.packetsReceived(drained(self.left))

    def wait(self, near: socket.socket) -> None:
        """
        Wait until the thread has handled what waited.
        """
        deadline = time.monotonic() + 10
        while not isEmpty(near):
            assert time.monotonic() < deadline
            time.sleep(0.0001)
        # The thread carries commands out between two batches.
        self.engine.changeTUN((self.tun.near.fileno(),), self.tun.offload)

    @property
    def tun(self) -> Any:
        """
        The device.
        """
        return self._tun


class End:
    """
    A gateway's channel with its port and device.

    @ivar sent: the GRE packets that were sent, without acknowledgements.
    @ivar acknowledged: how many packets only acknowledged.
    @ivar written: the packets that were passed to the kernel.
    """

    def __init__(self, native: bool, offload: bool) -> None:
        self.clock = Reactor()
        self.tun = TUN(offload)
        self.host: Any = (NativeHost if native else PythonHost)(self.clock, self.tun)
        self.sockets = Sockets()
        self._near = self.sockets.near
        self.portCounters = Counters()
        self.port = GREPort(self.clock, "", self.portCounters, self.sockets, Raw())
        self.port.startListening()
        self.owner = Owner()
        kind: Any = NativeChannel if native else GREChannel
        self.channel = kind(self.host, self.owner, Ends(LOCAL, PEER, OURS, THEIRS), self.port)
        self.owner.channel = self.channel
        self.native = native
        self.sent: list[object] = []
        self.acknowledged = 0
        self.written: list[bytes] = []
        self.carried = 0

    def advance(self, seconds: float) -> None:
        """
        Have time pass.
        """
        self.clock.advance(seconds)
        if self.native:
            self.host.timePassed()
        self.settle()

    def settle(self) -> None:
        """
        Have everything that waits handled.
        """
        if self.native:
            self.host.wait(self._near)
            while not isEmpty(self.port._left or self._near):
                self.port.doRead()
                self.clock.advance(0)
            self.carried += self.channel._given
        else:
            while not isEmpty(self._near):
                self.port.doRead()
                self.clock.advance(0)
        self.host.settled(self.tun)
        self.written += self.tun.written()
        for octets in drained(self.sockets.far):
            if int.from_bytes(octets[:2], "big") == ACKNOWLEDGEMENT_ONLY:
                self.acknowledged += 1
                continue
            callID, payload, sequence, _ = decode(octets)
            self.sent.append((callID, sequence, payload))

    def figures(self) -> dict[str, object]:
        """
        Return all figures, without those of acknowledgements.
        """
        if self.native:
            self.host.engine.count(self.host.counters)
        figures: dict[str, Any] = self.channel.counters.asDict()
        figures["framesSent"] -= self.acknowledged
        return {
            "session": figures,
            "path": self.host.counters.discards,
            "port": self.portCounters.discards,
        }

    def close(self) -> None:
        """
        Close everything.
        """
        self.channel.close()
        self.port.stopListening()
        if self.native:
            self.host.engine.forgetTUN()
            self.host.engine.close()
            self.host.left.close()
        for one in (self.tun.far, self.tun.near, self.sockets.far, self.sockets.near):
            one.close()


def ipv4(source: str, payload: bytes = b"", protocol: int = 17, flags: int = 0) -> bytes:
    """
    Return an IPv4 packet from C{source}, or to it if the other address is the source.
    """
    addresses = IPv4Network(source).network_address.packed + b"\x0a\x01\x01\x01"
    return _sealed(20 + len(payload), protocol, flags, addresses) + payload


def ipv4To(destination: str, payload: bytes = b"", protocol: int = 17, flags: int = 0) -> bytes:
    """
    Return an IPv4 packet to C{destination}.
    """
    addresses = b"\x0a\x01\x01\x01" + IPv4Network(destination).network_address.packed
    return _sealed(20 + len(payload), protocol, flags, addresses) + payload


def _sealed(length: int, protocol: int, flags: int, addresses: bytes) -> bytes:
    head = b"\x45\0%b\0\1%b\x40%c\0\0" % (
        length.to_bytes(2, "big"),
        flags.to_bytes(2, "big"),
        protocol,
    )
    sum_ = checksum(head + addresses).to_bytes(2, "big")
    return head[:10] + sum_ + addresses


def ipv6(source: str, destination: str, payload: bytes = b"", following: int = 17) -> bytes:
    """
    Return an IPv6 packet.
    """
    addresses = [IPv6Network(one).network_address.packed for one in (source, destination)]
    return (
        b"\x60\0\0\0%b%c\x40" % (len(payload).to_bytes(2, "big"), following)
        + b"".join(addresses)
        + payload
    )


SYN = bytes.fromhex("04d2 0050 00000001 00000000 6002 ffff 1234 0000 0204 05b4")
ODD = bytes.fromhex("04d2 0050 00000001 00000000 7002 ffff 1234 0000 01 0204 05b4 010101")
EXTENSION = b"\x06\0" + bytes(6)

# Packets from the peer: protocol number and packet.
INNER = st.one_of(
    *[st.binary(max_size=40).map(lambda octets: (b"\0\x21", ipv4("10.77.0.10", octets)))] * 6,
    st.sampled_from(
        [
            (b"\x21", ipv4("10.77.0.10", b"short protocol field")),
            (b"\0\x21", ipv4("10.77.0.11", b"spoofed")),
            (b"\0\x21", ipv4("10.88.0.3", b"from behind")),
            (b"\0\x21", ipv4("10.77.0.10", SYN, 6)),
            (b"\0\x21", ipv4("10.77.0.10", ODD, 6)),
            (b"\0\x21", b"\x46" + ipv4("10.77.0.10", b"options?")[1:]),
            (b"\0\x21", b"\x45 too short"),
            (b"\0\x21", b"\x65" + ipv4("10.77.0.10")[1:]),
            (b"\0\x57", ipv6("2001:db8:0:7::1", "2001:db8::1", b"IPv6")),
            (b"\0\x57", ipv6("2001:db8:0:7::1", "2001:db8::1", SYN, 6)),
            (b"\0\x57", ipv6("2001:db8:0:7::1", "2001:db8::1", EXTENSION + SYN, 0)),
            (b"\0\x57", ipv6("2001:db8:0:8::1", "2001:db8::1", b"spoofed")),
            (b"\0\x57", ipv6("::", "2001:db8::1", b"unspecified")),
            (b"\0\x57", ipv6("fe80::1", "ff02::2", b"local")),
            (b"\0\x57", b"\x60 too short"),
            (b"\0\x2b", b"IPX"),
            (b"\0\x77", b"noise"),
            (b"\0", b""),
        ]
    ),
)
DISORDER = ("twice", "lost", "late", "later", "uncounted")
FATES = st.sampled_from([*["arrives"] * 14, *DISORDER, "altered", "clear", "unsent"])
FROM_PEER = st.lists(st.tuples(INNER, FATES), min_size=1, max_size=24)
# Packets that the threads can carry, and what they do about their order.
ORDINARY = st.binary(max_size=40).map(lambda octets: (b"\0\x21", ipv4("10.77.0.10", octets)))
DISORDERED = st.lists(
    st.tuples(ORDINARY, st.sampled_from([*["arrives"] * 9, *DISORDER])), min_size=1, max_size=24
)
# Many packets: how many, and after which of them one is lost, or comes late or twice.
MANY = st.tuples(
    st.integers(60, 150),
    st.dictionaries(
        st.integers(0, 150),
        st.sampled_from(["lost", "lost", "late", "later", "twice", "uncounted"]),
        max_size=6,
    ),
)
CONTROL = st.sampled_from([(LCP, b"echo"), (CCP, b"reset"), (LCP, b"proof"), (IPX, b"stranger")])
# Packets that were sent before, lost or not: how long ago, and how many of them come.
AGAIN = st.tuples(st.integers(1, 120), st.integers(1, 4))
OCTETS = st.one_of(
    st.binary(max_size=60),
    st.binary(max_size=12).map(lambda octets: b"\x30\x01\x88\x0b" + octets),
    st.just(encode(OURS, acknowledgement=3)),
    st.just(encode(OURS + 1, b"\xff\x03\0\x21no call", 5)),
)
TO_PEER = st.lists(
    st.one_of(
        *[st.binary(max_size=40).map(lambda octets: ipv4To("10.77.0.10", octets))] * 4,
        st.sampled_from(
            [
                ipv4To("10.77.0.10", SYN, 6),
                ipv4To("10.77.0.10", bytes(1390)),
                ipv4To("10.77.0.10", bytes(1390), 17, 0x4000),
                ipv4To("10.77.0.11", b"nobody's"),
                ipv4To("10.88.0.200", b"behind"),
                ipv6("2001:db8::1", "2001:db8:0:7::9", SYN, 6),
                ipv6("2001:db8::1", "2001:db8:0:7::9", bytes(1400)),
                ipv6("2001:db8::1", "2001:db8:0:8::9", b"nobody's"),
                b"no IP",
            ]
        ),
    ),
    min_size=1,
    max_size=20,
)
LINK = st.sampled_from(
    [
        "frame",
        "framing",
        "key",
        "reset",
        "close",
        "open",
        "reopen",
        "wait",
        "pause",
        "filter",
        "record",
    ]
)
STEPS = st.lists(
    st.one_of(
        FROM_PEER.map(lambda step: ("peer", step)),
        DISORDERED.map(lambda step: ("peer", step)),
        DISORDERED.map(lambda step: ("peer", step)),
        MANY.map(lambda step: ("many", step)),
        AGAIN.map(lambda step: ("again", step)),
        TO_PEER.map(lambda step: ("device", step)),
        CONTROL.map(lambda step: ("control", step)),
        OCTETS.map(lambda step: ("octets", step)),
        LINK.map(lambda step: ("link", step)),
        st.sampled_from([("link", "wait"), ("link", "pause")]),
    ),
    max_size=14,
)


class Recorder:
    """
    A recorder of frames.
    """

    def __init__(self) -> None:
        self.frames: list[tuple[int, bytes]] = []

    def record(self, direction: int, frame: bytes) -> None:
        self.frames.append((direction, frame))

    def closed(self) -> None:
        pass


class Both:
    """
    A caller, and the two ends to which all that it sends goes.
    """

    def __init__(self, offload: bool, mode: str, first: int) -> None:
        self.ends = End(True, offload), End(False, offload)
        self._mode = mode
        self._sequence = first
        self._keys = 0
        self._late: list[tuple[bytes, int]] = []
        self._sent: list[bytes] = []
        self._recorders = [Recorder(), Recorder()]
        self.isOpen = False
        self.encryptor: PythonEncryptor | None = None
        for end in self.ends:
            if mode == "clear":
                continue
            end.channel.requireMPPE()
        self.changeKey()
        self.open()

    def changeKey(self) -> None:
        if self._mode == "clear":
            return
        self._keys += 1
        parameters = MPPEParameters(KEY[:15] + bytes([self._keys]), 128, self._mode == "stateful")
        self.encryptor = PythonEncryptor(parameters.startKey, 128, parameters.stateful)
        for end in self.ends:
            end.channel.setReceiveMPPE(parameters)
            end.channel.setSendMPPE(parameters)

    def open(self) -> None:
        """
        Open both networks.
        """
        self.isOpen = True
        self.gates = [Gate(None), Gate(None)]
        for end, gate in zip(self.ends, self.gates, strict=True):
            local = end.owner.told.append
            attachments = gate.before(
                {
                    IPV4: Attachment((HOST, BEHIND), 1400),
                    IPV6: Attachment((PREFIX,), 1400, local=local),
                }
            )
            for protocol, attachment in attachments.items():
                end.channel.openNetwork(protocol, attachment)

    def arrive(self, octets: bytes) -> None:
        """
        Have octets arrive behind an IP header.
        """
        packet = b"\x45" + bytes(11) + socket.inet_aton(PEER) + bytes(4) + octets
        for end in self.ends:
            end.sockets.far.send(packet)

    def frame(self, payload: bytes) -> bytes:
        """
        Return a GRE packet with the next number.
        """
        octets = encode(OURS, payload, self._sequence)
        self._sequence = (self._sequence + 1) % NUMBERS
        return octets

    def peer(self, step: list[tuple[tuple[bytes, bytes], str]]) -> None:
        """
        Have packets of the caller arrive, in one batch.
        """
        for (field, packet), fate in step:
            if fate == "uncounted":
                # A control frame that is lost.
                self.frame(b"")
                continue
            if self.encryptor is not None and fate != "clear":
                payload = self.encryptor.encrypt(b"\0\xfd", field, packet)
            else:
                payload = b"\xff\x03" + field + packet
            if fate == "unsent":
                # Linux drops packets after they are encrypted.
                continue
            octets = self.frame(payload)
            self._sent.append(octets)
            if fate in ("late", "later"):
                self._late.append((octets, 1 if fate == "late" else 30))
                continue
            if fate == "altered":
                octets = octets[:14] + bytes([octets[14] ^ 0x05]) + octets[15:]
            for _ in range({"twice": 2, "lost": 0}.get(fate, 1)):
                self.arrive(octets)
            if fate == "arrives":
                self._late = [(octets, left - 1) for octets, left in self._late]
            while self._late and self._late[0][1] <= 0:
                self.arrive(self._late.pop(0)[0])

    def many(self, step: tuple[int, dict[int, str]]) -> None:
        """
        Have many packets of the caller arrive.
        """
        count, fates = step
        self.peer([(GOOD[0], fates.get(number, "arrives")) for number in range(count)])

    def again(self, step: tuple[int, int]) -> None:
        """
        Have packets arrive that were sent before, lost or not.
        """
        ago, count = step
        begin = max(len(self._sent) - ago, 0)
        for octets in self._sent[begin : begin + count]:
            self.arrive(octets)

    def device(self, step: list[bytes]) -> None:
        """
        Have the kernel send packets, which the data path in Python would group by destination.
        """
        for packet in sorted(step, key=lambda one: one[16:20] if one[:1] == b"E" else one[24:40]):
            for end in self.ends:
                end.tun.send(packet)

    def control(self, step: tuple[int, bytes]) -> None:
        """
        Have the caller send a control frame.
        """
        protocol, information = step
        self.arrive(self.frame(b"\xff\x03" + protocol.to_bytes(2, "big") + information))

    def octets(self, step: bytes) -> None:
        """
        Have any octets arrive.
        """
        self.arrive(step)

    def link(self, step: str) -> None:
        """
        Have the link do something.
        """
        if step == "key":
            self.changeKey()
        elif step in ("open", "reopen"):
            self.open()
        elif step == "close":
            self.isOpen = False
        for end, gate, recorder in zip(self.ends, self.gates, self._recorders, strict=True):
            channel = end.channel
            if step == "frame":
                channel.sendFrame(LCP, b"request")
            elif step == "framing":
                channel.setFraming(True, True)
            elif step == "reset":
                channel.resetSendMPPE()
            elif step == "close":
                channel.closeNetwork(IPV6)
            elif step == "pause":
                end.advance(0.05)
            elif step == "wait":
                for _ in range(7):
                    end.advance(0.1)
            elif step == "filter":
                gate.filter = None if gate.filter else DENIAL
            elif step == "record" and not channel.recorders:
                startRecording(channel, recorder)
            elif step == "record":
                stopRecording(channel, recorder)

    def settle(self) -> None:
        """
        Have everything handled. All that can be seen must be the same at both ends.
        """
        native, python = self.ends
        native.settle()
        python.settle()
        assert native.written == python.written
        assert native.sent == python.sent
        assert native.owner.told == python.owner.told
        assert native.figures() == python.figures()
        assert self._recorders[0].frames == self._recorders[1].frames

    def close(self) -> None:
        for end in self.ends:
            end.close()


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
    STEPS,
)
def test_sameAsPython(offload: bool, mode: str, first: int, steps: list[tuple[str, Any]]) -> None:
    with both(offload, mode, first) as made:
        made.control((LCP, b"echo"))
        made.settle()
        for name, step in steps:
            getattr(made, name)(step)
            made.settle()


GOOD = ((b"\0\x21", ipv4("10.77.0.10", b"good")), "arrives")
LOST = (GOOD[0], "lost")


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
                end.other = other  # type: ignore[attr-defined]
            made.peer([((b"\0\x21", ipv4("10.88.0.3", b"another's")), "arrives"), GOOD])
            made.device([ipv4To("10.88.0.3", b"for the other"), ipv4To("10.88.0.4", b"for this")])
            made.settle()
            assert made.ends[0].channel.counters.discards == {"source address not the peer's": 1}
            for end in made.ends:
                end.other.close()  # type: ignore[attr-defined]
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
            native.sockets.far.close()
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
            os.dup2(native.sockets.near.fileno(), descriptor)
            native._near = socket.socket(fileno=descriptor)
