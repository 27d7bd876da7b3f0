"""
CHAP as an exchange: MS-CHAPv2 (RFC 2759), MS-CHAPv1 (RFC 2433) and MD5 (RFC 1994), both roles.

The rules, beside those of L{pptpgw.ppp.exchange}:

 - Every Challenge has a fresh identifier and a fresh value.  One that stays unanswered is repeated
   as it was, identifier included, so that an answer that is only late still counts; RFC 1994
   section 4.1 would change it each time, and then a round-trip time above the interval would never
   let anybody in.
 - A Response is matched by its identifier.  The one that has been answered already gets the same
   answer again, without a second verification (RFC 1994 section 4.2).
 - After a Failure that allows a retry (MS-CHAP only), the next Response answers the challenge in
   that Failure and has the next identifier (RFC 2759 section 9.1.4).
 - After a Failure that says that the password has expired (MS-CHAPv2 only), a Change-Password
   answers the challenge in that Failure and has the next identifier; no Response does, and nothing
   but this Failure makes room for one (RFC 2759 section 7).  It is the last claim of its exchange.
 - A Success that the peer seems not to have heard can be sent again (L{CHAPAuthenticator.repeat}):
   many peers send their Response once only, and wait.
 - A Response whose value hasn't the size that the method gives is silently discarded.

What differs between the variants stands in L{pptpgw.ppp.algorithm}.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from pptpgw.error import NOT_CHANGED, PASSWORD_EXPIRED, WRONG_PASSWORD, Malformed
from pptpgw.interfaces import (
    Claim,
    IAuthenticationProtocol,
    IAuthenticatorExchange,
    IExchange,
    IPeerResults,
    IVerdicts,
)
from pptpgw.ppp.algorithm import Algorithm, Answer
from pptpgw.ppp.exchange import (
    RESTART_SECONDS,
    TRANSMISSIONS,
    Authenticate,
    AuthenticatorExchange,
    Exchange,
)
from pptpgw.ppp.wire import chap

# What the errors of RFC 2759 section 6 mean.
ERRORS = {
    646: "outside the hours that the account allows",
    647: "the account is disabled",
    PASSWORD_EXPIRED: "the password has expired",
    649: "the account may not dial in",
    WRONG_PASSWORD: "no such user or wrong password",
    NOT_CHANGED: "the password could not be changed",
}

Random = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class ChangeClaim(Claim):
    """
    A peer says that it is C{name}, and what its password is from now on; C{response} is that of the
    new password to C{challenge}, an L{chap.MSCHAPV2Response}.

    @ivar change: the packet.
    """

    change: chap.ChangePassword = field(repr=False)


@implementer(IAuthenticatorExchange)
class CHAPAuthenticator(AuthenticatorExchange):
    """
    We ask the peer to prove who it is.
    """

    __slots__ = (
        "_algorithm",
        "_answer",
        "_answered",
        "_challenge",
        "_due",
        "_identifier",
        "_ourName",
        "_packet",
        "_peerName",
        "_random",
        "_rechallenge",
        "_transmissions",
    )

    def __init__(
        self,
        clock: IReactorTime,
        send: Callable[[bytes], None],
        method: IAuthenticationProtocol,
        algorithm: Algorithm,
        name: bytes,
        authenticate: Authenticate,
        verdicts: IVerdicts,
        rechallenge: float = 0,
        random: Random = secrets.token_bytes,
    ) -> None:
        """
        @param name: ours; never empty, for some peers look their secret up by it.
        @param rechallenge: seconds until a peer that has proven itself is asked again; 0: never.
        """
        AuthenticatorExchange.__init__(self, clock, send, method, authenticate, verdicts)
        if not name:
            raise ValueError("the authenticator's name is empty")
        self._algorithm = algorithm
        self._ourName = name
        self._rechallenge = rechallenge
        self._random = random
        self._identifier = random(1)[0]
        # What a Response must answer; empty: none is due.
        self._challenge = b""
        self._packet = b""
        self._transmissions = 0
        # What it must be, and who it was that responded last.
        self._due: type[chap.CHAPResponse] | type[chap.ChangePassword] = chap.CHAPResponse
        self._peerName = b""
        # The identifier of the last Response that was answered, and with what.
        self._answered = -1
        self._answer = b""

    @property
    def _mayRetry(self) -> bool:
        return self._algorithm.mayRetry and self._due is chap.CHAPResponse

    @property
    def _mayChange(self) -> bool:
        expired = self._refusal.error == PASSWORD_EXPIRED
        return expired and self._algorithm.mayChange and self._due is chap.CHAPResponse

    def start(self) -> None:
        """
        Send a Challenge, with an identifier and a value never used before.
        """
        self._tries = 0
        self._due = chap.CHAPResponse
        self._nextChallenge()
        self._packet = chap.Challenge(self._identifier, self._challenge, self._ourName).encode()
        self._transmissions = 0
        self._transmit()

    def received(self, packet: bytes) -> None:
        """
        A CHAP packet arrived.
        """
        try:
            message = chap.decode(packet)
        except Malformed:
            self.discards += 1
            return
        if self._stopped or not isinstance(message, chap.CHAPResponse | chap.ChangePassword):
            # A Challenge, a Success or a Failure is for the peer's side.
            return
        if message.identifier == self._answered:
            self._send(self._answer)
        elif (
            not isinstance(message, self._due)
            or message.identifier != self._identifier
            or not self._challenge
            or self._over
        ):
            self.discards += 1
        elif isinstance(message, chap.ChangePassword):
            self._changed(message)
        else:
            self._responded(message)

    def repeat(self) -> None:
        """
        Send the last Success or Failure again, for it may have been lost; nothing where there was
        none.
        """
        if self._answer and not self._stopped:
            self._send(self._answer)

    def _responded(self, response: chap.CHAPResponse) -> None:
        if len(response.value) != self._algorithm.responseSize:
            self.discards += 1
            return
        challenge, self._challenge = self._challenge, b""
        self._peerName = response.name
        self._verify(
            Claim(self._method, response.name, response.identifier, challenge, response.value)
        )

    def _changed(self, change: chap.ChangePassword) -> None:
        challenge, self._challenge = self._challenge, b""
        # It names nobody: it is from the one whose password has expired.
        response = chap.MSCHAPV2Response(change.peerChallenge, change.ntResponse).encode()
        claim = self._method, self._peerName, change.identifier, challenge, response
        self._verify(ChangeClaim(*claim, change))

    def _nextChallenge(self) -> None:
        self._identifier = (self._identifier + 1) & 0xFF
        self._challenge = self._random(self._algorithm.challengeSize)

    def _transmit(self) -> None:
        if self._transmissions == TRANSMISSIONS:
            self._unanswered("the peer did not answer the challenge")
            return
        self._transmissions += 1
        self._arm(RESTART_SECONDS, self._transmit)
        self._send(self._packet)

    def _reply(self, reply: chap.CHAPSuccess | chap.CHAPFailure) -> None:
        self._answered, self._answer = reply.identifier, reply.encode()
        self._send(self._answer)

    def _askLater(self) -> None:
        self._armSoon(self._rechallenge, self.start)

    def _accept(self, message: bytes) -> None:
        if self._rechallenge:
            self._arm(self._rechallenge, self.start)
        self._reply(chap.CHAPSuccess(self._identifier, message))

    def _deny(self, retry: bool) -> None:
        identifier = self._identifier
        self._nextChallenge()
        refusal = self._refusal
        if self._mayChange:
            self._due = chap.ChangePassword
        message = self._algorithm.failure(self._challenge, retry, refusal.error, refusal.text)
        self._reply(chap.CHAPFailure(identifier, message))


@implementer(IExchange)
class CHAPPeer(Exchange):
    """
    We prove who we are.

    A wrong answer to the one password that there is doesn't get better by a retry, so every Failure
    is final.  A Response is repeated until it is answered, since a Success that is lost isn't sent
    again by itself (RFC 1994 section 4.2).  With MS-CHAPv2 the authenticator must
    prove itself as well (RFC 2759 section 8.8).
    """

    __slots__ = (
        "_algorithm",
        "_answer",
        "_asked",
        "_name",
        "_password",
        "_proven",
        "_results",
        "_transmissions",
    )

    def __init__(
        self,
        clock: IReactorTime,
        send: Callable[[bytes], None],
        algorithm: Algorithm,
        name: bytes,
        password: bytes,
        results: IPeerResults,
    ) -> None:
        """
        @param name: ours, a Windows domain and a backslash before it or not.
        @param password: in UTF-8.
        """
        Exchange.__init__(self, clock, send)
        self._algorithm = algorithm
        self._name = name
        self._password = password
        self._results = results
        # The Challenge answered last, and with what.
        self._asked: chap.Challenge | None = None
        self._answer: Answer | None = None
        self._transmissions = 0
        self._proven = False

    def start(self) -> None:
        """
        Wait for a Challenge.
        """
        self._arm(RESTART_SECONDS * TRANSMISSIONS, self._refused, "no challenge came")

    def received(self, packet: bytes) -> None:
        """
        A CHAP packet arrived.
        """
        try:
            message = chap.decode(packet)
        except Malformed:
            self.discards += 1
            return
        if self._stopped or isinstance(message, chap.CHAPResponse | chap.ChangePassword):
            # These are for the authenticator's side.
            return
        if isinstance(message, chap.Challenge):
            self._challenged(message)
        elif (
            self._asked is None
            or self._answer is None
            or message.identifier != self._asked.identifier
        ):
            self.discards += 1
        elif isinstance(message, chap.CHAPFailure):
            self._refused(explain(message.message))
        else:
            self._succeeded(self._answer, message.message)

    def _challenged(self, challenge: chap.Challenge) -> None:
        if challenge != self._asked:
            self._answer = self._algorithm.answer(challenge, self._name, self._password)
            self._asked = challenge
            self._transmissions = 0
        if self._answer is None:
            self.discards += 1
            return
        response = chap.CHAPResponse(challenge.identifier, self._answer.value, self._name)
        if self._proven:
            self._send(response.encode())
        else:
            self._respond(response.encode())

    def _respond(self, packet: bytes) -> None:
        if self._transmissions == TRANSMISSIONS:
            self._refused("our response was not answered")
            return
        self._transmissions += 1
        self._arm(RESTART_SECONDS, self._respond, packet)
        self._send(packet)

    def _succeeded(self, answer: Answer, message: bytes) -> None:
        # Until the next Challenge another Success says nothing.
        self._answer = None
        if not answer.check(message):
            self._refused("the authenticator did not prove that it knows the password")
        elif not self._proven:
            self._proven = True
            self._disarm()
            self._results.proven(answer.keys())

    def _refused(self, reason: str) -> None:
        self.stop()
        self._results.refused(reason)


def explain(message: bytes) -> str:
    """
    What the message of a Failure says, fit for a log.
    """
    try:
        failure = chap.FailureMessage.decode(message)
    except Malformed:
        text = message
        reason = "the authenticator does not believe us"
    else:
        text = failure.text
        reason = ERRORS.get(failure.error, f"error {failure.error}")
    said = ascii(text[:100].decode("utf-8", "replace")) if text else ""
    return f"{reason}: {said}" if said else reason
