"""
The service of the management interface.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from time import time
from typing import Any

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import (
    IDelayedCall,
    IListeningPort,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.web.resource import Resource
from twisted.web.server import Request

from pptpgw.config.configuration import Configuration
from pptpgw.config.reload import ReloadStep
from pptpgw.config.section import DEFAULT_MANAGEMENT, ManagementSection
from pptpgw.error import ConfigurationError, NotPermitted, PPTPGWError
from pptpgw.interfaces import IGatewayService, Operated
from pptpgw.log import Logger
from pptpgw.management.access import Access
from pptpgw.management.api import APIResource, assertRole
from pptpgw.management.assets import console
from pptpgw.management.eventlog import EventLog
from pptpgw.management.events import Events, Witness
from pptpgw.management.health import HealthPage, Readiness, ReadinessPage
from pptpgw.management.history import History
from pptpgw.management.metrics.delay import ReactorDelay
from pptpgw.management.metrics.figures import Figures
from pptpgw.management.metrics.page import MetricsPage
from pptpgw.management.operating import Operating, OperatorStore, inThreads
from pptpgw.management.operation import Operations, OperatorRole
from pptpgw.management.rates import Rates
from pptpgw.management.site import ManagementSite
from pptpgw.management.stream import Streams
from pptpgw.management.subjects import operations
from pptpgw.ports.keptfile import KeptFile
from pptpgw.ports.listening import Listening, endpointFromString, isLoopback, wordsOf
from pptpgw.ports.tlslistening import TLSServerEndpoint
from pptpgw.ports.unixsocket import prepare
from pptpgw.timing.timer import cancelled

LOOK_SECONDS = 1.0
"""
Seconds between two looks at what nobody reports, and at the figures of the history.
"""

LARGEST_HISTORY = 1 << 20
"""
The most octets that the file of the history may have.
"""

_EXPOSED = (
    "[management] endpoints: {text}: passwords and tokens would pass in clear. Listen on the "
    "loopback interface only, as in tcp:8723:interface=127.0.0.1, or by TLS, as in "
    "ssl:8723:privateKey=/etc/pptpgw/key.pem:certKey=/etc/pptpgw/certificate.pem"
)


class ManagementService(Service):
    """
    The management interface on its endpoints.

    @ivar operating: says who may do what.
    @ivar operations: what can be asked for.
    """

    name = "management"
    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        section: ManagementSection,
        gateway: IGatewayService,
        now: Callable[[], float] = time,
    ) -> None:
        """
        @param gateway: the gateway that is seen and steered.
        @param now: gives the time of day, in seconds since 1970.
        @raise ConfigurationError: an endpoint string can't be used.
        """
        self._reactor = reactor
        self._gateway = gateway
        self._endpoints = self._made(section)
        # The ports that are open, by their endpoint strings.
        self._open: dict[str, Listening] = {}
        self._site: ManagementSite | None = None
        self._rates = Rates(reactor, gateway.sessions)
        self._streams = Streams(reactor)
        log = EventLog()
        self._witness = Witness(reactor, gateway, log, now)
        self._look: IDelayedCall | None = None
        self._delay = ReactorDelay(reactor)
        self._figures = Figures(reactor, gateway, self._delay.seconds)
        self._readiness = Readiness(reactor, gateway)
        self._store = OperatorStore(reactor, gateway)
        inThread = inThreads(reactor)
        self.operating = Operating(
            reactor,
            self._store,
            lambda: gateway.configuration.management.hosts,
            gateway.operated,
            inThread,
            now,
        )
        path = section.history
        file = KeptFile(reactor, Path(path), LARGEST_HISTORY) if path else None
        self._history = History(reactor, gateway, self._delay.seconds, now, file)
        self.operations = Operations(
            (
                *self.operating.operations(),
                *Events(log).operations(),
                *self._history.operations(),
                *operations(gateway, self._rates, inThread, now),
            )
        )

    @property
    def places(self) -> tuple[str, ...]:
        """
        Where it listens, as endpoint strings.
        """
        return tuple(self._open)

    def follow(self, configuration: Configuration) -> ReloadStep:
        """
        Prepare to listen on other endpoints, and to have the certificates that are in their files
        now. Requests that are being answered go on.

        @raise pptpgw.error.ConfigurationError: an endpoint string can't be used, or a certificate.
        """
        endpoints, opened = self._made(configuration.management), dict[str, Listening]()

        def open() -> None:
            for text, endpoint in endpoints.items() if self.running else ():
                if text not in self._open:
                    self._listen(text, endpoint, opened)

        def close() -> None:
            for listening in opened.values():
                listening.close()

        def apply() -> None:
            for text in self._endpoints.keys() & endpoints.keys():
                old, new = self._endpoints[text], endpoints[text]
                if isinstance(old, TLSServerEndpoint) and isinstance(new, TLSServerEndpoint):
                    old.renew(new)
                endpoints[text] = old
            self._endpoints = endpoints
            for text in [text for text in self._open if text not in endpoints]:
                self._open.pop(text).close()
            self._open |= opened
            self._begin()

        return ReloadStep("[management]", apply, open, close)

    def startService(self) -> None:
        """
        Begin to note events, if anybody can ask for them, and open the store of operators, if they
        can log in anywhere.
        """
        Service.startService(self)
        self._begin()

    def privilegedStartService(self) -> None:
        """
        Listen on the endpoints.

        @raise NotPermitted: an endpoint that the configuration names can't be opened.
        """
        Service.privilegedStartService(self)
        pages = console() | {
            b"metrics": MetricsPage(self._figures, self._assertMayRead),
            b"healthz": HealthPage(),
            b"readyz": ReadinessPage(self._readiness, self._assertViewer),
        }
        access, told = self.operating.access, self._gateway.operated
        made = root(self._reactor, self.operations, self._streams, access, told, pages)
        self._site = ManagementSite(made, self._reactor, access)
        self._delay.start()
        for text, endpoint in self._endpoints.items():
            self._listen(text, endpoint, self._open)

    def stopService(self) -> Deferred[Any]:
        """
        End all streams, close the ports, and write the file of the history.

        @return: fires when that is done.
        """
        Service.stopService(self)
        closing: list[Deferred[Any]] = []
        self._rates.stop()
        self.operating.stop()
        self._store.close()
        if self._look is not None:
            self._look = cancelled(self._look)
            closing.append(self._history.stop())
        self._gateway.sessions.removeObserver(self._witness)
        self._streams.stop()
        self._delay.stop()
        self._figures.stop()
        open, self._open = self._open, {}
        closing += [listening.close() for listening in open.values()]
        return DeferredList(closing)

    def _made(self, section: ManagementSection) -> dict[str, IStreamServerEndpoint]:
        """
        Make the endpoints of C{section}, by their strings.

        @raise ConfigurationError: an endpoint string can't be used.
        """
        for text in section.endpoints:
            words = wordsOf(text)
            if words.kind in ("tcp", "tcp6") and not isLoopback(words.named.get("interface", "")):
                raise ConfigurationError(_EXPOSED.format(text=text))
        return {
            text: endpointFromString(self._reactor, "management", text)
            for text in section.endpoints
        }

    def _begin(self) -> None:
        """
        Begin to note events, if anybody can ask for them, and open the store of operators, if they
        can log in anywhere.
        """
        if self.running and any(wordsOf(text).kind != "unix" for text in self._open):
            try:
                self._store()
            except PPTPGWError as error:
                self._log.warn("no operator can log in: {error}", error=str(error))
        if self.running and self._open and self._look is None:
            self._gateway.sessions.addObserver(self._witness)
            self._history.start()
            self._watch()

    def _watch(self) -> None:
        self._look = self._reactor.callLater(LOOK_SECONDS, self._watch)
        self._witness.look()
        self._history.sample()

    async def _assertMayRead(self, request: Request) -> None:
        """
        Check that the sender of C{request} may read the metrics.

        @raise pptpgw.error.PPTPGWError: they aren't public, and no operator asks.
        """
        if not self._gateway.configuration.management.metricsPublic:
            await self._assertViewer(request)

    async def _assertViewer(self, request: Request) -> None:
        """
        Check that an operator makes C{request}.

        @raise pptpgw.error.PPTPGWError: that isn't so, or can't be found out.
        """
        assertRole(await self.operating.access.operatorOf(request), OperatorRole.VIEWER)

    def _listen(
        self, text: str, endpoint: IStreamServerEndpoint, opened: dict[str, Listening]
    ) -> None:
        """
        Listen on C{endpoint}, and add it to C{opened}.

        @raise NotPermitted: that isn't possible. The gateway runs without the default endpoint.
        """
        listening, fault, words = Listening(), "", wordsOf(text)
        assert self._site is not None
        if words.kind == "unix":
            try:
                prepare(words.named.get("address", words.first))
            except OSError as error:
                fault = f"{error.filename}: {error.strerror}"
        fault = fault or listening.open(endpoint, self._site)
        if listening.ports and _isExposed(listening.ports[-1]):
            listening.close()
            raise ConfigurationError(_EXPOSED.format(text=text))
        if not fault:
            opened[text] = listening
        elif (text,) == DEFAULT_MANAGEMENT:
            self._log.warn(
                "the gateway runs without its management interface at {place}: {fault}; "
                "[management] endpoints names another place, or none",
                place=text,
                fault=fault,
            )
        else:
            raise NotPermitted(f"[management] endpoints: {text} can't be opened: {fault}")


def root(
    clock: IReactorTime,
    operations: Operations,
    streams: Streams,
    access: Access,
    told: Callable[[Operated], None],
    pages: Mapping[bytes, Resource] | None = None,
) -> Resource:
    """
    Return the root of the site that answers the requests for the operations in C{operations}.

    @param streams: sends the answers that are streams.
    @param access: says who makes a request.
    @param told: called with what operators change.
    @param pages: what is there besides, by the first part of the path.
    """
    made = Resource()
    for name, page in (pages or {}).items():
        made.putChild(name, page)
    made.putChild(b"api", APIResource(clock, operations, streams, access, told))
    return made


def _isExposed(port: IListeningPort) -> bool:
    """
    Return whether other machines can reach C{port}, and it has no TLS.
    """
    host: Any = port.getHost()
    factory = getattr(port, "factory", None)
    return (
        isinstance(host, IPv4Address | IPv6Address)
        and not isLoopback(host.host)
        and not isinstance(factory, TLSMemoryBIOFactory)
    )
