"""
A network control protocol driven by hand: its link, and the other end of the line.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from twisted.internet.task import Clock
from zope.interface import implementer

from pptpgw.interfaces import Attachments, INetworkLink, INetworkProtocol
from pptpgw.networks.protocol import NetworkProtocol
from pptpgw.ppp.automaton import RESTART_SECONDS
from pptpgw.ppp.wire import ppp

Driven = TypeVar("Driven", bound=NetworkProtocol)
Options = list[tuple[int, str]]


def options(*pairs: tuple[int, str]) -> bytes:
    """
    The octets of options, values in hexadecimal.
    """
    return ppp.encodeOptions((number, bytes.fromhex(value)) for number, value in pairs)


@implementer(INetworkLink)
class DrivenLink(Generic[Driven]):
    """
    A link with one protocol, attached and open, its lower layer down.

    @ivar told: what the protocol told its link.
    @ivar sent: the control packets that it sent.
    """

    def __init__(
        self, protocol: Driven, control: int, peerMRU: int = 1400, clock: Clock | None = None
    ) -> None:
        self.peerMRU = peerMRU
        self.clock = clock or Clock()
        self.told: list[object] = []
        self.sent: list[bytes] = []
        self.protocol = protocol
        self._control = control
        protocol.attach(self)
        protocol.open()

    def send(self, protocol: int, packet: bytes) -> None:
        assert protocol == self._control
        self.sent.append(packet)

    def sendPacket(self, number: int, packet: bytes) -> None:
        raise AssertionError("nobody sends here")

    def networkOpened(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        assert protocol.control == self._control
        self.told.append(attachments)

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
        self.protocol.received(ppp.encodePacket(ppp.CONFIGURE_REQUEST, 1, options(*wish)))
        code, _, data = ppp.decodePacket(self.sent[-1])
        return code, [(number, value.hex()) for number, value in ppp.decodeOptions(data)]

    def answer(self, code: int, *suggested: tuple[int, str]) -> None:
        """
        Answer the latest Configure-Request; an Ack repeats it.
        """
        request = self._asked()
        octets = request[4:] if code == ppp.CONFIGURE_ACK else options(*suggested)
        self.protocol.received(ppp.encodePacket(code, request[1], octets))

    def asked(self) -> dict[int, str]:
        """
        What we ask for.
        """
        return {number: value.hex() for number, value in ppp.decodeOptions(self._asked()[4:])}

    def finish(self) -> object:
        """
        What it is finished with.
        """
        self.clock.pump([RESTART_SECONDS] * 3)
        return self.told[-1]

    def _asked(self) -> bytes:
        return [packet for packet in self.sent if packet[0] == ppp.CONFIGURE_REQUEST][-1]
