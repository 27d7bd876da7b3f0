"""
Tests for the data path within the kernel with Linux' own L2TP. Debian's xl2tpd and pppd call.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.l2tp import XL2TPD
from tests.lab.peers import LOCAL_ADDRESS, Network, run
from tests.lab.server import ALICE, BOB, Gateway, StartGateway
from tests.lab.test_kernel import devices

SECTIONS: dict[str, Any] = {
    "listen": {"tunnels": ["pptp", "l2tp"]},
    "l2tp": {"clear": "accept"},
}


@pytest.fixture
def path() -> str:
    """
    The data path of gateways whose test doesn't name one.
    """
    return "kernel"


@pytest.fixture(autouse=True)
def module() -> Iterator[None]:
    """
    Load the module, which isn't loaded when a kernel boots.
    """
    run("modprobe", "-d", "/run/lab/modroot", "l2tp_ppp")
    yield


def shown(network: Network, gateway: Gateway, user: str) -> dict[str, Any]:
    """
    Return what C{pptpgw session show} says of a user's session.
    """
    configuration = str(gateway.log.parent / "pptpgw.toml")
    command = [sys.executable, "-m", "pptpgw.command", "session", "show", user, "--json"]
    found: dict[str, Any] = json.loads(network.gateway.run(*command, "-c", configuration))
    return found


def tunnels(network: Network) -> str:
    """
    Return what the kernel says of the gateway's tunnels of L2TP.
    """
    lines = network.gateway.run("cat", "/proc/net/pppol2tp").splitlines()
    return "\n".join(line for line in lines if line.startswith(("TUNNEL '", "  SESSION '")))


def connected(network: Network) -> list[str]:
    """
    Return the peers of the gateway's UDP sockets for L2TP.
    """
    rows = [line.split() for line in network.gateway.run("cat", "/proc/net/udp").splitlines()[1:]]
    return [row[2] for row in rows if row[1].endswith(":06A5") and row[2] != "00000000:0000"]


def assertGone(network: Network) -> None:
    """
    Assert that soon nothing is left of calls: no device, no tunnel in the kernel, and no socket.
    """
    deadline = time.monotonic() + 10
    while left := (devices(network), tunnels(network), connected(network)):
        if left == ([], "", []):
            return
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_aCall(network: Network, startGateway: StartGateway, tmp_path: Path) -> None:
    """
    A call in clear has a device of its own and is counted exactly; when it is hung up, and when its
    caller vanishes, nothing is left of it. Another one calls from the same address and port.
    """
    gateway = startGateway(
        **SECTIONS,
        link={"encryption": "off", "echo-interval": 1, "echo-failures": 2},
        management={"endpoints": [f"unix:{tmp_path / 'gateway.socket'}"]},
    )
    host = network.host()
    caller = XL2TPD(host, *ALICE).up()
    assert devices(network) == ["ppp1"]
    assert tunnels(network).count("SESSION") == 2 and len(connected(network)) == 1
    caller.ping(LOCAL_ADDRESS, "-s", "1000", count=10)
    time.sleep(1.2)
    found = shown(network, gateway, "alice")
    assert (found["interface"], found["path"], found["number"]) == ("ppp1", "kernel", 1)
    for direction in ("received", "sent"):
        assert found[f"octets_{direction}"] == 10 * 1028
        assert found[f"packets_{direction}"] == 10
    assert found["discards"] == {}
    caller.disconnect()
    gateway.waitFor(f"{10 * 1028} octets received, {10 * 1028} sent")
    assertGone(network)
    caller.stop()
    again = XL2TPD(host, *BOB).up()
    again.ping(count=3)
    again.stop(signal.SIGKILL)
    gateway.waitFor("bob from .* ended after.*Echo-Requests")
    gateway.shutDown()
    assertGone(network)
