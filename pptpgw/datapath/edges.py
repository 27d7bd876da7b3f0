"""
What the Python data path has at its edges: what passes between it and the ports of tunnels, and
what it needs of a TUN device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Receive = Callable[[int, int, list[bytes]], None]
"""
Takes a run of PPP frames of one protocol, whose sequence numbers follow each other without passing
0: the number of the first frame, the protocol number and the information fields. The number is -1
for a packet that has none and so no frame; the protocol number is 0 if there is no frame, or a
frame without a protocol number.
"""

Send = Callable[[bytes], object]
"""
Sends one packet of a tunnel; raises OSError.
"""

Deliver = Callable[[bytes], object]
"""
Takes a packet into the network behind us; may raise OSError.
"""


class TUN(Protocol):
    """
    A TUN port.

    @ivar receive: set by the data path: called with each packet that the kernel sends.
    @ivar write: sends a packet into the kernel.
    """

    receive: Deliver
    write: Deliver
