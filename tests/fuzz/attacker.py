"""
The attackers of L{tests.fuzz.live}, as a program: C{python -m tests.fuzz.attacker SECONDS SEED}.

The attackers are clients of ours. Their control messages and GRE packets are altered, doubled and
made up before they leave, to a degree that differs from call to call, so that some calls get
through each phase. At the end the program prints how many calls there were.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Protocol

from pptpgw.auth.protocols import CHAP, MSCHAP, MSCHAPV2, PAP
from pptpgw.counting.counters import Counters
from pptpgw.datapath.interface import SendAll
from pptpgw.datapath.python import PythonDataPath
from pptpgw.error import CallError
from pptpgw.ppp.link import Phase
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.ppp.wire import ppp
from pptpgw.tunnels.pptp.callid import CallIDs
from pptpgw.tunnels.pptp.channels import GREChannels
from pptpgw.tunnels.pptp.client import ClientConnection, ClientPorts, ControlClient
from pptpgw.tunnels.pptp.port.gre import GREPort
from pptpgw.tunnels.pptp.port.raw import sendEach
from tests.fuzz.targets import saved
from tests.hostile.callers import raw
from tests.integration.world import GATEWAY

ADDRESS = "192.0.2.66"
AT_ONCE = 12
CALL_SECONDS = 2.0
NUMBERS = (ppp.LCP, ppp.CHAP, ppp.PAP, ppp.EAP, ppp.CCP, ppp.IPV4, ppp.IPV6, ppp.BRIDGE, ppp.IPX)

_PAUSE = 0.02
_METHODS = ((MSCHAPV2,), (MSCHAP,), (CHAP,), (PAP,))


class Mutator:
    """
    Alters octets by random numbers with a seed.

    @ivar share: how many of a hundred packets are altered.
    """

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.share = 0
        names = ("ppp-packet", "ppp-options", "dhcpv6", "ipv6", "ipx", "gre", "pptp", "chap", "eap")
        self.inputs = [one for name in names for one in saved("decoders", name) if one] or [b"\0"]

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

        def altering(packet: bytes) -> None:
            for one in self.mutator.packets(bytes(packet)):
                try:
                    send(one)
                except OSError:
                    pass

        return altering

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
        while self._reactor.seconds() < self._ends:
            self._mutator.share = self._mutator.random.choice((0, 1, 3, 10, 30))
            try:
                if self._mutator.random.random() < 0.2:
                    await self._babble()
                else:
                    await self._call()
            except (ConnectError, CallError, TimeoutError):
                pass

    async def _babble(self) -> None:
        """
        Connect, and send something that isn't a handshake, or a handshake and something that must
        not follow it.
        """
        endpoint = TCP4ClientEndpoint(self._reactor, GATEWAY, 1723, bindAddress=(ADDRESS, 0))
        connected: Any = await connectProtocol(endpoint, Protocol())
        for _ in range(self._mutator.random.randrange(1, 8)):
            octets = self._mutator.random.choice(saved("decoders", "pptp-stream"))
            connected.transport.write(self._mutator.altered(octets))
            await task.deferLater(self._reactor, _PAUSE)
        connected.transport.abortConnection()

    async def _call(self) -> None:
        """
        Connect, and place a call that runs until it ends.
        """
        choose = self._mutator.random.choice
        endpoint = ControlClient(
            self._reactor,
            GATEWAY,
            ports=self._ports,
            bindAddress=ADDRESS,
            timeout=CALL_SECONDS,
        )
        connection: ClientConnection = await endpoint.connect()
        self.calls += 1
        control: Any = connection._control
        control._transport = transport = AlteringTransport(control._transport, self._mutator)
        settings = LinkSettings(
            identity=Identity(
                choose((b"alice", b"alice", b"nobody")), b"open sesame", choose(_METHODS)
            ),
            encryption=choose(("prefer", "off")),
            bits=choose(((128,), (40, 56, 128))),
            setupTimeout=CALL_SECONDS,
        )
        protocols = raw()
        connection.placeCall(settings, protocols).addErrback(lambda failure: None)
        calls = list(control.calls.values())
        numbers = [*NUMBERS, *(one.control for one in protocols)]
        loggedIn = False
        for _ in range(choose((1, 20, 60))):
            await task.deferLater(self._reactor, _PAUSE)
            channel: Any = getattr(calls[0].owner, "channel", None) if calls else None
            if channel is not None:
                octets = self._mutator.altered(choose(self._mutator.inputs))
                channel.sendFrame(choose(numbers), octets)
                loggedIn |= calls[0].owner.link.phase is Phase.NETWORK
        self.loggedIn += loggedIn
        if choose((True, False)):
            connection.close().addErrback(lambda failure: None)
        else:
            transport.abortConnection()
        await task.deferLater(self._reactor, _PAUSE)


def main(seconds: float, seed: str) -> None:
    """
    Attack.

    @return: the exit status.
    """
    task.react(lambda reactor: Attackers(reactor, seconds, seed).run())


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2])
