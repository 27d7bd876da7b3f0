"""
The caller's end of a call: the link over the call, and its network protocols.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol as TypingProtocol

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from pptpgw.error import CallError, PPTPGWError
from pptpgw.interfaces import (
    Attachments,
    Claim,
    Grant,
    IBoundCall,
    ICall,
    ICallOwner,
    IChannel,
    IDataPath,
    IKeys,
    INetworkProtocol,
)
from pptpgw.ppp.bundle import Bundle
from pptpgw.ppp.link import Link
from pptpgw.ppp.settings import LinkSettings


class NetworkListener(TypingProtocol):
    """
    An object that is told which network protocols of a call carry packets.
    """

    def networkOpened(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        Note that C{protocol} carries packets from now on.
        """

    def networkClosed(self, protocol: INetworkProtocol) -> None:
        """
        Note that C{protocol} carries no packets any more. It may open again.
        """


@implementer(ICallOwner)
class ClientCall:
    """
    A call that we placed.

    @ivar link: the L{Link} over the call, which knows what was negotiated.
    @ivar protocols: the network protocols of the call by name, open or not.
    @ivar opened: fires with this object when the first network protocol is open. It fails with
        L{CallError} if the call ends before that. Cancelling it hangs up.
    @ivar ended: fires with the cause when the call is over.
    """

    def __init__(
        self,
        clock: IReactorTime,
        dataPath: IDataPath,
        settings: LinkSettings,
        protocols: Sequence[INetworkProtocol],
        listener: NetworkListener | None = None,
    ) -> None:
        self.link = Link(clock, settings, self)
        self.ended: Deferred[str] = Deferred()
        self.opened: Deferred[ClientCall] = Deferred(self._cancelled)
        self.channel: IChannel | None = None
        self._dataPath = dataPath
        self._call: ICall | None = None
        self._cause = ""
        self.protocols = {protocol.name: protocol for protocol in protocols}
        self._listener = listener
        self._waiting: dict[str, list[Deferred[None]]] = {}
        self._states: dict[str, bool] = {}

    def placed(self, call: ICall) -> None:
        """
        Note which call was placed, so that it can be ended before it is established.
        """
        self._call = call

    def whenOpen(self, protocol: INetworkProtocol) -> Deferred[None]:
        """
        Return a Deferred that fires when C{protocol} is open, or at once if it is open. It fails
        with L{CallError} if the protocol or the call ends before that.
        """
        state = self._states.get(protocol.name)
        if state is not None:
            return succeed(None) if state else fail(CallError(f"{protocol.name} is over"))
        opening: Deferred[None] = Deferred()
        self._waiting.setdefault(protocol.name, []).append(opening)
        return opening

    def hangUp(self, cause: str = "hung up") -> Deferred[str]:
        """
        End the call in order.

        @return: fires with the cause when the call is over.
        """
        self.link.close(cause)
        return self.ended

    # ICallOwner

    def callEstablished(self, call: ICall) -> None:
        """
        See L{ICallOwner.callEstablished}: open the call's channel, and begin the link.
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
        See L{ICallOwner.callEnded}: end the link, and fire L{ended}.
        """
        self.link.lowerDown(cause)
        self._listener = None
        self.ended.callback(self._cause or cause)

    # pptpgw.ppp.settings.LinkOwner

    def authenticate(self, claim: Claim) -> Deferred[Grant]:
        """
        Fail: the peer isn't asked to authenticate, so it makes no claims.
        """
        return fail(CallError("this end authenticates nobody"))

    def authenticated(self, keys: IKeys | None) -> None:
        """
        Tell the call, if it is bound to the authentication.
        """
        if IBoundCall.providedBy(self._call):
            IBoundCall(self._call).bind(keys)

    def bundleOf(self, own: Bundle) -> Bundle:
        """
        Return C{own}: each of our calls has a bundle of its own.
        """
        return own

    def networkProtocols(self, grant: Grant | None) -> Sequence[INetworkProtocol]:
        """
        Return the network protocols that the call was placed with.
        """
        return list(self.protocols.values())

    def attached(self, attachments: Attachments) -> Attachments:
        """
        Return C{attachments}: this end filters nothing.
        """
        return attachments

    def networkOpened(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        Tell the listener and everybody who waits that C{protocol} is open.
        """
        self._states[protocol.name] = True
        if self._listener is not None:
            self._listener.networkOpened(protocol, attachments)
        for opening in self._waiting.pop(protocol.name, ()):
            opening.callback(None)
        if not self.opened.called:
            self.opened.callback(self)

    def networkChanged(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        Ignore that the attachments changed, since the listener was told when the protocol opened.
        """

    def networkClosed(self, protocol: INetworkProtocol) -> None:
        """
        Tell the listener that C{protocol} has closed. It may open again.
        """
        self._states.pop(protocol.name, None)
        if self._listener is not None:
            self._listener.networkClosed(protocol)

    def networkFinished(self, protocol: INetworkProtocol, reason: str) -> None:
        """
        Tell everybody who waits for C{protocol} that it won't open any more.
        """
        self._over(protocol.name, reason)

    def linkEnded(self, cause: str) -> None:
        """
        Close the channel, tell everybody who waits, and hang up the call.
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
        # This comes first, because the end of the link would make the Deferred fail with CallError.
        opened.errback(CancelledError())
        self.link.close("cancelled")

    def _over(self, name: str, reason: str) -> None:
        self._states[name] = False
        for opening in self._waiting.pop(name, ()):
            opening.errback(CallError(reason))
