"""
Listening on endpoints with TLS, whose certificate can be replaced while they are open.

The rules:

 - An C{ssl:} string means what Twisted makes of it: the same options, files and defaults.
 - Another certificate is that of connections to come. Those that are open go on with theirs.
 - Certificate and key are read, and compared with each other, before anything is replaced.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred, execute
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import (
    IListeningPort,
    IOpenSSLContextFactory,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer


@implementer(IOpenSSLContextFactory)
class _CurrentContext:
    """
    Gives each connection the context that is current when it begins.

    @ivar context: that context, with certificate and key.
    """

    def __init__(self, context: SSL.Context) -> None:
        self.context = context

    def getContext(self) -> SSL.Context:
        """
        See L{IOpenSSLContextFactory.getContext}.
        """
        return self.context


class _Reading:
    """
    Stands for a reactor, to read what an endpoint listens with.

    @ivar options: the arguments of C{listenSSL} besides the factory.
    """

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    def listenSSL(self, port: int, factory: object, **options: Any) -> None:
        """
        See L{twisted.internet.interfaces.IReactorSSL.listenSSL}: listen on nothing.
        """
        self.options = {"port": port, **options}


@implementer(IStreamServerEndpoint)
class TLSServerEndpoint:
    """
    The endpoint that an C{ssl:} string describes.
    """

    def __init__(self, reactor: Any, text: str) -> None:
        """
        @raise SSL.Error: certificate and key can't be used.
        @raise OpenSSL.crypto.Error: as above.
        @raise twisted.internet.error.VerifyError: they don't belong together.
        @raise OSError: a file can't be read.
        @raise TypeError: C{text} lacks something.
        @raise ValueError: C{text} isn't understood.
        """
        reading = _Reading()
        serverFromString(reading, text).listen(None)
        options = reading.options
        self._reactor = reactor
        self._current = _CurrentContext(options.pop("contextFactory").getContext())
        self._options = options

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        See L{IStreamServerEndpoint.listen}.
        """
        secured = TLSMemoryBIOFactory(self._current, False, protocolFactory)
        listening: Deferred[IListeningPort] = execute(
            self._reactor.listenTCP, factory=secured, **self._options
        )
        return listening

    def renew(self, other: TLSServerEndpoint) -> None:
        """
        Have connections to come get the certificate that C{other} has read.
        """
        self._current.context = other._current.context
