"""
Restoring what the gateway made in the kernel, when another program has taken part of it away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from pptpgw.error import PPTPGWError
from pptpgw.log import Logger
from pptpgw.timing.timer import cancelled

SOON = 0.1
"""
Seconds from a loss to the first attempt to restore, since a restart of a network service takes
several things away at once.
"""

LONGEST = 10.0
"""
The most seconds between two attempts.
"""

QUIET = 60.0
"""
Seconds without a loss after which the next loss is restored after L{SOON} again. Before that, each
loss waits longer than the one before, so that two programs don't undo each other's work for ever.
"""


class Upkeep:
    """
    The upkeep of one thing that the gateway made. The beginning and the end of a loss are logged
    once.

    @ivar fault: why the last attempt to restore the thing failed; empty if the thing is in order,
        or no attempt has failed yet.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, what: Callable[[], str], mend: Callable[[], object]
    ) -> None:
        """
        @param what: returns the thing's name, for the log.
        @param mend: restores the thing, or does nothing if nothing is wrong; may return a Deferred.
        """
        self.fault = ""
        self._clock = clock
        self._what = what
        self._mend = mend
        self._delay = SOON
        self._quietAt = 0.0
        self._timer: IDelayedCall | None = None
        self._mending: Deferred[Any] | None = None
        # Whether something more was lost while the thing was being restored.
        self._again = False

    def lost(self, why: str) -> None:
        """
        Restore the thing soon, because part of it was taken away.

        @param why: what was noticed, for the log.
        """
        if self._mending is not None:
            self._again = True
        elif self._timer is None:
            self._log.warn("{what}: {why}; restoring it", what=self._what(), why=why)
            if self._clock.seconds() >= self._quietAt:
                self._delay = SOON
            self._later()

    def stop(self) -> None:
        """
        Stop the upkeep. Calling this again does nothing.
        """
        self._timer = cancelled(self._timer)
        mending, self._mending = self._mending, None
        if mending is not None:
            mending.cancel()
        self.fault = ""

    def _later(self) -> None:
        self._timer = self._clock.callLater(self._delay, self._try)
        self._delay = min(2 * self._delay, LONGEST)

    def _try(self) -> None:
        self._timer = None
        self._again = False
        self._mending = mending = maybeDeferred(self._mend)
        mending.addCallbacks(self._mended, self._failed)
        mending.addErrback(lambda why: self._log.failure("Upkeep failed", failure=why))

    def _mended(self, ignored: object) -> None:
        self._mending = None
        if self._again:
            self._later()
            return
        self.fault = ""
        self._quietAt = self._clock.seconds() + QUIET
        self._log.info("{what}: it is restored", what=self._what())

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) and self._mending is None:
            return
        self._mending = None
        fault = f"{self._what()}: {failure.getErrorMessage()}"
        if not self.fault:
            if failure.check(PPTPGWError, OSError) is None:
                self._log.failure("{what} could not be restored", failure, what=self._what())
            self._log.error(
                "{fault}; no calls are taken until that is restored, which is tried at least every "
                "{seconds:g} s",
                fault=fault,
                seconds=LONGEST,
            )
        self.fault = fault
        self._later()
