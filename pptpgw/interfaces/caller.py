"""
The values that say who calls, and by which kind of tunnel.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TunnelKind:
    """
    The names of a kind of tunnel.

    @ivar name: the name of the plugin and of its section in the configuration: C{pptp}.
    @ivar title: the name in texts for people, and in RADIUS's Connect-Info: C{PPTP}.
    @ivar type: RADIUS's Tunnel-Type (RFC 2868 section 3.1), 1 for PPTP; 0 if RADIUS has no number
        for the tunnel: then no attribute about tunnels is sent.
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

    @ivar address: the address that the caller calls from, in text.
    @ivar called: the address that was called, in text.
    @ivar port: the number that the session will have, sent as RADIUS's NAS-Port.
    @ivar session: the identifier that the session will have.
    @ivar tunnel: the kind of tunnel that carries the call.
    @ivar station: the name or number that was called, sent as RADIUS's Called-Station-Id; empty if
        none is known: then the address is sent.
    """

    address: str
    called: str
    port: int
    session: str
    tunnel: TunnelKind
    station: str = ""
