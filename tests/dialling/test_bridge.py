"""
Tests of Ethernet on calls that a gateway dials, with two gateways in one process.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pptpgw.networks.ethernet.plugin import BridgeNetwork, BridgeSection
from tests.dialling import test_service
from tests.dialling.test_service import Sites

NORTHERN, SOUTHERN = b"\x02\0\0\0\0\1", b"\x02\0\0\0\0\2"
EVERYBODY = b"\xff" * 6


class Device:
    """
    A TAP device.

    @ivar written: the frames that were sent into the kernel.
    """

    fault = ""
    receive: Callable[[bytes], object]

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, frame: bytes) -> None:
        self.written.append(frame)

    def lacking(self) -> list[str]:
        return []

    def start(self) -> None: ...
    def stop(self) -> None: ...


@pytest.fixture
def sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sites:
    """
    Two gateways whose only network is a LAN each.
    """

    def makeNetworks(world: Any) -> dict[str, Any]:
        world.device = Device()
        return {"bridge": BridgeNetwork(BridgeSection(), world.environment, world.device)}

    for kind in (test_service.North, test_service.South):
        monkeypatch.setattr(kind, "makeNetworks", makeNetworks)
    return Sites(tmp_path, 'networks = ["bridge"]\n')


def frame(destination: bytes, source: bytes, text: bytes) -> bytes:
    return destination + source + b"\x88\xb5" + text.ljust(46, b"\0")


def test_oneLAN(sites: Sites) -> None:
    """
    The LANs of both ends are one while a call is up, also after it was dialled again, and each end
    learns who is where.
    """
    north: Any = sites.north
    south: Any = sites.south
    sites.start()
    for number in range(3):
        assert sites.state == "UP"
        hello = frame(EVERYBODY, NORTHERN, b"hello %d" % number)
        north.device.receive(hello)
        sites.run(0.1)
        assert south.device.written.pop() == hello
        answer = frame(NORTHERN, SOUTHERN, b"here")
        south.device.receive(answer)
        sites.run(0.1)
        assert north.device.written.pop() == answer
        assert not south.device.written and not north.device.written
        (beyond,) = sites.north.gateway.sessions
        sites.run(40, 0.1)
        beyond.hangUp("enough")
        sites.run(8, 0.01)
    sites.stop()
    north.device.receive(frame(EVERYBODY, NORTHERN, b"anybody?"))
    sites.run(0.1)
    assert not south.device.written
