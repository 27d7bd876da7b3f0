"""
The base class of control protocols, which joins the automaton, the negotiation of options and the
packets (RFC 1661 sections 3 to 5).

The rules:

 - L{ControlProtocol.received} never raises, whatever the octets. A packet that is malformed, or
   that answers no outstanding request, is counted and silently discarded.
 - After a reply to a Configure-Request is accepted, no request is outstanding, so a repeated reply
   does no harm.
 - A step that is requested during another one waits until that one is finished. For example, a
   layer may open, close or receive within L{Layer.layerUp}.
 - No packet is larger than the peer can receive: Naks and Rejects are cut between options, other
   packets anywhere. A Configure-Ack can't be cut, so a request whose Ack doesn't fit is discarded.
 - Every end has a readable reason. If the peer is the cause, it is a L{Cause}: the peer terminated
   (USER_REQUEST), no agreement was possible (USER_ERROR), or nothing came (LOST_CARRIER).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from pptpgw.error import Malformed
from pptpgw.interfaces import Agreement, INegotiated
from pptpgw.log import readable
from pptpgw.ppp.automaton import Automaton, Event, State
from pptpgw.ppp.layer import NOBODY, Layer
from pptpgw.ppp.option import GiveUp, Negotiator, Option
from pptpgw.ppp.wire.ppp import (
    CODE_REJECT,
    CONFIGURE_ACK,
    CONFIGURE_NAK,
    CONFIGURE_REJECT,
    CONFIGURE_REQUEST,
    HEADER_OCTETS,
    TERMINATE_ACK,
    TERMINATE_REQUEST,
    decodePacket,
    encodeOptions,
    encodePacket,
)
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.sessions.remedy import Remedy

# The largest packet that every peer can receive, in octets, unless LCP negotiates otherwise (RFC
# 1661 section 6.1).
DEFAULT_MRU = 1500

# States in which a Configure-Request isn't judged, because the answer doesn't depend on it.
_UNINTERESTED = frozenset((State.CLOSED, State.CLOSING, State.STOPPING))


@implementer(INegotiated)
class ControlProtocol(Automaton):
    """
    One control protocol on one link.

    @cvar control: the PPP protocol number of the control protocol's packets.
    @cvar protocol: the PPP protocol number of the packets that are controlled; for LCP and CCP the
        same as C{control}.
    @cvar name: a short name, for reasons and logs.
    @cvar kinds: the kinds of option by type, in the order of our Configure-Request.
    @cvar codes: the names of the methods that handle packets, by code.
    @cvar unknown: what to do if the peer doesn't know the protocol; None if nothing is known.
    @cvar unanswered: what to do if the peer doesn't answer; None if nothing is known.
    @ivar peerMRU: the largest packet that may be sent, in octets.
    @ivar reason: why the protocol ended or is ending; empty otherwise.
    @ivar discarded: how many packets were silently discarded.
    """

    __slots__ = (
        "_acknowledged",
        "_identifier",
        "_layer",
        "_peerIdentifier",
        "_reply",
        "_request",
        "_send",
        "_up",
        "discarded",
        "negotiator",
        "peerMRU",
        "reason",
    )

    control: ClassVar[int]
    protocol: ClassVar[int]
    name: ClassVar[str]
    kinds: ClassVar[Mapping[int, Option[Any]]] = {}
    unknown: ClassVar[Remedy | None] = None
    unanswered: ClassVar[Remedy | None] = None
    codes: ClassVar[Mapping[int, str]] = {
        CONFIGURE_REQUEST: "packet_CONFIGURE_REQUEST",
        CONFIGURE_ACK: "packet_CONFIGURE_ACK",
        CONFIGURE_NAK: "packet_CONFIGURE_NAK",
        CONFIGURE_REJECT: "packet_CONFIGURE_REJECT",
        TERMINATE_REQUEST: "packet_TERMINATE_REQUEST",
        TERMINATE_ACK: "packet_TERMINATE_ACK",
        CODE_REJECT: "packet_CODE_REJECT",
    }

    def __init__(
        self, clock: IReactorTime, send: Callable[[int, bytes], None], layer: Layer
    ) -> None:
        """
        @param send: called with C{control} and each packet to send.
        """
        super().__init__(clock)
        self._send = send
        self._layer = layer
        self._identifier = 0
        self._peerIdentifier = 0
        # The outstanding Configure-Request.
        self._request: bytes | None = None
        # The packet that the actions sca, scn, scj and ser send.
        self._reply = b""
        # The Configure-Ack that we sent last.
        self._acknowledged = b""
        self._up = False
        self.negotiator: Negotiator[Any] = Negotiator(self, self.kinds)
        self.peerMRU = DEFAULT_MRU
        self.reason = ""
        self.discarded = 0

    @property
    def agreement(self) -> Agreement | None:
        """
        See L{INegotiated}.
        """
        if not self.opened:
            return None
        ours = encodeOptions(self.negotiator.granted.items())
        return Agreement(self.control, ours, self._acknowledged[HEADER_OCTETS:])

    # The API

    def open(self) -> None:
        """
        Negotiate as soon as the lower layer is up.
        """
        self._perform(self._feed, Event.OPEN)

    def close(self, reason: str = "") -> None:
        """
        End the protocol, with a Terminate-Request if the lower layer is up.
        """
        self._perform(self._close, reason)

    def lowerUp(self) -> None:
        """
        Begin to negotiate if the protocol is open: the lower layer carries packets from now on.
        """
        self._perform(self._lowerUp, None)

    def lowerDown(self) -> None:
        """
        Send nothing more, since the lower layer is gone.
        """
        self._perform(self._feed, Event.DOWN)

    def detach(self) -> None:
        """
        Drop the references to the layer and the sender. This is called after the last use, so that
        the protocol is freed without the garbage collector.
        """
        self._perform(self._detach, None)

    def received(self, packet: bytes) -> None:
        """
        Handle one packet from the peer. This never raises.
        """
        self._perform(self._receive, packet)

    def rejected(self) -> None:
        """
        Finish, because a Protocol-Reject from the peer names this protocol.
        """
        self._perform(self._end, f"the peer doesn't know {self.name}")

    def askAgain(self) -> None:
        """
        Send the outstanding Configure-Request again at once, because the peer can't have been ready
        when it was sent. Do nothing if no request is outstanding.
        """
        if self._request is not None and self.state in (State.REQ_SENT, State.ACK_SENT):
            self._transmit(self._request)

    # Methods that subclasses override

    def beginning(self) -> None:
        """
        Prepare for negotiation, which begins after this: the lower layer came up.
        """

    def agreed(self) -> None:
        """
        Check and apply the result of negotiation. This is called before the layer above is told.

        @raise GiveUp: the result can't be used.
        """

    def codeRejected(self, code: int) -> None:
        """
        Handle a Code-Reject of C{code}, which is one that the protocol can do without.
        """

    # Steps, which L{_perform} takes one after the other

    def _close(self, reason: str) -> None:
        self.reason = self.reason or reason
        self._feed(Event.CLOSE)

    def _detach(self, _: None) -> None:
        self._layer = NOBODY
        self._send = NOBODY.send
        self.negotiator.detach()

    def _end(self, reason: str) -> None:
        self.reason = self.reason or Cause(reason, Termination.USER_ERROR, self.unknown)
        self._feed(Event.RXJ_MINUS)

    def _lowerUp(self, _: None) -> None:
        if self.state > State.STARTING:
            return
        self.reason = ""
        self.beginning()
        self._begin()
        self._feed(Event.UP)

    def _begin(self) -> None:
        self._request = None
        self.negotiator.begin()

    def _expired(self, event: Event) -> None:
        if event is Event.TO_MINUS and not self.reason:
            self.reason = (
                Cause("the peer sends no acceptable Configure-Request", Termination.USER_ERROR)
                if self.state is State.ACK_RCVD
                else Cause(
                    "no answer to our Configure-Requests", Termination.LOST_CARRIER, self.unanswered
                )
            )
        self._feed(event)

    # Actions (RFC 1661 section 4.4)

    def action_tlu(self) -> None:
        """
        This-Layer-Up: check the agreement, and tell the layer above.
        """
        self.agreed()
        self.reason = ""
        self._up = True
        self._layer.layerUp(self)

    def action_tld(self) -> None:
        """
        This-Layer-Down: tell the layer above, and forget the agreement.
        """
        if self._up:
            self._up = False
            self._layer.layerDown(self)
        self._begin()

    def action_tlf(self) -> None:
        """
        This-Layer-Finished: tell the layer above the reason.
        """
        reason, self.reason = self.reason, ""
        self._begin()
        self._layer.layerFinished(self, reason or f"{self.name} was closed")

    def action_scr(self) -> None:
        """
        Send-Configure-Request: repeat the outstanding request, or send a new one.
        """
        self._startTimer()
        if self._request is None:
            self._request = self._makeRequest()
        self._transmit(self._request)

    def _makeRequest(self) -> bytes:
        """
        Return a new Configure-Request.
        """
        return encodePacket(CONFIGURE_REQUEST, self._nextIdentifier(), self.negotiator.request())

    def action_sca(self) -> None:
        """
        Send-Configure-Ack: what the peer asked for is allowed from now on.
        """
        self._acknowledge()
        self._acknowledged = self._reply
        self._answer()

    def _acknowledge(self) -> None:
        """
        Allow the peer what it asked for.
        """
        self.negotiator.acknowledge()

    def _answer(self) -> None:
        """
        Send the prepared answer: Send-Configure-Nak or -Reject, Send-Code-Reject, and
        Send-Echo-Reply if an answer is due.
        """
        if self._reply:
            self._transmit(self._reply)

    action_scn = action_scj = action_ser = _answer

    def action_str(self) -> None:
        """
        Send-Terminate-Request: with the reason as its data.
        """
        self._startTimer()
        self._request = None
        reason = self.reason.encode("utf-8")[: self._room()]
        self._transmit(encodePacket(TERMINATE_REQUEST, self._nextIdentifier(), reason))

    def action_sta(self) -> None:
        """
        Send-Terminate-Ack: with the identifier of the peer's last packet.
        """
        self._transmit(encodePacket(TERMINATE_ACK, self._peerIdentifier))

    def _nextIdentifier(self) -> int:
        self._identifier = self._identifier + 1 & 0xFF
        return self._identifier

    def _room(self) -> int:
        """
        Return how many octets of data a packet to the peer may have.
        """
        return self.peerMRU - HEADER_OCTETS

    def _transmit(self, packet: bytes) -> None:
        self._send(self.control, packet)

    # Packets (RFC 1661 section 5)

    def _receive(self, packet: bytes) -> None:
        if self.state <= State.STARTING:
            self.discarded += 1
            return
        try:
            code, identifier, data = decodePacket(packet)
            self._peerIdentifier = identifier
            method = self.codes.get(code)
            if method is None:
                rejected = encodePacket(code, identifier, data)[: self._room()]
                self._reply = encodePacket(CODE_REJECT, self._nextIdentifier(), rejected)
                self._feed(Event.RUC)
            else:
                getattr(self, method)(identifier, data)
        except Malformed:
            self.discarded += 1
        except GiveUp as failure:
            self.reason = Cause(str(failure), Termination.USER_ERROR, failure.remedy)
            self._feed(Event.CLOSE)

    def packet_CONFIGURE_REQUEST(self, identifier: int, data: bytes) -> None:
        """
        Judge the options that the peer asks for, and prepare the answer.
        """
        if self.state in _UNINTERESTED:
            self._feed(Event.RCR_PLUS)
            return
        answer = self.negotiator.judge(data, self._room())
        if answer is None:
            self.discarded += 1
            return
        code, options = answer
        self._reply = encodePacket(code, identifier, options)
        self._feed(Event.RCR_PLUS if code == CONFIGURE_ACK else Event.RCR_MINUS)

    def packet_CONFIGURE_ACK(self, identifier: int, data: bytes) -> None:
        """
        Accept that the peer grants all options of our request, if it repeats them exactly.
        """
        request = self._outstanding(identifier)
        if request is None or request[HEADER_OCTETS:] != data:
            self.discarded += 1
            return
        self._request = None
        self.negotiator.acknowledged()
        self._feed(Event.RCA)

    def packet_CONFIGURE_NAK(self, identifier: int, data: bytes) -> None:
        """
        Replace options of our next request by those that the peer suggests.
        """
        if self._outstanding(identifier) is None:
            self.discarded += 1
            return
        self.negotiator.naked(data)
        self._request = None
        self._feed(Event.RCN)

    def packet_CONFIGURE_REJECT(self, identifier: int, data: bytes) -> None:
        """
        Leave the options that the peer rejects out of our next request.
        """
        if self._outstanding(identifier) is None or not self.negotiator.rejected(data):
            self.discarded += 1
            return
        self._request = None
        self._feed(Event.RCN)

    def _outstanding(self, identifier: int) -> bytes | None:
        request = self._request
        return request if request is not None and request[1] == identifier else None

    def packet_TERMINATE_REQUEST(self, identifier: int, data: bytes) -> None:
        """
        Terminate at the peer's request, whose data become the reason.
        """
        if not self.reason:
            text = readable(data)
            reason = f"the peer terminated {self.name}" + (f": {text}" if text else "")
            self.reason = Cause(reason, Termination.USER_REQUEST)
        self._feed(Event.RTR)

    def packet_TERMINATE_ACK(self, identifier: int, data: bytes) -> None:
        """
        Feed the event RTA: the peer has terminated.
        """
        self._feed(Event.RTA)

    def packet_CODE_REJECT(self, identifier: int, data: bytes) -> None:
        """
        Handle the peer's rejection of a code. The protocol can't continue without the codes of RFC
        1661 section 5.
        """
        if not data:
            raise Malformed("a Code-Reject names no code")
        if CONFIGURE_REQUEST <= data[0] <= CODE_REJECT:
            self._end(f"the peer rejects {self.name} code {data[0]}")
        else:
            self._feed(Event.RXJ_PLUS)
            self.codeRejected(data[0])
