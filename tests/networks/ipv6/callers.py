"""
Callers with IPv6, each of them our own client, and their gateway, whose data paths are joined in
memory; and scapy as a DHCPv6 client.
"""

from __future__ import annotations

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
from twisted.internet.task import Clock

from pptpgw.auth.checkers import ChapSecretsChecker
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.networks.ipv6.ipv6cp import IPV6CP, IPv6Settings
from pptpgw.networks.ipv6.plugin import IPv6Factory, IPv6Sessions
from pptpgw.networks.ipv6.routed import RoutedIPV6CP
from pptpgw.ppp.client import ClientCall
from pptpgw.sessions.profile import Profile
from pptpgw.testing import ALICE, GREWorld, makeEnvironment, makeProtocol, resultOf
from tests.chapsecrets import secretsIn

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
    The protocol that a session of C{profile} gets.
    """
    protocol = makeProtocol(network, profile)
    assert isinstance(protocol, RoutedIPV6CP)
    return protocol


class Host:
    """
    A DHCPv6 client made of scapy's packets. It asks for an address and a prefix.
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


class Caller:
    """
    One call of our own client, with IPv4 and IPv6.

    @ivar packets: the IPv6 packets that it received.
    """

    def __init__(self, world: World, address: str) -> None:
        connection = world.connect(address)
        self.world = world
        self.packets: list[Any] = []
        protocols = [
            IPCP(IPv4Settings.client(lambda packet: None)),
            IPV6CP(IPv6Settings.client(self._receive)),
        ]
        self.placed = world.placeCall(connection, b"alice", b"open sesame", protocols)

    def _receive(self, packet: bytes) -> None:
        self.packets.append(IPv6(packet))

    @property
    def call(self) -> ClientCall:
        """
        The call, which must have been set up.
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
        The advertised prefix, without its length.
        """
        (prefix,) = {
            one[ICMPv6NDOptPrefixInfo].prefix for one in self.packets if ICMPv6ND_RA in one
        }
        return str(prefix)

    def asks(self, packet: Any) -> Any:
        """
        Send a packet, and return its only answer.
        """
        count = len(self.packets)
        self.ipv6cp.sendPacket(bytes(packet))
        self.world.run(0.01)
        (answer,) = self.packets[count:]
        return answer


class World(GREWorld):
    """
    A gateway with IPv4 and IPv6.
    """

    def __init__(self, folder: Path, text: str = SECTION) -> None:
        secrets = secretsIn(folder)
        text = f'[network]\nprotocols = ["ipv4", "ipv6"]\n[ipv6]\n{text}'
        super().__init__(text, [ChapSecretsChecker(secrets)])

    def call(self, count: int) -> list[Caller]:
        """
        Place C{count} calls, one after the other.
        """
        callers = [Caller(self, f"192.0.2.{10 + number}") for number in range(count)]
        self.run(0.2)
        return callers
