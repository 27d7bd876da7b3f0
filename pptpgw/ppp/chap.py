"""
Both ends of CHAP: MS-CHAPv2 (RFC 2759), MS-CHAPv1 (RFC 2433) and MD5 (RFC 1994).

The rules, in addition to those of L{pptpgw.ppp.exchange}:

 - Every Challenge has a new identifier and a new value. A Challenge that isn't answered is sent
   again unchanged, identifier included, so that a late answer still counts. RFC 1994 section 4.1
   asks for a new identifier each time; then nobody could authenticate over a path whose round-trip
   time exceeds the interval.
 - A Response is matched by its identifier. A Response that has been answered gets the same answer
   again, without a second verification (RFC 1994 section 4.2).
 - After a Failure that allows a retry (MS-CHAP only), the next Response answers the challenge in
   that Failure and has the next identifier (RFC 2759 section 9.1.4).
 - After a Failure with the error 'password expired' (MS-CHAPv2 only), the peer may answer the
   challenge in that Failure with a Change-Password, which has the next identifier, but not with a
   Response. At any other time a Change-Password is discarded (RFC 2759 section 7). It is the last
   claim of its exchange.
 - A Success that the peer seems not to have received can be sent again
   (L{CHAPAuthenticator.repeat}): many peers send their Response only once, and then wait.
 - A Response whose value doesn't have the size of the variant is silently discarded.
 - A Response to the Challenge of another end, which has passed the call on, is judged like one to
   ours, if the Challenge is as long as ours would be.

The differences between the variants are in L{pptpgw.ppp.algorithm}.
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
    IChangingExchange,
    IPeerResults,
    IResumableExchange,
    IVerdicts,
)
from pptpgw.ppp.algorithm import Algorithm, Answer, changePassword
from pptpgw.ppp.exchange import (
    RESTART_SECONDS,
    TRANSMISSIONS,
    Authenticate,
    AuthenticatorExchange,
    PeerExchange,
    RandomOctets,
    Send,
)
from pptpgw.ppp.wire import chap

# The meanings of the errors of RFC 2759 section 6, for the log.
ERRORS = {
    646: "outside the hours that the account allows",
    647: "the account is disabled",
    PASSWORD_EXPIRED: "the password has expired",
    649: "the account may not dial in",
    WRONG_PASSWORD: "no such user or wrong password",
    NOT_CHANGED: "the password could not be changed",
}


# The version of Change-Password in the message of a Failure (RFC 2759 section 6).
_CHANGE_VERSION = 3


@dataclass(frozen=True, slots=True)
class ChangeClaim(Claim):
    """
    A peer's claim to be C{name}, together with its new password. C{response} is an encoded
    L{chap.MSCHAPV2Response}, made from the new password and C{challenge}.

    @ivar change: the Change-Password packet.
    """

    change: chap.ChangePassword = field(repr=False)


@implementer(IResumableExchange)
class CHAPAuthenticator(AuthenticatorExchange):
    """
    The authenticator's end of CHAP.
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
        send: Send,
        method: IAuthenticationProtocol,
        algorithm: Algorithm,
        name: bytes,
        authenticate: Authenticate,
        verdicts: IVerdicts,
        rechallenge: float = 0,
        random: RandomOctets = secrets.token_bytes,
    ) -> None:
        """
        @param name: our name. It is never empty, because some peers look up their secret by it.
        @param rechallenge: seconds until an authenticated peer is challenged again; 0 for never.
        """
        AuthenticatorExchange.__init__(self, clock, send, method, authenticate, verdicts)
        if not name:
            raise ValueError("the authenticator's name is empty")
        self._algorithm = algorithm
        self._ourName = name
        self._rechallenge = rechallenge
        self._random = random
        self._identifier = random(1)[0]
        # The challenge that a Response must answer; empty: no Response is expected.
        self._challenge = b""
        self._packet = b""
        self._transmissions = 0
        # The type of packet that is expected, and the name in the last Response.
        self._due: type[chap.CHAPResponse] | type[chap.ChangePassword] = chap.CHAPResponse
        self._peerName = b""
        # The identifier of the last Response that was answered (-1: none), and the answer.
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
        Send a Challenge with a new identifier and a new value.
        """
        self._tries = 0
        self._due = chap.CHAPResponse
        self._nextChallenge()
        self._packet = chap.Challenge(self._identifier, self._challenge, self._ourName).encode()
        self._transmissions = 0
        self._transmit()

    def resume(self, identifier: int, name: bytes, challenge: bytes, response: bytes) -> None:
        """
        See L{IResumableExchange.resume}.
        """
        sizes = len(challenge), len(response)
        if sizes != (self._algorithm.challengeSize, self._algorithm.responseSize):
            raise Malformed(f"a challenge of {sizes[0]} octets, and a response of {sizes[1]}")
        self._identifier = identifier
        self._peerName = name
        self._verify(Claim(self._method, name, identifier, challenge, response))

    def received(self, packet: bytes) -> None:
        """
        See L{IExchange.received}.
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
        Send the last Success or Failure again, since it may have been lost. Do nothing if there was
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
        # A Change-Password has no name: it comes from the user whose password has expired.
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


