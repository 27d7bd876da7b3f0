"""
Listening on the endpoints of a tunnel.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.python.failure import Failure


class Listening:
    """
    The ports on which a tunnel listens.

    @ivar ports: the open ports, in the order in which they were opened.
    """

    def __init__(self) -> None:
        self.ports: list[IListeningPort] = []

    def open(self, endpoint: IStreamServerEndpoint, factory: IProtocolFactory) -> Failure | None:
        """
        Listen on C{endpoint}.

        @return: None, or why the port can't be opened.
        """
        refused: list[Failure] = []
        # The Deferred has fired by now, since listening doesn't wait for anything.
        listening: Deferred[Any] = maybeDeferred(endpoint.listen, factory)
        listening.addCallbacks(self.ports.append, refused.append)
        return refused[0] if refused else None

    def close(self) -> Deferred[Any]:
        """
        Close every port. Calling this again does nothing.

        @return: fires when the ports are closed.
        """
        ports, self.ports = self.ports, []
        return DeferredList([maybeDeferred(one.stopListening) for one in ports])
