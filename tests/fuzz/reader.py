"""
What takes an input apart, for targets that need more than octets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Target = Callable[[bytes], None]
"""
What is fuzzed: called with the octets of an input, and raises where something is wrong.
"""

T = TypeVar("T")


class Reader:
    """
    Reads the octets of an input from the first to the last; behind the last one they are all zero.
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
        The next octets, at most so many.
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
        Octets with their length in one octet ahead of them.
        """
        return self.take(self.number())

    def rest(self) -> bytes:
        """
        All that is left.
        """
        return self.take(len(self._octets))

    def choose(self, among: Sequence[T]) -> T:
        """
        One of these.
        """
        return among[self.number() % len(among)]
