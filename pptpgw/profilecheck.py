"""
The check of an account's profile against the gateway's configuration.
"""

from __future__ import annotations

from collections.abc import Collection

from pptpgw.config import discovery
from pptpgw.config.configuration import Configuration
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import ITunnelFactory
from pptpgw.networks.ipv4.plugin import IPv4Factory, IPv4Section, gatewaysOwn
from pptpgw.sessions.pool import AddressPoolFactory, ownedOf
from pptpgw.sessions.profile import Profile


def checkProfile(configuration: Configuration, profile: Profile) -> None:
    """
    Check that a gateway with this configuration could give a session what C{profile} names.

    @raise ConfigurationError: an address is the gateway's own, or there is no such pool, filter or
        tunnel.
    """
    ipv4: IPv4Section = configuration.section(IPv4Factory())
    owned = ownedOf(profile.addresses)
    for address in gatewaysOwn(ipv4, configuration.listen.addresses):
        if str(address) in owned:
            raise ConfigurationError(
                f"address {address}: it is the gateway's own, by [ipv4] local or [listen] "
                "addresses; choose another one"
            )
    # Only the pools of our own allocator are known here.
    if profile.pool and ipv4.allocator == AddressPoolFactory.name:
        _known("pool", profile.pool, "[[ipv4.pools]]", ipv4.allPools([]))
    if profile.tunnels:
        installed = discovery.installed(ITunnelFactory)
        for name in sorted(profile.tunnels):
            _known("tunnel", name, "--help-plugins", installed)
    if profile.filter:
        filters = [one.name for one in configuration.network.filter]
        _known("filter", profile.filter, "[[network.filter]]", filters)
    if profile.forward:
        ends = [one.name for one in configuration.forwarding.destination]
        _known("destination", profile.forward, "[[forwarding.destination]]", ends)


def _known(what: str, name: str, table: str, names: Collection[str]) -> None:
    if name not in names:
        raise ConfigurationError(
            f"there is no {what} {name}: {table} has {', '.join(names) or 'none'}"
        )
