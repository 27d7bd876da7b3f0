"""
The profile of a user: what an account allows each session, and gives it.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal

from zope.interface import implementer

from pptpgw.interfaces import Forward, ISubscriber


@implementer(ISubscriber)
@dataclass(frozen=True, slots=True)
class Profile:
    """
    The profile of a user. An attribute that has its default value leaves the decision to the
    configuration.

    @ivar name: the user's name.
    @ivar addresses: the IPv4 networks that the user's address must be in, preferably in the first;
        None for any address from the pool.
    @ivar pool: the name of the IPv4 pool; empty for the default pool.
    @ivar routes: networks behind the user: packets from them are accepted, and packets to them are
        sent to the user.
    @ivar dns: at most two IPv4 name servers.
    @ivar wins: at most two NetBIOS name servers.
    @ivar prefix: the IPv6 prefix of the link.
    @ivar delegated: the IPv6 prefix that DHCPv6 delegates.
    @ivar identifier: the IPv6 interface identifier that the user must take, 8 octets.
    @ivar dns6: IPv6 name servers.
    @ivar mtu: the largest packet that may be sent to the user, in octets.
    @ivar protocols: the network protocols permitted, by name; None for all that are served.
    @ivar tunnels: the tunnels that the user may call by, by the names of their plugins; None for
        all that are served.
    @ivar encryption: whether MPPE must open, may open, or stays off.
    @ivar bits: the MPPE key lengths permitted.
    @ivar sessions: how many sessions the user may have at a time; 0 for any number.
    @ivar sources: the networks that the user may call from; none: everywhere.
    @ivar hours: when the user may call and be connected, in the form of L{pptpgw.sessions.hours};
        empty for always.
    @ivar sessionTimeout: seconds that a session may last; 0 for any time.
    @ivar idleTimeout: seconds that a session may last without a packet from the user; 0 for any
        time.
    @ivar volume: octets that a session may carry, both ways together; 0 for any number.
    @ivar receiveRate: bits a second from the user, at most.
    @ivar sendRate: bits a second to the user, at most.
    @ivar filter: the name of the filter that the user's packets must pass.
    @ivar forward: the name of the destination (C{[[forwarding.destination]]}) that the user's calls
        are passed on to.
    @ivar forwards: the ends that they are passed on to, instead.
    @ivar interim: seconds between interim accounting records.
    @ivar accountingClass: values that accounting records repeat unchanged (Class, RFC 2865 section
        5.25).
    """

    name: str
    addresses: tuple[IPv4Network, ...] | None = None
    pool: str = ""
    routes: tuple[IPv4Network | IPv6Network, ...] = ()
    dns: tuple[IPv4Address, ...] = ()
    wins: tuple[IPv4Address, ...] = ()
    prefix: IPv6Network | None = None
    delegated: IPv6Network | None = None
    identifier: bytes | None = None
    dns6: tuple[IPv6Address, ...] = ()
    mtu: int | None = None
    protocols: frozenset[str] | None = None
    tunnels: frozenset[str] | None = None
    encryption: Literal["require", "prefer", "off"] | None = None
    bits: tuple[int, ...] | None = None
    sessions: int | None = None
    sources: tuple[IPv4Network, ...] = ()
    hours: str = ""
    sessionTimeout: float | None = None
    idleTimeout: float | None = None
    volume: int | None = None
    receiveRate: int | None = None
    sendRate: int | None = None
    filter: str = ""
    forward: str = ""
    forwards: tuple[Forward, ...] = ()
    interim: float | None = None
    accountingClass: tuple[bytes, ...] = ()

    @property
    def profile(self) -> Profile:
        """
        The profile itself, as L{ISubscriber} asks for one.
        """
        return self
