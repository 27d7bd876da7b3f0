"""
A clock for work in slices.
"""

from __future__ import annotations

from twisted.internet.task import Clock

from pptpgw.timing.slices import PAUSE


class Ticking(Clock):
    """
    A clock on which nearly a thousandth of a second passes whenever somebody looks at it, so that a
    slice holds a few steps.
    """

    def seconds(self) -> float:
        """
        See L{Clock.seconds}.
        """
        self.rightNow += 1 / 1024
        return self.rightNow

    def turn(self) -> bool:
        """
        One turn of the reactor, after the pause between two slices; whether anything was due.
        """
        self.rightNow += PAUSE
        due = [call for call in self.calls if call.getTime() <= self.rightNow]
        for call in due:
            if call.active():
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)
        return bool(due)

    def finish(self) -> int:
        """
        Turn until nothing is due; how many turns that took.
        """
        turns = 0
        while self.turn():
            turns += 1
        return turns
