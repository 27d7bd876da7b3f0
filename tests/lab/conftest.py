"""
Fixtures of the lab: a network for all tests, and a new gateway for each.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.lab.peers import Network, Process, run
from tests.lab.server import TWISTD, Gateway, StartGateway

IN_THE_LAB = Path("/run/lab/state").is_dir()
LAB = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    Skip all of these tests outside of the lab's kernel. In it, C{LAB_PART=1/2} runs only the first
    of two parts.
    """
    if not IN_THE_LAB:
        for item in items:
            if item.path.is_relative_to(LAB):
                item.add_marker(pytest.mark.skip(reason="needs the lab kernel: make lab"))
        return
    part, _, parts = os.environ.get("LAB_PART", "1/1").partition("/")
    mine = items[int(part) - 1 :: int(parts)]
    config.hook.pytest_deselected(items=[item for item in items if item not in mine])
    items[:] = mine


@pytest.fixture(scope="session")
def wires(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """
    The network of the whole run.
    """
    run("modprobe", "-d", "/run/lab/modroot", "-a", "bridge", "veth", "sch_netem")
    empty = tmp_path_factory.mktemp("ppp")
    (empty / "options").touch()
    for name in ("chap-secrets", "pap-secrets"):
        (empty / name).touch(0o600)
    # Hide the machine's own options, secrets and scripts of pppd.
    run("mount", "--bind", str(empty), "/etc/ppp")
    Path("/run/pptp").mkdir()
    return Network(tmp_path_factory.mktemp("network"))


@pytest.fixture
def network(wires: Network) -> Iterator[Network]:
    """
    The network, restored after each test.
    """
    Process.logs.clear()
    yield wires
    wires.reset()


@pytest.fixture
def ipv6(network: Network) -> Iterator[Network]:
    """
    The network with IPv6: on three callers' hosts, and between the gateway and the host inside.
    """
    network.hosts(3)
    network.enableIPv6()
    yield network
    network.disableIPv6()


@pytest.fixture
def startGateway(network: Network, tmp_path: Path) -> Iterator[StartGateway]:
    """
    A function that starts a gateway. Its arguments are the sections of the configuration. At the
    end of the test the gateway is shut down, and must leave nothing behind.
    """
    started: list[Gateway] = []

    def start(program: Path = TWISTD, auth: str = "", **sections: dict[str, object]) -> Gateway:
        folder = tmp_path / f"gateway-{len(started)}"
        folder.mkdir()
        gateway = Gateway(network.gateway, folder, sections, program, auth)
        started.append(gateway)
        return gateway

    yield start
    for gateway in started:
        if not gateway.down:
            gateway.shutDown()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """
    Print the output of every program of the test after a failure.
    """
    report = yield
    if report.failed:
        for log in Process.logs:
            if text := log.read_text(errors="replace"):
                report.sections.append((f"{log.parent.name}/{log.name}", text))
    return report
