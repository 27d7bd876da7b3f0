"""
The exchange of packets of a declared protocol with a service beside the gateway, as datagrams to a
Unix socket or a UDP port.

The rules:

 - Each session has a socket of its own, so the service can tell sessions apart by the source
   address of their datagrams, and sends packets for a session to that address. A session's Unix
   socket has an abstract address (unix(7)), which needs no folder and leaves no file behind.
 - A datagram is one packet. If the declaration has several protocol numbers, the number, two
   octets, comes before the packet, in both directions.
 - Datagrams from any other address than the service's are counted and discarded.
 - Packets that the service doesn't take, because it isn't running or is too slow, are counted and
   lost; the first loss is logged, and so is its end.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from secrets import token_hex
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol

from pptpgw.counting.counters import Counters
from pptpgw.interfaces import ISubscriber
from pptpgw.log import Logger
from pptpgw.networks.generic.control import GenericProtocol
from pptpgw.networks.generic.declaration import Declaration
from pptpgw.sessions.cause import Cause, Termination

NOT_SENT = "not taken by the service"
STRANGER = "datagram from elsewhere than the service"
MALFORMED = "datagram of the service without a protocol number"

_LARGEST = 65535


class DatagramService:
    """
    The service that all sessions of one declared protocol exchange packets with.

    @ivar address: the address of the service, as C{write} of the socket takes it.
    @ivar listen: opens a socket for one session; raises L{CannotListenError}.
    @ivar numbered: whether datagrams begin with the protocol number.
    """

    _log = Logger()

    def __init__(
        self,
        declaration: Declaration,
        counters: Counters,
        address: object,
        listen: Callable[[DatagramProtocol], Any],
    ) -> None:
        self.declaration = declaration
        self.counters = counters
        self.address = address
        self.listen = listen
        self.numbered = len(declaration.data) > 1
        self._lost = False

    def start(self) -> None:
        """
        Do nothing: each session opens its own socket.
        """

    def outlet(self, subscriber: ISubscriber) -> DatagramOutlet:
        """
        See L{pptpgw.networks.generic.outlet.Outlets.outlet}.
        """
        return DatagramOutlet(self)

    def failed(self, reason: str) -> None:
        """
        Count a packet that the service didn't take, and log the first one.

        @param reason: why, for the log.
        """
        self.counters.discard(NOT_SENT)
        if not self._lost:
            self._lost = True
            self._log.warn(
                "{name}: nobody takes its packets at {to}: {reason}",
                name=self.declaration.name,
                to=self.declaration.to,
                reason=reason,
            )

    def taken(self) -> None:
        """
        Note that the service took a packet, and log the end of a failure.
        """
        if self._lost:
            self._lost = False
            self._log.info(
                "{name}: {to} takes its packets",
                name=self.declaration.name,
                to=self.declaration.to,
            )


def unixService(declaration: Declaration, reactor: Any, counters: Counters) -> DatagramService:
    """
    Make the service for a declaration whose packets go to a Unix datagram socket.
    """
    prefix = f"\0pptpgw/{declaration.name}/{token_hex(8)}"
    serial = count()

    def listen(protocol: DatagramProtocol) -> Any:
        own = f"{prefix}/{next(serial)}"
        return reactor.listenUNIXDatagram(own, protocol, maxPacketSize=_LARGEST)

    return DatagramService(declaration, counters, declaration.to.place, listen)


def udpService(declaration: Declaration, reactor: Any, counters: Counters) -> DatagramService:
    """
    Make the service for a declaration whose packets go to a UDP port.
    """
    to = declaration.to
    interface = "::" if ":" in to.place else ""

    def listen(protocol: DatagramProtocol) -> Any:
        return reactor.listenUDP(0, protocol, interface, maxPacketSize=_LARGEST)

    return DatagramService(declaration, counters, (to.place, to.port), listen)


class DatagramOutlet:
    """
    The socket of one session, which is open while the session's protocol is.
    """

    __slots__ = ("_port", "_service")

    def __init__(self, service: DatagramService) -> None:
        self._service = service
        self._port: Any = None

    def opened(self, protocol: GenericProtocol) -> None:
        """
        Open the socket. If that fails, close the protocol.
        """
        try:
            self._port = self._service.listen(_Answers(self._service, protocol))
        except CannotListenError as error:
            self._service.failed(str(error))
            protocol.close(Cause("there is no socket for its packets", Termination.NAS_ERROR))

    def closed(self, protocol: GenericProtocol) -> None:
        """
        Close the socket.
        """
        if self._port is not None:
            self._port.stopListening()
            self._port = None

    def received(self, number: int, packet: bytes) -> None:
        """
        Send a packet from the session's peer to the service.
        """
        service = self._service
        if self._port is None:
            service.counters.discard(NOT_SENT)
            return
        if service.numbered:
            packet = number.to_bytes(2, "big") + packet
        try:
            sent = self._port.write(packet, service.address)
        except OSError as error:
            service.failed(error.strerror or str(error))
        else:
            # Twisted drops the datagram without an error when a Unix socket's queue is full.
            if sent is None:
                service.failed("it is too slow")
            else:
                service.taken()


class _Answers(DatagramProtocol):
    """
    The receiver of the service's datagrams for one session, while the session's protocol is open.
    """

    noisy = False

    def __init__(self, service: DatagramService, protocol: GenericProtocol) -> None:
        self._service = service
        self._protocol = protocol

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """
        Send the packet in a datagram of the service to the session's peer.
        """
        service, protocol = self._service, self._protocol
        if addr != service.address:
            service.counters.discard(STRANGER)
            return
        number = protocol.protocol
        if service.numbered:
            number = int.from_bytes(datagram[:2], "big")
            datagram = datagram[2:]
            if number not in protocol.protocols:
                service.counters.discard(MALFORMED)
                return
        protocol.link.sendPacket(number, datagram)
