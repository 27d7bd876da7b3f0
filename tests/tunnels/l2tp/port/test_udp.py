"""
Tests for L2TP's UDP ports, the tunnel and our client, over the loopback device.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Coroutine
from functools import wraps
from ipaddress import IPv4Address
from typing import Any, ParamSpec

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pptpgw.clock import steady
from pptpgw.config.section import ListenSection
from pptpgw.counting.counters import Counters
from pptpgw.datapath.python import PythonDataPath
from pptpgw.error import CallError, ConfigurationError
from pptpgw.interfaces import ICallOwner, ICallTaker, IFrameSender, ITunnel, ITunnelFactory
from pptpgw.ppp.settings import LinkSettings
from pptpgw.testing import makeTunnelEnvironment
from pptpgw.tunnels.l2tp.client import LACClient, LACConnection
from pptpgw.tunnels.l2tp.connections import ControlConnections
from pptpgw.tunnels.l2tp.port.udp import L2TPPort
from pptpgw.tunnels.l2tp.sender import DataSender
from pptpgw.tunnels.l2tp.settings import ControlSettings
from pptpgw.tunnels.l2tp.tunnel import L2TPSettings, L2TPTunnel, factory
from pptpgw.tunnels.l2tp.wire.header import DataMessage, decodeData, encodeData
from tests.tunnels.l2tp.joined import Writing

LCP = 0xC021

P = ParamSpec("P")


def waited(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, Deferred[None]]:
    """
    Make a test of a coroutine function.
    """

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> Deferred[None]:
        return Deferred.fromCoroutine(test(*args, **kwargs))

    return run


async def until(predicate: Any) -> None:
    """
    Wait until something is so.
    """
    for _ in range(2000):
        if predicate():
            return
        await deferLater(reactor, 0.01, lambda: None)
    raise AssertionError("it never was so")


@implementer(ICallOwner)
class Owner:
    """
    The owner of a call and of its channel, which records the frames.
    """

    def __init__(self) -> None:
        self.frames: list[tuple[int, bytes]] = []
        self.ended: list[str] = []
        self.call: Any = None

    def callEstablished(self, call: Any) -> None:
        self.call = call

    def callEnded(self, call: Any, cause: str) -> None:
        self.ended.append(cause)

    def frameReceived(self, protocol: int, information: bytes) -> None:
        self.frames.append((protocol, information))


@implementer(ICallTaker)
class Answering:
    """
    A tunnel, whose calls are accepted.
    """

    def __init__(self, addresses: Any = (), **settings: Any) -> None:
        self.environment = makeTunnelEnvironment(self, ListenSection(addresses=addresses), reactor)
        self.tunnel = L2TPTunnel(L2TPSettings(**settings), self.environment)
        for port in self.tunnel.ports:
            port._number = 0
        self.owner = Owner()
        self.channel: Any = None

    def callRequested(self, call: Any) -> None:
        self.channel = call.openChannel(self.owner, PythonDataPath(reactor))
        call.accept(self.owner)

    async def connect(self, dataPath: Any = None, **settings: Any) -> LACConnection:
        client = LACClient(
            reactor,
            "127.0.0.1",
            self.tunnel.ports[0].number,
            settings=ControlSettings(**settings),
            dataPath=dataPath,
        )
        return await client.connect()


class Recorded(PythonDataPath):
    """
    A data path that records the channels that it opens.
    """

    def __init__(self) -> None:
        super().__init__(steady(reactor))
        self.opened: list[Any] = []

    def openChannel(self, *arguments: Any) -> Any:
        channel = super().openChannel(*arguments)
        self.opened.append(channel)
        return channel


def test_theirInterfaces() -> None:
    verifyObject(ITunnelFactory, factory)
    verifyObject(ITunnel, Answering().tunnel)
    ignore: Any = len
    sender = DataSender((1, 2), Writing(ignore), ignore, ignore, ignore, False)
    verifyObject(IFrameSender, sender)


async def carry(answering: Answering, numbered: bool) -> None:
    """
    Place a call that carries frames both ways, and end its connection.
    """
    answering.owner = Owner()
    connection = await answering.connect(numbered=numbered)
    owner: Any = Owner()
    call: Any = connection.control.placeCall(owner)
    await until(lambda: owner.call and answering.owner.call)
    assert (call.caller, call.called) == ("127.0.0.1", "127.0.0.1")
    channel = call.openChannel(owner, PythonDataPath(reactor))
    for number in range(5):
        channel.sendFrame(LCP, b"%d" % number)
        answering.channel.sendFrame(LCP, b"%d" % number)
    await until(lambda: len(owner.frames) == len(answering.owner.frames) == 5)
    assert owner.frames == answering.owner.frames
    assert owner.frames[4] == (LCP, b"4")
    assert (call._carriage._sender._number >= 0) is numbered
    await connection.close()
    await until(lambda: answering.owner.ended)


@pytest.mark.parametrize("bound", [True, False])
@waited
async def test_aCallCarriesFrames(bound: bool) -> None:
    """
    Our client calls the tunnel, with a port that is bound to an address or to all of them; frames
    pass both ways, with sequence numbers too.
    """
    answering = Answering((IPv4Address("127.0.0.1"),) if bound else ())
    answering.tunnel.start()
    try:
        for numbered in (False, True):
            await carry(answering, numbered)
        assert answering.environment.counters.discards == {}
    finally:
        await answering.tunnel.stop()
    assert all(port.fileno() == -1 for port in answering.tunnel.ports)


@waited
async def test_theDataPathOfAClient() -> None:
    """
    A client has its calls' channels opened by the data path that it was given.
    """
    given = Recorded()
    answering = Answering()
    answering.tunnel.start()
    try:
        connection = await answering.connect(given)
        call = connection.call(LinkSettings(), [])
        await until(lambda: call.channel)
        assert given.opened == [call.channel]
        await connection.close()
        with pytest.raises(CallError):
            await call.opened
    finally:
        await answering.tunnel.stop()


@waited
async def test_stopping() -> None:
    """
    When the tunnel stops it tells its peers, and takes nobody before that.
    """
    answering = Answering()
    answering.tunnel.start()
    connection = await answering.connect()
    closed: list[str] = []
    connection.closed.addCallback(closed.append)
    await answering.tunnel.stopListening()
    waiting: Deferred[Any] = LACClient(
        reactor,
        "127.0.0.1",
        answering.tunnel.ports[0].number,
        settings=ControlSettings(handshakeTimeout=0.2),
    ).connect()
    with pytest.raises(CallError, match="no SCCRP"):
        await waiting
    assert not closed
    await answering.tunnel.stop()
    await until(lambda: closed)
    assert "shutting down" in closed[0]


@waited
async def test_aPortThatIsTaken() -> None:
    taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    taken.bind(("", 0))
    answering = Answering(port=1701)
    answering.tunnel.ports[0]._number = taken.getsockname()[1]
    with taken, pytest.raises(ConfigurationError, match="Is another L2TP server running"):
        answering.tunnel.start()
    await answering.tunnel.stop()


@waited
async def test_whatComesFromOthers() -> None:
    """
    Data of no call, from another address than the call's or malformed is counted; the call goes on.
    """
    answering = Answering()
    answering.tunnel.start()
    discards = answering.environment.counters.discards
    port = answering.tunnel.ports[0]
    try:
        connection = await answering.connect()
        call = connection.control.placeCall(Owner())
        await until(lambda: answering.owner.call)
        ids = connection.control.peerID, call.peerID
        frame = b"\xff\x03\xc0\x21x"
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with other:
            to = ("127.0.0.1", port.number)
            other.sendto(encodeData(DataMessage(*ids, -1, frame)), to)
            other.sendto(encodeData(DataMessage(0, 0, -1, frame)), to)
            await until(lambda: discards.get("L2TP of no connection") == 2)
            other.sendto(b"", to)
            other.sendto(b"\x40\x02\x00\x06\x00\x01\x00", to)
            await until(lambda: discards.get("not L2TP") == 2)
        write = connection.control.port
        assert write is not None
        send = write.writer("", connection.control.peer).write
        send(b"\x02" + encodeData(DataMessage(*ids, -1, b"\xff\xff"))[1:])
        await until(lambda: discards.get("not L2TP") == 3)
        length = (8 + len(frame)).to_bytes(2, "big")
        packed = encodeData(DataMessage(*ids, -1, frame))
        send(b"\x40\x02" + length + packed[2:])
        await until(lambda: answering.owner.frames)
        assert answering.owner.frames == [(LCP, b"x")]
        await connection.close()
    finally:
        await answering.tunnel.stop()


@waited
async def test_aFloodOfStrangers() -> None:
    """
    Many control messages of strangers are counted or wait, and calls go on meanwhile.
    """
    answering = Answering()
    answering.tunnel.start()
    port = answering.tunnel.ports[0]
    try:
        connection = await answering.connect()
        owner: Any = Owner()
        call = connection.control.placeCall(owner)
        await until(lambda: answering.owner.call)
        channel: Any = call.openChannel(owner, PythonDataPath(reactor))
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with other:
            for _ in range(3000):
                other.sendto(b"\xc8\x02\x00\x0c" + bytes(8), ("127.0.0.1", port.number))

            def carries() -> bool:
                # The socket's queue may be full at first.
                channel.sendFrame(LCP, b"x")
                return len(answering.owner.frames) >= 10

            await until(carries)
        await connection.close()
    finally:
        await answering.tunnel.stop()


def test_anErrorOfTheSystemIsCounted() -> None:
    counters = Counters()
    port = L2TPPort(reactor, "127.0.0.1", 0, counters)
    port.connections = ControlConnections(reactor, ControlSettings(), counters, port)
    port.send("", ("127.0.0.1", 9), b"x")
    with pytest.raises(OSError, match="isn't open"):
        port.writer("", ("127.0.0.1", 9))
    port.startListening()
    port.send("", ("127.0.0.1", 9), bytes(70000))
    assert counters.discards == {"L2TP not sent: EMSGSIZE": 1}
    port.stopListening()
    port.stopListening()


def test_lateFrames() -> None:
    """
    A frame whose number is before that of another one is discarded, across the end of the numbers.
    """
    got: list[bytes] = []
    discards: list[str] = []
    sent: list[bytes] = []
    sender = DataSender(
        *((1, 2), Writing(sent.append), lambda: None, discards.append),
        lambda send, receive: None,
        follows=True,
    )
    sender.receive = got.append
    for number in (0xFFFE, 0, 0xFFFF, 1, 1, 5, 4, 6):
        sender.received(b"%d" % number, number)
    assert got == [b"65534", b"0", b"1", b"5", b"6"]
    assert discards == ["L2TP data message late"] * 3
    sender.send(b"x")
    sender.send(b"y")
    assert sender.sendAll([b"z", b"z"]) == []
    assert [decodeData(one).sequence for one in sent] == [0, 1, 2, 3]
    sender.disconnected()
    sender.received(b"late", 7)
    assert len(got) == 5
