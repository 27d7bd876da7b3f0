"""
Property tests: packets that are handled at once have the same effects as one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.packet import Raw
from twisted.internet.task import Clock

from pptpgw.datapath.channel import Channel
from pptpgw.datapath.mppe import Encryptor
from pptpgw.datapath.python import PythonDataPath
from pptpgw.datapath.recording import startRecording
from pptpgw.interfaces import Attachment, MPPEParameters
from pptpgw.ppp.wire.ppp import IPV4, IPV6, MPPE
from pptpgw.sessions.filter import Filter
from pptpgw.sessions.gate import Gate
from pptpgw.testing import MemoryGRE, MemoryTUN
from pptpgw.tunnels.pptp.channel import GREChannel
from pptpgw.tunnels.pptp.owner import Ends
from tests.datapath.test_python import KeepingWire, Owner

MTU = 576
KEY = bytes(range(16))
USER4, USER6, FAR4, FAR6 = "10.77.0.10", "2001:db8:0:1::5", "10.1.1.1", "2001:db8:f::1"


def every() -> list[bytes]:
    """
    Packets of every kind that is checked, in both directions.
    """
    found = [b"", b"\x45", b"\x60" + bytes(50), b"\x00\x01"]
    for make, ours, far, other in (
        (IP, USER4, FAR4, "10.77.0.11"),
        (IPv6, USER6, FAR6, "2001:db8:0:2::5"),
    ):
        for source, destination in ((ours, far), (far, ours), (other, far), (far, other)):
            ip = make(src=source, dst=destination)
            found += [
                bytes(ip / UDP(dport=1) / Raw(bytes(20))),
                bytes(ip / UDP(dport=99) / Raw(bytes(20))),
                bytes(ip / TCP(flags="S", options=[("MSS", 1460)])),
                bytes(ip / TCP(flags="A") / Raw(bytes(MTU))),
                bytes(ip / UDP(dport=1) / Raw(bytes(700))),
                bytes(ip / TCP(flags="A") / Raw(bytes(100))),
            ]
    found.append(bytes(IP(src=FAR4, dst=USER4, flags="DF") / TCP() / Raw(bytes(MTU))))
    found.append(bytes(IPv6(src="fe80::1", dst="ff02::2") / ICMPv6EchoRequest()))
    return found


PACKETS = st.lists(st.sampled_from(every()), max_size=12)


class Recorder:
    """
    A recorder that keeps frames.
    """

    def __init__(self) -> None:
        self.frames: list[tuple[int, bytes]] = []

    def record(self, direction: int, frame: bytes) -> None:
        self.frames.append((direction, frame))

    def closed(self) -> None: ...


class Fixture:
    """
    A data path with the channel of one call.

    @ivar local: the packets that concern the link alone.
    """

    def __init__(self, encrypted: bool, filtered: bool, recorded: bool) -> None:
        self.clock = Clock()
        self.wire = KeepingWire(self.clock)
        self.gre = MemoryGRE(self.wire, "192.0.2.1")
        self.tun = MemoryTUN()
        self.path = PythonDataPath(self.clock, self.tun)
        self.channel = GREChannel(
            self.path, Owner(), Ends("192.0.2.1", "192.0.2.2", 7, 9), self.gre
        )
        self.recorder = Recorder()
        if recorded:
            startRecording(self.channel, self.recorder)
        if encrypted:
            self.channel.setSendMPPE(MPPEParameters(KEY, 128))
            self.channel.setReceiveMPPE(MPPEParameters(KEY, 128))
        self.local: list[bytes] = []
        gate = Gate(Filter(["deny udp from any to any port 99", "permit ip from any to any"]))
        shared: dict[str, Any] = {"local": self.local.append}
        if filtered:
            shared["permits"] = gate
        for number, address in ((IPV4, USER4 + "/32"), (IPV6, "2001:db8:0:1::/64")):
            self.channel.openNetwork(number, Attachment((ip_network(address),), MTU, **shared))

    def arrive(self, runs: Sequence[tuple[int, int, list[bytes]]]) -> None:
        for sequence, protocol, frames in runs:
            self.gre.receivers["192.0.2.2", 7](sequence, protocol, frames)

    def effects(self) -> tuple[Any, ...]:
        """
        Everything that came of it.
        """
        return (
            self.tun.written,
            self.local,
            [octets for octets, _ in self.wire.sent],
            self.recorder.frames,
            self.channel.counters.asDict(),
            self.path.counters.asDict(),
            self.channel._window.expected,
        )


CASES = st.tuples(st.booleans(), st.booleans(), st.booleans())


@settings(max_examples=150, deadline=None)
@given(CASES, PACKETS)
def test_toThePeer(case: tuple[bool, bool, bool], packets: list[bytes]) -> None:
    """
    Packets from the kernel.
    """
    atOnce, oneByOne = Fixture(*case), Fixture(*case)
    for fixture in (atOnce, oneByOne):
        # The first packet carries an acknowledgement.
        fixture.arrive([(0, 0xC021, [b"LCP"])])
    # Only packets to the same address keep their order.
    packets = sorted(packets, key=atOnce.path._destination)
    atOnce.path.packetsReceived(packets)
    for packet in packets:
        oneByOne.path.packetsReceived([packet])
    assert atOnce.effects() == oneByOne.effects()


@settings(max_examples=150, deadline=None)
@given(CASES, st.sampled_from([IPV4, IPV6]), PACKETS, st.data())
def test_fromThePeer(
    case: tuple[bool, bool, bool], protocol: int, packets: list[bytes], data: st.DataObject
) -> None:
    """
    Frames of one run. Encrypted ones may belong to different protocols, or make no sense.
    """
    frames = packets
    encrypted = case[0]
    if encrypted:
        encryptor = Encryptor(KEY, 128)
        frames = []
        for packet in packets:
            field = data.draw(st.sampled_from([b"\x21", b"\x00\x21", b"\x00\x57", b"\x80\x21"]))
            frames.append(encryptor.encrypt(b"", field, packet))
        altered = data.draw(st.integers(0, 24))
        if altered < len(frames):
            frames[altered] = b"\x90\x07octets"
        protocol = MPPE
    atOnce, oneByOne = Fixture(*case), Fixture(*case)
    if frames:
        atOnce.arrive([(0, protocol, frames)])
    oneByOne.arrive([(number, protocol, [frame]) for number, frame in enumerate(frames)])
    assert atOnce.effects() == oneByOne.effects()


def test_errorsOfSending() -> None:
    """
    Packets that the system doesn't send are counted one by one, and keep their numbers.
    """
    fixture = Fixture(False, False, False)
    packet = bytes(IP(src=FAR4, dst=USER4) / UDP() / Raw(bytes(20)))
    full = OSError(105, "full")
    sent: list[bytes] = []

    def sendAll(packets: Sequence[bytes]) -> list[tuple[int, OSError]]:
        sent.extend(packets)
        fixture.gre.error = full
        return [(1, full), (2, full)]

    fixture.channel._sendAll = sendAll
    fixture.path.packetsReceived([packet, packet + b"!", packet, packet])
    assert [octets[11] for octets in sent] == [0, 1, 2, 3]
    counters = fixture.channel.counters
    assert counters.discards == {"not sent by the system": 2}
    assert (counters.framesSent, counters.packetsSent) == (2, 2)
    assert counters.octetsSent == 2 * len(packet)
    assert fixture.gre.failures == [full, full]


def test_errorsOfWriting() -> None:
    """
    Packets that the kernel refuses are counted one by one.
    """
    fixture = Fixture(False, False, False)
    packet = bytes(IP(src=USER4, dst=FAR4) / UDP() / Raw(bytes(20)))
    fixture.tun.error = OSError(5, "down")
    fixture.arrive([(0, IPV4, [packet, packet, b"spoofed"])])
    counters = fixture.channel.counters
    assert counters.discards == {
        "not taken by the network": 2,
        "source address not the peer's": 1,
    }
    assert counters.packetsReceived == 2


def test_aSessionThatFails(loggedFailures: list[Any]) -> None:
    """
    An exception for one session's packets doesn't keep those of others from being sent.
    """
    fixture = Fixture(False, False, False)

    class Failing:
        def transmit(self, packets: Sequence[bytes]) -> None:
            raise ZeroDivisionError

        def dropped(self, count: int) -> None: ...

    fixture.path._routes.add(IPv4Network("10.77.0.9/32"), Failing())
    packets = [bytes(IP(dst=one) / UDP()) for one in ("10.77.0.9", USER4)]
    fixture.path.packetsReceived(packets)
    assert len(fixture.wire.sent) == 1
    assert [failure.type for failure in loggedFailures] == [ZeroDivisionError]
    loggedFailures.clear()


@pytest.mark.parametrize("recorded", [False, True])
def test_aNetworkThatEndsItself(recorded: bool) -> None:
    """
    A network of this process whose receiver closes it takes nothing more of the same run. What came
    before was taken.
    """
    fixture = Fixture(False, False, recorded)
    channel: Channel = fixture.channel
    got: list[bytes] = []

    def receive(packet: bytes) -> None:
        got.append(packet)
        if len(got) == 2:
            channel.closeNetwork(IPV6)

    channel.openNetwork(
        IPV6, Attachment((IPv6Network("2001:db8:0:1::/64"),), MTU, receive, receive)
    )
    packet = bytes(IPv6(src=USER6, dst=FAR6) / UDP())
    local = bytes(IPv6(src="fe80::1", dst="ff02::2") / ICMPv6EchoRequest())
    fixture.arrive([(0, IPV6, [packet, local, packet])])
    assert got == [packet, local]
