"""
Packets that wait, in a lane for each session, and whose turn it is: deficit round robin.

Each lane takes L{QUANTUM} octets in its turn, so that a session that sends more than others makes
only itself wait. There is a lane only while packets wait in it, and a new one has its turn after
all others. Where more than L{MOST} packets wait, the longest lane loses its first packet; of the
longest lanes this is the one that became as long last.

The compiled C{pptpgw/datapath/native/fair.c} does the same.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Generic, TypeVar

MOST = 2048
"""
The most packets that wait.
"""

QUANTUM = 12000
"""
The octets that a lane may take in each round of turns.
"""

COST = 512
"""
The octets for which a packet counts besides its own, since a small one takes nearly as long as a
large one.
"""

READ = 1024
"""
The most packets that are read at once, which takes about a millisecond.
"""

BATCH = 128
"""
The most packets that are taken at once. To handle them takes about a millisecond; then timers and
descriptors have their turn.
"""

FULL = "queue full"
"""
The reason under which packets are counted that a full lane loses.
"""

Key = TypeVar("Key")


class _Lane:
    """
    The packets of one key.

    @ivar credit: the octets that it may take until the next lane has its turn.
    """

    __slots__ = ("credit", "packets")

    def __init__(self) -> None:
        self.credit = QUANTUM
        self.packets: deque[bytes] = deque()


class Fair(Generic[Key]):
    """
    The packets that wait.

    @ivar waiting: the number of packets in all lanes.
    @ivar dropped: the number of packets that were dropped of each key, for the owner to clear.
    """

    def __init__(self) -> None:
        self.waiting = 0
        self.dropped: dict[Key, int] = {}
        # In the order of turns: the first one has its turn.
        self._lanes: OrderedDict[Key, _Lane] = OrderedDict()
        # The keys by the number of packets, in the order in which their lanes got this number.
        self._lengths: dict[int, dict[Key, None]] = {}
        self._longest = 0

    def has(self, key: Key) -> bool:
        """
        Return whether a packet with this key waits.
        """
        return key in self._lanes

    def add(self, key: Key, packets: Sequence[bytes]) -> None:
        """
        Have packets wait in the lane of C{key}.
        """
        begin = 0
        while begin < len(packets):
            lane = self._lanes.get(key)
            if lane is None:
                lane = self._lanes[key] = _Lane()
            before = len(lane.packets)
            room = MOST - self.waiting
            if not room:
                # A longest lane loses as many as it gets.
                room = len(packets) if before == self._longest else 1
            some = packets[begin : begin + room]
            begin += room
            lane.packets.extend(some)
            self.waiting += len(some)
            self._count(key, before, before + len(some))
            over = self.waiting - MOST
            if over > 0:
                loser = next(reversed(self._lengths[self._longest]))
                self._remove(loser, over)
                self.dropped[loser] = self.dropped.get(loser, 0) + over

    def take(self, most: int) -> tuple[Key, list[bytes]]:
        """
        Return the key whose turn it is, and up to C{most} of its packets, which don't wait any
        more.

        @raise LookupError: no packet waits.
        """
        while self._lanes:
            key, lane = next(iter(self._lanes.items()))
            if lane.credit > 0:
                break
            lane.credit += QUANTUM
            self._lanes.move_to_end(key)
        else:
            raise LookupError("no packet waits")
        some = 0
        for packet in lane.packets:
            if some == most or lane.credit <= 0:
                break
            lane.credit -= len(packet) + COST
            some += 1
        return key, self._remove(key, some)

    def forget(self, key: Key) -> int:
        """
        Forget the packets with this key.

        @return: how many they were.
        """
        lane = self._lanes.get(key)
        return 0 if lane is None else len(self._remove(key, len(lane.packets)))

    def _remove(self, key: Key, some: int) -> list[bytes]:
        """
        Remove the first packets of a lane, and the lane if it is empty then.
        """
        packets = self._lanes[key].packets
        before = len(packets)
        removed = [packets.popleft() for _ in range(some)]
        self.waiting -= some
        self._count(key, before, before - some)
        if not packets:
            del self._lanes[key]
        return removed

    def _count(self, key: Key, before: int, after: int) -> None:
        """
        Note that the lane of C{key} has another number of packets.
        """
        lengths = self._lengths
        if before:
            del lengths[before][key]
            if not lengths[before]:
                del lengths[before]
        if after:
            lengths.setdefault(after, {})[key] = None
        if after > self._longest:
            self._longest = after
        elif self._longest not in lengths:
            self._longest = max(lengths, default=0)
