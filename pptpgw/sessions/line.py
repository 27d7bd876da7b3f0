"""
A line: joins a call to a link and both to a session. With L{pptpgw.gateway}, whose lines they are,
it is all that knows both halves: calls, whatever tunnel they came by, and links (L{pptpgw.ppp}).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from typing import Any
from typing import Protocol as TypingProtocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.error import Refused, Unavailable, untraced
from pptpgw.interfaces import (
    Attachments,
    Caller,
    Claim,
    Grant,
    ICall,
    ICallOwner,
    IChannel,
    IDataPath,
    INetwork,
    INetworkProtocol,
    ISubscriber,
)
from pptpgw.log import Logger, about
from pptpgw.ppp.link import Link
from pptpgw.ppp.settings import LinkSettings
from pptpgw.sessions.cause import Cause, Termination, codeOf
from pptpgw.sessions.lockout import Lockout
from pptpgw.sessions.making import Made, Making, Returns, given
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.refusal import Refusals
from pptpgw.sessions.session import Session
from pptpgw.timing.slices import Burst
from pptpgw.timing.timer import cancelled

_log = Logger()

# Seconds after the set-up of a call until it is logged that no frame has come.
SILENCE_SECONDS = 5.0


class LineOwner(TypingProtocol):
    """
    What a line needs of the gateway that it belongs to.
    """

    authenticate: Callable[[Claim], Deferred[Grant]]
    clock: IReactorTime
    dataPath: IDataPath
    hangUps: Burst
    lines: set[Line]
    lockout: Lockout
    networks: dict[str, INetwork]
    refusals: Refusals
    returns: Returns

    def callerOf(self, call: ICall) -> Caller: ...
    def settingsFor(self, source: str) -> LinkSettings: ...
    def admit(self, line: Line, profile: Profile) -> Deferred[None]: ...
    def attach(
        self, session: Session, protocol: str, networks: tuple[IPv4Network | IPv6Network, ...]
    ) -> None: ...
    def detach(self, session: Session, protocol: str) -> None: ...
    def sessionStarted(self, line: Line, grant: Grant) -> Session: ...
    def refused(self, line: Line, claim: Claim, failure: Failure) -> None: ...
    def protocolOpened(
        self, line: Line, session: Session, protocol: INetworkProtocol, seconds: float
    ) -> None: ...
    def networksChanged(self, session: Session) -> None: ...
    def protocolClosed(self, session: Session, protocol: INetworkProtocol) -> None: ...
    def protocolFinished(
        self, session: Session, protocol: INetworkProtocol, reason: str
    ) -> None: ...
    def lineEnded(self, line: Line, cause: str) -> None: ...
    def framesMissed(self, line: Line, text: str) -> None: ...


@implementer(ICallOwner)
class Line:
    """
    One caller: its call, its link and, once it is authenticated, its session.

    @ivar identity: the L{Claim.identity} that the caller has authenticated as; empty if none yet.
    """

    __slots__ = (
        "_displaced",
        "_doubted",
        "_gateway",
        "_made",
        "_madeFor",
        "_missed",
        "_named",
        "_since",
        "call",
        "caller",
        "channel",
        "identity",
        "link",
        "session",
    )

    def __init__(self, gateway: LineOwner, call: ICall) -> None:
        self._gateway = gateway
        # The network protocols, and the user whom they are for.
        self._made: Made = ()
        self._madeFor: str | None = None
        # The first claim of the session's user: whether it was relayed, and whom it named.
        self._named = (False, "")
        # Whether its last claim was false, or withdrawn.
        self._doubted = False
        # Whether the gateway ended it to make room.
        self._displaced = False
        self.identity = ""
        self._missed: IDelayedCall | None = None
        self._since = gateway.clock.seconds()
        self.call = call
        self.caller = gateway.callerOf(call)
        self.session: Session | None = None
        settings = gateway.settingsFor(call.caller)
        if call.encrypted or call.accm is not None:
            settings = replace(settings, encrypted=call.encrypted, accm=call.accm)
        self.link = Link(gateway.clock, settings, self)
        # The peer may send before it has read our reply.
        self.channel: IChannel = gateway.dataPath.openChannel(call, self.link)

    @property
    def authentication(self) -> str:
        """
        The name of the method that proved who calls.
        """
        method = self.link.method
        return method.name if method is not None else "none"

    def hangUp(self, cause: str) -> None:
        """
        End the link, then the call, both in order.
        """
        self.link.close(cause)

    def hangUpInTurn(self, cause: str) -> None:
        """
        The same; where thousands hang up in one moment, after those before it.
        """
        self._gateway.hangUps.do(self.hangUp, cause)

    def drop(self, cause: str) -> None:
        """
        End both at once: the peer is told, and not waited for.
        """
        self._displaced = True
        self.link.close(cause)
        self.link.lowerDown(cause)

    def release(self) -> None:
        """
        Give back what the networks gave.
        """
        made, self._made = self._made, ()
        self._gateway.returns.give(made)

    # ICallOwner

    def callEstablished(self, call: ICall) -> None:
        """
        The reply is on its way: begin with LCP.
        """
        self._missed = self._gateway.clock.callLater(SILENCE_SECONDS, self._missFrames)
        self.link.lowerUp(self.channel, call.headStart)

    def callEnded(self, call: ICall, cause: str) -> None:
        """
        The call is over, and with it the link.
        """
        self._displaced |= codeOf(cause) is Termination.PORT_PREEMPTED
        self.link.lowerDown(cause)

    # ppp.link.LinkOwner

    def authenticate(self, claim: Claim) -> Deferred[Grant]:
        """
        Judge the claim, and get the network protocols ready for whom it is true of.
        """
        claim = replace(claim, caller=self.caller)
        gateway, source = self._gateway, self.caller.address
        with about(self.caller.session):
            if self.session is not None and not self._isOwn(claim):
                judged = gateway.lockout.refuse(claim, source)
            else:
                # A caller in its session isn't locked out because of others' guesses.
                excused = self.session is not None and not self._doubted
                judged = gateway.lockout.judge(
                    claim, source, gateway.authenticate, excused, lambda: self._displaced
                )
        judged.addBoth(self._judged)
        judged.addCallback(self._admit, claim)
        return judged.addCallbacks(gateway.refusals.served, self._refused, errbackArgs=(claim,))

    def networkProtocols(self, grant: Grant | None) -> Sequence[INetworkProtocol]:
        """
        Begin the session and give it its network protocols.
        """
        if grant is None:
            raise Refused("the peer was not asked who it is", retry=False)
        if self.session is None:
            self.session = self._gateway.sessionStarted(self, grant)
        self.session.authentication = self.authentication
        return [protocol for _, protocol in self._made]

    def networkOpened(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        Tell of it.
        """
        self._missed = cancelled(self._missed)
        if self.session is not None:
            self.session.encryption = self.link.encryption
            self._gateway.attach(self.session, protocol.name, _addresses(attachments))
            self._gateway.protocolOpened(
                self, self.session, protocol, self._gateway.clock.seconds() - self._since
            )

    def networkChanged(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        Keep the session true.
        """
        if self.session is not None:
            self._gateway.attach(self.session, protocol.name, _addresses(attachments))
            self._gateway.networksChanged(self.session)

    def networkClosed(self, protocol: INetworkProtocol) -> None:
        """
        Tell of it.
        """
        if self.session is not None and protocol.name in self.session.networks:
            self._gateway.detach(self.session, protocol.name)
            self._gateway.protocolClosed(self.session, protocol)

    def networkFinished(self, protocol: INetworkProtocol, reason: str) -> None:
        """
        Tell of it.
        """
        if self.session is not None:
            self._gateway.protocolFinished(self.session, protocol, reason)

    def linkEnded(self, cause: str) -> None:
        """
        Give everything back.
        """
        self._missed = cancelled(self._missed)
        if self._silent and self._gateway.clock.seconds() - self._since >= SILENCE_SECONDS:
            cause = Cause("; ".join(filter(None, (cause, self.call.silence))), codeOf(cause))
        self.channel.close()
        self._gateway.lineEnded(self, cause)
        self.call.hangUp(cause)

    def _isOwn(self, claim: Claim) -> bool:
        """
        Whether C{claim} names the session's user.
        """
        named = claim.identity()
        return named == self.identity or (claim.relayed, named) == self._named

    def _judged(self, verdict: Grant | Failure) -> Grant | Failure:
        """
        Remember whether the last claim was found true. One that couldn't be judged changes nothing.
        """
        if not isinstance(verdict, Failure):
            self._doubted = False
        elif verdict.check(Refused, CancelledError) is not None:
            self._doubted = True
        return verdict

    def _admit(self, grant: Grant, claim: Claim) -> Grant | Deferred[Grant]:
        if self.session is None:
            self.identity = claim.identity(grant.name)
            self._named = claim.relayed, claim.identity()
        if self._madeFor == grant.name:
            return grant
        if self.session is not None:
            raise Refused(f"the session's user would become {grant.name}", retry=False)
        self._assertCalling()
        admitted = self._gateway.admit(self, ISubscriber(grant.subscriber).profile)
        return admitted.addCallback(lambda _: self._make(grant))

    def _make(self, grant: Grant) -> Deferred[Grant]:
        self._assertCalling()
        subscriber = ISubscriber(grant.subscriber)
        permitted = subscriber.profile.protocols
        networks = tuple(
            network
            for name, network in self._gateway.networks.items()
            if permitted is None or name in permitted
        )
        if not networks:
            raise Refused("no network protocol is permitted to this user", retry=False)
        giveBack = self._gateway.returns.give
        making = Making(networks, subscriber, self.caller, giveBack)
        return making.done.addCallback(self._ready, networks, grant)

    def _ready(
        self, answers: list[Any], networks: Sequence[INetwork], grant: Grant
    ) -> Grant | Failure:
        made = given(zip(networks, answers, strict=True))
        failure = next((one for one in answers if isinstance(one, Failure)), None)
        if failure is None and not made:
            reason = "no network protocol has anything for this user"
            failure = Failure(Refused(reason, retry=False))
        if failure is None and self not in self._gateway.lines:
            failure = Failure(Refused("the call ended meanwhile", retry=False))
        if failure is not None:
            if isinstance(failure.value, Refused):
                # The password was right, so trying another one wouldn't help.
                failure.value.retry = False
            self._gateway.returns.give(made)
            return failure
        # Of another user, before there was a session.
        self.release()
        self._made = made
        self._madeFor = grant.name
        return grant

    def _assertCalling(self) -> None:
        if self not in self._gateway.lines:
            raise Refused("the call ended meanwhile", retry=False)

    def _refused(self, failure: Failure, claim: Claim) -> Failure:
        if failure.check(CancelledError) is not None and self.link.authenticating:
            # Neither did the caller hang up, nor was LCP negotiated anew: it took too long.
            failure = Failure(Unavailable("there was no verdict in time"))
        self._gateway.refused(self, claim, failure)
        if failure.check(Refused, Unavailable, CancelledError) is None:
            # The failure itself is in the log.
            failure = Failure(Unavailable(failure.getErrorMessage()))
        return untraced(failure)

    @property
    def _silent(self) -> bool:
        return not self.channel.counters.framesReceived

    def _missFrames(self) -> None:
        if self._silent and self.call.silence:
            self._gateway.framesMissed(self, self.call.silence)


def _addresses(attachments: Attachments) -> tuple[IPv4Network | IPv6Network, ...]:
    """
    Every network that the peer has.
    """
    return tuple(one for attachment in attachments.values() for one in attachment.addresses)
