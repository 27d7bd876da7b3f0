"""
Readers of inputs, for targets that need more than octets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Target = Callable[[bytes], None]
"""
A target: called with the octets of an input, it raises an exception if something is wrong.
"""

T = TypeVar("T")


class Reader:
    """
    Reads the octets of an input in order. After the last one they are all zero.
    """

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    @property
    def more(self) -> bool:
        """
        Whether there is anything left.
        """
        return self._at < len(self._octets)

    def take(self, size: int) -> bytes:
        """
        The next octets, at most C{size}.
        """
        taken = self._octets[self._at : self._at + size]
        self._at += size
        return taken

    def number(self, size: int = 1) -> int:
        """
        The number in the next C{size} octets.
        """
        return int.from_bytes(self.take(size).ljust(size, b"\0"), "big")

    def chunk(self) -> bytes:
        """
        Octets whose length is in one octet before them.
        """
        return self.take(self.number())

    def rest(self) -> bytes:
        """
        All octets that are left.
        """
        return self.take(len(self._octets))

    def choose(self, among: Sequence[T]) -> T:
        """
        One of the values in C{among}.
        """
        return among[self.number() % len(among)]
