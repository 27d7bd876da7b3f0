"""
Users and lockouts of the whole program, managed over its Unix socket.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.integration.conftest import Serve
from tests.integration.test_management import ask, at
from tests.integration.test_records import Start
from tests.integration.world import CALLER


def test_aUserFromTheFirstCallToTheLast(serve: Serve, client: Start, tmp_path: Path) -> None:
    """
    A user who is made over the socket calls at once, is locked out and let in again, and is
    disconnected when the account is disabled.
    """
    store, path = f"sqlite:{tmp_path}/store/accounts.sqlite", tmp_path / "socket"
    command = [sys.executable, "-m", "pptpgw.command", "user", "add", "first", "--generate"]
    subprocess.run([*command, "--store", store], check=True, capture_output=True, timeout=60)
    served = serve(
        auth="accounts",
        accounts={"store": store, "key": str(tmp_path / "key")},
        limits={"max-failures": 2},
        management=at(path),
    )
    made = {"name": "carol", "password": "of carol", "attributes": {"address": "10.77.0.99"}}
    assert ask(path, "POST", "/users", made)[0] == 200
    dialling = client()
    carol = ("carol", "of carol")
    call = dialling.dial(carol)
    assert call["address"] == "10.77.0.99"
    status, shown = ask(path, "GET", "/users/carol")
    assert status == 200
    assert [one["caller"] for one in shown["current"]] == [CALLER] and shown["lockout"] is None
    assert ask(path, "GET", "/addresses?user=carol")[1]["items"][0]["pool"] == "default"
    change = {"disabled": True}
    assert ask(path, "PATCH", "/users/carol", change)[1]["sessions"] == 1
    ended = ask(path, "PATCH", "/users/carol?now=true", change)[1]["ended"]
    assert ended == [shown["current"][0]["session_id"]]
    assert dialling.ask("ended", call["number"])["cause"]
    for _ in range(2):
        assert "error" in dialling.ask("call", *carol, 1400)
    ask(path, "PATCH", "/users/carol", {"disabled": False})
    assert "error" in dialling.ask("call", *carol, 1400)
    served.waitFor("'carol' is refused, by mschapv2: the user is locked out")
    assert ask(path, "GET", "/users/carol")[1]["lockout"]["enforced"] is True
    assert ask(path, "DELETE", "/lockouts/user/carol")[0] == 200
    assert dialling.dial(carol)["address"] == "10.77.0.99"
    assert "of carol" not in served.text
