"""
Tests for L{pptpgw.ports.upkeep} and L{pptpgw.ports.watch}. The tests in tests/integration have the
things that they keep up.
"""

from __future__ import annotations

import errno
from itertools import pairwise
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from pptpgw.error import NotPermitted
from pptpgw.ports.upkeep import LONGEST, QUIET, SOON, Upkeep
from pptpgw.ports.watch import Watch
from tests.ports.namespace import Readers

STEP = 1 / 64


class Thing:
    """
    A thing that is kept up.

    @ivar tried: the times at which it was restored.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.tried: list[float] = []
        self.failure: Exception | None = None
        self.waiting: Deferred[None] | None = None
        self.upkeep = Upkeep(self.clock, lambda: "a thing", self._mend)

    def _mend(self) -> Deferred[None] | None:
        self.tried.append(round(self.clock.seconds(), 3))
        if self.failure is not None:
            raise self.failure
        return self.waiting

    def wait(self, seconds: float) -> None:
        self.clock.pump([STEP] * round(seconds / STEP))


def test_losses(log: list[str]) -> None:
    """
    Losses at one time are restored together.
    """
    thing = Thing()
    for why in ("a part", "another", "the last"):
        thing.upkeep.lost(f"{why} was taken")
    thing.wait(20)
    assert [round(one, 1) for one in thing.tried] == [SOON]
    assert log == [
        "a thing: a part was taken; restoring it",
        "a thing: it is restored",
    ]
    assert thing.upkeep.fault == ""


def test_whatCannotBePutRight(log: list[str]) -> None:
    """
    A thing that can't be restored is reported once and tried for ever, less and less often. Its
    recovery is reported too.
    """
    thing = Thing()
    thing.failure = NotPermitted("it needs more")
    thing.upkeep.lost("it was taken")
    assert thing.upkeep.fault == ""
    thing.wait(70)
    assert thing.upkeep.fault == "a thing: it needs more"
    pauses = [round(b - a, 1) for a, b in pairwise(thing.tried)]
    assert pauses == sorted(pauses) and pauses[-1] == LONGEST
    thing.failure = None
    thing.wait(LONGEST)
    assert thing.upkeep.fault == ""
    assert [line.partition(";")[0] for line in log] == [
        "a thing: it was taken",
        "a thing: it needs more",
        "a thing: it is restored",
    ]


def test_whatIsTakenTimeAndAgain() -> None:
    """
    A thing that is taken again and again is restored less and less often, so that two programs
    don't fight over it, until it stays.
    """
    thing = Thing()
    for _ in range(4):
        thing.upkeep.lost("it was taken")
        before = len(thing.tried)
        while len(thing.tried) == before:
            thing.wait(STEP)
    pauses = [b - a for a, b in pairwise(thing.tried)]
    assert [round(pause, 1) for pause in pauses] == [0.2, 0.4, 0.8]
    thing.wait(QUIET + 1)
    began = thing.clock.seconds()
    thing.upkeep.lost("it was taken")
    thing.wait(1)
    assert round(thing.tried[-1] - began, 1) == SOON


def test_aLossWhileItIsPutRight() -> None:
    """
    A thing that is lost again while it is restored is restored once more.
    """
    thing = Thing()
    thing.waiting = Deferred()
    thing.upkeep.lost("it was taken")
    thing.wait(1)
    thing.upkeep.lost("it was taken again")
    assert len(thing.tried) == 1
    waiting, thing.waiting = thing.waiting, None
    waiting.callback(None)
    thing.wait(1)
    assert len(thing.tried) == 2


def test_stopped() -> None:
    """
    C{stop} leaves nothing, whether the thing waits to be restored or is being restored.
    """
    thing = Thing()
    cancelled: list[object] = []
    thing.waiting = Deferred(cancelled.append)
    thing.upkeep.lost("it was taken")
    thing.wait(1)
    thing.upkeep.stop()
    assert cancelled == [thing.waiting]
    thing.upkeep.lost("it was taken")
    thing.upkeep.stop()
    thing.upkeep.stop()
    assert thing.clock.getDelayedCalls() == []


class Full:
    """
    A socket that lost messages.
    """

    def recv(self, size: int) -> bytes:
        raise OSError(errno.ENOBUFS, "No buffer space available")


def test_lostAnnouncements() -> None:
    """
    Lost announcements make everything be checked, as they may have been about anything.
    """
    lost: list[str] = []
    watch = Watch(Readers(), lambda kind, sender, body: "", lost.append)
    watch.start()
    watch.doRead()
    assert lost == []
    opened = cast(Any, watch)._socket
    cast(Any, watch)._socket = Full()
    watch.doRead()
    cast(Any, watch)._socket = opened
    assert lost == ["announcements of the kernel were lost (ENOBUFS)"]
    watch.stop()
    watch.stop()
    assert watch.fileno() == -1


def test_notAnnounced(log: list[str]) -> None:
    """
    Where the kernel lacks what a watch would hear of, one line says so, and nothing is read.
    """
    watch = Watch(Readers(), lambda kind, sender, body: "", lambda how: None, protocol=31)
    watch.start()
    assert watch.fileno() == -1
    (line,) = log
    assert "changes by other programs won't be noticed" in line
    watch.stop()
