"""
Tests for calls that the gateway dials to servers that aren't ours: Debian's pptpd and xl2tpd with
pppd.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.l2tp import LNS
from tests.lab.lines import CAROL
from tests.lab.peers import GATEWAY_ADDRESS, LOCAL_ADDRESS, Host, Network, run
from tests.lab.pptpd import PPTPD
from tests.lab.server import ALICE, Gateway, StartGateway, toml

MPPE = ("require-mschap-v2", "require-mppe-128")
GIVEN = "10.77.0.10"
"""
The address that pptpd gives.
"""

EVERY = pytest.mark.parametrize("path", ["python", "native", "auto"], indirect=True)


def dial(
    folder: Path, host: Host, account: tuple[str, str] = ALICE, **keys: object
) -> dict[str, Any]:
    """
    Return the sections of a gateway that dials C{host}.
    """
    user, password = account
    file = folder / "password"
    file.touch(0o600)
    file.write_text(password)
    return {
        "ipv4": {"local": "10.78.0.1", "pool": []},
        "[dial]": {
            "name": "office",
            "tunnel": "pptp",
            "addresses": [host.address],
            "user": user,
            "password-file": str(file),
            "retry-min": 1,
            "retry-max": 2,
            **keys,
        },
    }


StartPPTPD = Callable[..., PPTPD]


@pytest.fixture
def startPPTPD(tmp_path: Path) -> Iterator[StartPPTPD]:
    """
    A function that starts pptpd on a host, with options of pppd.
    """
    started: list[PPTPD] = []

    def start(host: Host, *options: str) -> PPTPD:
        folder = tmp_path / f"pptpd-{len(started)}"
        started.append(PPTPD(host, folder, options, host.address))
        return started[-1]

    yield start
    for one in started:
        one.end()


def seen(gateway: Gateway, text: str, count: int, timeout: float = 60) -> None:
    """
    Wait until the log of C{gateway} has lines of the call with C{text}, C{count} in all.
    """
    deadline = time.monotonic() + timeout
    while len(re.findall(rf"(?m)^.*office to .*{text}", gateway.text)) < count:
        assert gateway.running and time.monotonic() < deadline, gateway.text
        time.sleep(0.05)


def up(gateway: Gateway, count: int = 1, timeout: float = 60) -> None:
    """
    Wait until the call is up for the C{count}th time.
    """
    seen(gateway, "ipv4 .* open", count, timeout)


def ours(gateway: Gateway) -> list[str]:
    """
    The addresses of this machine within calls.
    """
    links = gateway.namespace.show("addr")
    infos: Any = [info for link in links for info in link["addr_info"]]  # type: ignore[attr-defined]
    return [one["local"] for one in infos if one["local"].startswith("10.77.")]


@EVERY
def test_pptpd(
    startPPTPD: StartPPTPD, network: Network, startGateway: StartGateway, tmp_path: Path, path: str
) -> None:
    """
    pptpd gives us an address. Packets of all sizes pass both ways with MPPE, from this machine and
    to it. When the call ends the address and the routes go, and it is dialled again.
    """
    host = network.host()
    server = startPPTPD(host, *MPPE)
    gateway = startGateway(**dial(tmp_path, host))
    up(gateway)
    gateway.waitFor("MPPE 128 bit stateless")
    assert ours(gateway) == [GIVEN]
    network.gateway.ping(LOCAL_ADDRESS)
    network.gateway.ping(LOCAL_ADDRESS, "-s", "1300")
    host.ping(GIVEN, "-s", "1300")
    assert "local  IP address 10.77.0.1" in server.said
    host.run("pkill", "pppd")
    gateway.waitFor("ended after")
    up(gateway, 2)
    network.gateway.ping(LOCAL_ADDRESS)


@EVERY
def test_cut(
    startPPTPD: StartPPTPD, network: Network, startGateway: StartGateway, tmp_path: Path, path: str
) -> None:
    """
    The wire is cut and restored twenty times, with a pppd at the other end that notices nothing,
    and one that hangs up. Each time the call is up again within a dial interval after the wire is
    there. Nothing is left of the calls before: files, devices, addresses and routes are the same.
    """
    host = network.host()
    startPPTPD(host, *MPPE, "lcp-echo-interval 1", "lcp-echo-failure 3")
    keys: dict[str, Any] = {"echo-interval": 1, "timeout": 5}
    gateway = startGateway(**dial(tmp_path, host, **keys), link={"echo-failures": 2})
    up(gateway)
    network.gateway.ping(LOCAL_ADDRESS)
    held = gateway.descriptors()
    longest = 0.0
    for number in range(20):
        host.unplug()
        seen(gateway, "ended after", number + 1)
        assert ours(gateway) == []
        time.sleep(0.3 * (number % 4))
        host.restore()
        since = time.monotonic()
        up(gateway, number + 2)
        network.gateway.ping(LOCAL_ADDRESS, count=1)
        longest = max(longest, time.monotonic() - since)
    # An attempt of at most five seconds may have begun without the wire, and two follow it.
    assert longest < 10, longest
    # A pppd that still waits for the call before holds its address.
    assert len(ours(gateway)) == 1
    deadline = time.monotonic() + 20
    while gateway.descriptors() > held:
        assert time.monotonic() < deadline, (gateway.descriptors(), held)
        time.sleep(0.2)


@EVERY
def test_xl2tpd(network: Network, startGateway: StartGateway, tmp_path: Path, path: str) -> None:
    """
    xl2tpd, with a secret of the tunnel, and a pppd that wants CHAP.
    """
    host = network.host()
    LNS(host, "noccp", "require-chap", secret="open sesame")
    file = tmp_path / "secret"
    file.touch(0o600)
    file.write_text("open sesame")
    keys: dict[str, Any] = {"tunnel": "l2tp", "secret-file": str(file), "methods": ["chap"]}
    sections = dial(tmp_path, host, CAROL, **keys, encryption="off")
    gateway = startGateway(**sections, l2tp={"clear": "accept"})
    up(gateway)
    network.gateway.ping("10.9.0.1", "-s", "1300")
    host.ping("10.9.0.2", "-s", "1300")


def test_wrongPassword(
    startPPTPD: StartPPTPD, network: Network, startGateway: StartGateway, tmp_path: Path
) -> None:
    """
    A password that pptpd's pppd doesn't believe is told once, in plain words.
    """
    host = network.host()
    startPPTPD(host, *MPPE)
    gateway = startGateway(**dial(tmp_path, host, user="mallory"))
    gateway.waitFor("office: no call to .*(E=691|wrong|doesn't believe|refused)", 60)


@EVERY
def test_betweenSites(
    network: Network, startGateway: StartGateway, tmp_path: Path, path: str
) -> None:
    """
    A second gateway of ours, at another site, dials the first one. pppd, which calls the first one,
    reaches the network behind the second one, and is reached from there.
    """
    caller, site = network.hosts(2)
    store = {"store": f"sqlite:{tmp_path / 'accounts'}", "key": str(tmp_path / "key")}
    (tmp_path / "users.toml").write_text(toml({"accounts": store}))
    for (name, password), *words in ((ALICE,), (CAROL, "--routes", "10.2.0.0/24")):
        command = ["user", "add", name, "--stdin", "-c", str(tmp_path / "users.toml"), *words]
        run(sys.executable, "-m", "pptpgw.command", *command, stdin=f"{password}\n")
    startGateway(auth="accounts", accounts=store, datapath={"path": path})
    folder = tmp_path / "site"
    folder.mkdir()
    site.ip("addr add 10.2.0.1/32 dev lo")
    keys: dict[str, Any] = {"addresses": [GATEWAY_ADDRESS], "routes": ["10.77.0.0/24"]}
    sections = dial(folder, site, CAROL, **keys)
    second = Gateway(site, folder, {**sections, "datapath": {"path": path}})
    try:
        up(second)
        call = caller.call(*ALICE, "require-mppe-128").up(60)
        caller.ip(f"route add 10.2.0.0/24 dev {call.interface}")
        caller.ping("10.2.0.1", "-s", "1300")
        site.ping(call.address, "-I", "10.2.0.1", "-s", "1300")
        site.ping(LOCAL_ADDRESS)
        call.hangUp()
    finally:
        second.shutDown()
        site.ip("addr del 10.2.0.1/32 dev lo")
