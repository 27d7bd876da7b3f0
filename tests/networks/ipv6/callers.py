"""
Callers with IPv6, each of them our own client, and their gateway, over data paths joined in memory;
and a DHCPv6 client of scapy's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from scapy.layers.dhcp6 import (
    DUID_LL,
    DHCP6_Advertise,
    DHCP6_Reply,
    DHCP6_Request,
    DHCP6_Solicit,
    DHCP6OptClientId,
    DHCP6OptIA_NA,
    DHCP6OptIA_PD,
    DHCP6OptIAAddress,
    DHCP6OptIAPrefix,
    DHCP6OptOptReq,
    DHCP6OptServerId,
)
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    ICMPv6ND_RA,
    ICMPv6NDOptPrefixInfo,
    IPv6,
)
from twisted.cred.portal import Portal
from twisted.internet.task import Clock
from twisted.python.filepath import FilePath

from pptpgw.auth.authenticator import Authenticator
from pptpgw.auth.checkers import ChapSecretsChecker
from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.auth.realm import SubscriberRealm
from pptpgw.datapath.edges import Receive, Send
from pptpgw.datapath.python import PythonDataPath
from pptpgw.gateway import Gateway
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.networks.ipv4.plugin import IPv4Factory
from pptpgw.networks.ipv6.ipv6cp import IPV6CP, IPv6Settings
from pptpgw.networks.ipv6.plugin import IPv6Factory, IPv6Sessions, RoutedIPV6CP
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.ppp.wire.ppp import decodeFrame
from pptpgw.sessions.profile import Profile
from pptpgw.testing import ALICE, answering, joined, makeEnvironment, makeProtocol, resultOf
from pptpgw.tunnels.pptp.callid import CallIDs
from pptpgw.tunnels.pptp.channel import GREChannels
from pptpgw.tunnels.pptp.client import ClientConnection
from pptpgw.tunnels.pptp.connection import ControlConnection
from pptpgw.tunnels.pptp.rules import Role
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from pptpgw.tunnels.pptp.wire.gre import decode

GATEWAY = "fc00:0:1::1"
SERVER = "192.0.2.1"
SECTION = 'dns = ["2001:db8::53"]\nsearch = ["example.net"]'


def made(
    text: str = "", mru: int = 1400, interface: Any = None, clock: Clock | None = None
) -> IPv6Sessions:
    """
    The network that the section C{text} makes.
    """
    factory = IPv6Factory()
    text = f"[link]\nmru = {mru}\n[ipv6]\n{text}"
    environment = makeEnvironment(text, clock, interface=interface)
    return factory.makeNetwork(environment.settings(factory), environment)


def protocolOf(network: IPv6Sessions, profile: Profile = ALICE) -> RoutedIPV6CP:
    """
    What a session gets, which is something.
    """
    protocol = makeProtocol(network, profile)
    assert isinstance(protocol, RoutedIPV6CP)
    return protocol


class Host:
    """
    A DHCPv6 client, as scapy has it, that wants an address and a prefix.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.client = DHCP6OptClientId(duid=DUID_LL(lladdr="02:00:00:00:00:01"))
        self.wish = DHCP6OptOptReq(reqopts=[23])

    def dhcp(self, message: Any) -> Any:
        return IPv6(src=self.address, dst="ff02::1:2", hlim=1) / UDP(sport=546, dport=547) / message

    def solicit(self) -> Any:
        associations = DHCP6OptIA_NA(iaid=1) / DHCP6OptIA_PD(iaid=2)
        return DHCP6_Solicit(trid=1) / self.client / self.wish / associations

    def request(self, offer: Any) -> Any:
        assert offer.haslayer(DHCP6_Advertise)
        message = DHCP6_Request(trid=2) / self.client / offer[DHCP6OptServerId].copy()
        message[DHCP6OptServerId].remove_payload()
        return message / self.wish / DHCP6OptIA_NA(iaid=1) / DHCP6OptIA_PD(iaid=2)

    def delegated(self, answer: Any) -> str:
        """
        The prefix in an answer.
        """
        assert answer.haslayer(DHCP6_Reply) or answer.haslayer(DHCP6_Advertise)
        (prefix,) = answer[DHCP6OptIA_PD].iapdopt
        assert isinstance(prefix, DHCP6OptIAPrefix)
        return f"{prefix.prefix}/{prefix.plen}"

    def leased(self, answer: Any) -> str:
        """
        The address in an answer.
        """
        (address,) = answer[DHCP6OptIA_NA].ianaopts
        assert isinstance(address, DHCP6OptIAAddress)
        return str(address.addr)


