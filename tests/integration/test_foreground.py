"""
C{pptpgw run}, and commands on the gateway that it runs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.integration.world import SECRETS, Client, Program, World, devices
from tests.lab.server import toml

PPTPGW = str(Path(sys.executable).parent / "pptpgw")


def test_theGatewayThatTwistdRuns(
    world: World, tmp_path: Path, client: Callable[[], Client]
) -> None:
    """
    It serves, logs, reloads and ends as C{twistd -n pptpgw} does; and commands see its session, and
    end it.
    """
    secrets, path = tmp_path / "chap-secrets", tmp_path / "pptpgw.toml"
    secrets.touch(0o600)
    secrets.write_text(SECRETS)
    path.write_text(
        toml(
            {
                "auth": {"checkers": [f"chap-secrets:{secrets}"]},
                "management": {"endpoints": [f"unix:{tmp_path}/management.sock:mode=600"]},
            }
        )
    )

    def command(*words: str) -> str:
        done = subprocess.run(
            [PPTPGW, *words, "--config", str(path)], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    before = devices(world.gateway)
    program = Program(world.gateway, tmp_path / "run.log", PPTPGW, "run", "--config", str(path))
    program.waitFor("answers on every address, port 1723")
    dialling = client()
    call = dialling.dial()
    assert dialling.ask("ping", call["number"]) == {}
    (session,) = json.loads(command("sessions", "--json"))
    assert session["addresses"][0] in call.values()
    assert "serving" in command("status")
    os.kill(program.pid, signal.SIGHUP)
    program.waitFor("the configuration was read again")
    assert session["session_id"] in command("disconnect", session["user"])
    program.waitFor("disconnected by uid")
    program.waitFor("disconnected by uid")
    dialling.ask("ended", call["number"])
    assert program.interrupt(signal.SIGTERM) in (0, -signal.SIGTERM)
    assert devices(world.gateway) == before
    assert "Traceback" not in program.text
