"""
The construction of the RADIUS client, and of accounting with its queue, from the configuration.
"""

from __future__ import annotations

from collections.abc import Container
from functools import partial
from typing import Any

from pptpgw.config.configuration import Configuration
from pptpgw.counting.counters import Counters
from pptpgw.error import ConfigurationError
from pptpgw.ports.queue import Queue
from pptpgw.radius.accounting import Accounting
from pptpgw.radius.client import RADIUSClient
from pptpgw.radius.nas import NAS
from pptpgw.radius.servers import Server
from pptpgw.radius.spool import Spool
from pptpgw.radius.transport import ITransport, RADIUSService, TransportFactory
from pptpgw.radius.udp import UDPTransport

_MEBIBYTE = 1 << 20


def makeClient(reactor: Any, configuration: Configuration, counters: Counters) -> RADIUSClient:
    """
    Make the client of the servers that C{[radius]} names. It opens no port or connection before the
    first request.

    @param counters: where discards are counted.
    @raise ConfigurationError: the settings of a server can't be used; the text says why.
    """
    radius = configuration.radius
    return RADIUSClient(
        reactor,
        radius.server,
        makeTransports(reactor, configuration, counters),
        NAS.of(configuration).identifier,
        radius.deadTime,
        radius.probeInterval,
    )


def makeTransports(
    reactor: Any, configuration: Configuration, counters: Counters, same: Container[Server] = ()
) -> TransportFactory:
    """
    Return what makes the transports to the servers that C{[radius]} names.

    @param counters: where discards are counted.
    @param same: the servers that no transport is made for.
    @raise ConfigurationError: the settings of a server can't be used; the text says why.
    """
    radius = configuration.radius
    if radius.timeout >= radius.deadline:
        raise ConfigurationError(
            f"[radius] timeout = {radius.timeout:g}: must be less than deadline = "
            f"{radius.deadline:g}, or no second server is ever asked"
        )

    # A server that is reached by TLS has one connection for both services.
    secured: dict[Server, ITransport] = {}
    for server in radius.server:
        if server.transport == "tls" and server not in same:
            from pptpgw.radius.radsec import TLSTransport

            secured[server] = TLSTransport(reactor, server, radius.timeout, counters)

    def makeTransport(server: Server, service: RADIUSService) -> ITransport:
        if server in secured:
            return secured[server]
        return UDPTransport(reactor, server, service, radius.timeout, counters)

    return makeTransport


def accounts(configuration: Configuration) -> bool:
    """
    Return whether C{configuration} has servers told of sessions.
    """
    radius = configuration.radius
    return radius.accounting and any(one.serves(accounting=True) for one in radius.server)


def makeQueue(reactor: Any, configuration: Configuration) -> Queue:
    """
    Make the queue of the records that no server has taken yet.
    """
    radius = configuration.radius
    return Queue(reactor, "[radius] spool", radius.spool, radius.spoolSize * _MEBIBYTE)


def makeAccounting(
    reactor: Any,
    configuration: Configuration,
    client: RADIUSClient,
    counters: Counters,
    queue: Queue,
) -> Accounting:
    """
    Make the observer that tells the servers of sessions.

    @param client: asks the servers.
    @param queue: see L{makeQueue}.
    """
    radius = configuration.radius
    return Accounting(
        reactor,
        client.request,
        partial(Spool, reactor, queue, counters=counters),
        NAS.of(configuration),
        radius.interim,
        radius.deadline,
        counters,
    )
