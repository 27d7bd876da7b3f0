"""
The addresses that the other end of a call tells this gateway, which has dialled it.

The rules:

 - An address that no host can have ends IPv4 on the call, and so does one for us that is the
   gateway's already, an end of the tunnel, leads to another session, or may be given to a caller.
 - The peer's own address leads to its session, unless it is one of those: then nothing is sent to
   it there, and packets that come from it are dropped, but the networks behind it are reached.
   Many servers tell the address to which their callers' tunnels lead. A route to that by the
   session would have the packets of the tunnel enter the tunnel.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network

from pptpgw.config.kind import isUnicast
from pptpgw.error import Refused
from pptpgw.interfaces import ISessions
from pptpgw.log import Logger


class Told:
    """
    What judges the addresses of one call. It is a L{pptpgw.networks.ipv4.ipcp.Judge}.
    """

    _log = Logger()

    def __init__(
        self,
        sessions: ISessions,
        session: str,
        gateway: Collection[IPv4Address],
        ends: Collection[str],
        pools: Collection[IPv4Network],
    ) -> None:
        """
        @param sessions: the current sessions.
        @param session: the identifier of the session of the call.
        @param gateway: the gateway's own addresses.
        @param ends: the addresses of both ends of the tunnel, in text.
        @param pools: the networks that callers get addresses from.
        """
        self._sessions = sessions
        self._session = session
        self._gateway = gateway
        self._ends = frozenset(ends)
        self._pools = pools
        self._fault = ""

    def __call__(self, ours: IPv4Address, peers: IPv4Address | None) -> IPv4Address | None:
        """
        Judge the addresses.

        @param ours: the address that the peer gives us.
        @param peers: the peer's own address; None if it doesn't tell it.
        @return: the peer's address, if packets for it go to its session.
        @raise Refused: IPv4 can't be used with these.
        """
        for address in (ours, peers):
            if address is not None and not isUnicast(IPv4Network(address)):
                raise Refused(f"the peer tells the address {address}, which no host can have")
        if fault := self._taken(ours):
            raise Refused(f"the peer gives us the address {ours}, which {fault}")
        if peers is None or peers == ours:
            return None
        fault = self._taken(peers)
        if fault and fault != self._fault:
            self._fault = fault
            self._log.warn(
                "the other end's own address, {address}, {fault}: it isn't reached by it",
                session=self._session,
                address=str(peers),
                fault=fault,
            )
        return None if fault else peers

    def _taken(self, address: IPv4Address) -> str:
        """
        Say who else has C{address}; empty if nobody has.
        """
        if address in self._gateway:
            return "is this gateway's own"
        if str(address) in self._ends:
            return "is that of an end of the tunnel"
        if any(address in pool for pool in self._pools):
            return "is one of those that callers get"
        holder = self._sessions.sessionFor(str(address))
        if holder is not None and holder.identifier != self._session:
            own = (one for networks in holder.networks.values() for one in networks)
            if IPv4Network(address) in own:
                return f"leads to {holder.user}"
        return ""
