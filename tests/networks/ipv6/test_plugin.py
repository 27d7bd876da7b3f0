"""
Tests for L{pptpgw.networks.ipv6.plugin}: the gateway's network, and what it gives one session.
Scapy reads the packets.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.dhcp6 import (
    DHCP6OptDNSServers,
)
from scapy.layers.inet6 import (
    ICMPv6ND_RA,
    ICMPv6NDOptDNSSL,
    ICMPv6NDOptMTU,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptRDNSS,
    IPv6,
)
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from pptpgw.error import ConfigurationError
from pptpgw.interfaces import (
    Attachment,
    Attachments,
    ICountedPools,
    INetwork,
    INetworkFactory,
    INetworkProtocol,
    PoolFigures,
)
from pptpgw.networks.ipv6.plugin import IPv6Factory, IPv6Sessions
from pptpgw.networks.ipv6.routed import RoutedIPV6CP
from pptpgw.ports import sysctl
from pptpgw.ppp.wire import ppp
from pptpgw.sessions.profile import Profile
from pptpgw.testing import ALICE, DrivenLink, MemoryInterface, makeProtocol
from tests.networks.ipv6.callers import GATEWAY, SECTION, Host, made, protocolOf

OWN = IPv6Network("2001:db8:1::/64")


@pytest.fixture
def switches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """
    A function that sets two sysctls: C{disable_ipv6} of our interface and C{forwarding} of all.
    """
    monkeypatch.setattr(sysctl, "FOLDER", tmp_path)
    for name in ("all", "pptp0"):
        (tmp_path / name).mkdir()

    def set(disabled: str, forwarding: str) -> None:
        (tmp_path / "pptp0" / "disable_ipv6").write_text(disabled)
        (tmp_path / "all" / "forwarding").write_text(forwarding)

    return set


Switches = Callable[[str, str], None]


class TestNetwork:
    """
    Tests for the network, and for what it gives sessions.
    """

    def test_interfaces(self) -> None:
        verifyObject(INetworkFactory, IPv6Factory())
        verifyObject(INetwork, made())
        verifyObject(ICountedPools, made())

    def test_figures(self) -> None:
        """
        The pool of links counts what sessions have, without the prefix of the gateway. A prefix is
        from the pool whose networks it lies in.
        """
        network = made('prefixes = "fc00:0:1::/60"\ndelegate = "fc00:1::/52"')
        free = [PoolFigures("link", 15, 0), PoolFigures("delegated", 16, 0)]
        assert network.figures() == free
        profile = Profile("bob", prefix=IPv6Network("fc00:0:1:4::/63"))
        protocols = [protocolOf(network), protocolOf(network, profile)]
        assert network.figures() == [PoolFigures("link", 15, 3), PoolFigures("delegated", 16, 0)]
        for protocol in protocols:
            network.release(protocol)
        assert network.figures() == free
        for text, name in (
            ("fc00:0:1:4::/64", "link"),
            ("fc00:1:0:100::/56", "delegated"),
            ("2001:db8::/64", ""),
        ):
            assert network.poolOf(IPv6Network(text)) == name

    def test_addressAndRoutes(self, switches: Switches, log: list[str]) -> None:
        switches("0", "1")
        interface = MemoryInterface()
        network = made(interface=interface)
        network.start()
        network.stop()
        assert interface.told == [
            f"address {GATEWAY}/128",
            "route fc00:0:1::/48",
            "route fc00:1::/36",
        ]
        assert log == []

    def test_noKernel(self, log: list[str]) -> None:
        made().start()
        assert log == []

    def test_notForwarded(self, switches: Switches, log: list[str]) -> None:
        """
        A kernel that doesn't forward IPv6 is reported once, and callers still get prefixes.
        """
        switches("0", "0")
        network = made(interface=MemoryInterface())
        network.start()
        protocolOf(network)
        assert len(log) == 1 and "sysctl net.ipv6.conf.all.forwarding=1" in log[0]

    def test_disabled(self, switches: Switches, log: list[str]) -> None:
        """
        An interface on which IPv6 is disabled is reported once, and sessions go without IPv6.
        """
        switches("1", "1")
        interface = MemoryInterface()
        network = made(interface=interface)
        network.start()
        assert makeProtocol(network, Profile("alice")) is None
        assert interface.told == []
        assert len(log) == 1 and "disable_ipv6=0" in log[0]

    def test_prefixes(self) -> None:
        """
        Each session has its own prefix, and the gateway's is never given.
        """
        network = made('prefixes = ["fc00:0:1::/62", "fc00:0:9::/64"]')
        protocols = [protocolOf(network) for _ in range(4)]
        assert [str(one.prefix) for one in protocols] == [
            "fc00:0:1:1::/64",
            "fc00:0:1:2::/64",
            "fc00:0:1:3::/64",
            "fc00:0:9::/64",
        ]
        network.release(protocols[2])
        network.release(protocols[0])
        assert protocolOf(network).prefix == protocols[2].prefix

    def test_prefixesUsedUp(self, log: list[str]) -> None:
        """
        A session for which no prefix is left goes without IPv6.
        """
        network = made('prefixes = "fc00:0:1::/63"')
        protocol = protocolOf(network)
        assert makeProtocol(network, Profile("bob")) is None
        assert log == ["bob goes without IPv6: all IPv6 prefixes of 64 bits are in use"]
        network.release(protocol)
        protocolOf(network)

    def test_anAccountsPrefix(self, log: list[str]) -> None:
        """
        An account's own prefix comes from no pool, goes to one session at a time, and no pool gives
        a part of it.
        """
        network = made('prefixes = "fc00:0:1::/62"\ndelegate = []')
        static = Profile("bob", prefix=IPv6Network("fc00:0:1:2::/64"))
        protocol = protocolOf(network, static)
        assert str(protocol.prefix) == "fc00:0:1:2::/64"
        assert makeProtocol(network, static) is None
        assert log == ["bob goes without IPv6: fc00:0:1:2::/64 is in use"]
        pooled = [str(protocolOf(network).prefix) for _ in range(2)]
        assert pooled == ["fc00:0:1:1::/64", "fc00:0:1:3::/64"]
        assert makeProtocol(network, Profile("carol")) is None
        network.release(protocol)
        assert protocolOf(network, static).prefix == protocol.prefix

    def test_prefixesThatNoAccountCanHave(self, log: list[str]) -> None:
        """
        An account can't have a prefix longer than a link's, or one that contains the gateway's own
        address.
        """
        network = made()
        for prefix in ("2001:db8::/80", "fc00:0:1::/48", "::/0"):
            profile = Profile("bob", prefix=IPv6Network(prefix))
            assert makeProtocol(network, profile) is None
        assert log == [
            "bob goes without IPv6: its own prefix, 2001:db8::/80, is longer than 64",
            "bob goes without IPv6: fc00:0:1::/48 is in use",
            "bob goes without IPv6: ::/0 is in use",
        ]

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ('prefixes = "fc00::/64"', r"\[ipv6\] prefixes = fc00::/64: .* two /64"),
            ("prefixes = []", r"\[ipv6\] prefixes = none: .* two /64"),
            ('prefixes = ["fc00::/48", "fc00::/60"]', "fc00::/48 overlaps fc00::/60"),
            ('delegate = "fc00::/40"', "fc00:0:1::/48 overlaps fc00::/40"),
            ('delegate = "fc00:1::/60"', r"delegate-length = 56: must be from 60 to 64"),
            ("preferred-lifetime = 7201", "preferred-lifetime = 7201: must be at most .* 7200"),
            (
                "search = [" + ", ".join(f'"{"x" * 60}.x{one}"' for one in range(20)) + "]",
                "dns and search: .* octets",
            ),
        ],
    )
    def test_faults(self, text: str, fault: str) -> None:
        with pytest.raises(ConfigurationError, match=fault):
            made(text)

    def test_narrow(self) -> None:
        made(mru=1284)
        with pytest.raises(ConfigurationError, match=r"\[link\] mru = 1283: IPv6 needs 1284"):
            made(mru=1283)


class Link(DrivenLink[RoutedIPV6CP]):
    """
    The link of one protocol, which is open.

    @ivar found: the attachment after each time that the protocol opened or changed it.
    """

    def __init__(self, network: IPv6Sessions, clock: Clock, profile: Profile = ALICE) -> None:
        self.found: list[Attachment] = []
        super().__init__(protocolOf(network, profile), 1500, clock)
        self.protocol.lowerUp()
        self.negotiate()

    def negotiate(self) -> None:
        """
        Ask for an identifier, and acknowledge ours.
        """
        self.agree((1, "00000000000000bb"))

    @property
    def heard(self) -> list[Any]:
        """
        The packets that the peer received.
        """
        return [IPv6(packet) for _, packet in self.packets]

    def local(self, packet: bytes) -> None:
        """
        Deliver a packet that is for the link alone.
        """
        local = self.found[-1].local
        assert local is not None
        local(packet)

    def networkOpened(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        super().networkOpened(protocol, attachments)
        self.found.append(attachments[0x57])

    def networkChanged(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        super().networkChanged(protocol, attachments)
        self.found.append(attachments[0x57])


class TestProtocol:
    """
    Tests for the protocol of one session.
    """

    def opened(self, text: str = SECTION) -> Link:
        clock = Clock()
        return Link(made(text, clock=clock), clock)

    def test_advertised(self) -> None:
        """
        The prefix is advertised at once, and it is all that the attachment's addresses contain.
        """
        link = self.opened()
        (attachment,) = link.found
        assert attachment.addresses == (IPv6Network("fc00:0:1:1::/64"),)
        assert (attachment.mtu, attachment.receive) == (1400, None)
        (advertisement,) = link.heard
        assert advertisement.src == str(link.protocol.localAddress)
        told = advertisement[ICMPv6ND_RA]
        assert (told.M, told.O, told.routerlifetime) == (0, 1, 1800)
        prefix = told[ICMPv6NDOptPrefixInfo]
        assert (prefix.prefix, prefix.prefixlen, prefix.L, prefix.A) == ("fc00:0:1:1::", 64, 0, 1)
        assert (prefix.preferredlifetime, prefix.validlifetime) == (3600, 7200)
        assert told[ICMPv6NDOptMTU].mtu == 1396
        assert (told[ICMPv6NDOptRDNSS].dns, told[ICMPv6NDOptRDNSS].lifetime) == (
            ["2001:db8::53"],
            1800,
        )
        assert told[ICMPv6NDOptDNSSL].searchlist[0] == "example.net."

    @pytest.mark.parametrize(
        ("text", "flags"), [("managed = true", (1, 1)), ("dhcp = false\nmanaged = true", (0, 0))]
    )
    def test_flags(self, text: str, flags: tuple[int, int]) -> None:
        told = self.opened(text).heard[0][ICMPv6ND_RA]
        assert flags == (told.M, told.O)

    def test_closed(self) -> None:
        """
        A last advertisement is sent when we end the protocol, and nothing after it.
        """
        link = self.opened()
        link.protocol.close("enough")
        assert [packet[ICMPv6ND_RA].routerlifetime for packet in link.heard] == [1800, 0]
        assert link.told[1:] == ["closed"]
        link.clock.pump([1] * 1000)
        assert len(link.heard) == 2
        assert link.protocol.attachment().local is None

    @pytest.mark.parametrize("end", ["lowerDown", "terminated"])
    def test_ended(self, end: str) -> None:
        """
        Nothing is sent when the peer or the link ends the protocol.
        """
        link = self.opened()
        if end == "lowerDown":
            link.protocol.lowerDown()
        else:
            link.protocol.received(ppp.encodePacket(ppp.TERMINATE_REQUEST, 9))
        link.clock.pump([1] * 1000)
        assert len(link.heard) == 1

    def test_negotiatedAnew(self) -> None:
        """
        A protocol that is negotiated anew advertises the same prefix again.
        """
        link = self.opened()
        link.protocol.lowerDown()
        link.protocol.lowerUp()
        link.negotiate()
        assert [bytes(packet) for packet in link.heard] == [bytes(link.heard[0])] * 2
        assert link.told == ["opened", "closed", "opened"]
        assert [one.addresses for one in link.found] == [(link.protocol.prefix,)] * 2

    def test_delegated(self) -> None:
        """
        A delegated prefix leads to the session as long as it is delegated.
        """
        link = self.opened()
        host = Host("fe80::bb")

        def ask(message: Any) -> Any:
            link.local(bytes(host.dhcp(message)))
            return link.heard[-1]

        offer = ask(host.solicit())
        assert len(link.found) == 1
        reply = ask(host.request(offer))
        delegated = IPv6Network("fc00:1::/56")
        assert link.found[1].addresses == (link.protocol.prefix, delegated)
        assert host.delegated(reply) == "fc00:1::/56"
        assert reply[DHCP6OptDNSServers].dnsservers == ["2001:db8::53"]
        link.protocol.lowerDown()
        link.protocol.lowerUp()
        link.negotiate()
        assert link.found[-1].addresses == (link.protocol.prefix, delegated)
        link.clock.pump([10] * 721)
        assert link.attachments[0x57].addresses == (link.protocol.prefix,)

    def test_leaseEndsWhileItIsClosed(self) -> None:
        link = self.opened()
        host = Host("fe80::bb")
        link.local(bytes(host.dhcp(host.solicit())))
        link.local(bytes(host.dhcp(host.request(link.heard[-1]))))
        link.protocol.lowerDown()
        count = len(link.found)
        link.clock.pump([10] * 721)
        assert len(link.found) == count

    def test_release(self) -> None:
        """
        A session's delegated prefix is free when the session has ended.
        """
        clock = Clock()
        network = made('delegate = "fc00:1::/56"', clock=clock)
        for _ in range(2):
            link, host = Link(network, clock), Host("fe80::bb")
            link.local(bytes(host.dhcp(host.solicit())))
            assert host.delegated(link.heard[-1]) == "fc00:1::/56"
            link.local(bytes(host.dhcp(host.request(link.heard[-1]))))
            assert host.delegated(link.heard[-1]) == "fc00:1::/56"
            assert network.figures()[1] == PoolFigures("delegated", 1, 1)
            link.protocol.lowerDown()
            network.release(link.protocol)
            assert network.figures()[1] == PoolFigures("delegated", 1, 0)
        assert clock.getDelayedCalls() == []

    def test_noDHCPv6(self) -> None:
        link = self.opened("dhcp = false")
        host = Host("fe80::bb")
        link.local(bytes(host.dhcp(host.solicit())))
        assert len(link.heard) == 1

    def test_whatAnAccountGives(self) -> None:
        """
        An account may give a prefix larger than a link's, all of which leads to the session,
        networks behind the session, name servers, and the identifier that the peer must take.
        """
        profile = Profile(
            "alice",
            prefix=IPv6Network("2001:db8:1::/56"),
            routes=(
                IPv6Network("2001:db8:2::/48"),
                IPv6Network("fc00:1:8::/56"),
                IPv4Network("192.168.7.0/24"),
            ),
            dns6=tuple(IPv6Address(one) for one in range(1, 200)),
            identifier=bytes.fromhex("00000000000000bb"),
            mtu=900,
        )
        clock = Clock()
        link = Link(made(SECTION, clock=clock), clock, profile)
        (attachment,) = link.found
        assert attachment.addresses == (
            IPv6Network("2001:db8:1::/64"),
            IPv6Network("2001:db8:1::/56"),
            IPv6Network("2001:db8:2::/48"),
        )
        assert attachment.mtu == 1284
        (advertisement,) = link.heard
        assert advertisement[ICMPv6NDOptMTU].mtu == 1280
        assert len(bytes(advertisement)) <= 1280
        assert advertisement[ICMPv6NDOptRDNSS].dns[:2] == ["::1", "::2"]
        link.protocol.received(bytes.fromhex("0107000e010a 00000000000000cc"))
        assert link.sent[-1].hex() == "0307000e010a00000000000000bb"

    @pytest.mark.parametrize("narrow", ["2001:db8:1::/64", "2001:db8:1::5/128"])
    @pytest.mark.parametrize("own", [{"prefix": OWN}, {"delegated": OWN}])
    def test_whatASessionHasLeadsToNobodyElse(
        self, narrow: str, own: dict[str, Any], log: list[str]
    ) -> None:
        """
        A prefix of one user, or a part of it, can't be a network behind another user, nor the other
        way round.
        """
        clock = Clock()
        network = made(SECTION, clock=clock)
        router = Profile("bob", routes=(IPv6Network(narrow),))
        owner = Profile("alice", **own)
        one = Link(network, clock, owner)
        two = Link(network, clock, router)
        assert IPv6Network(narrow) not in two.found[-1].addresses
        network.release(one.protocol)
        network.release(two.protocol)
        two = Link(network, clock, router)
        assert IPv6Network(narrow) in two.found[-1].addresses
        assert makeProtocol(network, owner) is None
        assert "2001:db8:1::/64 leads to bob" in log[-1]
        network.release(two.protocol)
        Link(network, clock, owner)

    def test_anAccountsDelegatedPrefix(self, log: list[str]) -> None:
        """
        DHCPv6 lends only the account's own delegated prefix, to one association at a time, and
        nothing of it comes from the pool.
        """
        clock = Clock()
        network = made('prefixes = "fc00:0:1::/48"\ndelegate = "fc00:1::/55"', clock=clock)
        profile = Profile("alice", delegated=IPv6Network("fc00:1::/56"))
        dns = (IPv6Address("2001:db8::99"),)
        other, link = (
            Link(network, clock, one)
            for one in (ALICE, Profile("alice", delegated=profile.delegated, dns6=dns))
        )

        def ask(link: Link, message: Any) -> Any:
            link.local(bytes(Host("fe80::bb").dhcp(message)))
            return link.heard[-1]

        host = Host("fe80::bb")
        reply = ask(link, host.request(ask(link, host.solicit())))
        assert host.delegated(reply) == "fc00:1::/56"
        assert reply[DHCP6OptDNSServers].dnsservers == ["2001:db8::99"]
        assert link.found[-1].addresses == (link.protocol.prefix, profile.delegated)
        assert host.delegated(ask(other, host.solicit())) == "fc00:1:0:100::/56"
        network.release(link.protocol)
        again = Link(network, clock, profile)
        assert host.delegated(ask(again, host.solicit())) == "fc00:1::/56"
