"""
Tests for L{pptpgw.management.capture}, with callers over GRE in memory. tshark reads the captures.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from zope.interface import implementer

from pptpgw.datapath.capture import LEFT_OUT
from pptpgw.error import NotCarried
from pptpgw.interfaces import IPathChoice, TunnelKind
from pptpgw.management import capture
from pptpgw.management.capture import Captures
from pptpgw.management.operation import Operations
from pptpgw.ppp.client import ClientCall
from pptpgw.testing import GREWorld
from pptpgw.testing.exchange import PASSWORD
from pptpgw.testing.makers import resultOf
from pptpgw.tunnels.pptp.channel import GREChannel
from tests.datapath.test_python import packet
from tests.logged import loggedLines
from tests.management.asking import Asking, Streaming
from tests.management.managed import STARTED, Managed

HOME, AWAY = "192.0.2.8", "192.0.2.9"
ALICE = f"alice@{HOME}"


class GREManaged(Managed, GREWorld):
    """
    A gateway that can be managed, with callers over GRE.
    """


class Fixture:
    """
    A gateway whose calls are captured.
    """

    def __init__(self) -> None:
        self.world = GREManaged()
        captures = Captures(self.world, lambda: STARTED + self.world.clock.seconds())
        self.asking = Asking(Operations(captures.operations()), clock=self.world.clock)

    def dial(self, name: bytes = b"alice", password: bytes = PASSWORD, address: str = HOME) -> Any:
        placed = self.world.placeCall(self.world.connect(address), name, password)
        self.world.run(0.5)
        return placed

    def call(self, *given: Any) -> ClientCall:
        call: ClientCall = resultOf(self.dial(*given))
        return call

    def send(self, number: int, address: str = "10.77.0.10") -> None:
        """
        Send a packet to a user; the first one by default.
        """
        self.world.tun.receive(packet(destination=address, payload=bytes([number])))

    def open(self, path: str = "/capture", /, **query: Any) -> Streaming:
        return self.asking.stream(path, **query)

    def octets(self, client: Streaming) -> bytes:
        self.world.run(0.1)
        return client.octets

    @property
    def channels(self) -> list[Any]:
        return [one.channel for one in self.world.lines]


class Read:
    """
    A capture as tshark reads it.
    """

    def __init__(self, folder: Path, octets: bytes) -> None:
        file = folder / "capture.pcapng"
        file.write_bytes(octets)
        fields = "frame.interface_name", "frame.p2p_dir", "_ws.col.Info", "frame.protocols"
        command = ["tshark", "-r", str(file), "-Tfields", "-Eseparator=|", "-Eoccurrence=f"]
        done = subprocess.run(
            [*command, *(f"-e{one}" for one in fields)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        self.lines = [line.split("|") for line in done.stdout.splitlines()]

    @property
    def names(self) -> set[str]:
        return {name for name, *_ in self.lines}

    def count(self, layers: str, way: str = "") -> int:
        return sum(one[3].startswith(layers) and one[1].startswith(way) for one in self.lines)


@pytest.fixture
def gateway() -> Fixture:
    return Fixture()


def test_aLiveSession(gateway: Fixture, tmp_path: Path) -> None:
    """
    The packets of a session that goes on are captured decrypted, in both directions, until its end,
    and those of others aren't.
    """
    call = gateway.call()
    gateway.call(b"bob", PASSWORD, AWAY)
    alice, bob = gateway.world.sessions
    gateway.send(1)
    client = gateway.open(f"/sessions/{alice.identifier}/capture")
    for number in (2, 3):
        gateway.send(number)
    channel: Any = call.channel
    channel.sendPacket(0x21, packet(source="10.77.0.10"))
    bob.hangUp("enough")
    gateway.world.run(0.2)
    early = client.isOver
    alice.hangUp("enough")
    gateway.world.run(0.2)
    read = Read(tmp_path, gateway.octets(client))
    assert (early, client.isOver) == (False, True)
    assert read.names == {ALICE}
    assert read.count("ppp:ip:", "0") == 2 and read.count("ppp:ip:", "1") == 1
    assert read.count("ppp:lcp") >= 2 and read.count("ppp:comp_data") == 0


def test_afterwards(gateway: Fixture) -> None:
    """
    A channel is as fast as before when its capture has ended.
    """
    gateway.call()
    (channel,) = gateway.channels
    before = channel._networks[0x21]._carry
    client = gateway.open(user="alice")
    assert type(channel) is not GREChannel
    client.hangUp()
    assert type(channel) is GREChannel and channel._networks[0x21]._carry == before
    assert channel.recorders == ()


def test_aComingUser(gateway: Fixture, tmp_path: Path) -> None:
    """
    The next call of a user is captured from its first frame, if none goes on.
    """
    client = gateway.open(user="Alice")
    gateway.call(b"bob", PASSWORD, AWAY)
    assert len(gateway.channels[0].recorders) == 0
    gateway.call()
    gateway.send(1, "10.77.0.11")
    assert [len(one.recorders) for one in gateway.channels] == [0, 1]
    gateway.call()
    assert [len(one.recorders) for one in gateway.channels] == [0, 1, 0]
    read = Read(tmp_path, gateway.octets(client))
    assert read.names == {ALICE}
    assert "Configuration Request" in read.lines[0][2]
    for layers in ("ppp:lcp", "ppp:chap", "ppp:ccp", "ppp:ipcp"):
        assert read.count(layers, "0") and read.count(layers, "1"), layers
    # Each once.
    assert read.count("ppp:chap") == 3
    assert read.count("ppp:ip:", "0") == 1


def test_aComingAddress(gateway: Fixture, tmp_path: Path) -> None:
    """
    The next call from an address is captured, also if nobody logs in, and ends with it.
    """
    client = gateway.open(address=HOME)
    gateway.dial(b"alice", b"wrong").addErrback(lambda _: None)
    gateway.world.rest(10)
    read = Read(tmp_path, gateway.octets(client))
    assert client.isOver
    assert read.names == {HOME}
    assert read.count("ppp:chap") >= 3 and read.count("ppp:lcp") > 4


def test_byTunnel(gateway: Fixture) -> None:
    """
    Calls by other tunnels than the one that is named aren't captured, and the interface says which
    one it is.
    """
    gateway.call()
    other, client = (gateway.open(user="alice", tunnel=one) for one in ("sstp", "pptp"))
    assert len(gateway.channels[0].recorders) == 1
    described = b"\x03\x00\x04\x00pptp"
    assert described in gateway.octets(client) and described not in gateway.octets(other)
    gateway.call()
    assert len(gateway.channels[1].recorders) == 0


def test_time(gateway: Fixture) -> None:
    """
    A capture ends after its time, whether there was a call or not.
    """
    gateway.call()
    clients = [gateway.open("/capture", user=name, **{"for": 10}) for name in ("alice", "carol")]
    assert gateway.channels[0].recorders
    gateway.world.rest(11)
    assert gateway.channels[0].recorders == ()
    gateway.world.rest(1)
    assert all(one.isOver for one in clients)


def test_size(gateway: Fixture, tmp_path: Path) -> None:
    """
    A capture ends when it is full, and isn't larger than it may be.
    """
    gateway.call()
    client = gateway.open(user="alice", size=8192)
    for number in range(200):
        gateway.send(number)
    assert gateway.channels[0].recorders == ()
    octets = gateway.octets(client)
    assert client.isOver and 8000 < len(octets) <= 8192
    assert Read(tmp_path, octets).count("ppp:ip:") > 20


def test_slowReader(gateway: Fixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Frames that a client doesn't take in time are left out, and counted in the capture too.
    """
    gateway.call()
    client = gateway.open(user="alice")
    # The frames of the set-up come first.
    gateway.octets(client)
    monkeypatch.setattr(capture, "BUFFER", 1000)
    client.producer.pauseProducing()
    for number in range(100):
        gateway.send(number)
    left = gateway.world.counters.sum().discards[LEFT_OUT]
    client.producer.resumeProducing()
    gateway.octets(client)
    gateway.send(0)
    for session in gateway.world.sessions:
        session.hangUp("enough")
    gateway.world.run(0.2)
    octets = gateway.octets(client)
    read = Read(tmp_path, octets)
    assert read.count("ppp:ip:") == 101 - left
    assert left.to_bytes(8, "little") in octets[-24:]


