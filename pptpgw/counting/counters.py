"""
Counters: packets and octets each way and every reason of discard.

One L{Counters} belongs to a session; L{Totals} sums those of the living and of the ended, so that
a packet pays for one set of increments only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable


class Counters:
    """
    What one session carried, seen from the gateway: "received" came from the peer.

    Packets and octets are network packets (the PPP information field, after decryption); frames are
    GRE payloads of every kind, without those received twice or not believed to be the peer's.
    C{discards} maps a reason, a short lower-case phrase, to how often it happened.
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
        Add every figure of C{other} to this one.
        """
        self.framesReceived += other.framesReceived
        self.framesSent += other.framesSent
        self.packetsReceived += other.packetsReceived
        self.packetsSent += other.packetsSent
        self.octetsReceived += other.octetsReceived
        self.octetsSent += other.octetsSent
        for reason, count in other.discards.items():
            self.discard(reason, count)

    def asDict(self) -> dict[str, int | dict[str, int]]:
        """
        Every figure by its name, for a log, a report or a management interface.
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


class Totals:
    """
    The gateway's own counters: what no session owns, what ended sessions left, and the living.
    """

    def __init__(self, living: Callable[[], Iterable[Counters]], own: Counters) -> None:
        """
        @param living: gives the counters of the sessions of now.
        @param own: what no session owns, the ports' strays and errors; ended sessions add to it.
        """
        self._living = living
        self.own = own

    def retire(self, counters: Counters) -> None:
        """
        Keep the figures of a session that has ended.
        """
        self.own.add(counters)

    def sum(self) -> Counters:
        """
        Everything up to now, as a new L{Counters}.
        """
        total = Counters()
        total.add(self.own)
        for counters in self._living():
            total.add(counters)
        return total
