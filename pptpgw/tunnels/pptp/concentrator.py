"""
The gateway as PAC: calls that are passed on to PNSs as incoming calls (RFC 2637 sections 1.1 and
2.9).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred

from pptpgw.interfaces import Forward, ICall
from pptpgw.tunnels.concentrator import CalledServer, Concentrator, Leg, numbersOf
from pptpgw.tunnels.pptp.connection import ControlConnection
from pptpgw.tunnels.pptp.owner import ConnectionOwner
from pptpgw.tunnels.pptp.settings import ConnectionSettings

Open = Callable[[ConnectionSettings, ConnectionOwner, str, str], Deferred[ControlConnection]]
"""
A function that opens a control connection by these settings, from an address of ours (empty for
any) to that of a peer.
"""


class PPTPConcentrator(Concentrator[ControlConnection]):
    """
    The PNSs to which calls are passed on.

    @ivar settings: the settings of control connections to come.
    """

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
        self, forward: Forward, owner: CalledServer[ControlConnection], address: str
    ) -> Deferred[ControlConnection]:
        """
        See L{Concentrator.connect}.
        """
        name = forward.name.encode() or self.settings.hostName
        settings = replace(self.settings, hostName=name)
        return self._open(settings, owner, forward.source, address)

    def request(self, connection: ControlConnection, leg: Leg) -> ICall:
        """
        See L{Concentrator.request}.
        """
        return connection.offerCall(leg, numbersOf(leg.caller))
