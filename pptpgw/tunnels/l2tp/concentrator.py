"""
The gateway as LAC: calls that are passed on to LNSs (RFC 2661 sections 1.2 and 5.2.1), and those
that it dials, as a LAC client (section 1.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pptpgw.interfaces import Forward, ICall
from pptpgw.tunnels.concentrator import CalledServer, Concentrator, Leg
from pptpgw.tunnels.l2tp.carriage import Address
from pptpgw.tunnels.l2tp.connection import L2TPConnection
from pptpgw.tunnels.l2tp.details import detailsOf
from pptpgw.tunnels.l2tp.owner import L2TPOwner
from pptpgw.tunnels.l2tp.secrets import trusting
from pptpgw.tunnels.l2tp.settings import ControlSettings
from pptpgw.tunnels.l2tp.wire.header import PORT

Open = Callable[[ControlSettings, L2TPOwner, str, Address], L2TPConnection]
"""
A function that opens a control connection by these settings, from an address of ours (empty for
any) to a peer.
"""


class L2TPConcentrator(Concentrator[L2TPConnection]):
    """
    The LNSs to which calls are placed.

    @ivar settings: the settings of control connections to come.
    """

    port = PORT

    def __init__(self, reactor: Any, settings: ControlSettings, open: Open) -> None:
        super().__init__(reactor)
        self.settings = settings
        self._open = open

    @property
    def idleTimeout(self) -> float:
        """
        See L{Concentrator.idleTimeout}.
        """
        return self.settings.idleTimeout

    def connect(
        self, forward: Forward, owner: CalledServer[L2TPConnection], peer: Address
    ) -> L2TPConnection:
        """
        See L{Concentrator.connect}.
        """
        name = forward.name.encode() or self.settings.name
        settings = replace(self.settings, name=name, trust=trusting(forward.secret))
        return self._open(settings, owner, forward.source, peer)

    def request(self, connection: L2TPConnection, leg: Leg) -> ICall:
        """
        See L{Concentrator.request}.
        """
        if leg.caller is None:
            return connection.placeCall(leg)
        details = detailsOf(leg.negotiated, leg.caller, connection.hasSecret)
        return connection.placeCall(leg, details=details)
