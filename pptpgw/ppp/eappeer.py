"""
EAP as an exchange: the peer's end (RFC 3748).

The rules:

 - A Request that comes again, the same to the last octet, gets the same Response again (section
   4.1).
 - A method that we don't have, or where we have begun with none, gets a Nak that names ours; once
   a method has begun only that one goes on (section 2.1).
 - A Success counts once the method has nothing left to say, and where the authenticator has proven
   itself if the method has it so; a Failure always (section 4.2).
 - An Identity Request may come at any time: it begins everything anew, and so it does during a
   session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol as TypingProtocol

from OpenSSL import SSL
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from pptpgw.error import Malformed, Refused
from pptpgw.interfaces import IExchange, IKeys, IPeerResults
from pptpgw.ppp import algorithm
from pptpgw.ppp.algorithm import Answer
from pptpgw.ppp.chap import explain
from pptpgw.ppp.eap import ROUNDS
from pptpgw.ppp.eapmethod import body, read
from pptpgw.ppp.eaptls import Reassembly, TLSSession, fragments
from pptpgw.ppp.exchange import RESTART_SECONDS, TRANSMISSIONS, Exchange
from pptpgw.wire import chap, eap
from pptpgw.wire.eap import Fragment


class PeerConversation(TypingProtocol):
    """
    One run of a method, the peer's end.

    @ivar done: a Success may come.
    @ivar failure: what is known of why a Failure will come; empty: nothing.
    """

    done: bool
    failure: str

    def answer(self, request: eap.Request) -> bytes:
        """
        The content of the Response.

        @raise Malformed: C{request} can't be understood; it is discarded.
        @raise Refused: the authenticator isn't who it should be, or turned us down.
        """

    def keys(self) -> IKeys | None:
        """
        What a Success earns.
        """


class PeerMethod(TypingProtocol):
    """
    An authentication method, the peer's end. It has no state.
    """

    method: eap.Method

    def begin(self, name: bytes, password: bytes) -> PeerConversation:
        """
        A new run of it.
        """


class _MD5Conversation:
    failure = ""

    def __init__(self, name: bytes, password: bytes) -> None:
        self.done = False
        self._name, self._password = name, password

    def answer(self, request: eap.Request) -> bytes:
        asked = read(request)
        challenge = chap.Challenge(asked.identifier, asked.value, asked.name)
        answer = algorithm.MD5.answer(challenge, self._name, self._password)
        assert answer is not None
        self.done = True
        return body(chap.Response(request.identifier, answer.value, self._name))

    def keys(self) -> IKeys | None:
        return None


class _MSCHAPV2Conversation:
    def __init__(self, name: bytes, password: bytes) -> None:
        self.done = False
        self.failure = ""
        self._name, self._password = name, password
        self._answer: Answer | None = None

    def answer(self, request: eap.Request) -> bytes:
        packet = chap.decode(request.content)
        if isinstance(packet, chap.Challenge):
            self.done = False
            self._answer = algorithm.MSCHAPV2.answer(packet, self._name, self._password)
            if self._answer is None:
                raise Malformed(f"a challenge of {len(packet.value)} octets")
            return chap.Response(packet.identifier, self._answer.value, self._name).encode()
        if isinstance(packet, chap.Failure):
            # A wrong answer to the one password that there is doesn't get better by another try.
            self.failure = explain(packet.message)
            return bytes((packet.CODE,))
        if not isinstance(packet, chap.Success) or self._answer is None:
            raise Malformed("no challenge came")
        if not self._answer.check(packet.message):
            raise Refused("the authenticator did not prove that it knows the password")
        self.done = True
        return bytes((packet.CODE,))

    def keys(self) -> IKeys | None:
        return self._answer.keys() if self._answer is not None else None


class _TLSConversation:
    def __init__(self, context: SSL.Context) -> None:
        self.done = False
        self.failure = ""
        self._session = TLSSession(context, isServer=False)
        self._message = Reassembly()
        self._fragments: Iterator[Fragment] = iter(())

    def answer(self, request: eap.Request) -> bytes:
        asked = Fragment.decode(request.content)
        fragment = next(self._fragments, None)
        if fragment is not None:
            if asked != Fragment():
                raise Refused("a fragment was answered, and not acknowledged", retry=False)
        else:
            octets = b""
            if not asked.start:
                whole = self._message.add(request.content)
                if whole is None:
                    return Fragment().encode()
                octets, self._message = whole, Reassembly()
            self._fragments = fragments(self._session.received(octets))
            fragment = next(self._fragments)
            session = self._session
            self.done = session.established and not fragment.octets and session.committed
            if session.failure:
                self.failure = f"TLS failed: {session.failure}"
                if not octets and not fragment.octets:
                    raise Refused(self.failure, retry=False)
        return fragment.encode()

    def keys(self) -> IKeys | None:
        return self._session.keys(isServer=False)


class MD5Peer:
    """
    MD5-Challenge.
    """

    method = eap.MD5_CHALLENGE

    def begin(self, name: bytes, password: bytes) -> PeerConversation:
        """
        See L{PeerMethod.begin}.
        """
        return _MD5Conversation(name, password)


class MSCHAPV2Peer:
    """
    EAP-MSCHAPv2.
    """

    method = eap.MSCHAPV2

    def begin(self, name: bytes, password: bytes) -> PeerConversation:
        """
        See L{PeerMethod.begin}.
        """
        return _MSCHAPV2Conversation(name, password)


class TLSPeer:
    """
    EAP-TLS.
    """

    method = eap.TLS

    def __init__(self, context: SSL.Context) -> None:
        """
        @param context: with our certificate, and with what the authenticator's is verified by.
        """
        self._context = context

    def begin(self, name: bytes, password: bytes) -> PeerConversation:
        """
        See L{PeerMethod.begin}; a password isn't needed.
        """
        return _TLSConversation(self._context)


@implementer(IExchange)
class EAPPeer(Exchange):
    """
    We prove who we are.
    """

    __slots__ = (
        "_answer",
        "_asked",
        "_conversation",
        "_method",
        "_methods",
        "_name",
        "_password",
        "_proven",
        "_requests",
        "_results",
    )

    def __init__(
        self,
        clock: IReactorTime,
        send: Callable[[bytes], None],
        methods: Sequence[PeerMethod],
        name: bytes,
        password: bytes,
        results: IPeerResults,
    ) -> None:
        """
        @param methods: the best liked first.
        """
        Exchange.__init__(self, clock, send)
        self._methods = {one.method: one for one in methods}
        self._name = name
        self._password = password
        self._results = results
        # The Request answered last, and with what.
        self._asked = b""
        self._answer = b""
        self._requests = 0
        self._method: eap.Method | None = None
        self._conversation: PeerConversation | None = None
        self._proven = False

    def start(self) -> None:
        """
        Wait for a Request.
        """
        self._await()

    def received(self, packet: bytes) -> None:
        """
        An EAP packet arrived.
        """
        try:
            message = eap.decode(packet)
            if self._stopped or isinstance(message, eap.Response | eap.Nak):
                # For the authenticator's side.
                return
            if isinstance(message, eap.Request):
                self._requested(packet, message)
            elif isinstance(message, eap.Failure):
                failure = self._conversation.failure if self._conversation is not None else ""
                self._refused(failure or "the authenticator does not believe us")
            else:
                self._succeeded()
        except Malformed:
            self.discards += 1
        except Refused as refusal:
            self._refused(str(refusal))

    def _requested(self, packet: bytes, request: eap.Request) -> None:
        if packet != self._asked:
            self._requests += 1
            if self._requests > ROUNDS:
                raise Refused(f"no result after {ROUNDS} requests")
            self._answer = self._respond(request).encode()
            self._asked = packet
        if not self._proven:
            self._await()
        self._send(self._answer)

    def _respond(self, request: eap.Request) -> eap.Response | eap.Nak:
        identifier, method = request.identifier, request.method
        if method == eap.IDENTITY:
            self._method = self._conversation = None
            return eap.Response(identifier, method, self._name)
        if method == eap.NOTIFICATION:
            return eap.Response(identifier, method)
        if self._method is None:
            ours = self._methods.get(method)
            if ours is None:
                return eap.Nak(identifier, tuple(self._methods), expanded=bool(method.vendor))
            conversation = ours.begin(self._name, self._password)
        elif method != self._method or self._conversation is None:
            raise Malformed("another method has begun")
        else:
            conversation = self._conversation
        content = conversation.answer(request)
        self._method, self._conversation = method, conversation
        return eap.Response(identifier, method, content)

    def _succeeded(self) -> None:
        conversation = self._conversation
        if conversation is None or not conversation.done:
            self.discards += 1
            return
        # Until the next conversation another Success says nothing.
        self._conversation = None
        self._requests = 0
        if not self._proven:
            self._proven = True
            self._disarm()
            self._results.proven(conversation.keys())

    def _await(self) -> None:
        self._arm(RESTART_SECONDS * TRANSMISSIONS, self._refused, "the authenticator is silent")

    def _refused(self, reason: str) -> None:
        self.stop()
        self._results.refused(reason)
