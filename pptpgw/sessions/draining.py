"""
Drains: the gateway takes no calls, the current ones go on until none is left or a deadline has
passed, and then the gateway may stop.
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.interfaces import Drain
from pptpgw.log import Logger
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.sessions.registry import Registry
from pptpgw.sessions.remedy import Remedy
from pptpgw.timing.timer import cancelled

_OVERDUE = Cause(
    "the gateway is drained, and the deadline has passed",
    Termination.ADMIN_REBOOT,
    Remedy.DRAINED,
)


class Drainable(Protocol):
    """
    What a L{Draining} asks of L{pptpgw.gateway.Gateway}.
    """

    @property
    def sessions(self) -> Registry:
        """
        The current sessions, whose observers are told of the drain.
        """

    @property
    def lines(self) -> Sized:
        """
        The current callers.
        """

    @property
    def isDrained(self) -> bool:
        """
        Whether no caller's call is left, and the networks have taken back what they gave. Calls
        that the gateway has dialled may be left.
        """

    def drain(self, settled: Callable[[], None]) -> None:
        """
        Take no more calls until L{undrain}.

        @param settled: called when a call has ended and the gateway L{isDrained}.
        """

    def undrain(self) -> None:
        """
        Take calls again.
        """

    def hangUpAll(self, cause: str) -> None:
        """
        End every call in order, without waiting for the end.
        """


class Draining:
    """
    Drains a gateway, and ends the drain.

    @ivar drain: the drain that goes on; None if there is none.
    @ivar drained: whether a drain goes on, and no call is left.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        gateway: Drainable,
        now: Callable[[], float],
        finish: Callable[[], object],
    ) -> None:
        """
        @param now: gives the time of day, in seconds since 1970.
        @param finish: stops the whole gateway. It is called when no call is left, if that is
            wanted.
        """
        self.drain: Drain | None = None
        self.drained = False
        self._clock = clock
        self._gateway = gateway
        self._now = now
        self._finish = finish
        self._timer: IDelayedCall | None = None
        self._waiting: list[Deferred[bool]] = []

    def begin(self, deadline: float | None, stop: bool) -> Deferred[bool]:
        """
        See L{pptpgw.interfaces.IGatewayService.drain}.
        """
        now = self._now()
        since = now if self.drain is None else self.drain.since
        self.drain = Drain(since, None if deadline is None else now + deadline, stop)
        self._log.info(
            "draining: no call is taken any more; calls left: {count}; {after}",
            count=len(self._gateway.lines),
            after=_after(deadline, stop),
        )
        self._timer = cancelled(self._timer)
        if deadline is not None:
            self._timer = self._clock.callLater(deadline, self._overdue)
        self.drained = False
        self._gateway.drain(self._settled)
        waits: Deferred[bool] = Deferred()
        self._waiting.append(waits)
        self._tell()
        # In a later turn, so that who drained an empty gateway is answered before it stops.
        self._clock.callLater(0, self._look)
        return waits

    def end(self) -> None:
        """
        See L{pptpgw.interfaces.IGatewayService.undrain}.
        """
        if self.drain is None:
            return
        self._timer = cancelled(self._timer)
        self.drain, self.drained = None, False
        self._gateway.undrain()
        self._log.info("the drain is over: calls are taken again")
        self._tell()
        self._answer(False)

    def stop(self) -> None:
        """
        Cancel the deadline, since the gateway ends all calls now.
        """
        self._timer = cancelled(self._timer)

    def _overdue(self) -> None:
        self._timer = None
        self._log.info(
            "the drain's deadline has passed; calls that are ended: {count}",
            count=len(self._gateway.lines),
        )
        self._gateway.hangUpAll(_OVERDUE)

    def _look(self) -> None:
        if self._gateway.isDrained:
            self._settled()

    def _settled(self) -> None:
        """
        Note that no call is left.
        """
        if self.drain is None or self.drained:
            return
        self.drained = True
        self._timer = cancelled(self._timer)
        self._log.info("drained: no call is left")
        self._tell()
        self._answer(True)
        # One that is told may have ended the drain.
        if self.drain is not None and self.drain.stop:
            self._finish()

    def _answer(self, empty: bool) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(empty)

    def _tell(self) -> None:
        self._gateway.sessions.drainChanged(self.drain, self.drained)


def _after(deadline: float | None, stop: bool) -> str:
    """
    Say what comes after, in words for the log.
    """
    wait = "they go on" if deadline is None else f"they are ended in {deadline:g} s"
    return f"{wait}, and then the gateway stops" if stop else wait
