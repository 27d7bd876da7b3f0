"""
Tests for the client's endpoint with raw sockets, with the service, over a wire and two kernels.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from tests.endpoints import program
from tests.integration.conftest import Serve
from tests.integration.world import ALICE, GATEWAY, ROOT, Program, Served, World

OPEN = r"open: (10\.77\.0\.\d+)\n"


@pytest.fixture
def password(tmp_path: Path) -> Path:
    """
    The file with the password.
    """
    path = tmp_path / "alice.password"
    path.touch(0o600)
    path.write_text(f"{ALICE[1]}\n")
    return path


@pytest.fixture
def example(world: World, tmp_path: Path, password: Path) -> Program:
    """
    The documentation's program, running on the caller's host.
    """
    script = tmp_path / "example.py"
    script.write_text(program())
    environment = ("env", f"--chdir={tmp_path}", f"PYTHONPATH={ROOT}")
    log = tmp_path / "example.log"
    return Program(world.caller, log, *environment, sys.executable, "-u", str(script))


def pinged(world: World, address: str) -> str:
    """
    Ping C{address} from behind the gateway.

    @return: the beginning of the packets that the caller prints.
    """
    ping = ("ping", "-c", "3", "-i", "0.2", "-W", "1", address)
    world.inside.run("sh", "-c", f"{' '.join(ping)} || true")
    return r"ipv4 45[0-9a-f]{22}c6336402" + bytes(map(int, address.split("."))).hex()


def test_killedGateway(world: World, serve: Serve, example: Program, tmp_path: Path) -> None:
    """
    A L{ClientService} with the endpoint connects again after the gateway was killed and started,
    and packets pass as before.
    """
    folder = tmp_path / "killed"
    folder.mkdir()
    killed = Served(world, folder, {})
    address = example.waitFor(OPEN).group(1)
    example.waitFor(pinged(world, address))
    killed.stop(signal.SIGKILL)
    serve()
    address = example.waitFor(f"(?s){OPEN}.*{OPEN}", 40).group(2)
    example.waitFor(f"(?s){OPEN}.*{OPEN}.*" + pinged(world, address))
    assert rawSockets(world) == 2
    example.stop(signal.SIGKILL)


def rawSockets(world: World) -> int:
    """
    The number of GRE's raw sockets on the caller's host.
    """
    text = world.caller.run("cat", "/proc/net/raw")
    return sum(line.split()[1].endswith(":002F") for line in text.splitlines()[1:])


def connect(world: World, password: Path, *before: str) -> str:
    """
    The output of C{connecting.py}, run by the command C{before}.
    """
    where = f"pptp:{GATEWAY}:user=alice:password-file={password}:timeout=2"
    program = (sys.executable, str(Path(__file__).parent / "connecting.py"), where)
    return world.caller.run(*before, "env", f"PYTHONPATH={ROOT}", *program)


def test_notPermitted(world: World, password: Path) -> None:
    """
    The connection fails at once without CAP_NET_RAW, and the error names that.
    """
    printed = connect(world, password, "setpriv", "--bounding-set=-net_raw")
    assert printed.startswith(
        "NotPermitted: a raw socket for GRE (IP protocol 47) needs CAP_NET_RAW"
    )
    assert printed.endswith("\nleft:\n")


def test_silentServer(world: World, password: Path, tmp_path: Path) -> None:
    """
    A server that accepts the TCP connection and sends nothing is given up in time.
    """
    code = "import socket, time; s = socket.create_server(('', 1723)); print('up'); time.sleep(60)"
    server = Program(world.gateway, tmp_path / "server.log", sys.executable, "-uc", code)
    server.waitFor("up")
    assert connect(world, password) == (
        "TimeoutError: User timeout caused connection failure: "
        "the connection wasn't open after 2 s.\nleft:\n"
    )


def test_wrongPassword(world: World, password: Path, serve: Serve) -> None:
    """
    A wrong password raises an error of its own and leaves nothing open.
    """
    serve()
    password.write_text("open barley")
    printed = connect(world, password)
    assert printed.startswith("CallError: no such user or wrong password")
    assert printed.endswith("\nleft:\n")
