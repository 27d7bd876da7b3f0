"""
Tests for L{pptpgw.timing.lifecycle}. tests/hostile/test_service.py tests the gateway's own parts.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pptpgw.timing.lifecycle import STOP_SECONDS, Part, Stages


class Scene:
    """
    Stages, and the calls of their parts' functions.
    """

    def __init__(self, together: bool = False) -> None:
        self.clock = Clock()
        self.calls: list[str] = []
        self.stages = Stages(self.clock, "all", together)
        self.answers: dict[str, Any] = {}

    def part(self, name: str, **options: Any) -> Part:
        def call(event: str) -> Any:
            self.calls.append(f"{event} {name}")
            answer = self.answers.get(f"{event} {name}")
            if isinstance(answer, Exception):
                raise answer
            return answer

        return Part(
            name,
            lambda: call("open"),
            lambda: call("start"),
            lambda: call("stop"),
            **options,
        )

    def add(self, *names: str) -> None:
        for name in names:
            self.stages.addService(self.part(name))


def test_eachIsAwaitedBeforeTheNext() -> None:
    scene = Scene()
    scene.add("one", "two")
    scene.stages.privilegedStartService()
    scene.stages.startService()
    assert scene.calls == ["open one", "open two", "start one", "start two"]
    late: Deferred[None] = Deferred()
    scene.answers["stop two"] = late
    stopped: list[object] = []
    scene.stages.stopService().addCallback(stopped.append)
    assert scene.calls[4:] == ["stop two"]
    late.callback(None)
    assert scene.calls[4:] == ["stop two", "stop one"]
    assert stopped == [None]


def test_togetherNoneWaitsForTheOthers() -> None:
    scene = Scene(together=True)
    scene.add("one", "two")
    scene.stages.startService()
    scene.answers["stop two"] = Deferred()
    stopped: list[object] = []
    scene.stages.stopService().addCallback(stopped.append)
    assert scene.calls[-2:] == ["stop two", "stop one"] and not stopped
    scene.clock.advance(STOP_SECONDS)
    assert stopped == [None]


def test_aPartHasItsOwnDeadline(log: list[str]) -> None:
    scene = Scene()
    scene.stages.addService(scene.part("slow", stopSeconds=lambda: 30))
    scene.stages.startService()
    scene.answers["stop slow"] = Deferred()
    stopped: list[object] = []
    scene.stages.stopService().addCallback(stopped.append)
    scene.clock.advance(29)
    assert not stopped
    scene.clock.advance(1)
    assert stopped and log == ["slow did not stop in 30 s"]


@pytest.mark.parametrize("event", ["open", "start"])
def test_aFailedStartStopsWhatHadBegun(event: str, loggedFailures: list[Failure]) -> None:
    """
    A part that fails to start is stopped too, with those that had started, and the same service can
    be started again.
    """
    scene = Scene()
    scene.add("one", "two", "three")
    scene.answers[f"{event} two"] = ValueError("no")
    for _ in range(2):
        scene.calls.clear()
        with pytest.raises(ValueError):
            scene.stages.privilegedStartService()
            scene.stages.startService()
        stops = [call for call in scene.calls if call.startswith("stop")]
        more = ["stop three"] if event == "start" else []
        assert stops == [*more, "stop two", "stop one"]
        assert not scene.stages.begun and not scene.stages.running
    del scene.answers[f"{event} two"]
    scene.stages.startService()
    assert scene.stages.running and not loggedFailures


def test_aPartThatNeverBeganIsNotStopped() -> None:
    scene = Scene()
    scene.add("one")
    scene.stages.stopService()
    part = scene.part("two")
    part.stopService()
    assert scene.calls == []


def test_servicesComeAndGo() -> None:
    """
    A service that is added to running ones starts at once and is stopped first. One that is removed
    is stopped once.
    """
    scene = Scene()
    scene.add("one")
    scene.stages.startService()
    scene.calls.clear()
    two, three = scene.part("two"), scene.part("three")
    scene.stages.addService(two)
    scene.stages.addService(three)
    assert scene.calls == ["open two", "start two", "open three", "start three"]
    scene.calls.clear()
    scene.stages.removeService(two)
    assert scene.calls == ["stop two"]
    scene.stages.stopService()
    assert scene.calls == ["stop two", "stop three", "stop one"]
