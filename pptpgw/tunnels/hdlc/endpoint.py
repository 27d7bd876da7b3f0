"""
Endpoints for serial lines and pseudoterminals, and the strings that stand for them.

C{serial:/dev/ttyS0:115200} is a serial line, for servers and clients; C{:flow=rtscts} or
C{:flow=xonxoff} may follow. C{pty:} is a new pseudoterminal, for servers. These strings work
wherever Twisted's endpoint strings do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpoint,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import IPlugin
from zope.interface import implementer

if TYPE_CHECKING:
    from pptpgw.tunnels.hdlc.serialline import SerialSettings

FLOWS = ("none", "rtscts", "xonxoff")
"""
The kinds of flow control of a serial line.
"""


@implementer(IStreamServerEndpoint)
class PseudoterminalEndpoint:
    """
    An endpoint that makes a new pseudoterminal and listens on it.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        See L{IStreamServerEndpoint.listen}.
        """
        return execute(self._listen, protocolFactory)

    def _listen(self, factory: Any) -> IListeningPort:
        # Imported here, like serialline below, because not every machine has terminals or pyserial.
        from pptpgw.tunnels.hdlc.port import PseudoterminalPort

        port = PseudoterminalPort(self._reactor, factory)
        port.startListening()
        return port


@implementer(IStreamServerEndpoint, IStreamClientEndpoint)
class SerialEndpoint:
    """
    An endpoint on a serial line. A server's connection begins with the first octets that come, a
    client's when the device is open.
    """

    def __init__(self, reactor: Any, settings: SerialSettings) -> None:
        self._reactor = reactor
        self._settings = settings

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        See L{IStreamServerEndpoint.listen}.
        """
        return execute(self._listen, protocolFactory)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        See L{IStreamClientEndpoint.connect}.
        """
        return execute(self._connect, protocolFactory)

    def _listen(self, factory: Any) -> IListeningPort:
        from pptpgw.tunnels.hdlc.serialline import SerialLinePort

        port = SerialLinePort(self._reactor, self._settings, factory)
        port.startListening()
        return port

    def _connect(self, factory: Any) -> IProtocol:
        from pptpgw.tunnels.hdlc.serialline import connectSerial

        return connectSerial(self._reactor, self._settings, factory)


@implementer(IPlugin, IStreamServerEndpointStringParser)
class PseudoterminalParser:
    """
    The parser of endpoint strings that begin with C{pty:}.
    """

    prefix = "pty"

    def parseStreamServer(
        self, reactor: Any, *args: object, **kwargs: object
    ) -> PseudoterminalEndpoint:
        """
        See L{IStreamServerEndpointStringParser}.
        """
        if kwargs or args not in ((), ("",)):
            raise ValueError("pty: takes nothing behind the colon")
        return PseudoterminalEndpoint(reactor)


@implementer(
    IPlugin, IStreamServerEndpointStringParser, IStreamClientEndpointStringParserWithReactor
)
class SerialParser:
    """
    The parser of endpoint strings like C{serial:DEVICE:RATE}.
    """

    prefix = "serial"

    def parseStreamServer(self, reactor: Any, *args: Any, **kwargs: Any) -> SerialEndpoint:
        """
        See L{IStreamServerEndpointStringParser}.
        """
        return self._parse(reactor, *args, **kwargs)

    def parseStreamClient(self, reactor: Any, *args: Any, **kwargs: Any) -> SerialEndpoint:
        """
        See L{IStreamClientEndpointStringParserWithReactor}.
        """
        return self._parse(reactor, *args, **kwargs)

    def _parse(
        self, reactor: Any, device: str, rate: str = "115200", flow: str = "none"
    ) -> SerialEndpoint:
        try:
            from pptpgw.tunnels.hdlc.serialline import SerialSettings
        except ImportError as error:
            raise ValueError("serial lines need pyserial: pip install 'pptpgw[serial]'") from error
        if not rate.isdecimal() or not 50 <= int(rate) <= 4_000_000:
            raise ValueError(f"{rate}: must be a rate from 50 to 4000000 bits a second")
        if flow not in FLOWS:
            raise ValueError(f"flow={flow}: must be one of {', '.join(FLOWS)}")
        settings = SerialSettings(device, int(rate), flow == "rtscts", flow == "xonxoff")
        return SerialEndpoint(reactor, settings)
