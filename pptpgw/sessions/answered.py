"""
The lines of callers: who calls is judged, and gets what the networks give, or the call is passed
on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.python.failure import Failure

from pptpgw.error import Category, Refused, Unavailable, untraced
from pptpgw.interfaces import (
    Claim,
    Direction,
    Grant,
    IBoundCall,
    ICall,
    IKeys,
    INetwork,
    INetworkProtocol,
    IProxiedCall,
    ISubscriber,
)
from pptpgw.log import about
from pptpgw.ppp.bundle import Bundle
from pptpgw.ppp.settings import LinkSettings
from pptpgw.sessions.cause import Cause, Termination, causeOf, codeOf, whyOf
from pptpgw.sessions.context import LineContext
from pptpgw.sessions.joining import joined
from pptpgw.sessions.line import Line
from pptpgw.sessions.networkprotocols import Making, given
from pptpgw.sessions.remedy import Remedy
from pptpgw.sessions.switch import Switch
from pptpgw.sessions.username import nameOf
from pptpgw.timing.timer import cancelled

_SESSION_OVER = Cause("the session ended meanwhile")


class AnsweredLine(Line):
    """
    One caller: its call, its link and, once it is authenticated, its session.
    """

    __slots__ = ("_displaced", "_doubted", "_head", "_madeFor", "_named", "_switch")

    direction = Direction.IN

    def __init__(self, context: LineContext, call: ICall, settings: LinkSettings) -> None:
        """
        @param settings: the settings of the link.
        @raise pptpgw.error.PPTPGWError: the data path can't carry the call.
        """
        # The user whom the network protocols are for.
        self._madeFor: str | None = None
        # The first claim of the session's user: whether it was relayed, and whom it named.
        self._named = (False, "")
        # Whether its last claim was false, or withdrawn.
        self._doubted = False
        # Whether the gateway ended it to make room.
        self._displaced = False
        # The line whose session this one is a further link of.
        self._head: AnsweredLine | None = None
        # The second call, if the frames of this one pass to it.
        self._switch: Switch | None = None
        super().__init__(context, call, settings)

    def drop(self, cause: str) -> None:
        """
        See L{Line.drop}.
        """
        self._displaced = True
        super().drop(cause)

    def probe(self) -> Deferred[bool]:
        """
        See L{Line.probe}. A caller whose frames pass to another end is there: that end finds out if
        it isn't.
        """
        isPassedOn = self._switch is not None and self._switch.isJoined
        return succeed(True) if isPassedOn else super().probe()

    def prove(self, grant: Grant) -> None:
        """
        Note that the user whom C{grant} names has authenticated here, and tell the call.

        @raise Refused: the call has ended because of that.
        """
        self._context.known.add(self.caller.address)
        self.call.authenticated(grant)
        self.assertCalling()

    def begin(self, grant: Grant) -> None:
        """
        Make the session of the user whom C{grant} names, and tell the registry.
        """
        context, switch = self._context, self._switch
        session = self._makeSession(
            ISubscriber(grant.subscriber),
            context.sessions.sessionChanged if switch is None else switch.changed,
        )
        if switch is not None:
            session.path += switch.path
            session.passedTo = switch.ends
            session.encryption = "passed on"
        # An observer may end it at once.
        self.session = session
        context.sessions.sessionStarted(session)
        context.bundles.served(self)

    # ICallOwner

    def callEstablished(self, call: ICall) -> None:
        """
        Begin with LCP, since the call can carry frames.
        """
        self._establish(call)
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
        See L{Line.callEnded}.
        """
        self._displaced |= codeOf(cause) is Termination.PORT_PREEMPTED
        super().callEnded(call, cause)

    # pptpgw.ppp.settings.LinkOwner

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
        Pass the call on if that waits until its caller knows that it is let in, and report it if it
        is a further link of a session. The call itself was told before.
        """
        head, context = self._head, self._context
        if head is not None and head.session is not None and not self.attempt.isUp:
            self._missed = cancelled(self._missed)
            context.tally.opened(self.caller.tunnel.name, self.age)
            context.attempts.opened(self.attempt, "multilink")
            context.reports.joined(head.session, self.caller)
        return None if self._switch is None else self._switch.proceed()

    def bundleOf(self, own: Bundle) -> Bundle:
        """
        Return the bundle of the line that heads it, or C{own} if that is this line.
        """
        head = self._head
        if head is None:
            return super().bundleOf(own)
        if head.bundle is None:
            self.link.close(_SESSION_OVER)
            return own
        return head.bundle

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

    # Line

    def _firstOpened(self, seconds: float) -> None:
        self._context.lines.opened(self)
        self._context.tally.opened(self.caller.tunnel.name, seconds)

    def _neverOpened(self) -> None:
        self._context.tally.failed(self.caller.tunnel.name)

    def _over(self, cause: str) -> None:
        switch, self._switch = self._switch, None
        if switch is not None:
            switch.end(cause)

    def _left(self, cause: str) -> None:
        head, self._head = self._head, None
        if head is None:
            super()._left(cause)
        else:
            self._leave(cause, isCounted=False)
            head._linkLeft(self.caller, cause)

    # What is private

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
        if self._head is not None:
            if claim.identity(grant.name) != self.identity:
                raise Refused(f"the link's user would become {grant.name}", retry=False)
            return grant
        if self.session is None:
            self.identity = claim.identity(grant.name)
            self._named = claim.relayed, claim.identity()
        if self._madeFor == grant.name:
            return grant
        if self.session is not None:
            raise Refused(f"the session's user would become {grant.name}", retry=False)
        self.assertCalling()
        if self.link.lcp.bundles:
            return Deferred.fromCoroutine(self._bundled(grant, claim))
        return self._seat(grant, claim)

    def _seat(self, grant: Grant, claim: Claim) -> Deferred[Grant]:
        """
        Take a seat, and serve the caller.
        """
        admitted = self._context.seating.admit(self, ISubscriber(grant.subscriber).profile)
        return admitted.addCallback(lambda _: self._serve(grant, claim))

    async def _bundled(self, grant: Grant, claim: Claim) -> Grant:
        """
        Become a further link of the user's session to the same peer, or else head a bundle.
        """
        profile = ISubscriber(grant.subscriber).profile
        self._head = await joined(self._context, self, profile)
        if self._head is None:
            return await self._seat(grant, claim)
        self.prove(grant)
        return grant

    def _serve(self, grant: Grant, claim: Claim) -> Deferred[Grant]:
        """
        Have the networks make the user's network protocols, or pass the call on.
        """
        self.assertCalling()
        self.attempt.named(grant.name, self.identity)
        subscriber = ISubscriber(grant.subscriber)
        ends = self._context.forwarding.judged(claim, subscriber.profile, self.call)
        if ends:
            # Its frames pass whatever they are.
            self._context.bundles.leave(self)
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

    def assertCalling(self) -> None:
        """
        Check that the caller hasn't hung up.

        @raise Refused: it has.
        """
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
            context.bundles.leave(self)
        if self.session is None and failure.check(CancelledError) is None:
            self.attempt.failed(self.attempt.going, whyOf(causeOf(failure.value)))
        context.refusals.claim(claim, self.caller.address, failure, self.session is not None)
        if failure.check(Refused, Unavailable, CancelledError) is None:
            # The failure itself is in the log.
            failure = Failure(Unavailable(failure.getErrorMessage()))
        return untraced(failure)
