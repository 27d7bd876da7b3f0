"""
A reactor of a test's own, that really runs: for what only processes can show.
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
    Call C{begin} with a reactor that runs until the result is there, and give that.
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
    What signals do is afterwards as it was: the other reactor of this process, that of the tests
    which return Deferreds, still hears of the ends of its children.
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
