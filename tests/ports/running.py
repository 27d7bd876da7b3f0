"""
A reactor of a test's own, that really runs: for what only processes can show.
"""

from __future__ import annotations

from collections.abc import Callable
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
    reactor.run()
    (result,) = results
    if hasattr(result, "raiseException"):
        result.raiseException()
    return result
