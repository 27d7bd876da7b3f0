"""
Tests for L{pptpgw.datapath.python} and L{pptpgw.datapath.channel}, over GRE and TUN in memory.
"""

from __future__ import annotations

import errno
from ipaddress import IPv4Network, IPv6Network

import pytest
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pptpgw.counting.counters import DUPLICATE
from pptpgw.datapath import channel as channelModule
from pptpgw.datapath import recovery, resync
from pptpgw.datapath.checks import NOT_DELIVERED, SPOOFED, TOO_BIG
from pptpgw.datapath.mppe import PythonDecryptor, PythonEncryptor
from pptpgw.datapath.python import NO_ROUTE, PythonDataPath
from pptpgw.interfaces import (
    Attachment,
    IChannel,
    IChannelOwner,
    IDataPath,
    MPPEParameters,
)
from pptpgw.networks.wire.checksum import checksum
from pptpgw.ppp.wire.ppp import decodeFrame
from pptpgw.testing import MemoryGRE, MemoryTUN, MemoryWire
from pptpgw.tunnels.pptp.channel import GREChannel
from pptpgw.tunnels.pptp.owner import Ends
from pptpgw.tunnels.pptp.wire.gre import decode

LOCAL = "192.0.2.1"
PEER = "192.0.2.2"
ENDS = Ends(LOCAL, PEER, 7, 9)
SUBSCRIBER = IPv4Network("10.77.0.10/32")
KEY = bytes(range(16))
ANOTHER = bytes(range(16, 32))
CONFIRMING = (0xC021, b"the peer alone says so")


