"""
The IPv6 network plugin: each session gets a /64 of its own, which its router advertises, and the
prefixes that DHCPv6 delegates to it.

The rules:

 - The first /64 is given to nobody: its first address is the gateway's. If no /64 is left for a
   session, or the kernel has no IPv6, the session goes without IPv6.
 - The prefix is advertised as not on-link, since nobody else has addresses of it, and as good for
   autoconfiguration (RFC 8273 section 4). DHCPv6 is advertised too: hosts ask it for name servers
   and the like, routers for prefixes.
 - An account's own prefixes, name servers and interface identifier take precedence over those of
   the configuration. While a session has an account's own prefix, pools give no part of it. If the
   prefix is larger than a /64, its first /64 is the link's, and all of it leads there. If it is
   smaller, or another session has it, the session goes without IPv6.
 - Networks behind a user lead to its session (L{pptpgw.networks.routes}).
 - On a call that this gateway dialled it is the host, and the other end the router. The default
   route is taken only if C{routes} of the call has it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from itertools import combinations
from uuid import NAMESPACE_OID, uuid5

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from pptpgw.config.dial import Dial
from pptpgw.config.kind import (
    BOOLEAN,
    IPV6_ADDRESSES,
    NEW,
    PREFIXES,
    exactly,
    key,
    listOf,
    require,
    restart,
    whole,
)
from pptpgw.error import Category, ConfigurationError, Exhausted, Refused
from pptpgw.interfaces import (
    Caller,
    IAskingNetwork,
    ICountedPools,
    IEnvironment,
    INetworkFactory,
    IReadableNetwork,
    IReloadable,
    ISubscriber,
    PoolFigures,
)
from pptpgw.log import Logger
from pptpgw.networks.ipv6.dhcpv6 import DHCPv6Server, DHCPv6Settings
from pptpgw.networks.ipv6.dhcpv6client import Wishes
from pptpgw.networks.ipv6.dialled import DialledIPV6CP
from pptpgw.networks.ipv6.ipv6cp import IPV6CP, LEAST_MRU, WORDS, IPv6Settings
from pptpgw.networks.ipv6.port import Devices, machineUUID
from pptpgw.networks.ipv6.prefix import OwnPrefix, Prefixes, PrefixPool
from pptpgw.networks.ipv6.routed import RoutedIPV6CP
from pptpgw.networks.ipv6.router import MAX_INTERVAL
from pptpgw.networks.ipv6.site import Site, SiteDevices
from pptpgw.networks.ipv6.wire.dhcpv6 import makeDUID
from pptpgw.networks.ipv6.wire.domain import isName
from pptpgw.networks.ipv6.wire.ipv6 import MINIMUM_MTU
from pptpgw.networks.ipv6.wire.neighbor import PrefixInformation, RouterAdvertisement
from pptpgw.networks.routes import NetworksBehind
from pptpgw.networks.wire.ip import IPV6_HEADER
from pptpgw.ports.sysctl import ipv6Disabled, ipv6NotForwarded
from pptpgw.sessions.profile import Profile

LENGTH = 64
"""
The length of a session's prefix in bits; hosts make the rest of an address (RFC 4862).
"""

LINKS, DELEGATED = "link", "delegated"
"""
The names of the pools: the prefixes of links, and those that DHCPv6 delegates.
"""

_DEFAULT = IPv6Network("::/0")
# AdvDefaultLifetime (RFC 4861 section 6.2.1), also used for name servers (RFC 8106 section 5.1), in
# seconds.
_LIFETIME = int(3 * MAX_INTERVAL)
# The most octets of name servers and domains in an advertisement, besides headers, prefix and MTU;
# so it fits into one packet on any link.
_LARGEST_TOLD = MINIMUM_MTU - IPV6_HEADER - 4 - 32 - 8


def _domain(value: object) -> str:
    name = exactly(str, value)
    require(isName(name))
    return name


DOMAINS = listOf('distinct domain names, as in "example.net"', _domain)
"""
The kind of a list of domain names.
"""


@dataclass(frozen=True, slots=True)
class IPv6Section:
    """
    C{[ipv6]}: the prefixes and addresses of callers.

    @ivar prefixes: the networks from which each session gets a /64; the first address of the first
        one is the gateway's.
    @ivar delegate: the networks from which DHCPv6 delegates prefixes; empty to delegate none.
    @ivar delegateLength: the length of delegated prefixes in bits.
    @ivar dhcp: whether there is a DHCPv6 server.
    @ivar managed: whether hosts are told to ask DHCPv6 for an address too.
    @ivar dns: name servers.
    @ivar search: domain names for lookups.
    @ivar preferredLifetime: the preferred lifetime of addresses and prefixes, in seconds.
    @ivar validLifetime: the valid lifetime of addresses and prefixes, in seconds.
    """

    prefixes: tuple[IPv6Network, ...] = key(
        PREFIXES, (IPv6Network("fc00:0:1::/48"),), restart("sessions have prefixes of the old ones")
    )
    delegate: tuple[IPv6Network, ...] = key(
        PREFIXES, (IPv6Network("fc00:1::/36"),), restart("sessions have prefixes of the old ones")
    )
    delegateLength: int = key(
        whole(16, LENGTH), 56, restart("sessions have prefixes of the old ones")
    )
    dhcp: bool = key(BOOLEAN, True, NEW)
    managed: bool = key(BOOLEAN, False, NEW)
    dns: tuple[IPv6Address, ...] = key(IPV6_ADDRESSES, (), NEW)
    search: tuple[str, ...] = key(DOMAINS, (), NEW)
    preferredLifetime: int = key(whole(_LIFETIME, 2**31), 3600, NEW)
    validLifetime: int = key(whole(_LIFETIME, 2**31), 7200, NEW)


@implementer(IReadableNetwork, IAskingNetwork, IReloadable, ICountedPools)
class IPv6Sessions:
    """
    The IPv6 network of the gateway. See L{IReadableNetwork}.

    @ivar local: the gateway's own address.
    """

    control, words = IPV6CP.control, WORDS

    _log = Logger()

    def __init__(
        self,
        settings: IPv6Section,
        environment: IEnvironment,
        devices: SiteDevices | None = None,
    ) -> None:
        """
        @param devices: the interfaces that get delegated prefixes; None for the real ones.
        @raise pptpgw.error.Exhausted: there is no /64 for the gateway itself.
        """
        self._environment = environment
        self._networks = settings.prefixes + settings.delegate
        self._pool = PrefixPool(settings.prefixes, LENGTH)
        self.local = self._pool.allocate()[1]
        self._behind = NetworksBehind(IPv6Network, (self.local,), LENGTH)
        self.reload(settings)
        self._delegated = PrefixPool(settings.delegate, settings.delegateLength)
        # The DUID is derived from the prefixes, so it is the same after every start.
        self._duid = makeDUID(uuid5(NAMESPACE_OID, f"pptpgw {self.local}"))
        self._devices = devices or Devices()
        # The prefixes that the other ends of dialled calls delegate.
        self._used: set[IPv6Network] = set()
        self._disabled = False

    def judge(self, settings: IPv6Section) -> dict[str, str]:
        """
        See L{IReloadable.judge}.
        """
        _judge(settings, self._environment.mru)
        return {}

    def figures(self) -> list[PoolFigures]:
        """
        See L{ICountedPools.figures}: the prefixes of links, and those that DHCPv6 delegates.
        """
        # One prefix of the first pool is the gateway's.
        links, delegated = self._pool, self._delegated
        return [
            PoolFigures(LINKS, links.size - 1, links.taken - 1),
            PoolFigures(DELEGATED, delegated.size, delegated.taken),
        ]

    def poolOf(self, network: IPv4Network | IPv6Network) -> str:
        """
        See L{ICountedPools.poolOf}.
        """
        for name, pool in ((LINKS, self._pool), (DELEGATED, self._delegated)):
            if any(network.subnet_of(one) for one in pool.networks):  # type: ignore[arg-type]
                return name
        return ""

    def reload(self, settings: IPv6Section) -> None:
        """
        See L{IReloadable.reload}: tell hosts of sessions to come something else.
        """
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

    def start(self) -> None:
        """
        Give the interface the gateway's address, and route all prefixes to it.
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
        Do nothing: address and routes are removed with the interface.
        """

    def makeProtocol(
        self, subscriber: ISubscriber, caller: Caller
    ) -> Deferred[RoutedIPV6CP | None]:
        """
        Make IPV6CP for one session, with a prefix. See L{INetwork.makeProtocol}.
        """
        if self._disabled:
            return succeed(None)
        profile: Profile = subscriber.profile
        lender: Prefixes = self._pool
        try:
            if profile.prefix is not None:
                if profile.prefix.prefixlen > LENGTH:
                    raise Exhausted(
                        f"its own prefix, {profile.prefix}, is longer than {LENGTH}",
                        Category.NO_ADDRESS,
                    )
                lender = OwnPrefix(profile.prefix, (self._pool, self._delegated))
            return succeed(self._protocol(profile, lender, lender.allocate()))
        except (Exhausted, Refused) as error:
            self._log.warn("{user} goes without IPv6: {error}", user=profile.name, error=error)
            return succeed(None)

    def ask(self, dial: Dial, subscriber: ISubscriber, caller: Caller) -> DialledIPV6CP:
        """
        Make IPV6CP for a call that this gateway dialled. See L{IAskingNetwork.ask}.
        """
        if self._disabled:
            raise ConfigurationError("the kernel has no IPv6 on the interface of the gateway")
        environment, profile = self._environment, subscriber.profile
        pools = self._networks if environment.configuration.listen.tunnels else ()
        gateways = (IPv6Network(self.local), *pools)
        narrow = tuple(one for one in profile.routes if one != _DEFAULT)
        behind = self._behind.give(replace(profile, routes=narrow), (), pools)
        if _DEFAULT in profile.routes:
            behind = (*behind, _DEFAULT)
        mtu = min(environment.mru, max(profile.mtu or environment.mru, LEAST_MRU))
        return DialledIPV6CP(
            IPv6Settings(addresses=behind, mtu=mtu),
            makeDUID(machineUUID(f"dial {dial.name}")),
            Wishes(bool(dial.prefixTo), dial.leaseAddress, dial.prefixLength),
            Site(
                dial.name,
                dial.prefixTo,
                self._devices,
                gateways,
                self._used,
                environment.reactor.seconds,
            ),
            gateways,
            environment.counters,
        )

    def release(self, protocol: RoutedIPV6CP | DialledIPV6CP) -> None:
        """
        Release the session's prefixes. See L{INetwork.release}.
        """
        if isinstance(protocol, DialledIPV6CP):
            self._behind.release(one for one in protocol.settings.addresses if one != _DEFAULT)
            return
        if protocol.dhcp is not None:
            protocol.dhcp.close()
            # The leases refer to the protocol; this breaks the reference cycle.
            protocol.dhcp = None
        protocol.giveBack()

    def _protocol(self, profile: Profile, lender: Prefixes, lent: IPv6Network) -> RoutedIPV6CP:
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
        Return the name servers for C{profile}: as many of its own as an advertisement has room for,
        or else those of the configuration.
        """
        dns = profile.dns6[: _LARGEST_TOLD // 16]
        while dns and _told(dns, self._advertisement.search) > _LARGEST_TOLD:
            dns = dns[:-1]
        return dns or self._advertisement.dns


@implementer(INetworkFactory)
class IPv6Factory:
    """
    The plugin C{ipv6}. See L{INetworkFactory}.
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
    Check that the keys of C{settings} fit together.

    @raise ConfigurationError: the text says what is wrong.
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
    Return how many octets of an advertisement C{dns} and C{search} take.
    """
    return len(RouterAdvertisement(0, dns=dns, search=search).message().body)
