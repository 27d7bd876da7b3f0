"""
The interface between the Python data path and what is on its two sides, tunnels and networks: the
functions that each calls of the other, and the TUN device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

ReceiveFrames = Callable[[int, int, list[bytes]], None]
"""
A function that takes a run of PPP frames of one protocol, whose sequence numbers follow each other
without passing 0. Its parameters are the sequence number of the first frame, the protocol number
and the information fields. The sequence number is -1 for a packet that has none, and so no frame.
The protocol number is 0 if there is no frame, or a frame without a protocol number.
"""

SendPacket = Callable[[bytes], object]
"""
A function that sends a packet of a tunnel; it raises OSError.
"""

DeliverPacket = Callable[[bytes], object]
"""
A function that passes a packet to the network behind the gateway; it may raise OSError.
"""


class TUN(Protocol):
    """
    The TUN device, as the data path uses it.

    @ivar receive: called with each packet that the kernel sends; the data path sets it.
    @ivar write: sends a packet into the kernel.
    """

    receive: DeliverPacket
    write: DeliverPacket
