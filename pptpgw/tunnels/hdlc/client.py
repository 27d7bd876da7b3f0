"""
Calls that we make over a line: the factory of the connection, an endpoint that runs a chat script
first, and the client that joins these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.plugin import IPlugin
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.clock import steady
from pptpgw.config.kind import key, matching
from pptpgw.counting.counters import Counters
from pptpgw.datapath.python import PythonDataPath
from pptpgw.error import CallError, ConfigurationError
from pptpgw.interfaces import (
    ClientStage,
    ICall,
    ICallOwner,
    IClientConnection,
    IDataPath,
    INetworkProtocol,
    ITunnelClient,
    ITunnelClientFactory,
)
from pptpgw.ppp.client import ClientCall, NetworkListener
from pptpgw.ppp.settings import LinkSettings
from pptpgw.timing.timer import cancelled
from pptpgw.tunnels.client import following, ignore
from pptpgw.tunnels.entrance import addressText
from pptpgw.tunnels.hdlc.call import HDLC, HDLCCall
from pptpgw.tunnels.hdlc.chat import Chat, Step, parseChat
from pptpgw.tunnels.hdlc.protocol import HDLCProtocol

CONNECTION = "connection"
"""
The name of the stage of a call before its frames.
"""


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
        self._protocol = HDLCProtocol(
            self._clock, addressText(addr), self._accm, self, isPlaced=True
        )
        return self._protocol

    @property
    def ends(self) -> tuple[IAddress, IAddress]:
        """
        The addresses of our end of the line, and of the other one.
        """
        assert self._protocol is not None
        transport: Any = self._protocol.transport
        return transport.getHost(), transport.getPeer()

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


@implementer(IClientConnection, ICallOwner)
class HDLCConnection:
    """
    A line that we have connected, which carries one call. See L{IClientConnection}.

    @ivar gone: fires when the line is disconnected.
    """

    def __init__(self, clock: IReactorTime, dataPath: IDataPath, accm: int) -> None:
        """
        @param accm: the ACCM that the peer is asked to use.
        """
        self.gone: Deferred[None] = Deferred()
        self.factory = HDLCClientFactory(clock, self, accm)
        self._clock = clock
        self._dataPath = dataPath
        self._accm = accm
        self._line: ICall | None = None
        self._call: ClientCall | None = None
        self._beginning: IDelayedCall | None = None

    def call(
        self,
        settings: LinkSettings,
        protocols: Sequence[INetworkProtocol],
        listener: NetworkListener | None = None,
    ) -> ClientCall:
        """
        See L{IClientConnection.call}.

        @raise CallError: the line is disconnected, or has had its call.
        """
        line = self._line
        if line is None or self._call is not None:
            raise CallError("the line is disconnected, or has had its call")
        settings = replace(settings, accm=self._accm)
        self._call = call = ClientCall(self._clock, self._dataPath, settings, protocols, listener)
        call.placed(line)
        self._beginning = self._clock.callLater(0, call.callEstablished, line)
        return call

    def close(self) -> Deferred[None]:
        """
        See L{IClientConnection.close}.

        @return: fires when the line is disconnected.
        """
        if self._call is not None:
            self._call.hangUp()
        elif self._line is not None:
            self._line.hangUp("hung up")
        return succeed(None) if self.gone.called else following(self.gone)

    def abort(self, reason: str) -> None:
        """
        See L{IClientConnection.abort}.
        """
        if self._call is not None:
            self._call.link.lowerDown(reason)
        self.factory.abort()

    def getHost(self) -> IAddress:
        """
        See L{IClientConnection.getHost}.
        """
        return self.factory.ends[0]

    def getPeer(self) -> IAddress:
        """
        See L{IClientConnection.getPeer}.
        """
        return self.factory.ends[1]

    # ICallOwner

    def callEstablished(self, call: ICall) -> None:
        """
        See L{ICallOwner.callEstablished}: wait until a call is placed on the line.
        """
        self._line = call
        self.factory.whenDisconnected().addCallback(self.gone.callback)

    def callEnded(self, call: ICall, cause: str) -> None:
        """
        See L{ICallOwner.callEnded}.
        """
        self._line = None
        self._beginning = cancelled(self._beginning)
        if self._call is not None:
            self._call.callEnded(call, cause)


@implementer(ITunnelClient)
class HDLCClient:
    """
    A client that calls over the lines of one endpoint. See L{ITunnelClient}.

    @ivar clock: the clock of the client.
    """

    address = None

    def __init__(
        self,
        reactor: Any,
        endpoint: IStreamClientEndpoint,
        accm: int = 0,
        timeout: float = 30,
        dataPath: IDataPath | None = None,
    ) -> None:
        """
        @param accm: the ACCM that the peer is asked to use.
        @param timeout: seconds for the line to be connected, with its chat script.
        @param dataPath: carries the packets of all calls; None for one without a TUN device.
        """
        self.clock = reactor = steady(reactor)
        self._endpoint = endpoint
        self._accm = accm
        self._timeout = timeout
        self._dataPath = PythonDataPath(reactor) if dataPath is None else dataPath

    def connect(self, reached: Callable[[str], object] = ignore) -> Deferred[HDLCConnection]:
        """
        See L{ITunnelClient.connect}.
        """
        connection = HDLCConnection(self.clock, self._dataPath, self._accm)

        def connected(protocol: object) -> HDLCConnection:
            reached(CONNECTION)
            return connection

        connecting: Deferred[Any] = self._endpoint.connect(connection.factory)
        return connecting.addCallback(connected).addTimeout(self._timeout, self.clock)


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """
    What an endpoint string may say of a line.

    @ivar chat: the chat script to run first; empty for none.
    """

    chat: str = key(matching("a chat script", "(?s).*"), "")


@implementer(IPlugin, ITunnelClientFactory)
class HDLCClientPlugin:
    """
    See L{ITunnelClientFactory}.
    """

    name = HDLC.name
    description = (
        r"hdlc:ENDPOINT, a line; ENDPOINT is another endpoint string, as in tcp\:192.0.2.1\:2000."
    )
    options = ClientOptions
    stages = (
        ClientStage(CONNECTION, "is the line connected, and does the chat script fit its modem?"),
        ClientStage(HDLCCall.carrier, "does the other end speak PPP, and at the same speed?"),
    )
    laterStages = ()

    def makeClient(
        self, reactor: Any, place: Sequence[str], options: ClientOptions, timeout: float
    ) -> HDLCClient:
        """
        See L{ITunnelClientFactory.makeClient}.
        """
        if len(place) != 1:
            raise ConfigurationError(r"one endpoint is needed, each of its colons behind a \ ")
        try:
            endpoint: IStreamClientEndpoint = clientFromString(reactor, place[0])
        except (OSError, TypeError, ValueError) as error:
            raise ConfigurationError(f"{place[0]}: {error}") from error
        if options.chat:
            endpoint = ChatEndpoint(steady(reactor), endpoint, parseChat(options.chat))
        return HDLCClient(reactor, endpoint, timeout=timeout)


factory = HDLCClientPlugin()
