"""
The calls that the gateway places by control connections: as access concentrator, calls that are
passed on to network servers, LNSs of L2TP (RFC 2661 section 1.2) and PNSs of PPTP (RFC 2637 section
1.1); and those that it dials, as a client does.

Calls that are passed on to the same server share a control connection, as long as everything that
is agreed on with it is the same (Tunnel-Assignment-ID, RFC 2868 section 3.6). One without a call is
closed after C{idleTimeout}. A call that is dialled has a connection of its own, which ends with it:
servers that take clients often serve one call on a connection, and the next call shouldn't depend
on a connection that may be cut off.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sized
from dataclasses import replace
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from twisted.internet.abstract import isIPAddress
from twisted.internet.defer import CancelledError, Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.error import CallError, PPTPGWError
from pptpgw.interfaces import (
    UNKNOWN_STATIONS,
    Forward,
    ICall,
    ICallOwner,
    IStationCall,
    Negotiated,
    Refusal,
    Stations,
)
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.timing.timer import cancelled
from pptpgw.tunnels.client import hostAndPort


class ServerConnection(Protocol):
    """
    A control connection to a network server.

    @ivar calls: the current calls.
    """

    @property
    def calls(self) -> Sized: ...
    @property
    def isEstablished(self) -> bool:
        """
        Whether calls can be placed.
        """

    @property
    def isStopping(self) -> bool:
        """
        Whether the connection is being closed.
        """

    @property
    def peerName(self) -> str:
        """
        The name by which the server has introduced itself.
        """

    def stop(self, reason: str) -> Deferred[None]:
        """
        End the calls and close the connection in order.

        @param reason: why, in words for the log.
        @return: fires when the connection is closed.
        """


def numbersOf(caller: ICall) -> Stations:
    """
    Return what a network server is told of who calls whom: the numbers of a call that is passed on,
    or else its addresses.
    """
    known = IStationCall(caller).stations if IStationCall.providedBy(caller) else UNKNOWN_STATIONS
    return replace(
        known, called=known.called or caller.called, calling=known.calling or caller.caller
    )


_NO_CONNECTION = (
    PPTPGWError,
    ConnectError,
    DNSLookupError,
    CancelledError,
    ConnectingCancelledError,
)
"""
How an attempt to open a control connection may fail.
"""

ConnectionType = TypeVar("ConnectionType", bound=ServerConnection)


@implementer(ICallOwner)
class Leg:
    """
    A call that is being placed, and its owner.

    @ivar placed: fires with the call when it can carry frames. Cancelling it gives the call up.
    @ivar negotiated: what was negotiated with the caller.
    @ivar caller: the call that is passed on; None for a call that is dialled.
    @ivar number: the telephone number to be dialled; empty for none.
    @ivar call: the call that was placed; None before.
    """

    def __init__(
        self,
        negotiated: Negotiated,
        caller: ICall | None,
        owner: ICallOwner,
        over: Callable[[Leg], object],
        number: str = "",
    ) -> None:
        """
        @param over: called when the call is given up, and when it has ended.
        """
        self.placed: Deferred[ICall] = Deferred(self._cancelled)
        self.negotiated = negotiated
        self.caller = caller
        self.number = number
        self.call: ICall | None = None
        self._owner = owner
        self._over = over
        self._isEstablished = False

    def _cancelled(self, placed: Deferred[ICall]) -> None:
        # This comes first, because the end of the call would make the Deferred fail with CallError.
        placed.errback(CancelledError())
        self._over(self)
        if self.call is not None:
            self.call.hangUp(Cause("given up", Termination.NAS_REQUEST))

    def failed(self, why: str) -> None:
        """
        Note that there will be no call.
        """
        if not self.placed.called:
            self.placed.errback(CallError(why))

    # ICallOwner

    def callEstablished(self, call: ICall) -> None:
        """
        See L{ICallOwner.callEstablished}.
        """
        self.call = call
        self._isEstablished = True
        self.placed.callback(call)

    def callEnded(self, call: ICall, cause: str) -> None:
        """
        See L{ICallOwner.callEnded}.
        """
        if self._isEstablished:
            self._owner.callEnded(call, cause)
        else:
            self.failed(cause)
        self._over(self)


class CalledServer(Generic[ConnectionType]):
    """
    A server. It owns the control connection to it.

    @ivar isShared: whether more calls may be placed by its connection.
    @ivar connection: the control connection; None before it is there.
    @ivar waiting: the calls that wait for it, in order.
    """

    def __init__(
        self, concentrator: Concentrator[ConnectionType], forward: Forward, isShared: bool
    ) -> None:
        self.isShared = isShared
        self.connection: ConnectionType | None = None
        self.waiting: dict[Leg, None] = {}
        self._concentrator = concentrator
        self._forward = forward
        self._idle: IDelayedCall | None = None
        self._connecting: Deferred[Any] | None = None
        self._host, self._port = forward.endpoint, 0

    def open(self) -> None:
        """
        Look up the name of the server, and open the control connection.
        """
        self._connecting = connecting = maybeDeferred(self._resolve)
        connecting.addCallback(self._connect).addCallbacks(self._connected, self._failed)

    def place(self, leg: Leg) -> None:
        """
        Place a call as soon as the connection is established.
        """
        self._idle = cancelled(self._idle)
        connection = self.connection
        if connection is None or not connection.isEstablished:
            self.waiting[leg] = None
            return
        try:
            leg.call = self._concentrator.request(connection, leg)
        except PPTPGWError as error:
            leg.failed(str(error))

    def over(self, leg: Leg) -> None:
        """
        Note that a call is over, or given up.
        """
        self.waiting.pop(leg, None)
        connecting = self._connecting
        if connecting is not None and not self.isShared:
            # Nobody waits for the connection any more.
            connecting.cancel()
        self._rest()

    def _rest(self) -> None:
        """
        Close the connection after a while if it has no call.
        """
        connection = self.connection
        if connection is not None and not connection.calls and not self.waiting:
            self._idle = cancelled(self._idle)
            seconds = self._concentrator.idleTimeout if self.isShared else 0
            self._idle = self._concentrator.reactor.callLater(seconds, self._cleared, connection)

    def stop(self) -> Deferred[None] | None:
        """
        Give up the look-up of the name, and close the connection to the server in order.

        @return: fires when it is closed; None if there is none.
        """
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
        return None if self.connection is None else self.connection.stop("the gateway stops")

    # The owner of the control connection

    def connectionOpened(self, connection: ConnectionType) -> None:
        """
        Place the calls that wait.
        """
        self.connection = connection
        expected = self._forward.peerName
        if expected and connection.peerName != expected:
            name = connection.peerName
            connection.stop(f"the network server calls itself {name!a}, and not {expected!a}")
            return
        waiting, self.waiting = self.waiting, {}
        for leg in waiting:
            self.place(leg)
        self._rest()

    def callRequested(self, call: ICall) -> None:
        """
        Refuse a call, since the server is called from here.
        """
        call.refuse(Refusal.FORBIDDEN)

    def connectionClosed(self, connection: ConnectionType, reason: str) -> None:
        """
        Have all calls that wait fail.
        """
        self._over(reason)

    def _resolve(self) -> Deferred[str]:
        self._host, self._port = hostAndPort(
            self._forward.endpoint.split(":"), self._concentrator.port
        )
        if isIPAddress(self._host):
            return succeed(self._host)
        resolved: Deferred[str] = self._concentrator.reactor.resolve(self._host)
        return resolved

    def _connect(self, address: str) -> Deferred[ConnectionType] | ConnectionType:
        return self._concentrator.connect(self._forward, self, (address, self._port))

    def _connected(self, connection: ConnectionType) -> None:
        self._connecting = None
        self.connection = connection

    def _failed(self, failure: Failure) -> None:
        self._connecting = None
        error = failure.trap(*_NO_CONNECTION)
        if error is DNSLookupError:
            self._over(f"the name {self._host!a} isn't known")
        else:
            self._over(failure.getErrorMessage().removesuffix("."))

    def _cleared(self, connection: ConnectionType) -> None:
        self._idle = None
        connection.stop("no call is left")

    def _over(self, why: str) -> None:
        self._idle = cancelled(self._idle)
        self.connection = None
        self._concentrator.forget(self._forward, self)
        waiting, self.waiting = self.waiting, {}
        for leg in waiting:
            leg.failed(why)


class Concentrator(ABC, Generic[ConnectionType]):
    """
    The servers to which calls are placed.

    @cvar port: the port of servers whose address has none.
    @ivar reactor: looks names up, and has timers.
    """

    port: ClassVar[int]

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        # Those whose connections are shared.
        self._servers: dict[Forward, CalledServer[ConnectionType]] = {}
        # All of them whose connections aren't closed.
        self._all: dict[CalledServer[ConnectionType], None] = {}

    @property
    @abstractmethod
    def idleTimeout(self) -> float:
        """
        The seconds that a control connection is kept without a call.
        """

    @abstractmethod
    def connect(
        self, forward: Forward, owner: CalledServer[ConnectionType], peer: tuple[str, int]
    ) -> Deferred[ConnectionType] | ConnectionType:
        """
        Open a control connection.

        @param forward: the network server.
        @param owner: the owner of the connection.
        @param peer: the address of the server, in text, and its port.
        @return: the connection, which needn't be established. A Deferred may fail with
            L{PPTPGWError} and with L{ConnectError}.
        @raise PPTPGWError: it can't be opened; the text says why.
        """

    @abstractmethod
    def request(self, connection: ConnectionType, leg: Leg) -> ICall:
        """
        Request a call on a connection that is established.

        @param leg: the owner of the call.
        @raise PPTPGWError: none can be requested; the text says why.
        """

    def place(
        self, forward: Forward, negotiated: Negotiated, caller: ICall, owner: ICallOwner
    ) -> Deferred[ICall]:
        """
        See L{pptpgw.interfaces.IForwarder.place}.
        """
        key = replace(forward, tunnel="", preference=0)
        server = self._servers.get(key)
        isNew = server is None or (server.connection is not None and server.connection.isStopping)
        if server is None or isNew:
            server = self._servers[key] = CalledServer(self, key, True)
        leg = Leg(negotiated, caller, owner, server.over)
        self._place(server, leg, isNew)
        return leg.placed

    def dial(self, end: Forward, owner: ICallOwner) -> Deferred[ICall]:
        """
        See L{pptpgw.interfaces.IDialler.dial}.
        """
        server: CalledServer[ConnectionType] = CalledServer(self, end, False)
        leg = Leg(Negotiated(), None, owner, server.over, end.number)
        self._place(server, leg, True)
        return leg.placed

    def _place(self, server: CalledServer[ConnectionType], leg: Leg, isNew: bool) -> None:
        server.place(leg)
        if isNew:
            self._all[server] = None
            server.open()

    def forget(self, forward: Forward, server: CalledServer[ConnectionType]) -> None:
        """
        Forget a server, whose control connection is closed.
        """
        self._all.pop(server, None)
        if self._servers.get(forward) is server:
            del self._servers[forward]

    def stop(self) -> Deferred[Any]:
        """
        Close every control connection.

        @return: fires when all are closed.
        """
        stopping = [server.stop() for server in tuple(self._all)]
        return DeferredList([one for one in stopping if one is not None])
