"""
Tests for links over real lines: what one end sends arrives at the other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor as running
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.task import deferLater
from zope.interface import implementer

from pptpgw.clock import steady
from pptpgw.datapath.python import PythonDataPath
from pptpgw.error import CallError
from pptpgw.interfaces import ICallTaker
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.settings import LinkSettings
from pptpgw.testing import makeTunnelEnvironment
from pptpgw.tunnels.hdlc.chat import parseChat
from pptpgw.tunnels.hdlc.client import ChatEndpoint, HDLCClientFactory
from pptpgw.tunnels.hdlc.serialline import HANG_UP_SECONDS
from pptpgw.tunnels.hdlc.tunnel import HDLCSettings, HDLCTunnel
from tests.lab.lines import NullModem

reactor: Any = steady(running)
SETTINGS = LinkSettings(encryption="off", accm=0)


def ping(size: int) -> bytes:
    """
    An IPv4 packet between the two ends, whose payload has every octet.
    """
    header = bytearray(20)
    header[0], header[2:4], header[9] = 0x45, size.to_bytes(2, "big"), 0xFE
    header[12:16], header[16:20] = bytes([10, 0, 0, 2]), bytes([10, 0, 0, 1])
    return bytes(header) + bytes(number % 256 for number in range(size - 20))


@implementer(ICallTaker)
class Answering:
    """
    The end that answers: a tunnel, and a gateway that accepts its calls.
    """

    def __init__(self, *endpoints: str) -> None:
        self.calls: list[ClientCall] = []
        self.received: Deferred[bytes] = Deferred()
        environment = makeTunnelEnvironment(self, clock=reactor)
        self.tunnel = HDLCTunnel(HDLCSettings(endpoints=endpoints), environment)
        self.tunnel.start()

    def callRequested(self, call: Any) -> None:
        settings = IPv4Settings("10.0.0.1", "10.0.0.2", receive=self._receive)
        taken = ClientCall(reactor, PythonDataPath(reactor), SETTINGS, [IPCP(settings)])
        taken.opened.addErrback(lambda failure: None)
        self.calls.append(taken)
        call.accept(taken)

    def _receive(self, packet: bytes) -> None:
        received, self.received = self.received, Deferred()
        received.callback(packet)

    async def place(self, string: str, chat: str = "") -> tuple[ClientCall, IPCP]:
        """
        Call this end at a client endpoint string, and send a packet.
        """
        ipv4 = IPCP(IPv4Settings.client(lambda packet: None))
        call = ClientCall(reactor, PythonDataPath(reactor), SETTINGS, [ipv4])
        self.factory = HDLCClientFactory(reactor, call, 0)
        endpoint = clientFromString(running, string)
        if chat:
            endpoint = ChatEndpoint(reactor, endpoint, parseChat(chat))
        connecting: Deferred[Any] = endpoint.connect(self.factory)
        await connecting.addTimeout(5, reactor)
        await call.opened.addTimeout(20, reactor)
        assert ipv4.localAddress == "10.0.0.2"
        received = self.received
        ipv4.sendPacket(ping(1400))
        assert await received.addTimeout(5, reactor) == ping(1400)
        return call, ipv4


async def until(done: Callable[[], object]) -> None:
    """
    Wait until C{done} is true, for five seconds at most.
    """
    for _ in range(500):
        if done():
            return
        await deferLater(reactor, 0.01, lambda: None)
    raise AssertionError("it didn't come to that")


async def finish(end: Answering, call: ClientCall) -> None:
    """
    Hang up, and wait until both ends are disconnected.
    """
    await call.hangUp().addTimeout(10, reactor)
    await end.factory.whenDisconnected().addTimeout(10, reactor)
    await end.tunnel.entrance.whenEmpty().addTimeout(10, reactor)


async def test_aUnixSocket(tmp_path: Path) -> None:
    end = Answering(f"unix:{tmp_path}/line")
    call, _ = await end.place(f"unix:{tmp_path}/line")
    assert end.tunnel.places == (f"unix:{tmp_path}/line",)
    assert call.link.lcp.receiveACCM == 0
    await finish(end, call)
    await end.tunnel.stop()


async def test_aPseudoterminalServesOneAfterAnother() -> None:
    """
    A pseudoterminal serves one caller after another: the next may open the device when it has been
    closed.
    """
    end = Answering("pty:")
    (device,) = end.tunnel.places
    for count in (1, 2):
        call, _ = await end.place(f"serial:{device}:115200")
        assert len(end.calls) == count
        await finish(end, call)
    await end.tunnel.stop()


async def test_aPseudoterminalWhoseUserIsGone() -> None:
    end = Answering("pty:")
    (device,) = end.tunnel.places
    call, _ = await end.place(f"serial:{device}:115200")
    end.factory.abort()
    await end.tunnel.entrance.whenEmpty().addTimeout(5, reactor)
    assert "disconnected" in await end.calls[0].ended
    assert "disconnected" in await call.ended
    await end.tunnel.stop()


async def test_aSerialLineAnswersTheFirstOctets() -> None:
    """
    Octets that a caller sends to a modem before the call aren't part of the call, and the line
    answers again after the call.
    """
    cable = NullModem()
    answering, calling = cable.devices
    end = Answering(f"serial:{answering}:9600")
    assert end.tunnel.places == (answering,)
    for count in (1, 2):
        assert len(end.calls) == count - 1
        call, _ = await end.place(f"serial:{calling}:9600", "'' ATZ")
        assert len(end.calls) == count
        await finish(end, call)
        await deferLater(reactor, HANG_UP_SECONDS + 0.1, lambda: None)
    await end.tunnel.stop()
    cable.close()


async def test_aChatScriptThatFails() -> None:
    """
    A chat script that fails disconnects the line, and no call begins.
    """
    end = Answering("pty:")
    (device,) = end.tunnel.places
    with pytest.raises(CallError, match="didn't say OK within 1 s"):
        await end.place(f"serial:{device}:115200", "TIMEOUT 1 OK ATDT CONNECT")
    await end.tunnel.entrance.whenEmpty().addTimeout(5, reactor)
    await end.tunnel.stop()
