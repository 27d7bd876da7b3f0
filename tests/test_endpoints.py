"""
Tests for the endpoints of clients by the tunnels that need no raw sockets, as endpoint strings
describe them: each calls a gateway on this machine's loopback device. L{tests.test_client} has
those of PPTP.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.error import (
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionDone,
    TimeoutError,
)
from twisted.internet.task import deferLater
from zope.interface import implementer

from pptpgw.auth.checkers import ChapSecretsChecker
from pptpgw.clock import steady
from pptpgw.config.section import ListenSection
from pptpgw.datapath.python import PythonDataPath
from pptpgw.demo.selfcall import echoRequest
from pptpgw.error import CallError
from pptpgw.testing import MemoryTUN, World, makeTunnelEnvironment
from pptpgw.tunnels.hdlc.tunnel import HDLCSettings, HDLCTunnel
from pptpgw.tunnels.l2tp.tunnel import L2TPSettings, L2TPTunnel
from pptpgw.tunnels.sstp.tunnel import SSTPSettings, SSTPTunnel
from tests.chapsecrets import secretsIn
from tests.endpoints import Hearing, factoryFor

HOST = "127.0.0.1"
LISTEN = f"tcp:0:interface={HOST}"
clock: Any = steady(reactor)


@implementer(ICredentialsChecker)
class Slow:
    """
    A checker that never answers while it is told so.
    """

    credentialInterfaces = (IUsernameHashedPassword,)
    isSlow = False

    def __init__(self, folder: Path) -> None:
        self._checker: Any = ChapSecretsChecker(secretsIn(folder))

    def requestAvatarId(self, credentials: Any) -> Any:
        return Deferred() if self.isSlow else self._checker.requestAvatarId(credentials)


class Loop(World):
    """
    A gateway that one tunnel leads to.

    @ivar checker: judges the callers.
    @ivar tunnel: the tunnel.
    @ivar where: the endpoint string of the gateway, without an account.
    """

    tunnel: Any
    where: str

    def __init__(self, folder: Path, name: str) -> None:
        self.checker = Slow(folder)
        super().__init__(f'[listen]\ntunnels = ["{name}"]', [self.checker], clock=clock)
        listen = ListenSection(addresses=(IPv4Address(HOST),))
        made = makeTunnelEnvironment(self.gateway, listen, clock)
        environment = replace(made, tally=self.gateway.tally)
        getattr(self, f"_{name}")(folder, environment)
        password = folder / "password"
        password.touch(0o600)
        password.write_text("open sesame\n")
        self.account = f":user=alice:password-file={password}:timeout=20"
        self.factory = factoryFor(Hearing)

    def makeDataPath(self) -> Any:
        self.tun = MemoryTUN()
        return PythonDataPath(self.clock, self.tun)

    def _sstp(self, folder: Path, environment: Any) -> None:
        settings = SSTPSettings(endpoints=(LISTEN,), certificate=str(folder / "sstp.pem"))
        self.tunnel = SSTPTunnel(settings, environment)
        self.tunnel.start()
        port = self.tunnel.entrance.ports[0].getHost().port
        self.where = f"sstp:{HOST}:{port}:fingerprint={self.tunnel.factory.certificate.fingerprint}"

    def _l2tp(self, folder: Path, environment: Any) -> None:
        self.tunnel = L2TPTunnel(L2TPSettings(clear="accept"), environment)
        self.tunnel.ports[0]._number = 0
        self.tunnel.start()
        self.where = f"l2tp:{HOST}:{self.tunnel.ports[0].number}"

    def _hdlc(self, folder: Path, environment: Any) -> None:
        self.tunnel = HDLCTunnel(HDLCSettings(endpoints=(LISTEN,)), environment)
        self.tunnel.start()
        port = self.tunnel.factory.entrance.ports[0].getHost().port
        self.where = f"hdlc:tcp\\:{HOST}\\:{port}"

    def reach(self) -> Deferred[Any]:
        endpoint: Any = clientFromString(reactor, self.where + self.account)
        connecting: Deferred[Any] = endpoint.connect(self.factory)
        return connecting

    async def until(self, condition: Callable[[], object]) -> None:
        """
        Wait until a condition holds.
        """
        deadline = clock.seconds() + 20
        while not condition():
            assert clock.seconds() < deadline, "it never came true"
            await deferLater(clock, 0.01)

    async def over(self) -> None:
        """
        Wait until neither end has anything of a call any more.
        """
        await self.until(lambda: not self.gateway.lines and not self.gateway.sessions)
        await self.until(lambda: not self.factory.numPorts)


@asynccontextmanager
async def loop(folder: Path, name: str) -> AsyncIterator[Loop]:
    """
    A gateway, which is stopped at the end.
    """
    one = Loop(folder, name)
    try:
        yield one
    finally:
        await one.tunnel.stopListening()
        await one.gateway.stop(5)
        await one.tunnel.stop()


tunnels = pytest.mark.parametrize("name", ["sstp", "l2tp", "hdlc"])


@tunnels
async def test_packets(name: str, tmp_path: Path) -> None:
    """
    The protocol is told of its connection, of packets, and of its own hanging up.
    """
    async with loop(tmp_path, name) as one:
        protocol = await one.reach()
        assert protocol.told == ["made", "ipv4 opened"]
        transport = protocol.transport
        address = transport.networks["ipv4"].localAddress
        assert transport.authentication == "mschapv2"
        encrypted = "encrypted by the tunnel" if name == "sstp" else "MPPE 128 bit stateless"
        assert transport.encryption == encrypted
        assert transport.getPeer().host == HOST and transport.getHost().port
        packet = echoRequest(address, "10.77.0.1", bytes(100))
        transport.sendPacket("ipv4", packet)
        await one.until(lambda: one.tun.written)
        assert one.tun.written == [packet]
        back = echoRequest("10.77.0.1", address)
        one.tun.receiveAll([back])
        await one.until(lambda: len(protocol.told) == 3)
        assert protocol.told.pop() == ("ipv4", back)
        transport.loseConnection()
        await one.until(lambda: len(protocol.told) == 4)
        assert protocol.told[2] == "ipv4 closed" and isinstance(protocol.told[3], ConnectionDone)
        await one.over()


@tunnels
async def test_ends(name: str, tmp_path: Path) -> None:
    """
    The protocol is told why the connection ended: it aborted, or the gateway hung up. Then it can
    call again.
    """
    async with loop(tmp_path, name) as one:
        aborting = await one.reach()
        aborting.transport.abortConnection()
        await one.until(lambda: isinstance(aborting.told[-1], ConnectionAborted))
        await one.over()
        other = await one.reach()
        await one.until(lambda: one.gateway.sessions)
        (session,) = one.gateway.sessions
        session.hangUp("the shop is closed")
        await one.until(lambda: isinstance(other.told[-1], CallError))
        await one.over()


@tunnels
async def test_failures(name: str, tmp_path: Path) -> None:
    """
    A connection that fails, is cancelled or takes too long leaves nothing.
    """
    async with loop(tmp_path, name) as one:
        right, one.account = one.account, one.account.replace("=alice", "=nobody")
        with pytest.raises(CallError, match="wrong password"):
            await one.reach()
        await one.over()
        one.account = right
        one.checker.isSlow = True
        for seconds in (0.0, 0.02, 0.1):
            connecting = one.reach()
            await deferLater(clock, seconds)
            connecting.cancel()
            with pytest.raises(ConnectingCancelledError):
                await connecting
        await one.over()
        one.account = right.replace("timeout=20", "timeout=0.3")
        with pytest.raises(TimeoutError, match=r"no network protocol was open|wasn't open"):
            await one.reach()
        await one.over()


@tunnels
async def test_nobody(name: str, tmp_path: Path) -> None:
    """
    A connection to where nobody answers fails.
    """
    one = Loop(tmp_path, name)
    await one.tunnel.stopListening()
    await one.tunnel.stop()
    one.account = one.account.replace("timeout=20", "timeout=0.3")
    with pytest.raises(Exception, match=r"refused|wasn't open"):
        await one.reach()
    await one.over()
