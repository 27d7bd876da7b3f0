"""
Timers and Deferreds that may have fired already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

T = TypeVar("T")
"""
The type of a result.
"""


def cancelled(call: IDelayedCall | None) -> IDelayedCall | None:
    """
    Cancel C{call}, if it hasn't fired yet.

    @return: None, to be assigned in place of C{call}. A timer that has fired still refers to the
        function that it called, and so perhaps to the object that holds the timer.
    """
    if call is not None and call.active():
        call.cancel()
    return None


def within(
    deferred: Deferred[T],
    seconds: float,
    clock: IReactorTime,
    expired: Callable[[Any, float], Any] | None = None,
) -> None:
    """
    Cancel C{deferred} if it hasn't a result in C{seconds}. One that has a result already, as most
    have that needn't wait for anything, gets no timer.

    @param expired: see L{Deferred.addTimeout}.
    """
    # A Deferred that waits for the one that a callback returned is paused.
    if not deferred.called or deferred.paused:
        deferred.addTimeout(seconds, clock, expired)


def passOn(result: T | Failure, waiting: Deferred[T]) -> None:
    """
    Fire C{waiting} with C{result}, unless whoever waited has given up and cancelled it.
    """
    if not waiting.called:
        waiting.callback(result)
