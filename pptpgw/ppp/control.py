"""
A control protocol: the automaton, the negotiator, the Restart timer and the counters together
(RFC 1661 sections 3 to 5).

The rules:

 - Whatever the octets, L{ControlProtocol.received} never raises: what is malformed, or answers no
   outstanding request, is counted and silently discarded.
 - After a reply to a Configure-Request is accepted, nothing is outstanding, so a doubled reply
   does no harm.
 - What happens while something else is being done (a layer that opens, closes or receives in the
   middle of L{Layer.layerUp}) waits until that is finished.
 - Nothing sent is larger than the peer receives: Naks and Rejects are cut between options, the
   rest to size.  A Configure-Ack can't be cut, so a request whose Ack doesn't fit is discarded.
 - An end always has a reason that can be read, and what the peer did is a L{Cause}: it terminated
   (USER_REQUEST), there was no agreeing with it (USER_ERROR), or nothing came (LOST_CARRIER).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from typing import Protocol as TypingProtocol

from twisted.internet.interfaces import IReactorTime

from pptpgw.error import Malformed
from pptpgw.log import readable
from pptpgw.ppp.automaton import Automaton, Event, State
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
    encodePacket,
)
from pptpgw.sessions.cause import Cause, Termination

# What every peer receives as long as nothing else is known (section 6.1).
DEFAULT_MRU = 1500

# States in which a Configure-Request isn't judged, because the answer doesn't depend on it.
_UNINTERESTED = frozenset((State.CLOSED, State.CLOSING, State.STOPPING))


class Layer(TypingProtocol):
    """
    The layer above a control protocol, which it tells how far it is: the link stands on LCP and
    CCP, a network protocol on its own control protocol.
    """

    def layerUp(self, protocol: ControlProtocol) -> None:
        """
        This-Layer-Up: it reached Opened.
        """

    def layerDown(self, protocol: ControlProtocol) -> None:
        """
        This-Layer-Down: it left Opened.
        """

    def layerFinished(self, protocol: ControlProtocol, reason: str) -> None:
        """
        This-Layer-Finished: it gave up or was ended, and won't open again by itself.
        """


class Nobody:
    """
    Replaces the L{Layer} and the sender of a control protocol that won't be used any more.
    """

    def layerUp(self, protocol: ControlProtocol) -> None:
        """
        Nobody is told.
        """

    def layerDown(self, protocol: ControlProtocol) -> None:
        """
        Nobody is told.
        """

    def layerFinished(self, protocol: ControlProtocol, reason: str) -> None:
        """
        Nobody is told.
        """

    def send(self, protocol: int, packet: bytes) -> None:
        """
        Nothing is sent.
        """


NOBODY = Nobody()


class ControlProtocol(Automaton):
    """
    One control protocol on one link.

    @cvar control: the PPP protocol number that its packets travel under.
    @cvar protocol: the number of what it controls; for LCP and CCP that is themselves.
    @cvar name: a short name, for reasons and logs.
    @cvar kinds: the kinds of option, by type, in the order of our Configure-Request.
    @cvar codes: the method for each code that it knows.
    @ivar peerMRU: the largest packet that may be sent, in octets.
    @ivar reason: why it ended or is ending; empty while all is well.
    @ivar discarded: how many packets were silently discarded.
    @ivar trace: called with a line about each packet, or None.
    """

    __slots__ = (
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
        "trace",
    )

    control: ClassVar[int]
    protocol: ClassVar[int]
    name: ClassVar[str]
    kinds: ClassVar[Mapping[int, Option[Any]]] = {}
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
        @param send: called with L{control} and each packet to send.
        """
        super().__init__(clock)
        self._send = send
        self._layer = layer
        self._identifier = 0
        self._peerIdentifier = 0
        # The Configure-Request that is outstanding.
        self._request: bytes | None = None
        # What sca, scn, scj and ser send.
        self._reply = b""
        self._up = False
        self.negotiator: Negotiator[Any] = Negotiator(self, self.kinds)
        self.peerMRU = DEFAULT_MRU
        self.reason = ""
        self.discarded = 0
        self.trace: Callable[[str], None] | None = None

    # The API

    def open(self) -> None:
        """
        Negotiate as soon as the lower layer is up.
        """
        self._perform(self._feed, Event.OPEN)

    def close(self, reason: str = "") -> None:
        """
        End it: with a Terminate-Request where the lower layer is up.
        """
        self._perform(self._close, reason)

    def lowerUp(self) -> None:
        """
        The lower layer carries packets.
        """
        self._perform(self._lowerUp, None)

    def lowerDown(self) -> None:
        """
        The lower layer is gone; nothing more is sent.
        """
        self._perform(self._feed, Event.DOWN)

    def detach(self) -> None:
        """
        Drop the references to the owner, after the last use, so that the protocol is freed without
        the garbage collector.
        """
        self._perform(self._detach, None)

    def received(self, packet: bytes) -> None:
        """
        Take one packet from the peer.
        """
        self._perform(self._receive, packet)

    def rejected(self) -> None:
        """
        A Protocol-Reject names this protocol.
        """
        self._perform(self._end, f"the peer doesn't know {self.name}")

    def askAgain(self) -> None:
        """
        Send the outstanding Configure-Request once more, at once: the peer can't have been ready
        before.  Nothing happens where none is outstanding.
        """
        if self._request is not None and self.state in (State.REQ_SENT, State.ACK_SENT):
            self._transmit(self._request)

    # What subclasses add

    def beginning(self) -> None:
        """
        The lower layer came up; negotiation comes next.
        """

    def agreed(self) -> None:
        """
        Negotiation is complete; the layer hears of it next.

        @raise GiveUp: what was agreed is of no use.
        """

    def codeRejected(self, code: int) -> None:
        """
        The peer doesn't know C{code}, which we can do without.
        """

    # Steps, one after the other

    def _close(self, reason: str) -> None:
        self.reason = self.reason or reason
        self._feed(Event.CLOSE)

    def _detach(self, _: None) -> None:
        self._layer = NOBODY
        self._send = NOBODY.send
        self.negotiator.detach()

    def _end(self, reason: str) -> None:
        self.reason = self.reason or Cause(reason, Termination.USER_ERROR)
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
                else Cause("no answer to our Configure-Requests", Termination.LOST_CARRIER)
            )
        self._feed(event)

    # Actions (RFC 1661 section 4.4)

    def action_tlu(self) -> None:
        """
        This-Layer-Up.
        """
        self.agreed()
        self.reason = ""
        self._up = True
        self._layer.layerUp(self)

    def action_tld(self) -> None:
        """
        This-Layer-Down.
        """
        if self._up:
            self._up = False
            self._layer.layerDown(self)
        self._begin()

    def action_tlf(self) -> None:
        """
        This-Layer-Finished.
        """
        reason, self.reason = self.reason, ""
        self._begin()
        self._layer.layerFinished(self, reason or f"{self.name} was closed")

    def action_scr(self) -> None:
        """
        Send-Configure-Request.
        """
        self._startTimer()
        if self._request is None:
            self._request = encodePacket(
                CONFIGURE_REQUEST, self._nextIdentifier(), self.negotiator.request()
            )
        self._transmit(self._request)

    def action_sca(self) -> None:
        """
        Send-Configure-Ack.
        """
        self.negotiator.acknowledge()
        self._answer()

    def _answer(self) -> None:
        """
        Send-Configure-Nak or -Reject, Send-Code-Reject, Send-Echo-Reply where one is due.
        """
        if self._reply:
            self._transmit(self._reply)

    action_scn = action_scj = action_ser = _answer

    def action_str(self) -> None:
        """
        Send-Terminate-Request.
        """
        self._startTimer()
        self._request = None
        reason = self.reason.encode("utf-8")[: self._room()]
        self._transmit(encodePacket(TERMINATE_REQUEST, self._nextIdentifier(), reason))

    def action_sta(self) -> None:
        """
        Send-Terminate-Ack.
        """
        self._transmit(encodePacket(TERMINATE_ACK, self._peerIdentifier))

    def _nextIdentifier(self) -> int:
        self._identifier = self._identifier + 1 & 0xFF
        return self._identifier

    def _room(self) -> int:
        """
        How many octets of data a packet to the peer may have.
        """
        return self.peerMRU - HEADER_OCTETS

    def _transmit(self, packet: bytes) -> None:
        if self.trace is not None:
            self.trace(f"{self.name} in {self.state.name} sends {packet.hex()}")
        self._send(self.control, packet)

    # Packets (RFC 1661 section 5)

    def _receive(self, packet: bytes) -> None:
        if self.trace is not None:
            self.trace(f"{self.name} in {self.state.name} receives {packet.hex()}")
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
            self.reason = Cause(str(failure), Termination.USER_ERROR)
            self._feed(Event.CLOSE)

    def packet_CONFIGURE_REQUEST(self, identifier: int, data: bytes) -> None:
        """
        Judge what the peer asks for.
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
        What we asked for is granted.
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
        The peer would rather have other values.
        """
        if self._outstanding(identifier) is None:
            self.discarded += 1
            return
        self.negotiator.naked(data)
        self._request = None
        self._feed(Event.RCN)

    def packet_CONFIGURE_REJECT(self, identifier: int, data: bytes) -> None:
        """
        The peer won't have some of it.
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
        The peer ends it.
        """
        if not self.reason:
            text = readable(data)
            reason = f"the peer terminated {self.name}" + (f": {text}" if text else "")
            self.reason = Cause(reason, Termination.USER_REQUEST)
        self._feed(Event.RTR)

    def packet_TERMINATE_ACK(self, identifier: int, data: bytes) -> None:
        """
        The peer has ended it.
        """
        self._feed(Event.RTA)

    def packet_CODE_REJECT(self, identifier: int, data: bytes) -> None:
        """
        The peer doesn't know a code; without those of RFC 1661 section 5 there is no going on.
        """
        if not data:
            raise Malformed("a Code-Reject names no code")
        if CONFIGURE_REQUEST <= data[0] <= CODE_REJECT:
            self._end(f"the peer rejects {self.name} code {data[0]}")
        else:
            self._feed(Event.RXJ_PLUS)
            self.codeRejected(data[0])
