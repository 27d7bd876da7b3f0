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

from pptpgw.tunnels.sstp.certificate import loaded
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
    assert said["tunnel"] == "pptp"


def test_bySSTP(world: World, serve: Serve, tmp_path: Path) -> None:
    """
    Each stage of SSTP has its time. The gateway is known by the fingerprint of its certificate, and
    one that has another is told by that, as is one that nobody vouches for.
    """
    made = tmp_path / "sstp.pem"
    section = {"certificate": str(made), "endpoints": ["tcp:443"]}
    serve(listen={"tunnels": ["pptp", "sstp"]}, sstp=section)
    fingerprint = loaded(str(made), "", False).fingerprint
    sstp = f"sstp:{GATEWAY}"
    said = call(world, *LOGIN, "--fingerprint", fingerprint, address=sstp)
    assert said["succeeded"], said
    assert [one["stage"] for one in said["stages"]] == [
        *("TCP", "TLS", "HTTP", "SSTP", "LCP", "authentication", "binding", "IPCP")
    ]
    assert (said["tunnel"], said["encryption"]) == ("sstp", "encrypted by the tunnel")
    said = call(world, "--fingerprint", "00" * 32, address=sstp)
    assert (said["succeeded"], said["failed"]) == (False, "TLS")
    assert said["reason"].endswith(f"another fingerprint, {fingerprint}")
    said = call(world, address=sstp)
    assert said["failed"] == "TLS" and "is for another name" in said["reason"]
    assert "fingerprint" in said["advice"]
    said = call(world, *LOGIN, "--fingerprint", fingerprint, password="wrong", address=sstp)
    assert (said["failed"], said["stages"][-1]["stage"]) == ("authentication", "LCP")
    assert "there is no secret-file=" in call(world, "--secret-file", str(made), address=sstp)


def test_byL2TP(world: World, serve: Serve, tmp_path: Path) -> None:
    """
    Each stage of L2TP has its time, with a secret, and a wrong secret is told.
    """
    secrets, secret = tmp_path / "secrets", tmp_path / "secret"
    for path, text in ((secrets, "* sesame\n"), (secret, "sesame\n")):
        path.touch(0o600)
        path.write_text(text)
    l2tp = {"clear": "accept", "secrets": str(secrets)}
    serve(listen={"tunnels": ["pptp", "l2tp"]}, l2tp=l2tp)
    words = *LOGIN, "--secret-file", str(secret)
    said = call(world, *words, address=f"l2tp:{GATEWAY}")
    assert said["succeeded"], said
    assert [one["stage"] for one in said["stages"]] == [
        *("control connection", "call", "L2TP data", "LCP", "authentication", "CCP", "IPCP")
    ]
    secret.write_text("guess")
    said = call(world, *words, address=f"l2tp:{GATEWAY}")
    assert said["failed"] == "control connection" and "secret" in said["advice"]


def test_onALine(world: World, serve: Serve) -> None:
    serve(listen={"tunnels": ["pptp", "hdlc"]}, hdlc={"endpoints": ["tcp:2000"]})
    said = call(world, *LOGIN, address=f"'hdlc:tcp\\:{GATEWAY}\\:2000'")
    assert said["succeeded"], said
    assert [one["stage"] for one in said["stages"]] == [
        *("connection", "line", "LCP", "authentication", "CCP", "IPCP")
    ]


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
        "no address of nosuchhost.invalid is known that could be called",
    )


def test_unknownTunnels(world: World) -> None:
    assert 'no client of a tunnel is called "ssh"' in call(world, address="ssh:192.0.2.1")


def test_withoutPrivileges(world: World) -> None:
    """
    Who may not open raw sockets is told so.
    """
    said = call(world, before="setpriv --inh-caps=-net_raw --bounding-set=-net_raw")
    assert said.startswith("pptpgw: ") and "CAP_NET_RAW" in said
