"""
A line joins a call, whatever tunnel it came by, to a link (L{pptpgw.ppp}) and both to a session.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.error import Category, Refused, Unavailable, untraced
from pptpgw.interfaces import (
    AgreedProtocol,
    Attachments,
    Attack,
    Claim,
    Grant,
    IAlertedOwner,
    IBoundCall,
    ICall,
    IChannel,
    IKeys,
    INetwork,
    INetworkProtocol,
    IProtectedCall,
    IProxiedCall,
    ISubscriber,
    LinkQuality,
)
from pptpgw.log import about
from pptpgw.ppp.link import Link
from pptpgw.ppp.settings import LinkSettings
from pptpgw.sessions.attempt import Attempt
from pptpgw.sessions.cause import Cause, Termination, causeOf, codeOf, whyOf
from pptpgw.sessions.context import LineContext
from pptpgw.sessions.gate import Gate
from pptpgw.sessions.networkprotocols import Made, Making, given
from pptpgw.sessions.registry import known
from pptpgw.sessions.remedy import Remedy
from pptpgw.sessions.session import Session
from pptpgw.sessions.switch import Switch
from pptpgw.sessions.username import nameOf
from pptpgw.timing.timer import cancelled

# Seconds after the set-up of a call until it is logged that no frame has come.
SILENCE_SECONDS = 5.0


@implementer(IAlertedOwner)
class Line:
    """
    One caller: its call, its link and, once it is authenticated, its session.

    @ivar attempt: the L{Attempt} to call, which is told what becomes of it.
    @ivar identity: the L{Claim.identity} that the caller has authenticated as; empty if none yet.
    """

    __slots__ = (
        "_context",
        "_displaced",
        "_doubted",
        "_gate",
        "_made",
        "_madeFor",
        "_missed",
        "_named",
        "_since",
        "_switch",
        "attempt",
        "call",
        "caller",
        "channel",
        "identity",
        "link",
        "session",
    )

    def __init__(self, context: LineContext, call: ICall, settings: LinkSettings) -> None:
        """
        @param settings: the settings of the link.
        @raise pptpgw.error.PPTPGWError: the data path can't carry the call.
        """
        self._context = context
        # The network protocols, and the user whom they are for.
        self._made: Made = ()
        self._madeFor: str | None = None
        # What the packets of that user have to pass.
        self._gate: Gate | None = None
        # The first claim of the session's user: whether it was relayed, and whom it named.
        self._named = (False, "")
        # Whether its last claim was false, or withdrawn.
        self._doubted = False
        # Whether the gateway ended it to make room.
        self._displaced = False
        # The second call, if the frames of this one pass to it.
        self._switch: Switch | None = None
        self.identity = ""
        self._missed: IDelayedCall | None = None
        self._since = context.clock.seconds()
        self.call = call
        self.caller = context.sessions.callerOf(call)
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
    def age(self) -> float:
        """
        The seconds since the call began.
        """
        return self._context.clock.seconds() - self._since

    def agreed(self) -> list[AgreedProtocol]:
        """
        Return what the control protocols of the link have agreed on. See L{ISession.agreed}.
        """
        return list(map(self._context.attempts.decoder.agreed, self.link.agreements))

    def quality(self) -> LinkQuality | None:
        """
        Return what Link-Quality-Reports have shown. See L{ISession.quality}.
        """
        return self.link.quality

    def hangUp(self, cause: str) -> None:
        """
        End the link, and then the call, both in order.
        """
        self.link.close(cause)

    def hangUpInTurn(self, cause: str) -> None:
        """
        Do as L{hangUp} does, in a later turn of the reactor if thousands hang up in one moment.
        """
        self._context.sessions.hangUps.do(self.hangUp, cause)

    def drop(self, cause: str) -> None:
        """
        End the link and the call at once: the peer is told, and not waited for.
        """
        self._displaced = True
        self.link.close(cause)
        self.link.lowerDown(cause)

    def probe(self) -> Deferred[bool]:
        """
        Find out whether the peer is still there. See L{Link.probe}. A caller whose frames pass to
        another end is: that end finds out if it isn't.
        """
        isPassedOn = self._switch is not None and self._switch.isJoined
        return succeed(True) if isPassedOn else self.link.probe()

    def release(self) -> None:
        """
        Give the network protocols of this caller back to the networks that made them.
        """
        made, self._made = self._made, ()
        self._context.returns.give(made)

    def prove(self, grant: Grant) -> None:
        """
        Note that the user whom C{grant} names has authenticated here, and tell the call.

        @raise Refused: the call has ended because of that.
        """
        self._context.known.add(self.caller.address)
        self.call.authenticated(grant)
        self._assertCalling()

    def begin(self, grant: Grant) -> None:
        """
        Make the session of the user whom C{grant} names, and tell the registry.
        """
        context, caller = self._context, self.caller
        session = Session(
            caller.port,
            caller.session,
            ISubscriber(grant.subscriber),
            caller.address,
            context.now(),
            self.channel.counters,
            self.hangUpInTurn,
            context.sessions.sessionChanged if self._switch is None else self._switch.changed,
            context.clock.seconds,
            self._gate,
            self.agreed,
            self.quality,
        )
        session.called, session.stations = caller.called, caller.stations
        session.concentrator = caller.concentrator
        session.tunnel, session.carrier = caller.tunnel, caller.carrier
        session.authentication = self.authentication
        session.path = self.channel.path
        if self._switch is not None:
            session.path += self._switch.path
            session.passedTo = self._switch.ends
            session.encryption = "passed on"
        # An observer may end it at once.
        self.session = session
        context.sessions.sessionStarted(session)

    # ICallOwner

    def callEstablished(self, call: ICall) -> None:
        """
        Begin with LCP, since the call can carry frames.
        """
        self.caller = known(self.caller, call)
        self._missed = self._context.clock.callLater(SILENCE_SECONDS, self._missFrames)
        ends = self._context.forwarding.atOnce(call)
        if ends:
            self._switch = Switch(self._context, self)
            self._switch.passAtOnce(ends)
        else:
            proxied = IProxiedCall(call).negotiated if IProxiedCall.providedBy(call) else None
            unseen = self._context.seenClaims.unseen(proxied)
            self.link.lowerUp(self.channel, call.headStart, unseen)

    def callEnded(self, call: ICall, cause: str) -> None:
        """
        End the link, since its call is over.
        """
        self._displaced |= codeOf(cause) is Termination.PORT_PREEMPTED
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

    # ppp.link.LinkOwner

    def authenticate(self, claim: Claim) -> Deferred[Grant]:
        """
        Have C{claim} judged. If it is true, have the networks make the user's network protocols.

        @return: fires with the grant when both are done; see L{pptpgw.ppp.settings.LinkOwner}.
        """
        claim = replace(claim, caller=self.caller)
        context, source = self._context, self.caller.guesser
        self.attempt.claimed(claim)
        with about(self.caller.session):
            if self.session is not None and not self._isOwn(claim):
                judged = context.lockout.refuse(claim, source)
            elif self.session is None and (ends := context.forwarding.unjudged(claim, self.call)):
                self._switch = Switch(context, self)
                passed = self._switch.passUnproven(ends, nameOf(claim.name), claim)
                return passed.addErrback(self._refused, claim)
            else:
                # A caller in its session isn't locked out because of others' guesses.
                excused = self.session is not None and not self._doubted
                judged = context.lockout.judge(
                    claim, source, context.authenticate, excused, lambda: self._displaced
                )
        judged.addBoth(self._judged)
        judged.addCallback(self._admit, claim)
        return judged.addCallbacks(context.refusals.served, self._refused, errbackArgs=(claim,))

    def authenticated(self, keys: IKeys | None) -> Deferred[None] | None:
        """
        Pass the call on if that waits until its caller knows that it is let in. The call itself was
        told before.
        """
        return None if self._switch is None else self._switch.proceed()

    def networkProtocols(self, grant: Grant | None) -> Sequence[INetworkProtocol]:
        """
        Begin the session and give it its network protocols. A call that is to be passed on has
        none, and its session begins later.
        """
        if grant is None:
            raise Refused("the peer was not asked who it is", retry=False)
        if self.session is None:
            self.prove(grant)
        if self._switch is not None:
            return []
        if self.session is None:
            self.begin(grant)
        else:
            self.session.authentication = self.authentication
        return [protocol for _, protocol in self._made]

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
            context.lines.opened(self)
            seconds = self.age
            if not self.attempt.isUp:
                context.tally.opened(self.caller.tunnel.name, seconds)
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
        End the session, and free everything that this caller has: its channel, its seat, and the
        network protocols once its end has been accounted for.
        """
        context = self._context
        self._missed = cancelled(self._missed)
        if self._silent and context.clock.seconds() - self._since >= SILENCE_SECONDS:
            cause = Cause("; ".join(filter(None, (cause, self.call.silence))), codeOf(cause))
        switch, self._switch = self._switch, None
        if switch is not None:
            switch.end(cause)
        self.channel.close()
        context.lines.leave(self)
        context.counters.retire(self.channel.counters)
        context.tally.left(self.caller.tunnel.name, self.channel.counters)
        context.attempts.ended(self.attempt, cause)
        if not self.attempt.isUp:
            context.tally.failed(self.caller.tunnel.name)
        # The session refers to its line: this breaks the cycle.
        session, self.session = self.session, None
        if session is None:
            context.reports.endedWithoutSession(self.caller, whyOf(cause))
            self.release()
        else:
            context.tally.ended(cause)
            context.reports.ended(session, cause)
            context.sessions.sessionEnded(session, cause, self.identity, self.release)
        self.call.hangUp(cause)

    @property
    def _encryption(self) -> str:
        """
        How the call is encrypted, in words: those of the tunnel, if that is what encrypts.
        """
        call = self.call
        protection = call.protection if IProtectedCall.providedBy(call) else ""
        return protection if call.encrypted and protection else self.link.encryption

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
            if self.session is None:
                self.attempt.passed("authentication", "limits")
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
        admitted = self._context.seating.admit(self, ISubscriber(grant.subscriber).profile)
        return admitted.addCallback(lambda _: self._serve(grant, claim))

    def _serve(self, grant: Grant, claim: Claim) -> Deferred[Grant]:
        """
        Have the networks make the user's network protocols, or pass the call on.
        """
        self._assertCalling()
        self.attempt.named(grant.name, self.identity)
        subscriber = ISubscriber(grant.subscriber)
        ends = self._context.forwarding.judged(claim, subscriber.profile, self.call)
        if ends:
            self._switch = Switch(self._context, self)
            if IBoundCall.providedBy(self.call):
                self._madeFor = grant.name
                return succeed(self._switch.passLater(ends, grant, claim))
            return self._switch.passProven(ends, grant, claim)
        # There may be one that LCP, negotiated anew, has cancelled.
        self._switch = None
        self.attempt.passed("limits", "addresses")
        permitted = subscriber.profile.protocols
        networks = tuple(
            network
            for name, network in self._context.networks.items()
            if permitted is None or name in permitted
        )
        if not networks:
            raise Refused(
                "no network protocol is permitted to this user",
                retry=False,
                category=Category.FORBIDDEN,
                remedy=Remedy.PROTOCOLS,
            )
        self._gate = self._context.filters.gate(subscriber.profile)
        giveBack = self._context.returns.give
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
        if failure is None and self not in self._context.lines:
            failure = Failure(
                Refused("the call ended meanwhile", retry=False, category=Category.GONE)
            )
        if failure is not None:
            if isinstance(failure.value, Refused):
                # The password was right, so trying another one wouldn't help.
                failure.value.retry = False
            self._context.returns.give(made)
            return failure
        self.attempt.passed("addresses", "network")
        # Of another user, before there was a session.
        self.release()
        self._made = made
        self._madeFor = grant.name
        return grant

    def _assertCalling(self) -> None:
        if self not in self._context.lines:
            raise Refused("the call ended meanwhile", retry=False, category=Category.GONE)

    def _refused(self, failure: Failure, claim: Claim) -> Failure:
        """
        Report that C{claim} is false, or that its caller can't be served.
        """
        if failure.check(CancelledError) is not None and self.link.authenticating:
            # Neither did the caller hang up, nor was LCP negotiated anew: it took too long.
            failure = Failure(Unavailable("there was no verdict in time"))
        context = self._context
        if self.session is None and self in context.lines:
            context.lines.unseat(self)
        if self.session is None and failure.check(CancelledError) is None:
            self.attempt.failed(self.attempt.going, whyOf(causeOf(failure.value)))
        context.refusals.claim(claim, self.caller.address, failure, self.session is not None)
        if failure.check(Refused, Unavailable, CancelledError) is None:
            # The failure itself is in the log.
            failure = Failure(Unavailable(failure.getErrorMessage()))
        return untraced(failure)

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
