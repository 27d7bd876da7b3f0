"""
The Link Control Protocol (RFC 1661 sections 5.6 to 6, RFC 1570 sections 2.1 and 2.2).

The rules, where they go beyond those of every control protocol:

 - The first packet of a peer shows that it is ready, and that a Configure-Request which is still
   unanswered came too early: it is sent again at once, before the peer's packet is answered, so
   that nobody waits for the Restart timer.  Once for each time the lower layer comes up.
 - Our own magic number in the peer's request means that the line is, or may be, looped back: a Nak
   with another number, and after C{MAX_LOOPS} of them the end.
 - An Echo packet that carries our own magic number is silently discarded: it is our own.
 - Options that aren't named here (callback, multilink, link quality, ...) are rejected together.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from hmac import compare_digest
from typing import ClassVar

from twisted.internet.interfaces import IReactorTime

from pptpgw.error import Malformed
from pptpgw.interfaces import IAuthenticationProtocol
from pptpgw.log import readable
from pptpgw.ppp.automaton import Event, State
from pptpgw.ppp.control import DEFAULT_MRU, ControlProtocol, Layer
from pptpgw.ppp.lcpoption import (
    ACCM,
    ACFC,
    AUTHENTICATION_PROTOCOL,
    DEFAULT_ACCM,
    LCP_KINDS,
    MAGIC_NUMBER,
    MRU,
    PFC,
    LCPSettings,
    methodOf,
)
from pptpgw.ppp.option import GiveUp
from pptpgw.ppp.wire import ppp
from pptpgw.ppp.wire.ppp import HEADER_OCTETS

# Requests with our own magic number until the line counts as looped back.
MAX_LOOPS = 5
# How many identifiers there are.
_IDENTIFIERS = 256

# The codes of packets that answer a Configure-Request, and of those that answer an Echo-Request.
_REPLIES = (b"\x02", b"\x03", b"\x04")
_ECHO_REPLY = b"\x0a"

# The length of the random data of a challenge, in octets.
_CHALLENGE_OCTETS = 8


class LCP(ControlProtocol):
    """
    LCP on one link.

    @ivar peerMRU: once Opened what the peer announced.
    @ivar heard: whether the peer has shown that it is ready, since the lower layer came up.
    @ivar echoesUnanswered: Echo-Requests sent since the last valid sign that the peer lives.
    @ivar roundTrip: seconds from the latest answered Echo-Request to its reply, or None.
    @ivar protocolRejected: called with the number that a Protocol-Reject names.
    """

    __slots__ = (
        "_challenge",
        "_echoIdentifier",
        "_echoSent",
        "_echoesOut",
        "_loops",
        "_random",
        "echoesUnanswered",
        "heard",
        "protocolRejected",
        "roundTrip",
        "settings",
    )

    control = protocol = ppp.LCP
    name = "LCP"
    kinds = LCP_KINDS
    codes: ClassVar[Mapping[int, str]] = {
        **ControlProtocol.codes,
        ppp.PROTOCOL_REJECT: "packet_PROTOCOL_REJECT",
        ppp.ECHO_REQUEST: "packet_ECHO_REQUEST",
        ppp.ECHO_REPLY: "packet_ECHO_REPLY",
        ppp.DISCARD_REQUEST: "packet_DISCARD_REQUEST",
        ppp.IDENTIFICATION: "packet_IDENTIFICATION",
        ppp.TIME_REMAINING: "packet_TIME_REMAINING",
    }

    def __init__(
        self,
        clock: IReactorTime,
        send: Callable[[int, bytes], None],
        layer: Layer,
        settings: LCPSettings,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """
        @param random: gives that many unpredictable octets, for magic numbers.
        """
        super().__init__(clock, send, layer)
        self.settings = settings
        self._random = random
        self.heard = False
        self._loops = 0
        self._echoIdentifier = 0
        self._echoSent = 0.0
        # The number of Echo-Requests of every kind since the last reply.
        self._echoesOut = 0
        self._challenge = b""
        self.echoesUnanswered = 0
        self.roundTrip: float | None = None
        self.protocolRejected: Callable[[int], None] | None = None

    # What was agreed, once Opened

    @property
    def mru(self) -> int:
        """
        The largest information field that the peer may send, in octets.
        """
        return int.from_bytes(self.negotiator.granted.get(MRU, b""), "big") or DEFAULT_MRU

    @property
    def magicNumber(self) -> int:
        """
        Ours, 0 without one.
        """
        return int.from_bytes(self._magic(), "big")

    @property
    def demanded(self) -> IAuthenticationProtocol | None:
        """
        What the peer agreed to prove itself with.
        """
        value = self.negotiator.granted.get(AUTHENTICATION_PROTOCOL)
        return methodOf(value, self.settings.authentication)

    @property
    def demandedOfUs(self) -> IAuthenticationProtocol | None:
        """
        What we agreed to prove ourselves with.
        """
        value = self.negotiator.allowed.get(AUTHENTICATION_PROTOCOL)
        return methodOf(value, self.settings.answers)

    @property
    def sendACFC(self) -> bool:
        """
        Whether the peer takes frames without address and control fields.
        """
        return ACFC in self.negotiator.allowed

    @property
    def sendPFC(self) -> bool:
        """
        Whether the peer takes protocol numbers of one octet.
        """
        return PFC in self.negotiator.allowed

    @property
    def sendACCM(self) -> int:
        """
        The characters that the peer wants escaped on an asynchronous line (RFC 1662 section 7.1).
        """
        value = self.negotiator.allowed.get(ACCM)
        return DEFAULT_ACCM if value is None else int.from_bytes(value, "big")

    @property
    def receiveACCM(self) -> int:
        """
        The characters that the peer escapes on an asynchronous line.
        """
        value = self.negotiator.granted.get(ACCM)
        return DEFAULT_ACCM if value is None else int.from_bytes(value, "big")

    def _magic(self) -> bytes:
        return self.negotiator.granted.get(MAGIC_NUMBER, b"\0\0\0\0")

    # Packets of our own

    def sendProtocolReject(self, protocol: int, information: bytes) -> None:
        """
        Tell the peer that C{protocol} isn't known here (RFC 1661 section 5.7); only in Opened.
        """
        self._sendOpened(
            ppp.PROTOCOL_REJECT, self._nextIdentifier(), protocol.to_bytes(2, "big") + information
        )

    def sendEcho(self) -> None:
        """
        Ask the peer for a sign of life; only in Opened.
        """
        if self.opened:
            self.echoesUnanswered += 1
            self._sendEcho(b"")

    def challenge(self) -> None:
        """
        Send an Echo-Request with random data, so that only a peer that has seen it can reply. This
        does nothing in states other than Opened, and doesn't count in C{echoesUnanswered}.
        """
        if self.opened:
            self._challenge = self._challenge or self._random(_CHALLENGE_OCTETS)
            self._sendEcho(self._challenge)

    def answersChallenge(self, packet: bytes) -> bool:
        """
        Whether C{packet} is an Echo-Reply to an unanswered request, with the peer's magic number
        and the data of L{challenge}.
        """
        if not self._challenge or packet[:1] != _ECHO_REPLY or len(packet) < HEADER_OCTETS:
            return False
        if not self._isOutstanding(packet[1]):
            return False
        data = self.negotiator.allowed.get(MAGIC_NUMBER, b"\0\0\0\0") + self._challenge
        return compare_digest(packet[HEADER_OCTETS:], data)

    def _sendEcho(self, data: bytes) -> None:
        self._echoIdentifier = (self._echoIdentifier + 1) % _IDENTIFIERS
        self._echoSent = self._clock.seconds()
        self._echoesOut = min(self._echoesOut + 1, _IDENTIFIERS - 1)
        self._sendOpened(ppp.ECHO_REQUEST, self._echoIdentifier, self._magic() + data)

    def _sendOpened(self, code: int, identifier: int, data: bytes) -> None:
        if self.opened:
            self._transmit(ppp.encodePacket(code, identifier, data[: self._room()]))

    # Negotiation

    def newMagicNumber(self) -> bytes:
        """
        Four octets that aren't all zero.
        """
        while True:
            number = self._random(4)
            if any(number):
                return number

    def looped(self) -> None:
        """
        Count a request that may be our own.

        @raise GiveUp: it was one too many.
        """
        self._loops += 1
        if self._loops >= MAX_LOOPS:
            raise GiveUp("the line is looped back")

    def beginning(self) -> None:
        """
        Nothing is known of the peer.
        """
        self.heard = False
        self._loops = 0
        self.peerMRU = DEFAULT_MRU

    def agreed(self) -> None:
        """
        Take over what the peer receives.
        """
        announced = int.from_bytes(self.negotiator.allowed.get(MRU, b""), "big")
        self.peerMRU = announced or DEFAULT_MRU
        self._loops = 0
        self.echoesUnanswered = self._echoesOut = 0

    def codeRejected(self, code: int) -> None:
        """
        A peer that knows no Echo-Request has shown that it lives all the same.
        """
        if code == ppp.ECHO_REQUEST:
            self.echoesUnanswered = 0

    # Packets of the peer's

    def _receive(self, packet: bytes) -> None:
        if not self.heard and self.state > State.STARTING:
            self.heard = True
            if not packet.startswith(_REPLIES):
                self.askAgain()
        super()._receive(packet)

    def packet_PROTOCOL_REJECT(self, identifier: int, data: bytes) -> None:
        """
        The peer doesn't know a protocol; before Opened this means nothing (section 5.7).
        """
        if len(data) < 2:
            raise Malformed("a Protocol-Reject names no protocol")
        protocol = int.from_bytes(data[:2], "big")
        if self.opened:
            if protocol == self.control:
                self._end("the peer rejects LCP itself")
            elif self.protocolRejected is not None:
                self.protocolRejected(protocol)

    def packet_ECHO_REQUEST(self, identifier: int, data: bytes) -> None:
        """
        Return what came, with our own magic number.
        """
        if self._foreign(data):
            reply = (self._magic() + data[4:])[: self._room()]
            self._reply = ppp.encodePacket(ppp.ECHO_REPLY, identifier, reply)
            self._feed(Event.RXR)

    def packet_ECHO_REPLY(self, identifier: int, data: bytes) -> None:
        """
        The peer lives.
        """
        if not self.opened or not self._isOutstanding(identifier):
            self.discarded += 1
        elif self._foreign(data):
            self.echoesUnanswered = self._echoesOut = 0
            if identifier == self._echoIdentifier:
                self.roundTrip = self._clock.seconds() - self._echoSent

    def _isOutstanding(self, identifier: int) -> bool:
        """
        Whether an Echo-Request with this identifier was sent since the last reply.
        """
        return (self._echoIdentifier - identifier) % _IDENTIFIERS < self._echoesOut

    def _foreign(self, data: bytes) -> bool:
        """
        Whether the magic number before C{data} isn't ours; where it is, the packet is discarded.
        """
        if len(data) < 4:
            raise Malformed("there is no magic number")
        if any(self._magic()) and data[:4] == self._magic():
            self.discarded += 1
            return False
        return True

    def packet_DISCARD_REQUEST(self, identifier: int, data: bytes) -> None:
        """
        Only meant to be sent.
        """
        self._reply = b""
        self._feed(Event.RXR)

    def packet_IDENTIFICATION(self, identifier: int, data: bytes) -> None:
        """
        What the peer says of itself (RFC 1570 section 2.1) is never answered.
        """
        if self.trace is not None:
            self.trace(f"the peer identifies itself as {readable(data[4:])!r}")

    def packet_TIME_REMAINING(self, identifier: int, data: bytes) -> None:
        """
        How long the peer means to stay (RFC 1570 section 2.2) changes nothing here.
        """
