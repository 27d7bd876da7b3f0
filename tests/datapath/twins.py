"""
What the tests of tunnels on the native data path have in common: a caller whose packets go to both
twins, the ends of L{tests.datapath.twinend}, and the steps that it takes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from ipaddress import IPv4Network, IPv6Network
from typing import Any, ClassVar

from hypothesis import strategies as st

from pptpgw.datapath.mppe import PythonEncryptor
from pptpgw.datapath.recording import startRecording, stopRecording
from pptpgw.interfaces import Attachment, MPPEParameters
from pptpgw.networks.wire.checksum import checksum
from pptpgw.ppp.wire.ppp import CCP, IPV4, IPV6, IPX, LCP
from pptpgw.sessions.filter import Filter
from pptpgw.sessions.gate import Gate

HOST, BEHIND = IPv4Network("10.77.0.10/32"), IPv4Network("10.88.0.0/24")
PREFIX = IPv6Network("2001:db8:0:7::/64")
KEY = bytes(range(16))
DENIAL = Filter(("deny udp from any to any", "permit ip from any to any"))


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
CONTROL = st.sampled_from([(LCP, b"echo"), (CCP, b"reset"), (LCP, b"proof"), (IPX, b"stranger")])
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


GOOD = ((b"\0\x21", ipv4("10.77.0.10", b"good")), "arrives")
LOST = (GOOD[0], "lost")

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
# Packets that were sent before, lost or not: how long ago, and how many of them come.
AGAIN = st.tuples(st.integers(1, 120), st.integers(1, 4))
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


def stepsWith(octets: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[tuple[str, Any]]]:
    """
    Return a strategy of steps, each the name of a method of L{Twins} and its argument.

    @param octets: packets of the tunnel that are none of the call, or malformed.
    """
    return st.lists(
        st.one_of(
            FROM_PEER.map(lambda step: ("peer", step)),
            DISORDERED.map(lambda step: ("peer", step)),
            DISORDERED.map(lambda step: ("peer", step)),
            MANY.map(lambda step: ("many", step)),
            AGAIN.map(lambda step: ("again", step)),
            TO_PEER.map(lambda step: ("device", step)),
            CONTROL.map(lambda step: ("control", step)),
            octets.map(lambda step: ("octets", step)),
            LINK.map(lambda step: ("link", step)),
            st.sampled_from([("link", "wait"), ("link", "pause")]),
        ),
        max_size=14,
    )


class Twins(ABC):
    """
    A caller, and the two ends to which all that it sends goes.

    @cvar changed: the octet of a packet of the tunnel that is changed where the packet is altered.
    """

    changed: ClassVar[int]

    def __init__(self, ends: tuple[Any, Any], mode: str) -> None:
        """
        @param ends: a gateway's channel with its port and device on the native data path, and on
            the one in Python.
        @param mode: C{clear}, or C{stateless} or C{stateful} MPPE.
        """
        self.ends = ends
        self._mode = mode
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

    @abstractmethod
    def arrive(self, octets: bytes) -> None:
        """
        Have a packet of the tunnel arrive.
        """

    @abstractmethod
    def frame(self, payload: bytes) -> bytes:
        """
        Return the next packet of the tunnel.
        """

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
                at = self.changed
                octets = octets[:at] + bytes([octets[at] ^ 0x05]) + octets[at + 1 :]
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
