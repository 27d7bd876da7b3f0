"""
What a DHCPv6 server's message gives to a client, as far as it can be used (RFC 8415 sections 18.2.9
and 18.2.10). All functions are pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address, IPv6Network

from pptpgw.networks.ipv6.wire.dhcpv6 import (
    INFINITY,
    Address,
    DHCPv6Message,
    Prefix,
    RenewableAssociation,
)
from pptpgw.networks.ipv6.wire.dhcpv6option import Status, StatusCode

IAID = 1
"""
The number of the one association of each kind.
"""

SHORTEST_PREFIX, LONGEST_PREFIX = 16, 64
"""
The lengths of prefixes that are taken, in bits.
"""

SHORTEST_LEASE = 10
"""
The shortest valid lifetime of leases that are taken, in seconds.
"""

SHORTEST_SECONDS = 5.0
"""
The fewest seconds between two extensions, whatever times a server gives.
"""

NEVER = float("inf")
"""
The time of what has no end.
"""

Value = IPv6Address | IPv6Network

# Global and unique local addresses.
_NETWORKS = (IPv6Network("2000::/3"), IPv6Network("fc00::/7"))


def seconds(lifetime: int) -> float:
    """
    Return a lifetime as a number of seconds, which may be infinite.
    """
    return NEVER if lifetime == INFINITY else float(lifetime)


def associationsOf(message: DHCPv6Message) -> list[RenewableAssociation]:
    """
    Return the associations of C{message} that are ours, without those that contradict themselves
    (sections 21.4 and 21.21).
    """
    return [
        one
        for one in message.every(RenewableAssociation)
        if one.iaid == IAID and not one.t1 > one.t2 > 0
    ]


def leasesOf(association: RenewableAssociation) -> list[Address | Prefix]:
    """
    Return the leases of C{association} that can be used (sections 21.6 and 21.22).
    """
    if statusOf(association.status) != StatusCode.SUCCESS:
        return []
    return [one for one in association.leases if _usable(one)]


def endedIn(association: RenewableAssociation) -> list[Value]:
    """
    Return the values of those leases that the server takes back.
    """
    return [one.value for one in association.leases if not one.valid]


def isRefused(message: DHCPv6Message) -> bool:
    """
    Return whether the server says of the whole message that it didn't succeed.
    """
    return any(one.status != StatusCode.SUCCESS for one in message.every(Status))


def statusOf(status: Status | None) -> int:
    """
    Return the code of a status that may be left out for success.
    """
    return status.status if status is not None else StatusCode.SUCCESS


def timesOf(associations: Iterable[RenewableAssociation]) -> tuple[float, float]:
    """
    Return T1 and T2 of the associations, the earliest of each (section 18.2.4), in seconds from
    when the message came. Where the server leaves them to the client, they are half and four fifths
    of the shortest preferred lifetime (section 21.4).
    """
    renewals, rebindings = [NEVER], [NEVER]
    for association in associations:
        leases = leasesOf(association)
        if leases:
            valid = min(seconds(lease.valid) for lease in leases)
            preferred = min(seconds(lease.preferred or lease.valid) for lease in leases)
            t2 = min(seconds(association.t2) or preferred * 0.8, valid)
            t1 = min(seconds(association.t1) or preferred * 0.5, t2)
            renewals.append(max(SHORTEST_SECONDS, t1))
            rebindings.append(max(SHORTEST_SECONDS, t2))
    return min(renewals), min(rebindings)


def _usable(lease: Address | Prefix) -> bool:
    if lease.valid < max(SHORTEST_LEASE, lease.preferred):
        return False
    if statusOf(lease.status) != StatusCode.SUCCESS:
        return False
    if isinstance(lease.value, IPv6Address):
        return any(lease.value in one for one in _NETWORKS)
    if not SHORTEST_PREFIX <= lease.value.prefixlen <= LONGEST_PREFIX:
        return False
    return any(lease.value.subnet_of(one) for one in _NETWORKS)
