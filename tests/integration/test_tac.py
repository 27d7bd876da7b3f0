"""
Tests that run the C{.tac} files of C{tap} with other paths.
"""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_twistd import SERVES, TWISTD
from tests.integration.world import (
    ALICE,
    CALLER,
    LOCAL,
    METER,
    ROOT,
    SECRETS,
    Client,
    Program,
    World,
    devices,
)
from tests.lab.peers import Namespace

GET = f"""
import urllib.error, urllib.request
try:
    with urllib.request.urlopen("http://{LOCAL}/", timeout=5) as answer:
        print(answer.status, answer.read().decode(), sep="\\n")
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode(), sep="\\n")
"""


TACS = sorted(path.name for path in (ROOT / "tap").glob("*.tac"))


@pytest.fixture
def run(world: World, tmp_path: Path) -> Callable[[str], Program]:
    """
    Start a file of C{tap} in the gateway's namespace.
    """

    def start(name: str) -> Program:
        (tmp_path / "pptpgw.toml").write_text("")
        secrets = tmp_path / "chap-secrets"
        secrets.touch(0o600)
        secrets.write_text(SECRETS)
        text = (ROOT / "tap" / name).read_text()
        assert "/etc/pptpgw/" in text
        (tmp_path / name).write_text(text.replace("/etc/pptpgw/", f"{tmp_path}/"))
        program = Program(
            world.gateway,
            tmp_path / "twistd.log",
            *(*TWISTD, "--pidfile=", "-noy", str(tmp_path / name)),
        )
        program.waitFor(SERVES)
        return program

    return start


def test_everyFileIsRun() -> None:
    """
    Every file of C{tap} is run here or by L{tests.integration.test_documents}, and what is for
    Prometheus by L{tests.integration.test_prometheus}.
    """
    others = {"README.md", "pptpgw.service", "pptpgw.toml", "prometheus"}
    assert {path.name for path in (ROOT / "tap").iterdir()} - {"__pycache__"} == {*TACS, *others}


@pytest.mark.parametrize("name", TACS)
def test_aRefusedCaller(
    run: Callable[[str], Program], client: Callable[[], Client], name: str
) -> None:
    """
    The gateway of each file refuses a caller with a wrong password, and serves the next one.
    """
    program = run(name)
    dialling = client()
    assert "error" in dialling.ask("call", "alice", "open barley", 1400)
    program.waitFor("'alice' is refused")
    assert dialling.ask("ping", dialling.dial()["number"]) == {}
    assert program.interrupt() in (0, -signal.SIGINT)
    assert "Traceback" not in program.text, program.text
    assert "#critical" not in program.text, program.text


def test_theApplicationOfREADME(world: World, tmp_path: Path, client: Callable[[], Client]) -> None:
    """
    The application in README.md runs, and has the name in its configuration.
    """
    text, _ = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    secrets = tmp_path / "chap-secrets"
    secrets.touch(0o600)
    secrets.write_text('alice gate "open sesame" *\n')
    assert "/etc/ppp/chap-secrets" in text
    (tmp_path / "readme.tac").write_text(text.replace("/etc/ppp/chap-secrets", str(secrets)))
    arguments = (*TWISTD, "--pidfile=", "-noy", str(tmp_path / "readme.tac"))
    program = Program(world.gateway, tmp_path / "twistd.log", *arguments)
    program.waitFor(SERVES)
    dialling = client()
    assert dialling.ask("ping", dialling.dial()["number"]) == {}
    assert program.interrupt() in (0, -signal.SIGINT)


def test_theSessionsAsJSON(
    world: World, run: Callable[[str], Program], client: Callable[[], Client]
) -> None:
    """
    The API lists the sessions, and finds each by its caller's address. Callers can't reach the
    site.
    """
    program = run("sessions.tac")
    dialling = client()
    assert fetch(world.gateway, "") == (200, [])
    calls = [dialling.dial(who) for who in (ALICE, METER)]
    status, listed = fetch(world.gateway, "")
    assert status == 200
    assert sorted(one["user"] for one in listed) == ["alice", "meter"]
    for call, (name, _) in zip(calls, (ALICE, METER), strict=True):
        dialling.ask("ping", call["number"])
        status, found = fetch(world.gateway, call["address"])
        assert (status, found["user"], found["caller"]) == (200, name, CALLER)
        assert found["networks"] == {"ipv4": [f"{call['address']}/32"]}
        assert found["octetsReceived"] >= 28
    for address in ("192.0.2.200", "..%2Fetc", "10.77.0.10/x", "%FF"):
        status, answer = fetch(world.gateway, address)
        assert (status, list(answer)) == (404, ["error"])
    assert "cause" in dialling.ask("hangUp", calls[0]["number"])
    assert [one["user"] for one in fetch(world.gateway, "")[1]] == ["meter"]
    listening = world.gateway.run("ss", "-Hltn", "sport = 8723").split()
    assert listening[3] == "127.0.0.1:8723"
    assert program.interrupt() in (0, -signal.SIGINT)
    assert "Traceback" not in program.text