def test_problems(gateway: Fixture) -> None:
    """
    A session that isn't there, nobody, and a capture without a bound are problems.
    """
    ask = gateway.asking.ask
    assert ask("GET", "/sessions/nothing/capture").status == 404
    assert ask("GET", "/capture").status == 400
    assert ask("GET", "/capture", user="a", address="b").status == 400
    long: Any = {"user": "a", "for": 3601}
    assert ask("GET", "/capture", **long).status == 400
    assert ask("GET", "/capture", user="a", size=1 << 40).status == 400


def test_anotherDataPath() -> None:
    """
    A session whose packets don't pass through this process can't be captured.
    """
    world = Managed()
    world.setUpCall(b"alice")
    (session,) = world.sessions
    asking = Asking(Operations(Captures(world, lambda: STARTED).operations()))
    assert asking.ask("GET", f"/sessions/{session.identifier}/capture").status == 409
    assert asking.ask("GET", "/capture", user="alice").status == 409


@implementer(IPathChoice)
class Choice:
    """
    A data path that keeps calls in this process.
    """

    def __init__(self) -> None:
        self.wanted: list[Any] = []
        self.error: NotCarried | None = None

    def keepHere(self, wanted: Any) -> Any:
        if self.error is not None:
            raise self.error
        self.wanted.append(wanted)
        return lambda: self.wanted.remove(wanted)


