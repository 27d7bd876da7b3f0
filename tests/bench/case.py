"""
The network protocols of L{tests.bench.packets}, with the way of each one's packets through the
server.

 - C{in}: from the peer to the kernel, which forwards them.
 - C{out}: from the kernel to the peer.
 - C{across}: from the peer of one session to that of another; no kernel is between them.
"""

from __future__ import annotations

import json
import struct
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from pptpgw.config.environment import Environment
from pptpgw.datapath.channel import Channel
from pptpgw.interfaces import Attachment, Attachments, INetwork, INetworkProtocol
from pptpgw.networks.ethernet import wire
from pptpgw.networks.ethernet.bcp import BCP, BridgeSettings
from pptpgw.networks.ethernet.plugin import BridgedSession, BridgeFactory, BridgeSection
from pptpgw.networks.generic.control import GenericSettings, protocolFor
from pptpgw.networks.generic.declaration import Declaration
from pptpgw.networks.generic.plugin import GenericNetwork
from pptpgw.networks.ipx import wire as ipx
from pptpgw.networks.ipx.ipxcp import IPXCP, IPXSettings
from pptpgw.networks.ipx.plugin import IPXFactory, IPXSection
from pptpgw.networks.mpls.mplscp import MPLSCP, MPLSSettings
from pptpgw.networks.mpls.plugin import MPLSFactory, MPLSSection
from pptpgw.networks.mpls.wire import mpls
from pptpgw.networks.protocol import NetworkProtocol
from pptpgw.networks.wire.checksum import checksum
from pptpgw.sessions.profile import Profile
from pptpgw.testing import DrivenLink, makeProtocol, makeSession
from tests.bench.namespaces import BEYOND, NEIGHBOUR, run

USER = Profile("bench")
TUN = "bench0"
TAP = "bench1"
GATEWAY, SUBSCRIBER = "10.77.0.1", "10.77.0.10"
STATION = "10.78.0.10"
STATION_ADDRESS = "02:00:00:00:00:0a"
SUBSCRIBER6 = "2001:db8:1::10"
BEYOND6 = "2001:db8:2::2"
JOINABLE = "IPv4 with checksums"
LARGEST = 1450
"""
The most octets that a packet has.
"""


def datagram(source: str, destination: str, size: int) -> bytes:
    """
    An IPv4 packet of C{size} octets with a UDP datagram that has no checksum.
    """

    def header(value: int) -> bytes:
        return struct.pack(
            "!BBHHHBBH4s4s",
            *(0x45, 0, size, 0, 0x4000, 64, 17, value),
            IPv4Address(source).packed,
            IPv4Address(destination).packed,
        )

    udp = struct.pack("!HHHH", 9, 9, size - 20, 0)
    return header(checksum(header(0))) + udp + bytes(size - 28)


def datagram6(source: str, destination: str, size: int) -> bytes:
    """
    An IPv6 packet of C{size} octets with a UDP datagram.
    """
    addresses = IPv6Address(source).packed + IPv6Address(destination).packed
    header = struct.pack("!IHBB", 0x60000000, size - 40, 17, 64)
    return header + addresses + struct.pack("!HHHH", 9, 9, size - 40, 0) + bytes(size - 48)


@dataclass(frozen=True, slots=True)
class Server:
    """
    The server in which a case is opened, with the calls of two sessions.
    """

    environment: Environment
    first: Channel
    second: Channel


