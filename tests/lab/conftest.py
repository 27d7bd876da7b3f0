"""
Fixtures of the lab: a network for all tests, and a gateway for each, or for several in turn.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from itertools import groupby
from pathlib import Path

import pytest

from tests.lab.lines import NullModem
from tests.lab.peers import Network, Process, run
from tests.lab.server import TWISTD, Gateway, Sections, Shared, ShareGateway, StartGateway

IN_THE_LAB = Path("/run/lab/state").is_dir()
LAB = Path(__file__).parent
LONGEST = "test_systemd.py"
"""
The file with few tests that takes longest.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Skip all of these tests outside of the lab's kernel. In it, put the tests of a file that have
    one data path beside each other.
    """
    if IN_THE_LAB:
        items.sort(key=group)
        return
    for item in items:
        if item.path.is_relative_to(LAB):
            item.add_marker(pytest.mark.skip(reason="needs the lab kernel: make lab"))


def group(item: pytest.Item) -> tuple[str, str]:
    """
    Return what the tests that a kernel runs one after the other have in common: their file and data
    path.
    """
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return item.path.name, str(parameters.get("path", "python"))


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """
    With C{LAB_CLAIMS=FOLDER}, which several kernels share, run the groups that no other one
    has begun: whoever makes a group's folder there runs it. The largest groups come first, so that
    the kernels end at about the same time.
    """
    claims = os.environ.get("LAB_CLAIMS")
    if not claims or session.testsfailed or session.config.option.collectonly:
        return None
    groups = [list(some) for _, some in groupby(session.items, group)]
    groups.sort(key=lambda some: (some[0].path.name != LONGEST, -len(some)))
    mine = (item for some in groups if _claim(Path(claims), some[0]) for item in some)
    item = next(mine, None)
    while item is not None:
        following = next(mine, None)
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        # With -x the fixtures of the session were taken down after a failure.
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        item = following
    return True


def _claim(claims: Path, item: pytest.Item) -> bool:
    try:
        (claims / "-".join(group(item))).mkdir()
    except FileExistsError:
        return False
    return True


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


@pytest.fixture(scope="session")
def shared() -> Iterator[Shared]:
    """
    The gateway that tests share.
    """
    one = Shared()
    yield one
    one.end()


@pytest.fixture
def network(wires: Network, shared: Shared, request: pytest.FixtureRequest) -> Iterator[Network]:
    """
    The network, restored after each test. Nothing runs in it, unless the test shares a gateway.
    """
    Process.logs.clear()
    if "shareGateway" not in request.fixturenames:
        shared.end()
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
def iperf(network: Network) -> Process:
    """
    An iperf3 server on the host inside.
    """
    server = Process(
        network.inside.command("iperf3", "-s", "--forceflush"), network.folder / "iperf3.log"
    )
    server.waitFor("listening")
    return server


@pytest.fixture
def path(request: pytest.FixtureRequest) -> str:
    """
    The data path of gateways whose test doesn't name one.
    """
    named: str = getattr(request, "param", "python")
    return named


@pytest.fixture
def startGateway(network: Network, tmp_path: Path, path: str) -> Iterator[StartGateway]:
    """
    A function that starts a gateway. Its arguments are the sections of the configuration. At the
    end of the test the gateway is shut down, and must leave nothing behind.
    """
    started: list[Gateway] = []

    def start(program: Path = TWISTD, auth: str = "", **sections: dict[str, object]) -> Gateway:
        folder = tmp_path / f"gateway-{len(started)}"
        folder.mkdir()
        sections.setdefault("datapath", {"path": path})
        gateway = Gateway(network.gateway, folder, sections, program, auth)
        started.append(gateway)
        return gateway

    yield start
    for gateway in started:
        if not gateway.down:
            gateway.shutDown()


@pytest.fixture
def shareGateway(
    shared: Shared,
    network: Network,
    tmp_path_factory: pytest.TempPathFactory,
    path: str,
    request: pytest.FixtureRequest,
) -> Iterator[ShareGateway]:
    """
    A function that has a gateway run, which may be the one of the test before. Its arguments are
    the sections of the configuration. It's for tests that only dial, and leave nothing at the
    gateway that disturbs another test.
    """

    def share(**sections: dict[str, object]) -> None:
        wanted: Sections = {"datapath": {"path": path}, **sections}
        shared.start(network.gateway, tmp_path_factory.mktemp("gateway"), wanted)

    failed = request.session.testsfailed
    yield share
    if request.session.testsfailed > failed:
        shared.end()


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


@pytest.fixture
def nullModem() -> Iterator[NullModem]:
    cable = NullModem()
    yield cable
    cable.close()
