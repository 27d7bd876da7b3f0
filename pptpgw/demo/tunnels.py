"""
The same user's call by each tunnel: what it agrees on, how long it takes, and how many octets its
packets cost.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, TimeoutError, fail, succeed
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.clock import steady
from pptpgw.demo.selfcall import echoRequest, isEchoReply
from pptpgw.error import PPTPGWError
from pptpgw.interfaces import ITunnelClient
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.settings import LinkSettings
from pptpgw.service import GatewayService
from pptpgw.tunnels.hdlc.client import HDLCClient
from pptpgw.tunnels.l2tp.client import LACClient
from pptpgw.tunnels.pptp.client import ClientConnection
from pptpgw.tunnels.sstp.client import SSTPClient
from pptpgw.tunnels.sstp.trust import Trust

ROUNDS = 20
"""
The number of pings that each call carries, one after the other.
"""

TIMEOUT = 20.0
"""
The most seconds that a call may take to be set up, and an answer to come.
"""

CERTIFICATE = "sstp.pem"
"""
The name of the file of the gateway's certificate.
"""

PAYLOAD = bytes(range(256)) * 2
"""
What each ping carries.
"""

LINE = "line"
"""
The name of the Unix socket at which the gateway answers calls over a line, too.
"""

_DEVICES = Path("/proc/self/net/dev")

COLUMNS = ("tunnel", "set-up", "round trip", "octets more", "agreed")


class Trial(ABC):
    """
    A call of the second table.

    @cvar name: the name of the call in the table.
    @ivar agreed: what the call has agreed on, in words.
    @ivar setUp: the seconds from the beginning of the call until IPv4 was open.
    @ivar roundTrip: the seconds from a ping to its answer: the median.
    @ivar overhead: the octets that a packet costs on its way beyond its own, with its share of the
        acknowledgements; None if that isn't measured.
    @ivar fault: why the trial failed; empty if it didn't.
    """

    name: ClassVar[str]

    def __init__(self, reactor: Any) -> None:
        self.agreed = ""
        self.setUp = self.roundTrip = 0.0
        self.overhead: float | None = None
        self.fault = ""
        self._reactor = reactor
        self._clock = steady(reactor)

    async def run(self) -> None:
        """
        Call, ping, measure and hang up; set C{fault} if that fails.
        """
        try:
            await self._run()
        except TimeoutError:
            self.fault = f"nothing came within {TIMEOUT:g} s"
        except PPTPGWError as error:
            self.fault = str(error)

    @abstractmethod
    async def _run(self) -> None:
        """
        Call, ping, measure and hang up.

        @raise PPTPGWError: that failed; the text says why.
        @raise TimeoutError: something took longer than L{TIMEOUT} seconds.
        """


class TunnelTrial(Trial):
    """
    A call by one tunnel, from the gateway's own process, with pings to the gateway's own address.

    @cvar tunnel: the name of its tunnel.
    """

    tunnel: ClassVar[str]

    def __init__(self, reactor: Any, service: GatewayService, settings: LinkSettings) -> None:
        """
        @param settings: the settings of the caller's link.
        """
        super().__init__(reactor)
        self._service = service
        self._settings = settings
        self._ipv4 = IPCP(IPv4Settings.client(self._received))
        self._answered: Deferred[None] = Deferred()

    # What differs between tunnels

    @abstractmethod
    def client(self) -> ITunnelClient:
        """
        Return a client of the gateway.

        @raise PPTPGWError: there can be none.
        """

    async def connect(self) -> Any:
        """
        Connect that client, and return its L{pptpgw.interfaces.IClientConnection}.
        """
        return await self.client().connect()

    def carried(self) -> int:
        """
        Return the octets that the tunnel has carried so far, both ways, with everything below it
        down to IP: those of the loopback device, over which the gateway is called.
        """
        for line in _DEVICES.read_text().splitlines():
            device, _, figures = line.partition(":")
            if device.strip() == "lo":
                return int(figures.split()[0])
        raise PPTPGWError(f"{_DEVICES} has no loopback device")

    # The trial

    async def _run(self) -> None:
        began = self._clock.seconds()
        connection = await self.connect()
        placed = connection.call(self._settings, [self._ipv4])
        await placed.opened.addTimeout(TIMEOUT, self._reactor)
        self.setUp = self._clock.seconds() - began
        try:
            await self._ping()
            self.agreed = self._words(placed)
        finally:
            placed.hangUp()
            await placed.ended
            await connection.close()

    async def _ping(self) -> None:
        ours, gateway = self._ipv4.localAddress, self._ipv4.peerAddress or ""
        packet = echoRequest(ours, gateway, PAYLOAD)
        times = []
        before = self.carried()
        for _ in range(ROUNDS):
            self._answered = Deferred()
            began = self._clock.seconds()
            self._ipv4.sendPacket(packet)
            await self._answered.addTimeout(TIMEOUT, self._reactor)
            times.append(self._clock.seconds() - began)
        # An answer has as many octets as its request.
        self.overhead = (self.carried() - before) / (2 * ROUNDS) - len(packet)
        self.roundTrip = sorted(times)[ROUNDS // 2]

    def _received(self, packet: bytes) -> None:
        if isEchoReply(packet) and not self._answered.called:
            self._answered.callback(None)

    def _words(self, placed: ClientCall) -> str:
        link = placed.link
        method = link.method.name if link.method is not None else "none"
        return f"{method}, {link.encryption}, {self._ipv4.localAddress}, MRU {link.lcp.peerMRU}"


class PPTPTrial(TunnelTrial):
    """
    A call over TCP and GRE.
    """

    name = tunnel = "pptp"

    def client(self) -> ITunnelClient:
        """
        See L{TunnelTrial.client}.
        """
        return self._service.clientEndpoint("127.0.0.1", self._settings).client


class IncomingTrial(PPTPTrial):
    """
    A call that a PAC offers to the gateway, as its PNS (RFC 2637 section 2.9).
    """

    name = "incoming"

    async def connect(self) -> ClientConnection:
        """
        See L{TunnelTrial.connect}.
        """
        connection: ClientConnection = await super().connect()
        connection.isConcentrator = True
        return connection


class SSTPTrial(TunnelTrial):
    """
    A call over TLS, by TCP.
    """

    name = tunnel = "sstp"

    def client(self) -> ITunnelClient:
        """
        See L{TunnelTrial.client}. The gateway's certificate is known by its fingerprint.
        """
        tunnel: Any = self._service.tunnels["sstp"]
        trust = Trust(fingerprint=tunnel.factory.certificate.fingerprint)
        return SSTPClient(self._reactor, "127.0.0.1", trust=trust, timeout=TIMEOUT)


class L2TPTrial(TunnelTrial):
    """
    A call over UDP, without IPsec below it.
    """

    name = tunnel = "l2tp"

    def client(self) -> ITunnelClient:
        """
        See L{TunnelTrial.client}.
        """
        return LACClient(self._reactor, "127.0.0.1", timeout=TIMEOUT)


class CountedLine(ProtocolWrapper):
    """
    A protocol's connection over a device, whose octets are counted.

    @ivar octets: those that passed so far, both ways.
    """

    octets = 0

    def __init__(self, protocol: Any, close: Callable[[], object]) -> None:
        """
        @param close: called when the connection is lost.
        """
        ProtocolWrapper.__init__(self, WrappingFactory(Factory()), protocol)
        self._close = close

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Close both descriptors of the device, since the call is over.
        """
        ProtocolWrapper.connectionLost(self, reason)
        self._close()

    def write(self, data: bytes) -> None:
        """
        Send octets.
        """
        self.octets += len(data)
        ProtocolWrapper.write(self, data)

    def dataReceived(self, data: bytes) -> None:
        """
        Take octets that have come.
        """
        self.octets += len(data)
        ProtocolWrapper.dataReceived(self, data)