class KeepingWire(MemoryWire):
    """
    A wire that keeps what is sent.

    @ivar sent: the packets, with their destinations.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.sent: list[tuple[bytes, str]] = []

    def send(self, source: str, destination: str, octets: bytes) -> None:
        self.sent.append((octets, destination))


@implementer(IChannelOwner)
class Owner:
    """
    The owner of a channel. It records what it is told.
    """

    def __init__(self) -> None:
        self.frames: list[tuple[int, bytes]] = []
        self.resyncs = self.asked = 0
        self.failures: list[str] = []

    def frameReceived(self, protocol: int, information: bytes) -> None:
        self.frames.append((protocol, information))

    def resyncNeeded(self) -> None:
        self.resyncs += 1

    def confirmationNeeded(self) -> None:
        self.asked += 1

    def confirms(self, protocol: int, information: bytes) -> bool:
        return (protocol, information) == CONFIRMING

    def channelFailed(self, reason: str) -> None:
        self.failures.append(reason)


class Fixture:
    """
    A data path with one channel.
    """

    def __init__(self, mssClamp: bool = True) -> None:
        self.clock = Clock()
        self.wire = KeepingWire(self.clock)
        self.gre = MemoryGRE(self.wire, LOCAL)
        self.tun = MemoryTUN()
        self.owner = Owner()
        self.dataPath = PythonDataPath(self.clock, self.tun, mssClamp)
        self.channel = self.opened(ENDS, self.owner)
        self.sequence = 0

    def opened(self, ends: Ends, owner: Owner) -> GREChannel:
        """
        Open the channel of a call between C{ends}.
        """
        return GREChannel(self.dataPath, owner, ends, self.gre)

    def open(self, mtu: int = 1400) -> None:
        self.channel.openNetwork(0x21, Attachment((SUBSCRIBER,), mtu))

    def arrive(self, payload: bytes, sequence: int | None = None) -> None:
        """
        Let a GRE packet with this payload arrive from the peer.
        """
        if sequence is None:
            sequence = self.sequence
        self.sequence = sequence + 1
        protocol, information = decodeFrame(payload)
        self.gre.receivers[PEER, 7](sequence, protocol, [information])

    def sent(self) -> list[bytes]:
        """
        The payloads that were sent since this was last called.
        """
        payloads = []
        for octets, address in self.wire.sent:
            assert address == PEER
            callID, payload, _, _ = decode(octets)
            assert callID == 9
            payloads.append(payload)
        self.wire.sent.clear()
        return payloads


def packet(
    source: str = "10.77.0.10", destination: str = "10.1.1.1", payload: bytes = bytes(40)
) -> bytes:
    """
    An IPv4 packet with the protocol 17.
    """
    header = (
        b"\x45\x00"
        + (20 + len(payload)).to_bytes(2, "big")
        + b"\x00\x01\x00\x00\x40\x11\x00\x00"
        + IPv4Network(source).network_address.packed
        + IPv4Network(destination).network_address.packed
    )
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + payload


@pytest.fixture
def path() -> Fixture:
    return Fixture()


class TestInterfaces:
    """
    Tests that the classes provide their interfaces.
    """

    def test_provides(self, path: Fixture) -> None:
        assert verifyObject(IDataPath, path.dataPath)
        assert verifyObject(IChannel, path.channel)
        assert verifyObject(IChannelOwner, path.owner)
        assert not hasattr(path.channel, "__dict__")


class TestReceiving:
    """
    Tests for frames from the peer.
    """

    @pytest.mark.parametrize("header", [b"\xff\x03\x00\x21", b"\x00\x21", b"\x21", b"\xff\x03\x21"])
    def test_packetInEveryFraming(self, path: Fixture, header: bytes) -> None:
        path.open()
        path.arrive(header + packet())
        assert path.tun.written == [packet()]
        counters = path.channel.counters
        assert (counters.framesReceived, counters.packetsReceived) == (1, 1)
        assert counters.octetsReceived == len(packet())
        assert counters.discards == {}

    @pytest.mark.parametrize("header", [b"\xff\x03\xc0\x21", b"\xc0\x21"])
    def test_controlFrame(self, path: Fixture, header: bytes) -> None:
        path.arrive(header + b"\x09\x01\x00\x08abcd")
        assert path.owner.frames == [(0xC021, b"\x09\x01\x00\x08abcd")]

    def test_malformed(self, path: Fixture) -> None:
        path.gre.receivers[PEER, 7](0, 0, [b""])
        path.arrive(b"\xc0\x21a", 1)
        assert path.owner.frames == [(0xC021, b"a")]
        assert path.channel.counters.discards == {channelModule.MALFORMED: 1}

    def test_acknowledgementAlone(self, path: Fixture) -> None:
        path.gre.receivers[PEER, 7](-1, 0, [b""])
        assert path.channel.counters.framesReceived == 0
        assert path.channel.counters.discards == {}
        assert path.clock.getDelayedCalls() == []

    def test_spoofed(self, path: Fixture) -> None:
        path.open()
        path.arrive(b"\x21" + packet(source="10.77.0.11"))
        path.arrive(b"\x21" + b"\x60" + packet()[1:])
        path.arrive(b"\x21" + packet()[:15])
        path.arrive(b"\x21")
        assert path.tun.written == []
        assert path.channel.counters.discards == {SPOOFED: 4}

    def test_optionsInTheHeader(self, path: Fixture) -> None:
        path.open()
        octets = b"\x46" + packet()[1:20] + b"\x01\x01\x01\x00" + bytes(20)
        path.arrive(b"\x21" + octets)
        assert path.tun.written == [octets]

    def test_severalAddresses(self, path: Fixture) -> None:
        attachment = Attachment((SUBSCRIBER, IPv4Network("10.9.0.0/16")))
        path.channel.openNetwork(0x21, attachment)
        path.arrive(b"\x21" + packet())
        path.arrive(b"\x21" + packet(source="10.9.255.255"))
        path.arrive(b"\x21" + packet(source="10.10.0.0"))
        assert path.tun.written == [packet(), packet(source="10.9.255.255")]
        assert path.channel.counters.discards == {SPOOFED: 1}

    def test_whatAnotherSessionHas(self, path: Fixture) -> None:
        """
        A packet from a router whose source belongs to another session, within the router's network,
        is discarded as long as that session lasts. Two sessions that share a network may both send
        from it.
        """
        network = IPv4Network("10.77.0.0/16")
        path.channel.openNetwork(0x21, Attachment((IPv4Network("10.9.0.1"), network)))
        sharing = path.opened(Ends(LOCAL, "192.0.2.3", 8, 10), Owner())
        sharing.openNetwork(0x21, Attachment((IPv4Network("10.9.0.2"), network)))
        other = path.opened(Ends(LOCAL, "192.0.2.4", 9, 11), Owner())
        other.openNetwork(0x21, Attachment((SUBSCRIBER, IPv4Network("10.77.8.0/24"))))
        for source in ("10.77.0.10", "10.77.8.1"):
            path.arrive(b"\x21" + packet(source=source))
        assert path.tun.written == []
        assert path.channel.counters.discards == {SPOOFED: 2}
        path.arrive(b"\x21" + packet(source="10.77.0.11"))
        other.close()
        path.arrive(b"\x21" + packet(source="10.77.0.10"))
        assert path.tun.written == [packet(source="10.77.0.11"), packet(source="10.77.0.10")]

    def test_deviceRefuses(self, path: Fixture) -> None:
        path.open()
        path.tun.error = OSError(errno.EIO, "down")
        path.arrive(b"\x21" + packet())
        assert path.channel.counters.discards == {NOT_DELIVERED: 1}

    def test_notOpen(self, path: Fixture) -> None:
        path.arrive(b"\x21" + packet())
        assert path.owner.frames == [(0x21, packet())]

    def test_stormOfNotOpen(self, path: Fixture) -> None:
        path.open()
        for _ in range(1000):
            path.arrive(b"\x00\x57" + bytes(60))
        assert len(path.owner.frames) == channelModule.STRANGER_LIMIT
        path.clock.advance(1)
        path.arrive(b"\x00\x57" + bytes(60))
        assert len(path.owner.frames) == channelModule.STRANGER_LIMIT + 1

    def test_closedNetwork(self, path: Fixture) -> None:
        path.open()
        path.channel.closeNetwork(0x21)
        path.channel.closeNetwork(0x21)
        path.arrive(b"\x21" + packet())
        assert path.tun.written == []
        path.tun.receive(packet(destination="10.77.0.10"))
        assert path.sent() == []
        assert path.dataPath.counters.discards == {NO_ROUTE: 1}

    def test_reordered(self, path: Fixture) -> None:
        path.open()
        packets = [packet(payload=bytes([number])) for number in range(4)]
        for number in (0, 2, 3, 1):
            path.arrive(b"\x21" + packets[number], number)
        assert path.tun.written == packets

    def test_gapIsGivenUp(self, path: Fixture) -> None:
        path.open()
        path.arrive(b"\x21" + packet(), 0)
        path.arrive(b"\x21" + packet(), 2)
        assert len(path.tun.written) == 1
        path.clock.advance(0.1)
        assert len(path.tun.written) == 2

    def test_networkInThisProcess(self, path: Fixture) -> None:
        received: list[bytes] = []
        path.channel.openNetwork(0x21, Attachment(receive=received.append))
        path.arrive(b"\x21" + packet(source="198.51.100.1"))
        assert received == [packet(source="198.51.100.1")]
        path.channel.sendPacket(0x21, packet())
        assert path.sent() == [b"\xff\x03\x00\x21" + packet()]
        assert path.tun.written == []

    def test_networkInThisProcessWithAddresses(self, path: Fixture) -> None:
        received: list[bytes] = []
        path.channel.openNetwork(0x21, Attachment((SUBSCRIBER,), receive=received.append))
        path.arrive(b"\x21" + packet(source="198.51.100.1"))
        assert received == []
        path.tun.receive(packet(destination="10.77.0.10"))
        assert path.sent() == []

    def test_otherProtocol(self, path: Fixture) -> None:
        received: list[bytes] = []
        path.channel.openNetwork(0x2B, Attachment(receive=received.append, mtu=10))
        path.arrive(b"\x2bIPX")
        path.channel.sendPacket(0x2B, b"reply")
        path.channel.sendPacket(0x2B, b"a long reply")
        assert received == [b"IPX"]
        assert path.sent() == [b"\xff\x03\x00\x2breply"]
        assert path.channel.counters.discards == {TOO_BIG: 1}


class TestRuns:
    """
    Tests for several frames that arrive at once.
    """

    PACKETS = [packet(payload=bytes([number])) for number in range(100)]

    def test_inOrder(self, path: Fixture) -> None:
        path.open()
        receive = path.gre.receivers[PEER, 7]
        receive(5, 0x21, self.PACKETS[:2])
        receive(7, 0x21, self.PACKETS[2:])
        assert path.tun.written == self.PACKETS
        counters = path.channel.counters
        assert (counters.framesReceived, counters.packetsReceived) == (100, 100)
        assert counters.octetsReceived == 100 * len(self.PACKETS[0])
        # The run is longer than half a window, so all of it was acknowledged at once.
        (sent,) = path.wire.sent
        assert decode(sent[0])[3] == 104

    def test_acknowledgedInTime(self, path: Fixture) -> None:
        path.open()
        receive = path.gre.receivers[PEER, 7]
        for first in range(0, 100, 4):
            receive(first, 0x21, self.PACKETS[first : first + 4])
        numbers = [decode(octets)[3] for octets, _ in path.wire.sent]
        assert numbers == [31, 63, 95]
        path.clock.advance(0.5)
        assert decode(path.wire.sent[-1][0])[3] == 99

    def test_numbersPassZero(self, path: Fixture) -> None:
        path.open()
        receive = path.gre.receivers[PEER, 7]
        receive(0xFFFFFFFD, 0x21, self.PACKETS[:1])
        receive(0xFFFFFFFE, 0x21, self.PACKETS[1:3])
        receive(0, 0x21, self.PACKETS[3:])
        assert path.tun.written == self.PACKETS

    def test_outOfOrder(self, path: Fixture) -> None:
        path.open()
        receive = path.gre.receivers[PEER, 7]
        receive(0, 0x21, self.PACKETS[:2])
        receive(4, 0x21, self.PACKETS[4:6])
        receive(2, 0x21, self.PACKETS[2:5])
        receive(6, 0x21, self.PACKETS[6:])
        assert path.tun.written == self.PACKETS
        assert path.channel.counters.discards == {DUPLICATE: 1}

    @pytest.mark.parametrize("size", range(20))
    def test_shortPackets(self, path: Fixture, size: int) -> None:
        """
        A packet without a whole header is discarded, whether the peer has one address or several.
        """
        networks = (IPv4Network("10.77.0.10"), IPv4Network("10.78.0.0/16"))
        path.channel.openNetwork(0x21, Attachment(networks))
        path.gre.receivers[PEER, 7](0, 0x21, [packet()[:size], packet()])
        assert path.tun.written == [packet()]
        assert path.channel.counters.discards == {SPOOFED: 1}

    def test_spoofedAmongOthers(self, path: Fixture) -> None:
        path.open()
        packets = [packet(), packet(source="10.77.0.11"), b"", packet()]
        path.gre.receivers[PEER, 7](0, 0x21, packets)
        path.gre.receivers[PEER, 7](4, 0x21, packets)
        assert path.tun.written == [packet()] * 4
        counters = path.channel.counters
        assert counters.discards == {SPOOFED: 4}
        assert (counters.packetsReceived, counters.octetsReceived) == (4, 4 * len(packet()))

    @pytest.mark.parametrize("protocol", [0x21, 0x2B, 0x57])
    def test_aNetworkThatFails(
        self, path: Fixture, loggedFailures: list[Failure], protocol: int
    ) -> None:
        received: list[bytes] = []

        def receive(octets: bytes) -> None:
            received.append(octets)
            raise ZeroDivisionError

        path.channel.openNetwork(protocol, Attachment(receive=receive))
        packets = self.PACKETS[:3]
        if protocol == 0x57:
            packets = [b"\x60" + bytes(40)] * 3
        for first in (0, 1):
            path.gre.receivers[PEER, 7](first, protocol, packets[first : 1 if first == 0 else 3])
        assert received == packets
        assert path.channel.counters.discards == {NOT_DELIVERED: 3}
        assert [failure.type for failure in loggedFailures] == [ZeroDivisionError] * 3
        loggedFailures.clear()

    def test_aNetworkThatFailsOnEveryPacket(
        self, path: Fixture, loggedFailures: list[Failure]
    ) -> None:
        """
        The failures of a network that fails on every packet are all counted. The first few of them
        are logged and then a few a minute, separately for each network.
        """

        def receive(octets: bytes) -> None:
            raise ZeroDivisionError

        def arrive(protocol: int, first: int, count: int) -> int:
            loggedFailures.clear()
            packets = [b"\x60" + bytes(40)] * count
            path.gre.receivers[PEER, 7](first, protocol, packets)
            logged = len(loggedFailures)
            loggedFailures.clear()
            return logged

        for protocol in (0x2B, 0x57):
            path.channel.openNetwork(protocol, Attachment(receive=receive))
        assert arrive(0x2B, 0, 100) == 3
        path.channel.openNetwork(0x2B, Attachment(receive=receive))
        assert arrive(0x2B, 100, 100) == 0
        assert arrive(0x57, 200, 100) == 3
        path.clock.advance(20)
        assert arrive(0x2B, 300, 100) == 1
        path.clock.advance(3600)
        assert arrive(0x2B, 400, 100) == 3
        assert path.channel.counters.discards == {NOT_DELIVERED: 500}

    def test_closedMeanwhile(self, path: Fixture) -> None:
        received: list[bytes] = []

        def receive(octets: bytes) -> None:
            received.append(octets)
            if len(received) == 2:
                path.channel.close()

        path.channel.openNetwork(0x21, Attachment(receive=receive))
        path.gre.receivers[PEER, 7](0, 0x21, self.PACKETS[:1])
        path.gre.receivers[PEER, 7](1, 0x21, self.PACKETS[1:])
        assert received == self.PACKETS[:2]
        assert path.clock.getDelayedCalls() == []

    def test_closedByALinkMeanwhile(self, path: Fixture) -> None:
        frames: list[bytes] = []

        def frameReceived(protocol: int, information: bytes) -> None:
            frames.append(information)
            path.channel.close()

        path.owner.frameReceived = frameReceived  # type: ignore[method-assign]
        path.gre.receivers[PEER, 7](0, 0xC021, [b"one", b"two"])
        assert frames == [b"one"]


class TestSending:
    """
    Tests for frames to the peer.
    """

    @pytest.mark.parametrize(
        ("acfc", "pfc", "header"),
        [
            (False, False, b"\xff\x03\x00\x21"),
            (True, False, b"\x00\x21"),
            (False, True, b"\xff\x03\x21"),
            (True, True, b"\x21"),
        ],
    )
    def test_packetInEveryFraming(
        self, path: Fixture, acfc: bool, pfc: bool, header: bytes
    ) -> None:
        path.channel.setFraming(acfc, pfc)
        path.open()
        path.tun.receive(packet("10.1.1.1", "10.77.0.10"))
        assert path.sent() == [header + packet("10.1.1.1", "10.77.0.10")]
        counters = path.channel.counters
        assert (counters.framesSent, counters.packetsSent) == (1, 1)
        assert counters.octetsSent == len(packet())

    def test_framingChangesWhileOpen(self, path: Fixture) -> None:
        path.open()
        path.channel.setFraming(True, True)
        path.channel.sendPacket(0x21, packet())
        assert path.sent() == [b"\x21" + packet()]

    def test_controlFrameIsNeverCompressed(self, path: Fixture) -> None:
        path.channel.setFraming(True, True)
        path.channel.sendFrame(0xC021, b"\x01\x01\x00\x04")
        assert path.sent() == [b"\xff\x03\xc0\x21\x01\x01\x00\x04"]
        assert path.channel.counters.framesSent == 1

    def test_sequenceAndAcknowledgement(self, path: Fixture) -> None:
        path.open()
        path.channel.sendFrame(0xC021, b"a")
        path.arrive(b"\xc0\x21a", 0xFFFFFFFF)
        path.channel.sendPacket(0x21, packet())
        path.channel.sendPacket(0x21, packet())
        path.arrive(b"\xc0\x21a", 0)
        path.channel.sendFrame(0xC021, b"b")
        path.channel.sendFrame(0xC021, b"c")
        assert [decode(octets)[2:] for octets, _ in path.wire.sent] == [
            (0, None),
            (1, 0xFFFFFFFF),
            (2, None),
            (3, 0),
            (4, None),
        ]

    def test_acknowledgesAlone(self, path: Fixture) -> None:
        path.arrive(b"\xc0\x21a", 5)
        path.clock.advance(0.5)
        assert [decode(octets) for octets, _ in path.wire.sent] == [(9, b"", None, 5)]
        path.clock.advance(10)
        assert len(path.wire.sent) == 1
        assert path.clock.getDelayedCalls() == []

    def test_routes(self, path: Fixture) -> None:
        other = path.opened(Ends(LOCAL, "192.0.2.3", 8, 10), Owner())
        path.open()
        other.openNetwork(0x21, Attachment((IPv4Network("10.77.0.0/16"),)))
        path.tun.receive(packet(destination="10.77.0.10"))
        path.tun.receive(packet(destination="10.77.0.11"))
        path.tun.receive(b"\x46" + packet(destination="10.77.0.12")[1:])
        assert [address for _, address in path.wire.sent] == [
            "192.0.2.2",
            "192.0.2.3",
            "192.0.2.3",
        ]

    def test_noRoute(self, path: Fixture) -> None:
        path.open()
        for octets in (packet(), b"", b"\x45", b"\x60", bytes(60), packet()[:18]):
            path.tun.receive(octets)
        assert path.sent() == []
        assert path.dataPath.counters.discards == {NO_ROUTE: 6}

    def test_ipv6(self, path: Fixture) -> None:
        path.channel.openNetwork(0x57, Attachment((IPv6Network("2001:db8:1::/64"),), 100))
        octets = b"\x60" + bytes(7) + bytes.fromhex("20010db8000100000000000000000001") * 2
        path.tun.receive(octets)
        path.arrive(b"\x57" + octets)
        path.arrive(b"\x57" + octets[:15] + b"\x01" + octets[16:])
        assert path.sent() == [b"\xff\x03\x00\x57" + octets]
        assert path.tun.written == [octets]
        assert path.channel.counters.discards == {SPOOFED: 1}

    def test_systemRefuses(self, path: Fixture) -> None:
        path.open()
        path.gre.error = OSError(errno.ENOBUFS, "full")
        path.tun.receive(packet(destination="10.77.0.10"))
        path.channel.sendFrame(0xC021, b"a")
        assert path.channel.counters.discards == {channelModule.NOT_SENT: 2}
        assert path.channel.counters.framesSent == 0
        assert [error.errno for error in path.gre.failures] == [errno.ENOBUFS] * 2

    def test_sendPacketNotOpen(self, path: Fixture) -> None:
        path.channel.sendPacket(0x21, packet())
        assert path.sent() == []
        assert path.channel.counters.discards == {channelModule.NOT_OPEN: 1}

    def test_tooBig(self, path: Fixture) -> None:
        path.open(mtu=100)
        large = bytearray(packet("10.1.1.1", "10.77.0.10", bytes(200)))
        large[6] = 0x40
        path.tun.receive(bytes(large))
        assert path.sent() == []
        (answer,) = path.tun.written
        assert answer[12:20] == bytes([10, 77, 0, 10, 10, 1, 1, 1])
        assert answer[20:22] == b"\x03\x04" and answer[26:28] == b"\x00\x64"
        assert path.channel.counters.discards == {TOO_BIG: 1}

    def test_fragments(self, path: Fixture) -> None:
        path.open(mtu=100)
        path.tun.receive(packet("10.1.1.1", "10.77.0.10", bytes(200)))
        sizes = [len(payload) - 4 for payload in path.sent()]
        assert sizes == [100, 100, 60]

    def test_mssClamp(self) -> None:
        syn = packet("10.1.1.1", "10.77.0.10", b"\x01" * 12 + b"\x60\x02" + bytes(6) + b"\x02\x04")
        syn = syn[:9] + b"\x06" + syn[10:] + b"\x05\xb4"
        for clamp, expected in ((True, b"\x05\x50"), (False, b"\x05\xb4")):
            path = Fixture(mssClamp=clamp)
            path.open()
            path.tun.receive(syn)
            path.arrive(b"\x21" + syn[:12] + syn[16:20] + syn[12:16] + syn[20:])
            path.arrive(b"\x21" + syn[:12] + SUBSCRIBER.network_address.packed + syn[16:])
            (sent,) = path.sent()
            assert sent[-2:] == expected
            assert path.tun.written[0][-2:] == expected


class TestEncryption:
    """
    Tests for MPPE in the channel.
    """

    def encrypting(self, path: Fixture, stateful: bool = False) -> PythonEncryptor:
        path.channel.setReceiveMPPE(MPPEParameters(KEY, 128, stateful))
        return PythonEncryptor(KEY, 128, stateful)

    def test_receiving(self, path: Fixture) -> None:
        peer = self.encrypting(path)
        path.open()
        for header in (b"\xff\x03\x00\xfd", b"\x00\xfd", b"\xfd"):
            path.arrive(peer.encrypt(header, b"\x00\x21", packet()))
            path.arrive(peer.encrypt(header, b"\x21", packet()))
        assert path.tun.written == [packet()] * 6
        assert path.channel.counters.discards == {}

    def test_sending(self, path: Fixture) -> None:
        path.channel.setSendMPPE(MPPEParameters(KEY, 128))
        path.open()
        peer = PythonDecryptor(KEY, 128)
        path.channel.sendPacket(0x21, packet())
        path.channel.setFraming(True, True)
        path.channel.sendPacket(0x21, packet())
        first, second = path.sent()
        assert first[:4] == b"\xff\x03\x00\xfd" and second[:1] == b"\xfd"
        assert peer.decrypt(first[4:]) == b"\x00\x21" + packet()
        assert peer.decrypt(second[1:]) == b"\x00\x21" + packet()

    def test_mtuIsSmallerByTheOverhead(self, path: Fixture) -> None:
        path.open(mtu=100)
        path.channel.setSendMPPE(MPPEParameters(KEY, 128))
        path.tun.receive(packet("10.1.1.1", "10.77.0.10", bytes(77)))
        assert all(len(payload) <= 4 + 100 for payload in path.sent())
        path.channel.setSendMPPE(None)
        path.tun.receive(packet("10.1.1.1", "10.77.0.10", bytes(80)))
        assert [len(payload) for payload in path.sent()] == [104]

    def test_clearIsRefusedWhileEncrypted(self, path: Fixture) -> None:
        self.encrypting(path)
        path.open()
        path.arrive(b"\x21" + packet())
        path.arrive(b"\x57" + packet())
        path.arrive(b"\xc0\x21abcd")
        path.arrive(b"\x80\x21abcd")
        assert path.tun.written == []
        assert path.owner.frames == [(0xC021, b"abcd"), (0x8021, b"abcd")]
        assert path.channel.counters.discards == {channelModule.IN_CLEAR: 2}

    def test_clearIsRefusedWhereRequired(self, path: Fixture) -> None:
        path.open()
        path.channel.requireMPPE()
        path.arrive(b"\x21" + packet())
        path.channel.sendPacket(0x21, packet())
        path.tun.receive(packet("10.1.1.1", "10.77.0.10", bytes(2000)))
        assert path.tun.written == []
        assert path.sent() == []
        assert path.channel.counters.discards == {
            channelModule.IN_CLEAR: 1,
            channelModule.NOT_ENCRYPTED: 3,
        }
        peer = self.encrypting(path)
        path.arrive(peer.encrypt(b"\xfd", b"\x21", packet()))
        assert path.tun.written == [packet()]
        path.channel.setReceiveMPPE(None)
        path.arrive(b"\x21" + packet())
        assert path.tun.written == [packet()]

    def test_beforeItIsSet(self, path: Fixture) -> None:
        path.open()
        path.arrive(PythonEncryptor(KEY, 128).encrypt(b"\xfd", b"\x21", packet()))
        assert path.owner.frames == []
        assert path.channel.counters.discards == {channelModule.NO_MPPE: 1}

    def test_insideMustBeAnOpenNetwork(self, path: Fixture) -> None:
        peer = self.encrypting(path)
        path.arrive(peer.encrypt(b"\xfd", b"\x21", packet()))
        path.open()
        path.arrive(peer.encrypt(b"\xfd", b"\xc0\x21", b"\x05\x01\x00\x04"))
        path.arrive(peer.encrypt(b"\xfd", b"", b"\x00"))
        path.arrive(b"\xfd\x90")
        assert path.owner.frames == []
        assert path.channel.counters.discards == {
            channelModule.NOT_OPEN: 1,
            recovery.UNKNOWN: 2,
            "malformed MPPE header": 1,
        }

    def test_packetsOfWhatIsNotOpenEndNothing(self, path: Fixture) -> None:
        """
        A packet of a network that isn't open, before it opens or after, is no sign of a wrong key.
        """
        peer = self.encrypting(path)
        for _ in range(2 * recovery.FAILURE_LIMIT):
            path.arrive(peer.encrypt(b"\xfd", b"\x31", bytes(60)))
        # A protocol whose packets have no known form, after it was open.
        path.channel.openNetwork(0x02C3, Attachment(receive=lambda packet: None))
        path.channel.closeNetwork(0x02C3)
        for _ in range(2 * recovery.FAILURE_LIMIT):
            path.arrive(peer.encrypt(b"\xfd", b"\x02\xc3", bytes(60)))
        assert path.channel.counters.discards == {
            channelModule.NOT_OPEN: 4 * recovery.FAILURE_LIMIT
        }
        assert path.owner.failures == []

    def test_garbageEndsTheChannel(self, path: Fixture) -> None:
        self.encrypting(path)
        path.channel.openNetwork(0x2B, Attachment(receive=lambda packet: None))
        wrong = PythonEncryptor(ANOTHER, 128)
        for _ in range(2 * recovery.FAILURE_LIMIT):
            path.arrive(wrong.encrypt(b"\xfd", b"\x21", packet()))
        assert len(path.owner.failures) == 1

    def test_successForgivesFailures(self, path: Fixture) -> None:
        peer = self.encrypting(path)
        path.open()
        for _ in range(recovery.FAILURE_LIMIT):
            path.arrive(b"\xfd\x00\x00x")
            path.arrive(peer.encrypt(b"\xfd", b"\x21", packet()))
        assert path.owner.failures == []

    def test_stateful(self, path: Fixture) -> None:
        peer = self.encrypting(path, stateful=True)
        path.open()
        path.arrive(peer.encrypt(b"\xfd", b"\x21", packet()))
        peer.encrypt(b"", b"", b"")
        path.arrive(peer.encrypt(b"\xfd", b"\x21", packet()))
        path.arrive(peer.encrypt(b"\xfd", b"\x21", packet()))
        assert (len(path.tun.written), path.owner.resyncs) == (1, 1)
        path.clock.advance(resync.INTERVAL)
        path.arrive(peer.encrypt(b"\xfd", b"\x21", packet()))
        assert path.owner.resyncs == 2
        peer.reset()
        path.arrive(peer.encrypt(b"\xfd", b"\x21", packet()))
        path.arrive(peer.encrypt(b"\xfd", b"\x21", packet()))
        assert len(path.tun.written) == 3
        assert path.owner.failures == []

    def test_resyncInVain(self, path: Fixture) -> None:
        peer = self.encrypting(path, stateful=True)
        path.open()
        peer.encrypt(b"", b"", b"")
        for _ in range(2 * resync.LIMIT):
            path.arrive(peer.encrypt(b"\xfd", b"\x21", packet()))
            path.clock.advance(resync.INTERVAL)
        assert path.owner.resyncs == resync.LIMIT - 1
        assert len(path.owner.failures) == 1

    def test_resetSending(self, path: Fixture) -> None:
        path.channel.resetSendMPPE()
        path.channel.setSendMPPE(MPPEParameters(KEY, 128, True))
        path.open()
        path.channel.sendPacket(0x21, packet())
        path.channel.resetSendMPPE()
        path.channel.sendPacket(0x21, packet())
        assert [payload[4:6] for payload in path.sent()] == [b"\x10\x00", b"\x90\xff"]


class TestClosing:
    """
    Tests for the end of a call.
    """

    def test_close(self, path: Fixture) -> None:
        path.open()
        path.arrive(b"\x21" + packet(), 0)
        path.arrive(b"\x21" + packet(), 2)
        path.channel.close()
        path.channel.close()
        assert path.gre.receivers == {}
        assert path.clock.getDelayedCalls() == []
        path.tun.receive(packet(destination="10.77.0.10"))
        path.channel.sendFrame(0xC021, b"x")
        path.channel.sendPacket(0x21, packet())
        path.channel.openNetwork(0x21, Attachment((SUBSCRIBER,)))
        path.tun.receive(packet(destination="10.77.0.10"))
        assert path.sent() == []

    def test_closeWhileDelivering(self, path: Fixture) -> None:
        path.owner.frameReceived = (  # type: ignore[method-assign]
            lambda protocol, information: path.channel.close()
        )
        path.arrive(b"\xc0\x21a", 0)
        assert path.clock.getDelayedCalls() == []

    def test_theNewerSessionKeepsItsRoute(self, path: Fixture) -> None:
        path.open()
        newer = path.opened(Ends(LOCAL, "192.0.2.3", 8, 10), Owner())
        newer.openNetwork(0x21, Attachment((SUBSCRIBER,)))
        path.channel.close()
        path.tun.receive(packet(destination="10.77.0.10"))
        assert [address for _, address in path.wire.sent] == ["192.0.2.3"]

    def test_noNetworkToDeliverTo(self) -> None:
        gre = MemoryGRE(KeepingWire(Clock()), LOCAL)
        channel = GREChannel(PythonDataPath(Clock()), Owner(), ENDS, gre)
        with pytest.raises(ValueError):
            channel.openNetwork(0x21, Attachment((SUBSCRIBER,)))
