"""
Tests of commands that log in to a gateway, over TLS and TCP.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from twisted.internet import reactor as running
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread

from pptpgw.command.main import run
from pptpgw.store.password import hashPassword
from pptpgw.store.store import Store
from tests.certificates import SERVER, Authority
from tests.command.test_following import Child, dial, until
from tests.command.test_live import Live, live
from tests.management.asking import CHEAP
from tests.management.test_capture import GREManaged
from tests.radius.freeradius import freePort
from tests.terminal import Terminal

reactor: Any = running
COMMAND = (sys.executable, "-m", "pptpgw.command")
NAMES = (x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1")))

Run = Callable[..., Awaitable[tuple[int, str, str]]]


@dataclass
class Secured:
    """
    A gateway that listens over TLS alone.

    @ivar file: its configuration.
    @ivar ca: the certificate of the authority that has issued its certificate.
    @ivar tokens: a token of each operator.
    """

    live: Live
    file: Path
    ca: Path
    url: str
    tokens: dict[str, str]

    def tokenFile(self, operator: str, mode: int = 0o600) -> str:
        """
        Write a token to a file, and return its path.
        """
        path = self.file.with_name(f"{operator}-{mode:o}")
        path.write_text(f"{self.tokens[operator]}\n")
        path.chmod(mode)
        return str(path)


@asynccontextmanager
async def secured(
    folder: Path, names: tuple[Any, ...] = NAMES, scheme: str = "https"
) -> AsyncIterator[Secured]:
    """
    While this context lasts, a gateway runs with the operators viola, a viewer, and ada, an admin,
    whose passwords are their names.
    """
    authority, port = Authority(folder), freePort()
    certificate, key = authority.issue("gate", SERVER, names)
    place = f"ssl:{port}:interface=127.0.0.1:privateKey={key}:certKey={certificate}"
    if scheme == "http":
        place = f"tcp:{port}:interface=127.0.0.1"
    file = folder / "pptpgw.toml"
    file.write_text(
        f'[accounts]\nstore = "sqlite:{folder}/accounts.sqlite"\nkey = "{folder}/key"\n'
        f'[management]\nendpoints = ["{place}"]\n'
    )
    store = Store(reactor, f"sqlite:{folder}/accounts.sqlite", f"{folder}/key", create=True)
    tokens = {}
    for name, role in (("viola", "viewer"), ("ada", "admin")):
        await store.addOperator(name, role, hashPassword(name.encode(), CHEAP))
        tokens[name] = await store.addToken(name, "test")
    store.close()
    world = GREManaged(file.read_text())
    async with live(file, b"alice", world=world, place=place) as gateway:
        url = f"{scheme}://127.0.0.1:{port}"
        yield Secured(gateway, file, authority.certificate, url, tokens)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PPTPGW_GATEWAY", "PPTPGW_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Run:
    """
    Run a command in this process.
    """

    async def run_(*words: str) -> tuple[int, str, str]:
        try:
            status = await run(reactor, words)
        except SystemExit as ended:
            status = int(ended.code or 0)
        return (status, *capsys.readouterr())

    return run_


async def child(*words: str, **environment: str) -> tuple[int, str, str]:
    """
    Run a command as a process.
    """
    done = await deferToThread(
        subprocess.run,
        [*COMMAND, *words],
        cwd=Path(__file__).parents[2],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


class TestToken:
    async def test_ofAFile(self, command: Run, tmp_path: Path) -> None:
        """
        By its URL, and by its configuration.
        """
        async with secured(tmp_path) as gateway:
            login = ("--ca", str(gateway.ca), "--token-file", gateway.tokenFile("viola"))
            for where in (("--gateway", gateway.url), ("--config", str(gateway.file))):
                status, out, error = await command("sessions", "--json", *where, *login)
                assert (status, error) == (0, "")
                assert [one["user"] for one in json.loads(out)] == ["alice"]

    async def test_ofTheEnvironment(self, tmp_path: Path) -> None:
        """
        As a process, which changes something.
        """
        async with secured(tmp_path) as gateway:
            known = {"PPTPGW_TOKEN": gateway.tokens["ada"], "PPTPGW_GATEWAY": gateway.url}
            done = await child("disconnect", "alice", "--ca", str(gateway.ca), **known)
            assert done[0] == 0, done
            await until(lambda: gateway.live.users == [], lambda: gateway.live.world.run(0.1))

    async def test_theFileComesFirst(
        self, command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        So do C{--gateway} and C{--config} before the environment.
        """
        monkeypatch.setenv("PPTPGW_TOKEN", "wrong")
        monkeypatch.setenv("PPTPGW_GATEWAY", "https://nowhere.invalid")
        async with secured(tmp_path) as gateway:
            login = ("--ca", str(gateway.ca), "--token-file", gateway.tokenFile("viola"))
            for where in (("--gateway", gateway.url), ("--config", str(gateway.file))):
                assert (await command("status", *where, *login))[0] == 0

    async def test_aFileOfOthers(self, command: Run, tmp_path: Path) -> None:
        """
        The token isn't sent.
        """
        async with secured(tmp_path) as gateway:
            file = gateway.tokenFile("ada", 0o640)
            where = ("--gateway", gateway.url, "--ca", str(gateway.ca))
            status, _, error = await command("status", *where, "--token-file", file)
        assert status == 1
        assert error.endswith(f"others than its owner may read or write it; chmod 600 {file}\n")

    async def test_overTCP(self, command: Run, tmp_path: Path) -> None:
        """
        On the loopback interface without TLS, too.
        """
        async with secured(tmp_path, scheme="http") as gateway:
            login = ("--token-file", gateway.tokenFile("viola"))
            for where in (("--gateway", gateway.url), ("--config", str(gateway.file))):
                assert (await command("status", *where, *login))[0] == 0

    async def test_commandsOnTheStore(
        self, command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        Commands that change accounts reach the gateway of their configuration with the token of the
        environment; lockouts are those of the gateway that is named, and not those of a store.
        """
        async with secured(tmp_path, scheme="http") as gateway:
            monkeypatch.setenv("PPTPGW_TOKEN", gateway.tokens["ada"])
            config = ("--config", str(gateway.file))
            await command("user", "add", "alice", "--generate", *config)
            status, out, _ = await command("user", "disable", "alice", "--now", *config)
            assert status == 0 and "1 session is ended" in out
            status, out, _ = await command("lockouts", "--gateway", gateway.url, "--json")
            assert (status, json.loads(out)) == (0, [])
            monkeypatch.setenv("PPTPGW_TOKEN", "wrong")
            assert (await command("lockouts", "--gateway", gateway.url))[0] == 1


class TestRefused:
    async def test_nobody(self, command: Run, tmp_path: Path) -> None:
        """
        Without a login, or with a wrong one, the command says how to have one.
        """
        async with secured(tmp_path) as gateway:
            where = ("--gateway", gateway.url, "--ca", str(gateway.ca))
            status, out, error = await command("status", *where)
            assert (status, out) == (1, "")
            assert error.startswith("pptpgw: log in")
            assert "pptpgw operator token add NAME --name WORD prints one" in error
            gateway.tokens["ada"] = "wrong"
            login = ("--token-file", gateway.tokenFile("ada"))
            status, _, error = await command("status", *where, *login)
            assert status == 1 and error.startswith("pptpgw: this token isn't one, or has expired.")
            assert "pptpgw operator token add" in error
            status, _, error = await command("monitor", *where, *login)
            assert status == 1 and "pptpgw operator token add" in error

    async def test_theRole(self, command: Run, tmp_path: Path) -> None:
        async with secured(tmp_path) as gateway:
            where = ("--gateway", gateway.url, "--ca", str(gateway.ca))
            login = ("--token-file", gateway.tokenFile("viola"))
            for words in (("drain",), ("trace", "alice")):
                status, _, error = await command(*words, *where, *login)
                assert status == 1
                assert "viola is a viewer, and this needs the role" in error
                assert "pptpgw operator set NAME --role ROLE" in error
            assert gateway.live.world.orders == []

    @pytest.mark.parametrize(
        ("words", "why"),
        [
            (("--gateway", "https://gate", "--config", "x"), "--config and --gateway"),
            (("--operator", "ada", "--token-file", "x"), "--token-file and --operator"),
        ],
    )
    async def test_contradictions(self, command: Run, words: tuple[str, ...], why: str) -> None:
        status, _, error = await command("status", *words)
        assert status == 2 and why in error


class Greeting(Protocol):
    """
    A server that speaks first, without TLS.
    """

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"220 mail.example\r\n")


class TestCertificate:
    async def complaint(self, command: Run, gateway: Secured, *words: str) -> str:
        login = ("--token-file", gateway.tokenFile("ada"))
        status, out, error = await command("drain", *login, *words)
        assert (status, out) == (3, "")
        # Nobody has asked the gateway for anything.
        assert gateway.live.world.orders == []
        return error

    async def test_ofAnAuthorityThatIsNotTrusted(self, command: Run, tmp_path: Path) -> None:
        """
        Neither by the system nor by C{--ca}.
        """
        other = Authority(tmp_path, "Other CA")
        async with secured(tmp_path) as gateway:
            for ca in ((), ("--ca", str(other.certificate))):
                error = await self.complaint(command, gateway, "--gateway", gateway.url, *ca)
                assert "can't be verified: --ca FILE names" in error

    async def test_ofAnotherName(self, command: Run, tmp_path: Path) -> None:
        async with secured(tmp_path, (x509.DNSName("gate.example"),)) as gateway:
            ca = ("--ca", str(gateway.ca))
            error = await self.complaint(command, gateway, "--gateway", gateway.url, *ca)
            assert "isn't one of 127.0.0.1: connect by a name that it has" in error
            error = await self.complaint(command, gateway, "--config", str(gateway.file), *ca)
            assert "isn't one of 127.0.0.1" in error
            # The name in the configuration is the gateway's.
            file = gateway.file
            file.write_text(file.read_text() + 'hosts = ["gate.example"]\n')
            login = ("--token-file", gateway.tokenFile("viola"))
            status, _, error = await command("status", "--config", str(file), *ca, *login)
            # The gateway in memory doesn't know that it has that name.
            assert status == 1 and "none of this gateway's names" in error

    async def test_noTLS(self, command: Run) -> None:
        """
        Another program is there, which greets.
        """
        port = reactor.listenTCP(0, Factory.forProtocol(Greeting), interface="127.0.0.1")
        url = f"https://127.0.0.1:{port.getHost().port}"
        try:
            status, _, error = await command("status", "--gateway", url)
        finally:
            await port.stopListening()
        assert status == 3 and error.startswith(f"pptpgw: there is no TLS to {url}: ")

    async def test_noSuchHost(self, command: Run, tmp_path: Path) -> None:
        file = tmp_path / "token"
        file.touch(0o600)
        file.write_text("t")
        words = ("--gateway", "https://nowhere.invalid", "--token-file", str(file))
        status, _, error = await command("status", *words)
        assert status == 3 and "no host of this name is known" in error

    async def test_nobodyListens(self, command: Run, tmp_path: Path) -> None:
        url = f"https://127.0.0.1:{freePort()}"
        status, _, error = await command("status", "--gateway", url)
        assert status == 3
        assert error.startswith(f"pptpgw: the gateway isn't running, or isn't at {url} (")


class TestStreams:
    async def test_monitor(self, tmp_path: Path) -> None:
        async with secured(tmp_path) as gateway:
            child = Child(*self.words(gateway, "monitor", "viola"))
            reading = child.read()
            await until(lambda: reading.called, lambda: dial(gateway.live))
            assert b" carol" in await reading
            status, _, error = await child.end(signal.SIGINT)
        assert (status, error) == (130, "")

    async def test_trace(self, tmp_path: Path) -> None:
        async with secured(tmp_path) as gateway:
            child = Child(*self.words(gateway, "trace carol", "ada"))
            reading = child.read()
            await until(lambda: reading.called, lambda: dial(gateway.live))
            assert b"  carol@" in await reading
            await gateway.live.stop()
            status, _, error = await child.end()
        assert status == 3 and "the gateway has gone away meanwhile" in error

    async def test_capture(self, tmp_path: Path) -> None:
        file = tmp_path / "alice.pcapng"
        async with secured(tmp_path) as gateway:
            child = Child(*self.words(gateway, f"capture alice {file}", "ada"))
            await until(file.exists, lambda: gateway.live.world.run(0.1))
            status, _, error = await child.end(signal.SIGINT)
        assert (status, error) == (130, f"{file.stat().st_size} octets are captured.\n")
        assert file.read_bytes().startswith(b"\n\r\r\n")

    def words(self, gateway: Secured, words: str, operator: str) -> tuple[Any, ...]:
        """
        The arguments of L{Child}.
        """
        login = ("--ca", str(gateway.ca), "--token-file", gateway.tokenFile(operator))
        return gateway.file, *words.split(), *login


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


class TestPassword:
    async def at(self, terminal: Terminal, gateway: Secured, typed: bytes | signal.Signals) -> int:
        """
        Run a command that asks for a password, type it or send a signal, and return the status.
        """
        words = ("--gateway", gateway.url, "--ca", str(gateway.ca), "--operator", "viola")
        process = terminal.run(*COMMAND, "status", *words, cwd=Path(__file__).parents[2])

        def converse() -> int:
            terminal.waitFor("Password of viola: ")
            assert not terminal.echoes()
            if isinstance(typed, bytes):
                terminal.type(typed)
            else:
                process.send_signal(typed)
            return terminal.end(process)

        status: int = await deferToThread(converse)
        return status

    async def test_typed(self, terminal: Terminal, tmp_path: Path) -> None:
        """
        It isn't shown.
        """
        async with secured(tmp_path) as gateway:
            assert await self.at(terminal, gateway, b"viola\n") == 0
            assert "serving" in terminal.text and "viola" not in terminal.text
            assert await self.at(terminal, gateway, b"wrong\n") == 1
        assert "the password is wrong" in terminal.text

    @pytest.mark.parametrize("typed", [b"\x03", signal.SIGTERM])
    async def test_interrupted(
        self, terminal: Terminal, tmp_path: Path, typed: bytes | signal.Signals
    ) -> None:
        async with secured(tmp_path) as gateway:
            status = await self.at(terminal, gateway, typed)
        assert status == (130 if typed == b"\x03" else 143)
        assert terminal.echoes() and "Traceback" not in terminal.text

    async def test_withoutATerminal(self, tmp_path: Path) -> None:
        """
        Standard input isn't read.
        """
        url = "https://127.0.0.1:1"
        done = await deferToThread(
            subprocess.run,
            ["setsid", *COMMAND, "status", "--gateway", url, "--operator", "ada"],
            cwd=Path(__file__).parents[2],
            input="ada\n",
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            "pptpgw: no password was typed; --token-file FILE has a token instead\n"
        )
