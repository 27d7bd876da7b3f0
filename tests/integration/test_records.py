"""
Tests for the records of sessions that the whole program keeps, and for the scripts that it runs.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Serve
from tests.integration.world import CALLER, LOCAL, SECRETS, Client, Program, Served, World
from tests.lab.server import toml
from tests.radius.freeradius import SECRET, freePort

Start = Callable[[], Client]

NOBODY = 65534

SCRIPT = """\
#!/bin/sh
{{ echo "$(basename "$0") $*"; env | sort; sleep 0.2; echo done; }} >> {log}
echo "$PEERNAME is told"
"""


def scripts(folder: Path, *names: str) -> dict[str, object]:
    """
    The section of scripts, each of which writes its arguments and environment to one file.
    """
    section: dict[str, object] = {}
    for name in names:
        path = folder / name
        path.write_text(SCRIPT.format(log=folder / "log"))
        path.chmod(0o755)
        section[name] = str(path)
    return section


def events(path: Path, wanted: str, count: int = 1, timeout: float = 10.0) -> list[dict[str, Any]]:
    """
    Every event in the file, once there are C{count} of the wanted kind. A thread writes the file,
    so it may appear late.
    """
    deadline = time.monotonic() + timeout
    while True:
        text = path.read_text() if path.exists() else ""
        found = [json.loads(line) for line in text.splitlines()]
        if sum(one["event"] == wanted for one in found) >= count:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def rows(path: Path, columns: str) -> list[tuple[Any, ...]]:
    """
    The rows of the sessions, or none if their table doesn't exist yet.
    """
    connection = sqlite3.connect(path)
    try:
        found = connection.execute(f"SELECT {columns} FROM sessions ORDER BY started").fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return []
    else:
        return found
    finally:
        connection.close()


def test_aSessionInAuditStoreAndScripts(
    world: World, serve: Serve, client: Start, tmp_path: Path
) -> None:
    """
    The audit, the store and the scripts have the same figures of a session, and the scripts get
    pppd's arguments and variables.
    """
    audit, store = tmp_path / "audit", tmp_path / "sessions.sqlite"
    served = serve(
        audit={"file": str(audit), "store": f"sqlite:{store}"},
        hooks=scripts(tmp_path, "auth-up", "ip-up", "ip-down", "auth-down"),
    )
    dialling = client()
    call = dialling.dial()
    for _ in range(3):
        assert dialling.ask("ping", call["number"]) == {}
    served.waitFor("ip-up: alice is told")
    audit.rename(tmp_path / "audit.1")
    assert "hung up" in dialling.ask("hangUp", call["number"])["cause"]
    *_, ended = events(audit, "ended")
    started, opened = events(tmp_path / "audit.1", "opened")
    served.waitFor("(?s)(alice is told.*){4}")
    assert (started["user"], started["source"], started["method"]) == ("alice", CALLER, "mschapv2")
    assert opened["addresses"] == [f"{call['address']}/32"]
    assert ended["code"] == 1 and ended["packetsReceived"] == ended["packetsSent"] == 3
    logged = re.search(r"(\d+) octets received, (\d+) sent: (.*)", served.text)
    assert logged
    figures = (ended["octetsReceived"], ended["octetsSent"])
    assert figures == (int(logged[1]), int(logged[2])) and ended["cause"] == logged[3]
    columns = "identifier, octets_received, octets_sent, code, addresses"
    assert rows(store, columns) == [(started["session"], *figures, 1, f"{call['address']}/32")]
    log = (tmp_path / "log").read_text().splitlines()
    told = [line for line in log if re.match("(auth|ip)-", line)]
    addresses = f"pptp0 none 0 {LOCAL} {call['address']} {CALLER}"
    assert told == [
        "auth-up pptp0 alice root none 0",
        f"ip-up {addresses}",
        f"ip-down {addresses}",
        "auth-down pptp0 alice root none 0",
    ]
    assert log.count("done") == 4
    for line in (f"IPREMOTE={call['address']}", f"LINKNAME={started['session']}"):
        assert line in log
    assert f"BYTES_RCVD={figures[0]}" in log and f"BYTES_SENT={figures[1]}" in log
    assert not [line for line in log if line.startswith(("HOME=", "PYTHON", "USER="))]


def test_whatTheGatewayOwesWhenItStops(serve: Serve, client: Start, tmp_path: Path) -> None:
    """
    A gateway that stops writes the end of each session to the audit and the store, and runs
    ip-down.
    """
    audit, store = tmp_path / "audit", tmp_path / "sessions.sqlite"
    served = serve(
        audit={"file": str(audit), "store": f"sqlite:{store}"},
        hooks=scripts(tmp_path, "ip-down"),
    )
    dialling = client()
    for _ in range(3):
        dialling.dial()
    assert served.interrupt() == 0
    assert [one["code"] for one in events(audit, "ended", 3) if one["event"] == "ended"] == [7] * 3
    assert rows(store, "code") == [(7,)] * 3
    log = (tmp_path / "log").read_text().splitlines()
    assert log.count("done") == 3


@pytest.mark.parametrize("kept", [True, False], ids=["store", "audit"])
def test_aGatewayThatWasKilled(
    world: World, serve: Serve, client: Start, tmp_path: Path, kept: bool
) -> None:
    """
    The next run closes the sessions of a killed one in the store and in the audit, with or without
    a store.
    """
    store, audit = tmp_path / "sessions.sqlite", tmp_path / "audit"
    section: dict[str, object] = {"file": str(audit)}
    if kept:
        section["store"] = f"sqlite:{store}"
    sections: dict[str, dict[str, object]] = {"audit": section}
    folder = tmp_path / "killed"
    folder.mkdir()
    killed = Served(world, folder, sections)
    dialling = client()
    call = dialling.dial()
    events(audit, "opened")
    deadline = time.monotonic() + 10
    while kept and (not store.exists() or not rows(store, "code")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    killed.interrupt(signal.SIGKILL)
    served = serve(**sections)
    started, opened, ended = events(audit, "ended")
    assert (ended["session"], ended["user"], ended["source"]) == (
        started["session"],
        "alice",
        CALLER,
    )
    assert (ended["code"], ended["cause"]) == (11, "the gateway's run broke off")
    assert (ended["started"], ended["encryption"]) == (started["time"], opened["encryption"])
    assert ended["addresses"] == {"ipv4": [f"{call['address']}/32"]}
    assert ("duration" in ended) is kept
    if kept:
        served.waitFor("1 sessions were open when the gateway ended last")
        assert rows(store, "code, cause") == [(11, "the gateway's run broke off")]
    served.restart()
    assert len(events(audit, "ended")) == 3


def test_rowsOfAKilledRun(world: World, serve: Serve, client: Start, tmp_path: Path) -> None:
    """
    The row of a session that no store had taken before the gateway was killed is in the store after
    the next start, with the cause of the session's end.
    """
    store = tmp_path / "sessions.sqlite"
    file = tmp_path / "audit"
    audit = {"file": str(file), "spool": str(tmp_path / "rows")}
    audit["store"] = "postgresql://127.0.0.1:1/none"
    folder = tmp_path / "killed"
    folder.mkdir()
    killed = Served(world, folder, {"audit": {**audit}})
    dialling = client()
    dialling.dial()
    dialling.ask("close")
    killed.waitFor("sessions can't be written, and wait")
    events(file, "ended")
    # The row goes to the spool at the same time, and another thread writes that.
    time.sleep(0.5)
    killed.interrupt(signal.SIGKILL)
    served = serve(audit={**audit, "store": f"sqlite:{store}"})
    served.waitFor("1 rows of sessions of an earlier run are to be written")
    deadline = time.monotonic() + 10
    while not store.exists() or not rows(store, "code"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert rows(store, "code, name") == [(1, "alice")]
    assert "were open when the gateway ended last" not in served.text


def test_afterPrivilegesWereGivenUp(world: World, client: Start) -> None:
    """
    Scripts run as the user to whom the gateway has changed. The audit continues in the file that
    was opened before, and in new files where that user may make them. The spool belongs to that
    user.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path, mode in ((folder, 0o755), (folder / "open", 0o777)):
            path.mkdir(exist_ok=True)
            path.chmod(mode)
        audit = folder / "open" / "audit"
        log, secrets = folder / "open" / "log", folder / "chap-secrets"
        secrets.touch(0o600)
        secrets.write_text(SECRETS)
        os.chown(secrets, NOBODY, NOBODY)
        hooks = scripts(folder, "ip-up")
        (folder / "ip-up").write_text(SCRIPT.format(log=log))
        configuration = folder / "pptpgw.toml"
        spool = folder / "open" / "rows"
        record = {"file": str(audit), "spool": str(spool)}
        record["store"] = f"sqlite:{folder}/open/sessions.sqlite"
        configuration.write_text(toml({"audit": {**record}, "hooks": hooks}))
        gateway = Program(
            world.gateway,
            folder / "gateway.log",
            *(sys.executable, str(Path(sys.executable).parent / "twistd"), "--nodaemon"),
            *("--pidfile=", f"--uid={NOBODY}", f"--gid={NOBODY}", "pptpgw"),
            *("--config", str(configuration), "--auth", f"chap-secrets:{secrets}"),
        )
        gateway.waitFor("answers on every address")
        dialling = client()
        dialling.dial()
        gateway.waitFor("ip-up: alice is told")
        assert f"ORIG_UID={NOBODY}" in log.read_text().splitlines()
        assert log.stat().st_uid == NOBODY
        files = list(spool.iterdir())
        assert {one.name for one in files} == {"queue.sqlite", "queue.sqlite-wal"}
        assert {one.stat().st_uid for one in (spool, *files)} == {NOBODY}
        assert {one.stat().st_mode & 0o777 for one in files} == {0o600}
        audit.rename(folder / "open" / "audit.1")
        dialling.ask("close")
        (_, ended) = events(audit, "ended")
        assert ended["event"] == "ended" and audit.stat().st_uid == NOBODY
        assert len((folder / "open" / "audit.1").read_text().splitlines()) == 2
        gateway.interrupt()
        assert "Traceback" not in gateway.text, gateway.text


