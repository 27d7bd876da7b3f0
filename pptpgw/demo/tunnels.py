"""
The same user's call by each tunnel: what it agrees on, how long it takes, and how many octets its
packets cost.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.stdio import StandardIO
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory

from pptpgw.clock import steady
from pptpgw.demo.selfcall import echoRequest, isEchoReply
from pptpgw.error import PPTPGWError
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.settings import LinkSettings
from pptpgw.service import GatewayService
from pptpgw.tunnels.hdlc.client import HDLCClientFactory
from pptpgw.tunnels.l2tp.client import LACClient
from pptpgw.tunnels.sstp.client import SSTPClient, Trust

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

_PAYLOAD = bytes(range(256)) * 2
_DEVICES = Path("/proc/self/net/dev")

COLUMNS = ("tunnel", "set-up", "round trip", "octets more", "agreed")


class TunnelTrial(ABC):
    """
    A call by one tunnel, from the gateway's own process.

    @cvar name: the name of the tunnel.
    @ivar agreed: what the call has agreed on, in words.
    @ivar setUp: the seconds from the beginning of the call until IPv4 was open.
    @ivar roundTrip: the seconds from a ping to the gateway's own address to its answer: the median.
    @ivar overhead: the octets that a packet costs on its way beyond its own, with its share of the
        acknowledgements.
    @ivar fault: why the trial failed; empty if it didn't.
    """

    name: ClassVar[str]

    def __init__(self, reactor: Any, service: GatewayService, settings: LinkSettings) -> None:
        """
        @param settings: the settings of the caller's link.
        """
        self.agreed = ""
        self.setUp = self.roundTrip = self.overhead = 0.0
        self.fault = ""
        self._reactor = reactor
        self._clock = steady(reactor)
        self._service = service
        self._settings = settings
        self._ipv4 = IPCP(IPv4Settings.client(self._received))
        self._answered: Deferred[None] = Deferred()

    # What differs between tunnels

    @abstractmethod
    async def call(self, ipv4: IPCP) -> ClientCall:
        """
        Place the call, and wait until it is set up.

        @raise PPTPGWError: it failed.
        """

    @abstractmethod
    async def disconnect(self) -> None:
        """
        Close what is left of the call, which is over.
        """

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

    async def run(self) -> None:
        """
        Call, ping, measure and hang up; set C{fault} if that fails.
        """
        try:
            began = self._clock.seconds()
            placed = await self.call(self._ipv4)
            self.setUp = self._clock.seconds() - began
            try:
                await self._ping()
                self.agreed = self._words(placed)
            finally:
                placed.hangUp()
                await placed.ended
                await self.disconnect()
        except TimeoutError:
            self.fault = f"nothing came within {TIMEOUT:g} s"
        except PPTPGWError as error:
            self.fault = str(error)

    async def _ping(self) -> None:
        ours, gateway = self._ipv4.localAddress, self._ipv4.peerAddress or ""
        packet = echoRequest(ours, gateway, _PAYLOAD)
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


class ConnectedTrial(TunnelTrial):
    """
    A call on a connection to the gateway, which can have several.
    """

    @abstractmethod
    async def connect(self) -> Any:
        """
        Open the connection, whose C{call} places a call and whose C{close} closes it.
        """

    async def call(self, ipv4: IPCP) -> ClientCall:
        """
        See L{TunnelTrial.call}.
        """
        self._connection = await self.connect()
        placed: ClientCall = self._connection.call(self._settings, [ipv4])
        await placed.opened.addTimeout(TIMEOUT, self._reactor)
        return placed

    async def disconnect(self) -> None:
        """
        See L{TunnelTrial.disconnect}.
        """
        await self._connection.close()


class PPTPTrial(ConnectedTrial):
    """
    A call over TCP and GRE.
    """

    name = "pptp"

    async def connect(self) -> Any:
        """
        See L{ConnectedTrial.connect}.
        """
        endpoint = self._service.clientEndpoint("127.0.0.1", self._settings)
        return await endpoint.control.connect()

    async def call(self, ipv4: IPCP) -> ClientCall:
        """
        See L{TunnelTrial.call}. The connection itself waits until the call is set up.
        """
        self._connection = await self.connect()
        placed: ClientCall = await self._connection.placeCall(self._settings, [ipv4])
        return placed


class SSTPTrial(ConnectedTrial):
    """
    A call over TLS, by TCP.
    """

    name = "sstp"

    async def connect(self) -> Any:
        """
        See L{ConnectedTrial.connect}. The gateway's certificate is known by its fingerprint.
        """
        tunnel: Any = self._service.tunnels["sstp"]
        trust = Trust(fingerprint=tunnel.factory.certificate.fingerprint)
        return await SSTPClient(self._reactor, "127.0.0.1", trust=trust, timeout=TIMEOUT).connect()


class L2TPTrial(ConnectedTrial):
    """
    A call over UDP, without IPsec below it.
    """

    name = "l2tp"

    async def connect(self) -> Any:
        """
        See L{ConnectedTrial.connect}.
        """
        return await LACClient(self._reactor, "127.0.0.1", timeout=TIMEOUT).connect()


class CountedLine(ProtocolWrapper):
    """
    A protocol's connection whose octets are counted.

    @ivar octets: those that passed so far, both ways.
    """

    octets = 0

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


class HDLCTrial(TunnelTrial):
    """
    A call over a pseudoterminal.
    """

    name = "hdlc"

    async def call(self, ipv4: IPCP) -> ClientCall:
        """
        See L{TunnelTrial.call}: open the device on which the gateway answers.
        """
        (path,) = self._service.tunnels["hdlc"].places
        try:
            # One descriptor for each direction, as the reactor asks for.
            self._devices = FileIO(path, "r+"), FileIO(path, "r+")
        except OSError as error:
            raise PPTPGWError(f"{path}: {error.strerror}") from error
        settings = replace(self._settings, accm=0)
        placed = ClientCall(self._clock, self._service.dataPath, settings, [ipv4])
        self._factory = HDLCClientFactory(self._clock, placed, 0)
        protocol: Any = self._factory.buildProtocol(None)
        self._line = CountedLine(WrappingFactory(self._factory), protocol)
        reading, writing = (one.fileno() for one in self._devices)
        # Its types are those of Windows, where there are no descriptors.
        connect: Any = StandardIO
        connect(self._line, reading, writing, reactor=self._reactor)
        await placed.opened.addTimeout(TIMEOUT, self._reactor)
        return placed

    async def disconnect(self) -> None:
        """
        See L{TunnelTrial.disconnect}.
        """
        await self._factory.whenDisconnected()
        for one in self._devices:
            one.close()

    def carried(self) -> int:
        """
        See L{TunnelTrial.carried}: the octets on the line.
        """
        return self._line.octets


TRIALS: Sequence[type[TunnelTrial]] = (PPTPTrial, SSTPTrial, L2TPTrial, HDLCTrial)
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
tunnels = [{", ".join(f'"{one.name}"' for one in TRIALS)}]

[sstp]
endpoints = ["tcp:443:interface=127.0.0.1"]
certificate = "{folder}/{CERTIFICATE}"

[l2tp]
clear = "accept"

[hdlc]
endpoints = ["pty:"]
"""


def row(trial: TunnelTrial) -> tuple[str, ...]:
    """
    Return the row of the table for C{trial}.
    """
    if trial.fault:
        return trial.name, "-", "-", "-", trial.fault
    return (
        trial.name,
        f"{trial.setUp * 1000:.0f} ms",
        f"{trial.roundTrip * 1000:.2f} ms",
        f"{trial.overhead:.1f}",
        trial.agreed,
    )
