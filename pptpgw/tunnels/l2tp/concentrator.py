"""
The gateway as LAC: calls that are passed on to LNSs (RFC 2661 sections 1.2 and 5.2.1).

Calls to the same LNS share a control connection, as long as everything that is agreed on with it is
the same (Tunnel-Assignment-ID, RFC 2868 section 3.6). One without a call is closed after
C{idleTimeout}.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twisted.internet.abstract import isIPAddress
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.error import CallError, PPTPGWError
from pptpgw.interfaces import Forward, ICall, ICallOwner, Negotiated, Refusal
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.timing.timer import cancelled
from pptpgw.tunnels.l2tp.call import L2TPCall
from pptpgw.tunnels.l2tp.carriage import Address
from pptpgw.tunnels.l2tp.connection import L2TPConnection, L2TPOwner
from pptpgw.tunnels.l2tp.details import CallDetails, detailsOf
from pptpgw.tunnels.l2tp.secrets import trusting
from pptpgw.tunnels.l2tp.settings import ControlSettings
from pptpgw.tunnels.l2tp.statetable import ControlState
from pptpgw.tunnels.l2tp.wire.header import PORT

Open = Callable[[ControlSettings, L2TPOwner, str, Address], L2TPConnection]
"""
A function that opens a control connection by these settings, from an address of ours (empty for
any) to a peer.
"""


@implementer(ICallOwner)
class _Leg:
    """
    A call that is being placed, and its owner.
    """

    def __init__(self, peer: _Peer, details: CallDetails, owner: ICallOwner) -> None:
        self.placed: Deferred[ICall] = Deferred(self._cancelled)
        self.details = details
        self.call: L2TPCall | None = None
        self._peer = peer
        self._owner = owner
        self._isEstablished = False

    def _cancelled(self, placed: Deferred[ICall]) -> None:
        # This comes first, because the end of the call would make the Deferred fail with CallError.
        placed.errback(CancelledError())
        self._peer.waiting.pop(self, None)
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
        self._peer.rest()


class _Peer:
    """
    An LNS, with the control connection to it: an L{L2TPOwner}.

    @ivar connection: the control connection; None while the name of the LNS is looked up.
    @ivar waiting: the calls that wait for it, in order.
    """

    def __init__(self, concentrator: AccessConcentrator, forward: Forward) -> None:
        self.connection: L2TPConnection | None = None
        self.waiting: dict[_Leg, None] = {}
        self._concentrator = concentrator
        self._forward = forward
        self._idle: IDelayedCall | None = None
        self._resolving: Deferred[Any] | None = None

    def open(self) -> None:
        """
        Open the control connection.
        """
        host = self._forward.endpoint
        if isIPAddress(host):
            self._open(host)
            return
        resolving: Deferred[Any] = self._concentrator.reactor.resolve(host)
        self._resolving = resolving
        resolving.addCallback(self._open).addErrback(self._unresolved)

    def place(self, leg: _Leg) -> None:
        """
        Place a call as soon as the connection is established.
        """
        self._idle = cancelled(self._idle)
        connection = self.connection
        if connection is None or connection.state is not ControlState.ESTABLISHED:
            self.waiting[leg] = None
            return
        try:
            leg.call = connection.placeCall(leg, details=leg.details)
        except PPTPGWError as error:
            leg.failed(str(error))

    def rest(self) -> None:
        """
        Close the connection after a while if it has no call.
        """
        connection = self.connection
        if connection is not None and not connection.calls and not self.waiting:
            self._idle = cancelled(self._idle)
            seconds = connection.settings.idleTimeout
            self._idle = self._concentrator.reactor.callLater(seconds, self._cleared, connection)

    def stop(self) -> Deferred[None] | None:
        """
        Close the connection.

        @return: fires when it is closed; None if there is none.
        """
        resolving, self._resolving = self._resolving, None
        if resolving is not None:
            resolving.cancel()
        return None if self.connection is None else self.connection.stop("the gateway stops")

    # L2TPOwner

    def connectionOpened(self, connection: L2TPConnection) -> None:
        """
        Place the calls that wait.
        """
        expected = self._forward.peerName
        if expected and connection.peerName != expected:
            connection.stop(f"the LNS calls itself {connection.peerName!a}, and not {expected!a}")
            return
        waiting, self.waiting = self.waiting, {}
        for leg in waiting:
            self.place(leg)
        self.rest()

    def callRequested(self, call: L2TPCall) -> None:
        """
        Refuse a call, since the peer is called from here.
        """
        call.refuse(Refusal.FORBIDDEN)

    def connectionClosed(self, connection: L2TPConnection, reason: str) -> None:
        """
        Have all calls that wait fail.
        """
        self._over(reason)

    def _open(self, address: str) -> None:
        self._resolving = None
        forward = self._forward
        try:
            settings = self._concentrator.settingsFor(forward)
            peer = address, PORT
            self.connection = self._concentrator.open(settings, self, forward.source, peer)
        except PPTPGWError as error:
            self._over(str(error))

    def _unresolved(self, failure: Failure) -> None:
        failure.trap(DNSLookupError, CancelledError)
        self._over(f"the name {self._forward.endpoint!a} isn't known")

    def _cleared(self, connection: L2TPConnection) -> None:
        self._idle = None
        connection.stop("no call is left")

    def _over(self, why: str) -> None:
        self._idle = cancelled(self._idle)
        self.connection = None
        self._concentrator.forget(self._forward, self)
        waiting, self.waiting = self.waiting, {}
        for leg in waiting:
            leg.failed(why)


class AccessConcentrator:
    """
    The LNSs to which calls are passed on.

    @ivar reactor: looks names up, and has timers.
    @ivar settings: the settings of control connections to come.
    """

    def __init__(self, reactor: Any, settings: ControlSettings, open: Open) -> None:
        self.reactor = reactor
        self.settings = settings
        self.open = open
        self._peers: dict[Forward, _Peer] = {}

    def place(
        self, forward: Forward, negotiated: Negotiated, caller: ICall, owner: ICallOwner
    ) -> Deferred[ICall]:
        """
        See L{pptpgw.interfaces.IForwarder.place}.
        """
        key = replace(forward, tunnel="", preference=0)
        peer = self._peers.get(key)
        isNew = peer is None or (
            peer.connection is not None and peer.connection.state is ControlState.STOPPING
        )
        if peer is None or isNew:
            peer = self._peers[key] = _Peer(self, key)
        leg = _Leg(peer, detailsOf(negotiated, caller), owner)
        peer.place(leg)
        if isNew:
            peer.open()
        return leg.placed

    def settingsFor(self, forward: Forward) -> ControlSettings:
        """
        Return the settings of a control connection to an LNS.
        """
        name = forward.name.encode() or self.settings.name
        return replace(self.settings, name=name, trust=trusting(forward.secret))

    def forget(self, forward: Forward, peer: _Peer) -> None:
        """
        Forget an LNS, whose control connection is closed.
        """
        if self._peers.get(forward) is peer:
            del self._peers[forward]

    def stop(self) -> Deferred[Any]:
        """
        Close every control connection.

        @return: fires when all are closed.
        """
        stopping = [peer.stop() for peer in tuple(self._peers.values())]
        return DeferredList([one for one in stopping if one is not None])
