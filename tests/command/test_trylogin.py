"""
Tests of C{pptpgw test login}.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.command.invocation import Command


@pytest.fixture
def judging(configuration: Path) -> Path:
    """
    The configuration, with the store as the checker.
    """
    with configuration.open("a") as file:
        file.write(
            '[auth]\ncheckers = ["accounts"]\n'
            '[link]\nauthentication = ["mschapv2", "chap", "pap"]\nencryption = "prefer"\n'
        )
    return configuration


async def tried(pptpgw: Command, *words: str, password: str = "sesame") -> tuple[int, list[Any]]:
    done = await pptpgw("test", "login", *words, "--stdin", "--json", stdin=f"{password}\n")
    assert done.error == ""
    return done.status, json.loads(done.out)["methods"]


async def test_accepted(judging: Path, pptpgw: Command) -> None:
    """
    A right password is accepted by every protocol, with the attributes of the session.
    """
    await pptpgw(
        "user", "add", "bob", "--stdin", "--recoverable", "--send-rate", "2M", stdin="sesame\n"
    )
    status, methods = await tried(pptpgw, "bob")
    assert status == 0
    assert [(one["method"], one["reason"]) for one in methods] == [
        ("mschapv2", "accepted"),
        ("chap", "accepted"),
        ("pap", "accepted"),
    ]
    assert all(one["attributes"] == {"send_rate": 2_000_000} for one in methods)
    done = await pptpgw("test", "login", "bob", typed=("sesame",))
    assert done.status == 0
    assert done.out.startswith("bob by mschapv2: accepted\n  send-rate  2000000\n")


async def test_domain(judging: Path, pptpgw: Command) -> None:
    """
    A user who logs in with a Windows domain is found without it, as by the gateway.
    """
    await pptpgw("user", "add", "bob", "--stdin", "--recoverable", stdin="sesame\n")
    assert (await tried(pptpgw, "OFFICE\\bob"))[0] == 0


async def test_refused(judging: Path, pptpgw: Command) -> None:
    """
    The reason of each refusal is told, which a caller isn't told.
    """
    await pptpgw("user", "add", "bob", "--stdin", "--recoverable", stdin="sesame\n")
    status, methods = await tried(pptpgw, "bob", password="open")
    assert (status, {one["reason"] for one in methods}) == (1, {"refused: the password is wrong"})
    status, methods = await tried(pptpgw, "carol")
    assert status == 1 and "no user carol" in methods[0]["reason"]
    await pptpgw("user", "disable", "bob")
    status, methods = await tried(pptpgw, "bob")
    assert status == 1 and "is right, but bob is disabled" in methods[0]["reason"]


async def test_recoverable(judging: Path, pptpgw: Command) -> None:
    """
    CHAP needs the password itself; the others are content with its hash.
    """
    await pptpgw("user", "add", "bob", "--stdin", stdin="sesame\n")
    status, methods = await tried(pptpgw, "bob")
    assert status == 1
    assert [one["accepted"] for one in methods] == [True, False, True]
    assert "needs a recoverable password" in methods[1]["reason"]


async def test_whenAndWhere(judging: Path, pptpgw: Command) -> None:
    """
    Hours, sources if an address is given, and the expiry of the password are judged.
    """
    add = ("user", "add", "bob", "--stdin", "--recoverable", "--sources", "192.0.2.0/24")
    await pptpgw(*add, stdin="sesame\n")
    assert (await tried(pptpgw, "bob"))[0] == 0
    assert (await tried(pptpgw, "bob", "--from", "192.0.2.7"))[0] == 0
    status, methods = await tried(pptpgw, "bob", "--from", "198.51.100.1")
    assert (status, methods[0]["reason"]) == (1, "refused: bob may not call from 198.51.100.1")
    done = await pptpgw("test", "login", "bob", "--stdin", "--from", "office")
    assert done.status == 2 and "--from office: " in done.error
    later = (datetime.now() + timedelta(days=3)).strftime("%a")[:2]
    await pptpgw("user", "set", "bob", "--hours", later)
    status, methods = await tried(pptpgw, "bob")
    assert (status, methods[0]["reason"]) == (
        1,
        f"refused: bob may call in its hours only: {later}",
    )
    await pptpgw("user", "set", "bob", "--hours", "", "--tunnels", "pptp,hdlc")
    status, methods = await tried(pptpgw, "bob")
    assert (status, methods[0]["reason"]) == (0, "accepted, for calls by hdlc or pptp only")
    await pptpgw("user", "set", "bob", "--expires", "now")
    assert "has expired" in (await tried(pptpgw, "bob"))[1][0]["reason"]


async def test_tunnel(judging: Path, pptpgw: Command) -> None:
    """
    Whether an account may come by a tunnel is said, by the methods that the tunnel's section
    permits; of one that has expired, too.
    """
    text = judging.read_text()
    text += '[listen]\ntunnels = ["pptp", "sstp"]\n[sstp]\nauthentication = ["pap"]\n'
    judging.write_text(text)
    add = ("user", "add", "bob", "--stdin", "--recoverable", "--tunnels", "sstp")
    await pptpgw(*add, stdin="sesame\n")
    barred = "refused: bob may not call by pptp, only by sstp"
    status, methods = await tried(pptpgw, "bob", "--tunnel", "pptp")
    assert (status, {one["reason"] for one in methods}) == (1, {barred})
    status, methods = await tried(pptpgw, "bob", "--tunnel", "sstp", "--from", "192.0.2.7")
    assert (status, [(one["method"], one["reason"]) for one in methods]) == (
        0,
        [("pap", "accepted")],
    )
    await pptpgw("user", "set", "bob", "--expires", "now")
    assert (await tried(pptpgw, "bob", "--tunnel", "pptp"))[1][0]["reason"] == barred
    assert "has expired" in (await tried(pptpgw, "bob", "--tunnel", "sstp"))[1][0]["reason"]
    done = await pptpgw("test", "login", "bob", "--stdin", "--tunnel", "l2tp", stdin="sesame\n")
    assert done.status == 1 and "[listen] tunnels has pptp, sstp" in done.error


async def test_unjudged(configuration: Path, pptpgw: Command) -> None:
    """
    Without a checker there is nothing to try, and an outage isn't taken for a wrong password.
    """
    done = await pptpgw("test", "login", "bob", "--stdin", stdin="sesame\n")
    assert done.status == 1 and "[auth] checkers" in done.error
    with configuration.open("a") as file:
        file.write('[auth]\ncheckers = ["accounts"]\n')
    done = await pptpgw("test", "login", "bob", "--stdin", stdin="sesame\n")
    assert done.status == 1 and "there is no store" in done.out + done.error