@implementer(IChangingExchange)
class CHAPPeer(PeerExchange):
    """
    The peer's end of CHAP.

    Every Failure is final, since a retry with the same password is useless. The one exception is
    an expired password, which is changed if there is a new one (RFC 2759 section 7). A Response is
    repeated until it is answered, because a lost Success isn't sent again by itself (RFC 1994
    section 4.2). With MS-CHAPv2 the authenticator must authenticate itself as well (RFC 2759
    section 8.8).
    """

    __slots__ = (
        "_algorithm",
        "_answer",
        "_asked",
        "_changed",
        "_new",
        "_packet",
        "_proven",
        "_transmissions",
    )

    def __init__(
        self,
        clock: IReactorTime,
        send: Send,
        algorithm: Algorithm,
        name: bytes,
        password: bytes,
        results: IPeerResults,
    ) -> None:
        """
        @param name: our name, with or without a Windows domain and a backslash before it.
        @param password: the password in UTF-8.
        """
        PeerExchange.__init__(self, clock, send, name, password, results)
        self._algorithm = algorithm
        # The challenge that was answered last, the answer, and the packet that it is in.
        self._asked: chap.Challenge | None = None
        self._answer: Answer | None = None
        self._packet = b""
        # The password that replaces one that has expired, and what is then called. The password is
        # empty if there is none, or if it is the one in use.
        self._new = b""
        self._changed: Callable[[], None] | None = None
        self._transmissions = 0
        self._proven = False

    def mayChange(self, password: bytes, changed: Callable[[], None] | None) -> None:
        """
        See L{IChangingExchange.mayChange}.
        """
        if self._algorithm.mayChange:
            self._new, self._changed = password, changed

    def start(self) -> None:
        """
        Wait for a Challenge, and report a refusal if none comes in time.
        """
        self._arm(RESTART_SECONDS * TRANSMISSIONS, self._refused, "no challenge came")

    def received(self, packet: bytes) -> None:
        """
        See L{IExchange.received}.
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
            self._failed(message)
        else:
            self._succeeded(self._answer, message.message)

    def _challenged(self, challenge: chap.Challenge) -> None:
        if challenge != self._asked:
            self._asked = challenge
            self._answer = self._algorithm.answer(challenge, self._name, self._password)
            if self._answer is not None:
                response = chap.CHAPResponse(challenge.identifier, self._answer.value, self._name)
                self._packet = response.encode()
            self._transmissions = 0
        if self._answer is None:
            self.discards += 1
        elif self._proven:
            self._send(self._packet)
        else:
            self._respond()

    def _respond(self) -> None:
        if self._transmissions == TRANSMISSIONS:
            self._refused("our response was not answered")
            return
        self._transmissions += 1
        self._arm(RESTART_SECONDS, self._respond)
        self._send(self._packet)

    def _failed(self, failure: chap.CHAPFailure) -> None:
        changing = None
        if self._new and not self._proven and not self._isChanging:
            challenge = expired(failure)
            if challenge is not None:
                changing = changePassword(challenge, self._name, self._password, self._new)
        if changing is None:
            self._disbelieved(explain(failure.message))
            return
        change, self._answer = changing
        self._asked, self._packet = challenge, change.encode()
        self._transmissions = 0
        self._respond()

    @property
    def _isChanging(self) -> bool:
        return self._packet[:1] == bytes((chap.ChangePassword.CODE,))

    def _succeeded(self, answer: Answer, message: bytes) -> None:
        # Another Success is ignored until the next Challenge.
        self._answer = None
        if not answer.check(message):
            self._disbelieved("the authenticator did not prove that it knows the password")
        elif not self._proven:
            self._proven = True
            self._disarm()
            if self._isChanging:
                self._password, self._new = self._new, b""
                if self._changed is not None:
                    self._changed()
            self._results.proven(answer.keys())


def expired(failure: chap.CHAPFailure) -> chap.Challenge | None:
    """
    Return the challenge that a Change-Password answers after C{failure}, with the identifier of
    that packet; None if C{failure} doesn't say that the password has expired, or hasn't a challenge
    of that version of the protocol.
    """
    try:
        message = chap.FailureMessage.decode(failure.message)
        identifier = (failure.identifier + 1) & 0xFF
        challenge = chap.Challenge(identifier, message.challenge, b"")
    except (Malformed, ValueError):
        return None
    isExpired = message.error == PASSWORD_EXPIRED and message.version == _CHANGE_VERSION
    return challenge if isExpired else None


def explain(message: bytes) -> str:
    """
    Return the meaning of a Failure's message, as text for a log.
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
