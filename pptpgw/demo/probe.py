"""
The exchange of packets of one network protocol between two calls.

Each probe has an end on either call. The first end asks and the second answers; between them is the
gateway, with its routes, switch, router or hub.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from statistics import median

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from pptpgw.clock import steady
from pptpgw.interfaces import INetworkProtocol
from pptpgw.networks.ethernet.bcp import BCP, TINYGRAM_COMPRESSION, BridgeSettings
from pptpgw.networks.generic.catalogue import shipped
from pptpgw.networks.generic.control import GenericProtocol, GenericSettings, protocolFor
from pptpgw.networks.generic.declaration import Rule
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.networks.ipv6.ipv6cp import IPV6CP, IPv6Settings
from pptpgw.networks.ipv6.wire import ipv6
from pptpgw.networks.ipx import wire
from pptpgw.networks.ipx.ipxcp import IPXCP, IPXSettings
from pptpgw.networks.mpls.mplscp import MPLSCP, MPLSSettings
from pptpgw.networks.mpls.wire import mpls
from pptpgw.networks.protocol import NetworkProtocol
from pptpgw.networks.wire.checksum import checksum
from pptpgw.networks.wire.ip import ICMPV6, ROUTER_ADVERTISEMENT
from pptpgw.sessions.observer import SessionObserver

Receive = Callable[[bytes], None]

ROUNDS = 10
"""
The number of questions that each probe asks, one after the other.
"""

TIMEOUT = 2.0
"""
The most seconds to wait for an answer, or until both ends are ready.
"""

_MARK = b"pptpgw demo "
_ASK, _ANSWER = b"?", b"!"


class Openings(SessionObserver):
    """
    An observer that waits until network protocols have opened.

    @ivar all: fires when C{count} protocols have opened.
    """

    def __init__(self, count: int) -> None:
        self.all: Deferred[None] = Deferred()
        self._missing = count

    def protocolOpened(self, session: object, protocol: INetworkProtocol) -> None:
        """
        Count the protocol, and fire C{all} if it is the last one.
        """
        self._missing -= 1
        if self._missing == 0:
            self.all.callback(None)


class NetworkProbe(ABC):
    """
    A network protocol on two calls.

    @cvar title: the name of the network protocol.
    @cvar control: the name of its control protocol.
    @ivar ends: the control protocol on either call.
    @ivar sent: the numbers of packets and octets that the first end sent.
    @ivar received: the numbers of packets and octets that the first end received.
    @ivar times: the seconds that each round took.
    @ivar fault: why a round failed; empty if none did.
    """

    title: str
    control: str

    def __init__(self, clock: IReactorTime) -> None:
        self.ends: tuple[NetworkProtocol, ...] = (
            self.protocol(self._firstReceived),
            self.protocol(self._secondReceived),
        )
        self.sent = [0, 0]
        self.received = [0, 0]
        self.times: list[float] = []
        self.fault = ""
        self._clock = steady(clock)
        self._expected = b""
        self._answered: Deferred[None] | None = None

    # Methods that subclasses define

    @abstractmethod
    def protocol(self, receive: Receive) -> NetworkProtocol:
        """
        Return the control protocol for one end.

        @param receive: called with each packet.
        """

    @abstractmethod
    def packet(self, sender: int, text: bytes) -> bytes:
        """
        Return a packet from one end to the other.

        @param sender: the index of the end that sends it.
        @param text: octets that the packet must contain.
        """

    @abstractmethod
    def agreed(self) -> str:
        """
        Return what was negotiated, in words.
        """

    def ready(self) -> Deferred[None]:
        """
        Wait for what both ends need besides an open protocol.

        @return: fires when they have it.
        """
        return succeed(None)

    def send(self, sender: int, packet: bytes) -> None:
        """
        Send a packet from the end with the index C{sender}.
        """
        self.ends[sender].sendPacket(packet)

    # What all probes have in common

    @property
    def roundTrip(self) -> float:
        """
        The median time of a round, in seconds.
        """
        return median(self.times)

    async def run(self) -> None:
        """
        Ask L{ROUNDS} questions, each after the answer to the one before.

        @raise twisted.internet.defer.TimeoutError: an answer didn't come.
        """
        await self.ready().addTimeout(TIMEOUT, self._clock)
        for number in range(ROUNDS):
            text = b"%s%d" % (_MARK, number)
            self._expected = text + _ANSWER
            answered = self._answered = Deferred()
            began = self._clock.seconds()
            question = self.packet(0, text + _ASK)
            self.sent[0] += 1
            self.sent[1] += len(question)
            self.send(0, question)
            await answered.addTimeout(TIMEOUT, self._clock)
            self.times.append(self._clock.seconds() - began)

    def _firstReceived(self, packet: bytes) -> None:
        answered = self._answered
        if answered is not None and self._expected in packet:
            self.received[0] += 1
            self.received[1] += len(packet)
            self._answered = None
            answered.callback(None)

    def _secondReceived(self, packet: bytes) -> None:
        start = packet.find(_MARK)
        end = packet.find(_ASK, start)
        if 0 <= start < end:
            self.send(1, self.packet(1, packet[start:end] + _ANSWER))


class IPv4Probe(NetworkProbe):
    """
    UDP datagrams, which the kernel routes from call to call.
    """

    title = "IPv4"
    control = "IPCP"
    ends: tuple[IPCP, IPCP]

    def protocol(self, receive: Receive) -> IPCP:
        return IPCP(IPv4Settings.client(receive))

    def packet(self, sender: int, text: bytes) -> bytes:
        source, destination = (
            IPv4Address(self.ends[end].localAddress).packed for end in (sender, 1 - sender)
        )
        datagram = struct.pack("!HHHH", 7, 7, 8 + len(text), 0) + text
        fields = (0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0, source, destination)
        header = struct.pack("!BBHHHBBH4s4s", *fields)
        return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + datagram

    def agreed(self) -> str:
        return " and ".join(end.localAddress for end in self.ends)


class IPv6Probe(NetworkProbe):
    """
    UDP datagrams between addresses that the ends make from the prefixes advertised to them.
    """

    title = "IPv6"
    control = "IPV6CP"
    ends: tuple[IPV6CP, IPV6CP]

    def __init__(self, clock: IReactorTime) -> None:
        self._addresses: dict[int, IPv6Address] = {}
        self._ready: Deferred[None] = Deferred()
        super().__init__(clock)

    def protocol(self, receive: Receive) -> IPV6CP:
        return IPV6CP(IPv6Settings.client(receive))

    def ready(self) -> Deferred[None]:
        return self._ready

    def _firstReceived(self, packet: bytes) -> None:
        self._autoconfigure(0, packet)
        super()._firstReceived(packet)

    def _secondReceived(self, packet: bytes) -> None:
        self._autoconfigure(1, packet)
        super()._secondReceived(packet)

    def _autoconfigure(self, end: int, octets: bytes) -> None:
        """
        Make the address of an end from the first prefix in a Router Advertisement (RFC 4862).
        """
        packet = ipv6.decode(octets)
        message = packet.payload
        if packet.protocol != ICMPV6 or message[:1] != bytes((ROUTER_ADVERTISEMENT,)):
            return
        options = message[16:]
        while len(options) >= 8 and options[1]:
            size = options[1] * 8
            if options[0] == 3 and size == 32:
                address = IPv6Address(options[16:24] + self.ends[end].identifier)
                self._addresses[end] = address
                break
            options = options[size:]
        if len(self._addresses) == 2 and not self._ready.called:
            self._ready.callback(None)

    def packet(self, sender: int, text: bytes) -> bytes:
        source, destination = self._addresses[sender], self._addresses[1 - sender]
        return ipv6.encodeDatagram(source, destination, ipv6.Datagram(7, 7, text))

    def agreed(self) -> str:
        identifiers = (end.identifier.hex(":", 2) for end in self.ends)
        return "interface identifiers " + " and ".join(identifiers)


class EthernetProbe(NetworkProbe):
    """
    Frames of an experimental type, which the gateway switches.
    """

    title = "Ethernet"
    control = "BCP"
    ends: tuple[BCP, BCP]
    stations = (bytes.fromhex("020000000a0a"), bytes.fromhex("020000000b0b"))

    def protocol(self, receive: Receive) -> BCP:
        return BCP(BridgeSettings(receive=receive))

    def packet(self, sender: int, text: bytes) -> bytes:
        frame = self.stations[1 - sender] + self.stations[sender] + b"\x88\xb5" + text
        return frame.ljust(60, b"\x00")

    def agreed(self) -> str:
        granted = self.ends[0].negotiator.granted
        tinygrams = TINYGRAM_COMPRESSION in granted
        return "Ethernet" + (", tinygrams compressed" if tinygrams else "")


class MPLSProbe(NetworkProbe):
    """
    Labelled packets, whose labels the gateway swaps.
    """

    title = "MPLS"
    control = "MPLSCP"
    ends: tuple[MPLSCP, MPLSCP]
    labels = (100, 101)

    def protocol(self, receive: Receive) -> MPLSCP:
        return MPLSCP(MPLSSettings(receive, receive))

    def packet(self, sender: int, text: bytes) -> bytes:
        return mpls.encode([mpls.LabelStackEntry(self.labels[sender])], text)

    def agreed(self) -> str:
        return "nothing, it has no options"


class IPXProbe(NetworkProbe):
    """
    Packets from node to node, which the gateway routes.
    """

    title = "IPX"
    control = "IPXCP"
    ends: tuple[IPXCP, IPXCP]

    def protocol(self, receive: Receive) -> IPXCP:
        return IPXCP(IPXSettings(receive=receive))

    def packet(self, sender: int, text: bytes) -> bytes:
        source, destination = (
            wire.IPXAddress(self.ends[end].network, self.ends[end].node, 0x4000)
            for end in (sender, 1 - sender)
        )
        return wire.encodePacket(wire.UNKNOWN, destination, source, text)

    def agreed(self) -> str:
        nodes = " and ".join(end.node.hex() for end in self.ends)
        return f"network {self.ends[0].network:08x}, nodes {nodes}"


class GenericProbe(NetworkProbe):
    """
    A protocol that is declared, not programmed: AppleTalk, whose packets the gateway repeats.
    """

    title = "AppleTalk"
    control = "ATCP"
    ends: tuple[GenericProtocol, GenericProtocol]

    def protocol(self, receive: Receive) -> GenericProtocol:
        # A node of zeros asks the gateway for one (RFC 1378 section 3.1).
        rule = Rule(ask=bytes(4), required=True)
        declaration = replace(shipped()["appletalk"], options={1: rule})
        return protocolFor(declaration)(GenericSettings(lambda number, packet: receive(packet)))

    def packet(self, sender: int, text: bytes) -> bytes:
        return text

    def agreed(self) -> str:
        nodes = (end.negotiator.granted[1] for end in self.ends)
        return "nodes " + " and ".join(
            f"{int.from_bytes(node[1:3], 'big')}.{node[3]}" for node in nodes
        )


PROBES = (IPv4Probe, IPv6Probe, EthernetProbe, MPLSProbe, IPXProbe, GenericProbe)
