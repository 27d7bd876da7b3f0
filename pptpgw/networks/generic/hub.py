"""
A hub, which repeats every packet of a session to all other sessions with the same protocol.

The rules:

 - A packet goes to each other session on which the protocol is open, under the protocol number that
   it came with. It never goes back.
 - The number of copies is limited to L{COPIES} a second, in equal shares among the sessions. The
   first copy of each packet isn't counted, so there is no limit between two sessions. A packet may
   take more than is left of its session's share; the share is then in debt, and the session's
   packets are discarded until the debt has been made up.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from pptpgw.counting.counters import Counters
from pptpgw.interfaces import ISubscriber
from pptpgw.networks.generic.control import GenericProtocol

COPIES = 20000
"""
The most copies that a hub makes in a second, without the first copy of each packet.
"""

MULTIPLIED = "more copies than a caller may cause in a hub"


class Hub:
    """
    The hub of one declared protocol, which keeps the sessions on which it is open.
    """

    def __init__(self, clock: IReactorTime, counters: Counters) -> None:
        self.clock = clock
        self.counters = counters
        self.members: dict[HubOutlet, GenericProtocol] = {}

    def start(self) -> None:
        """
        Do nothing: a hub has nothing to open.
        """

    def outlet(self, subscriber: ISubscriber) -> HubOutlet:
        """
        See L{pptpgw.networks.generic.outlet.Outlets.outlet}.
        """
        return HubOutlet(self)


class HubOutlet:
    """
    One session's connection to the hub.
    """

    __slots__ = ("_credit", "_hub", "_since")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._since = hub.clock.seconds()
        self._credit = 0.0

    def opened(self, protocol: GenericProtocol) -> None:
        """
        Join the hub.
        """
        self._hub.members[self] = protocol

    def closed(self, protocol: GenericProtocol) -> None:
        """
        Leave the hub.
        """
        self._hub.members.pop(self, None)

    def received(self, number: int, packet: bytes) -> None:
        """
        Repeat a packet to all other sessions, within the limit.
        """
        hub = self._hub
        members = hub.members
        copies = len(members) - 2
        if copies > 0 and not self._may(copies, COPIES / len(members)):
            hub.counters.discard(MULTIPLIED)
            return
        # The loop uses a copy, since a session that gets a packet may end because of it.
        for outlet, protocol in tuple(members.items()):
            if outlet is not self:
                protocol.link.sendPacket(number, packet)

    def _may(self, copies: int, share: float) -> bool:
        """
        Return whether C{copies} more copies may be made now, and charge them to this session.

        @param share: the number of copies a second that are allowed.
        """
        now = self._hub.clock.seconds()
        credit = min(share, self._credit + (now - self._since) * share)
        self._since = now
        allowed = credit >= 0
        self._credit = credit - copies if allowed else credit
        return allowed
