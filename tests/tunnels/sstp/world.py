"""
A gateway that serves SSTP on this machine's loopback, and our own callers, in one process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.clock import steady
from pptpgw.config.section import ListenSection
from pptpgw.datapath.python import PythonDataPath
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.testing import MemoryTUN, SessionRecorder, World, makeTunnelEnvironment
from pptpgw.tunnels.sstp.client import ClientConnection, SSTPClient
from pptpgw.tunnels.sstp.trust import Trust
from pptpgw.tunnels.sstp.tunnel import SSTPSettings, SSTPTunnel

HOST = "127.0.0.1"
SECONDS = 60.0
"""
Seconds that anything may take.
"""


class SSTPWorld(World):
    """
    The gateway. Callers are let in by MS-CHAPv2 unless C{options} say otherwise.

    @ivar tunnel: the tunnel, once it serves.
    @ivar recorder: what observers are told.
    """

    def __init__(
        self,
        folder: Path,
        checker: ICredentialsChecker,
        text: str = "",
        listen: ListenSection | None = None,
        **settings: Any,
    ) -> None:
        from twisted.internet import reactor

        self.recorder = SessionRecorder()
        text = f'[listen]\ntunnels = ["sstp"]\n{text}'
        super().__init__(text, [checker], [self.recorder], steady(reactor))
        settings = {
            "endpoints": (f"tcp:0:interface={HOST}",),
            "certificate": str(folder / "sstp.pem"),
            **settings,
        }
        made = makeTunnelEnvironment(self.gateway, listen, self.clock)
        self.tunnelEnvironment = replace(made, tally=self.gateway.tally)
        self.tunnel = SSTPTunnel(SSTPSettings(**settings), self.tunnelEnvironment)
        self.tunnel.start()

    def makeDataPath(self) -> Any:
        self.tun = MemoryTUN()
        return PythonDataPath(self.clock, self.tun)

    @property
    def port(self) -> int:
        host: Any = self.tunnel.entrance.ports[0].getHost()
        port: int = host.port
        return port

    @property
    def discards(self) -> dict[str, int]:
        """
        What was counted of everything that belongs to no call.
        """
        return dict(self.tunnelEnvironment.counters.discards)

    def client(self, trust: Trust | None = None, port: int = 0) -> SSTPClient:
        trust = trust or Trust(fingerprint=self.tunnel.factory.certificate.fingerprint)
        return SSTPClient(self.clock, HOST, port or self.port, trust, SECONDS)

    def place(
        self,
        connection: ClientConnection,
        receive: Callable[[bytes], None] | None = lambda packet: None,
        user: bytes = b"alice",
        password: bytes = b"open sesame",
        **options: Any,
    ) -> ClientCall:
        """
        Place the call of a connection.

        @param receive: called with each packet; None for a client whose data path has a TUN device.
        """
        methods = options.pop("methods", (MSCHAPV2,))
        settings = LinkSettings(identity=Identity(user, password, methods), **options)
        client = replace(IPv4Settings.client(lambda packet: None), receive=receive)
        return connection.call(settings, [IPCP(client)])

    async def reach(self, **options: Any) -> ClientCall:
        """
        Connect, place a call, and wait until IPv4 is open.
        """
        call = self.place(await self.client().connect(), **options)
        await call.opened
        return call

    async def until(self, condition: Callable[[], object]) -> None:
        """
        Wait until a condition holds.
        """
        deadline = self.clock.seconds() + SECONDS
        while not condition():
            assert self.clock.seconds() < deadline, "it never came true"
            await self.pause()

    def pause(self, seconds: float = 0.02) -> Deferred[None]:
        return deferLater(self.clock, seconds, lambda: None)

    async def end(self) -> None:
        """
        Stop everything, which leaves no timer of ours.
        """
        await self.tunnel.stopListening()
        await self.gateway.stop(5)
        await self.tunnel.stop()
