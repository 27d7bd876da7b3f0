"""
What C{[radius]} asks for besides judging callers: accounting, and dynamic authorization.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError

from pptpgw.config import Configuration
from pptpgw.counters import Counters
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import ISessionObserver
from pptpgw.ports.machine import lackingAddress, lackingFolder
from pptpgw.ports.segments import Segments
from pptpgw.radius.accounting import Accounting
from pptpgw.radius.client import RADIUSClient
from pptpgw.radius.dynamic import DynamicAuthorization, DynamicPort
from pptpgw.radius.journal import Journal, NoFiles
from pptpgw.radius.nas import NAS
from pptpgw.radius.spool import Spool
from pptpgw.radius.transport import Service
from pptpgw.session.session import Session

_MEBIBYTE = 1 << 20


class RADIUSServices:
    """
    Both, as far as the configuration has them.
    """

    def __init__(
        self,
        reactor: Any,
        configuration: Configuration,
        client: RADIUSClient | None,
        sessions: Callable[[], Iterable[Session]],
        counters: Counters,
    ) -> None:
        """
        @param client: asks the servers; None: there are none.
        @param sessions: gives the sessions of now.
        @raise ConfigurationError: a secret is missing.
        """
        self._reactor = reactor
        self._dynamic = configuration.radius.dynamic
        self._spool = configuration.radius.spool
        self._port: Any = None
        self._rules: DynamicAuthorization | None = None
        self._accounting: Accounting | None = None
        radius = configuration.radius
        nas = NAS(
            (radius.nasIdentifier or configuration.link.name).encode(),
            radius.nasAddress or configuration.listen.addresses,
        )
        if radius.accounting and client is not None and client.serves(Service.ACCOUNTING):
            self._accounting = Accounting(
                reactor,
                client.request,
                partial(
                    Spool,
                    reactor,
                    Journal(
                        Segments(reactor, Path(radius.spool)) if radius.spool else NoFiles(),
                        radius.spoolSize * _MEBIBYTE,
                        counters,
                    ),
                    counters=counters,
                ),
                nas,
                radius.interim,
                radius.deadline,
                counters,
            )
        if radius.dynamic:
            if not radius.client:
                raise ConfigurationError(
                    "[radius] dynamic: nobody may send requests there; a [[radius.client]] names "
                    "somebody"
                )
            self._rules = DynamicAuthorization(
                reactor,
                {one.host: one.sharedSecret() for one in radius.client},
                nas,
                sessions,
                radius.dynamicWindow,
                radius.requireEventTimestamp,
                counters,
                [one.name for one in configuration.network.filter],
            )

    @property
    def observers(self) -> list[ISessionObserver]:
        """
        Who wants to be told of sessions.
        """
        return [self._accounting] if self._accounting is not None else []

    @property
    def dynamicPort(self) -> int:
        """
        The UDP port of dynamic authorization.
        """
        port: int = self._port.getHost().port
        return port

    def lacking(self) -> Iterator[str]:
        """
        See L{pptpgw.interfaces.IPreparable.lacking}.
        """
        if self._accounting is not None and self._spool and (fault := lackingFolder(self._spool)):
            yield f"[radius] spool = {fault}"
        if self._rules is not None and (fault := lackingAddress(self._dynamic.rpartition(":")[0])):
            yield f"[radius] dynamic = {fault}"

    def open(self) -> None:
        """
        Open the spool and the port.

        @raise ConfigurationError: one can't be opened; the text says why.
        """
        if self._accounting is not None:
            self._accounting.open()
        if self._rules is not None:
            host, _, port = self._dynamic.rpartition(":")
            try:
                self._port = self._reactor.listenUDP(
                    int(port), DynamicPort(self._rules), interface=host
                )
            except CannotListenError as error:
                raise ConfigurationError(
                    f"[radius] dynamic: can't listen on {self._dynamic}: "
                    f"{error.socketError.strerror}"
                ) from error

    def start(self) -> None:
        """
        Tell the servers that we are here.
        """
        if self._accounting is not None:
            self._accounting.start()

    def stop(self) -> Deferred[None]:
        """
        Tell them that we are gone; fires when they know, or have had the time for it.
        """
        return self._accounting.stop() if self._accounting is not None else succeed(None)

    def close(self) -> Deferred[None]:
        """
        Close the port and the spool. Calling this again does nothing.

        @return: fires when the spool is written.
        """
        port, self._port = self._port, None
        if port is not None:
            port.stopListening()
        return self._accounting.close() if self._accounting is not None else succeed(None)
