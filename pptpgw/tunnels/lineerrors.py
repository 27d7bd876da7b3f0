"""
The errors of a line, of which a network server is told whose call passes by it: by the WENs of L2TP
(RFC 2661 section 6.13) and the WAN-Error-Notifies of PPTP (RFC 2637 section 2.14).
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.interfaces import ICall, ILineCall, LineErrors
from pptpgw.timing.timer import cancelled

SECONDS = 60.0
"""
The seconds between two notices, at least (RFC 2661 section 6.13).
"""


class LineErrorNotices:
    """
    Tells the network server of one call when the line has had more errors.
    """

    def __init__(self, clock: IReactorTime, tell: Callable[[LineErrors], object]) -> None:
        """
        @param tell: tells the network server.
        """
        self._clock = clock
        self._tell = tell
        self._told = LineErrors()
        self._timer: IDelayedCall | None = None

    def begin(self, call: ICall) -> None:
        """
        Watch the line of a call. Nothing is done if there is none.
        """
        if ILineCall.providedBy(call):
            self._watch(ILineCall(call))

    def end(self) -> None:
        """
        Watch nothing more. Calling this again does nothing.
        """
        self._timer = cancelled(self._timer)

    def _watch(self, line: ILineCall) -> None:
        self._timer = self._clock.callLater(SECONDS, self._look, line)

    def _look(self, line: ILineCall) -> None:
        errors = line.errors
        if errors != self._told:
            self._told = errors
            self._tell(errors)
        self._watch(line)