@implementer(IStreamClientEndpoint)
class DeviceEndpoint:
    """
    The endpoint of a device on which the gateway answers, whose octets are counted.

    @ivar line: the line, once it is connected.
    """

    line: CountedLine

    def __init__(self, reactor: Any, path: str) -> None:
        self._reactor = reactor
        self._path = path

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        See L{IStreamClientEndpoint.connect}.
        """
        try:
            # One descriptor for each direction, as the reactor asks for.
            devices = FileIO(self._path, "r+"), FileIO(self._path, "r+")
        except OSError as error:
            return fail(PPTPGWError(f"{self._path}: {error.strerror}"))
        nowhere: Any = None
        protocol: Any = protocolFactory.buildProtocol(nowhere)
        later = self._reactor.callLater
        self.line = CountedLine(protocol, lambda: [later(0, one.close) for one in devices])
        reading, writing = (one.fileno() for one in devices)
        # Its types are those of Windows, where there are no descriptors.
        connect: Any = StandardIO
        connect(self.line, reading, writing, reactor=self._reactor)
        return succeed(protocol)


class HDLCTrial(TunnelTrial):
    """
    A call over a pseudoterminal.
    """

    name = tunnel = "hdlc"

    def client(self) -> ITunnelClient:
        """
        See L{TunnelTrial.client}: call over the device on which the gateway answers.
        """
        path = self._service.tunnels["hdlc"].places[0]
        self._device = DeviceEndpoint(self._reactor, path)
        return HDLCClient(self._reactor, self._device, dataPath=self._service.dataPath)

    def carried(self) -> int:
        """
        See L{TunnelTrial.carried}: the octets on the line.
        """
        return self._device.line.octets


TRIALS: Sequence[type[TunnelTrial]] = (
    PPTPTrial,
    IncomingTrial,
    SSTPTrial,
    L2TPTrial,
    HDLCTrial,
)
"""
The trials, in the order of the table.
"""


def sections(folder: str) -> str:
    """
    Return the part of the configuration of the demo's gateway that is about its tunnels.

    @param folder: where the gateway's certificate is.
    """
    # There is no IPsec on the loopback device.
    return f"""
[listen]
addresses = ["127.0.0.1"]
tunnels = [{", ".join(f'"{name}"' for name in dict.fromkeys(one.tunnel for one in TRIALS))}]

[pptp]
access-concentrators = ["127.0.0.1/32"]

[sstp]
endpoints = ["tcp:443:interface=127.0.0.1"]
certificate = "{folder}/{CERTIFICATE}"

[l2tp]
clear = "accept"

[hdlc]
endpoints = ["pty:", "unix:{folder}/{LINE}"]
"""


def row(trial: Trial) -> tuple[str, ...]:
    """
    Return the row of the table for C{trial}.
    """
    if trial.fault:
        return trial.name, "-", "-", "-", trial.fault
    return (
        trial.name,
        f"{trial.setUp * 1000:.0f} ms",
        f"{trial.roundTrip * 1000:.2f} ms",
        "-" if trial.overhead is None else f"{trial.overhead:.1f}",
        trial.agreed,
    )
