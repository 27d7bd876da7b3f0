"""
Tests of C{pptpgw pools}.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.command.invocation import Command
from tests.command.test_live import live


async def test_pools(pptpgw: Command, configuration: Path) -> None:
    async with live(configuration):
        done = await pptpgw("pools")
        (pool,) = json.loads((await pptpgw("pools", "--json")).out)
    head, row = done.out.splitlines()
    assert head.split() == ["NETWORK", "NAME", "SIZE", "USED", "RESERVED", "FREE", "NEXT"]
    assert row.split()[0] == "ipv4"
    assert pool["used"] == 3
    assert pool["used"] + pool["reserved"] + pool["free"] == pool["size"]


async def test_held(pptpgw: Command, configuration: Path) -> None:
    async with live(configuration) as gateway:
        done = await pptpgw("pools", "--held", "--match=user=alice", "--json")
        (identifier,) = gateway.identifiers("alice")
    (held,) = json.loads(done.out)
    assert (held["address"], held["user"]) == ("10.77.0.10", "alice")
    assert (held["network"], held["session_id"]) == ("ipv4", identifier)
