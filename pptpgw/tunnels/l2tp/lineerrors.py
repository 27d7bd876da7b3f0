"""
The errors of a caller's line, of which an LNS is told (RFC 2661 section 6.13).
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.interfaces import ICall, ILineCall, LineErrors
from pptpgw.timing.timer import cancelled
from pptpgw.tunnels.l2tp.wire.avp import CallErrors

SECONDS = 60.0
"""
The seconds between two WENs, at least (RFC 2661 section 6.13).
"""


class LineErrorNotices:
    """
    Tells the LNS of one call when the line of its caller has had more errors.
    """

    def __init__(self, clock: IReactorTime, tell: Callable[[CallErrors], object]) -> None:
        """
        @param tell: tells the LNS.
        """
        self._clock = clock
        self._tell = tell
        self._told = LineErrors()
        self._timer: IDelayedCall | None = None

    def begin(self, caller: ICall | None) -> None:
        """
        Watch the line of a call. Nothing is done if there is none.
        """
        if caller is not None and ILineCall.providedBy(caller):
            self._watch(ILineCall(caller))

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
            self._tell(CallErrors(errors.crc, errors.framing))
        self._watch(line)
