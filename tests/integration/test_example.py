"""
Tests that run the third party's packages in C{tests/example} in the whole program, over a wire and
two kernels.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from tests.integration.test_twistd import FOREGROUND, SERVES
from tests.integration.world import ALICE, GATEWAY, METER, ROOT, SECRETS, Client, Program, World
from tests.lab.server import Sections, toml


def test_twistdListsIt(example: Path) -> None:
    done = subprocess.run(
        ["env", f"PYTHONPATH={example}", *FOREGROUND, "--help-network"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0
    assert {"ipv4", "quote"} <= {line.split()[0] for line in done.stdout.splitlines() if line}
    assert done.stderr == ""


def test_aCallUsesAllOfIt(world: World, tmp_path: Path, example: Path) -> None:
    """
    C{pip install} and three names in the configuration are enough to use the plugins.
    """
    path, journal = tmp_path / "pptpgw.toml", tmp_path / "journal"
    sections: Sections = {
        "ipv4": {"allocator": "sticky:10.88.0.0/24"},
        "plugins": {"observers": [f"journal:{journal}"]},
        "quote": {"text": "Empty vessels make the most noise."},
        "eap.gtc": {"prompt": "Nobody asks."},
    }
    path.write_text(toml(sections))
    secrets = tmp_path / "chap-secrets"
    secrets.touch(0o600)
    secrets.write_text(SECRETS)
    program = Program(
        world.gateway,
        tmp_path / "twistd.log",
        *("env", f"PYTHONPATH={example}", *FOREGROUND, "--auth", f"chap-secrets:{secrets}"),
        *("--config", str(path), "--network", "ipv4,quote"),
    )
    program.waitFor(SERVES)
    program.waitFor(
        r"\[eap.gtc\] stands in the configuration, but \[eap\] methods doesn't name gtc"
    )
    caller = [sys.executable, str(Path(__file__).parent / "quoting.py"), GATEWAY, *ALICE]
    done = subprocess.run(
        world.caller.command("env", f"PYTHONPATH={ROOT}:{example}", *caller),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr + program.text
    report = json.loads(done.stdout)
    assert report["quote"] == "Empty vessels ma"
    assert report["granted"] == {"1": "10", "2": "01"}
    assert IPv4Address(report["address"]) in IPv4Network("10.88.0.0/24")
    assert report["pong"] is True
    assert report["encryption"] == "MPPE 128 bit stateless"

    assert program.interrupt() in (0, -signal.SIGINT)
    assert "Traceback" not in program.text
    events = [line.split()[1:3] for line in journal.read_text().splitlines()]
    assert events[0] == ["start"]
    assert sorted(events[1:3]) == [["opened", "ipv4"], ["opened", "quote"]]
    assert sorted(events[3:5]) == [["closed", "ipv4"], ["closed", "quote"]]
    assert [event[0] for event in events[5:]] == ["end"]


def test_itsEAPMethod(
    world: World, tmp_path: Path, example: Path, client: Callable[..., Client]
) -> None:
    """
    The EAP method works at both ends, between two programs.
    """
    path = tmp_path / "pptpgw.toml"
    path.write_text(
        '[link]\nencryption = "off"\nauthentication = ["eap"]\n'
        '[eap]\nmethods = ["gtc"]\n[eap.gtc]\nprompt = "Say friend"\n'
    )
    secrets = tmp_path / "chap-secrets"
    secrets.touch(0o600)
    secrets.write_text(SECRETS)
    program = Program(
        world.gateway,
        tmp_path / "twistd.log",
        *("env", f"PYTHONPATH={example}", *FOREGROUND, "--auth", f"chap-secrets:{secrets}"),
        *("--config", str(path)),
    )
    program.waitFor(SERVES)
    calling = client(example)
    call = calling.ask("call", *ALICE, 1400, "eap:gtc")
    assert call["encryption"] == "not encrypted"
    assert calling.ask("ping", call["number"]) == {}
    assert "error" in calling.ask("call", ALICE[0], "wrong", 1400, "eap:gtc")
    program.waitFor("'alice' is refused, by eap: no such user or wrong password")
    assert program.interrupt() in (0, -signal.SIGINT)
    assert "Traceback" not in program.text
    assert ALICE[1] not in program.text


def test_usersInAFileOfJSON(
    world: World, tmp_path: Path, example: Path, client: Callable[[], Client]
) -> None:
    """
    C{--auth json:FILE} lets the file's users in, with their addresses, and nobody else.
    """
    users = {ALICE[0]: {"password": ALICE[1], "address": "10.99.0.8"}}
    (tmp_path / "users.json").write_text(json.dumps(users))
    program = Program(
        world.gateway,
        tmp_path / "twistd.log",
        *("env", f"PYTHONPATH={example}", *FOREGROUND, "--auth", f"json:{tmp_path}/users.json"),
    )
    program.waitFor(SERVES)
    dialling = client()
    assert "error" in dialling.ask("call", *METER, 1400)
    program.waitFor("'meter' is refused")
    call = dialling.dial()
    assert call["address"] == "10.99.0.8"
    assert dialling.ask("ping", call["number"]) == {}
    assert program.interrupt() in (0, -signal.SIGINT)
    assert "Traceback" not in program.text
