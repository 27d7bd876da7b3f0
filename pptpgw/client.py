"""
A PPTP client (PNS) in the shape of a Twisted endpoint: places calls and hands over their packets.

The network protocols of a call are served inside this process: each hands its packets to a callable
and sends what it is given.
C{
endpoint = PPTPClientEndpoint(reactor, "192.0.2.1", dataPath=dataPath, channels=gre.channels)
connection = await endpoint.connect()
ipv4 = IPCP(IPv4Settings.client(receive=print))
call = await connection.placeCall(settings, [ipv4])
ipv4.sendPacket(packet)
await connection.close()
}
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from pptpgw.clock import steady
from pptpgw.error import CallError, PPTPGWError
from pptpgw.interfaces import (
    Attachments,
    Claim,
    Grant,
    ICall,
    ICallOwner,
    IChannel,
    IDataPath,
    INetworkProtocol,
    Refusal,
)
from pptpgw.ppp.link import Link
from pptpgw.ppp.settings import LinkSettings
from pptpgw.tunnels.pptp.call import Call, Channels
from pptpgw.tunnels.pptp.callid import CallIDs
from pptpgw.tunnels.pptp.connection import ControlConnection
from pptpgw.tunnels.pptp.port.control import ControlClientFactory, PPTPProtocol
from pptpgw.tunnels.pptp.settings import ConnectionSettings


@implementer(ICallOwner)
class ClientCall:
    """
    One call that we placed.

    @ivar link: its L{Link}, which tells what was negotiated.
    @ivar protocols: its network protocols by name, open or not.
    @ivar opened: fires with this when the first of the network protocols is open; fails with
        L{CallError} when the call ends before that. Cancelling it hangs up.
    @ivar ended: fires with the cause when the call is over.
    """

    def __init__(
        self,
        clock: IReactorTime,
        dataPath: IDataPath,
        settings: LinkSettings,
        protocols: Sequence[INetworkProtocol],
    ) -> None:
        self.link = Link(clock, settings, self)
        self.ended: Deferred[str] = Deferred()
        self.opened: Deferred[ClientCall] = Deferred(self._cancelled)
        self.channel: IChannel | None = None
        self._dataPath = dataPath
        self._call: ICall | None = None
        self._cause = ""
        self.protocols = {protocol.name: protocol for protocol in protocols}
        self._waiting: dict[str, list[Deferred[None]]] = {}
        self._states: dict[str, bool] = {}

    def place(self, control: ControlConnection) -> None:
        """
        Ask the gateway for the call.

        @raise pptpgw.error.PPTPGWError: C{control} can't have one more.
        """
        self._call = control.placeCall(self)

    def whenOpen(self, protocol: INetworkProtocol) -> Deferred[None]:
        """
        Fires when C{protocol} is open, at once where it is so already; fails with L{CallError} when
        it, or the call, ends before that.
        """
        state = self._states.get(protocol.name)
        if state is not None:
            return succeed(None) if state else fail(CallError(f"{protocol.name} is over"))
        opening: Deferred[None] = Deferred()
        self._waiting.setdefault(protocol.name, []).append(opening)
        return opening

    def hangUp(self, cause: str = "hung up") -> Deferred[str]:
        """
        End the call in order; fires when it is over.
        """
        self.link.close(cause)
        return self.ended

    # ICallOwner

    def callEstablished(self, call: ICall) -> None:
        """
        The gateway took the call: open its channel.
        """
        self._call = call
        try:
            self.channel = self._dataPath.openChannel(call, self.link)
        except (PPTPGWError, ValueError) as error:
            self.link.close(str(error))
        else:
            self.link.lowerUp(self.channel)

    def callEnded(self, call: ICall, cause: str) -> None:
        """
        The call is over.
        """
        self.link.lowerDown(cause)
        self.ended.callback(self._cause or cause)

    # ppp.link.LinkOwner

    def authenticate(self, claim: Claim) -> Deferred[Grant]:
        """
        Nobody is asked to prove anything to us.
        """
        return fail(CallError("this end authenticates nobody"))

    def networkProtocols(self, grant: Grant | None) -> Sequence[INetworkProtocol]:
        """
        Those that the call was placed with.
        """
        return list(self.protocols.values())

    def networkOpened(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        The tunnel carries packets.
        """
        self._states[protocol.name] = True
        for opening in self._waiting.pop(protocol.name, ()):
            opening.callback(None)
        if not self.opened.called:
            self.opened.callback(self)

    def networkChanged(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        Of no account.
        """

    def networkClosed(self, protocol: INetworkProtocol) -> None:
        """
        The link ends, or opens it again.
        """
        self._states.pop(protocol.name, None)

    def networkFinished(self, protocol: INetworkProtocol, reason: str) -> None:
        """
        It won't open any more.
        """
        self._over(protocol.name, reason)

    def linkEnded(self, cause: str) -> None:
        """
        Clear the call.
        """
        self._cause = cause
        if self.channel is not None:
            self.channel.close()
            self.channel = None
        if not self.opened.called:
            self.opened.errback(CallError(cause))
        for name in tuple(self._waiting):
            self._over(name, cause)
        if self._call is not None:
            self._call.hangUp(cause)

    def _cancelled(self, opened: Deferred[ClientCall]) -> None:
        # First, because the end of the link would make the Deferred fail with CallError.
        opened.errback(CancelledError())
        self.link.close("cancelled")

    def _over(self, name: str, reason: str) -> None:
        self._states[name] = False
        for opening in self._waiting.pop(name, ()):
            opening.errback(CallError(reason))


class ClientConnection:
    """
    A control connection that we opened, for any number of calls.

    @ivar closed: fires with the reason when it is over.
    """

    def __init__(self, clock: IReactorTime, dataPath: IDataPath, timeout: float) -> None:
        self.opened: Deferred[ClientConnection] = Deferred(self._cancelled)
        self.closed: Deferred[str] = Deferred()
        self._clock = clock
        self._dataPath = dataPath
        self._timeout = timeout
        self._control: ControlConnection | None = None

    def placeCall(
        self, settings: LinkSettings, protocols: Sequence[INetworkProtocol]
    ) -> Deferred[ClientCall]:
        """
        Place a call; fires when the first of its network protocols is open. It fails with
        L{CallError}, with L{pptpgw.error.Exhausted} where the connection has as many calls as it
        may have or, after the timeout, with L{twisted.internet.defer.TimeoutError}. The timeout,
        and cancelling, hang up.

        @param protocols: what to negotiate, of this call alone.
        """
        if self._control is None:
            return fail(CallError("the control connection is closed"))
        call = ClientCall(self._clock, self._dataPath, settings, protocols)
        try:
            call.place(self._control)
        except PPTPGWError:
            return fail()
        return call.opened.addTimeout(self._timeout, self._clock)

    def close(self) -> Deferred[None]:
        """
        End every call and the connection, in order.
        """
        if self._control is None:
            return succeed(None)
        return self._control.stop()

    def connected(self, protocol: PPTPProtocol) -> Deferred[ClientConnection]:
        """
        Take the control connection of a TCP connection that is open.

        @return: fires with this when the handshake is done.
        """
        self._control = protocol.connection
        return self.opened

    # tunnels.pptp.connection.ConnectionOwner

    def connectionOpened(self, connection: ControlConnection) -> None:
        """
        The handshake is done.
        """
        self._control = connection
        self.opened.callback(self)

    def callRequested(self, call: Call) -> None:
        """
        Gateways don't call us.
        """
        call.refuse(Refusal.FORBIDDEN)

    def connectionClosed(self, connection: ControlConnection, reason: str) -> None:
        """
        The connection is over.
        """
        self._control = None
        if not self.opened.called:
            self.opened.errback(CallError(reason))
        self.closed.callback(reason)

    def _cancelled(self, opened: Deferred[ClientConnection]) -> None:
        # First, because the end of the connection would make the Deferred fail with CallError.
        opened.errback(CancelledError())
        if self._control is not None:
            self._control.end("cancelled")


class PPTPClientEndpoint:
    """
    Where a gateway listens.
    """

    def __init__(
        self,
        reactor: Any,
        host: str,
        port: int = 1723,
        *,
        dataPath: IDataPath,
        callIDs: CallIDs | None = None,
        channels: Channels | None = None,
        settings: ConnectionSettings | None = None,
        bindAddress: str | None = None,
        timeout: float = 30,
    ) -> None:
        """
        @param dataPath: carries the calls' packets; may be one that a gateway uses as well, if
            they share C{callIDs} and C{channels} too.
        @param channels: opens the channels of calls, as
            L{pptpgw.tunnels.pptp.tunnel.GREPorts.channels} does; None for a data path that needs
            nothing of the kind.
        @param timeout: seconds for the control connection to open, from TCP to the end of the
            handshake, and for each call.
        """
        self._reactor = reactor = steady(reactor)
        self._host = host
        self._port = port
        self._dataPath = dataPath
        self._callIDs = callIDs if callIDs is not None else CallIDs(reactor)
        self._channels = channels
        self._settings = settings if settings is not None else ConnectionSettings()
        self._bindAddress = bindAddress
        self._timeout = timeout

    def connect(self) -> Deferred[ClientConnection]:
        """
        Open a control connection; fails with L{CallError}, with what Twisted's endpoints fail with
        or, after the timeout, with L{twisted.internet.defer.TimeoutError}. The timeout, and
        cancelling, close what was opened.
        """
        owner = ClientConnection(self._reactor, self._dataPath, self._timeout)
        endpoint = TCP4ClientEndpoint(
            self._reactor,
            self._host,
            self._port,
            # Longer than the one below, which covers the handshake too.
            timeout=self._timeout + 1,
            bindAddress=(self._bindAddress, 0) if self._bindAddress else None,
        )
        factory = ControlClientFactory(
            self._reactor, self._settings, self._callIDs, owner, channels=self._channels
        )
        connecting: Deferred[Any] = endpoint.connect(factory)
        return connecting.addCallback(owner.connected).addTimeout(self._timeout, self._reactor)
