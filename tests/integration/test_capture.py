"""
Tests that read the gateway's own captures with tshark.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration.conftest import Serve
from tests.integration.world import CALLER, LOCAL, METER, Client, World

Start = Callable[[], Client]
FIELDS = ("frame.interface_name", "frame.p2p_dir", "frame.protocols", "ppp.protocol", "ip.src")


class Frame(NamedTuple):
    """
    A frame as tshark decodes it.

    @ivar received: whether the gateway received it.
    @ivar layers: the dissectors that decoded it.
    """

    interface: str
    received: bool
    layers: str
    protocol: int
    source: str


def decoded(file: Path) -> list[Frame]:
    """
    The frames in a file, which must be complete.
    """
    command = ["tshark", "-r", str(file), "-Tfields", "-Eseparator=|", "-Eoccurrence=f"]
    done = subprocess.run(
        [*command, *(f"-e{field}" for field in FIELDS)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = []
    for line in done.stdout.splitlines():
        name, way, layers, protocol, source = line.split("|")
        found.append(Frame(name, way == "1", layers, int(protocol, 16), source))
    return found


@pytest.fixture
def capture(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "calls.pcapng"


def test_wholeCalls(serve: Serve, client: Start, capture: Path) -> None:
    """
    The capture of two encrypted calls from one caller has an interface for each session, and tshark
    decodes every frame from LCP to the calls' ends, each with its direction and none encrypted.
    """
    served = serve(capture={"file": str(capture)})
    dialling = client()
    alice, meter = dialling.dial(), dialling.dial(METER)
    for call in (alice, meter):
        assert call["encryption"] == "MPPE 128 bit stateless"
        assert dialling.ask("ping", call["number"]) == {}
    dialling.ask("close")
    assert served.interrupt() == 0
    assert f"WRITTEN TO {capture}, DECRYPTED" in served.text
    frames = decoded(capture)
    names = {frame.interface for frame in frames}
    assert names == {f"alice@{CALLER}", f"meter@{CALLER}"}
    for name, call in ((f"alice@{CALLER}", alice), (f"meter@{CALLER}", meter)):
        own = [frame for frame in frames if frame.interface == name]
        for layers, number in (
            ("ppp:lcp", 0xC021),
            ("ppp:chap", 0xC223),
            ("ppp:ccp", 0x80FD),
            ("ppp:ipcp", 0x8021),
            ("ppp:ip:icmp", 0x0021),
        ):
            both = {frame.received for frame in own if frame.layers.startswith(layers)}
            assert both == {True, False}, layers
            assert number in {one.protocol for one in own if one.layers.startswith(layers)}
        pings = [(frame.received, frame.source) for frame in own if "icmp" in frame.layers]
        assert pings == [(True, call["address"]), (False, LOCAL)]
        assert {frame.protocol for frame in own} == {0xC021, 0xC223, 0x80FD, 0x8021, 0x0021}


def test_aRefusedCaller(serve: Serve, client: Start, capture: Path) -> None:
    """
    A refused caller's frames are captured under its address alone.
    """
    served = serve(capture={"file": str(capture)})
    assert "error" in client().ask("call", "alice", "open barley", 1400)
    served.waitFor("call ended without a session")
    assert served.interrupt() == 0
    frames = decoded(capture)
    assert {frame.interface for frame in frames} == {CALLER}
    assert {frame.layers for frame in frames} == {"ppp:lcp", "ppp:chap"}


def test_afterRotation(world: World, serve: Serve, client: Start, capture: Path) -> None:
    """
    Each file can be read by itself and names its sessions, and no packet is lost between two files.
    """
    served = serve(capture={"file": str(capture), "size": 1, "files": 10})
    dialling = client()
    alice, meter = dialling.dial(), dialling.dial(METER)
    assert dialling.ask("kernel", alice["number"]) == {}
    device = f"tun{alice['number']}"
    for _ in range(3):
        world.caller.run("ping", "-f", "-c", "400", "-s", "1300", "-I", device, LOCAL)
        assert dialling.ask("ping", meter["number"]) == {}
    dialling.ask("close")
    assert served.interrupt() == 0
    files = sorted(capture.parent.glob("calls.pcapng*"))
    assert [file.name for file in files] == ["calls.pcapng", *(f"calls.pcapng.{n}" for n in "123")]
    found = Counter(
        (frame.interface, frame.received)
        for file in files
        for frame in decoded(file)
        if "icmp" in frame.layers
    )
    assert found == {
        (f"{user}@{CALLER}", received): count
        for user, count in (("alice", 1200), ("meter", 3))
        for received in (True, False)
    }
