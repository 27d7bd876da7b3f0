"""
Tests for L{pptpgw.tunnels.l2tp.port.kernel}, with UDP over the loopback device and sockets that
stand for those of the family PPPoX.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from struct import pack
from typing import Any

import pytest
from twisted.internet import reactor as _reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from pptpgw.error import CallError, NotPermitted
from pptpgw.tunnels.l2tp.client import LACConnection
from pptpgw.tunnels.l2tp.port import kernel
from pptpgw.tunnels.l2tp.port.kernel import REORDER
from pptpgw.tunnels.l2tp.sender import DataSender
from pptpgw.tunnels.l2tp.wire.header import DataMessage, encodeData
from tests.tunnels.l2tp.joined import Writing
from tests.tunnels.l2tp.port.test_udp import Answering, until, waited

LCP = 0xC021
reactor: Any = _reactor
FRAME = b"\xff\x03\xc0\x21one"
SEND_NUMBERS, IS_LNS, REORDERING = 3, 4, 5


class Socket:
    """
    A socket of the family PPPoX.
    """

    def __init__(self, made: list[Socket]) -> None:
        self.address = b""
        self.options: dict[int, int] = {}
        self.closed = 0
        self._made = made
        made.append(self)

    def setsockopt(self, level: int, option: int, value: int) -> None:
        assert level == 273
        self.options[option] = int(value)

    def fileno(self) -> int:
        return -1 if self.closed else 1000

    def close(self) -> None:
        self.closed = 1 + max(one.closed for one in self._made)


class Family:
    """
    The family, as the kernel has it.

    @ivar sockets: those that were opened, in order.
    @ivar refused: the number of the call to connect that fails; -1 for none.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sockets: list[Socket] = []
        self.refused = -1
        self.received = 0
        monkeypatch.setattr(kernel, "openPPPoX", self._open)
        monkeypatch.setattr(kernel, "connect", self._connect)
        monkeypatch.setattr(kernel, "channelOf", lambda opened: 7)
        monkeypatch.setattr("fcntl.ioctl", self._ioctl)

    def _open(self, protocol: int) -> Socket:
        assert protocol == 1
        return Socket(self.sockets)

    def _connect(self, opened: Socket, address: bytes) -> None:
        if self.sockets.index(opened) == self.refused:
            raise OSError(errno.EEXIST, "File exists")
        opened.address = address

    def _ioctl(self, opened: Socket, request: int, argument: bytes) -> bytes:
        if opened.closed:
            raise ValueError
        assert request == 0x80487436
        return pack("=HHI8Q", 0, 0, 0, 0, 0, 0, self.received, 0, 0, 0, 0)


