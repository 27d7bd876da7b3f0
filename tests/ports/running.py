"""
A reactor of a test's own that really runs, for tests with processes.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.epollreactor import EPollReactor

DEADLINE = 20.0
"""
Seconds that a test may take.
"""


def running(begin: Callable[[Any], Deferred[Any]]) -> Any:
    """
    Call C{begin} with a reactor that runs until the Deferred fires.

    @return: its result.
    """
    reactor: Any = EPollReactor()
    results: list[Any] = []

    def start() -> None:
        deferred = maybeDeferred(begin, reactor)
        deferred.addTimeout(DEADLINE, reactor)
        deferred.addBoth(results.append)
        deferred.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(start)
    with signalsKept():
        reactor.run()
    (result,) = results
    if hasattr(result, "raiseException"):
        result.raiseException()
    return result


@contextmanager
def signalsKept() -> Iterator[None]:
    """
    Restore the signal handlers at the end, so that the other reactor of this process, which runs
    the tests that return Deferreds, still notices the ends of its children.
    """
    numbers = (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    descriptor = signal.set_wakeup_fd(-1)
    try:
        yield
    finally:
        signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
        for number, what in before.items():
            signal.signal(number, what)