class From:
    """
    A call from an address.
    """

    def __init__(self, caller: str, tunnel: str = "pptp") -> None:
        self.caller = caller
        self.tunnel = TunnelKind(tunnel, tunnel)


def test_callsAreKept(gateway: Fixture) -> None:
    """
    While a capture waits, calls to come that may be the one pass through this process.
    """
    choice = Choice()
    gateway.world.environment.plug(None, choice)
    client = gateway.open(user="alice")
    (wanted,) = choice.wanted
    assert wanted(From(HOME)) and wanted(From(AWAY))
    gateway.call()
    assert choice.wanted == []
    client.hangUp()
    client = gateway.open(address=AWAY)
    (wanted,) = choice.wanted
    assert wanted(From(AWAY)) and not wanted(From(HOME))
    client.hangUp()
    assert choice.wanted == []
    client = gateway.open(user="alice", tunnel="sstp")
    (wanted,) = choice.wanted
    assert wanted(From(AWAY, "sstp")) and not wanted(From(AWAY))
    client.hangUp()
    gateway.open(address=HOME)
    assert choice.wanted == [], "nothing is waited for"


def test_noCallCanBeKept(gateway: Fixture) -> None:
    """
    Where the kernel alone carries packets nobody is waited for.
    """
    choice = Choice()
    choice.error = NotCarried('"auto" is possible')
    gateway.world.environment.plug(None, choice)
    answer = gateway.asking.ask("GET", "/capture", user="alice")
    assert answer.status == 409 and b"is possible" in answer.octets


def test_audit(gateway: Fixture) -> None:
    """
    A capture is logged with its operator.
    """
    with loggedLines() as lines:
        gateway.open(user="alice").hangUp()
    assert lines[0] == "local: GET /api/v1/capture?user=alice: begins"
    assert lines[1].startswith("local: GET /api/v1/capture?user=alice: over, ")
