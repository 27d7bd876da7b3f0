"""
Stopping the parts of the gateway: each has a deadline, and none keeps another from being stopped.
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
The default deadline of a part, in seconds. It is longer than the limits that the parts have of
their own, so that these expire first.
"""

_log = Logger()


def stopPart(
    clock: IReactorTime, name: str, stop: Callable[[], object], seconds: float = STOP_SECONDS
) -> Deferred[None]:
    """
    Call C{stop}, and cancel the Deferred that it returned, if any, after C{seconds}. A failure, or
    a part that takes too long, is logged once.

    @param name: the name of the part, for the log.
    @return: fires when the part is stopped, has failed to stop or is out of time; never fails.
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
