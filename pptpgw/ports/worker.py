"""
A thread that does what could hold up the reactor: writing to pipes, terminals and disks, which may
stall for as long as they like.

The rules:

 - Jobs are done one after another, in the order in which they were put.
 - So many wait and no more. Whoever puts one is told where there is no room, and counts it.
 - The end of the process doesn't wait for the thread: whoever wants a job done by then waits,
   with a deadline.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Condition, Thread

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.log import Logger

Job = Callable[[], object]

POLL = 0.01
"""
Seconds between two looks at whether all is done.
"""


def until(clock: IReactorTime, condition: Callable[[], bool]) -> Deferred[None]:
    """
    Fires when C{condition}, of what a thread does, holds; whoever can't wait for that cancels it.
    """
    timer: IDelayedCall | None = None

    def look() -> None:
        nonlocal timer
        if condition():
            done.callback(None)
        else:
            timer = clock.callLater(POLL, look)

    def giveUp(_: object) -> None:
        if timer is not None:
            timer.cancel()

    done: Deferred[None] = Deferred(giveUp)
    look()
    return done


class Worker:
    """
    The thread and its queue.
    """

    _log = Logger()

    def __init__(self, name: str, limit: int) -> None:
        """
        @param limit: how many jobs wait at most, the one that is being done included.
        """
        self._name = name
        self._limit = limit
        self._jobs: deque[Job] = deque()
        self._changed = Condition()
        self._stopping = False
        Thread(target=self._work, name=name, daemon=True).start()

    def put(self, job: Job) -> bool:
        """
        Have C{job} done; false: there is no room, or L{stop} was called. What it raises is logged.
        """
        with self._changed:
            if len(self._jobs) >= self._limit or self._stopping:
                return False
            self._jobs.append(job)
            self._changed.notify_all()
        return True

    def stop(self, last: Job | None = None) -> None:
        """
        Take no more jobs; the thread ends when those that wait, and C{last}, are done.
        """
        with self._changed:
            if last is not None and not self._stopping:
                self._jobs.append(last)
            self._stopping = True
            self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """
        How many jobs aren't done yet.
        """
        return len(self._jobs)

    def wait(self, seconds: float) -> bool:
        """
        Wait until everything is done, for so long at most; whether it is. This blocks.
        """
        with self._changed:
            return self._changed.wait_for(lambda: not self._jobs, seconds)

    def finished(self, clock: IReactorTime) -> Deferred[None]:
        """
        Fires when everything is done; whoever can't wait for that cancels it.
        """
        return until(clock, lambda: not self._jobs)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except Exception:
                self._log.failure("thread {name} failed in one of its jobs", name=self._name)
            with self._changed:
                self._jobs.popleft()
                self._changed.notify_all()

    def _next(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._stopping)
            return self._jobs[0] if self._jobs else None
