"""
How many descriptors a reactor serves in one turn.

Twisted's epoll reactor takes all that are ready, and timers wait until each was served: where
thousands of callers hang up in one moment, a power cut for one, that is half a second.
"""

from __future__ import annotations

from select import epoll
from typing import Any

MOST = 16
"""
Descriptors in one turn. The others are ready still in the next one.
"""


class _Poller:
    """
    An C{epoll} object of whose events few are taken at once.
    """

    def __init__(self, poller: Any, most: int) -> None:
        self._poller = poller
        self._most = most

    def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
        """
        See L{select.epoll.poll}.
        """
        events: list[tuple[int, int]] = self._poller.poll(timeout, max(1, min(most, self._most)))
        return events

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poller, name)


def serveFew(reactor: Any, most: int = MOST) -> None:
    """
    Have an epoll reactor serve at most so many descriptors in one turn; others, which have no such
    poller, stay as they are. It is for a process of the gateway's own: all who use the reactor are
    concerned.
    """
    poller = getattr(reactor, "_poller", None)
    if isinstance(poller, epoll):
        reactor._poller = _Poller(poller, most)
