"""
Tests of C{pptpgw dial}.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.command.invocation import Command
from tests.command.test_live import live
from tests.dialling.test_service import Sites


async def test_dial(pptpgw: Command, configuration: Path, tmp_path: Path) -> None:
    """
    A call is listed, and steered by its name.
    """
    async with live(configuration) as gateway:
        gateway.world.dialling = Sites(tmp_path).dialling
        done = await pptpgw("dial", "list")
        (found,) = json.loads((await pptpgw("dial", "list", "--json")).out)
        down = await pptpgw("dial", "down", "north")
        none = await pptpgw("dial", "up", "home")
    assert done.out.split()[:4] == ["NAME", "TUNNEL", "ADDRESS", "STATE"]
    assert (found["name"], found["state"]) == ("north", "off")
    assert down.out == "north is off.\n"
    assert none.status == 1 and "home" in none.error
