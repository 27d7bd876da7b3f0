"""
A hub: what one session sends, every other one gets.

The rules:

 - A packet goes to each other session on which the protocol is open, under the protocol number
   that it came with; never back.
 - What one packet multiplies is limited: L{COPIES} a second, in equal shares among the sessions.
   The first copy is no multiplication, so two sessions have no limit. A packet may take what a
   share has left and more; the share is then in debt, and the next ones are discarded until it is
   paid.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from pptpgw.counting.counters import Counters
from pptpgw.interfaces import ISubscriber
from pptpgw.networks.generic.control import GenericProtocol

COPIES = 20000
"""
Copies a second, at most, that a hub makes over and above the first of each packet.
"""

MULTIPLIED = "more copies than a caller may cause in a hub"


class Hub:
    """
    The hub of one protocol.
    """

    def __init__(self, clock: IReactorTime, counters: Counters) -> None:
        self.clock = clock
        self.counters = counters
        self.members: dict[HubOutlet, GenericProtocol] = {}

    def start(self) -> None:
        """
        There is nothing to open.
        """

    def outlet(self, subscriber: ISubscriber) -> HubOutlet:
        """
        See L{pptpgw.networks.generic.outlet.Outlets.outlet}.
        """
        return HubOutlet(self)


class HubOutlet:
    """
    One session's place at the hub.
    """

    __slots__ = ("_credit", "_hub", "_since")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._since = hub.clock.seconds()
        self._credit = 0.0

    def opened(self, protocol: GenericProtocol) -> None:
        """
        Get what others send.
        """
        self._hub.members[self] = protocol

    def closed(self, protocol: GenericProtocol) -> None:
        """
        Get nothing more.
        """
        self._hub.members.pop(self, None)

    def received(self, number: int, packet: bytes) -> None:
        """
        Repeat it to all others.
        """
        hub = self._hub
        members = hub.members
        copies = len(members) - 2
        if copies > 0 and not self._may(copies, COPIES / len(members)):
            hub.counters.discard(MULTIPLIED)
            return
        # Who gets a packet may leave for it.
        for outlet, protocol in tuple(members.items()):
            if outlet is not self:
                protocol.link.sendPacket(number, packet)

    def _may(self, copies: int, share: float) -> bool:
        """
        Whether as many copies more may be made now, where C{share} is allowed a second.
        """
        now = self._hub.clock.seconds()
        credit = min(share, self._credit + (now - self._since) * share)
        self._since = now
        allowed = credit >= 0
        self._credit = credit - copies if allowed else credit
        return allowed
