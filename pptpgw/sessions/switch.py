"""
The switch of a line: its frames pass to a second call, and those of that call to the caller.

PPP doesn't end here any more. The limits on the session, its figures and its accounting go on, and
each of the two calls ends with the other one.

The tunnel of a call may be bound to the authentication on it (L{IBoundCall}), as SSTP is. Then the
rules are:

 - The caller authenticates here and is told so, since its end of the tunnel gives its proof only
   then. The call is placed when the proof has been verified. What the caller sends meanwhile is
   kept for the other end.
 - The other end takes the claim that the caller has made here, or both calls end
   (L{pptpgw.sessions.guard}).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from typing import Protocol as TypingProtocol

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.error import Category, Refused
from pptpgw.interfaces import (
    Caller,
    Claim,
    Forward,
    Grant,
    IAuthenticationProtocol,
    IBoundCall,
    IBridgedChannel,
    ICall,
    ICallOwner,
    ICarriedCall,
    IChannel,
    IChannelOwner,
    IJoinedCall,
    TunnelEnds,
)
from pptpgw.ppp.link import Link, Phase
from pptpgw.ppp.wire import ppp
from pptpgw.sessions.attempt import Attempt
from pptpgw.sessions.cause import Cause, Termination, causeOf, reworded
from pptpgw.sessions.context import LineContext
from pptpgw.sessions.forwarding import NotPassed, Passed, unapplied
from pptpgw.sessions.guard import Guard
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.remedy import Remedy
from pptpgw.sessions.session import Session

FORWARDING = "forwarding"
"""
The stage in which a call is placed to the end that this one passes to.
"""

BINDING = "binding"
"""
The stage in which the proof is waited for that the tunnel is bound to the authentication on it.
"""

NOT_PASSED = "no resources: the end that this call passes to doesn't take it, dial again later"
"""
What a caller is told whose call no end has taken.
"""


class SwitchedLine(TypingProtocol):
    """
    A line, as its switch sees it. L{pptpgw.sessions.line.Line} is one.
    """

    attempt: Attempt
    call: ICall
    caller: Caller
    channel: IChannel
    identity: str
    link: Link
    session: Session | None

    @property
    def age(self) -> float: ...
    def prove(self, grant: Grant) -> None: ...
    def begin(self, grant: Grant) -> None: ...


@implementer(ICallOwner, IChannelOwner)
class Switch:
    """
    The second call of a line, from the attempt to place it to its end.
    """

    __slots__ = ("_channel", "_context", "_later", "_line", "_passed", "_placing")

    def __init__(self, context: LineContext, line: SwitchedLine) -> None:
        self._context = context
        # None once the line has ended.
        self._line: SwitchedLine | None = line
        self._placing: Deferred[Any] | None = None
        # What L{proceed} passes on.
        self._later: tuple[Sequence[Forward], Grant, Claim] | None = None
        self._passed: Passed | None = None
        self._channel: IChannel | None = None

    @property
    def isJoined(self) -> bool:
        """
        Whether frames pass.
        """
        return self._channel is not None

    @property
    def path(self) -> str:
        """
        Where the frames pass to, in words that follow those of the caller's channel.
        """
        if self._passed is None:
            return ""
        forward, call = self._passed
        return f"; passed on by {call.tunnel.name} to {forward.endpoint}"

    @property
    def ends(self) -> TunnelEnds | None:
        """
        The ends of the tunnel by which frames pass on.
        """
        if self._passed is None:
            return None
        forward, call = self._passed
        ends = (
            ICarriedCall(call).tunnelEnds
            if ICarriedCall.providedBy(call)
            else TunnelEnds(call.tunnel, call.caller, call.called)
        )
        return replace(ends, assignment=forward.assignment)

    # What the line calls

    def passAtOnce(self, ends: Sequence[Forward]) -> None:
        """
        Pass the call on to one of C{ends}, before anything is known of its caller.
        """
        line = self._calling()
        passed = self.passUnproven(ends, line.caller.address, None)
        passed.addErrback(self._failedAlone)

    def passUnproven(
        self, ends: Sequence[Forward], name: str, claim: Claim | None
    ) -> Deferred[Grant]:
        """
        Pass the call on to one of C{ends}, without judging who calls.

        @param name: the user whom the session is counted for.
        @param claim: the caller's claim, which the other end judges; None if there is none.
        @return: as of L{passProven}.
        """
        # By its own name a stranger would take the place of the user's session.
        line = self._calling()
        line.identity = line.caller.session
        profile = Profile(name)
        line.attempt.named(name, line.identity)
        admitted = maybeDeferred(self._context.seating.admit, line, profile)
        grant = Grant(name, b"", None, profile)
        return admitted.addCallback(lambda _: self._pass(ends, grant, claim, None, "limits"))

    def passProven(self, ends: Sequence[Forward], grant: Grant, claim: Claim) -> Deferred[Grant]:
        """
        Pass the call on to one of C{ends}, whose caller has authenticated and has a seat.

        @return: fires with C{grant} when frames pass. Then the peer must be told nothing more.
        """
        self._calling().prove(grant)
        return self._pass(ends, grant, claim, claim.method, "limits")

    def passLater(self, ends: Sequence[Forward], grant: Grant, claim: Claim) -> Grant:
        """
        Do as L{passProven} does, for a call whose tunnel is bound to this authentication, once
        L{proceed} is called.

        @return: C{grant}, which the caller is told of.
        """
        self._calling().attempt.passed("limits", BINDING)
        self._later = ends, grant, claim
        return grant

    def proceed(self) -> Deferred[None]:
        """
        Pass the call on when its tunnel is bound, since its caller knows that it is let in.

        @return: fires when frames pass, or the call ends since they don't.
        """
        assert self._later is not None
        ends, grant, claim = self._later
        self._later = None
        self._placing = bound = IBoundCall(self._calling().call).whenBound()
        bound.addCallback(lambda _: self._pass(ends, grant, claim, claim.method, BINDING))
        return bound.addCallbacks(lambda _: None, self._failedAlone)

    def changed(self, session: Session) -> None:
        """
        Tell the observers that the session has another profile, and end it if that can't be obeyed.
        """
        if self._mayBeIdle(session.profile) and IBridgedChannel.providedBy(self._channel):
            IBridgedChannel(self._channel).unbridge()
        self._context.sessions.sessionChanged(session)
        why = unapplied(session.profile)
        if why:
            session.hangUp(Cause(why, Termination.NAS_REQUEST, Remedy.UNAPPLIED))

    def end(self, cause: str) -> None:
        """
        End the second call, since that of the caller is over, or give it up.
        """
        self._line = None
        placing, self._placing = self._placing, None
        if placing is not None:
            placing.cancel()
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
            for reason, count in channel.counters.discards.items():
                self._context.counters.own.discard(reason, count)
        passed, self._passed = self._passed, None
        if passed is not None:
            passed.call.hangUp(cause)

    def _mayBeIdle(self, profile: Profile) -> bool:
        """
        Return whether a session ends without packets from its user. Where frames pass outside of
        this process, control frames count as packets, too, and it would go on.
        """
        own, otherwise = profile.idleTimeout, self._context.lines.limits.idleTimeout
        return bool(otherwise if own is None else own)

    # Placing

    def _calling(self) -> SwitchedLine:
        if self._line is None:
            raise Refused("the call ended meanwhile", retry=False, category=Category.GONE)
        return self._line

    def _pass(
        self,
        ends: Sequence[Forward],
        grant: Grant,
        claim: Claim | None,
        method: IAuthenticationProtocol | None,
        stage: str,
    ) -> Deferred[Grant]:
        """
        Pass the call on.

        @param method: the protocol by which the caller has authenticated; None if it hasn't.
        @param stage: the stage that this call has passed.
        """
        line = self._calling()
        line.attempt.passed(stage, FORWARDING)
        negotiated = line.link.lcp.negotiated(claim)
        placing = self._context.forwarding.place(ends, negotiated, line.call, self)
        self._placing = placing
        return placing.addCallbacks(
            self._join, self._notPassed, callbackArgs=(line, grant, method), errbackArgs=(line,)
        )

    def _join(
        self,
        passed: Passed,
        line: SwitchedLine,
        grant: Grant,
        method: IAuthenticationProtocol | None,
    ) -> Grant:
        """
        Let frames pass between the two calls, and begin the session.
        """
        context, channel = self._context, line.channel
        self._placing = None
        self._passed = passed
        self._channel = other = context.dataPath.openChannel(passed.call, self)
        # What the caller wants escaped is agreed on with the other end from now on.
        channel.setFraming(False, False, ppp.DEFAULT_ACCM, 0)
        other.setFraming(False, False, ppp.DEFAULT_ACCM, 0)
        kept = line.link.handOver(method)
        joined = (passed.call, line.call, channel), (line.call, passed.call, other)
        for call, otherCall, beyond in joined:
            if IJoinedCall.providedBy(call):
                IJoinedCall(call).joined(otherCall)
                IJoinedCall(call).setACCM = partial(beyond.setFraming, False, False)
        onwards, back = other.sendFrames, channel.sendFrames
        isBound = IBoundCall.providedBy(line.call)
        if isBound:
            authenticating = line.link.settings.authenticating
            guard = Guard(onwards, back, authenticating, channel.counters.discard, self._unbound)
            onwards, back = guard.onwards, guard.back
        channel.passFrames(onwards)
        other.passFrames(back)
        for protocol, frame in kept:
            onwards(protocol, (frame,))
        seconds = line.age
        context.lines.opened(line)
        context.tally.opened(line.caller.tunnel.name, seconds)
        context.attempts.opened(line.attempt, FORWARDING)
        line.begin(grant)
        if line.session is not None:
            mayBridge = not isBound and not self._mayBeIdle(line.session.profile)
            if mayBridge and IBridgedChannel.providedBy(channel):
                IBridgedChannel(channel).bridge(other)
            context.reports.passedOn(line.session, seconds)
        return grant

    def _notPassed(self, failure: Failure, line: SwitchedLine) -> Failure:
        """
        End the call because no end has taken it.
        """
        self._placing = None
        if failure.check(NotPassed) is not None:
            code, why = Termination.SERVICE_UNAVAILABLE, str(failure.value)
            if line.link.phase is not Phase.AUTHENTICATE:
                # There is no claim whose failure the line notes.
                line.attempt.failed(FORWARDING, why)
            line.link.close(Cause(NOT_PASSED, code, Remedy.NOT_PASSED, why))
        return failure

    def _failedAlone(self, failure: Failure) -> None:
        """
        End a call that isn't passed on, and which no claim waits for.
        """
        if self._line is not None and failure.check(CancelledError) is None:
            self._line.link.close(causeOf(failure.value))

    def _unbound(self, why: str) -> None:
        """
        End both calls, which can't go on as the tunnel of the caller is bound.
        """
        if self._line is not None:
            self._line.link.close(Cause(why, Termination.SERVICE_UNAVAILABLE, Remedy.BOUND))

    # ICallOwner, of the second call

    def callEstablished(self, call: ICall) -> None:
        """
        See L{ICallOwner.callEstablished}. Nothing is done: see
        L{pptpgw.interfaces.IForwarder.place}.
        """

    def callEnded(self, call: ICall, cause: str) -> None:
        """
        See L{ICallOwner.callEnded}: end the call of the caller.
        """
        self._passed = None
        if self._line is not None:
            self._line.link.close(reworded(cause, f"the end that the call passed to: {cause}"))

    # IChannelOwner, of the second call

    def frameReceived(self, protocol: int, information: bytes) -> None:
        """
        See L{IChannelOwner.frameReceived}. Frames that pass don't come here.
        """

    def resyncNeeded(self) -> None:
        """
        See L{IChannelOwner.resyncNeeded}. What is encrypted is so for others.
        """

    def confirmationNeeded(self) -> None:
        """
        See L{IChannelOwner.confirmationNeeded}. Only those between whom PPP passes can ask.
        """

    def confirms(self, protocol: int, information: bytes) -> bool:
        """
        See L{IChannelOwner.confirms}.
        """
        return False

    def channelFailed(self, reason: str) -> None:
        """
        See L{IChannelOwner.channelFailed}: end both calls.
        """
        if self._line is not None:
            self._line.link.close(Cause(reason, Termination.NAS_ERROR))