def fetch(namespace: Namespace, path: str) -> tuple[int, Any]:
    """
    The status and the decoded JSON of C{path} at the API.
    """
    script = GET.replace(f"http://{LOCAL}/", f"http://127.0.0.1:8723/{path}")
    status, text = namespace.run(sys.executable, "-c", script).split("\n", 1)
    return int(status), json.loads(text)


def get(namespace: Namespace) -> tuple[int, dict[str, str]]:
    """
    The status of the site's page for a host, and its lines by their titles.
    """
    lines = namespace.run(sys.executable, "-c", GET).splitlines()
    return int(lines[0]), dict(line.partition(": ")[::2] for line in lines[1:] if line)


def test_theGatewayInAnApplication(
    world: World, run: Callable[[str], Program], client: Callable[[], Client]
) -> None:
    before = devices(world.gateway)
    program = run("gateway.tac")
    dialling = client()
    assert dialling.ask("ping", dialling.dial()["number"]) == {}
    assert program.interrupt() in (0, -signal.SIGINT)
    assert devices(world.gateway) == before


def test_theSiteKnowsWhoIsAsking(
    world: World, run: Callable[[str], Program], client: Callable[[], Client]
) -> None:
    """
    The site shows callers their own sessions, and tells a host behind the gateway that it has none.
    """
    before = devices(world.gateway)
    program = run("web.tac")
    dialling = client()
    for calls, (who, addresses) in enumerate(
        [(ALICE, "10.77.0."), (METER, "10.99.0.7/32"), (ALICE, "10.77.0.")]
    ):
        call = dialling.dial(who)
        dialling.ask("kernel", call["number"])
        status, shown = get(world.caller)
        assert status == 200
        assert shown["user"] == who[0]
        assert shown["calling from"] == CALLER
        assert shown["protocol ipv4"].startswith(addresses)
        assert shown["protocol ipv4"] == f"{call['address']}/32"
        assert shown["authentication"] == "mschapv2"
        assert shown["encryption"] == "MPPE 128 bit stateless"
        assert shown["since"].endswith((" 0 s", " 1 s", " 2 s", " 3 s"))
        # What has just come, the request, may not be counted yet: the first one is by the second.
        _, again = get(world.caller)
        packets, _, octets, _ = again["received"].replace(",", "").split()
        assert int(packets) >= 3
        assert int(octets) >= 120
        assert shown["calls since the start"] == ("2" if calls == 2 else "1")
        assert "cause" in dialling.ask("hangUp", call["number"])
        world.caller.ip(f"link del tun{call['number']}")
    status, shown = get(world.inside)
    assert (status, list(shown)) == (403, ["No session has the address 198.51.100.2."])
    assert program.interrupt() in (0, -signal.SIGINT)
    assert "Traceback" not in program.text
    assert devices(world.gateway) == before


def test_theSiteListensInTheTunnelsOnly(world: World, run: Callable[[str], Program]) -> None:
    run("web.tac")
    listening = world.gateway.run("ss", "-Hltn", "sport = 80").split()
    assert listening[3] == f"{LOCAL}:80"


def test_withoutTheTunnelsThereIsNoSite(
    world: World, tmp_path: Path, run: Callable[[str], Program]
) -> None:
    """
    The site doesn't start when the gateway can't start.
    """
    world.gateway.ip("link add pptp0 type veth peer name peer0")
    try:
        with pytest.raises(AssertionError, match=r"interface pptp0"):
            run("web.tac")
    finally:
        world.gateway.ip("link del pptp0")
    assert "Site starting" not in (tmp_path / "twistd.log").read_text()
