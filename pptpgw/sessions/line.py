"""
What all lines have in common. A line joins a call, whatever tunnel it came by or was placed by, to
a link (L{pptpgw.ppp}) and both to a session. Callers have an
L{pptpgw.sessions.answered.AnsweredLine}, calls that this gateway dials a
L{pptpgw.dialling.line.DialledLine}.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from pptpgw.counting.counters import Counters
from pptpgw.interfaces import (
    AgreedProtocol,
    Attachments,
    Attack,
    Caller,
    Claim,
    Direction,
    Grant,
    IAlertedOwner,
    ICall,
    IChannel,
    IKeys,
    INetworkProtocol,
    IProtectedCall,
    ISubscriber,
    LinkQuality,
)
from pptpgw.ppp.bundle import Bundle
from pptpgw.ppp.link import Link
from pptpgw.ppp.settings import LinkSettings
from pptpgw.sessions.attempt import Attempt
from pptpgw.sessions.cause import Cause, codeOf, whyOf
from pptpgw.sessions.context import LineContext
from pptpgw.sessions.gate import Gate
from pptpgw.sessions.networkprotocols import Made
from pptpgw.sessions.registry import known
from pptpgw.sessions.session import Session
from pptpgw.timing.timer import cancelled

# Seconds after the set-up of a call until it is logged that no frame has come.
SILENCE_SECONDS = 5.0


@implementer(IAlertedOwner)
class Line(ABC):
    """
    One call, its link and its session. It is the owner of both
    (L{pptpgw.ppp.settings.LinkOwner}).

    @cvar direction: who placed the call.
    @ivar attempt: the L{Attempt} to call, which is told what becomes of it.
    @ivar bundle: the bundle of links that the line heads; None for none.
    @ivar identity: the L{Claim.identity} that the caller has authenticated as, or the name of the
        C{[[dial]]}; empty if none yet.
    """

    __slots__ = (
        "_context",
        "_gate",
        "_isGone",
        "_made",
        "_missed",
        "_since",
        "attempt",
        "bundle",
        "call",
        "caller",
        "channel",
        "identity",
        "link",
        "session",
    )

    direction: Direction

    def __init__(self, context: LineContext, call: ICall, settings: LinkSettings) -> None:
        """
        @param settings: the settings of the link.
        @raise pptpgw.error.PPTPGWError: the data path can't carry the call.
        """
        self._context = context
        # The network protocols, each with its network.
        self._made: Made = ()
        # What the packets of the user have to pass.
        self._gate: Gate | None = None
        # Whether its call has ended; the session may go on by other links.
        self._isGone = False
        self.bundle: Bundle | None = None
        self.identity = ""
        self._missed: IDelayedCall | None = None
        self._since = context.clock.seconds()
        self.call = call
        self.caller = context.sessions.callerOf(call, self.direction)
        self.session: Session | None = None
        self.link = Link(context.clock, settings, self)
        # The peer may send before it has read our reply.
        self.channel: IChannel = context.dataPath.openChannel(call, self.link, self.caller.port)
        self.attempt: Attempt = context.attempts.begin(call, self.caller)
        self.link.watcher = self.attempt

    @property
    def authentication(self) -> str:
        """
        The name of the method that proved who calls.
        """
        method = self.link.method
        return method.name if method is not None else "none"

    @property
    def figures(self) -> list[Counters]:
        """
        The counters of the call, and of the bundle that it heads.
        """
        own = [] if self._isGone else [self.channel.counters]
        return own if self.bundle is None else [*own, self.bundle.counters]

    @property
    def _carrier(self) -> Bundle | Link:
        """
        What the session's packets pass through.
        """
        return self.link if self.bundle is None else self.bundle

    @property
    def age(self) -> float:
        """
        The seconds since the call began.
        """
        return self._context.clock.seconds() - self._since

    def agreed(self) -> list[AgreedProtocol]:
        """
        Return what the control protocols of the link have agreed on. See L{ISession.agreed}.
        """
        return list(map(self._context.attempts.decoder.agreed, self._carrier.agreements))

    def quality(self) -> LinkQuality | None:
        """
        Return what Link-Quality-Reports have shown. See L{ISession.quality}.
        """
        return self._carrier.quality

    def hangUp(self, cause: str) -> None:
        """
        End the link, and then the call, both in order; if the line heads a bundle, all links of it.
        """
        self._carrier.close(cause)

    def hangUpInTurn(self, cause: str) -> None:
        """
        Do as L{hangUp} does, in a later turn of the reactor if thousands hang up in one moment.
        """
        self._context.sessions.hangUps.do(self.hangUp, cause)

    def drop(self, cause: str) -> None:
        """
        End the link and the call at once: the peer is told, and not waited for.
        """
        self._carrier.drop(cause)

    def probe(self) -> Deferred[bool]:
        """
        Find out whether the peer is still there. See L{Link.probe}.
        """
        return self._carrier.probe()

    def release(self) -> None:
        """
        Give the network protocols of this line back to the networks that made them.
        """
        made, self._made = self._made, ()
        self._context.returns.give(made)

    def _makeSession(self, subscriber: ISubscriber, changed: Callable[[Session], None]) -> Session:
        """
        Make the session.

        @param changed: called when it has another profile.
        """
        context, caller = self._context, self.caller
        session = Session(
            caller.port,
            caller.session,
            subscriber,
            caller.address,
            context.now(),
            self.channel.counters if self.bundle is None else self.bundle.counters,
            self.hangUpInTurn,
            changed,
            context.clock.seconds,
            self._gate,
            self.agreed,
            self.quality,
        )
        session.called, session.stations = caller.called, caller.stations
        session.concentrator = caller.concentrator
        session.tunnel, session.carrier = caller.tunnel, caller.carrier
        session.direction = caller.direction
        session.authentication = self.authentication
        session.path = self.channel.path if self.bundle is None else self.bundle.channel.path
        return session

    def _establish(self, call: ICall) -> None:
        """
        Wait for frames, since the call can carry them.
        """
        self.caller = known(self.caller, call)
        self._missed = self._context.clock.callLater(SILENCE_SECONDS, self._missFrames)

    # What each kind of line does in its own way

    @abstractmethod
    def callEstablished(self, call: ICall) -> None:
        """
        See L{pptpgw.interfaces.ICallOwner.callEstablished}.
        """

    @abstractmethod
    def authenticate(self, claim: Claim) -> Deferred[Grant]:
        """
        See L{pptpgw.ppp.settings.LinkOwner.authenticate}.
        """

    @abstractmethod
    def authenticated(self, keys: IKeys | None) -> Deferred[None] | None:
        """
        See L{pptpgw.ppp.settings.LinkOwner.authenticated}.
        """

    @abstractmethod
    def networkProtocols(self, grant: Grant | None) -> Sequence[INetworkProtocol]:
        """
        See L{pptpgw.ppp.settings.LinkOwner.networkProtocols}.
        """

    @abstractmethod
    def _firstOpened(self, seconds: float) -> None:
        """
        Note that the first network protocol is open, C{seconds} after the call.
        """

    @abstractmethod
    def _neverOpened(self) -> None:
        """
        Note that the call ended before a network protocol opened.
        """

    @abstractmethod
    def _over(self, cause: str) -> None:
        """
        Note that the link has ended, before the channel is closed.
        """

    # ICallOwner

    def callEnded(self, call: ICall, cause: str) -> None:
        """
        End the link, since its call is over.
        """
        self.link.lowerDown(cause)

    def callAttacked(self, call: ICall, reason: str) -> None:
        """
        See L{IAlertedOwner.callAttacked}: count, log and report the attack.
        """
        context, caller = self._context, self.caller
        user = self.attempt.user if self.session is None else self.session.user
        attack = Attack(caller.session, user, caller.address, caller.tunnel.name, reason)
        context.tally.attacks[attack.tunnel] += 1
        context.reports.attacked(attack)
        context.sessions.attacked(attack)

    # pptpgw.ppp.settings.LinkOwner

    def bundleOf(self, own: Bundle) -> Bundle:
        """
        See L{pptpgw.ppp.settings.LinkOwner.bundleOf}: head C{own}.
        """
        self.bundle = own
        return own

    def attached(self, attachments: Attachments) -> Attachments:
        """
        Put the session's gate before C{attachments}.
        """
        return attachments if self._gate is None else self._gate.before(attachments)

    def networkOpened(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        Note that C{protocol} carries packets: report it, and tell the registry.
        """
        self._missed = cancelled(self._missed)
        if self.session is not None:
            context, networks = self._context, _addresses(attachments)
            self.session.encryption = self._encryption
            self.session.interface = self.channel.interface
            seconds = self.age
            if not self.attempt.isUp:
                self._firstOpened(seconds)
            context.attempts.opened(self.attempt, protocol.name)
            context.reports.opened(self.session, protocol, networks, seconds)
            context.sessions.protocolOpened(self.session, protocol, networks)

    def networkChanged(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        Tell the registry that the session has other networks.
        """
        if self.session is not None:
            self._context.sessions.networksChanged(self.session, protocol, _addresses(attachments))

    def networkClosed(self, protocol: INetworkProtocol) -> None:
        """
        Tell the registry that C{protocol} carries no packets any more.
        """
        if self.session is not None and protocol.name in self.session.networks:
            self._context.sessions.protocolClosed(self.session, protocol)

    def networkFinished(self, protocol: INetworkProtocol, reason: str) -> None:
        """
        Report that C{protocol} has ended, or never opened.
        """
        self.attempt.failed(protocol.name, reason)
        if self.session is not None:
            self._context.reports.finished(self.session, protocol, reason)

    def linkEnded(self, cause: str) -> None:
        """
        End the session, and free everything that the line has: its channel, its seat, and the
        network protocols once its end has been accounted for.
        """
        context = self._context
        self._missed = cancelled(self._missed)
        if self._silent and context.clock.seconds() - self._since >= SILENCE_SECONDS:
            cause = Cause("; ".join(filter(None, (cause, self.call.silence))), codeOf(cause))
        self._over(cause)
        self.channel.close()
        self._retire(self.channel.counters)
        self._isGone = True
        context.attempts.ended(self.attempt, cause)
        if not self.attempt.isUp:
            self._neverOpened()
        self._left(cause)
        self.call.hangUp(cause)

    def _left(self, cause: str) -> None:
        """
        Note that the call has ended: the session ends too, unless it has other links.
        """
        if self.bundle is None:
            self._leave(cause)
        else:
            self._linkLeft(self.caller, cause)

    def _linkLeft(self, caller: Caller, cause: str) -> None:
        """
        Note that the call from C{caller}, a link of the bundle that this line heads, has ended. The
        session ends with the last one.
        """
        bundle, session = self.bundle, self.session
        if bundle is not None and bundle.links:
            if session is not None:
                self._context.reports.left(session, caller, cause)
        elif self._isGone and self in self._context.lines:
            self._leave(cause)

    def _leave(self, cause: str, isCounted: bool = True) -> None:
        """
        Leave the gateway: end the session, and give back what it had.

        @param isCounted: whether the end of a line without a session is reported.
        """
        context = self._context
        bundle, self.bundle = self.bundle, None
        if bundle is not None:
            self._retire(bundle.counters)
        context.bundles.leave(self)
        context.lines.leave(self)
        # The session refers to its line: this breaks the cycle.
        session, self.session = self.session, None
        if session is not None:
            context.tally.ended(cause)
            context.reports.ended(session, cause)
            context.sessions.sessionEnded(session, cause, self.identity, self.release)
            return
        if isCounted:
            context.reports.endedWithoutSession(self.caller, whyOf(cause))
        self.release()

    def _retire(self, counters: Counters) -> None:
        """
        Count what was carried by something that is over.
        """
        self._context.counters.retire(counters)
        self._context.tally.left(self.caller.tunnel.name, counters)

    @property
    def _encryption(self) -> str:
        """
        How the call is encrypted, in words: those of the tunnel, if that is what encrypts.
        """
        call = self.call
        protection = call.protection if IProtectedCall.providedBy(call) else ""
        return protection if call.encrypted and protection else self._carrier.encryption

    @property
    def _silent(self) -> bool:
        return not self.channel.counters.framesReceived

    def _missFrames(self) -> None:
        if self._silent and self.call.silence:
            self._context.reports.silent(self.caller, self.call.silence)


def _addresses(attachments: Attachments) -> tuple[IPv4Network | IPv6Network, ...]:
    """
    Return the networks of all attachments, which are those that the peer has.
    """
    return tuple(one for attachment in attachments.values() for one in attachment.addresses)
