"""
Tests with users of a FreeRADIUS, with pppd as the caller.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.peers import Network
from tests.lab.server import StartGateway
from tests.lab.test_authentication import EVERY, METHODS, only
from tests.radius.freeradius import PROGRAM, SECRET, FreeRADIUS

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs FreeRADIUS")

USERS = """
vera Cleartext-Password := "open sesame"
    Framed-IP-Address = 10.77.0.77,
    MS-Primary-DNS-Server = 192.0.2.53,
    Reply-Message = "Good morning"
"""


def test_usersOfRADIUS(network: Network, startGateway: StartGateway, tmp_path: Path) -> None:
    """
    Users of RADIUS are let in by every method. The kernels of both ends decrypt what the other
    encrypts with the server's keys.
    """
    server = FreeRADIUS(tmp_path / "radius", USERS)
    server.start(network.gateway.command())
    try:
        secret = tmp_path / "secret"
        secret.touch(0o600)
        secret.write_text(SECRET)
        gateway = startGateway(
            auth="radius",
            link={"encryption": "prefer", **EVERY},
            **{
                "[radius.server]": {
                    "host": "127.0.0.1",
                    "auth-port": server.authPort,
                    "acct-port": server.acctPort,
                    "secret-file": str(secret),
                }
            },
        )
        host = network.host()
        for method in METHODS:
            encrypted = ["require-mppe-128"] if method.startswith("mschap") else []
            call = host.call("vera", "open sesame", *only(method), *encrypted).up()
            assert call.address == "10.77.0.77"
            call.ping()
            call.stop()
            if method == "pap":
                assert "Good morning" in call.text
        wrong = host.call("vera", "a wrong one")
        assert wrong.wait() != 0
        assert "authentication failed" in wrong.text
        for shown in ("open sesame", "a wrong one", SECRET):
            assert shown not in gateway.text
        gateway.shutDown()
    finally:
        server.stop()
