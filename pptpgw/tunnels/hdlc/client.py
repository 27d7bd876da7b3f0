"""
Calls that we make over a line: the factory of the connection, and an endpoint that runs a chat
script first.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.counting.counters import Counters
from pptpgw.interfaces import ICallOwner
from pptpgw.tunnels.entrance import addressText
from pptpgw.tunnels.hdlc.chat import Chat, Step
from pptpgw.tunnels.hdlc.protocol import HDLCProtocol


class HDLCClientFactory(Factory):
    """
    The factory for one line over which we call. The call begins when the line is connected.

    @ivar counters: counts frames that were discarded while there was no channel.
    """

    noisy = False

    def __init__(self, clock: IReactorTime, owner: ICallOwner, accm: int) -> None:
        """
        @param owner: the owner of the call.
        @param accm: the ACCM that the peer is asked to use.
        """
        self.counters = Counters()
        self._protocol: HDLCProtocol | None = None
        self._disconnected: Deferred[None] = Deferred()
        self._clock = clock
        self._call = owner
        self._accm = accm

    def buildProtocol(self, addr: IAddress | None) -> HDLCProtocol | None:
        """
        Return the protocol of the line; None for a second line.
        """
        if self._protocol is not None:
            return None
        self._protocol = HDLCProtocol(self._clock, addressText(addr), self._accm, self)
        return self._protocol

    def abort(self) -> None:
        """
        Disconnect the line at once, if it is connected.
        """
        if self._protocol is not None and self._protocol.connected:
            self._protocol.abort()

    def whenDisconnected(self) -> Deferred[None]:
        """
        Return a Deferred that fires when the line is disconnected, or at once if it isn't
        connected.
        """
        if self._protocol is None or not self._protocol.connected:
            return succeed(None)
        return self._disconnected

    # pptpgw.tunnels.hdlc.protocol.StreamOwner

    def opened(self, protocol: HDLCProtocol) -> None:
        """
        See L{StreamOwner.opened}: begin the call.
        """
        protocol.call.accept(self._call)

    def closed(self, protocol: HDLCProtocol) -> None:
        """
        See L{StreamOwner.closed}.
        """
        self._disconnected.callback(None)

    def discard(self, reason: str) -> None:
        """
        See L{StreamOwner.discard}.
        """
        self.counters.discard(reason)


class Chatting(Protocol):
    """
    A protocol that runs a chat script, and then gives the connection to another protocol.

    @ivar done: fires with the other protocol. It fails with L{pptpgw.error.CallError} if the script
        fails.
    """

    def __init__(self, clock: IReactorTime, script: tuple[Step, ...], protocol: IProtocol) -> None:
        self.done: Deferred[IProtocol] = Deferred(lambda _: self._chat.done.cancel())
        self._protocol = protocol
        self._begun = False
        self._chat = Chat(clock, script, self._send)
        self._chat.done.addCallbacks(self._begin, self._failed)

    def connectionMade(self) -> None:
        """
        Begin the script, since the connection is made.
        """
        self._chat.start()

    def dataReceived(self, data: bytes) -> None:
        """
        Pass octets to the script, or to the other protocol once the script is done.
        """
        if self._begun:
            self._protocol.dataReceived(data)
        else:
            self._chat.received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Tell the script or the other protocol that the connection is lost.
        """
        if self._begun:
            self._protocol.connectionLost(reason)
        else:
            self._chat.lost(f"the line was disconnected: {reason.getErrorMessage()}")

    def _send(self, octets: bytes) -> None:
        transport: Any = self.transport
        transport.write(octets)

    def _begin(self, rest: bytes) -> None:
        transport: Any = self.transport
        self._begun = True
        self._protocol.makeConnection(transport)
        self.done.callback(self._protocol)
        if rest:
            self._protocol.dataReceived(rest)

    def _failed(self, failure: Failure) -> None:
        transport: Any = self.transport
        if transport is not None:
            transport.loseConnection()
        self.done.errback(failure)


class _ChattingFactory(Factory):
    noisy = False

    def __init__(self, clock: IReactorTime, script: tuple[Step, ...], factory: Any) -> None:
        self._clock = clock
        self._script = script
        self._factory = factory

    def doStart(self) -> None:
        self._factory.doStart()

    def doStop(self) -> None:
        self._factory.doStop()

    def buildProtocol(self, addr: IAddress | None) -> Chatting | None:
        protocol = self._factory.buildProtocol(addr)
        return None if protocol is None else Chatting(self._clock, self._script, protocol)


@implementer(IStreamClientEndpoint)
class ChatEndpoint:
    """
    An endpoint that connects another endpoint, and runs a chat script before the protocol is
    connected.
    """

    def __init__(
        self, clock: IReactorTime, endpoint: IStreamClientEndpoint, script: tuple[Step, ...]
    ) -> None:
        self._clock = clock
        self._endpoint = endpoint
        self._script = script

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        See L{IStreamClientEndpoint.connect}. The Deferred also fails with
        L{pptpgw.error.CallError}, if the script fails.
        """
        factory = _ChattingFactory(self._clock, self._script, protocolFactory)
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        return connecting.addCallback(lambda chatting: chatting.done)
