"""
Tests of C{pptpgw test call} over a wire and two kernels.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Serve
from tests.integration.world import ALICE, GATEWAY, ROOT, World


def call(
    world: World,
    *words: str,
    password: str = ALICE[1],
    before: str = "",
    address: str = GATEWAY,
) -> Any:
    """
    What the command prints, run on the caller's host.
    """
    command = f"{before} {sys.executable} -m pptpgw.command test call {address} {' '.join(words)}"
    script = f"cd {ROOT} && printf '{password}\\n' | {command} --json 2>&1 || test $? = 1"
    text = world.caller.run("sh", "-c", script)
    return json.loads(text) if text.startswith("{") else text


LOGIN = ("--user", ALICE[0], "--stdin")


def test_everyStage(world: World, serve: Serve) -> None:
    """
    Each stage has its time, one after the other, and what was agreed on is told.
    """
    serve()
    said = call(world, *LOGIN)
    stages = [one["stage"] for one in said["stages"]]
    assert said["succeeded"] and said["failed"] is None
    assert sorted(stages) == sorted(
        ["TCP", "control connection", "call", "GRE", "LCP", "authentication", "CCP", "IPCP"]
    )
    times = [one["seconds"] for one in said["stages"]]
    assert times == sorted(times) and times[0] > 0
    assert said["encryption"] == "MPPE 128 bit stateless"
    assert said["address"].startswith("10.77.0.")


def test_asTheConfigurationHasIt(world: World, serve: Serve, tmp_path: Path) -> None:
    """
    With a configuration the call is as one of those that it permits: here by CHAP, in clear.
    """
    serve(link={"authentication": ["chap"], "encryption": "off"})
    said = call(world, *LOGIN)
    assert (said["succeeded"], said["failed"]) == (False, "LCP")
    file = tmp_path / "caller.toml"
    file.write_text('[link]\nauthentication = ["eap", "chap"]\nencryption = "off"\n')
    said = call(world, *LOGIN, "--config", str(file))
    assert said["succeeded"] and said["encryption"] == "not encrypted"
    file.write_text('[link]\nauthentication = ["eap"]\n')
    assert "no protocol with a password but EAP" in call(world, "--config", str(file))


def test_withoutUser(world: World, serve: Serve) -> None:
    """
    Without a user it is told whether GRE passes.
    """
    serve()
    said = call(world)
    assert said["succeeded"] and said["stages"][-1]["stage"] == "GRE"


def test_wrongPassword(world: World, serve: Serve) -> None:
    serve()
    said = call(world, *LOGIN, password="wrong")
    assert (said["succeeded"], said["failed"]) == (False, "authentication")
    assert "password" in said["advice"]


@pytest.mark.parametrize(
    ("hook", "reason"),
    [("input", "frames arrive from there, but ours aren't answered"), ("output", "no answer")],
)
def test_blocked(world: World, serve: Serve, hook: str, reason: str) -> None:
    """
    A firewall that drops GRE, in one direction or the other, is told from everything else.
    """
    if shutil.which("nft") is None:
        pytest.skip("needs nft")
    serve()
    rules = f"{{ type filter hook {hook} priority 0; }}; add rule inet t c meta l4proto gre drop"
    world.gateway.run("nft", f"add table inet t; add chain inet t c {rules}")
    try:
        said = call(world, *LOGIN, "--timeout", "3")
    finally:
        world.gateway.run("nft", "delete", "table", "inet", "t")
    assert (said["succeeded"], said["failed"]) == (False, "GRE")
    assert said["reason"].startswith(reason) and "protocol 47" in said["advice"]


def test_nobody(world: World) -> None:
    said = call(world)
    assert (said["succeeded"], said["failed"], said["reason"]) == (
        False,
        "TCP",
        "nobody listens there",
    )
    said = call(world, address="nosuchhost.invalid")
    assert (said["failed"], said["reason"]) == (
        "TCP",
        "no machine with IPv4 is called nosuchhost.invalid",
    )


def test_withoutPrivileges(world: World) -> None:
    """
    Who may not open raw sockets is told so.
    """
    said = call(world, before="setpriv --inh-caps=-net_raw --bounding-set=-net_raw")
    assert said.startswith("pptpgw: ") and "CAP_NET_RAW" in said
