"""
The peer's end of EAP (RFC 3748).

The rules:

 - A Request that is repeated without any change gets the same Response again (section 4.1).
 - A Request of a method that we don't have is answered with a Nak that names our methods. Once a
   method has begun, Requests of other methods are discarded (section 2.1).
 - A Success counts only once the method is complete at this end, which includes that the
   authenticator has authenticated itself if the method provides for that. A Failure always counts
   (section 4.2).
 - An Identity Request may come at any time, also during a session, and begins the conversation
   anew.
 - No packet from the authenticator raises an exception. A method that raises an unexpected
   exception, as a plugin may, ends the exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from pptpgw.error import Malformed, Refused
from pptpgw.interfaces import IEAPMethod, IEAPPeer, IExchange, IKeys, IPeerResults
from pptpgw.log import Logger
from pptpgw.ppp.eap import ROUNDS
from pptpgw.ppp.exchange import RESTART_SECONDS, TRANSMISSIONS, PeerExchange, Send
from pptpgw.ppp.wire import eap

T = TypeVar("T")


@implementer(IEAPPeer)
class MethodPeer:
    """
    A base class for the peer's end of a method that earns no keys.
    """

    def __init__(self, name: bytes, password: bytes) -> None:
        self.done = False
        self.failure = ""
        self._name, self._password = name, password

    def answer(self, request: eap.EAPRequest) -> bytes:
        """
        See L{IEAPPeer.answer}.
        """
        raise NotImplementedError

    def keys(self) -> IKeys | None:
        """
        Return None: the method earns no keys.
        """
        return None


@implementer(IExchange)
class EAPPeer(PeerExchange):
    """
    The peer's end of EAP on one link.
    """

    __slots__ = (
        "_answer",
        "_asked",
        "_conversation",
        "_method",
        "_methods",
        "_proven",
        "_requests",
    )

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        send: Send,
        methods: Sequence[IEAPMethod],
        name: bytes,
        password: bytes,
        results: IPeerResults,
    ) -> None:
        """
        @param methods: the methods that we have, in order of preference.
        """
        PeerExchange.__init__(self, clock, send, name, password, results)
        self._methods = {one.number: one for one in methods if one.number is not None}
        # The Request that was answered last, and the answer.
        self._asked = b""
        self._answer = b""
        self._requests = 0
        self._method: eap.Method | None = None
        self._conversation: IEAPPeer | None = None
        self._proven = False

    def start(self) -> None:
        """
        Wait for a Request, and report a refusal if none comes in time.
        """
        self._await()

    def received(self, packet: bytes) -> None:
        """
        See L{IExchange.received}.
        """
        try:
            message = eap.decode(packet)
            if self._stopped or isinstance(message, eap.EAPResponse | eap.Nak):
                # These are for the authenticator's side.
                return
            if isinstance(message, eap.EAPRequest):
                self._requested(packet, message)
            elif isinstance(message, eap.EAPFailure):
                failure = self._conversation.failure if self._conversation is not None else ""
                self._disbelieved(failure or "the authenticator does not believe us")
            else:
                self._succeeded()
        except Malformed:
            self.discards += 1
        except Refused as refusal:
            self._refused(str(refusal))

    def _requested(self, packet: bytes, request: eap.EAPRequest) -> None:
        if packet != self._asked:
            self._requests += 1
            if self._requests > ROUNDS:
                raise Refused(f"no result after {ROUNDS} requests")
            self._answer = self._respond(request).encode()
            self._asked = packet
        if not self._proven:
            self._await()
        self._send(self._answer)

    def _respond(self, request: eap.EAPRequest) -> eap.EAPResponse | eap.Nak:
        identifier, method = request.identifier, request.method
        if method == eap.IDENTITY:
            self._method = self._conversation = None
            return eap.EAPResponse(identifier, method, self._name)
        if method == eap.NOTIFICATION:
            return eap.EAPResponse(identifier, method)
        if self._method is None:
            ours = self._methods.get(method)
            if ours is None:
                return eap.Nak(identifier, tuple(self._methods), expanded=bool(method.vendor))
            conversation = self._of(ours.begin, self._name, self._password)
        elif method != self._method or self._conversation is None:
            raise Malformed("another method has begun")
        else:
            conversation = self._conversation
        content = self._of(conversation.answer, request)
        self._method, self._conversation = method, conversation
        return eap.EAPResponse(identifier, method, content)

    def _of(self, function: Callable[..., T], *arguments: object) -> T:
        """
        Call a function of a method, and return its result.

        @raise Refused: the function raised an exception other than L{Malformed} and L{Refused},
            which is logged.
        """
        try:
            return function(*arguments)
        except (Malformed, Refused):
            raise
        except Exception:
            self._log.failure("an EAP method failed")
            raise Refused("the EAP method failed", retry=False) from None

    def _succeeded(self) -> None:
        conversation = self._conversation
        if conversation is None or not conversation.done:
            self.discards += 1
            return
        # Another Success is ignored until the next conversation.
        self._conversation = None
        self._requests = 0
        if not self._proven:
            keys = self._of(conversation.keys)
            self._proven = True
            self._disarm()
            self._results.proven(keys)

    def _await(self) -> None:
        self._arm(RESTART_SECONDS * TRANSMISSIONS, self._refused, "the authenticator is silent")
