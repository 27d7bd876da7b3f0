"""
Who calls, and by which kind of tunnel.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TunnelKind:
    """
    The names of a kind of tunnel.

    @ivar name: the name of its plugin, which is also that of its section: C{pptp}.
    @ivar title: the name in texts for people, and in RADIUS's Connect-Info: C{PPTP}.
    @ivar type: RADIUS's Tunnel-Type (RFC 2868 section 3.1), 1 for PPTP; 0 if RADIUS has no number
        for it: then no attribute of a tunnel is sent.
    @ivar medium: RADIUS's Tunnel-Medium-Type (RFC 2868 section 3.2), 1 for IPv4.
    @ivar portType: RADIUS's NAS-Port-Type (RFC 2865 section 5.41), 5 for Virtual, 0 for Async.
    """

    name: str
    title: str
    type: int = 0
    medium: int = 0
    portType: int = 5


@dataclass(frozen=True, slots=True)
class Caller:
    """
    The caller that makes a claim.

    @ivar address: the address, in text, that it calls from.
    @ivar called: the address that it called.
    @ivar port: the number of its session, if it gets one.
    @ivar session: the identifier of that session.
    @ivar tunnel: the tunnel that it came by.
    """

    address: str
    called: str
    port: int
    session: str
    tunnel: TunnelKind
