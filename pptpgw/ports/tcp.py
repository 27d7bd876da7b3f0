"""
One TCP port that is listened on while its service runs.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import ServerFactory

from pptpgw.error import ConfigurationError

# How many callers may wait to be accepted.  Where more call at once than fit the kernel drops what
# completes their connections: they believe to be connected, and wait for answers.
_BACKLOG = 4096


class TCPPort(Service):
    """
    The TCP port of the control connections at one of our addresses.

    @ivar address: our address, dotted; empty for every address.
    """

    def __init__(self, reactor: Any, address: str, port: int, factory: ServerFactory) -> None:
        """
        @param port: the number of the port; 0 for any free one.
        """
        Service.setName(self, f"TCP port {port} of {address or 'every address'}")
        self._reactor = reactor
        self.address = address
        self._port = port
        self._factory = factory
        self._listening: Any = None

    @property
    def number(self) -> int:
        """
        The number of the port, once it is open.
        """
        number: int = self._listening.getHost().port
        return number

    def privilegedStartService(self) -> None:
        """
        Listen.

        @raise ConfigurationError: that isn't possible; the text says why and what to do.
        """
        Service.privilegedStartService(self)
        try:
            self._listening = self._reactor.listenTCP(
                self._port, self._factory, _BACKLOG, interface=self.address
            )
        except CannotListenError as error:
            raise ConfigurationError(
                f"can't listen on {self.address or 'any address'}, TCP port {self._port}: "
                f"{error.socketError.strerror}. Is another PPTP server running "
                f"(ss -ltnp sport = {self._port} shows it)? "
                "[listen] addresses and port choose others"
            ) from error

    def stopService(self) -> Any:
        """
        Listen no longer.
        """
        Service.stopService(self)
        listening, self._listening = self._listening, None
        return listening.stopListening() if listening is not None else None
