"""
A limit on the descriptors that a reactor serves in one turn.

Twisted's epoll reactor serves all descriptors that are ready before it runs timers. When thousands
of callers hang up in one moment, because of a power cut for example, that takes half a second.

Descriptors by which the packets of all sessions come don't wait for their turn among thousands of
connections (L{serveFirst}). So sessions don't notice that thousands of callers call again after the
power cut, and calls that have begun come up before others begin. They are also served directly,
since Twisted's reactor makes eleven calls, most of them for the context of the log, before it has a
descriptor read.
"""

from __future__ import annotations

from collections.abc import Callable
from select import POLLIN, epoll, poll
from typing import Any

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

    def __init__(self, reactor: Any, most: int) -> None:
        self._poller = reactor._poller
        self._selectables: dict[int, IReadDescriptor] = reactor._selectables
        self._most = most
        self.first: set[IReadDescriptor] = set()

    def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
        """
        See L{select.epoll.poll}. Events that were handled here aren't returned.
        """
        limit = max(1, min(most, self._most))
        events: list[tuple[int, int]] = self._poller.poll(timeout, limit)
        if len(events) == limit:
            events = [*self._others(events), *events]
        return [
            (descriptor, event) for descriptor, event in events if not self._read(descriptor, event)
        ]

    def _read(self, descriptor: int, event: int) -> bool:
        """
        Handle an event of one of the first readers.

        @return: whether that is done; if not, the reactor has to handle it.
        """
        reader = self._selectables.get(descriptor)
        if event != POLLIN or reader not in self.first:
            return False
        try:
            reader.doRead()
        except Exception:
            # The reactor will find the fault again, log it, and give the descriptor up.
            return False
        return True

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
        reactor._poller = _Poller(reactor, most)


def serveFirst(reactor: Any, reader: IReadDescriptor) -> None:
    """
    Have a reactor that serves few descriptors in one turn (L{serveFew}) serve C{reader} in each
    turn, while it has something to read. Other reactors stay as they are.
    """
    poller = getattr(reactor, "_poller", None)
    if isinstance(poller, _Poller):
        poller.first = {reader, *(one for one in poller.first if one.fileno() >= 0)}


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
