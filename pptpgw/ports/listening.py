"""
Listening on the endpoints that Twisted's server endpoint strings describe.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Any, NamedTuple

from twisted.internet import tcp, unix
from twisted.internet.defer import Deferred, DeferredList, fail, maybeDeferred
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.error import ConfigurationError


class Listening:
    """
    The listening ports of one part of the gateway.

    @ivar ports: the open ports, in the order in which they were opened.
    """

    def __init__(self) -> None:
        self.ports: list[IListeningPort] = []

    def open(self, endpoint: IStreamServerEndpoint, factory: IProtocolFactory) -> str:
        """
        Listen on C{endpoint}.

        @return: why that isn't possible; empty if it is.
        """
        refused: list[Failure] = []
        # The Deferred has fired by now, since listening doesn't wait for anything.
        listening: Deferred[Any] = maybeDeferred(endpoint.listen, factory)
        listening.addCallbacks(self.ports.append, refused.append)
        if not refused:
            if isinstance(endpoint, AdoptedStreamServerEndpoint):
                _leave(self.ports[-1])
            return ""
        error = refused[0].value
        if not isinstance(error, CannotListenError):
            return refused[0].getErrorMessage()
        cause = error.socketError
        return str(getattr(cause, "strerror", "") or cause)

    def close(self) -> Deferred[Any]:
        """
        Close every port. Calling this again does nothing.

        @return: fires when the ports are closed.
        """
        ports, self.ports = self.ports, []
        return DeferredList([maybeDeferred(one.stopListening) for one in ports])


def _leave(port: Any) -> None:
    """
    Have C{port}, whose socket another program has passed, leave the socket alone when it is closed:
    that program listens on. Twisted does so for TCP, but shuts Unix sockets down and removes their
    files.
    """
    if isinstance(port, unix.Port):
        mended: Any = port
        mended._shouldShutdown = False
        mended.connectionLost = lambda reason: tcp.Port.connectionLost(port, reason)


@implementer(IStreamServerEndpoint)
class _NotPassed:
    """
    The endpoint of a socket that systemd hasn't passed. It passes them only to the gateway, not to
    a program that checks the configuration, so that listening is what fails.
    """

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """
        See L{IStreamServerEndpoint}.
        """
        why = "systemd has passed no such socket (LISTEN_FDS, LISTEN_FDNAMES)"
        return fail(ConfigurationError(why))


def endpointFromString(reactor: Any, section: str, text: str) -> IStreamServerEndpoint:
    """
    Make the endpoint that C{text} describes, one of the C{endpoints} in a section of the
    configuration.

    @raise ConfigurationError: C{text} describes no endpoint that can be used.
    """
    try:
        if wordsOf(text).kind == "ssl":
            return _secured(reactor, text)
        endpoint: IStreamServerEndpoint = serverFromString(reactor, text)
    except (IndexError, KeyError):
        return _NotPassed()
    except (OSError, TypeError, ValueError) as error:
        raise ConfigurationError(f"[{section}] endpoints: {text}: {error}") from error
    return endpoint


def _secured(reactor: Any, text: str) -> IStreamServerEndpoint:
    """
    Make the endpoint that an C{ssl:} string describes.

    @raise OSError: a file can't be read.
    @raise TypeError: C{text} lacks something.
    @raise ValueError: C{text} isn't understood, or certificate and key can't be used.
    """
    # A gateway without TLS starts sooner without these modules.
    from OpenSSL import SSL, crypto
    from twisted.internet.error import VerifyError

    from pptpgw.ports.tlslistening import TLSServerEndpoint

    try:
        return TLSServerEndpoint(reactor, text)
    except (SSL.Error, crypto.Error, VerifyError) as error:
        raise ValueError(f"certificate and key can't be used: {error}") from error


class EndpointWords(NamedTuple):
    """
    What an endpoint string says.

    @ivar kind: its prefix, as in C{tcp}.
    @ivar plain: the arguments that have no name.
    @ivar named: the arguments that have a name.
    """

    kind: str
    plain: tuple[str, ...]
    named: dict[str, str]

    @property
    def first(self) -> str:
        """
        The first argument without a name, such as a port or a path; empty if there is none.
        """
        return self.plain[0] if self.plain else ""


def wordsOf(text: str) -> EndpointWords:
    """
    Read an endpoint string.
    """
    kind, *rest = [re.sub(r"\\(.)", r"\1", part) for part in re.split(r"(?<!\\):", text)]
    named = dict(part.split("=", 1) for part in rest if "=" in part)
    return EndpointWords(kind, tuple(part for part in rest if "=" not in part), named)


def isLoopback(host: str) -> bool:
    """
    Return whether C{host} is an address that only this machine can reach.
    """
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
