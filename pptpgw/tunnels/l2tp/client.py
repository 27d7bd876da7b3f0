"""
The client's side of L2TP, a LAC: control connections that this end opens, and calls on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from pptpgw.clock import steady
from pptpgw.counting.counters import Counters
from pptpgw.datapath.python import PythonDataPath
from pptpgw.error import CallError
from pptpgw.interfaces import IDataPath, INetworkProtocol, Refusal
from pptpgw.ppp.client import ClientCall, NetworkListener
from pptpgw.ppp.settings import LinkSettings
from pptpgw.tunnels.l2tp.call import L2TPCall
from pptpgw.tunnels.l2tp.connection import L2TPConnection
from pptpgw.tunnels.l2tp.connections import ControlConnections
from pptpgw.tunnels.l2tp.port.udp import L2TPPort
from pptpgw.tunnels.l2tp.settings import ControlSettings
from pptpgw.tunnels.l2tp.wire.header import PORT


class LACConnection:
    """
    A control connection that we opened, for any number of calls. It has a UDP port of its own.

    @ivar opened: fires with this object when the control connection is established; fails with
        L{CallError} if it ends before that. Cancelling it closes the connection.
    @ivar closed: fires with the reason when the control connection has ended.
    @ivar control: the L{L2TPConnection}.
    """

    control: L2TPConnection

    def __init__(self, clock: Any, port: L2TPPort, dataPath: IDataPath) -> None:
        self.opened: Deferred[LACConnection] = Deferred(self._cancelled)
        self.closed: Deferred[str] = Deferred()
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
        Place a call, and return it before anything is known of it.

        @param protocols: the network protocols to negotiate, which belong to this call alone.
        @param outgoing: whether to ask the peer, a LAC, for an outgoing call.
        @raise CallError: the control connection is closed.
        @raise pptpgw.error.Exhausted: the control connection has as many calls as are allowed.
        """
        call = ClientCall(self._clock, self._dataPath, settings, protocols, listener)
        call.placed(self.control.placeCall(call, outgoing))
        return call

    def close(self) -> Deferred[None]:
        """
        End every call and the connection, in order.

        @return: fires when the control connection is closed.
        """
        return self.control.stop("hung up")

    # pptpgw.tunnels.l2tp.connection.L2TPOwner

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
        self._clock.callLater(0, self._port.stopListening)
        if not self.opened.called:
            self.opened.errback(CallError(reason))
        self.closed.callback(reason)

    def _cancelled(self, opened: Deferred[LACConnection]) -> None:
        # This comes first, because the end of the connection would make the Deferred fail with
        # CallError.
        opened.errback(CancelledError())
        self.control.end("cancelled")


class LACClient:
    """
    A client that opens control connections to one LNS.
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
        self._reactor = reactor = steady(reactor)
        self._dataPath = PythonDataPath(reactor) if dataPath is None else dataPath
        self._host = host
        self._number = port
        self._settings = ControlSettings() if settings is None else settings
        self._bindAddress = bindAddress
        self._timeout = timeout

    def connect(self) -> Deferred[LACConnection]:
        """
        Open a control connection.

        @return: fires with the connection when it is established. It fails with L{CallError}, with
            C{OSError} if there is no UDP port, with C{DNSLookupError}, and after the timeout with
            L{twisted.internet.defer.TimeoutError}. The timeout, and cancelling, close everything
            that was opened.
        """
        resolving: Deferred[str] = self._reactor.resolve(self._host)
        return resolving.addCallback(self._open).addTimeout(self._timeout, self._reactor)

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
