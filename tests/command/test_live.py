"""
Tests of the commands on a running gateway, over the socket of a real management interface.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor as running

from pptpgw.config.section import ManagementSection
from pptpgw.management.service import ManagementService
from tests.command.invocation import Command
from tests.management.managed import Managed

reactor: Any = running


class Live:
    """
    A gateway in memory with sessions of alice and of bob, who has two.
    """

    def __init__(self, *users: bytes) -> None:
        self.world = Managed()
        for name in users or (b"alice", b"bob", b"bob"):
            self.world.setUpCall(name)

    @property
    def users(self) -> list[str]:
        return [one.user for one in self.world.sessions]

    def identifiers(self, user: str) -> list[str]:
        return [one.identifier for one in self.world.sessions if one.user == user]


@asynccontextmanager
async def live(configuration: Path, *users: bytes) -> AsyncIterator[Live]:
    """
    While this context lasts, a gateway runs where C{configuration} says.

    @param users: who has sessions.
    """
    place = f"unix:{configuration.parent}/management.sock:mode=600"
    with configuration.open("a") as file:
        file.write(f'[management]\nendpoints = ["{place}"]\n')
    gateway = Live(*users)
    service = ManagementService(reactor, ManagementSection((place,)), gateway.world)
    service.privilegedStartService()
    try:
        yield gateway
    finally:
        await service.stopService()


async def test_noGateway(pptpgw: Command, configuration: Path) -> None:
    """
    Each command ends with status 3.
    """
    with configuration.open("a") as file:
        file.write(f'[management]\nendpoints = ["unix:{configuration.parent}/none"]\n')
    for words in (
        ("status",),
        ("sessions", "--json"),
        ("session", "show", "alice"),
        ("disconnect", "--all"),
        ("reload",),
        ("drain",),
        ("undrain",),
    ):
        done = await pptpgw(*words)
        assert (done.status, done.out) == (3, "")
        assert done.error.startswith("pptpgw: the gateway isn't running, or [management]")


class TestSessions:
    async def test_list(self, pptpgw: Command, configuration: Path) -> None:
        async with live(configuration) as gateway:
            done = await pptpgw("sessions", "--sort=-user", "--columns=user,addresses,session")
            chosen = await pptpgw("sessions", "--match=user=bob", "--json")
        head, *rows = done.out.splitlines()
        assert head.split() == ["USER", "ADDRESSES", "SESSION"]
        assert [row.split()[0] for row in rows] == ["bob", "bob", "alice"]
        assert rows[2].split() == ["alice", "10.77.0.10", *gateway.identifiers("alice")]
        found = json.loads(chosen.out)
        assert [one["user"] for one in found] == ["bob", "bob"]
        assert found[0]["started"].endswith("Z") and found[0]["networks"] == ["ipv4"]

    async def test_show(self, pptpgw: Command, configuration: Path) -> None:
        """
        By identifier, and by the name of a user who has one session.
        """
        async with live(configuration) as gateway:
            (identifier,) = gateway.identifiers("alice")
            byName = await pptpgw("session", "show", "alice")
            byIdentifier = await pptpgw("session", "show", identifier, "--json")
            several = await pptpgw("session", "show", "bob")
            nobody = await pptpgw("session", "show", "ca/rol")
        assert byName.out.splitlines()[0].split() == ["user", "alice"]
        assert ["ipv4", "10.77.0.10"] in [line.split() for line in byName.out.splitlines()]
        assert json.loads(byIdentifier.out)["session_id"] == identifier
        assert several.status == 1
        assert "bob has 2 sessions: choose one of " in several.error
        assert nobody.error == (
            "pptpgw: there is no session ca/rol, and no user of this name is connected\n"
        )

    async def test_oddNames(self, pptpgw: Command, configuration: Path) -> None:
        """
        A name is no pattern, and case matters in it.
        """
        users = (b"a[b", b"A[B", b"a*", b"ab", b"[x]")
        async with live(configuration, *users) as gateway:
            for user in gateway.users:
                shown = json.loads((await pptpgw("session", "show", user, "--json")).out)
                assert shown["user"] == user

    async def test_set(self, pptpgw: Command, configuration: Path) -> None:
        words = ["--send-rate", "2M", "--session-timeout", "1h", "--volume", "1GiB"]
        async with live(configuration) as gateway:
            (identifier,) = gateway.identifiers("alice")
            done = await pptpgw("session", "set", "alice", *words)
            session = gateway.world.sessions.withIdentifier(identifier)
            assert session is not None
            profile = session.profile
            await pptpgw("session", "set", "alice", "--send-rate", "")
            without = session.profile.sendRate
            wrong = await pptpgw("session", "set", "alice", "--filter", "none")
            nothing = await pptpgw("session", "set", "alice")
        assert done.out == f"Session {identifier} of alice is changed.\n"
        assert (profile.sendRate, profile.sessionTimeout) == (2_000_000, 3600)
        assert profile.volume == 1 << 30
        assert without is None
        assert wrong.status == 1 and "there is no filter none" in wrong.error
        assert nothing.status == 2

    async def test_wrongQuantities(self, pptpgw: Command, configuration: Path) -> None:
        async with live(configuration):
            done = await pptpgw("session", "set", "alice", "--volume", "lots")
        assert done.status == 1
        assert done.error.startswith("pptpgw: --volume lots: must be octets")


class TestDisconnect:
    @pytest.mark.parametrize(
        ("words", "left"),
        [
            (("alice",), ["bob", "bob"]),
            (("--user", "b*"), ["alice"]),
            (("--user", "*", "--address", "10.77.0.10"), ["bob", "bob"]),
            (("--all",), []),
        ],
    )
    async def test_who(
        self, pptpgw: Command, configuration: Path, words: tuple[str, ...], left: list[str]
    ) -> None:
        """
        Only the sessions that are chosen end; with --dry-run none does.
        """
        async with live(configuration) as gateway:
            would = await pptpgw("disconnect", *words, "--dry-run", "--json")
            assert len(gateway.users) == 3
            done = await pptpgw("disconnect", *words, "--json")
            gateway.world.run(1)
            assert gateway.users == left
        assert json.loads(done.out) == json.loads(would.out)
        assert len(json.loads(done.out)["session_ids"]) == 3 - len(left)

    async def test_nothingIsChosen(self, pptpgw: Command, configuration: Path) -> None:
        async with live(configuration) as gateway:
            for words in ((), ("alice", "--all"), ("--all", "--user", "b*")):
                done = await pptpgw("disconnect", *words)
                assert (done.status, len(gateway.users)) == (2, 3)


class TestGateway:
    async def test_status(self, pptpgw: Command, configuration: Path) -> None:
        async with live(configuration):
            done = await pptpgw("status")
            fields = json.loads((await pptpgw("status", "--json")).out)
        lines = [line.split() for line in done.out.splitlines()]
        assert done.status == 0
        assert ["state", "serving"] in lines and ["sessions", "3"] in lines
        assert (fields["state"], fields["sessions"]) == ("serving", 3)
        assert fields["started"] == "1970-01-12T13:46:40Z"

    async def test_reload(self, pptpgw: Command, configuration: Path) -> None:
        async with live(configuration) as gateway:
            would = await pptpgw("reload", "--dry-run")
            assert gateway.world.orders == []
            done = await pptpgw("reload")
            assert gateway.world.orders == ["reload"]
        assert would.out.splitlines()[0] == "The configuration would be read again; 2 keys differ."
        assert done.out.splitlines() == [
            "The configuration was read again; 2 keys differ.",
            *would.out.splitlines()[1:],
        ]
        assert done.out.splitlines()[1].endswith("pool: for calls from now on")
        assert done.out.splitlines()[2].endswith("port: needs a restart: port")

    async def test_drain(self, pptpgw: Command, configuration: Path) -> None:
        async with live(configuration) as gateway:
            done = await pptpgw("drain", "--deadline", "5m", "--stop")
            state = await pptpgw("status")
            back = await pptpgw("undrain")
            assert gateway.world.orders == [("drain", 300, True), "undrain"]
        assert done.out == "The gateway takes no more calls.\n"
        assert "draining" in state.out
        assert back.out == "The gateway takes calls again.\n"
