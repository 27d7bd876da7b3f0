"""
EAP as an exchange: the authenticator's end (RFC 3748).

The rules:

 - The peer is asked for its identity first, at most L{IDENTITY_OCTETS} of it count, and what stands
   behind a zero octet isn't its name (section 5.1).
 - One Request is out at a time.  It is repeated as it was, identifier included, until it is
   answered; a Response with another identifier, of another method, or to a Request that has been
   answered is silently discarded (sections 4.1 and 4.3).
 - A Nak, legacy or expanded, counts as the answer to the first Request of a method only. Then the
   next method of ours that it names is tried, each only once.  If it names none of them, and a
   RADIUS server judges the methods that we don't know, the conversation is passed on to the server.
 - We never send a Nak, and answer no Request (section 5.3).
 - A method asks at most so often that there are L{ROUNDS} Requests in all.
 - During a session the peer may be asked again.  Then a false claim ends the exchange, and so does
   a true one under another name.
 - A claim that nobody could judge is handled as L{pptpgw.ppp.exchange} says: the peer is sent no
   Failure.
 - Nothing that arrives raises.

A method is a coroutine (L{IEAPMethod.authenticate}): it asks, has the link judge a claim, and
returns the L{Grant} or raises L{Refused}.  Whatever has to end all of it cancels what it waits for.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

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
)
from pptpgw.ppp.wire import eap
from pptpgw.sessions.cause import Cause, Termination

# The longest name that RADIUS can carry (RFC 2865 section 5.1).
IDENTITY_OCTETS = 253
# Requests in one exchange: more than 64 KiB of certificates each way need.
ROUNDS = 160
# The largest packet that may be sent where nobody has said how large they may be (RFC 3748
# section 3.1), and the largest that is passed on for somebody else.
PACKET_OCTETS = 1020
RELAYED_OCTETS = 1500

Random = Callable[[int], bytes]


class Unwanted(Exception):
    """
    The peer answered a method's first Request with a Nak.
    """

    def __init__(self, nak: eap.Nak) -> None:
        super().__init__("the peer wants another method")
        self.nak = nak


@implementer(IAuthenticatorExchange, IEAPConversation)
class EAPAuthenticator(Exchange):
    """
    We ask the peer to prove who it is.

    @ivar protocol: whose claims these are.
    @ivar name: ours.
    @ivar identity: what the peer answered when it was asked for its identity, as it came.
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
        send: Callable[[bytes], None],
        protocol: IAuthenticationProtocol,
        methods: Sequence[IEAPMethod],
        name: bytes,
        authenticate: Authenticate,
        verdicts: IVerdicts,
        rechallenge: float = 0,
        random: Random = secrets.token_bytes,
    ) -> None:
        """
        @param methods: at least one, the one to begin with first.
        @param rechallenge: seconds until a peer that has proven itself is asked again; 0: never.
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
        # The Request that is out, who waits for its Response, and of which method that must be; no
        # method: of any.
        self._packet = b""
        self._waiting: Deferred[bytes] | None = None
        self._expected: eap.Method | None = None
        # Whether a Nak would be an answer.
        self._bare = False
        self._requests = 0
        self._transmissions = 0
        self._judging: Deferred[Grant] | None = None
        # Why the conversation was broken off; None if it wasn't.
        self._late: Cause | None = None
        # Whom the peer has proven to be, and how it was told.
        self._grantedName: str | None = None
        self._result = b""

    def start(self) -> None:
        """
        Ask the peer who it is.
        """
        self._requests = 0
        self._late = None
        Deferred.fromCoroutine(self._converse()).addErrback(self._failed).addErrback(self._broken)

    def stop(self) -> None:
        """
        Cancel everything, tell nobody.
        """
        Exchange.stop(self)
        self._end()

    def repeat(self) -> None:
        """
        Send the last result again, for it may have been lost; nothing where there was none.
        """
        if self._result and not self._stopped:
            self._send(self._result)

    def received(self, packet: bytes) -> None:
        """
        An EAP packet arrived.
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

    # What methods use

    async def ask(self, method: eap.Method, content: bytes = b"") -> eap.EAPResponse:
        """
        Send a Request; give its Response.

        @raise Refused: the peer is silent, or was asked too often.
        @raise Unwanted: it is this method's first one, and the peer wants another.
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
        Send somebody else's Request as it is; fires with the Response as it came.
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
        Have C{claim} judged; what is found true is told to the link.

        @raise Refused: it is false, or the link can't serve the peer.
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
                # The owner was told, and has ended the link.
                raise CancelledError
        elif grant.name != self._grantedName:
            raise Refused("the peer took another name when it was asked again", retry=False)
        return grant

    @property
    def username(self) -> bytes:
        """
        The name in the identity, without the options that may stand behind a zero octet.
        """
        return self.identity.partition(b"\0")[0]

    @property
    def mayRetry(self) -> bool:
        """
        Whether a peer that isn't believed may be given another try.
        """
        return self._grantedName is None

    @property
    def identifier(self) -> int:
        """
        The identifier of the last Request.
        """
        return self._identifier

    # Within

    def _fits(self, response: eap.EAPResponse | eap.Nak) -> bool:
        """
        Whether C{response} answers the Request that is out.
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
            self._late = Cause("the peer did not answer the request", Termination.LOST_CARRIER)
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
        # The checker may wait for a Response in turn.
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
        One method after the other, until the peer takes one.
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
                raise Refused(f"the peer wants EAP method {tried}, which isn't ours", retry=False)
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
            reason = str(problem)
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

    def _broken(self, failure: Failure) -> None:
        self._log.failure("what was told a verdict failed", failure)
