"""
The construction of a RADIUS client from the configuration.
"""

from __future__ import annotations

from typing import Any

from pptpgw.config.configuration import Configuration
from pptpgw.counting.counters import Counters
from pptpgw.error import ConfigurationError
from pptpgw.radius.client import RADIUSClient
from pptpgw.radius.radsec import TLSTransport
from pptpgw.radius.servers import Server
from pptpgw.radius.transport import ITransport, RADIUSService
from pptpgw.radius.udp import UDPTransport


def makeClient(reactor: Any, configuration: Configuration, counters: Counters) -> RADIUSClient:
    """
    Make the client of the servers that C{[radius]} names. It opens no port or connection before the
    first request.

    @param counters: where discards are counted.
    @raise ConfigurationError: the settings of a server can't be used; the text says why.
    """
    radius = configuration.radius
    if radius.timeout >= radius.deadline:
        raise ConfigurationError(
            f"[radius] timeout = {radius.timeout:g}: must be less than deadline = "
            f"{radius.deadline:g}, or no second server is ever asked"
        )

    # A server that is reached by TLS has one connection for both services.
    secured = {
        server: TLSTransport(reactor, server, radius.timeout, counters)
        for server in radius.server
        if server.transport == "tls"
    }

    def makeTransport(server: Server, service: RADIUSService) -> ITransport:
        if server in secured:
            return secured[server]
        return UDPTransport(reactor, server, service, radius.timeout, counters)

    return RADIUSClient(
        reactor,
        radius.server,
        makeTransport,
        (radius.nasIdentifier or configuration.link.name).encode(),
        radius.deadTime,
        radius.probeInterval,
    )
