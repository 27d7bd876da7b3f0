"""
What the Python data path has at its edges: what it needs of a GRE port and of a TUN device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Receive = Callable[[int, int, list[bytes]], None]
"""
Takes a run of GRE packets, whose sequence numbers follow each other without passing 0: the first
number, -1 where it is one packet that only acknowledges, and the protocol number and information
fields of the PPP frames in them; the protocol number is 0 where there is no frame, or one without
a protocol number.
"""

Send = Callable[[bytes], object]
"""
Sends one GRE packet; raises OSError.
"""

Deliver = Callable[[bytes], object]
"""
Takes a packet into the network behind us; may raise OSError.
"""


class GRE(Protocol):
    """
    A GRE port.
    """

    def register(self, peerAddress: str, localCallID: int, receive: Receive) -> None:
        """
        Have C{receive} called with the packets of one call; raises ValueError where another call
        has this peer and call id.
        """

    def unregister(self, peerAddress: str, localCallID: int) -> None:
        """
        Take that back. Calling this again does nothing.
        """

    def sender(self, localAddress: str, peerAddress: str) -> Send:
        """
        What sends packets between these addresses.
        """

    def sendFailed(self, error: OSError) -> None:
        """
        Count that the system refused a packet.
        """


class TUN(Protocol):
    """
    A TUN port.

    @ivar receive: set by the data path: called with each packet that the kernel sends.
    @ivar write: sends a packet into the kernel.
    """

    receive: Deliver
    write: Deliver
