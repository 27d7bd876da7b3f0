"""
Gateways for scripted clients. Nothing may be left of a gateway after its test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.filepath import FilePath
from zope.interface import implementer

from pptpgw.auth.protocols import CHAP, MSCHAP, MSCHAPV2, PAP
from tests.clients.world import World

StartGateway = Callable[..., World]
SETTINGS: dict[str, Any] = {"methods": (MSCHAPV2, MSCHAP, CHAP, PAP), "name": b"gateway"}


@implementer(ILogObserver)
class Log:
    """
    A log observer that keeps the gateway's lines.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        if str(event.get("log_namespace", "")).startswith("pptpgw"):
            self.lines.append(formatEvent(event))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartGateway]:
    """
    A function that starts a gateway with these link settings, and with IPv6 if that is asked for.
    At the end of the test everything that the gateway gave away must be back.
    """
    secrets = FilePath(str(tmp_path)).child("chap-secrets")
    secrets.setContent(b'alice * "open sesame" *\n')
    secrets.chmod(0o600)
    worlds: list[World] = []
    log = Log()

    def begin(ipv6: bool = False, **options: Any) -> World:
        worlds.append(World(secrets, log.lines, ipv6, **(SETTINGS | options)))
        return worlds[-1]

    globalLogPublisher.addObserver(log)
    yield begin
    globalLogPublisher.removeObserver(log)
    for world in worlds:
        world.assertAtRest()
