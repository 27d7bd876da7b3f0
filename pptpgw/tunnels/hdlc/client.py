"""
Dialling over a line: the factory of the connection, and an endpoint that runs a chat script first.
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
from pptpgw.tunnels.hdlc.chat import Chat, Step
from pptpgw.tunnels.hdlc.protocol import HDLCProtocol, addressText


class HDLCClientFactory(Factory):
    """
    The factory of the one line on which we call. The call begins when the line is connected.

    @ivar counters: counts frames that were discarded before there was a channel.
    """

    noisy = False

    def __init__(self, clock: IReactorTime, owner: ICallOwner, accm: int) -> None:
        """
        @param owner: the owner of the call.
        @param accm: the ACCM that is asked for.
        """
        self.counters = Counters()
        self._protocol: HDLCProtocol | None = None
        self._disconnected: Deferred[None] = Deferred()
        self._clock = clock
        self._call = owner
        self._accm = accm

    def buildProtocol(self, addr: IAddress | None) -> HDLCProtocol | None:
        """
        The protocol of the line; None for a second line.
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
        Fires when the line is disconnected, at once if it was never connected.
        """
        if self._protocol is None or not self._protocol.connected:
            return succeed(None)
        return self._disconnected

    # protocol.ConnectionOwner

    def opened(self, protocol: HDLCProtocol) -> None:
        """
        The line is connected: begin.
        """
        protocol.call.accept(self._call)

    def closed(self, protocol: HDLCProtocol) -> None:
        """
        The line is disconnected.
        """
        self._disconnected.callback(None)

    def discard(self, reason: str) -> None:
        """
        Count a frame that was discarded.
        """
        self.counters.discard(reason)


class Chatting(Protocol):
    """
    Runs a chat script on a connection, and then gives the connection to another protocol.

    @ivar done: fires with that protocol; fails with L{pptpgw.error.CallError} if the script fails.
    """

    def __init__(self, clock: IReactorTime, script: tuple[Step, ...], protocol: IProtocol) -> None:
        self.done: Deferred[IProtocol] = Deferred(lambda _: self._chat.done.cancel())
        self._protocol = protocol
        self._begun = False
        self._chat = Chat(clock, script, self._send)
        self._chat.done.addCallbacks(self._begin, self._failed)

    def connectionMade(self) -> None:
        """
        Begin with the script.
        """
        self._chat.start()

    def dataReceived(self, data: bytes) -> None:
        """
        Octets came.
        """
        if self._begun:
            self._protocol.dataReceived(data)
        else:
            self._chat.received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone.
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
    Another endpoint, on which a chat script is run before the protocol is connected.
    """

    def __init__(
        self, clock: IReactorTime, endpoint: IStreamClientEndpoint, script: tuple[Step, ...]
    ) -> None:
        self._clock = clock
        self._endpoint = endpoint
        self._script = script

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        See L{IStreamClientEndpoint.connect}. It also fails with L{pptpgw.error.CallError}, if the
        script fails.
        """
        factory = _ChattingFactory(self._clock, self._script, protocolFactory)
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        return connecting.addCallback(lambda chatting: chatting.done)
