"""
The calls that the gateway places: as PAC, those that are passed on to PNSs as incoming calls (RFC
2637 sections 1.1 and 2.9), and as PNS, as every client is, those that it dials (section 2.7).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred

from pptpgw.interfaces import Forward, ICall, Stations
from pptpgw.tunnels.concentrator import CalledServer, Concentrator, Leg, numbersOf
from pptpgw.tunnels.pptp.connection import ControlConnection
from pptpgw.tunnels.pptp.owner import ConnectionOwner
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from pptpgw.tunnels.pptp.wire.message import PORT

Open = Callable[
    [ConnectionSettings, ConnectionOwner, str, tuple[str, int]], Deferred[ControlConnection]
]
"""
A function that opens a control connection by these settings, from an address of ours (empty for
any) to the address and port of a peer.
"""


class PPTPConcentrator(Concentrator[ControlConnection]):
    """
    The PNSs to which calls are passed on, and the PACs that are asked for dialled ones.

    @ivar settings: the settings of control connections to come.
    """

    port = PORT

    def __init__(self, reactor: Any, settings: ConnectionSettings, open: Open) -> None:
        super().__init__(reactor)
        self.settings = settings
        self._open = open

    @property
    def idleTimeout(self) -> float:
        """
        See L{Concentrator.idleTimeout}.
        """
        return self.settings.callTimeout

    def connect(
        self, forward: Forward, owner: CalledServer[ControlConnection], peer: tuple[str, int]
    ) -> Deferred[ControlConnection]:
        """
        See L{Concentrator.connect}.
        """
        name = forward.name.encode() or self.settings.hostName
        settings = replace(self.settings, hostName=name)
        return self._open(settings, owner, forward.source, peer)

    def request(self, connection: ControlConnection, leg: Leg) -> ICall:
        """
        See L{Concentrator.request}.
        """
        if leg.caller is None:
            return connection.placeCall(leg, Stations(called=leg.number))
        isAsynchronous = leg.caller.accm is not None
        return connection.offerCall(leg, numbersOf(leg.caller), isAsynchronous)
