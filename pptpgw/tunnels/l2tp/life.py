"""
The signs of life of a peer: control messages, and frames of its calls.
"""

from __future__ import annotations

from collections.abc import Callable


class Life:
    """
    The signs of life of one peer. A packet costs nothing here: frames are looked for only when
    somebody asks.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        """
        @param seconds: returns the monotonic time, in seconds.
        """
        self._seconds = seconds
        self._frames = 0
        self._since = seconds()

    def heard(self) -> None:
        """
        Note that a control message has come.
        """
        self._since = self._seconds()

    def silence(self, frames: int) -> float:
        """
        Return the seconds without a sign of life, as far as is known: frames are only noticed here.

        @param frames: how many frames came by the calls that there are.
        """
        if frames != self._frames:
            self._frames = frames
            self.heard()
        return self._seconds() - self._since
