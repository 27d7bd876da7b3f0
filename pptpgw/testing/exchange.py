"""
Exchanges for tests of authentication protocols and EAP methods, without a link or a gateway. There
is one end, whose peer the test plays, or both ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from pptpgw.auth.eap import EAPProtocol
from pptpgw.error import PPTPGWError, Refused
from pptpgw.interfaces import (
    Claim,
    Grant,
    IAuthenticationProtocol,
    IEAPMethod,
    IExchange,
    IKeys,
    IPeerResults,
    IVerdicts,
)
from pptpgw.ppp.exchange import RESTART_SECONDS
from pptpgw.ppp.wire import eap
from pptpgw.ppp.wire.eap import Method
from pptpgw.testing.memory import DELAY

PASSWORD = b"sesame"
"""
The password of every user, unless a test chooses another.
"""

LARGEST = 1020
"""
The largest packet of an exchange, in octets (RFC 3748 section 3.1).
"""

Judge = Callable[[Claim], "Grant | Deferred[Grant]"]
"""
A function that judges a claim, as a gateway's authenticator does.
"""


def makeGrant(claim: Claim, password: bytes = PASSWORD) -> Grant:
    """
    Grant C{claim} if it was made with C{password}, as a checker of one password does.

    @raise Refused: the claim was made with another password.
    """
    credentials: Any = claim.method.credentials(claim, claim.name)
    if not credentials.checkPassword(password):
        raise Refused("wrong password")
    return Grant(claim.name.decode(), credentials.message, credentials.keys, None)


@implementer(IVerdicts, IPeerResults)
class ExchangeRecorder:
    """
    The owner of one end of an exchange, which records the packets that the end sends and the
    results that it is told.

    @ivar events: packets, as C{decode} returns them, and texts, in order: C{"granted alice"},
        C{"authenticated"}, C{"proven"} or C{"refused: REASON"}.
    @ivar claims: the claims that were judged.
    @ivar judge: judges claims; a test may replace it.
    @ivar grant: the last grant.
    @ivar keys: the MPPE keys that were earned, or None.
    @ivar reason: the reason of the last refusal.
    @ivar atGranted: called at the end of L{granted}.
    @ivar atRefused: called at the end of L{refused}.
    """

    def __init__(self, decode: Callable[[bytes], Any] = bytes, judge: Judge = makeGrant) -> None:
        self.events: list[Any] = []
        self.claims: list[Claim] = []
        self.judge = judge
        self.grant: Grant | None = None
        self.keys: IKeys | None = None
        self.reason = ""
        self.atGranted: Callable[[], None] = lambda: None
        self.atRefused: Callable[[], None] = lambda: None
        self._decode = decode

    @property
    def packets(self) -> list[Any]:
        """
        The packets among the events.
        """
        return [event for event in self.events if not isinstance(event, str)]

    @property
    def told(self) -> list[str]:
        """
        The texts among the events.
        """
        return [event for event in self.events if isinstance(event, str)]

    @property
    def isOver(self) -> bool:
        """
        Whether there is a result, and the peer has been told of it.
        """
        return any(event.startswith(("auth", "proven", "refused")) for event in self.told)

    def send(self, packet: bytes) -> None:
        """
        Record a packet.
        """
        assert len(packet) <= LARGEST
        self.events.append(self._decode(packet))

    def authenticate(self, claim: Claim) -> Deferred[Grant]:
        """
        Record a claim, and judge it.
        """
        self.claims.append(claim)
        try:
            verdict = self.judge(claim)
        except PPTPGWError:
            return fail()
        return verdict if isinstance(verdict, Deferred) else succeed(verdict)

    def granted(self, grant: Grant) -> None:
        """
        See L{IVerdicts.granted}.
        """
        self.events.append(f"granted {grant.name}")
        self.grant, self.keys = grant, grant.keys
        self.atGranted()

    def authenticated(self, grant: Grant) -> None:
        """
        See L{IVerdicts.authenticated}.
        """
        self.events.append("authenticated")

    def proven(self, keys: IKeys | None) -> None:
        """
        See L{IPeerResults.proven}.
        """
        self.events.append("proven")
        self.keys = keys

    def refused(self, reason: str) -> None:
        """
        See L{IVerdicts.refused} and L{IPeerResults.refused}.
        """
        self.events.append(f"refused: {reason}")
        self.reason = reason
        self.atRefused()


class DrivenAuthenticator:
    """
    The authenticator's end of an exchange, which has been started, and whose peer the test plays.

    @ivar authenticator: the end that is tested, an L{pptpgw.interfaces.IAuthenticatorExchange}.
    """

    def __init__(
        self,
        protocol: IAuthenticationProtocol,
        decode: Callable[[bytes], Any] = bytes,
        judge: Judge = makeGrant,
        rechallenge: float = 0,
    ) -> None:
        """
        @param decode: converts the octets of a packet to the value that L{last} and the recorder
            have.
        """
        self.clock = Clock()
        self.recorder = ExchangeRecorder(decode, judge)
        self.authenticator: Any = protocol.makeAuthenticator(
            self.clock,
            self.recorder.send,
            b"gateway",
            self.recorder.authenticate,
            self.recorder,
            rechallenge,
        )
        self.authenticator.start()

    @property
    def last(self) -> Any:
        """
        The last packet that was sent, as C{decode} returned it.
        """
        return self.recorder.packets[-1]


class DrivenEAP(DrivenAuthenticator):
    """
    The authenticator's end of EAP with some methods, whose peer the test plays.
    """

    def __init__(
        self, *methods: IEAPMethod, judge: Judge = makeGrant, rechallenge: float = 0
    ) -> None:
        DrivenAuthenticator.__init__(self, EAPProtocol(methods), eap.decode, judge, rechallenge)

    @property
    def asked(self) -> eap.EAPRequest:
        """
        The last packet that was sent, which must be a Request.
        """
        assert isinstance(self.last, eap.EAPRequest)
        return self.last

    def answer(self, content: bytes, method: Method | None = None) -> None:
        """
        Answer the last Request as the peer.

        @param method: the Type of the Response; None for the Type of the Request.
        """
        request = self.asked
        response = eap.EAPResponse(request.identifier, method or request.method, content)
        self.authenticator.received(response.encode())

    def identify(self, identity: bytes = b"alice") -> None:
        """
        Answer the Identity Request as the peer.
        """
        assert self.asked.method == eap.IDENTITY
        self.answer(identity)


class ExchangePair:
    """
    Both ends of an exchange, connected by a line that loses and doubles the packets that the test
    chooses.

    @ivar ours: the record of the authenticator.
    @ivar theirs: the record of the peer.
    @ivar packets: the packets of both ends, in the order in which they were sent.
    """

    def __init__(
        self,
        protocol: IAuthenticationProtocol,
        name: bytes = b"alice",
        password: bytes = PASSWORD,
        *,
        peer: IAuthenticationProtocol | None = None,
        judge: Judge = makeGrant,
        decode: Callable[[bytes], Any] = bytes,
        fates: Sequence[int] = (),
    ) -> None:
        """
        @param peer: the protocol of the peer; None for C{protocol}.
        @param fates: how often each packet arrives, beginning with the first one. Later packets
            arrive once.
        """
        self.clock = Clock()
        self.ours, self.theirs = (ExchangeRecorder(decode, judge) for _ in range(2))
        self.packets: list[bytes] = []
        self._fates = deque(fates)
        self._flying = 0
        self.authenticator = protocol.makeAuthenticator(
            self.clock,
            lambda packet: self._send(self.ours, self.peer, packet),
            b"gateway",
            self.ours.authenticate,
            self.ours,
            0,
        )
        self.peer = (peer or protocol).makePeer(
            self.clock,
            lambda packet: self._send(self.theirs, self.authenticator, packet),
            name,
            password,
            self.theirs,
        )

    def run(self) -> ExchangePair:
        """
        Start both ends, and let time pass, at most ten minutes, until both have a result. A peer
        that doesn't receive its success is sent it once more, as by a link.
        """
        self.peer.start()
        self.authenticator.start()
        for _ in range(200):
            while self._flying:
                self.clock.advance(DELAY)
            if self.ours.isOver and self.theirs.isOver:
                break
            self.clock.advance(RESTART_SECONDS)
            if self.ours.isOver and not self._flying:
                self.authenticator.repeat()
        return self

    def _send(self, sender: ExchangeRecorder, to: IExchange, packet: bytes) -> None:
        sender.send(packet)
        self.packets.append(packet)
        for _ in range(self._fates.popleft() if self._fates else 1):
            self._flying += 1
            self.clock.callLater(DELAY, self._arrive, to, packet)

    def _arrive(self, to: IExchange, packet: bytes) -> None:
        self._flying -= 1
        to.received(packet)
