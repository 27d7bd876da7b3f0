"""
Tests for declared protocols with the service, over a wire and encrypted, and with programs that
serve them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Serve
from tests.integration.world import ALICE, METER, Client, World

Start = Callable[[], Client]

SERVICE = """
import socket, sys
unix = sys.argv[1].startswith("/")
service = socket.socket(socket.AF_UNIX if unix else socket.AF_INET, socket.SOCK_DGRAM)
service.bind(sys.argv[1] if unix else ("127.0.0.1", int(sys.argv[1])))
print("serves", flush=True)
callers = []
while True:
    packet, address = service.recvfrom(2048)
    if address not in callers:
        callers.append(address)
    service.sendto(b"%s of caller %d" % (packet, callers.index(address)), address)
"""


@pytest.fixture(params=["unix", "udp"])
def to(request: pytest.FixtureRequest, world: World, tmp_path: Path) -> Iterator[str]:
    """
    The destination at which a program answers each packet and names the packet's caller.
    """
    place = str(tmp_path / "service") if request.param == "unix" else "5000"
    world.gateway.ip("link set lo up")
    command = world.gateway.command(sys.executable, "-c", SERVICE, place)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None and program.stdout.readline() == b"serves\n"
        yield f"unix:{place}" if request.param == "unix" else f"udp:127.0.0.1:{place}"
        program.kill()


def test_aProgramAnswersEachCaller(serve: Serve, client: Start, to: str) -> None:
    """
    Each caller gets a node and the answers to its own packets. One that calls again is another
    caller to the program.
    """
    served = serve(**{"[network.generic]": {"name": "appletalk", "to": to}})
    callers = [client(), client()]
    calls = [
        caller.ask("declared", *who) for caller, who in zip(callers, (ALICE, METER), strict=True)
    ]
    assert [call["node"] for call in calls] == ["00ff0001", "00ff0002"]
    assert {call["encryption"] for call in calls} == {"MPPE 128 bit stateless"}
    for text in ("first", "second"):
        for index, (caller, call) in enumerate(zip(callers, calls, strict=True)):
            answer = caller.ask("ask", call["number"], text)
            assert answer == {"answer": f"{text} of caller {index}"}
    callers[0].ask("close")
    again = callers[0].ask("declared", *ALICE)
    assert again["node"] == "00ff0003"
    answer = callers[0].ask("ask", again["number"], "third")
    assert answer == {"answer": "third of caller 2"}
    assert "Traceback" not in served.text
