"""
The client's side of PPTP (a PNS): control connections that this end opens, and calls on them.

This is the lower level of L{pptpgw.client}, for programs that place several calls on one control
connection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.plugin import IPlugin
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.clock import steady
from pptpgw.config.kind import key
from pptpgw.counting.counters import Counters
from pptpgw.datapath.python import PythonDataPath
from pptpgw.error import CallError, PPTPGWError
from pptpgw.interfaces import (
    ClientStage,
    IClientConnection,
    IDataPath,
    INetworkProtocol,
    ITunnelClient,
    ITunnelClientFactory,
    Refusal,
)
from pptpgw.ppp.client import ClientCall, NetworkListener
from pptpgw.ppp.settings import LinkSettings
from pptpgw.tunnels.client import OUR_ADDRESS, hostAndPort, ignore
from pptpgw.tunnels.pptp.asked import AskedCall
from pptpgw.tunnels.pptp.call import PPTP, Call, Channels
from pptpgw.tunnels.pptp.callid import CallIDs
from pptpgw.tunnels.pptp.connection import ControlConnection
from pptpgw.tunnels.pptp.port.control import ControlClientFactory, PPTPProtocol
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from pptpgw.tunnels.pptp.tunnel import GREPorts

PORT = 1723
TCP, CONTROL, CALL = "TCP", "control connection", "call"
"""
The names of the stages of a call before its frames.
"""


@implementer(IClientConnection)
class ClientConnection:
    """
    A control connection that we opened, for any number of calls. See L{IClientConnection}.

    @ivar opened: fires with this object when the control connection is established; fails with
        L{CallError} if it ends before that. Cancelling it closes the connection.
    @ivar closed: fires with the reason when the control connection has ended.
    @ivar gone: fires when the TCP connection is closed too.
    @ivar tcp: the protocol of the TCP connection, once there is one.
    @ivar isConcentrator: whether calls to come are offered to the peer as incoming ones, which a
        PAC does, instead of asking for outgoing ones.
    """

    def __init__(self, clock: IReactorTime, dataPath: IDataPath, timeout: float) -> None:
        self.opened: Deferred[ClientConnection] = Deferred(self._cancelled)
        self.closed: Deferred[str] = Deferred()
        self.gone: Deferred[None] = Deferred()
        self.tcp: PPTPProtocol | None = None
        self.isConcentrator = False
        self._clock = clock
        self._dataPath = dataPath
        self._timeout = timeout
        self._control: ControlConnection | None = None

    def placeCall(
        self,
        settings: LinkSettings,
        protocols: Sequence[INetworkProtocol],
        listener: NetworkListener | None = None,
    ) -> Deferred[ClientCall]:
        """
        Place a call.

        @param protocols: the network protocols to negotiate, which belong to this call alone.
        @return: fires with the call when its first network protocol is open. It fails with
            L{CallError}, with L{pptpgw.error.Exhausted} if the connection has as many calls as are
            allowed, and after the timeout with L{twisted.internet.defer.TimeoutError}. The timeout,
            and cancelling, hang up.
        """
        try:
            call = self.call(settings, protocols, listener)
        except PPTPGWError:
            return fail()
        return call.opened.addTimeout(self._timeout, self._clock)

    def call(
        self,
        settings: LinkSettings,
        protocols: Sequence[INetworkProtocol],
        listener: NetworkListener | None = None,
    ) -> ClientCall:
        """
        Place a call without a timeout, and return it before anything is known of it.

        @param protocols: the network protocols to negotiate, which belong to this call alone.
        @raise CallError: the control connection is closed.
        @raise pptpgw.error.Exhausted: the control connection has as many calls as are allowed.
        """
        if self._control is None:
            raise CallError("the control connection is closed")
        call = ClientCall(self._clock, self._dataPath, settings, protocols, listener)
        control = self._control
        call.placed(control.offerCall(call) if self.isConcentrator else control.placeCall(call))
        return call

    def close(self) -> Deferred[None]:
        """
        End every call and the connection, in order.

        @return: fires when the control connection is closed.
        """
        if self._control is None:
            return succeed(None)
        return self._control.stop()

    def end(self, reason: str) -> None:
        """
        End every call and the control connection, whose TCP connection is closed in order.
        """
        if self._control is not None:
            self._control.end(reason)

    def abort(self, reason: str) -> None:
        """
        See L{IClientConnection.abort}.
        """
        self.end(reason)
        if self.tcp is not None:
            self._transport.abortConnection()

    def getHost(self) -> IAddress:
        """
        See L{IClientConnection.getHost}.
        """
        host: IAddress = self._transport.getHost()
        return host

    def getPeer(self) -> IAddress:
        """
        See L{IClientConnection.getPeer}.
        """
        peer: IAddress = self._transport.getPeer()
        return peer

    def connected(self, protocol: PPTPProtocol) -> Deferred[ClientConnection]:
        """
        Take over the control connection of a TCP connection that has been made.

        @return: fires with this object when the control connection is established.
        """
        self.tcp = protocol
        self._control = protocol.connection
        return self.opened

    # pptpgw.tunnels.pptp.connection.ConnectionOwner

    def connectionOpened(self, connection: ControlConnection) -> None:
        """
        Fire L{opened}, since the control connection is established.
        """
        self._control = connection
        self.opened.callback(self)

    def callRequested(self, call: AskedCall) -> None:
        """
        Refuse a call that the peer requests.
        """
        call.refuse(Refusal.FORBIDDEN)

    def connectionClosed(self, connection: ControlConnection, reason: str) -> None:
        """
        Fail L{opened} if it hasn't fired, and fire L{closed}, since the control connection has
        ended.
        """
        self._control = None
        if not self.opened.called:
            self.opened.errback(CallError(reason))
        self.closed.callback(reason)

    @property
    def _transport(self) -> Any:
        assert self.tcp is not None
        return self.tcp.transport

    def _cancelled(self, opened: Deferred[ClientConnection]) -> None:
        # This comes first, because the end of the connection would make the Deferred fail with
        # CallError.
        opened.errback(CancelledError())
        self.end("cancelled")


class ClientPorts:
    """
    The data path and ports for the calls that this end places, which were opened elsewhere.

    @ivar dataPath: carries the packets. It may be the data path of a gateway, if C{callIDs} and
        C{channels} are the gateway's too.
    @ivar callIDs: assigns call ids.
    @ivar channels: opens the channels of calls; None for a data path that doesn't need it.
    """

    def __init__(self, dataPath: IDataPath, callIDs: CallIDs, channels: Channels | None) -> None:
        self.dataPath = dataPath
        self.callIDs = callIDs
        self.channels = channels

    def acquire(self) -> None:
        """
        Open the ports for one more control connection, if they aren't open.

        @raise pptpgw.error.NotPermitted: they can't be opened; the text says what to do.
        """

    def release(self) -> None:
        """
        Undo one call of L{acquire}, since a control connection is closed.
        """


class SharedPorts(ClientPorts):
    """
    Raw sockets for GRE at every local address, which are open while there are control connections.
    """

    def __init__(self, reactor: Any) -> None:
        self._gre = GREPorts(reactor, (), Counters())
        self._users = 0
        super().__init__(PythonDataPath(reactor), self._gre.callIDs, self._gre.channels)

    def acquire(self) -> None:
        """
        See L{ClientPorts.acquire}.
        """
        if not self._users:
            self._gre.start()
        self._users += 1

    def release(self) -> None:
        """
        See L{ClientPorts.release}.
        """
        self._users -= 1
        if not self._users:
            self._gre.stop()


@cache
def sharedPorts(reactor: Any) -> SharedPorts:
    """
    Return the ports that all clients on C{reactor} share.

    @param reactor: a reactor that L{steady} has returned.
    """
    return SharedPorts(reactor)


class _Factory(ControlClientFactory):
    """
    The factory of the one TCP connection of a L{ClientConnection}.
    """

    def __init__(self, clock: Any, settings: ConnectionSettings, ports: ClientPorts, owner: Any):
        super().__init__(clock, settings, ports.callIDs, owner, channels=ports.channels)
        self._gone: Deferred[None] = owner.gone
        self._ports = ports

    def closed(self, protocol: PPTPProtocol) -> None:
        """
        Release the ports, since the TCP connection is closed.
        """
        super().closed(protocol)
        self._ports.release()
        self._gone.callback(None)


@implementer(ITunnelClient)
class ControlClient:
    """
    A client that opens control connections to one gateway. See L{ITunnelClient}.

    @ivar clock: the clock of the client.
    @ivar address: where the gateway listens.
    """

    def __init__(
        self,
        reactor: Any,
        host: str,
        port: int = PORT,
        *,
        ports: ClientPorts | None = None,
        settings: ConnectionSettings | None = None,
        bindAddress: str | None = None,
        timeout: float = 30,
    ) -> None:
        """
        @param ports: the data path and ports; None for those that all clients on this reactor
            share.
        @param timeout: seconds for the control connection to open, from TCP to the end of the
            handshake, and seconds for each call.
        """
        self.clock = self._reactor = reactor = steady(reactor)
        self.address = IPv4Address("TCP", host, port)
        self._host = host
        self._port = port
        self._ports = ports if ports is not None else sharedPorts(reactor)
        self._settings = settings if settings is not None else ConnectionSettings()
        self._bindAddress = bindAddress
        self._timeout = timeout

    def connect(self, reached: Callable[[str], object] = ignore) -> Deferred[ClientConnection]:
        """
        Open a control connection. See L{ITunnelClient.connect}.

        @return: fires with the connection when it is established. It fails with L{CallError}, with
            L{pptpgw.error.NotPermitted} if raw sockets aren't permitted, with an error of Twisted's
            endpoints, and after the timeout with L{twisted.internet.defer.TimeoutError}. The
            timeout, and cancelling, close everything that was opened.
        """
        ports = self._ports
        try:
            ports.acquire()
        except PPTPGWError:
            return fail()
        owner = ClientConnection(self._reactor, ports.dataPath, self._timeout)
        endpoint = TCP4ClientEndpoint(
            self._reactor,
            self._host,
            self._port,
            # This is longer than the timeout below, which includes the handshake.
            timeout=self._timeout + 1,
            bindAddress=(self._bindAddress, 0) if self._bindAddress else None,
        )

        def failed(failure: Failure) -> Any:
            ports.release()
            return failure

        def opened(protocol: PPTPProtocol) -> Deferred[ClientConnection]:
            reached(TCP)
            return owner.connected(protocol).addCallback(established)

        def established(connection: ClientConnection) -> ClientConnection:
            reached(CONTROL)
            return connection

        factory = _Factory(self._reactor, self._settings, ports, owner)
        connecting: Deferred[Any] = endpoint.connect(factory)
        connecting.addCallbacks(opened, failed)
        return connecting.addTimeout(self._timeout, self._reactor)


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """
    What an endpoint string may say of a gateway.

    @ivar bindAddress: the local IPv4 address to call from; empty for any.
    """

    bindAddress: str = key(OUR_ADDRESS, "")


@implementer(IPlugin, ITunnelClientFactory)
class ControlClientPlugin:
    """
    See L{ITunnelClientFactory}.
    """

    name = PPTP.name
    description = "pptp:HOST:PORT, a gateway that answers PPTP; the port may be left out."
    options = ClientOptions
    stages = (
        ClientStage(
            TCP,
            "is the address right, does the gateway run, and does every firewall on the way let "
            f"TCP port {PORT} pass?",
        ),
        ClientStage(CONTROL, "something listens there that doesn't speak PPTP, or refuses us"),
        ClientStage(CALL, "the gateway refuses calls at present: its log says why"),
        ClientStage(
            Call.carrier,
            "IP protocol 47 (GRE) is blocked: each firewall and NAT on the way, and on both "
            "machines, must let it pass (for NAT: 'PPTP pass-through')",
        ),
    )
    laterStages = ()

    def makeClient(
        self, reactor: Any, place: Sequence[str], options: ClientOptions, timeout: float
    ) -> ControlClient:
        """
        See L{ITunnelClientFactory.makeClient}.
        """
        return ControlClient(
            reactor,
            *hostAndPort(place, PORT),
            settings=ConnectionSettings(maximumCalls=1),
            bindAddress=options.bindAddress or None,
            timeout=timeout,
        )


factory = ControlClientPlugin()
