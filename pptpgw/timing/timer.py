"""
A way to cancel timers that may have fired already.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall


def cancelled(call: IDelayedCall | None) -> IDelayedCall | None:
    """
    Cancel C{call}, if it hasn't fired yet.

    @return: None, to be assigned in place of C{call}. A timer that has fired still refers to the
        function that it called, and so perhaps to the object that holds the timer.
    """
    if call is not None and call.active():
        call.cancel()
    return None
