"""
How parts of the gateway are stopped: each has its time, and none keeps another from being stopped.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, TimeoutError, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from pptpgw.error import PPTPGWError
from pptpgw.log import Logger

STOP_SECONDS = 12.0
"""
How long a part may take that says nothing else: longer than the limits that parts have of their
own, so that these come first.
"""

_log = Logger()


def stopPart(
    clock: IReactorTime, name: str, stop: Callable[[], object], seconds: float = STOP_SECONDS
) -> Deferred[None]:
    """
    Call C{stop}, and cancel the Deferred that it returned, if any, after C{seconds}.

    @param name: what is stopped, for the log, which is told once if that fails or takes too long.
    @return: fires when it is stopped, or won't be; never fails.
    """

    def failed(failure: Failure) -> None:
        if failure.check(TimeoutError):
            _log.error("{name} did not stop in {seconds:g} s", name=name, seconds=seconds)
        elif failure.check(PPTPGWError):
            _log.error("{name} did not stop: {why}", name=name, why=failure.getErrorMessage())
        else:
            _log.failure("{name} did not stop", failure=failure, name=name)

    stopped: Deferred[object] = maybeDeferred(stop)
    return stopped.addTimeout(seconds, clock).addCallbacks(lambda _: None, failed)
