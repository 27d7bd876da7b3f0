"""
Tests of C{pptpgw why} and C{attempts}.
"""

from __future__ import annotations

import json
from pathlib import Path

from pptpgw.testing.world import World
from tests.command.invocation import Command
from tests.command.test_live import live


def fail(world: World, name: bytes = b"carol") -> None:
    """
    Call with a wrong password, and wait until the gateway has hung up.
    """
    world.placeCall(world.connect(), name, b"wrong").addErrback(lambda _: None)
    world.run(10, 0.01)


class TestWhy:
    async def test_wrongPassword(self, pptpgw: Command, configuration: Path) -> None:
        """
        The findings have their advice, and the stages of the last call their times.
        """
        async with live(configuration, b"carol") as gateway:
            fail(gateway.world)
            done = await pptpgw("why", "carol")
            found = json.loads((await pptpgw("why", "carol", "--json")).out)
        assert done.status == 0
        findings, _, stages = done.out.partition("\n\n")
        first, second, advice = findings.splitlines()[:3]
        assert first.startswith("- A call of 'carol' is up since")
        assert second.startswith("! The last call of 'carol' that is over, ")
        assert "got to authentication" in second and advice.startswith("  ")
        head, tcp, *_, failed, ended = stages.splitlines()
        assert head.startswith("The last call as carol from ") and head.endswith(" (failed):")
        assert tcp.split() == ["0.000", "s", "TCP:", "passed"]
        assert " s  authentication: failed: " in failed
        assert " s  ended: " in ended
        assert (found["last"]["user"], found["last"]["outcome"]) == ("carol", "failed")
        assert found["last"]["started"].endswith("Z")
        assert [one["problem"] for one in found["findings"]] == [False, True]

    async def test_nobody(self, pptpgw: Command, configuration: Path) -> None:
        """
        Any name is asked for as it is, and one without a call has no stages.
        """
        async with live(configuration):
            done = await pptpgw("why", "a/%41ä?")
            found = json.loads((await pptpgw("why", "bo", "--json")).out)
        assert done.status == 0
        assert done.out.splitlines()[0] == "! No call of 'a/%41\\xe4?' is remembered."
        assert found["last"] is None


class TestAttempts:
    async def test_list(self, pptpgw: Command, configuration: Path) -> None:
        """
        The newest comes first.
        """
        async with live(configuration) as gateway:
            fail(gateway.world)
            done = await pptpgw("attempts", "--columns=user,outcome,stage")
            failed = json.loads((await pptpgw("attempts", "--match=outcome=failed", "--json")).out)
        head, *rows = done.out.splitlines()
        assert head.split() == ["USER", "OUTCOME", "STAGE"]
        assert rows[0].split() == ["carol", "failed", "authentication"]
        assert sorted(row.split()[0] for row in rows[1:]) == ["alice", "bob", "bob"]
        assert [one["user"] for one in failed] == ["carol"]
        assert failed[0]["cause"] and failed[0]["started"].endswith("Z")
