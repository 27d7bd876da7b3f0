"""
What an SSTP connection sends, collected into few TLS records.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.protocols.tls import TLSMemoryBIOProtocol

from pptpgw.timing.timer import cancelled

RECORD = 16384
"""
The octets of the largest TLS record (RFC 8446 section 5.1).
"""


class Records:
    """
    The packets that are to be sent. Those of one turn of the reactor go together, except the last
    one, which has a TLS record of its own.

    sstp-client takes one packet out of a record whenever its socket has something to read: if the
    last record had several packets, it would leave all but the first until more comes.
    """

    __slots__ = ("_clock", "_packets", "_send", "_size", "_turn")

    def __init__(self, clock: IReactorTime, transport: Any) -> None:
        """
        @param transport: the transport, with TLS or without.
        """
        self._clock = clock
        self._packets: list[bytes] = []
        self._size = 0
        self._turn: IDelayedCall | None = None
        self._send = transport.write
        if isinstance(transport, TLSMemoryBIOProtocol):
            # A derived class collects what is written in one turn, too.
            self._send = partial(TLSMemoryBIOProtocol.write, transport)

    def write(self, packet: bytes) -> None:
        """
        Send a packet at the end of this turn of the reactor, or before if a record is full.
        """
        self._size += len(packet)
        if self._size > RECORD:
            self._send(b"".join(self._packets))
            self._packets.clear()
            self._size = len(packet)
        self._packets.append(packet)
        if self._turn is None:
            self._turn = self._clock.callLater(0, self.flush)

    def flush(self) -> None:
        """
        Send what waits.
        """
        self._turn = cancelled(self._turn)
        packets, self._packets, self._size = self._packets, [], 0
        if packets:
            last = packets.pop()
            if packets:
                self._send(b"".join(packets))
            self._send(last)

    def drop(self) -> None:
        """
        Send nothing of what waits.
        """
        self._turn = cancelled(self._turn)
        self._packets.clear()
        self._size = 0
