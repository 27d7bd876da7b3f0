"""
A limit on the descriptors that a reactor serves in one turn.

Twisted's epoll reactor serves all descriptors that are ready before it runs timers. When thousands
of callers hang up in one moment, because of a power cut for example, that takes half a second.
"""

from __future__ import annotations

from select import epoll
from typing import Any

MOST = 16
"""
The most descriptors in one turn. The others are still ready in the next turn.
"""


class _Poller:
    """
    An C{epoll} object that returns few events at once.
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
    Have an epoll reactor serve at most C{most} descriptors in one turn. Other reactors stay as they
    are. This affects all users of the reactor, so it is for processes that run nothing but the
    gateway, or applications that choose it.
    """
    poller = getattr(reactor, "_poller", None)
    if isinstance(poller, epoll):
        reactor._poller = _Poller(poller, most)
