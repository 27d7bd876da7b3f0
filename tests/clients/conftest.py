"""
Gateways for scripted clients. Nothing may be left of a gateway after its test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pptpgw.auth.protocols import CHAP, MSCHAP, MSCHAPV2, PAP
from tests.chapsecrets import secretsIn
from tests.clients.world import World

StartGateway = Callable[..., World]
SETTINGS: dict[str, Any] = {"methods": (MSCHAPV2, MSCHAP, CHAP, PAP), "name": b"gateway"}


@pytest.fixture
def start(tmp_path: Path, log: list[str]) -> Iterator[StartGateway]:
    """
    A function that starts a gateway with these link settings, and with IPv6 if that is asked for.
    At the end of the test everything that the gateway gave away must be back.
    """
    secrets = secretsIn(tmp_path)
    worlds: list[World] = []

    def begin(ipv6: bool = False, **options: Any) -> World:
        worlds.append(World(secrets, log, ipv6, **(SETTINGS | options)))
        return worlds[-1]

    yield begin
    for world in worlds:
        world.assertAtRest()
