"""
The attackers of L{tests.fuzz.live}, as a program: C{python -m tests.fuzz.attacker SECONDS SEED}.

The attackers are clients of ours, by PPTP, SSTP and L2TP. Their control messages and data packets
are altered, doubled and made up before they leave, to a degree that differs from call to call, so
that some calls get through each phase. At the end the program prints how many calls there were.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory

from pptpgw.auth.protocols import CHAP, MSCHAP, MSCHAPV2, PAP
from pptpgw.counting.counters import Counters
from pptpgw.datapath.interface import SendAll
from pptpgw.datapath.python import PythonDataPath
from pptpgw.error import CallError
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.link import Phase
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.ppp.wire import ppp
from pptpgw.tunnels.l2tp.client import LACClient
from pptpgw.tunnels.l2tp.wire.header import PORT as L2TP_PORT
from pptpgw.tunnels.pptp.callid import CallIDs
from pptpgw.tunnels.pptp.channels import GREChannels
from pptpgw.tunnels.pptp.client import ClientConnection, ClientPorts, ControlClient
from pptpgw.tunnels.pptp.port.gre import GREPort
from pptpgw.tunnels.pptp.port.raw import sendEach
from pptpgw.tunnels.sstp.client import PORT as SSTP_PORT
from pptpgw.tunnels.sstp.client import SSTPClient
from pptpgw.tunnels.sstp.trust import Trust
from tests.fuzz.targets import saved
from tests.hostile.callers import raw
from tests.integration.world import GATEWAY

ADDRESS = "192.0.2.66"
AT_ONCE = 12
CALL_SECONDS = 2.0
NUMBERS = (ppp.LCP, ppp.CHAP, ppp.PAP, ppp.EAP, ppp.CCP, ppp.IPV4, ppp.IPV6, ppp.BRIDGE, ppp.IPX)

_PAUSE = 0.02
_INPUTS = (
    "ppp-packet",
    "ppp-options",
    "dhcpv6",
    "ipv6",
    "ipx",
    "gre",
    "pptp",
    "sstp",
    "l2tp-control",
    "l2tp-data",
    "l2tp-message",
    "chap",
    "eap",
)
_METHODS = ((MSCHAPV2,), (MSCHAP,), (CHAP,), (PAP,))


class Mutator:
    """
    Alters octets by random numbers with a seed.

    @ivar share: how many of a hundred packets are altered.
    """

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.share = 0
        self.inputs = [one for name in _INPUTS for one in saved("decoders", name) if one] or [b"\0"]

    def packets(self, packet: bytes) -> list[bytes]:
        """
        The packets that are sent in place of one.
        """
        chance = self.random.random
        if chance() * 100 >= self.share:
            return [packet]
        sent = [self.altered(packet)]
        if chance() < 0.3:
            sent.append(packet)
        if chance() < 0.2:
            sent.append(self.random.choice(self.inputs))
        if chance() < 0.1:
            sent = []
        return sent

    def altering(self, send: Callable[[bytes], object]) -> Callable[[bytes], None]:
        """
        Return a function that sends packets by C{send}, altered or not.
        """

        def altering(packet: bytes) -> None:
            for one in self.packets(bytes(packet)):
                try:
                    send(one)
                except OSError:
                    pass

        return altering

    def altered(self, packet: bytes) -> bytes:
        """
        A packet with some octets changed, taken out or put in.
        """
        octets = bytearray(packet)
        for _ in range(self.random.choice((1, 1, 2, 8))):
            at = self.random.randrange(len(octets) + 1)
            kind = self.random.randrange(5)
            if kind == 0:
                octets[at : at + 1] = self.random.randbytes(1)
            elif kind == 1:
                del octets[at : at + self.random.choice((1, 2, 4, 64))]
            elif kind == 2:
                octets[at:at] = self.random.randbytes(self.random.choice((1, 4, 32)))
            elif kind == 3:
                octets[at : at + 2] = self.random.choice((b"\xff\xff", b"\0\0", b"\0\1", b"\x80\0"))
            else:
                octets[at:] = self.random.choice(self.inputs)
        return bytes(octets[:1500])


class AlteringPort(GREPort):
    """
    A GRE port whose packets are altered on their way out.
    """

    mutator: Mutator

    def sender(self, localAddress: str, peerAddress: str) -> Callable[[bytes], object]:
        """
        See L{GREPort.sender}.
        """
        send = GREPort.sender(self, localAddress, peerAddress)

        return self.mutator.altering(send)

    def allSender(self, localAddress: str, peerAddress: str) -> SendAll:
        """
        See L{GREPort.allSender}.
        """
        return partial(sendEach, self.sender(localAddress, peerAddress))


class AlteringTransport:
    """
    A transport of a control connection that alters what is written.
    """

    def __init__(self, transport: Any, mutator: Mutator) -> None:
        self._transport = transport
        self._mutator = mutator

    def write(self, octets: bytes) -> None:
        """
        Write C{octets}, altered or not.
        """
        for one in self._mutator.packets(octets):
            self._transport.write(one)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Believing(Trust):
    """
    Believes every server.
    """

    def believes(self, der: bytes) -> bool:
        """
        See L{Trust.believes}.
        """
        return True


TRUST = Believing(fingerprint="any")


class Attackers:
    """
    Several attackers at once, for a limited time.

    @ivar calls: the number of connections whose handshake succeeded.
    @ivar loggedIn: on how many of them a call was authenticated.
    """

    def __init__(self, reactor: Any, seconds: float, seed: str) -> None:
        self.calls = self.loggedIn = 0
        self._reactor = reactor
        self._ends = reactor.seconds() + seconds
        self._mutator = Mutator(seed)
        port = AlteringPort(reactor, ADDRESS, Counters())
        port.mutator = self._mutator
        port.startListening()
        channels = GREChannels(lambda address: port)
        self._ports = ClientPorts(PythonDataPath(reactor), CallIDs(reactor), channels)

    async def run(self) -> None:
        """
        Attack until the time is over.
        """
        await gatherResults([Deferred.fromCoroutine(self._one()) for _ in range(AT_ONCE)])
        print(f"{self.calls} calls, {self.loggedIn} logged in", flush=True)

    async def _one(self) -> None:
        choose = self._mutator.random.choice
        babbles = (self._babbleTCP, self._babbleTLS, self._babbleUDP)
        calls = (self._callByPPTP, self._callBySSTP, self._callByL2TP)
        while self._reactor.seconds() < self._ends:
            self._mutator.share = choose((0, 1, 3, 10, 30))
            try:
                await choose(babbles if self._mutator.random.random() < 0.2 else calls)()
            except (ConnectError, CallError, TimeoutError):
                pass

    # Strangers

    async def _babbleTCP(self) -> None:
        """
        Connect, and send something that isn't a handshake, or a handshake and something that must
        not follow it.
        """
        number = self._mutator.random.choice((1723, SSTP_PORT))
        await self._babble(number, Factory.forProtocol(Protocol), saved("decoders", "pptp-stream"))

    async def _babbleTLS(self) -> None:
        """
        Connect by TLS, and send HTTP or something else.
        """
        inside = Factory.forProtocol(Protocol)
        secured: Any = TLSMemoryBIOFactory(TRUST.creator(GATEWAY), True, inside, self._reactor)
        await self._babble(SSTP_PORT, secured, saved("sstp", "opening"))

    async def _babble(self, number: int, factory: Any, inputs: Sequence[bytes]) -> None:
        endpoint = TCP4ClientEndpoint(self._reactor, GATEWAY, number, bindAddress=(ADDRESS, 0))
        connected: Any = await endpoint.connect(factory)
        for _ in range(self._mutator.random.randrange(1, 8)):
            connected.transport.write(self._mutator.altered(self._mutator.random.choice(inputs)))
            await task.deferLater(self._reactor, _PAUSE)
        connected.transport.abortConnection()

    async def _babbleUDP(self) -> None:
        """
        Send datagrams that may be L2TP.
        """
        protocol: Any = DatagramProtocol()
        port = self._reactor.listenUDP(0, protocol, ADDRESS)
        inputs = [*saved("decoders", "l2tp-control"), *saved("decoders", "l2tp-data")]
        for _ in range(self._mutator.random.randrange(1, 8)):
            octets = self._mutator.altered(self._mutator.random.choice(inputs))
            protocol.transport.write(octets, (GATEWAY, L2TP_PORT))
            await task.deferLater(self._reactor, _PAUSE)
        await port.stopListening()

    # Callers

    async def _callByPPTP(self) -> None:
        endpoint = ControlClient(
            self._reactor,
            GATEWAY,
            ports=self._ports,
            bindAddress=ADDRESS,
            timeout=CALL_SECONDS,
        )
        connection: ClientConnection = await endpoint.connect()
        control: Any = connection._control
        control._transport = transport = AlteringTransport(control._transport, self._mutator)
        protocols = raw()
        connection.placeCall(self._settings(), protocols).addErrback(lambda failure: None)
        calls = list(control.calls.values())
        await self._use(calls[0].owner if calls else None, protocols)
        await self._end(connection.close, transport.abortConnection)

    async def _callBySSTP(self) -> None:
        client = SSTPClient(self._reactor, GATEWAY, trust=TRUST, timeout=CALL_SECONDS)
        connection = await client.connect()
        framer: Any = connection.connection.framer
        framer._write = self._mutator.altering(framer._write)
        protocols = raw()
        await self._use(connection.call(self._settings(), protocols), protocols)
        await self._end(connection.close, partial(connection.abort, "gone"))

    async def _callByL2TP(self) -> None:
        client = LACClient(self._reactor, GATEWAY, bindAddress=ADDRESS, timeout=CALL_SECONDS)
        connection = await client.connect()
        port: Any = connection._port
        send, writer, altering = port.send, port.writer, self._mutator.altering
        port.send = lambda here, peer, octets: altering(partial(send, here, peer))(octets)
        port.writer = lambda *ends: altering(writer(*ends))
        protocols = raw()
        await self._use(connection.call(self._settings(), protocols), protocols)
        await self._end(connection.close, partial(connection.control.end, "gone"))

    def _settings(self) -> LinkSettings:
        choose = self._mutator.random.choice
        return LinkSettings(
            identity=Identity(
                choose((b"alice", b"alice", b"nobody")), b"open sesame", choose(_METHODS)
            ),
            encryption=choose(("prefer", "off")),
            bits=choose(((128,), (40, 56, 128))),
            setupTimeout=CALL_SECONDS,
        )

    async def _use(self, call: Any, protocols: Sequence[Any]) -> None:
        """
        Send anything through a call, until it has run long enough.

        @param call: the L{ClientCall}; None if there is none.
        """
        self.calls += 1
        choose = self._mutator.random.choice
        if isinstance(call, ClientCall):
            call.opened.addErrback(lambda failure: None)
        numbers = [*NUMBERS, *(one.control for one in protocols)]
        loggedIn = False
        for _ in range(choose((1, 20, 60))):
            await task.deferLater(self._reactor, _PAUSE)
            channel: Any = getattr(call, "channel", None)
            if channel is not None:
                octets = self._mutator.altered(choose(self._mutator.inputs))
                channel.sendFrame(choose(numbers), octets)
                loggedIn |= call.link.phase is Phase.NETWORK
        self.loggedIn += loggedIn

    async def _end(self, close: Callable[[], Any], abort: Callable[[], object]) -> None:
        """
        End a connection, in order or not.
        """
        if self._mutator.random.choice((True, False)):
            close().addErrback(lambda failure: None)
        else:
            abort()
        await task.deferLater(self._reactor, _PAUSE)


def main(seconds: float, seed: str) -> None:
    """
    Attack.

    @return: the exit status.
    """
    task.react(lambda reactor: Attackers(reactor, seconds, seed).run())


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2])