class MemoryGRE:
    """
    The GRE port of one address, on a wire that all of a test share.
    """

    def __init__(self, clock: Clock, wire: dict[str, MemoryGRE], address: str) -> None:
        self.receivers: dict[tuple[str, int], Receive] = {}
        self._clock = clock
        self._wire = wire
        wire[address] = self

    def register(self, peerAddress: str, localCallID: int, receive: Receive) -> None:
        self.receivers[peerAddress, localCallID] = receive

    def unregister(self, peerAddress: str, localCallID: int) -> None:
        self.receivers.pop((peerAddress, localCallID), None)

    def sender(self, localAddress: str, peerAddress: str) -> Send:
        def send(octets: bytes) -> None:
            other = self._wire[peerAddress]
            self._clock.callLater(0.001, other.arrived, localAddress, bytes(octets))

        return send

    def sendFailed(self, error: OSError) -> None:
        raise error

    def arrived(self, address: str, octets: bytes) -> None:
        callID, payload, sequence, _ = decode(octets)
        receive = self.receivers.get((address, callID))
        if receive is not None and sequence is None:
            receive(-1, 0, [b""])
        elif receive is not None and sequence is not None:
            receive(sequence, *_frame(payload))


def _frame(payload: bytes) -> tuple[int, list[bytes]]:
    protocol, information = decodeFrame(payload)
    return protocol, [information]


class Caller:
    """
    One call of our own client, with IPv4 and IPv6.

    @ivar packets: what it received of IPv6.
    """

    def __init__(self, world: World, address: str) -> None:
        gre = MemoryGRE(world.clock, world.wire, address)
        connection = ClientConnection(world.clock, PythonDataPath(world.clock), 30)
        ids, settings = CallIDs(world.clock), ConnectionSettings()
        pns = ControlConnection(
            world.clock,
            settings,
            ids,
            connection,
            Role.PNS,
            address,
            SERVER,
            channels=GREChannels(lambda address: gre),
        )
        pac = ControlConnection(
            world.clock,
            settings,
            world.callIDs,
            answering(world.gateway),
            Role.PAC,
            SERVER,
            address,
            channels=world.channels,
        )
        joined(world.clock, pns, pac)
        world.run(0.02)
        self.world = world
        self.packets: list[Any] = []
        self.placed = connection.placeCall(
            LinkSettings(identity=Identity(b"alice", b"open sesame", (MSCHAPV2,))),
            [
                IPCP(IPv4Settings.client(lambda packet: None)),
                IPV6CP(IPv6Settings.client(self._receive)),
            ],
        )

    def _receive(self, packet: bytes) -> None:
        self.packets.append(IPv6(packet))

    @property
    def call(self) -> ClientCall:
        """
        The call, which is set up.
        """
        placed: ClientCall = resultOf(self.placed)
        return placed

    @property
    def ipv6cp(self) -> IPV6CP:
        protocol = self.call.protocols["ipv6"]
        assert isinstance(protocol, IPV6CP)
        return protocol

    @property
    def prefix(self) -> str:
        """
        The prefix that was advertised, without its length.
        """
        (prefix,) = {
            one[ICMPv6NDOptPrefixInfo].prefix for one in self.packets if ICMPv6ND_RA in one
        }
        return str(prefix)

    def asks(self, packet: Any) -> Any:
        """
        Send a packet, and get the one answer.
        """
        count = len(self.packets)
        self.ipv6cp.sendPacket(bytes(packet))
        self.world.run(0.01)
        (answer,) = self.packets[count:]
        return answer


class World:
    """
    A gateway with IPv4 and IPv6.
    """

    def __init__(self, folder: Path, text: str = SECTION) -> None:
        secrets = FilePath(str(folder)).child("chap-secrets")
        secrets.setContent(b'alice * "open sesame" *\n')
        secrets.chmod(0o600)
        self.clock = Clock()
        self.wire: dict[str, MemoryGRE] = {}
        self.written: list[bytes] = []
        gre = MemoryGRE(self.clock, self.wire, SERVER)
        self.tun = TUN()
        self.channels = GREChannels(lambda address: gre)
        self.dataPath = PythonDataPath(self.clock, self.tun)
        self.callIDs = CallIDs(self.clock)
        self.network = made(text, clock=self.clock)
        ipv4 = IPv4Factory()
        environment = makeEnvironment(clock=self.clock)
        self.gateway = Gateway(
            self.clock,
            LinkSettings(methods=(MSCHAPV2,), name=b"gateway"),
            {"ipv4": ipv4.makeNetwork(ipv4.settings(), environment), "ipv6": self.network},
            self.dataPath,
            Authenticator(Portal(SubscriberRealm(), [ChapSecretsChecker(secrets)])),
        )

    def call(self, count: int) -> list[Caller]:
        """
        So many callers, one after the other.
        """
        callers = [Caller(self, f"192.0.2.{10 + number}") for number in range(count)]
        self.run(0.2)
        return callers

    def run(self, seconds: float, step: float = 0.001) -> None:
        for _ in range(int(seconds / step)):
            self.clock.advance(step)


class TUN:
    """
    A TUN device that keeps what is written.
    """

    receive: Callable[[bytes], object]

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.write: Callable[[bytes], object] = self.written.append