def test_aSpoolOfAnotherUser(world: World) -> None:
    """
    The gateway doesn't start with a spool to which its user can't write.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "rows").mkdir(0o700)
        configuration = folder / "pptpgw.toml"
        audit = {"spool": f"{folder}/rows", "store": f"sqlite:{folder}/sessions.sqlite"}
        configuration.write_text(toml({"audit": {**audit}}))
        gateway = Program(
            world.gateway,
            folder / "gateway.log",
            *(sys.executable, str(Path(sys.executable).parent / "twistd"), "--nodaemon"),
            *("--pidfile=", f"--uid={NOBODY}", f"--gid={NOBODY}", "pptpgw"),
            *("--config", str(configuration), "--auth", "memory:alice:x"),
        )
        gateway.waitFor(f"the spool {folder}/rows can't be used: Permission denied")
        gateway.interrupt()
        assert "Traceback" not in gateway.text, gateway.text


def test_accountingAfterARestart(serve: Serve, tmp_path: Path) -> None:
    """
    The gateway sends the records that it kept when it is started again in the same process.
    """
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text(SECRET)
    one = {"host": "127.0.0.1", "acct-port": freePort(), "secret-file": str(secret)}
    radius = {"spool": str(tmp_path / "spool"), "timeout": 1.0, "deadline": 2.0}
    served = serve(**{"radius": radius, "[radius.server]": one})
    served.waitFor("accounting waits")
    served.restart()
    served.waitFor("2 accounting records of an earlier run are to be sent")
    served.waitFor("(?s)(accounting waits.*){2}")
    assert "there is no RADIUS server" not in served.text
