"""
Following: the events of attempts, for somebody who watches them as they happen.
"""

from __future__ import annotations

from collections.abc import Callable

from zope.interface import implementer

from pptpgw.interfaces import AttemptEvent, Frame, IAttempt, IFollowing, Stage
from pptpgw.log import Logger
from pptpgw.sessions.attempt import Attempt

EVENTS = 512
"""
The number of events that wait to be taken; more are lost, and counted.
"""


@implementer(IFollowing)
class Following:
    """
    See L{IFollowing}.

    @ivar lost: how many events were lost.
    """

    _log = Logger()

    def __init__(
        self,
        predicate: Callable[[IAttempt], bool],
        listener: Callable[[IFollowing], object],
        stopped: Callable[[Following], None],
    ) -> None:
        """
        @param predicate: see L{pptpgw.interfaces.IAttempts.follow}, and so for C{listener}.
        @param stopped: called when the following stops.
        """
        self.lost = 0
        self._predicate = predicate
        self._listener = listener
        self._stopped: Callable[[Following], None] | None = stopped
        self._events: list[AttemptEvent] = []

    def take(self) -> list[AttemptEvent]:
        """
        See L{IFollowing.take}.
        """
        events, self._events = self._events, []
        return events

    def stop(self) -> None:
        """
        See L{IFollowing.stop}.
        """
        stopped, self._stopped = self._stopped, None
        if stopped is not None:
            stopped(self)

    def consider(self, attempt: Attempt) -> None:
        """
        Follow C{attempt} from its first frame that is kept, if the predicate is true for it.
        """
        if self in attempt.followers or not self._isWanted(attempt):
            return
        attempt.followers = (*attempt.followers, self)
        past: list[Frame | Stage] = [*attempt.stages, *attempt.frames]
        past.sort(key=lambda one: one.seconds)
        for what in past:
            self.happened(AttemptEvent(attempt, what))

    def happened(self, event: AttemptEvent) -> None:
        """
        Keep an event until it is taken.
        """
        if self._stopped is None:
            return
        if len(self._events) >= EVENTS:
            self.lost += 1
            return
        self._events.append(event)
        if len(self._events) == 1:
            try:
                self._listener(self)
            except Exception:
                self._log.failure("following attempts failed")
                self.stop()

    def _isWanted(self, attempt: Attempt) -> bool:
        try:
            return bool(self._predicate(attempt))
        except Exception:
            self._log.failure("following attempts failed")
            self.stop()
            return False
