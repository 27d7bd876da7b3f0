"""
Operators of the whole program: the command makes them, and the gateway that runs knows at once.
"""

from __future__ import annotations

import json
import subprocess
import sys
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography.x509 import IPAddress

from tests.certificates import SERVER, Authority
from tests.integration.conftest import Serve
from tests.integration.world import GATEWAY, World

PPTPGW = str(Path(sys.executable).parent / "pptpgw")

ASK = """
import http.client, ssl, sys
host, file, method, path, token = sys.argv[1:]
context = ssl.create_default_context(cafile=file)
connection = http.client.HTTPSConnection(host, 8723, timeout=20, context=context)
connection.request(method, "/api/v1" + path, headers={"Authorization": "Bearer " + token})
print(connection.getresponse().status)
"""
"""
A program that asks the gateway by TLS.
"""


def test_aTokenFromItsMakingToItsEnd(world: World, serve: Serve, tmp_path: Path) -> None:
    """
    Another machine uses a token by TLS until it is removed, and what it did is in the audit.
    """
    authority, audit = Authority(tmp_path), tmp_path / "audit"
    certificate, key = authority.issue("gw", SERVER, [IPAddress(IPv4Address(GATEWAY))])
    store = f"sqlite:{tmp_path}/accounts.sqlite"

    def operator(*words: str) -> str:
        command = [PPTPGW, "operator", *words, "--store", store]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    operator("add", "robot", "--role", "operator", "--no-password")
    said = operator("token", "add", "robot", "--name", "script", "--json")
    token = json.loads(said)["token"]
    endpoint = f"ssl:8723:interface={GATEWAY}:privateKey={key}:certKey={certificate}"
    served = serve(
        management={"endpoints": [endpoint]},
        accounts={"store": store, "key": f"{tmp_path}/accounts.key"},
        audit={"file": str(audit)},
    )

    def ask(method: str, path: str, token: str = token) -> int:
        words = (GATEWAY, str(authority.certificate), method, path, token)
        return int(world.caller.run(sys.executable, "-c", ASK, *words))

    assert ask("GET", "/status") == 200
    assert ask("DELETE", "/sessions?user=nobody") == 200
    assert ask("POST", "/reload") == 403
    operator("set", "robot", "--role", "viewer")
    assert ask("DELETE", "/sessions?user=nobody") == 403
    operator("token", "remove", "robot", "--name", "script")
    assert ask("GET", "/status") == 401
    assert served.interrupt() == 0
    assert token not in served.text + audit.read_text()
    events = [json.loads(line) for line in audit.read_text().splitlines()]
    acts = [one for one in events if one["event"] == "operated"]
    assert [(one.get("operator", ""), one["action"]) for one in acts] == [
        ("robot", "DELETE /sessions"),
        ("robot", "POST /reload"),
        ("robot", "DELETE /sessions"),
        ("", "login"),
    ]
    assert [one["outcome"] == "done" for one in acts] == [True, False, False, False]


def test_inClear(world: World, serve: Serve) -> None:
    """
    The gateway doesn't start where passwords would pass over a network in clear.
    """
    with pytest.raises(AssertionError, match="would pass in clear"):
        serve(management={"endpoints": ["tcp:8723"]})
