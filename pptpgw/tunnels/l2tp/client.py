"""
The client's side of L2TP, a LAC: control connections that this end opens, and calls on them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.plugin import IPlugin
from zope.interface import implementer

from pptpgw.clock import steady
from pptpgw.config.kind import key
from pptpgw.config.secrecy import readSecret
from pptpgw.counting.counters import Counters
from pptpgw.datapath.python import PythonDataPath
from pptpgw.error import CallError
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
from pptpgw.tunnels.client import ANY_FILE, OUR_ADDRESS, hostAndPort, ignore
from pptpgw.tunnels.l2tp.call import L2TP, L2TPCall
from pptpgw.tunnels.l2tp.connection import L2TPConnection
from pptpgw.tunnels.l2tp.connections import ControlConnections
from pptpgw.tunnels.l2tp.port.udp import L2TPPort
from pptpgw.tunnels.l2tp.secrets import trusting
from pptpgw.tunnels.l2tp.settings import ControlSettings
from pptpgw.tunnels.l2tp.wire.header import PORT

CONTROL, CALL = "control connection", "call"
"""
The names of the stages of a call before its frames.
"""


@implementer(IClientConnection)
class LACConnection:
    """
    A control connection that we opened, for any number of calls. It has a UDP port of its own. See
    L{IClientConnection}.

    @ivar opened: fires with this object when the control connection is established; fails with
        L{CallError} if it ends before that. Cancelling it closes the connection.
    @ivar closed: fires with the reason when the control connection has ended.
    @ivar gone: fires when the port is closed too.
    @ivar control: the L{L2TPConnection}.
    """

    control: L2TPConnection

    def __init__(self, clock: Any, port: L2TPPort, dataPath: IDataPath) -> None:
        self.opened: Deferred[LACConnection] = Deferred(self._cancelled)
        self.closed: Deferred[str] = Deferred()
        self.gone: Deferred[None] = Deferred()
        self._clock = clock
        self._port = port
        self._dataPath = dataPath

    def call(
        self,
        settings: LinkSettings,
        protocols: Sequence[INetworkProtocol],
        listener: NetworkListener | None = None,
        outgoing: bool = False,
    ) -> ClientCall:
        """
        See L{IClientConnection.call}.

        @param outgoing: whether to ask the peer, a LAC, for an outgoing call.
        @raise CallError: the control connection is closed.
        @raise pptpgw.error.Exhausted: the control connection has as many calls as are allowed.
        """
        call = ClientCall(self._clock, self._dataPath, settings, protocols, listener)
        call.placed(self.control.placeCall(call, outgoing))
        return call

    def close(self) -> Deferred[None]:
        """
        See L{IClientConnection.close}.
        """
        return self.control.stop("hung up")

    def abort(self, reason: str) -> None:
        """
        See L{IClientConnection.abort}. The peer is told all the same.
        """
        self.control.stop(reason)
        self.control.end(reason)

    def getHost(self) -> IPv4Address:
        """
        See L{IClientConnection.getHost}.
        """
        return IPv4Address("UDP", self._port.address, self._port.number)

    def getPeer(self) -> IPv4Address:
        """
        See L{IClientConnection.getPeer}.
        """
        return IPv4Address("UDP", *self.control.peer)

    # pptpgw.tunnels.l2tp.owner.L2TPOwner

    def connectionOpened(self, connection: L2TPConnection) -> None:
        """
        Fire L{opened}, since the control connection is established.
        """
        self.opened.callback(self)

    def callRequested(self, call: L2TPCall) -> None:
        """
        Refuse a call that the peer requests.
        """
        call.refuse(Refusal.FORBIDDEN)

    def connectionClosed(self, connection: L2TPConnection, reason: str) -> None:
        """
        Close the port, fail L{opened} if it hasn't fired, and fire L{closed}.
        """
        # Later, so that what is being sent is sent.
        self._clock.callLater(0, self._close)
        if not self.opened.called:
            self.opened.errback(CallError(reason))
        self.closed.callback(reason)

    def _close(self) -> None:
        self._port.stopListening()
        self.gone.callback(None)

    def _cancelled(self, opened: Deferred[LACConnection]) -> None:
        # This comes first, because the end of the connection would make the Deferred fail with
        # CallError.
        opened.errback(CancelledError())
        self.control.end("cancelled")


@implementer(ITunnelClient)
class LACClient:
    """
    A client that opens control connections to one LNS. See L{ITunnelClient}.

    @ivar clock: the clock of the client.
    @ivar address: where the LNS answers.
    """

    def __init__(
        self,
        reactor: Any,
        host: str,
        port: int = PORT,
        *,
        settings: ControlSettings | None = None,
        bindAddress: str = "",
        timeout: float = 30,
        dataPath: IDataPath | None = None,
    ) -> None:
        """
        @param host: the name or the IPv4 address of the LNS.
        @param settings: those of control connections; None for the defaults.
        @param bindAddress: the address to call from; empty to leave it to the system.
        @param timeout: seconds for the control connection to open.
        @param dataPath: carries the packets of all calls; None for one without a TUN device.
        """
        self.clock = self._reactor = reactor = steady(reactor)
        self._dataPath = PythonDataPath(reactor) if dataPath is None else dataPath
        self.address = IPv4Address("UDP", host, port)
        self._host = host
        self._number = port
        self._settings = ControlSettings() if settings is None else settings
        self._bindAddress = bindAddress
        self._timeout = timeout

    def connect(self, reached: Callable[[str], object] = ignore) -> Deferred[LACConnection]:
        """
        Open a control connection. See L{ITunnelClient.connect}.

        @return: fires with the connection when it is established. It fails with L{CallError}, with
            C{OSError} if there is no UDP port, with C{DNSLookupError}, and after the timeout with
            L{twisted.internet.defer.TimeoutError}. The timeout, and cancelling, close everything
            that was opened.
        """

        def established(connection: LACConnection) -> LACConnection:
            reached(CONTROL)
            return connection

        resolving: Deferred[str] = self._reactor.resolve(self._host)
        connecting = resolving.addCallback(self._open).addCallback(established)
        return connecting.addTimeout(self._timeout, self._reactor)

    def _open(self, address: str) -> Deferred[LACConnection]:
        counters = Counters()
        port = L2TPPort(self._reactor, self._bindAddress, 0, counters)
        port.connections = connections = ControlConnections(
            self._reactor, self._settings, counters, port
        )
        port.startListening()
        owner = LACConnection(self._reactor, port, self._dataPath)
        owner.control = connections.open(owner, self._bindAddress, (address, self._number))
        return owner.opened


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """
    What an endpoint string may say of an LNS.

    @ivar secretFile: the path of a file with the secret of the tunnel, which only its owner may
        read; empty for none.
    @ivar bindAddress: the local IPv4 address to call from; empty for any.
    """

    secretFile: str = key(ANY_FILE, "")
    bindAddress: str = key(OUR_ADDRESS, "")


@implementer(IPlugin, ITunnelClientFactory)
class LACClientPlugin:
    """
    See L{ITunnelClientFactory}.
    """

    name = L2TP.name
    description = "l2tp:HOST:PORT, an LNS; the port may be left out."
    options = ClientOptions
    stages = (
        ClientStage(
            CONTROL,
            "is the address right, does the gateway run, and does every firewall on the way let "
            f"UDP port {PORT} pass? Is the secret the same at both ends? Without IPsec a gateway "
            "refuses L2TP unless it is told otherwise",
        ),
        ClientStage(CALL, "the gateway refuses calls at present: its log says why"),
        ClientStage(L2TPCall.carrier, "control messages pass and data don't: the gateway's log"),
    )
    laterStages = ()

    def makeClient(
        self, reactor: Any, place: Sequence[str], options: ClientOptions, timeout: float
    ) -> LACClient:
        """
        See L{ITunnelClientFactory.makeClient}.
        """
        secret = readSecret(options.secretFile) if options.secretFile else b""
        return LACClient(
            reactor,
            *hostAndPort(place, PORT),
            settings=ControlSettings(trust=trusting(secret)),
            bindAddress=options.bindAddress,
            timeout=timeout,
        )


factory = LACClientPlugin()
