"""
IPv6 for the whole gateway: each session gets a /64 of its own, which its router advertises, and
whatever prefixes DHCPv6 delegates to it.

The rules:

 - The first /64 isn't given to anybody, its first address is the gateway's. A session for which no
   /64 is left goes without IPv6, as all do where the kernel has none.
 - The prefix is told to be not on-link, as nobody else has addresses of it, and good for making
   addresses (RFC 8273 section 4). Whether there is DHCPv6 is told too: hosts ask it for what else
   there is, routers for prefixes.
 - What an account names comes before what the configuration says: prefixes, name servers, the
   interface identifier. Pools give nothing of its prefixes while it has them. Of a prefix that is
   larger than a /64 the first /64 is the link's, and all of it leads there; with one that is
   smaller, or that another session has, a session goes without IPv6.
 - Networks behind a user lead to its session, as L{pptpgw.networks.routes} has it.
 - Where an account names a filter, L{pptpgw.sessions.gate} says what passes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Interface, IPv6Network
from itertools import combinations
from uuid import NAMESPACE_OID, uuid5

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from pptpgw.config.kind import BOOLEAN, DOMAINS, IPV6_ADDRESSES, PREFIXES, key, whole
from pptpgw.counting.counters import Counters
from pptpgw.error import ConfigurationError, Exhausted, Refused
from pptpgw.interfaces import (
    Attachment,
    Caller,
    IEnvironment,
    INetwork,
    INetworkFactory,
    ISubscriber,
)
from pptpgw.log import Logger
from pptpgw.networks.ipv6.advertisement import MAX_INTERVAL, IPv6Router
from pptpgw.networks.ipv6.dhcpv6 import DHCPv6Server, DHCPv6Settings
from pptpgw.networks.ipv6.ipv6cp import IPV6CP, LEAST_MRU, IPv6Settings
from pptpgw.networks.ipv6.prefix import OwnPrefix, Prefixes, PrefixPool
from pptpgw.networks.ipv6.wire.dhcpv6 import makeDUID
from pptpgw.networks.ipv6.wire.ipv6 import HEADER, MINIMUM_MTU
from pptpgw.networks.ipv6.wire.neighbor import PrefixInformation, RouterAdvertisement
from pptpgw.networks.routes import NetworksBehind
from pptpgw.ports.sysctl import ipv6Disabled, ipv6NotForwarded
from pptpgw.ppp.automaton import State
from pptpgw.ppp.control import ControlProtocol
from pptpgw.ppp.mppe import MPPE_OVERHEAD
from pptpgw.sessions.gate import Gate
from pptpgw.sessions.profile import Profile

LENGTH = 64
"""
Bits of a session's prefix: hosts make the other half of an address (RFC 4862).
"""

# AdvDefaultLifetime (RFC 4861 section 6.2.1), and the same for name servers (RFC 8106 section 5.1).
_LIFETIME = int(3 * MAX_INTERVAL)
# What an advertisement may hold besides headers, prefix and MTU: it goes out whole on any link.
_LARGEST_TOLD = MINIMUM_MTU - HEADER - 4 - 32 - 8


@dataclass(frozen=True, slots=True)
class IPv6Section:
    """
    C{[ipv6]}: what callers get of IPv6.

    @ivar prefixes: where each session's /64 comes from; the first address of the first one is the
        gateway's.
    @ivar delegate: where the prefixes come from that DHCPv6 delegates; empty: none are.
    @ivar delegateLength: their length in bits.
    @ivar dhcp: whether there is DHCPv6 at all.
    @ivar managed: whether hosts are told to ask it for an address, besides making one.
    @ivar dns: name servers.
    @ivar search: domain names for lookups.
    @ivar preferredLifetime: for how many seconds from now addresses may be used for what is new.
    @ivar validLifetime: for how many seconds they may be used at all.
    """

    prefixes: tuple[IPv6Network, ...] = key(PREFIXES, (IPv6Network("fc00:0:1::/48"),))
    delegate: tuple[IPv6Network, ...] = key(PREFIXES, (IPv6Network("fc00:1::/36"),))
    delegateLength: int = key(whole(16, LENGTH), 56)
    dhcp: bool = key(BOOLEAN, True)
    managed: bool = key(BOOLEAN, False)
    dns: tuple[IPv6Address, ...] = key(IPV6_ADDRESSES, ())
    search: tuple[str, ...] = key(DOMAINS, ())
    preferredLifetime: int = key(whole(_LIFETIME, 2**31), 3600)
    validLifetime: int = key(whole(_LIFETIME, 2**31), 7200)


class RoutedIPV6CP(IPV6CP):
    """
    IPv6 on the link of one session, with the router there.

    @ivar prefix: the session's own /64.
    @ivar giveBack: called when the session is over.
    @ivar dhcp: its DHCPv6 server; None where there is none.
    """

    __slots__ = ("_advertisement", "_counters", "_router", "dhcp", "giveBack", "prefix")

    def __init__(
        self,
        settings: IPv6Settings,
        prefix: IPv6Network,
        advertisement: RouterAdvertisement,
        counters: Counters,
        giveBack: Callable[[], None],
    ) -> None:
        """
        @param settings: with the networks behind the user.
        @param advertisement: what the router says, but for the MTU.
        @param counters: of what is discarded.
        """
        super().__init__(settings)
        self.prefix = prefix
        self.giveBack = giveBack
        self.dhcp: DHCPv6Server | None = None
        self._advertisement = advertisement
        self._counters = counters
        self._router: IPv6Router | None = None

    def attachment(self) -> Attachment:
        """
        The session's prefix, those behind it and those delegated to it; what concerns the link goes
        to the router.
        """
        delegated = self.dhcp.prefixes if self.dhcp is not None else ()
        return Attachment(
            addresses=(self.prefix, *self.settings.addresses, *delegated),
            mtu=min(self.settings.mtu, self.peerMRU),
            local=self._router.received if self._router is not None else None,
            permits=self.settings.permits,
        )

    def delegatedChanged(self) -> None:
        """
        Other prefixes are delegated: let them lead here.
        """
        if self.opened:
            self.link.networkChanged(self, self.attachments())

    def layerUp(self, protocol: ControlProtocol) -> None:
        """
        Let packets through, and begin to advertise.
        """
        # Small enough for what is encrypted.
        mtu = min(self.settings.mtu, self.peerMRU) - MPPE_OVERHEAD
        self._router = IPv6Router(
            self.link.clock,
            self.localAddress,
            replace(self._advertisement, mtu=mtu),
            self.sendPacket,
            self._counters,
            self.dhcp,
        )
        super().layerUp(protocol)
        self._router.start()

    def layerDown(self, protocol: ControlProtocol) -> None:
        """
        Stop; where that is our own wish, the peer's host is told.
        """
        router, self._router = self._router, None
        if router is not None:
            router.stop()
            if self.state is State.CLOSING:
                router.cease()
        super().layerDown(protocol)


@implementer(INetwork)
class IPv6Sessions:
    """
    See L{INetwork}.

    @ivar local: the gateway's own address.
    """

    _log = Logger()

    def __init__(self, settings: IPv6Section, environment: IEnvironment) -> None:
        """
        @raise pptpgw.error.Exhausted: there is no prefix even for the gateway itself.
        """
        self._environment = environment
        self._networks = settings.prefixes + settings.delegate
        self._pool = PrefixPool(settings.prefixes, LENGTH)
        self.local = self._pool.allocate()[1]
        self._behind = NetworksBehind(IPv6Network, (self.local,), LENGTH)
        self._lifetimes = settings.preferredLifetime, settings.validLifetime
        self._advertisement = RouterAdvertisement(
            lifetime=_LIFETIME,
            managed=settings.dhcp and settings.managed,
            other=settings.dhcp,
            dns=settings.dns,
            search=settings.search,
            dnsLifetime=_LIFETIME,
        )
        self._dhcp: DHCPv6Settings | None = None
        if settings.dhcp:
            self._dhcp = DHCPv6Settings(settings.dns, settings.search, *self._lifetimes)
        self._delegated = PrefixPool(settings.delegate, settings.delegateLength)
        # The same after every start with these prefixes.
        self._duid = makeDUID(uuid5(NAMESPACE_OID, f"pptpgw {self.local}"))
        self._disabled = False

    def start(self) -> None:
        """
        Give the interface our address, and lead all prefixes to it.
        """
        interface = self._environment.interface
        if interface is None:
            return
        if fault := ipv6Disabled(interface.name):
            self._disabled = True
            self._log.warn("No caller gets IPv6: {fault}", fault=fault)
            return
        interface.addAddress(IPv6Interface(self.local))
        for network in self._networks:
            interface.addRoute(network)
        if fault := ipv6NotForwarded():
            self._log.warn("{fault}", fault=fault[0].upper() + fault[1:])

    def stop(self) -> None:
        """
        Address and routes go with the interface.
        """

    def makeProtocol(
        self, subscriber: ISubscriber, caller: Caller
    ) -> Deferred[RoutedIPV6CP | None]:
        """
        Find a prefix for a session.
        """
        if self._disabled:
            return succeed(None)
        profile: Profile = subscriber.profile
        gate = self._environment.filters.gate(profile)
        lender: Prefixes = self._pool
        try:
            if profile.prefix is not None:
                if profile.prefix.prefixlen > LENGTH:
                    raise Exhausted(f"its own prefix, {profile.prefix}, is longer than {LENGTH}")
                lender = OwnPrefix(profile.prefix, (self._pool, self._delegated))
            return succeed(self._protocol(profile, lender, lender.allocate(), gate))
        except (Exhausted, Refused) as error:
            self._log.warn("{user} goes without IPv6: {error}", user=profile.name, error=error)
            return succeed(None)

    def release(self, protocol: RoutedIPV6CP) -> None:
        """
        Take the prefixes back.
        """
        if protocol.dhcp is not None:
            protocol.dhcp.close()
            # The leases refer to the protocol: this breaks the cycle.
            protocol.dhcp = None
        protocol.giveBack()

    def _protocol(
        self, profile: Profile, lender: Prefixes, lent: IPv6Network, gate: Gate | None
    ) -> RoutedIPV6CP:
        environment = self._environment
        prefix = IPv6Network((lent.network_address, LENGTH))
        whole = () if prefix == lent else (lent,)
        own = (prefix, *whole) if profile.delegated is None else (prefix, *whole, profile.delegated)
        try:
            behind = self._behind.give(profile, own, self._networks)
        except Refused:
            lender.release(lent)
            raise

        def giveBack() -> None:
            self._behind.release((*own, *behind))
            lender.release(lent)

        mtu = environment.mru
        if profile.mtu is not None:
            mtu = min(mtu, max(profile.mtu, LEAST_MRU))
        dns = self._dns(profile)
        protocol = RoutedIPV6CP(
            IPv6Settings(
                peerIdentifier=profile.identifier,
                addresses=(*whole, *behind),
                mtu=mtu,
                permits=gate,
            ),
            prefix,
            replace(
                self._advertisement,
                prefixes=(PrefixInformation(prefix, *self._lifetimes),),
                dns=dns,
            ),
            environment.counters,
            giveBack,
        )
        if self._dhcp is not None:
            delegated: Prefixes = self._delegated
            if profile.delegated is not None:
                delegated = OwnPrefix(profile.delegated, (self._pool, self._delegated))
            protocol.dhcp = DHCPv6Server(
                environment.reactor,
                self._duid,
                replace(self._dhcp, dns=dns),
                prefix,
                delegated,
                protocol.delegatedChanged,
                environment.counters,
            )
        return protocol

    def _dns(self, profile: Profile) -> tuple[IPv6Address, ...]:
        """
        The name servers for C{profile}, as many of its own as an advertisement has room for.
        """
        dns = profile.dns6[: _LARGEST_TOLD // 16]
        while dns and _told(dns, self._advertisement.search) > _LARGEST_TOLD:
            dns = dns[:-1]
        return dns or self._advertisement.dns


@implementer(INetworkFactory)
class IPv6Factory:
    """
    See L{INetworkFactory}.
    """

    name = "ipv6"
    description = "IPv6 (IPV6CP, RFC 5072), each caller with a prefix, by RA and DHCPv6"
    settings = IPv6Section

    def makeNetwork(self, settings: IPv6Section, environment: IEnvironment) -> IPv6Sessions:
        """
        See L{INetworkFactory.makeNetwork}.
        """
        _judge(settings, environment.mru)
        return IPv6Sessions(settings, environment)


factory = IPv6Factory()


def _judge(settings: IPv6Section, mru: int) -> None:
    """
    Judge what no key can judge alone.

    @raise ConfigurationError: with what is wrong.
    """
    if not any(network.prefixlen < LENGTH for network in settings.prefixes[:1]):
        named = ", ".join(map(str, settings.prefixes)) or "none"
        raise ConfigurationError(
            f"[ipv6] prefixes = {named}: the first must hold two /64 or more, of which the gateway "
            "has the first"
        )
    for one, other in combinations(settings.prefixes + settings.delegate, 2):
        if one.overlaps(other):
            raise ConfigurationError(f"[ipv6] prefixes and delegate: {one} overlaps {other}")
    for network in settings.delegate:
        if network.prefixlen > settings.delegateLength:
            raise ConfigurationError(
                f"[ipv6] delegate-length = {settings.delegateLength}: must be from "
                f"{network.prefixlen} to {LENGTH} bits, as {network} is cut to that length"
            )
    if settings.preferredLifetime > settings.validLifetime:
        raise ConfigurationError(
            f"[ipv6] preferred-lifetime = {settings.preferredLifetime}: must be at most "
            f"valid-lifetime, {settings.validLifetime}"
        )
    if mru < LEAST_MRU:
        raise ConfigurationError(f"[link] mru = {mru}: IPv6 needs {LEAST_MRU} at least")
    told = _told(settings.dns, settings.search)
    if told > _LARGEST_TOLD:
        raise ConfigurationError(
            f"[ipv6] dns and search: {told} octets of an advertisement, which has room for "
            f"{_LARGEST_TOLD}"
        )


def _told(dns: tuple[IPv6Address, ...], search: tuple[str, ...]) -> int:
    """
    How many octets of an advertisement name servers and domains are.
    """
    return len(RouterAdvertisement(0, dns=dns, search=search).message().body)
