"""
A clock for work in slices.
"""

from __future__ import annotations

from twisted.internet.task import Clock

from pptpgw.timing.slices import PAUSE


class Ticking(Clock):
    """
    A clock that advances by nearly a millisecond whenever it is read, so that a slice has time for
    a few steps.
    """

    def seconds(self) -> float:
        """
        See L{Clock.seconds}.
        """
        self.rightNow += 1 / 1024
        return self.rightNow

    def turn(self) -> bool:
        """
        Run one turn of the reactor, after the pause between two slices.

        @return: whether anything was due.
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
        Run turns until nothing is due.

        @return: how many there were.
        """
        turns = 0
        while self.turn():
            turns += 1
        return turns