class Kernel(Answering):
    """
    A tunnel whose calls the kernel carries.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"encryption": "off", "clear": "accept", **settings})
        self.frames: list[tuple[int, bytes]] = []
        self.call: Any = None
        self.transport: Any = None
        self.tunnel.start()
        self.port = self.tunnel.ports[0]

    def callRequested(self, call: Any) -> None:
        self.call = call
        self.transport = call.openTransport(lambda *frame: self.frames.append(frame))
        call.accept(self.owner)

    async def dial(self, **settings: Any) -> tuple[LACConnection, Any]:
        """
        Have a client call.
        """
        connection = await self.connect(**settings)
        call = connection.control.placeCall(self.owner)
        await until(lambda: self.owner.call)
        return connection, call


@pytest.fixture
def family(monkeypatch: pytest.MonkeyPatch) -> Iterator[Family]:
    yield Family(monkeypatch)


@waited
async def test_aCall(family: Family) -> None:
    """
    The kernel is given a connected UDP socket and the ids of the tunnel, and then those of a call.
    Messages that come by that socket are read. With the end of the connection all are closed, the
    call's first.
    """
    tunnel = Kernel()
    try:
        connection, call = await tunnel.dial()
        itself: Any
        itself, session = family.sockets
        port = connection.control.port
        assert port is not None
        ids = connection.control.peerID, call.peerID, connection.control.localID, call.localID
        (peer,) = tunnel.port._kernel._tunnels
        opened: Any = tunnel.port._kernel._tunnels[peer]
        head = pack("=HIii", 24, 1, 0, opened.fileno()) + pack("=H", socket.AF_INET)
        head += pack("!H", peer[1]) + socket.inet_aton("127.0.0.1") + bytes(8)
        assert itself.address == head + pack("=4H", ids[0], 0, ids[2], 0)
        assert session.address == head + pack("=4H", *ids)
        assert session.options == {IS_LNS: 1, REORDERING: REORDER}
        assert (tunnel.transport.channel, tunnel.transport.compresses) == (7, False)
        send = port.writer("", ("127.0.0.1", tunnel.port.number))
        send.write(encodeData(DataMessage(ids[0], ids[1], -1, FRAME)))
        send.write(encodeData(DataMessage(ids[0], ids[1], -1, b"")))
        await until(lambda: len(tunnel.frames) == 2)
        assert tunnel.frames == [(LCP, b"one"), (0, b"")]
        family.received = 5
        assert tunnel.call.framesReceived == 5
        await connection.close()
        await until(lambda: tunnel.owner.ended)
        assert not itself.closed and opened.fileno() >= 0 and tunnel.call.framesReceived == 0
        await deferToThread(tunnel.transport.close)
        await until(lambda: itself.closed)
        assert session.closed < itself.closed and opened.fileno() < 0
        assert not tunnel.port._kernel and not tunnel.port._calls and not tunnel.port._ids
        assert tunnel.environment.counters.discards == {}
    finally:
        await tunnel.tunnel.stop()


@waited
async def test_controlGoesOn(family: Family) -> None:
    """
    After a call another one is placed on the same connection, which keeps its socket. What the
    socket's host reports doesn't end it.
    """
    tunnel = Kernel()
    try:
        connection, call = await tunnel.dial()
        opened: Any
        (opened,) = tunnel.port._kernel._tunnels.values()
        assert opened in reactor.getReaders()
        call.hangUp("one is enough")
        await until(lambda: len(tunnel.owner.ended) == 2)
        tunnel.transport.close()
        tunnel.owner.call = None
        connection.control.placeCall(tunnel.owner)
        await until(lambda: tunnel.owner.call)
        assert [bool(one.closed) for one in family.sockets] == [False, True, False]
        assert list(tunnel.port._kernel._tunnels.values()) == [opened]
        lost: list[object] = []
        note = opened.connectionLost

        def connectionLost(why: object) -> None:
            lost.append(why)
            note(why)

        opened.connectionLost = connectionLost
        connection._port.stopListening()
        opened._udp.send(b"x")
        await deferLater(reactor, 0.1, lambda: None)
        assert lost
        assert opened in reactor.getReaders()
    finally:
        await tunnel.tunnel.stop()
    assert opened.fileno() < 0 and tunnel.port.fileno() < 0


@waited
async def test_thePortIsRestored(family: Family) -> None:
    """
    When the port's socket is replaced those of the kernel's calls are closed, and the control
    connection goes on. The next call on it is the kernel's again.
    """
    tunnel = Kernel()
    try:
        connection, _ = await tunnel.dial()
        (opened,) = tunnel.port._kernel._tunnels.values()
        tunnel.port._restore()
        assert opened.fileno() < 0 and family.sockets[0].closed and tunnel.port.fileno() >= 0
        tunnel.transport.close()
        tunnel.owner.call = None
        connection.control.placeCall(tunnel.owner)
        await until(lambda: tunnel.owner.call)
        assert len(family.sockets) == 4 and tunnel.port._kernel
        await connection.close()
        tunnel.transport.close()
        await until(lambda: not tunnel.port._kernel)
    finally:
        await tunnel.tunnel.stop()


@waited
async def test_numbers(family: Family) -> None:
    """
    The kernel sends sequence numbers once the LAC has asked for them.
    """
    tunnel = Kernel()
    try:
        connection, _ = await tunnel.dial(numbered=True)
        options = family.sockets[1].options
        # The LAC's ICCN asks for them, which may still be on its way.
        await until(lambda: options.get(SEND_NUMBERS) == 1)
        await connection.close()
        tunnel.transport.close()
    finally:
        await tunnel.tunnel.stop()


@waited
async def test_otherConnections(family: Family) -> None:
    """
    The calls of one control connection alone are the kernel's, of those with one peer, and its ids
    can't be those of calls that this process carries.
    """
    tunnel = Kernel()
    try:
        connection, _ = await tunnel.dial()
        peer, ours = tunnel.call.connection.peer, tunnel.call.localID
        carriage = tunnel.call._carriage
        port: Any = tunnel.port
        ignore: Any = len
        sender = DataSender((1, 2), Writing(ignore), ignore, ignore, ignore, False)
        with pytest.raises(CallError, match="the kernel carries another call"):
            port.register((carriage.ends.tunnel ^ 1, ours), peer, sender)
        port.register((carriage.ends.tunnel ^ 1, ours ^ 1), peer, sender)
        another = Carriage(carriage, tunnel=carriage.ends.tunnel, call=ours ^ 1)
        with pytest.raises(CallError, match="this process carries another call"):
            port.openTransport(another, False, ignore)
        port.unregister((carriage.ends.tunnel ^ 1, ours ^ 1))
        another = Carriage(carriage, tunnel=carriage.ends.tunnel ^ 1, call=ours ^ 1)
        with pytest.raises(CallError, match="another control connection"):
            port.openTransport(another, False, ignore)
        await connection.close()
        tunnel.transport.close()
    finally:
        await tunnel.tunnel.stop()


class Carriage:
    """
    A carriage like another one, with other ids of ours.
    """

    def __init__(self, other: Any, tunnel: int, call: int) -> None:
        self.ends = other.ends._replace(tunnel=tunnel, call=call)
        self.connection = other.connection
        self.isLAC, self.tellACCM = other.isLAC, other.tellACCM


@pytest.mark.parametrize("refused", [0, 1])
@waited
async def test_theKernelRefuses(family: Family, refused: int) -> None:
    """
    If the kernel refuses a tunnel or a call, nothing of it stays open.
    """
    tunnel = Kernel()
    family.refused = refused
    errors: list[OSError] = []

    def callRequested(call: Any) -> None:
        try:
            call.openTransport(lambda *frame: None)
        except OSError as error:
            errors.append(error)

    tunnel.callRequested = callRequested  # type: ignore[method-assign]
    try:
        connection = await tunnel.connect()
        connection.control.placeCall(tunnel.owner)
        await until(lambda: errors)
        assert family.sockets[refused].closed and not tunnel.port._calls
        assert bool(tunnel.port._kernel) == bool(refused)
        await connection.close()
        await until(lambda: not tunnel.port._kernel)
        assert all(one.closed for one in family.sockets)
    finally:
        await tunnel.tunnel.stop()


@waited
async def test_encryption(family: Family) -> None:
    """
    A call without IPsec that may have MPPE isn't the kernel's, unless packets of CCP are withheld
    from the kernel. If a caller must have it who was taken to have none, the transport refuses.
    """
    tunnel = Kernel()
    try:
        connection, _ = await tunnel.dial()
        with pytest.raises(NotPermitted, match="MPPE"):
            tunnel.transport.requireEncryption()
        port, carriage = tunnel.port, tunnel.call._carriage
        await connection.close()
        tunnel.transport.close()
        await until(lambda: not port._kernel)
        port.mayEncrypt = lambda: True
        with pytest.raises(NotPermitted, match="nftables"):
            port.openTransport(carriage, False, lambda *frame: None)
        port.withholds = lambda: True
        for encrypted in (False, True):
            one = port.openTransport(carriage, encrypted, lambda *frame: None)
            one.requireEncryption()
            one.close()
            await until(lambda: not port._calls)
            port.withholds = lambda: False
    finally:
        await tunnel.tunnel.stop()


@pytest.mark.parametrize(
    ("own", "general", "may"), [("", "off", False), ("off", "require", False), ("", "prefer", True)]
)
def test_whatCallersMayHave(own: str, general: str, may: bool) -> None:
    tunnel = Answering(encryption=own)
    configuration = tunnel.environment.environment.configuration
    link = configuration.link
    object.__setattr__(link, "encryption", general)
    assert tunnel.tunnel.ports[0].mayEncrypt() is may
