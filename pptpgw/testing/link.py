"""
Links for tests of network protocols, without a gateway. There is one end, whose peer the test
plays, or both ends.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from twisted.internet.task import Clock
from zope.interface import implementer

from pptpgw.interfaces import Attachments, INetworkLink, INetworkProtocol
from pptpgw.networks.protocol import NetworkProtocol
from pptpgw.ppp.automaton import RESTART_SECONDS
from pptpgw.ppp.wire import ppp
from pptpgw.testing.memory import DELAY

Driven = TypeVar("Driven", bound=NetworkProtocol)
Options = list[tuple[int, str]]
"""
Options as pairs of their types and their values in hexadecimal.
"""


@implementer(INetworkLink)
class DrivenLink(Generic[Driven]):
    """
    The link of one network protocol, which is attached and open. Negotiation begins when the test
    calls C{protocol.lowerUp()} or L{join}.

    @ivar other: the link of the peer; None if the test plays the peer.
    @ivar told: the events that the protocol told its link, in order: C{"opened"}, C{"changed"},
        C{"closed"}, or the reason why it finished.
    @ivar attachments: the attachments of the protocol while it is open.
    @ivar sent: the control packets that the protocol sent.
    @ivar packets: the network packets that the protocol sent, with their PPP protocol numbers.
    @ivar lost: how many packets were discarded, because the protocol wasn't open or because they
        were larger than its MTU.
    """

    def __init__(self, protocol: Driven, peerMRU: int = 1400, clock: Clock | None = None) -> None:
        """
        @param peerMRU: the largest information field that the peer can receive, in octets.
        """
        self.clock = clock or Clock()
        self.peerMRU = peerMRU
        self.other: DrivenLink[Driven] | None = None
        self.told: list[str] = []
        self.attachments: Attachments = {}
        self.sent: list[bytes] = []
        self.packets: list[tuple[int, bytes]] = []
        self.lost = 0
        self.protocol = protocol
        protocol.attach(self)
        protocol.open()

    def join(self, other: DrivenLink[Driven]) -> None:
        """
        Make C{other}, which has the same clock, the peer; then bring both ends up, and give them
        time to negotiate.
        """
        self.other, other.other = other, self
        for end in (self, other):
            end.protocol.lowerUp()
        self.clock.pump([DELAY] * 40)

    def request(self, *wish: tuple[int, str]) -> tuple[int, Options]:
        """
        Send a Configure-Request as the peer.

        @return: the code and the options of the answer.
        """
        self.protocol.received(ppp.encodePacket(ppp.CONFIGURE_REQUEST, 1, _encode(wish)))
        code, _, data = ppp.decodePacket(self.sent[-1])
        return code, [(number, value.hex()) for number, value in ppp.decodeOptions(data)]

    def asked(self) -> dict[int, str]:
        """
        Return the options of the protocol's latest Configure-Request, by type, in hexadecimal.
        """
        return {number: value.hex() for number, value in ppp.decodeOptions(self._asked()[4:])}

    def answer(self, code: int, *suggested: tuple[int, str]) -> None:
        """
        Answer the latest Configure-Request as the peer.

        @param suggested: the options of a Nak or Reject. An Ack repeats those of the request.
        """
        request = self._asked()
        octets = request[4:] if code == ppp.CONFIGURE_ACK else _encode(suggested)
        self.protocol.received(ppp.encodePacket(code, request[1], octets))

    def agree(self, *wish: tuple[int, str]) -> None:
        """
        Complete the negotiation as the peer: send a Configure-Request with C{wish}, which the
        protocol must acknowledge, and acknowledge the protocol's request.
        """
        code, _ = self.request(*wish)
        assert code == ppp.CONFIGURE_ACK
        self.answer(ppp.CONFIGURE_ACK)

    def terminate(self) -> None:
        """
        Send a Terminate-Request as the peer.
        """
        self.protocol.received(ppp.encodePacket(ppp.TERMINATE_REQUEST, 9))

    def deliver(self, packet: bytes, number: int | None = None) -> None:
        """
        Deliver a packet from the peer.

        @param number: the PPP protocol number of the packet; None for the protocol's first number.
        """
        receive = self.attachments[number or self.protocol.protocols[0]].receive
        assert receive is not None
        receive(packet)

    def finish(self) -> str:
        """
        Let time pass, with no answer from the peer, until the protocol gives up.

        @return: the reason why it finished.
        """
        self.clock.pump([RESTART_SECONDS] * 3)
        return self.told[-1]

    def _asked(self) -> bytes:
        return [packet for packet in self.sent if packet[0] == ppp.CONFIGURE_REQUEST][-1]

    # INetworkLink

    def send(self, protocol: int, packet: bytes) -> None:
        """
        See L{INetworkLink.send}.
        """
        assert protocol == self.protocol.control
        self.sent.append(packet)
        if self.other is not None:
            self.clock.callLater(DELAY, self.other.protocol.received, packet)

    def sendPacket(self, number: int, packet: bytes) -> None:
        """
        See L{INetworkLink.sendPacket}.
        """
        attachment = self.attachments.get(number)
        if attachment is None or len(packet) > attachment.mtu:
            self.lost += 1
            return
        self.packets.append((number, packet))
        if self.other is not None:
            self.other.deliver(packet, number)

    def networkOpened(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        See L{INetworkLink.networkOpened}.
        """
        self.attachments = attachments
        self.told.append("opened")

    def networkChanged(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        See L{INetworkLink.networkChanged}.
        """
        self.attachments = attachments
        self.told.append("changed")

    def networkClosed(self, protocol: INetworkProtocol) -> None:
        """
        See L{INetworkLink.networkClosed}.
        """
        self.attachments = {}
        self.told.append("closed")

    def networkFinished(self, protocol: INetworkProtocol, reason: str) -> None:
        """
        See L{INetworkLink.networkFinished}.
        """
        self.told.append(reason)


def _encode(options: tuple[tuple[int, str], ...]) -> bytes:
    return ppp.encodeOptions((number, bytes.fromhex(value)) for number, value in options)
