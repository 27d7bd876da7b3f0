"""
The gateway as LAC: calls that are passed on to LNSs (RFC 2661 sections 1.2 and 5.2.1), and those
that it dials, as a LAC client (section 1.2).
"""

from __future__ import annotations

from dataclasses import replace

from pptpgw.interfaces import Forward, ICall
from pptpgw.tunnels.concentrator import Concentrator, Leg
from pptpgw.tunnels.l2tp.connection import L2TPConnection
from pptpgw.tunnels.l2tp.details import detailsOf
from pptpgw.tunnels.l2tp.secrets import trusting
from pptpgw.tunnels.l2tp.settings import ControlSettings
from pptpgw.tunnels.l2tp.wire.header import PORT


class L2TPConcentrator(Concentrator[ControlSettings, L2TPConnection]):
    """
    The LNSs to which calls are placed.
    """

    port = PORT

    @property
    def idleTimeout(self) -> float:
        """
        See L{Concentrator.idleTimeout}.
        """
        return self.settings.idleTimeout

    def settingsFor(self, forward: Forward) -> ControlSettings:
        """
        See L{Concentrator.settingsFor}.
        """
        name = forward.name.encode() or self.settings.name
        return replace(self.settings, name=name, trust=trusting(forward.secret))

    def request(self, connection: L2TPConnection, leg: Leg) -> ICall:
        """
        See L{Concentrator.request}.
        """
        if leg.caller is None:
            return connection.placeCall(leg)
        details = detailsOf(leg.negotiated, leg.caller, connection.hasSecret)
        return connection.placeCall(leg, details=details)
