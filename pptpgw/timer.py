"""
Timers that may have run out already.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall


def cancelled(call: IDelayedCall | None) -> IDelayedCall | None:
    """
    Cancel C{call} if it is still to come.

    @return: what to put in its place: nothing. A timer that has run out keeps what it called, which
        may be whoever has the timer.
    """
    if call is not None and call.active():
        call.cancel()
    return None
