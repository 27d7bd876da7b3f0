"""
Tests of the commands on a running gateway, over the socket of a real management interface.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor as running

from pptpgw.config.section import ManagementSection
from pptpgw.error import PPTPGWError
from pptpgw.management.service import ManagementService
from tests.command.invocation import Command, must
from tests.management.managed import Managed

reactor: Any = running


class Live:
    """
    A gateway in memory with sessions of alice and of bob, who has two.

    @ivar stop: stops its management interface.
    """

    stop: Callable[[], Any]

    def __init__(self, *users: bytes, world: Managed | None = None) -> None:
        self.world = Managed() if world is None else world
        for name in users or (b"alice", b"bob", b"bob"):
            self.world.setUpCall(name)

    @property
    def users(self) -> list[str]:
        return [one.user for one in self.world.sessions]

    def identifiers(self, user: str) -> list[str]:
        return [one.identifier for one in self.world.sessions if one.user == user]


@asynccontextmanager
async def live(
    configuration: Path, *users: bytes, world: Managed | None = None, place: str = ""
) -> AsyncIterator[Live]:
    """
    While this context lasts, a gateway runs beside C{configuration}, where that says.

    @param users: who has sessions.
    @param world: the gateway; None for one whose callers have no GRE.
    @param place: where it listens instead.
    """
    place = place or f"unix:{configuration.parent}/management.sock:mode=600"
    gateway = Live(*users, world=world)
    service = ManagementService(reactor, ManagementSection((place,)), gateway.world)
    gateway.stop = service.stopService
    service.privilegedStartService()
    service.startService()
    try:
        yield gateway
    finally:
        await service.stopService()


async def test_noGateway(pptpgw: Command) -> None:
    """
    Each command ends with status 3.
    """
    for words in (
        ("status",),
        ("sessions", "--json"),
        ("session", "show", "alice"),
        ("disconnect", "--all"),
        ("show", "sessions"),
        ("terminate", "all"),
        ("why", "alice"),
        ("attempts",),
        ("lockouts", "clear", "--all"),
        ("pools",),
        ("monitor",),
        ("trace", "alice"),
        ("capture", "alice", "-"),
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
        rows = dict(line.split("  ", 1) for line in byName.out.splitlines())
        assert rows["LCP, ours"].strip().startswith("mru 1400, auth chap MS-v2, magic 0x")
        assert rows["LCP, the peer's"].strip().endswith(", pcomp, accomp")
        assert rows["CCP, the peer's"].strip() == "mppe +H -M +S -L -D -C"
        assert rows["IPCP, ours"].strip() == "addr 10.77.0.1"
        found = json.loads(byIdentifier.out)
        assert found["session_id"] == identifier
        assert [one["name"] for one in found["protocols"]] == ["LCP", "CCP", "IPCP"]
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

    async def test_aReloadInWhichAPartFails(self, pptpgw: Command, configuration: Path) -> None:
        async with live(configuration) as gateway:
            gateway.world.unable = PPTPGWError("[ipv4]: RuntimeError: no way")
            done = await pptpgw("reload")
        assert (done.status, done.out) == (1, "")
        assert "[ipv4]: RuntimeError: no way" in done.error

    async def test_drain(self, pptpgw: Command, configuration: Path) -> None:
        async with live(configuration) as gateway:
            done = await pptpgw("drain", "--deadline", "5m", "--stop")
            state = await pptpgw("status")
            back = await pptpgw("undrain")
            assert gateway.world.orders == [("drain", 300, True), "undrain"]
        assert done.out == "The gateway takes no more calls.\n"
        assert "draining" in state.out
        assert back.out == "The gateway takes calls again.\n"


class TestAccounts:
    """
    Changes of accounts, and the sessions of their users.
    """

    async def test_sessionsGoOn(self, pptpgw: Command, configuration: Path) -> None:
        """
        That they do is told, unless no gateway runs.
        """
        await pptpgw("user", "add", "bob", "--generate")
        async with live(configuration) as gateway:
            disabled = await pptpgw("user", "disable", "bob")
            enabled = await pptpgw("user", "enable", "bob", "--json")
            changed = await pptpgw("user", "set", "bob", "--send-rate", "1M", "--json")
            await pptpgw("user", "add", "carol", "--generate")
            nobody = await pptpgw("user", "remove", "carol", "--json")
            assert len(gateway.users) == 3
            both = gateway.identifiers("bob")
        assert disabled.out == "User bob is disabled.\n2 sessions go on; --now ends them.\n"
        assert "sessions" not in json.loads(enabled.out)
        assert json.loads(changed.out)["sessions"] == both
        assert json.loads(nobody.out)["sessions"] == []
        gone = await pptpgw("user", "disable", "bob")
        assert (gone.status, gone.out) == (0, "User bob is disabled.\n")

    @pytest.mark.parametrize("words", [("disable",), ("remove",), ("set", "--generate")])
    async def test_nowEnds(
        self, pptpgw: Command, configuration: Path, words: tuple[str, ...]
    ) -> None:
        await pptpgw("user", "add", "bob", "--generate")
        command, *more = words
        async with live(configuration) as gateway:
            done = await pptpgw("user", command, "bob", "--now", *more)
            gateway.world.run(1)
            assert gateway.users == ["alice"]
        assert done.out.splitlines()[-1] == "2 sessions are ended."

    async def test_nowChanges(self, pptpgw: Command, configuration: Path) -> None:
        """
        A session gets what the account allows now: the attributes that are given, and with another
        profile all of them.
        """
        await pptpgw("profile", "add", "gold", "--send-rate", "8M", "--volume", "1G")
        await pptpgw("user", "add", "bob", "--generate", "--idle-timeout", "60")
        async with live(configuration, b"bob") as gateway:
            (session,) = gateway.world.sessions
            done = await pptpgw(
                "user", "set", "bob", "--now", "--receive-rate", "1M", "--mtu", "1400"
            )
            first = session.profile
            await pptpgw("user", "set", "bob", "--now", "--profile", "gold")
            second = session.profile
            no = await pptpgw("user", "set", "bob", "--now", "--address", "10.77.1.7")
        assert done.out == "User bob is changed.\n1 session is changed.\n"
        assert (first.receiveRate, first.sendRate, first.idleTimeout) == (1_000_000, None, None)
        assert (second.sendRate, second.volume, second.idleTimeout) == (8_000_000, 10**9, 60)
        assert no.out.splitlines()[1] == "1 session can't be changed by this."

    async def test_nowWithoutAGateway(self, pptpgw: Command, tmp_path: Path) -> None:
        """
        The account is changed all the same, and the exit status says that no session is.
        """
        await pptpgw("user", "add", "bob", "--generate")
        done = await pptpgw("user", "disable", "bob", "--now")
        assert (done.status, done.out) == (3, "User bob is disabled.\n")
        assert "the account is changed, but no session: the gateway isn't running" in done.error
        assert (await must(tmp_path)).disabled
        done = await pptpgw("user", "set", "bob", "--generate", "--now")
        assert done.status == 3 and "The password: " in done.out
