"""
The calls that the gateway places: as PAC, those that are passed on to PNSs as incoming calls (RFC
2637 sections 1.1 and 2.9), and as PNS, as every client is, those that it dials (section 2.7).
"""

from __future__ import annotations

from dataclasses import replace

from pptpgw.interfaces import Forward, ICall, Stations
from pptpgw.tunnels.concentrator import Concentrator, Leg, numbersOf
from pptpgw.tunnels.pptp.connection import ControlConnection
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from pptpgw.tunnels.pptp.wire.message import PORT


class PPTPConcentrator(Concentrator[ConnectionSettings, ControlConnection]):
    """
    The PNSs to which calls are passed on, and the PACs that are asked for dialled ones.
    """

    port = PORT

    @property
    def idleTimeout(self) -> float:
        """
        See L{Concentrator.idleTimeout}.
        """
        return self.settings.callTimeout

    def settingsFor(self, forward: Forward) -> ConnectionSettings:
        """
        See L{Concentrator.settingsFor}.
        """
        return replace(self.settings, hostName=forward.name.encode() or self.settings.hostName)

    def request(self, connection: ControlConnection, leg: Leg) -> ICall:
        """
        See L{Concentrator.request}.
        """
        if leg.caller is None:
            return connection.placeCall(leg, Stations(called=leg.number))
        isAsynchronous = leg.caller.accm is not None
        return connection.offerCall(leg, numbersOf(leg.caller), isAsynchronous)
