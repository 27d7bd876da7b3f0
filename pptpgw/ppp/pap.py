"""
Both ends of PAP (RFC 1334).

The rules, in addition to those of L{pptpgw.ppp.exchange}:

 - The peer begins. An authenticator that receives no Authenticate-Request within L{WAIT_SECONDS}
   ends the exchange.
 - A peer may repeat its request with a new identifier. If it does so while its claim is being
   verified, the reply has the identifier of the last repetition.
 - After the final verdict every further request gets the same reply, whatever it says, as RFC 1334
   section 2.2.1 demands.
"""

from __future__ import annotations

import hmac
import secrets

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from pptpgw.error import Malformed
from pptpgw.interfaces import (
    Claim,
    IAuthenticationProtocol,
    IExchange,
    IPeerResults,
    IResumableExchange,
    IVerdicts,
)
from pptpgw.ppp.exchange import (
    RESTART_SECONDS,
    TRANSMISSIONS,
    Authenticate,
    AuthenticatorExchange,
    PeerExchange,
    Send,
)
from pptpgw.ppp.wire import pap

# Seconds that the authenticator waits for the first request.
WAIT_SECONDS = 30.0


@implementer(IResumableExchange)
class PAPAuthenticator(AuthenticatorExchange):
    """
    The authenticator's end of PAP.
    """

    __slots__ = ("_identifier", "_message", "_reply", "_request")

    def __init__(
        self,
        clock: IReactorTime,
        send: Send,
        method: IAuthenticationProtocol,
        authenticate: Authenticate,
        verdicts: IVerdicts,
    ) -> None:
        AuthenticatorExchange.__init__(self, clock, send, method, authenticate, verdicts)
        # The last request, its identifier, and the reply to it if there was one.
        self._request: pap.AuthenticateRequest | None = None
        self._identifier = 0
        self._reply: type[pap.AuthenticateAck] | type[pap.AuthenticateNak] | None = None
        self._message = b""

    def start(self) -> None:
        """
        Wait for an Authenticate-Request, and report a refusal if none comes in time.
        """
        self._arm(WAIT_SECONDS, self._unanswered, "the peer sent no name and password")

    def resume(self, identifier: int, name: bytes, challenge: bytes, response: bytes) -> None:
        """
        See L{IResumableExchange.resume}.
        """
        try:
            self._request = pap.AuthenticateRequest(identifier, name, response)
        except ValueError as error:
            raise Malformed(str(error)) from error
        self._identifier = identifier
        self._verify(Claim(self._method, name, identifier, b"", response))

    def received(self, packet: bytes) -> None:
        """
        See L{IExchange.received}.
        """
        try:
            request = pap.decode(packet)
        except Malformed:
            self.discards += 1
            return
        if self._stopped or not isinstance(request, pap.AuthenticateRequest):
            # An Ack or a Nak is for the peer's side.
            return
        if self._name is not None or (self._over and self._reply is not None):
            self._answer(request.identifier)
        elif self._pending is not None:
            if self._repeats(request):
                self._identifier = request.identifier
            else:
                self.discards += 1
        elif self._over:
            self.discards += 1
        elif request.identifier == self._identifier and self._repeats(request):
            self._answer(request.identifier)
        else:
            self._request, self._identifier = request, request.identifier
            self._verify(
                Claim(self._method, request.peerID, request.identifier, b"", request.password)
            )

    def _repeats(self, request: pap.AuthenticateRequest) -> bool:
        last = self._request
        return (
            last is not None
            and last.peerID == request.peerID
            and hmac.compare_digest(last.password, request.password)
        )

    def _answer(self, identifier: int) -> None:
        assert self._reply is not None
        self._send(self._reply(identifier, self._message).encode())

    def _accept(self, message: bytes) -> None:
        self._reply, self._request, self._message = pap.AuthenticateAck, None, message[:255]
        self._answer(self._identifier)

    def _deny(self, retry: bool) -> None:
        self._reply = pap.AuthenticateNak
        self._message = self._refusal.text[:255] or b"Authentication failed"
        self._answer(self._identifier)


@implementer(IExchange)
class PAPPeer(PeerExchange):
    """
    The peer's end of PAP.
    """

    __slots__ = ("_first", "_transmissions")

    def __init__(
        self,
        clock: IReactorTime,
        send: Send,
        name: bytes,
        password: bytes,
        results: IPeerResults,
    ) -> None:
        """
        @param name: our name, at most 255 octets.
        @param password: the password in clear, at most 255 octets.
        """
        PeerExchange.__init__(self, clock, send, name, password, results)
        self._first = secrets.randbelow(0x100)
        self._transmissions = 0

    def start(self) -> None:
        """
        Send an Authenticate-Request, and repeat it with a new identifier until it is answered.
        """
        if self._transmissions == TRANSMISSIONS:
            self._refused("the authenticator did not answer")
            return
        identifier = (self._first + self._transmissions) & 0xFF
        self._transmissions += 1
        self._arm(RESTART_SECONDS, self.start)
        self._send(pap.AuthenticateRequest(identifier, self._name, self._password).encode())

    def received(self, packet: bytes) -> None:
        """
        See L{IExchange.received}.
        """
        try:
            reply = pap.decode(packet)
        except Malformed:
            self.discards += 1
            return
        if self._stopped or isinstance(reply, pap.AuthenticateRequest):
            # A request is for the authenticator's side.
            return
        # A reply to any of the requests counts.
        if (reply.identifier - self._first) & 0xFF >= self._transmissions:
            self.discards += 1
        elif isinstance(reply, pap.AuthenticateAck):
            self.stop()
            self._results.proven(None)
        else:
            said = ascii(reply.message[:100].decode("utf-8", "replace"))
            self._disbelieved(f"the authenticator does not believe us: {said}")
