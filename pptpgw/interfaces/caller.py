"""
The values that say who calls, and by which kind of tunnel.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Direction(Enum):
    """
    Who placed a call. The value is the word for programs.
    """

    IN = "in"
    """
    The other end called this gateway.
    """

    OUT = "out"
    """
    This gateway dialled the other end.
    """


@dataclass(frozen=True, slots=True)
class TunnelKind:
    """
    The names of a kind of tunnel.

    @ivar name: the name of the plugin and of its section in the configuration: C{pptp}.
    @ivar title: the name in texts for people, and in RADIUS's Connect-Info: C{PPTP}.
    @ivar type: RADIUS's Tunnel-Type (RFC 2868 section 3.1), 1 for PPTP; 0 if there is no number for
        the tunnel: then no attribute about tunnels is sent.
    @ivar medium: RADIUS's Tunnel-Medium-Type (RFC 2868 section 3.2), 1 for IPv4.
    @ivar portType: RADIUS's NAS-Port-Type (RFC 2865 section 5.41), 5 for Virtual, 0 for Async.
    """

    name: str
    title: str
    type: int = 0
    medium: int = 0
    portType: int = 5

    @property
    def isLine(self) -> bool:
        """
        Whether calls come by lines (Async), which keep the order of frames and tell of damaged
        ones.
        """
        return self.portType == 0


@dataclass(frozen=True, slots=True)
class Stations:
    """
    The names and numbers of a call beside the addresses of its tunnel: those of the telephone
    network or line by which it came to a provider, or the name of the host that was called. What
    isn't known is empty.

    @ivar calling: the number that calls, sent as RADIUS's Calling-Station-Id. If it is empty, the
        address is sent.
    @ivar called: the number or name that was called, sent as RADIUS's Called-Station-Id. If it is
        empty, the address is sent.
    @ivar subaddress: the subaddress that was called.
    @ivar group: the group that the caller belongs to, sent as RADIUS's Tunnel-Private-Group-Id.
    @ivar channel: the physical channel of the call, sent as RADIUS's NAS-Port-Id.
    """

    calling: str = ""
    called: str = ""
    subaddress: str = ""
    group: str = ""
    channel: str = ""


@dataclass(frozen=True, slots=True)
class TunnelEnds:
    """
    The two ends of the tunnel that carries a call, as RADIUS tells them (RFC 2868, RFC 2867). What
    isn't known is empty.

    @ivar kind: the kind of tunnel.
    @ivar client: the address of the end that opened the tunnel, in text.
    @ivar server: the address of the other end.
    @ivar clientName: the name by which the end that opened the tunnel introduces itself.
    @ivar serverName: the name of the other end.
    @ivar connection: the number of the call, which both ends know (Acct-Tunnel-Connection).
    @ivar assignment: see L{pptpgw.interfaces.Forward}.
    """

    kind: TunnelKind
    client: str
    server: str
    clientName: str = ""
    serverName: str = ""
    connection: str = ""
    assignment: str = ""


UNKNOWN_STATIONS = Stations()
"""
The stations of a call of which only addresses are known.
"""


@dataclass(frozen=True, slots=True)
class Caller:
    """
    The caller that makes a claim, or the two ends of a call that this gateway dialled.

    @ivar address: the address that the caller calls from, in text.
    @ivar called: the address that was called, in text.
    @ivar port: the number that the session will have, sent as RADIUS's NAS-Port.
    @ivar session: the identifier that the session will have.
    @ivar tunnel: the kind of tunnel that carries the call.
    @ivar stations: the names and numbers of the call.
    @ivar concentrator: the name of the access concentrator by which the call came, whose address
        many callers share, and which says who calls; empty if the address is the caller's.
    @ivar carrier: what is known of the tunnel beside its addresses; None for nothing.
    @ivar protection: what encrypts the call's packets beneath PPP, in words, see
        L{pptpgw.interfaces.IProtectedCall.protection}; empty if nothing does, or it isn't known.
    @ivar direction: who placed the call. If it is C{OUT}, C{address} is our own.
    """

    address: str
    called: str
    port: int
    session: str
    tunnel: TunnelKind
    stations: Stations = UNKNOWN_STATIONS
    concentrator: str = ""
    carrier: TunnelEnds | None = None
    protection: str = ""
    direction: Direction = Direction.IN

    @property
    def ends(self) -> TunnelEnds:
        """
        The ends of the tunnel.
        """
        return self.carrier or TunnelEnds(self.tunnel, self.address, self.called)

    @property
    def guesser(self) -> str:
        """
        What wrong passwords of the caller are counted against besides its user: its address or, if
        many share that, the number that calls. It is empty if nothing tells the callers apart.
        """
        if not self.concentrator:
            return self.address
        calling = self.stations.calling
        return f"{calling}@{self.concentrator}" if calling else ""
