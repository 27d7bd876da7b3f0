"""
The authenticator's end of EAP (RFC 3748).

The rules:

 - The peer is asked for its identity first. An identity of more than L{IDENTITY_OCTETS} octets is
   refused; octets after a zero octet aren't part of the name (section 5.1).
 - Only one Request is outstanding at a time. It is repeated unchanged, identifier included, until
   it is answered. A Response with another identifier, of another method, or to a Request that has
   been answered is silently discarded (sections 4.1 and 4.3).
 - A Nak, legacy or expanded, counts only as the answer to the first Request of a method. Then the
   next of our methods that the Nak names is tried, each method only once. If the Nak names none of
   them, and a RADIUS server judges the methods that we don't have, the server goes on with the
   conversation.
 - We never send a Nak, and answer no Request (section 5.3).
 - There are at most L{ROUNDS} Requests in one exchange.
 - During a session the peer may be asked again. Then a false claim ends the exchange, and so does a
   true claim for another name.
 - A claim that nobody could judge is handled as L{pptpgw.ppp.exchange} says: the peer is sent no
   Failure.
 - No packet from the peer raises an exception.

A method is a coroutine (L{IEAPMethod.authenticate}), which asks the peer, has the link judge a
claim, and returns the L{Grant} or raises L{Refused}. To end the conversation early, the Deferred
that the coroutine waits for is cancelled.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.error import Malformed, Refused, Unavailable, untraced
from pptpgw.interfaces import (
    Claim,
    Grant,
    IAuthenticationProtocol,
    IAuthenticatorExchange,
    IEAPConversation,
    IEAPMethod,
    IVerdicts,
)
from pptpgw.log import Logger
from pptpgw.ppp.exchange import (
    OUTAGE,
    RESTART_SECONDS,
    TRANSMISSIONS,
    VERIFICATION_SECONDS,
    Authenticate,
    Exchange,
    RandomOctets,
    Send,
)
from pptpgw.ppp.wire import eap
from pptpgw.sessions.cause import Cause, Termination, causeOf
from pptpgw.sessions.remedy import Remedy

# The longest identity that is accepted, in octets: RADIUS can carry no longer name (RFC 2865
# section 5.1).
IDENTITY_OCTETS = 253
# The largest number of Requests in one exchange: more than 64 KiB of certificates in each direction
# need.
ROUNDS = 160
# The largest packet that may be sent if its size can't be negotiated (RFC 3748 section 3.1), and
# the largest Request of another server that is passed on; in octets.
PACKET_OCTETS = 1020
RELAYED_OCTETS = 1500


class Unwanted(Exception):
    """
    The peer answered the first Request of a method with a Nak.

    @ivar nak: the packet, which names the methods that the peer would accept.
    """

    def __init__(self, nak: eap.Nak) -> None:
        super().__init__("the peer wants another method")
        self.nak = nak


@implementer(IAuthenticatorExchange, IEAPConversation)
class EAPAuthenticator(Exchange):
    """
    The authenticator's end of EAP on one link.

    @ivar protocol: the L{IAuthenticationProtocol} that claims name as their method.
    @ivar name: our name.
    @ivar identity: the peer's answer to the Identity Request, unchanged.
    """

    __slots__ = (
        "_authenticate",
        "_bare",
        "_expected",
        "_grantedName",
        "_identifier",
        "_judging",
        "_late",
        "_methods",
        "_packet",
        "_rechallenge",
        "_requests",
        "_result",
        "_transmissions",
        "_verdicts",
        "_waiting",
        "identity",
        "name",
        "protocol",
        "random",
    )

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        send: Send,
        protocol: IAuthenticationProtocol,
        methods: Sequence[IEAPMethod],
        name: bytes,
        authenticate: Authenticate,
        verdicts: IVerdicts,
        rechallenge: float = 0,
        random: RandomOctets = secrets.token_bytes,
    ) -> None:
        """
        @param methods: at least one method; the first one is tried first.
        @param rechallenge: seconds until an authenticated peer is asked again; 0 for never.
        """
        Exchange.__init__(self, clock, send)
        self.protocol = protocol
        self.name = name
        self.random = random
        self.identity = b""
        self._methods = tuple(methods)
        self._authenticate = authenticate
        self._verdicts = verdicts
        self._rechallenge = rechallenge
        self._identifier = random(1)[0]
        # The outstanding Request, the Deferred that waits for its Response, and the method that the
        # Response must have; None: any method.
        self._packet = b""
        self._waiting: Deferred[bytes] | None = None
        self._expected: eap.Method | None = None
        # Whether the outstanding Request is the first of its method, so that a Nak may answer it.
        self._bare = False
        self._requests = 0
        self._transmissions = 0
        self._judging: Deferred[Grant] | None = None
        # Why the conversation was ended early; None if it wasn't.
        self._late: Cause | None = None
        # The name for which the peer has been authenticated, and the last result that was sent.
        self._grantedName: str | None = None
        self._result = b""

    def start(self) -> None:
        """
        Ask the peer for its identity, and go on with the first method.
        """
        self._requests = 0
        self._late = None
        Deferred.fromCoroutine(self._converse()).addErrback(self._failed).addErrback(self._broken)

    def stop(self) -> None:
        """
        See L{IExchange.stop}.
        """
        Exchange.stop(self)
        self._end()

    def repeat(self) -> None:
        """
        Send the last result again, since it may have been lost. Do nothing if there was none.
        """
        if self._result and not self._stopped:
            self._send(self._result)

    def received(self, packet: bytes) -> None:
        """
        See L{IExchange.received}.
        """
        try:
            response = eap.decode(packet)
        except Malformed:
            self.discards += 1
            return
        if self._stopped or not isinstance(response, eap.EAPResponse | eap.Nak):
            # A Request, a Success or a Failure is for the peer's side.
            return
        waiting = self._waiting
        if waiting is None or response.identifier != self._identifier or not self._fits(response):
            self.discards += 1
            return
        self._waiting = None
        self._bare = False
        self._arm(VERIFICATION_SECONDS, self._unjudged)
        waiting.callback(packet)

    # IEAPConversation, which methods use

    async def ask(self, method: eap.Method, content: bytes = b"") -> eap.EAPResponse:
        """
        Send a Request of C{method}, and return the Response.

        @raise Refused: the peer doesn't answer, or was asked too often.
        @raise Unwanted: this was the method's first Request, and the peer wants another method.
        """
        identifier = (self._identifier + 1) & 0xFF
        request = eap.EAPRequest(identifier, method, content)
        answer = eap.decode(await self._request(request.encode(), identifier, method))
        if isinstance(answer, eap.Nak):
            raise Unwanted(answer)
        assert isinstance(answer, eap.EAPResponse)
        return answer

    def relay(self, request: bytes) -> Deferred[bytes]:
        """
        Send a Request that another server made, unchanged.

        @return: fires with the Response, unchanged.
        """
        try:
            packet = eap.decode(request)
        except Malformed as fault:
            return fail(fault)
        if not isinstance(packet, eap.EAPRequest) or len(request) > RELAYED_OCTETS:
            return fail(Malformed("no EAP Request that could be passed on"))
        return self._request(request, packet.identifier, None)

    async def judge(self, claim: Claim) -> Grant:
        """
        Have C{claim} judged. If it is true, the link is told.

        @raise Refused: the claim is false, or the link can't serve the peer.
        """
        self._claimedAt = self._clock.seconds()
        self._judging = maybeDeferred(self._authenticate, claim)
        try:
            grant = await self._judging
        finally:
            self._judging = None
        if self._grantedName is None:
            self._verdicts.granted(grant)
            if self._stopped:
                # The owner of the verdict has ended the link.
                raise CancelledError
        elif grant.name != self._grantedName:
            raise Refused("the peer took another name when it was asked again", retry=False)
        return grant

    @property
    def username(self) -> bytes:
        """
        The name in the identity, without the options that may follow a zero octet.
        """
        return self.identity.partition(b"\0")[0]

    @property
    def mayRetry(self) -> bool:
        """
        Whether a peer that failed may be given another try.
        """
        return self._grantedName is None

    @property
    def identifier(self) -> int:
        """
        The identifier of the last Request.
        """
        return self._identifier

    # Internal methods

    def _fits(self, response: eap.EAPResponse | eap.Nak) -> bool:
        """
        Return whether C{response} answers the outstanding Request.
        """
        if self._expected is None:
            return True
        if isinstance(response, eap.Nak):
            return self._bare
        return response.method == self._expected

    def _request(
        self, packet: bytes, identifier: int, expected: eap.Method | None
    ) -> Deferred[bytes]:
        if self._stopped or self._waiting is not None:
            return fail(Refused("the conversation is over, or a Request is out", retry=False))
        self._requests += 1
        if self._requests > ROUNDS:
            return fail(Refused(f"no result after {ROUNDS} requests", retry=False))
        self._identifier, self._packet, self._expected = identifier, packet, expected
        waiting: Deferred[bytes] = Deferred(self._abandoned)
        self._waiting = waiting
        self._transmissions = 0
        self._transmit()
        return waiting

    def _abandoned(self, waiting: Deferred[bytes]) -> None:
        self._waiting = None

    def _transmit(self) -> None:
        if self._transmissions == TRANSMISSIONS:
            self._late = Cause(
                "the peer did not answer the request", Termination.LOST_CARRIER, Remedy.NO_ANSWER
            )
            waiting, self._waiting = self._waiting, None
            if waiting is not None:
                waiting.errback(Refused(self._late, retry=False))
            return
        self._transmissions += 1
        self._arm(RESTART_SECONDS, self._transmit)
        self._send(self._packet)

    def _unjudged(self) -> None:
        self._late = OUTAGE
        self._end()

    def _end(self) -> None:
        # If a claim is being judged, cancelling that is enough: it is the checker that waits for a
        # Response.
        awaited = self._judging or self._waiting
        if awaited is not None:
            awaited.cancel()

    async def _converse(self) -> None:
        self.identity = (await self.ask(eap.IDENTITY)).content
        if len(self.identity) > IDENTITY_OCTETS:
            raise Refused(f"an identity of {len(self.identity)} octets", retry=False)
        grant = await self._try(list(self._methods))
        self._disarm()
        if self._rechallenge:
            self._arm(self._rechallenge, self.start)
        first = self._grantedName is None
        self._grantedName = grant.name
        self._tell(eap.EAPSuccess(self._identifier))
        if first:
            self._verdicts.authenticated(grant)

    async def _try(self, methods: list[IEAPMethod]) -> Grant:
        """
        Run one method after the other, until the peer accepts one.

        @raise Refused: the peer wants none of the methods that are left.
        """
        method = methods.pop(0)
        while True:
            self._bare = True
            try:
                return await method.authenticate(self)
            except Unwanted as unwanted:
                wanted = unwanted.nak.wanted
            able = [one for one in methods if one.number in wanted]
            if wanted:
                able += [one for one in methods if one.number is None]
            if not able:
                tried = ", ".join(map(str, (number for number, _ in wanted))) or "none"
                text = f"the peer wants EAP method {tried}, which isn't ours"
                raise Refused(text, retry=False, remedy=Remedy.EAP)
            method = able[0]
            methods.remove(method)

    def _tell(self, result: eap.EAPSuccess | eap.EAPFailure) -> None:
        self._result = result.encode()
        self._send(self._result)

    def _failed(self, failure: Failure) -> None:
        problem = untraced(failure).value
        if self._stopped:
            return
        self._waiting = None
        self._disarm()
        reason: str = OUTAGE
        if self._late is not None:
            reason = self._late
        elif isinstance(problem, Refused):
            reason = causeOf(problem)
        elif isinstance(problem, Malformed):
            reason = f"what the peer sent can't be read: {problem}"
        elif not isinstance(problem, Unavailable):
            self._log.failure("an EAP exchange failed", failure)
        if reason is not OUTAGE:
            self._tell(eap.EAPFailure(self._identifier))
        elif self._grantedName is not None:
            self._armSoon(self._rechallenge, self.start)
            return
        self._verdicts.refused(reason)