class End(DrivenLink[NetworkProtocol]):
    """
    The gateway's end of a negotiation in this process, which has the packets of its call.
    """

    def __init__(self, protocol: NetworkProtocol, clock: Any, channel: Channel) -> None:
        self.channel = channel
        super().__init__(protocol, LARGEST, clock)

    def sendPacket(self, number: int, packet: bytes) -> None:
        self.channel.sendPacket(number, packet)

    def networkOpened(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        super().networkOpened(protocol, attachments)
        for number, attachment in attachments.items():
            self.channel.openNetwork(number, attachment)


def join(network: INetwork, peer: NetworkProtocol, server: Server, channel: Channel) -> Any:
    """
    Make and open the gateway's end of a protocol on C{channel}, with C{peer} as the other end.

    @return: the gateway's end.
    """
    clock = server.environment.reactor
    protocol: NetworkProtocol = makeProtocol(network, USER)
    ours, theirs = End(protocol, clock, channel), DrivenLink(peer, LARGEST, clock)
    for end in (ours, theirs):
        end.protocol.lowerUp()
    while ours.sent or theirs.sent:
        for end, other in ((ours, theirs), (theirs, ours)):
            if end.sent:
                other.protocol.received(end.sent.pop(0))
    if ours.told != ["opened"]:
        raise RuntimeError(f"{protocol.name} didn't open")
    return protocol


class Case(ABC):
    """
    A network protocol.

    @cvar name: its name in the table.
    @cvar modes: the ways that are measured.
    @cvar address: the destination of datagrams that go out.
    @cvar headers: the octets in a packet around the payload of such a datagram.
    """

    name: str
    modes: tuple[str, ...] = ("across",)
    address = ""
    headers = 28

    @abstractmethod
    def open(self, server: Server) -> None:
        """
        Open everything that the packets need.
        """

    @abstractmethod
    def packet(self, size: int) -> tuple[int, bytes]:
        """
        The protocol number and the octets of a packet of C{size} octets from the first session's
        peer.
        """


class IPv4Case(Case):
    """
    IPv4, which the kernel routes.
    """

    name = "IPv4"
    modes: tuple[str, ...] = ("in", "out")
    address = SUBSCRIBER

    def open(self, server: Server) -> None:
        run(f"ip address add {GATEWAY}/24 dev {TUN}")
        server.first.openNetwork(0x0021, Attachment((IPv4Network(SUBSCRIBER),), 1500))

    def packet(self, size: int) -> tuple[int, bytes]:
        return 0x0021, datagram(SUBSCRIBER, BEYOND, size)


class JoinableCase(IPv4Case):
    """
    IPv4 with datagrams that have checksums, so that they may be joined on their way to the kernel.
    """

    name = JOINABLE
    modes = ("in",)

    def packet(self, size: int) -> tuple[int, bytes]:
        protocol, plain = super().packet(size)
        pseudo = plain[12:20] + struct.pack("!HH", 17, size - 20)
        return protocol, plain[:26] + checksum(pseudo + plain[20:]).to_bytes(2, "big") + plain[28:]


class IPv6Case(Case):
    """
    IPv6, which the kernel routes.
    """

    name = "IPv6"
    modes: tuple[str, ...] = ("in", "out")
    address = SUBSCRIBER6
    headers = 48

    def open(self, server: Server) -> None:
        run(
            "sysctl -qw net.ipv6.conf.all.forwarding=1",
            f"ip address add 2001:db8:1::1/64 dev {TUN} nodad",
            "ip address add 2001:db8:2::1/64 dev beyond nodad",
            f"ip neighbor replace {BEYOND6} lladdr {NEIGHBOUR} dev beyond",
        )
        prefix = IPv6Network("2001:db8:1::/64")
        server.first.openNetwork(0x0057, Attachment((prefix,), 1500, local=lambda packet: None))

    def packet(self, size: int) -> tuple[int, bytes]:
        return 0x0057, datagram6(SUBSCRIBER6, BEYOND6, size)


class EthernetCase(Case):
    """
    The Ethernet switch and a TAP device, behind which the kernel routes IPv4.
    """

    name = "Ethernet"
    modes: tuple[str, ...] = ("in", "out")
    address = STATION
    headers = wire.HEADER_OCTETS + wire.FRAME_HEADER + 28

    def open(self, server: Server) -> None:
        settings = BridgeSection(interface=TAP)
        network = BridgeFactory().makeNetwork(settings, server.environment)
        network.start()
        run(
            f"ip address add 10.78.0.1/24 dev {TAP}",
            f"ip neighbor replace {STATION} lladdr {STATION_ADDRESS} dev {TAP}",
        )
        peer = BCP(BridgeSettings(receive=lambda frame: None, mtu=LARGEST))
        session: BridgedSession = join(network, peer, server, server.first)
        # The switch learns the place of the station from a frame of its own.
        session.frameReceived(self._frame(bytes(46)))

    def _frame(self, payload: bytes) -> bytes:
        command = ["ip", "-j", "link", "show", TAP]
        shown = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        addresses = (shown[0]["address"], STATION_ADDRESS)
        kernel, station = (bytes.fromhex(one.replace(":", "")) for one in addresses)
        return kernel + station + b"\x08\x00" + payload

    def packet(self, size: int) -> tuple[int, bytes]:
        inner = size - wire.HEADER_OCTETS - wire.FRAME_HEADER
        frame = self._frame(datagram(STATION, BEYOND, inner))
        return 0x0031, bytes((0, wire.ETHERNET)) + frame


class MPLSCase(Case):
    """
    The MPLS label switch.
    """

    name = "MPLS"

    def open(self, server: Server) -> None:
        addresses = IPv4Address("10.77.0.10"), IPv4Address("10.77.0.11")
        settings = MPLSSection(routes=((100, 200, addresses[1]),))
        network = MPLSFactory().makeNetwork(settings, server.environment)
        network.start()
        for address, channel in zip(addresses, (server.first, server.second), strict=True):
            peer = MPLSCP(MPLSSettings(lambda packet: None, lambda packet: None, LARGEST))
            protocol = join(network, peer, server, channel)
            session = makeSession(USER, counters=channel.counters)
            session.networks["ipv4"] = (IPv4Network(address),)
            network.protocolOpened(session, protocol)

    def packet(self, size: int) -> tuple[int, bytes]:
        stack = mpls.encode([mpls.LabelStackEntry(100)], b"")
        return 0x0281, stack + bytes(size - len(stack))


class IPXCase(Case):
    """
    The IPX router, from node to node.
    """

    name = "IPX"

    def open(self, server: Server) -> None:
        network = IPXFactory().makeNetwork(IPXSection(), server.environment)
        network.start()
        self._peers = []
        for channel in (server.first, server.second):
            peer = IPXCP(IPXSettings(receive=lambda packet: None, mtu=LARGEST))
            join(network, peer, server, channel)
            self._peers.append(peer)

    def packet(self, size: int) -> tuple[int, bytes]:
        source, destination = (
            ipx.IPXAddress(peer.network, peer.node, 0x4000) for peer in self._peers
        )
        empty = ipx.encodePacket(ipx.UNKNOWN, destination, source, b"")
        data = bytes(size - len(empty))
        return 0x002B, ipx.encodePacket(ipx.UNKNOWN, destination, source, data)


class HubCase(Case):
    """
    The hub of a declared protocol.
    """

    name = "declared"

    def open(self, server: Server) -> None:
        declaration = Declaration("bench", 0x80C3, (0x00C3,))
        network = GenericNetwork(declaration, server.environment)
        network.start()
        for channel in (server.first, server.second):
            settings = GenericSettings(lambda number, packet: None, mtu=LARGEST)
            peer = protocolFor(declaration)(settings)
            join(network, peer, server, channel)

    def packet(self, size: int) -> tuple[int, bytes]:
        return 0x00C3, bytes(size)


CASES = {
    case.name: case
    for case in (
        IPv4Case(),
        JoinableCase(),
        IPv6Case(),
        EthernetCase(),
        MPLSCase(),
        IPXCase(),
        HubCase(),
    )
}
