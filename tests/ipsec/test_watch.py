"""
Tests of following charon.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor as running
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from pptpgw.ipsec.associations import CHILD_UPDOWN
from pptpgw.ipsec.vici import TIMEOUT
from pptpgw.ipsec.watch import GRACE, SHORTEST_PAUSE, AssociationWatch
from tests.ipsec.charon import FakeCharon, charonAt, child, ike
from tests.ipsec.test_associations import HERE, down, up
from tests.logged import loggedLines

reactor: Any = running


class Timed:
    """
    A reactor whose time stands still, with the real sockets.
    """

    def __init__(self) -> None:
        self._clock = Clock()

    def __getattr__(self, name: str) -> Any:
        own = name in ("callLater", "seconds", "advance", "getDelayedCalls")
        return getattr(self._clock if own else reactor, name)


async def until(condition: Any) -> None:
    """
    Wait until C{condition} holds.
    """
    for _ in range(3000):
        if condition():
            return
        pause: Deferred[None] = Deferred()
        reactor.callLater(0.01, pause.callback, None)
        await pause
    pytest.fail("it didn't happen in 30 seconds")


async def following(daemon: FakeCharon, watch: AssociationWatch) -> None:
    await until(lambda: not watch.fault)


async def test_aClientIsGoneForGood(tmp_path: Path) -> None:
    """
    The end of an association is told when the time is over in which the client can make another
    one, also when it ended while charon couldn't be asked.
    """
    clock, path = Timed(), tmp_path / "vici"
    gone: list[str] = []
    watch = AssociationWatch(clock, str(path), gone.append)
    async with charonAt(reactor, path) as daemon:
        daemon.streams["list-sas"] = ("list-sa", [ike({"a": child(1)})])
        watch.start()
        await following(daemon, watch)
        assert [one.number for one in watch.find(HERE, 1701)] == [1]
        # It ends, and another one comes in its place.
        daemon.tell(CHILD_UPDOWN, down(child(1)))
        daemon.tell(CHILD_UPDOWN, up(child(2)))
        await until(lambda: [one.number for one in watch.find(HERE, 1701)] == [2])
        clock.advance(GRACE)
        # The owner asks whether there is another one.
        assert gone == [HERE] and watch.find(HERE, 1701)
        # charon ends, and nothing is taken to have ended.
        daemon.hangUp()
        await until(lambda: watch.fault)
        clock.advance(SHORTEST_PAUSE - 0.1)
        assert watch.find(HERE, 1701) and gone == [HERE]
        # When it is back, it has none.
        daemon.streams["list-sas"] = ("list-sa", [])
        clock.advance(0.1)
        await following(daemon, watch)
        assert not watch.find(HERE, 1701) and gone == [HERE]
        clock.advance(GRACE)
        assert gone == [HERE, HERE]
        watch.stop()
        watch.stop()
    assert not clock.getDelayedCalls()


async def test_charonIsAwaited(tmp_path: Path) -> None:
    """
    A charon that doesn't run, or doesn't answer, is tried again and again, of which the log says
    each reason once.
    """
    clock, path = Timed(), tmp_path / "vici"
    watch = AssociationWatch(clock, str(path), lambda address: None)
    with loggedLines() as lines:
        watch.start()
        for _ in range(3):
            await until(clock.getDelayedCalls)
            assert "No such file" in watch.fault
            clock.advance(60)
        async with charonAt(reactor, path) as daemon:
            daemon.silent.add("list-sas")
            await until(clock.getDelayedCalls)
            clock.advance(60)
            await until(lambda: daemon.asked == ["list-sas"])
            clock.advance(TIMEOUT)
            await until(lambda: "no answer" in watch.fault)
            daemon.silent.clear()
            clock.advance(60)
            await following(daemon, watch)
            watch.stop()
            await until(lambda: not daemon.connections)
    assert sum("No such file" in one for one in lines) == 1
    assert sum("no answer" in one for one in lines) == 1
    assert not clock.getDelayedCalls()
