"""
The packets of a declared protocol as datagrams, to and from a service beside the gateway: one at a
Unix socket, or one at a UDP port.

The rules:

 - Each session has a socket of its own, so that the service tells sessions apart by where their
   datagrams come from, and answers one by sending there. That of a Unix session has an address
   without a file (unix(7), abstract), so nothing is left behind and no folder is needed.
 - A datagram is one packet; where the protocol has several numbers, those two octets stand before
   it, either way.
 - Nothing is taken but from the service's own address.
 - A service that isn't there, or too slow, loses packets, which are counted, and the log says so
   once; as soon as it is there it gets what follows.
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
    The service that all sessions of one declared protocol talk to.

    @ivar address: where it is, as the socket has it.
    @ivar listen: gets a socket for one session; raises L{CannotListenError}.
    @ivar numbered: whether the protocol number stands in datagrams.
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
        There is nothing to open but with a session.
        """

    def outlet(self, subscriber: ISubscriber) -> DatagramOutlet:
        """
        See L{pptpgw.networks.generic.outlet.Outlets.outlet}.
        """
        return DatagramOutlet(self)

    def failed(self, reason: str) -> None:
        """
        The service didn't take a packet.
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
        The service took a packet.
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
    A service at a Unix datagram socket.
    """
    prefix = f"\0pptpgw/{declaration.name}/{token_hex(8)}"
    serial = count()

    def listen(protocol: DatagramProtocol) -> Any:
        own = f"{prefix}/{next(serial)}"
        return reactor.listenUNIXDatagram(own, protocol, maxPacketSize=_LARGEST)

    return DatagramService(declaration, counters, declaration.to.place, listen)


def udpService(declaration: Declaration, reactor: Any, counters: Counters) -> DatagramService:
    """
    A service at a UDP port.
    """
    to = declaration.to
    interface = "::" if ":" in to.place else ""

    def listen(protocol: DatagramProtocol) -> Any:
        return reactor.listenUDP(0, protocol, interface, maxPacketSize=_LARGEST)

    return DatagramService(declaration, counters, (to.place, to.port), listen)


class DatagramOutlet:
    """
    One session's socket, open while its protocol is.
    """

    __slots__ = ("_port", "_service")

    def __init__(self, service: DatagramService) -> None:
        self._service = service
        self._port: Any = None

    def opened(self, protocol: GenericProtocol) -> None:
        """
        Get a socket; without one the protocol is closed again.
        """
        try:
            self._port = self._service.listen(_Answers(self._service, protocol))
        except CannotListenError as error:
            self._service.failed(str(error))
            protocol.close(Cause("there is no socket for its packets", Termination.NAS_ERROR))

    def closed(self, protocol: GenericProtocol) -> None:
        """
        Give the socket up.
        """
        if self._port is not None:
            self._port.stopListening()
            self._port = None

    def received(self, number: int, packet: bytes) -> None:
        """
        Send it to the service.
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
            # Twisted keeps it to itself when a Unix socket's queue is full.
            if sent is None:
                service.failed("it is too slow")
            else:
                service.taken()


class _Answers(DatagramProtocol):
    """
    What comes back for one session, while its protocol is open.
    """

    noisy = False

    def __init__(self, service: DatagramService, protocol: GenericProtocol) -> None:
        self._service = service
        self._protocol = protocol

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """
        Send it to the peer, if it is the service's.
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
