"""
The datagrams of a port that wait for their turn: in a lane for each call and each control
connection, and apart from these the control messages of strangers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from pptpgw.counting.counters import Counters
from pptpgw.datapath.fair import BATCH, FULL, Fair
from pptpgw.error import Malformed
from pptpgw.log import Logger
from pptpgw.timing.slices import SECONDS
from pptpgw.tunnels.l2tp.carriage import Address, FrameTaker
from pptpgw.tunnels.l2tp.connections import MALFORMED, STRAY
from pptpgw.tunnels.l2tp.port.reading import CONTROL, PLAIN, PLAIN_OCTETS, keyOf
from pptpgw.tunnels.l2tp.port.withheld import restored
from pptpgw.tunnels.l2tp.wire.header import decodeData

STRANGERS, STRANGERS_AT_ONCE = 512, 16
"""
The most control messages of no connection that wait, and that are handled in one turn.
"""

# The most datagrams of one lane between two looks at the clock.
_FEW = 32


class PortConnections(Protocol):
    """
    The control connections of a port: see
    L{pptpgw.tunnels.l2tp.connections.ControlConnections}.
    """

    def knows(self, tunnelID: int, peer: Address) -> bool:
        """
        Return whether there is a connection with this id, which we assigned, and this peer.
        """

    def continued(self, tunnelID: int, octets: bytes) -> None:
        """
        Handle a datagram with a control message of such a connection.
        """

    def received(self, octets: bytes, peer: Address, localAddress: str) -> None:
        """
        Handle a datagram with any other control message.
        """


class Turns:
    """
    The datagrams of one port that wait.

    @ivar connections: handles control messages.
    """

    _log = Logger()

    connections: PortConnections

    def __init__(
        self,
        seconds: Callable[[], float],
        calls: Mapping[int, tuple[Address, FrameTaker]],
        counters: Counters,
    ) -> None:
        """
        @param seconds: returns the time, in seconds.
        @param calls: the peers of calls and what takes their frames, by the number that
            L{pptpgw.tunnels.l2tp.port.reading.keyOf} returns.
        """
        self._seconds = seconds
        self._calls = calls
        self._counters = counters
        self._lanes: Fair[int] = Fair()
        self._strangers: deque[tuple[bytes, Address, str]] = deque()

    @property
    def waiting(self) -> bool:
        """
        Whether a datagram waits in a lane, or a control message of a stranger.
        """
        return bool(self._lanes.waiting or self._strangers)

    def add(self, octets: bytes, peer: Address, local: str) -> None:
        """
        Have a datagram wait in its lane.

        @param local: the local address that it was sent to, dotted.
        """
        calls, key = self._calls, keyOf(octets)
        if key < 0:
            self._counters.discard(MALFORMED)
        elif key >= CONTROL:
            if self.connections.knows(key & 0xFFFF, peer):
                self._lanes.add(key, (octets,))
            elif len(self._strangers) < STRANGERS:
                self._strangers.append((octets, peer, local))
            else:
                self._counters.discard(FULL)
        elif key in calls and calls[key][0] == peer:
            self._lanes.add(key, (octets,))
        else:
            self._counters.discard(STRAY)

    def count(self) -> None:
        """
        Count what was dropped because too many waited.
        """
        dropped, self._lanes.dropped = self._lanes.dropped, {}
        for count in dropped.values():
            self._counters.discard(FULL, count)

    def give(self) -> None:
        """
        Pass on as many datagrams as fit in one slice, and some of strangers.
        """
        lanes, seconds = self._lanes, self._seconds
        end = seconds() + SECONDS
        left = BATCH
        while left and lanes.waiting and seconds() < end:
            key, datagrams = lanes.take(min(left, _FEW))
            left -= len(datagrams)
            try:
                if key >= CONTROL:
                    for datagram in datagrams:
                        self.connections.continued(key & 0xFFFF, datagram)
                else:
                    self._data(key, datagrams)
            except Exception:
                self._log.failure("A call failed on a message")
        for _ in range(min(STRANGERS_AT_ONCE, len(self._strangers))):
            try:
                self.connections.received(*self._strangers.popleft())
            except Exception:
                self._log.failure("A connection failed on a message")

    def _data(self, key: int, datagrams: list[bytes]) -> None:
        """
        Give a call the frames of its datagrams, those together that follow each other and have no
        optional fields.
        """
        frames: list[bytes] = []
        for datagram in datagrams:
            if datagram[1] == PLAIN and not datagram[0]:
                frames.append(datagram[PLAIN_OCTETS:])
                continue
            if frames:
                self._plain(key, frames)
                frames = []
            found = self._calls.get(key)
            if found is None:
                self._counters.discard(STRAY)
                continue
            try:
                message = decodeData(restored(datagram))
            except Malformed:
                self._counters.discard(MALFORMED)
            else:
                found[1].received(message.frame, message.sequence)
        if frames:
            self._plain(key, frames)

    def _plain(self, key: int, frames: list[bytes]) -> None:
        found = self._calls.get(key)
        if found is None:
            self._counters.discard(STRAY, len(frames))
        else:
            found[1].receivedAll(frames)
