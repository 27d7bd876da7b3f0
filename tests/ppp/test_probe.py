"""
Tests for L{pptpgw.ppp.probe}.
"""

from __future__ import annotations

from twisted.internet.task import Clock

from pptpgw.counting.counters import Counters
from pptpgw.ppp.probe import PROBE_SECONDS, Probe


class Scene:
    def __init__(self) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.counters.framesReceived = 7
        self.echoes = 0
        self.probe = Probe(self.clock, self._echo, self.counters)
        self.told: list[bool] = []
        self.probe.wait().addCallback(self.told.append)

    def _echo(self) -> None:
        self.echoes += 1


def test_silence() -> None:
    """
    A silent peer is sent several Echo-Requests and is declared gone after L{PROBE_SECONDS}.
    """
    scene = Scene()
    for _ in range(16):
        assert not scene.told and not scene.probe.over
        scene.clock.advance(PROBE_SECONDS / 16)
    assert scene.told == [False] and scene.probe.over
    assert 4 <= scene.echoes <= 8 and not scene.clock.getDelayedCalls()


def test_anyFrameIsASignOfLife() -> None:
    scene = Scene()
    for _ in range(15):
        scene.clock.advance(PROBE_SECONDS / 16)
    scene.counters.framesReceived += 1
    scene.clock.advance(PROBE_SECONDS / 16)
    assert scene.told == [True] and not scene.clock.getDelayedCalls()


def test_severalWait() -> None:
    """
    A probe still answers the others when one of those who wait for it is cancelled.
    """
    scene = Scene()
    others = [scene.probe.wait() for _ in range(3)]
    failures: list[object] = []
    others[1].addErrback(failures.append)
    others[1].cancel()
    for one in (others[0], others[2]):
        one.addCallback(scene.told.append)
    scene.counters.framesReceived += 1
    scene.clock.advance(PROBE_SECONDS)
    assert scene.told == [True, True, True] and len(failures) == 1


def test_theLinkEnds() -> None:
    scene = Scene()
    scene.probe.end(False)
    scene.probe.end(True)
    assert scene.told == [False] and not scene.clock.getDelayedCalls()
