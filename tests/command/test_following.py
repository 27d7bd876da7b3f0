"""
Tests of C{pptpgw monitor}, C{trace} and C{capture}: as processes, which follow a gateway in the
process of the tests.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet import reactor as running
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from pptpgw.command.following import _eventLine
from pptpgw.command.streaming import BlockDecoder, EventDecoder
from tests.command.invocation import Command
from tests.command.test_live import Live, live
from tests.management.test_capture import GREManaged

reactor: Any = running
COMMAND = (sys.executable, "-m", "pptpgw.command")
PATIENCE = 20.0


class Child:
    """
    The command as a process.
    """

    def __init__(self, configuration: Path, *words: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *words, "--config", str(configuration)],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def read(self) -> Deferred[bytes]:
        """
        Read a line, or a block of a capture.
        """
        assert self.process.stdout is not None
        reading: Deferred[bytes] = deferToThread(self.process.stdout.readline)
        return reading.addTimeout(PATIENCE, reactor)

    async def end(self, number: signal.Signals | None = None) -> tuple[int, bytes, str]:
        """
        Send a signal, and wait for the end.

        @return: the exit status, the rest of standard output, and standard error.
        """
        if number is not None:
            self.process.send_signal(number)
        out, error = await deferToThread(self.process.communicate, timeout=PATIENCE)
        return self.process.returncode, out, error.decode()


async def until(reached: Callable[[], object], act: Callable[[], object]) -> None:
    """
    Act again and again until something is reached.
    """
    deadline = reactor.seconds() + PATIENCE
    while not reached():
        assert reactor.seconds() < deadline
        act()
        await deferLater(reactor, 0.005)


def dial(gateway: Live, name: bytes = b"carol") -> None:
    """
    Call, and hang up.
    """
    gateway.world.setUpCall(name)
    for session in gateway.world.sessions:
        if session.user == name.decode():
            session.hangUp("enough")
    gateway.world.run(1)


class TestMonitor:
    async def test_interrupted(self, configuration: Path) -> None:
        """
        Past events come first, then those that happen. Ctrl-C ends it with its status.
        """
        async with live(configuration, b"alice") as gateway:
            child = Child(configuration, "monitor", "--kind", "session-started")
            reading = child.read()
            await until(lambda: reading.called, lambda: dial(gateway))
            line = await reading
            status, _, error = await child.end(signal.SIGINT)
        assert b" of carol begins, from " in line and b"by pptp and mschapv2" in line
        assert (status, error) == (130, "")

    async def test_theGatewayStops(self, configuration: Path) -> None:
        """
        The command says so, with status 3; until then it has printed an object a line.
        """
        async with live(configuration) as gateway:
            child = Child(configuration, "monitor", "--json", "--user", "car*")
            reading = child.read()
            await until(lambda: reading.called, lambda: dial(gateway))
            event = json.loads(await reading)
            await gateway.stop()
            status, rest, error = await child.end()
        assert event["user"] == "carol" and event["time"].endswith("Z")
        assert all(json.loads(line)["user"] == "carol" for line in rest.splitlines())
        assert status == 3
        assert error.startswith("pptpgw: the gateway has gone away meanwhile, or has ended this: ")

    async def test_byTunnel(self, pptpgw: Command, configuration: Path) -> None:
        """
        Only the events of a tunnel are printed, which the gateway must have.
        """
        async with live(configuration) as gateway:
            gateway.world.tunnels = {"pptp": SimpleNamespace(places=())}
            unknown = await pptpgw("monitor", "--tunnel", "sttp")
            child = Child(configuration, "monitor", "--json", "--tunnel", "pptp")
            reading = child.read()
            await until(lambda: reading.called, lambda: dial(gateway))
            event = json.loads(await reading)
            await child.end(signal.SIGINT)
        assert event["kind"] == "session-started" and event["tunnel"] == "pptp"
        assert unknown.status == 1 and "--tunnel sttp: the gateway has pptp\n" in unknown.error


BASE = {
    "time": 3661.5,
    "session_id": "s1",
    "user": "a\nb",
    "caller": "192.0.2.8",
    "tunnel": "pptp",
}


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            {"kind": "session-changed", "change": "opened", "protocol": "ipv4"}
            | {"networks": {"ipv4": ["10.77.0.10"]}},
            r"session s1 of 'a\nb' changes: ipv4 opened; it has 10.77.0.10",
        ),
        (
            {"kind": "session-changed", "change": "limits", "protocol": "", "networks": {}},
            r"session s1 of 'a\nb' changes: limits",
        ),
        (
            {"kind": "session-ended", "uptime_seconds": 61, "cause": "idle"}
            | {"octets_received": 1, "octets_sent": 2},
            r"session s1 of 'a\nb', by pptp, ends after 0:01:01: idle; 1 octets received, 2 sent",
        ),
        (
            {"kind": "caller-refused", "reason": "wrong password"},
            r"a call from 192.0.2.8 by pptp as 'a\nb' is refused: wrong password",
        ),
        (
            {"kind": "call-attacked", "reason": "a false binding"},
            r"a call from 192.0.2.8 by pptp of 'a\nb' is attacked, and ended: a false binding",
        ),
        (
            {"kind": "call-attacked", "reason": "a false binding", "user": ""},
            "a call from 192.0.2.8 by pptp is attacked, and ended: a false binding",
        ),
        (
            {"kind": "lockout-began", "of": "user", "subject": "x", "until": 60.0, "failures": 3},
            "user x is locked out until 1970-01-01 00:01 UTC, after 3 failures",
        ),
        (
            {"kind": "radius-server-changed", "server": "s", "service": "x", "alive": False},
            "RADIUS server s does not answer (x)",
        ),
        (
            {"kind": "reloaded", "error": "", "applied": ["a", "b"], "kept": ["port"]},
            "the configuration is read again: 2 keys have changed; a restart is needed for port",
        ),
        (
            {"kind": "reloaded", "error": "no file", "applied": [], "kept": []},
            "the configuration can't be read again: no file",
        ),
        (
            {"kind": "drain-changed", "drain": {"deadline": 60.0, "drained": False}},
            "the gateway drains, until 1970-01-01 00:01 UTC",
        ),
        ({"kind": "drain-changed", "drain": None}, "the gateway takes calls again"),
        ({"kind": "faults-changed", "faults": ["a", "b"]}, "the gateway takes no calls: a; b"),
    ],
)
def test_eventLine(event: dict[str, Any], line: str) -> None:
    """
    An event is one line, whatever its texts are.
    """
    assert _eventLine(BASE | event) == f"01:01:01.500  {line}"


def test_unknownEvent() -> None:
    assert _eventLine({"kind": "new", "time": 0}).startswith("00:00:00.000  new: {")
    assert _eventLine({"kind": "gap", "lost": 2}) == "(2 events are missing here)"


class TestTrace:
    @pytest.mark.parametrize("caller", ["carol", "CAROL", "address"])
    async def test_aCallerThatIsNotThereYet(self, configuration: Path, caller: str) -> None:
        """
        The lines are pppd's, those of the caller alone. Ctrl-C ends it with its status.
        """
        async with live(configuration, b"alice") as gateway:
            if caller == "address":
                caller = next(iter(gateway.world.sessions)).caller
            child = Child(configuration, "trace", caller)
            lines = [""]
            while "IPCP ConfAck" not in lines[-1]:
                reading = child.read()
                await until(partial(getattr, reading, "called"), lambda: dial(gateway))
                lines.append((await reading).decode())
            status, _, error = await child.end(signal.SIGINT)
        assert any("  sent [LCP ConfReq id=" in line for line in lines)
        assert any("  authentication: passed\n" in line for line in lines)
        assert (status, error) == (130, "")

    async def test_theTimeIsOver(self, pptpgw: Command, configuration: Path) -> None:
        """
        Then the command is done. A session is found by its identifier.
        """
        async with live(configuration) as gateway:
            (identifier,) = gateway.identifiers("alice")
            done = await pptpgw("trace", identifier, "--for", "1s", "--json")
        lines = [json.loads(line) for line in done.out.splitlines()]
        assert {line["session_id"] for line in lines} == {identifier}
        assert (done.status, done.error) == (0, "")

    async def test_theGatewayStops(self, configuration: Path) -> None:
        async with live(configuration) as gateway:
            child = Child(configuration, "trace", "carol", "--json")
            reading = child.read()
            await until(lambda: reading.called, lambda: dial(gateway))
            line = json.loads(await reading)
            await gateway.stop()
            status, _, error = await child.end()
        assert line["user"] == "carol" and len(line["time"]) == len("1970-01-12T13:46:40.123Z")
        assert status == 3 and "the gateway has gone away meanwhile" in error

    async def test_byTunnel(self, pptpgw: Command, configuration: Path) -> None:
        """
        A tunnel that the gateway has chooses among calls; another one is an error, and so is one
        where a session is captured, which has a tunnel already.
        """
        async with live(configuration) as gateway:
            gateway.world.tunnels = {"pptp": SimpleNamespace(places=())}
            (identifier,) = gateway.identifiers("alice")
            done = await pptpgw("trace", "alice", "--tunnel", "pptp", "--for", "1s")
            unknown = await pptpgw("trace", "alice", "--tunnel", "sttp")
            one = await pptpgw("capture", identifier, "-", "--tunnel", "pptp")
        lines = done.out.splitlines()
        assert done.status == 0 and len(lines) > 5
        assert "  alice@192.0.2." in lines[-1] and " pptp  " in lines[-1]
        assert (unknown.status, one.status) == (1, 2)
        assert "--tunnel sttp: the gateway has pptp\n" in unknown.error
        assert "is one session" in one.error


class TestCapture:
    def summary(self, file: Path) -> str:
        done = subprocess.run(["tshark", "-r", str(file)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def test_theNextCall(self, configuration: Path, tmp_path: Path) -> None:
        """
        The call is captured until it ends, into a file for its owner alone.
        """
        file = tmp_path / "carol.pcapng"
        async with live(configuration, b"alice", world=GREManaged()) as gateway:
            child = Child(configuration, "capture", "carol", str(file))
            # The header of the file comes at once, the frames when there is a call.
            await until(file.exists, lambda: None)
            placed = gateway.world.placeCall(gateway.world.connect(), b"carol")
            placed.addBoth(lambda _: None)
            await until(lambda: placed.called, lambda: gateway.world.run(0.001))
            for session in gateway.world.sessions:
                session.hangUp("enough")
            await until(lambda: gateway.users == [], lambda: gateway.world.run(0.1))
            status, out, error = await child.end()
        assert (status, out) == (0, b"")
        assert error == f"{file.stat().st_size} octets are captured.\n"
        assert file.stat().st_mode & 0o777 == 0o600
        assert "PPP LCP" in self.summary(file) and "PPP IPCP" in self.summary(file)

    async def test_interrupted(self, configuration: Path, tmp_path: Path) -> None:
        """
        Ctrl-C leaves a file that is whole.
        """
        file = tmp_path / "alice.pcapng"
        async with live(configuration, b"alice", world=GREManaged()) as gateway:
            words = ("capture", "--json", *gateway.identifiers("alice"), str(file))
            child = Child(configuration, *words)
            await until(file.exists, lambda: gateway.world.run(0.1))
            status, out, error = await child.end(signal.SIGINT)
        assert status == 130 and not error
        assert json.loads(out) == {"file": str(file), "octets": file.stat().st_size}
        self.summary(file)

    async def test_twoThingsOnStandardOutput(self, configuration: Path) -> None:
        child = Child(configuration, "capture", "alice", "-", "--json")
        status, _, error = await child.end()
        assert status == 2 and "can't both be on standard output" in error

    async def test_standardOutput(self, configuration: Path, tmp_path: Path) -> None:
        """
        For wireshark. A gateway that stops is told.
        """
        async with live(configuration, b"alice", world=GREManaged()) as gateway:
            child = Child(configuration, "capture", "alice", "-")
            head = await child.read()
            await gateway.stop()
            status, rest, error = await child.end()
        file = tmp_path / "stdout.pcapng"
        file.write_bytes(head + rest)
        self.summary(file)
        assert status == 3 and "the gateway has gone away meanwhile" in error

    async def test_noCall(self, pptpgw: Command, configuration: Path, tmp_path: Path) -> None:
        async with live(configuration):
            done = await pptpgw("capture", "carol", str(tmp_path / "c"), "--for", "1s")
        assert done.status == 1 and "there was no call of carol\n" in done.error

    async def test_aFileThatIsThere(
        self, pptpgw: Command, configuration: Path, tmp_path: Path
    ) -> None:
        """
        It is left alone, unless --force is given; a link isn't followed.
        """
        file, other = tmp_path / "c", tmp_path / "other"
        other.write_text("keep")
        file.symlink_to(other)
        words = ("capture", "carol", str(file), "--for", "1s")
        async with live(configuration):
            refused = await pptpgw(*words)
            forced = await pptpgw(*words, "--force")
        assert refused.status == 1 and "--force replaces it" in refused.error
        assert "there was no call" in forced.error
        assert other.read_text() == "keep" and not file.is_symlink()

    async def test_itCannotBeWritten(self, pptpgw: Command, configuration: Path) -> None:
        async with live(configuration):
            done = await pptpgw("capture", "carol", "/nowhere/c")
        assert done.status == 1
        assert done.error.endswith("pptpgw: /nowhere/c: No such file or directory\n")


def test_eventsInParts() -> None:
    """
    Events are decoded however their octets are cut; heartbeats are left out.
    """
    octets = b':\n\nid: 1\nevent: a\ndata: {"x": 1}\n\n:\n\nevent: b\ndata: {"y": ": "}\n\n'
    for size in (1, 2, 7, len(octets)):
        told: dict[str, Any] = {}
        decoder = EventDecoder(told.__setitem__)
        for start in range(0, len(octets), size):
            decoder.add(octets[start : start + size])
        assert told == {"a": {"x": 1}, "b": {"y": ": "}}


def test_blocksInParts() -> None:
    """
    Only whole blocks are given.
    """
    blocks = [
        kind.to_bytes(4, "little") + length.to_bytes(4, "little") + bytes(length - 8)
        for kind, length in ((1, 12), (6, 40), (5, 16))
    ]
    octets = b"".join(blocks)
    for size in (1, 9, 50, len(octets)):
        told: list[bytes] = []
        decoder = BlockDecoder(told.append)
        for start in range(0, len(octets) - 1, size):
            decoder.add(octets[start : min(start + size, len(octets) - 1)])
        assert b"".join(told) == b"".join(blocks[:2])
        assert decoder.last == 6
        decoder.add(octets[-1:])
        assert b"".join(told) == octets and decoder.last == 5
