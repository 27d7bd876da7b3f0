"""
Counters of packets and octets in each direction, and of discards by reason.

Each session has a L{Counters} of its own. L{Totals} adds up those of current and ended sessions, so
that counting a packet increments one set of counters only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import NamedTuple

LOST = "lost before it reached us"
"""
The reason under which packets are counted that never came, as the sequence numbers of others show.
"""

DUPLICATE = "duplicate"
LATE = "late: its gap was given up"


class Counters:
    """
    The figures of one session, seen from the gateway: "received" means from the peer.

    Packets and octets are those of network packets (the PPP information field, after decryption).
    Frames are the payloads that the tunnel delivered, without those that came twice or can't be
    believed to be the peer's. C{discards} maps a reason, a short lower-case phrase, to the number
    of discards.
    """

    __slots__ = (
        "discards",
        "framesReceived",
        "framesSent",
        "octetsReceived",
        "octetsSent",
        "packetsReceived",
        "packetsSent",
    )

    def __init__(self) -> None:
        self.framesReceived = 0
        self.framesSent = 0
        self.packetsReceived = 0
        self.packetsSent = 0
        self.octetsReceived = 0
        self.octetsSent = 0
        self.discards: dict[str, int] = {}

    def discard(self, reason: str, count: int = 1) -> None:
        """
        Count C{count} discards for C{reason}.
        """
        self.discards[reason] = self.discards.get(reason, 0) + count

    def add(self, other: Counters) -> None:
        """
        Add every figure of C{other} to the same figure of this object.
        """
        self.framesReceived += other.framesReceived
        self.framesSent += other.framesSent
        self.addTraffic(other)
        for reason, count in other.discards.items():
            self.discard(reason, count)

    def addTraffic(self, other: Counters) -> None:
        """
        Add the packets and octets of C{other} to those of this object.
        """
        self.packetsReceived += other.packetsReceived
        self.packetsSent += other.packetsSent
        self.octetsReceived += other.octetsReceived
        self.octetsSent += other.octetsSent

    def asDict(self) -> dict[str, int | dict[str, int]]:
        """
        Return every figure by its name, for a log, a report or a management interface.
        """
        return {
            "framesReceived": self.framesReceived,
            "framesSent": self.framesSent,
            "packetsReceived": self.packetsReceived,
            "packetsSent": self.packetsSent,
            "octetsReceived": self.octetsReceived,
            "octetsSent": self.octetsSent,
            "discards": dict(self.discards),
        }


class Traffic(NamedTuple):
    """
    The figures that are looked at every second.

    @ivar discards: the number of discards for all reasons.
    """

    octetsReceived: int
    octetsSent: int
    packetsReceived: int
    packetsSent: int
    discards: int


class Totals:
    """
    The gateway's own counters: of everything outside of sessions, of ended and of current sessions.
    """

    def __init__(self, living: Callable[[], Iterable[Counters]], own: Counters) -> None:
        """
        @param living: returns the counters of the sessions that are current when it is called.
        @param own: the figures that belong to no session, such as stray packets and errors of the
            ports; those of ended sessions are added to it.
        """
        self._living = living
        self.own = own

    def retire(self, counters: Counters) -> None:
        """
        Add the figures of a session that has ended to the gateway's own.
        """
        self.own.add(counters)

    def parts(self) -> Iterator[Counters]:
        """
        Return what there is now to add up, as an iterator that may be used in slices. The figures
        of current sessions go on growing, and are right in the sum even if their sessions end
        before they are added: sums that are made one after the other never become less.
        """
        own = Counters()
        own.add(self.own)
        return chain((own,), self._living())

    def sum(self) -> Counters:
        """
        Return the sum of all figures until now, as a new L{Counters}.
        """
        total = Counters()
        for counters in self.parts():
            total.add(counters)
        return total

    def traffic(self) -> Traffic:
        """
        Return some of the figures until now. This takes half as long as L{sum}.
        """
        octetsReceived = octetsSent = packetsReceived = packetsSent = discards = 0
        for one in self.parts():
            octetsReceived += one.octetsReceived
            octetsSent += one.octetsSent
            packetsReceived += one.packetsReceived
            packetsSent += one.packetsSent
            if one.discards:
                discards += sum(one.discards.values())
        return Traffic(octetsReceived, octetsSent, packetsReceived, packetsSent, discards)
