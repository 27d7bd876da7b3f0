"""
Reports of outages to the log: when one begins and why, when it is over, and how many claims it
affected.

An outage is over when a caller is served again and no caller is turned away for L{QUIET_SECONDS}.
So an outage that comes and goes is reported once, and callers can't fill the log with it.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from pptpgw.error import PPTPGWError
from pptpgw.log import Logger
from pptpgw.timing.timer import cancelled

QUIET_SECONDS = 10.0


class Outage:
    """
    The state of the outage of a gateway, if there is one.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._began = 0.0
        self._served = 0.0
        # The number of claims that the outage affected; 0 while there is none.
        self._touched = 0
        self._quiet: IDelayedCall | None = None

    def touched(self, failure: Failure) -> None:
        """
        Count a claim that couldn't be judged, or whose caller couldn't be served, because of
        C{failure}; report the outage if it is the first one.
        """
        self._touched += 1
        self._disarm()
        if self._touched > 1:
            return
        self._began = self._clock.seconds()
        text = "an outage begins: callers can't be judged or served: {why}"
        why = failure.getErrorMessage() or type(failure.value).__name__
        if failure.check(PPTPGWError) is None:
            self._log.failure(text, failure, why=why)
        else:
            self._log.error(text, why=why)

    def served(self) -> None:
        """
        Note that a caller was judged and is served.
        """
        if self._touched and self._quiet is None:
            self._served = self._clock.seconds()
            self._quiet = self._clock.callLater(QUIET_SECONDS, self._over)

    def stop(self) -> None:
        """
        Report the end of an outage, if there is one.
        """
        self._disarm()
        if self._touched:
            self._served = self._clock.seconds()
            self._over()

    def _over(self) -> None:
        self._quiet = None
        touched, self._touched = self._touched, 0
        self._log.warn(
            "the outage is over after {seconds:.1f} s: {count} claims were turned away",
            seconds=self._served - self._began,
            count=touched,
        )

    def _disarm(self) -> None:
        self._quiet = cancelled(self._quiet)
