"""
A thread for work that could block the reactor: writing to pipes, terminals and disks, any of which
may stall.

The rules:

 - Jobs are done one after another, in the order in which they were put.
 - The queue is bounded. L{Worker.put} returns False if there is no room, and its caller counts the
   loss.
 - The end of the process doesn't wait for the thread. Code that wants its jobs done by then waits
   for them, with a deadline.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
from time import sleep

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.log import Logger

Job = Callable[[], object]

Write = Callable[[int, bytes], int]
"""
A function that writes octets to a descriptor and returns how many it has written, as os.write does.
"""

OWNER_ONLY = 0o600
"""
The mode of a file that only its owner may read and write.
"""

POLL = 0.01
"""
Seconds between two checks of whether all jobs are done.
"""


def until(clock: IReactorTime, condition: Callable[[], bool]) -> Deferred[None]:
    """
    Wait for C{condition}, which depends on a thread.

    @param condition: a function that returns whether the condition holds.
    @return: fires when the condition holds; cancelling it ends the waiting.
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
    A thread with a bounded queue of jobs.
    """

    _log = Logger()

    def __init__(self, name: str, limit: int, grain: float = 0.0) -> None:
        """
        @param limit: the most jobs that may wait, including the one that is being done.
        @param grain: the seconds that a thread that has had nothing to do waits before it begins
            with a job. Jobs that come meanwhile don't wake it: to wake a thread costs more than
            most jobs do.
        """
        self._name = name
        self._limit = limit
        self._grain = grain
        self._jobs: deque[Job] = deque()
        self._changed = Condition()
        self._stopping = False
        Thread(target=self._work, name=name, daemon=True).start()

    def put(self, job: Job) -> bool:
        """
        Have the thread do C{job}. An exception that it raises is logged.

        @return: False if there is no room, or L{stop} was called.
        """
        with self._changed:
            if len(self._jobs) >= self._limit or self._stopping:
                return False
            self._jobs.append(job)
            if len(self._jobs) == 1:
                self._changed.notify_all()
        return True

    def stop(self, last: Job | None = None) -> None:
        """
        Take no more jobs. The thread ends when those that wait, and C{last}, are done.
        """
        with self._changed:
            if last is not None and not self._stopping:
                self._jobs.append(last)
            self._stopping = True
            self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """
        The number of jobs that aren't done yet.
        """
        return len(self._jobs)

    def wait(self, seconds: float) -> bool:
        """
        Block until all jobs are done, or for C{seconds}.

        @return: whether all jobs are done.
        """
        with self._changed:
            return self._changed.wait_for(lambda: not self._jobs, seconds)

    def finished(self, clock: IReactorTime) -> Deferred[None]:
        """
        Wait until all jobs are done, without blocking.

        @return: fires when they are; cancelling it ends the waiting.
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
                if not self._jobs:
                    self._changed.notify_all()

    def _next(self) -> Job | None:
        if not self._jobs:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._stopping)
            if self._grain:
                sleep(self._grain)
        return self._jobs[0] if self._jobs else None
