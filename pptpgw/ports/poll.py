"""
A limit on the descriptors that a reactor serves in one turn.

Twisted's epoll reactor serves all descriptors that are ready before it runs timers. When thousands
of callers hang up in one moment, because of a power cut for example, that takes half a second.

Descriptors by which the packets of all sessions come don't wait for their turn among thousands of
connections (L{serveFirst}). So sessions don't notice that thousands of callers call again after the
power cut, and calls that have begun come up before others begin.
"""

from __future__ import annotations

from collections.abc import Callable
from select import POLLIN, epoll, poll
from typing import Any
from weakref import WeakSet

from twisted.internet import tcp
from twisted.internet.interfaces import IListeningPort, IReadDescriptor

MOST = 16
"""
The most descriptors in one turn. The others are still ready in the next turn.
"""


class _Poller:
    """
    An C{epoll} object that returns few events at once.

    @ivar first: the readers that are served in each turn.
    """

    def __init__(self, poller: Any, most: int) -> None:
        self._poller = poller
        self._most = most
        self.first: WeakSet[IReadDescriptor] = WeakSet()

    def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
        """
        See L{select.epoll.poll}.
        """
        limit = max(1, min(most, self._most))
        events: list[tuple[int, int]] = self._poller.poll(timeout, limit)
        return [*self._others(events), *events] if len(events) == limit else events

    def _others(self, events: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """
        Return the events of the readers that are served in each turn, except for those that are
        among C{events}.
        """
        others = {one.fileno() for one in self.first} - {descriptor for descriptor, _ in events}
        ready = poll()
        for descriptor in others:
            if descriptor >= 0:
                ready.register(descriptor, POLLIN)
        return ready.poll(0)

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


def serveFirst(reactor: Any, reader: IReadDescriptor) -> None:
    """
    Have a reactor that serves few descriptors in one turn (L{serveFew}) serve C{reader} in each
    turn, while it has something to read. Other reactors stay as they are.
    """
    poller = getattr(reactor, "_poller", None)
    if isinstance(poller, _Poller):
        poller.first.add(reader)


def acceptFew(port: IListeningPort, most: int = MOST) -> None:
    """
    Have a TCP port accept at most C{most} connections in one turn. Twisted's accept the more, the
    more are waiting. Other ports stay as they are.
    """
    if isinstance(port, tcp.Port):
        limited: Any = port
        doRead: Callable[[], None] = limited.doRead

        def acceptSome() -> None:
            limited.numberAccepts = min(limited.numberAccepts, most)
            doRead()

        limited.doRead = acceptSome
