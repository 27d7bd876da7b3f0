"""
Tests of C{pptpgw doctor} on the kernel, in a network namespace.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.world import ROOT, World

LISTEN = (
    "import socket, subprocess, sys; "
    "port = socket.create_server(('', 1723)); "
    "sys.exit(subprocess.run(sys.argv[1:]).returncode)"
)
"""
A program that listens on the port while it runs another one.
"""


def examined(world: World, tmp_path: Path, before: str = "") -> list[Any]:
    """
    What is found of the port and the firewall in the gateway's namespace.

    @param before: a command that runs another one.
    """
    file = tmp_path / "pptpgw.toml"
    file.write_text("[management]\nendpoints = []\n")
    command = (
        f"cd {ROOT} && {before} {sys.executable} -m pptpgw.command doctor --json --config {file}"
    )
    found = json.loads(world.gateway.run("sh", "-c", f"{command} || test $? = 1"))
    return [one for one in found["findings"] if one["subject"] in ("firewall", "TCP port 1723")]


def test_kernel(world: World, tmp_path: Path) -> None:
    """
    A rule that drops GRE is found, and so is a program that has the port.
    """
    if shutil.which("nft") is None:
        pytest.skip("needs nft")
    assert {one["level"] for one in examined(world, tmp_path)} == {"ok"}
    world.gateway.run(
        "sh",
        "-c",
        "nft 'add table inet t; add chain inet t in { type filter hook input priority 0; }; "
        "add rule inet t in meta l4proto gre counter drop'",
    )
    try:
        port, tcp, gre = examined(world, tmp_path)
    finally:
        world.gateway.run("nft", "delete", "table", "inet", "t")
    assert (port["level"], tcp["level"], gre["level"]) == ("ok", "ok", "fault")
    assert gre["text"] == "the chain inet t in drops protocol 47 (GRE) of new callers"
    port, *_ = examined(world, tmp_path, f'{sys.executable} -c "{LISTEN}"')
    assert port["level"] == "fault"
    assert re.fullmatch(r"it is taken by python\S* \(process \d+\)", port["text"])
