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

    def __init__(self, seconds: Callable[[], float], frames: Callable[[], int]) -> None:
        """
        @param seconds: returns the monotonic time, in seconds.
        @param frames: returns how many frames came by the calls that there are.
        """
        self._seconds = seconds
        self._frames = frames
        self._counted = 0
        self._since = seconds()

    def heard(self) -> None:
        """
        Note that a control message has come.
        """
        self._since = self._seconds()

    @property
    def silence(self) -> float:
        """
        The seconds without a sign of life, as far as is known: frames are only noticed here.
        """
        frames = self._frames()
        if frames != self._counted:
            self._counted = frames
            self.heard()
        return self._seconds() - self._since
