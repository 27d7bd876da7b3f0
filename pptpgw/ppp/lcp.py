"""
The Link Control Protocol (RFC 1661 sections 5.6 to 6, RFC 1570 sections 2.1 and 2.2).

The rules, in addition to those of every control protocol:

 - The peer's first packet shows that the peer is ready, and that our Configure-Request, if it is
   still unanswered, was sent too early. The request is sent again at once, before the peer's packet
   is answered, so that nobody waits for the Restart timer. This is done once each time the lower
   layer comes up.
 - Our own magic number in the peer's request means that the line is, or may be, looped back. It is
   answered by a Nak with another number; after C{MAX_LOOPS} such requests the link ends.
 - An Echo packet with our own magic number was sent by ourselves, and is silently discarded.
 - What another end has agreed on with the peer, which has passed the call on (RFC 2661 section
   4.4.5), is taken over without a packet, if this end would agree on it. Otherwise LCP negotiates.
 - Options that aren't named here are rejected. So is Callback
   (RFC 1570 section 2.3), whatever its operation: nobody is called back, so the packets of CBCP,
   Microsoft's protocol for it, get a Protocol-Reject. Windows always asks for it, and goes on
   without.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from hmac import compare_digest
from typing import ClassVar

from twisted.internet.interfaces import IReactorTime

from pptpgw.error import Malformed
from pptpgw.interfaces import Claim, IAuthenticationProtocol, Negotiated, ProxyClaim
from pptpgw.ppp.automaton import Event, State
from pptpgw.ppp.control import DEFAULT_MRU, ControlProtocol
from pptpgw.ppp.layer import Layer
from pptpgw.ppp.lcpoption import (
    ACCM,
    ACFC,
    AUTHENTICATION_PROTOCOL,
    ENDPOINT,
    LCP_KINDS,
    MAGIC_NUMBER,
    MRRU,
    MRU,
    PFC,
    QUALITY_PROTOCOL,
    SHORT_NUMBERS,
    LCPSettings,
    methodOf,
    qualityPeriod,
)
from pptpgw.ppp.option import GiveUp
from pptpgw.ppp.wire import ppp
from pptpgw.ppp.wire.ppp import HEADER_OCTETS
from pptpgw.sessions.remedy import Remedy

# The number of requests with our own magic number after which the line counts as looped back.
MAX_LOOPS = 5
# The number of different identifiers.
_IDENTIFIERS = 256

# The codes of packets that answer a Configure-Request, and of those that answer an Echo-Request.
_REPLIES = (b"\x02", b"\x03", b"\x04")
_ECHO_REPLY = b"\x0a"

# The length of the random data of a challenge, in octets.
_CHALLENGE_OCTETS = 8


class LCP(ControlProtocol):
    """
    LCP on one link.

    @ivar peerMRU: in state Opened, the MRU that the peer announced.
    @ivar heard: whether a packet has come from the peer since the lower layer came up.
    @ivar firstRequest: the options of the peer's first Configure-Request since then.
    @ivar echoesUnanswered: the number of Echo-Requests sent since the last valid sign that the peer
        is there.
    @ivar roundTrip: seconds from the latest answered Echo-Request to its reply, or None.
    @ivar protocolRejected: called with the protocol number that a Protocol-Reject names.
    """

    __slots__ = (
        "_challenge",
        "_echoIdentifier",
        "_echoSent",
        "_echoesOut",
        "_loops",
        "_random",
        "echoesUnanswered",
        "firstRequest",
        "heard",
        "protocolRejected",
        "roundTrip",
        "settings",
    )

    control = protocol = ppp.LCP
    name = "LCP"
    kinds = LCP_KINDS
    unknown: ClassVar[Remedy | None] = Remedy.NO_PPP
    unanswered: ClassVar[Remedy | None] = Remedy.ONE_WAY
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
        @param random: returns the given number of unpredictable octets.
        """
        super().__init__(clock, send, layer)
        self.settings = settings
        self._random = random
        self.heard = False
        self.firstRequest = b""
        self._loops = 0
        self._echoIdentifier = 0
        self._echoSent = 0.0
        # The number of Echo-Requests of every kind since the last reply.
        self._echoesOut = 0
        self._challenge = b""
        self.echoesUnanswered = 0
        self.roundTrip: float | None = None
        self.protocolRejected: Callable[[int], None] | None = None

    # The agreement, in state Opened

    @property
    def mru(self) -> int:
        """
        The largest information field that the peer may send, in octets.
        """
        return int.from_bytes(self.negotiator.granted.get(MRU, b""), "big") or DEFAULT_MRU

    @property
    def demanded(self) -> IAuthenticationProtocol | None:
        """
        The protocol by which the peer agreed to authenticate, or None.
        """
        value = self.negotiator.granted.get(AUTHENTICATION_PROTOCOL)
        return methodOf(value, self.settings.authentication)

    @property
    def demandedOfUs(self) -> IAuthenticationProtocol | None:
        """
        The protocol by which we agreed to authenticate, or None.
        """
        value = self.negotiator.allowed.get(AUTHENTICATION_PROTOCOL)
        return methodOf(value, self.settings.answers)

    @property
    def sendACFC(self) -> bool:
        """
        Whether the peer accepts frames without address and control fields.
        """
        return ACFC in self.negotiator.allowed

    @property
    def sendPFC(self) -> bool:
        """
        Whether the peer accepts protocol numbers of one octet.
        """
        return PFC in self.negotiator.allowed

    @property
    def sendACCM(self) -> int:
        """
        The map of characters that the peer wants escaped on an asynchronous line (RFC 1662 section
        7.1).
        """
        value = self.negotiator.allowed.get(ACCM)
        return ppp.DEFAULT_ACCM if value is None else int.from_bytes(value, "big")

    @property
    def receiveACCM(self) -> int:
        """
        The map of characters that the peer escapes on an asynchronous line.
        """
        value = self.negotiator.granted.get(ACCM)
        return ppp.DEFAULT_ACCM if value is None else int.from_bytes(value, "big")

    @property
    def reportEvery(self) -> float | None:
        """
        The seconds in which the peer wants at least one Link-Quality-Report; 0 if it wants answers
        to its own, None if it wants none.
        """
        return qualityPeriod(self.negotiator.allowed.get(QUALITY_PROTOCOL, b""))

    @property
    def reportedEvery(self) -> float:
        """
        The seconds in which the peer has agreed to send at least one; 0 if it hasn't.
        """
        return qualityPeriod(self.negotiator.granted.get(QUALITY_PROTOCOL, b"")) or 0

    @property
    def monitors(self) -> bool:
        """
        Whether an end has agreed to send Link-Quality-Reports.
        """
        return self.reportEvery is not None or self.reportedEvery > 0

    @property
    def mrru(self) -> int:
        """
        The largest information field that the peer may send in fragments, in octets; 0 if it may
        send none.
        """
        return int.from_bytes(self.negotiator.granted.get(MRRU, b""), "big")

    @property
    def peerMRRU(self) -> int:
        """
        The largest one that the peer can receive; 0 if it can't receive any.
        """
        return int.from_bytes(self.negotiator.allowed.get(MRRU, b""), "big")

    @property
    def bundles(self) -> bool:
        """
        Whether the link is one of a bundle, since both ends can receive fragments.
        """
        return bool(self.mrru and self.peerMRRU)

    @property
    def sendShort(self) -> bool:
        """
        Whether the peer wants short sequence numbers.
        """
        return SHORT_NUMBERS in self.negotiator.allowed

    @property
    def receiveShort(self) -> bool:
        """
        Whether the peer has agreed to send short sequence numbers.
        """
        return SHORT_NUMBERS in self.negotiator.granted

    @property
    def peerEndpoint(self) -> bytes:
        """
        The class and the address of the peer's endpoint discriminator; empty if it has none.
        """
        value: bytes = self.negotiator.allowed.get(ENDPOINT, b"")
        return b"" if value[:1] == b"\0" else value

    @property
    def magic(self) -> int:
        """
        Our magic number; 0 if we have none.
        """
        return int.from_bytes(self._magic(), "big")

    def negotiated(self, claim: Claim | None) -> Negotiated:
        """
        Return what was negotiated with the peer, for another end to take over.

        @param claim: the peer's claim, if it has made one.
        """
        own = self.agreement
        if own is None:
            return Negotiated()
        told = None if claim is None else ProxyClaim.of(claim)
        return Negotiated(self.firstRequest, own.peers, own.ours, told)

    def resume(self, negotiated: Negotiated) -> None:
        """
        Open with what another end has agreed on with the peer, in place of
        L{ControlProtocol.lowerUp}. If this end wouldn't agree on it, negotiate.
        """
        self._perform(self._resume, negotiated)

    def _resume(self, negotiated: Negotiated) -> None:
        self.beginning()
        self._begin()
        if self.negotiator.adopt(negotiated.lastSent, negotiated.lastReceived):
            self.firstRequest = negotiated.firstReceived
            self._acknowledged = ppp.encodePacket(ppp.CONFIGURE_ACK, 0, negotiated.lastReceived)
            self.state = State.OPENED
            self.action_tlu()
        else:
            self._lowerUp(None)

    def _magic(self) -> bytes:
        return self.negotiator.granted.get(MAGIC_NUMBER, b"\0\0\0\0")

    # Packets that we send

    def sendProtocolReject(self, protocol: int, information: bytes) -> None:
        """
        Tell the peer that C{protocol} isn't known here (RFC 1661 section 5.7). Do nothing unless
        Opened.

        @param information: the information field of the rejected frame.
        """
        self._sendOpened(
            ppp.PROTOCOL_REJECT, self._nextIdentifier(), protocol.to_bytes(2, "big") + information
        )

    def sendEcho(self) -> None:
        """
        Send an Echo-Request, to which a living peer replies. Do nothing unless Opened.
        """
        if self.opened:
            self.echoesUnanswered += 1
            self._sendEcho(b"")

    def challenge(self) -> None:
        """
        Send an Echo-Request with random data, so that only a peer that has seen it can reply. Do
        nothing unless Opened. The request doesn't count in C{echoesUnanswered}.
        """
        if self.opened:
            self._challenge = self._challenge or self._random(_CHALLENGE_OCTETS)
            self._sendEcho(self._challenge)

    def answersChallenge(self, packet: bytes) -> bool:
        """
        Return whether C{packet} is an Echo-Reply to an unanswered request, with the peer's magic
        number and the data of L{challenge}.
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
        Return four random octets that aren't all zero.
        """
        while True:
            number = self._random(4)
            if any(number):
                return number

    def looped(self) -> None:
        """
        Count a request with our own magic number.

        @raise GiveUp: there have been L{MAX_LOOPS} of them.
        """
        self._loops += 1
        if self._loops >= MAX_LOOPS:
            raise GiveUp("the line is looped back")

    def beginning(self) -> None:
        """
        Forget what was known of the peer.
        """
        self.heard = False
        self.firstRequest = b""
        self._loops = 0
        self.peerMRU = DEFAULT_MRU

    def agreed(self) -> None:
        """
        Apply the MRU that the peer announced, and begin to count echoes anew.
        """
        announced = int.from_bytes(self.negotiator.allowed.get(MRU, b""), "big")
        self.peerMRU = announced or DEFAULT_MRU
        if self.settings.mrru:
            # What is larger is for bundles, which send it in fragments.
            self.peerMRU = min(self.peerMRU, self.settings.mru)
        self._loops = 0
        self.echoesUnanswered = self._echoesOut = 0

    def codeRejected(self, code: int) -> None:
        """
        Take the rejection of an Echo-Request for a sign that the peer is there.
        """
        if code == ppp.ECHO_REQUEST:
            self.echoesUnanswered = 0

    # Packets from the peer

    def _receive(self, packet: bytes) -> None:
        if not self.heard and self.state > State.STARTING:
            self.heard = True
            if not packet.startswith(_REPLIES):
                self.askAgain()
        super()._receive(packet)

    def packet_CONFIGURE_REQUEST(self, identifier: int, data: bytes) -> None:
        """
        Remember the first request, and judge it.
        """
        self.firstRequest = self.firstRequest or data
        super().packet_CONFIGURE_REQUEST(identifier, data)

    def packet_PROTOCOL_REJECT(self, identifier: int, data: bytes) -> None:
        """
        Pass on the rejected protocol number. Before Opened the packet is ignored (RFC 1661 section
        5.7).
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
        Reply with the data of the request and our own magic number.
        """
        if self._foreign(data):
            reply = (self._magic() + data[4:])[: self._room()]
            self._reply = ppp.encodePacket(ppp.ECHO_REPLY, identifier, reply)
            self._feed(Event.RXR)

    def packet_ECHO_REPLY(self, identifier: int, data: bytes) -> None:
        """
        Note that the peer is there, and measure the round trip.
        """
        if not self.opened or not self._isOutstanding(identifier):
            self.discarded += 1
        elif self._foreign(data):
            self.echoesUnanswered = self._echoesOut = 0
            if identifier == self._echoIdentifier:
                self.roundTrip = self._clock.seconds() - self._echoSent

    def _isOutstanding(self, identifier: int) -> bool:
        """
        Return whether an Echo-Request with this identifier was sent since the last reply.
        """
        return (self._echoIdentifier - identifier) % _IDENTIFIERS < self._echoesOut

    def _foreign(self, data: bytes) -> bool:
        """
        Return whether C{data} begins with a magic number that isn't ours. If it is ours, the packet
        is counted as discarded.
        """
        if len(data) < 4:
            raise Malformed("there is no magic number")
        if any(self._magic()) and data[:4] == self._magic():
            self.discarded += 1
            return False
        return True

    def packet_DISCARD_REQUEST(self, identifier: int, data: bytes) -> None:
        """
        Discard the packet, which is what it is for (RFC 1661 section 5.9).
        """
        self._reply = b""
        self._feed(Event.RXR)

    def packet_IDENTIFICATION(self, identifier: int, data: bytes) -> None:
        """
        Ignore what the peer says of itself (RFC 1570 section 2.1). There is no answer.
        """

    def packet_TIME_REMAINING(self, identifier: int, data: bytes) -> None:
        """
        Ignore the time that the peer means to stay (RFC 1570 section 2.2).
        """
