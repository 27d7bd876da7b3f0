"""
Tests for callers whom a FreeRADIUS judges, on this machine's kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Serve
from tests.integration.world import Client, World
from tests.radius.freeradius import PROGRAM, SECRET, FreeRADIUS

Start = Callable[[], Client]

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs FreeRADIUS")

USERS = """
vera Cleartext-Password := "open sesame"
    Framed-IP-Address = 10.77.0.77
leaky Cleartext-Password := "open sesame"
    Filter-Id = "office\\n"
DEFAULT Cleartext-Password := "open sesame"
    Framed-IP-Address = 255.255.255.254
"""
EAP = """
    default_eap_type = mschapv2
    timer_expire = 60
    mschapv2 {
    }
    gtc {
        auth_type = PAP
    }
"""


@pytest.fixture
def radius(world: World, tmp_path: Path) -> Iterator[Callable[[], FreeRADIUS]]:
    """
    A function that starts a FreeRADIUS beside the gateway. It stops after the gateway, which sends
    it records at the end.
    """
    started: list[FreeRADIUS] = []

    def start() -> FreeRADIUS:
        made = FreeRADIUS(
            tmp_path / "radius",
            USERS,
            modules={"eap": EAP},
            authorize=("chap", "mschap", "eap", "files", "pap"),
            authenticate=("pap", "chap", "mschap", "eap"),
        )
        started.append(made)
        made.start(world.gateway.command())
        return made

    yield start
    for one in started:
        one.stop()


def sections(server: FreeRADIUS, folder: Path, **link: object) -> dict[str, dict[str, object]]:
    secret = folder / "secret"
    secret.touch(0o600)
    secret.write_text(SECRET + "\n")
    return {
        "link": link,
        "radius": {"nas-identifier": "gate"},
        "[radius.server]": {
            "host": "127.0.0.1",
            "auth-port": server.authPort,
            "acct-port": server.acctPort,
            "secret-file": str(secret),
        },
    }


@pytest.mark.parametrize("method", ["mschapv2", "mschap"])
def test_trafficUnderTheServersKeys(
    radius: Callable[[], FreeRADIUS],
    serve: Serve,
    client: Start,
    tmp_path: Path,
    method: str,
) -> None:
    """
    Each end decrypts what the other one encrypts with the keys that the server sends.
    """
    one = radius()
    served = serve(auth="radius", **sections(one, tmp_path, authentication=[method]))
    calling = client()
    call = calling.ask("call", "vera", "open sesame", 1400, method)
    assert call["address"] == "10.77.0.77"
    assert call["encryption"] == "MPPE 128 bit stateless"
    for _ in range(5):
        assert calling.ask("ping", call["number"]) == {}
    other = calling.ask("call", "somebody", "open sesame", 1400, method)
    assert other["address"] not in ("10.77.0.77", "255.255.255.254")
    assert calling.ask("ping", other["number"]) == {}
    assert "open sesame" not in served.text and SECRET not in served.text


def test_aFilterThatCantBeRead(
    radius: Callable[[], FreeRADIUS], serve: Serve, client: Start, tmp_path: Path
) -> None:
    """
    A caller whose filter has a name that can't be read is refused.
    """
    served = serve(auth="radius", **sections(radius(), tmp_path))
    assert "error" in client().ask("call", "leaky", "open sesame", 1400)
    served.waitFor("accepts 'leaky', which can't be obeyed: Filter-Id: no text")


def test_EAPPassedThrough(
    radius: Callable[[], FreeRADIUS], serve: Serve, client: Start, tmp_path: Path
) -> None:
    """
    The EAP method, MS-CHAPv2 here, is between the caller and the server, and the server sends the
    keys.
    """
    serve(
        auth="radius",
        eap={"methods": ["radius"]},
        **sections(radius(), tmp_path, authentication=["eap"]),
    )
    calling = client()
    call = calling.ask("call", "vera", "open sesame", 1400, "eap")
    assert call["encryption"] == "MPPE 128 bit stateless"
    assert call["address"] == "10.77.0.77"
    assert calling.ask("ping", call["number"]) == {}


def test_aMethodOfAThirdParty(
    radius: Callable[[], FreeRADIUS],
    serve: Serve,
    client: Callable[..., Client],
    tmp_path: Path,
    example: Path,
) -> None:
    """
    The caller's end of the EAP-GTC of tests/example proves itself to the server with the right
    password alone, after a Nak of the method that the server begins with.
    """
    serve(
        auth="radius",
        eap={"methods": ["radius"]},
        **sections(radius(), tmp_path, authentication=["eap"], encryption="off"),
    )
    calling = client(example)
    call = calling.ask("call", "vera", "open sesame", 1400, "eap:gtc")
    assert (call["address"], call["encryption"]) == ("10.77.0.77", "not encrypted")
    assert calling.ask("ping", call["number"]) == {}
    assert "error" in calling.ask("call", "vera", "open barley", 1400, "eap:gtc")


@pytest.mark.parametrize("method", ["mschapv2", "eap"])
def test_theWrongPassword(
    radius: Callable[[], FreeRADIUS], serve: Serve, client: Start, tmp_path: Path, method: str
) -> None:
    eap = {"eap": {"methods": ["radius"]}} if method == "eap" else {}
    served = serve(auth="radius", **eap, **sections(radius(), tmp_path, authentication=[method]))
    answer = client().ask("call", "vera", "open barley", 1400, method)
    assert "error" in answer
    served.waitFor("'vera' is refused, by .*: no such user or wrong password")
    served.waitFor("call ended without a session")


def test_aServerThatIsntThere(
    radius: Callable[[], FreeRADIUS], serve: Serve, client: Start, tmp_path: Path
) -> None:
    """
    The call ends soon after the server's time-out and not before, and the log reports an outage.
    """
    one = radius()
    configured = sections(one, tmp_path)
    configured["radius"] |= {"timeout": 1, "deadline": 2}
    one.kill()
    served = serve(auth="radius", **configured)
    assert "error" in client().ask("call", "vera", "open sesame", 1400)
    served.waitFor("is dead: 127.0.0.1, port [0-9]+: nobody listens there")
    served.waitFor("an outage begins: .*: no RADIUS server answered within 2 s")
