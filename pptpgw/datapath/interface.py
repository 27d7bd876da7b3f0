"""
The interface between the Python data path and what is on its two sides, tunnels and networks: the
functions that each calls of the other, and the TUN device.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Protocol

ReceiveFrames = Callable[[int, int, list[bytes]], None]
"""
A function that takes a run of PPP frames of one protocol, whose sequence numbers follow each other
without passing 0. Its parameters are the sequence number of the first frame, the protocol number
and the information fields. The sequence number is -1 for a packet that has none, and so no frame.
The protocol number is 0 if there is no frame, or a frame without a protocol number.
"""

CountDropped = Callable[[int], object]
"""
A function that is told how many frames of a call were dropped before they were taken.
"""

SendPacket = Callable[[bytes], object]
"""
A function that sends a packet of a tunnel; it raises OSError.
"""

SendAll = Callable[[Sequence[bytes]], list[tuple[int, OSError]]]
"""
A function that sends packets of a tunnel, and returns the places and errors of those that it
couldn't send.
"""

DeliverPacket = Callable[[bytes], object]
"""
A function that passes a packet to the network behind the gateway; it may raise OSError.
"""

DeliverAll = Callable[[Sequence[bytes]], int]
"""
A function that passes packets to the network behind the gateway, and returns how many of them that
refused.
"""


class Peer(Protocol):
    """
    The peer of one session, with one network protocol: the target of its routes.
    """

    def transmit(self, packets: Sequence[bytes]) -> object:
        """
        Send packets to the peer.
        """

    def dropped(self, count: int) -> object:
        """
        Count packets for the peer that were dropped because too many waited.
        """


class Watcher(Protocol):
    """
    A tunnel's port whose sockets threads read.

    @ivar carrier: what its packets are called: C{GRE} or C{L2TP}.
    """

    carrier: str

    def readFailed(self, error: int) -> None:
        """
        Note that a socket can't be read, with the number of an error.
        """


class Reader(Protocol):
    """
    Threads that read sockets: see L{pptpgw.datapath.engine.Engine}.

    @ivar readers: how many threads there are.
    """

    readers: int

    def watch(self, descriptors: tuple[int, ...], watcher: Watcher) -> tuple[int, socket.socket]:
        """
        See L{pptpgw.datapath.engine.Engine.watch}.
        """

    def forget(self, place: int) -> None:
        """
        See L{pptpgw.datapath.engine.Engine.forget}.
        """

    def sync(self) -> None:
        """
        See L{pptpgw.datapath.engine.Engine.sync}.
        """


class TUN(Protocol):
    """
    The TUN device, as the data path uses it.

    @ivar receiveAll: called with the packets that the kernel sends; the data path sets it.
    @ivar batches: how many times as many packets as it can handle at once C{receiveAll} takes at
        once.
    @ivar write: sends a packet into the kernel.
    @ivar writeAll: sends packets into the kernel.
    """

    receiveAll: Callable[[list[bytes]], object]
    batches: int
    write: DeliverPacket
    writeAll: DeliverAll
