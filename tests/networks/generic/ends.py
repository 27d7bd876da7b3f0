"""
One end of a declared protocol, played by hand.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from zope.interface import implementer

from pptpgw.interfaces import Attachments, INetworkLink, INetworkProtocol
from pptpgw.networks.generic.control import GenericSettings, protocolFor
from pptpgw.networks.generic.declaration import Declaration, Rule
from pptpgw.ppp.wire import ppp

REQUEST, ACK, NAK, REJECT = (
    ppp.CONFIGURE_REQUEST,
    ppp.CONFIGURE_ACK,
    ppp.CONFIGURE_NAK,
    ppp.CONFIGURE_REJECT,
)

Options = list[tuple[int, str]]


def options(*pairs: tuple[int, str]) -> bytes:
    """
    The octets of options, values in hexadecimal.
    """
    return ppp.encodeOptions((number, bytes.fromhex(value)) for number, value in pairs)


@implementer(INetworkLink)
class Link:
    """
    One end: a declared protocol and its link.

    @ivar other: the other end, where packets go.
    """

    def __init__(
        self,
        declaration: Declaration,
        assigned: dict[int, bytes] | None = None,
        clock: Clock | None = None,
        peerMRU: int = 1400,
    ) -> None:
        self.clock = clock or Clock()
        self.peerMRU = peerMRU
        self.other: Link | None = None
        self.told: list[object] = []
        self.sent: list[bytes] = []
        self.received: list[tuple[int, bytes]] = []
        self.attachments: Attachments = {}
        self.protocol = protocolFor(declaration)(
            GenericSettings(
                receive=lambda number, packet: self.received.append((number, packet)),
                opened=lambda protocol: self.told.append(f"{protocol.name} opens"),
                closed=lambda protocol: self.told.append(f"{protocol.name} closes"),
                assigned=assigned or {},
            )
        )
        self.protocol.attach(self)
        self.protocol.open()

    def send(self, protocol: int, packet: bytes) -> None:
        assert protocol == self.protocol.control
        self.sent.append(packet)
        if self.other is not None:
            self.clock.callLater(0.001, self.other.protocol.received, packet)

    def sendPacket(self, number: int, packet: bytes) -> None:
        raise AssertionError("nobody sends here")

    def networkOpened(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        self.attachments = attachments
        self.told.append("opened")

    def networkChanged(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        raise AssertionError("nothing changes here")

    def networkClosed(self, protocol: INetworkProtocol) -> None:
        self.told.append("closed")

    def networkFinished(self, protocol: INetworkProtocol, reason: str) -> None:
        self.told.append(reason)

    def request(self, *wish: tuple[int, str]) -> tuple[int, Options]:
        """
        Send a Configure-Request; code and options of the answer.
        """
        self.protocol.received(ppp.encodePacket(REQUEST, 1, options(*wish)))
        code, _, data = ppp.decodePacket(self.sent[-1])
        return code, [(number, value.hex()) for number, value in ppp.decodeOptions(data)]

    def answer(self, code: int, *suggested: tuple[int, str]) -> None:
        """
        Answer the latest Configure-Request; an Ack repeats it.
        """
        request = [packet for packet in self.sent if packet[0] == REQUEST][-1]
        octets = request[4:] if code == ACK else options(*suggested)
        self.protocol.received(ppp.encodePacket(code, request[1], octets))

    def asked(self) -> Options:
        """
        What we ask for.
        """
        request = [packet for packet in self.sent if packet[0] == REQUEST][-1]
        return [(number, value.hex()) for number, value in ppp.decodeOptions(request[4:])]


def up(declaration: Declaration, assigned: dict[int, bytes] | None = None) -> Link:
    """
    One end whose link is ready.
    """
    link = Link(declaration, assigned)
    link.protocol.lowerUp()
    return link


def pair(
    gateway: Declaration, client: Declaration, assigned: dict[int, bytes] | None = None
) -> tuple[Link, Link]:
    """
    Two ends, after they had time to agree.
    """
    clock = Clock()
    ends = Link(gateway, assigned, clock), Link(client, None, clock)
    ends[0].other, ends[1].other = ends[1], ends[0]
    for end in ends:
        end.protocol.lowerUp()
    clock.pump([0.001] * 40)
    return ends


def declare(rules: dict[int, Rule], *data: int) -> Declaration:
    """
    A protocol with these options.
    """
    return Declaration("controller", 0x80C3, data or (0x00C3,), options=rules)
