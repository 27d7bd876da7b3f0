"""
Accounting and dynamic authorization, as C{[radius]} asks for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from twisted.application.service import Service as TwistedService
from twisted.internet.error import CannotListenError
from zope.interface import implementer

from pptpgw.config.configuration import Configuration
from pptpgw.counting.counters import Counters
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import IPreparable, ISessions
from pptpgw.ports.machine import lackingAddress
from pptpgw.ports.queue import Queue
from pptpgw.radius.accounting import Accounting
from pptpgw.radius.client import RADIUSClient
from pptpgw.radius.dynamic import DynamicAuthorization, DynamicPort
from pptpgw.radius.nas import NAS
from pptpgw.radius.spool import Spool
from pptpgw.radius.transport import RADIUSService

_MEBIBYTE = 1 << 20


def makeQueue(reactor: Any, configuration: Configuration) -> Queue:
    """
    Make the queue of the records that no server has taken yet.
    """
    radius = configuration.radius
    return Queue(reactor, "[radius] spool", radius.spool, radius.spoolSize * _MEBIBYTE)


def makeAccounting(
    reactor: Any,
    configuration: Configuration,
    client: RADIUSClient | None,
    counters: Counters,
    queue: Queue,
) -> Accounting | None:
    """
    Make the observer that tells the servers of sessions; None if no server is to be told.

    @param client: asks the servers; None if there are none.
    @param queue: see L{makeQueue}.
    """
    radius = configuration.radius
    if not radius.accounting or client is None or not client.serves(RADIUSService.ACCOUNTING):
        return None
    return Accounting(
        reactor,
        client.request,
        partial(Spool, reactor, queue, counters=counters),
        _nas(configuration),
        radius.interim,
        radius.deadline,
        counters,
    )


def _nas(configuration: Configuration) -> NAS:
    radius = configuration.radius
    return NAS(
        (radius.nasIdentifier or configuration.link.name).encode(),
        radius.nasAddress or configuration.listen.addresses,
    )


@implementer(IPreparable)
class DynamicService(TwistedService):
    """
    The UDP port of dynamic authorization, which is open while this service runs.
    """

    def __init__(
        self,
        reactor: Any,
        configuration: Configuration,
        sessions: ISessions,
        counters: Counters,
    ) -> None:
        """
        @param sessions: the sessions that exist.
        @raise ConfigurationError: nobody may send requests, or a secret is missing.
        """
        radius = configuration.radius
        if not radius.client:
            raise ConfigurationError(
                "[radius] dynamic: nobody may send requests there; a [[radius.client]] names "
                "somebody"
            )
        TwistedService.setName(self, "RADIUS dynamic authorization")
        self._reactor = reactor
        self._host, _, port = radius.dynamic.rpartition(":")
        self._number = int(port)
        self._port: Any = None
        self._rules = DynamicAuthorization(
            reactor,
            {one.host: one.sharedSecret() for one in radius.client},
            _nas(configuration),
            sessions,
            radius.dynamicWindow,
            radius.requireEventTimestamp,
            counters,
            [one.name for one in configuration.network.filter],
        )

    @property
    def port(self) -> int:
        """
        The number of the UDP port, once it is open.
        """
        port: int = self._port.getHost().port
        return port

    def lacking(self) -> Iterator[str]:
        """
        See L{IPreparable.lacking}.
        """
        if fault := lackingAddress(self._host):
            yield f"[radius] dynamic = {fault}"

    def privilegedStartService(self) -> None:
        """
        Open the port.

        @raise ConfigurationError: that isn't possible; the text says why.
        """
        TwistedService.privilegedStartService(self)
        try:
            self._port = self._reactor.listenUDP(
                self._number, DynamicPort(self._rules), interface=self._host
            )
        except CannotListenError as error:
            raise ConfigurationError(
                f"[radius] dynamic: can't listen on {self._host}:{self._number}: "
                f"{error.socketError.strerror}"
            ) from error

    def stopService(self) -> Any:
        """
        Close the port.
        """
        TwistedService.stopService(self)
        port, self._port = self._port, None
        return port.stopListening() if port is not None else None
