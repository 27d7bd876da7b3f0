"""
Serial lines as ports and connections. This needs pyserial, the extra C{serial} of the package.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from serial import SerialException
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import (
    CannotListenError,
    ConnectError,
    ConnectionAborted,
    NoProtocol,
)
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.serialport import SerialPort
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.log import Logger
from pptpgw.timing.timer import cancelled
from pptpgw.tunnels.hdlc.port import DeviceAddress

QUEUE = 4096
"""
The number of waiting octets with which the line counts as full: 0.36 seconds at 115,200 bits a
second.
"""

HANG_UP_SECONDS = 1.0
"""
The time in seconds that a device stays closed after a call, so that a modem hangs up.
"""

RETRY_SECONDS = 5.0
"""
The time in seconds after which a device that couldn't be opened is tried again.
"""


@dataclass(frozen=True, slots=True)
class SerialSettings:
    """
    A serial device and its settings. There are always eight data bits, no parity and one stop bit.

    @ivar device: the path of the device.
    @ivar rate: bits a second.
    @ivar rtscts: whether the wires RTS and CTS control the flow.
    @ivar xonxoff: whether the characters XON and XOFF control the flow. Then both must be in the
        ACCM.
    """

    device: str
    rate: int = 115200
    rtscts: bool = False
    xonxoff: bool = False


class SerialLine(SerialPort):
    """
    The transport of one connection over a serial line, from opening to closing the device.
    """

    bufferSize = QUEUE

    def __init__(
        self,
        reactor: Any,
        settings: SerialSettings,
        protocol: IProtocol,
        lost: Callable[[], object] = lambda: None,
    ) -> None:
        """
        @param lost: called when the device is closed.
        @raise SerialException: the device can't be opened.
        """
        self._address = DeviceAddress(settings.device)
        self._lost = lost
        SerialPort.__init__(
            self,
            protocol,
            settings.device,
            reactor,
            baudrate=settings.rate,
            rtscts=settings.rtscts,
            xonxoff=settings.xonxoff,
        )

    def getPeer(self) -> DeviceAddress:
        """
        Return the address of the device, which is the same as for L{getHost}.
        """
        return self._address

    def getHost(self) -> DeviceAddress:
        """
        Return the address of the device.
        """
        return self._address

    def abortConnection(self) -> None:
        """
        Close the device at once, without sending what waits.
        """
        if not self.disconnected:
            self.connectionLost(Failure(ConnectionAborted()))

    def connectionLost(self, reason: Failure) -> None:
        """
        Close the device, and tell the protocol and the owner of the line.
        """
        SerialPort.connectionLost(self, reason)
        self._lost()


class Waiting(Protocol):
    """
    A protocol that waits on a serial line for the first octets of a caller.
    """

    def __init__(self, called: Callable[[Any, bytes], object]) -> None:
        self._called = called

    def dataReceived(self, data: bytes) -> None:
        """
        Pass the line and the first octets on, since somebody calls.
        """
        self._called(self.transport, data)


@implementer(IListeningPort)
class SerialLinePort:
    """
    A serial device that answers calls. A connection begins with the first octets that come. After
    each connection the device is closed for L{HANG_UP_SECONDS}.
    """

    _log = Logger()

    def __init__(self, reactor: Any, settings: SerialSettings, factory: Factory) -> None:
        """
        @param factory: makes the protocol of each connection.
        """
        self._reactor = reactor
        self._settings = settings
        self._factory = factory
        self._line: SerialLine | None = None
        self._timer: IDelayedCall | None = None
        self._listening = self._connected = False

    def startListening(self) -> None:
        """
        Open the device, and wait for a caller.

        @raise CannotListenError: the device can't be opened.
        """
        try:
            self._open()
        except (SerialException, OSError, ValueError) as error:
            raise CannotListenError("serial", self._settings.device, error) from error
        self._listening = True
        self._factory.doStart()

    def stopListening(self) -> Deferred[None]:
        """
        Accept no more connections. A current one goes on.
        """
        self._timer = cancelled(self._timer)
        if self._listening:
            self._listening = False
            self._factory.doStop()
            if self._line is not None and not self._connected:
                self._line.abortConnection()
        return succeed(None)

    def getHost(self) -> DeviceAddress:
        """
        Return the address of the device.
        """
        return DeviceAddress(self._settings.device)

    def _open(self) -> None:
        self._line = SerialLine(self._reactor, self._settings, Waiting(self._called), self._closed)

    def _called(self, line: SerialLine, octets: bytes) -> None:
        protocol = self._factory.buildProtocol(line.getPeer())
        if protocol is None:
            line.abortConnection()
            return
        self._connected = True
        line.protocol = protocol
        protocol.makeConnection(line)
        protocol.dataReceived(octets)

    def _closed(self) -> None:
        self._line, self._connected = None, False
        if self._listening:
            self._timer = self._reactor.callLater(HANG_UP_SECONDS, self._reopen, "")

    def _reopen(self, failed: str) -> None:
        """
        Open the device again.

        @param failed: why opening failed the last time; empty if it didn't.
        """
        self._timer = None
        device = self._settings.device
        try:
            self._open()
        except (SerialException, OSError, ValueError) as error:
            why = str(error)
            if why != failed:
                self._log.error("nobody can call on {device}: {why}", device=device, why=why)
            self._timer = self._reactor.callLater(RETRY_SECONDS, self._reopen, why)
        else:
            if failed:
                self._log.info("{device} answers again", device=device)


def connectSerial(reactor: Any, settings: SerialSettings, factory: Factory) -> IProtocol:
    """
    Open a serial device, and connect a protocol of C{factory} at once.

    @raise ConnectError: the device can't be opened.
    @raise NoProtocol: C{factory} makes no protocol.
    """
    protocol = factory.buildProtocol(DeviceAddress(settings.device))
    if protocol is None:
        raise NoProtocol
    factory.doStart()
    try:
        SerialLine(reactor, settings, protocol, factory.doStop)
    except (SerialException, OSError, ValueError) as error:
        factory.doStop()
        raise ConnectError(string=str(error)) from error
    return protocol
