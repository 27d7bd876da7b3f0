"""
The service of the management interface.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import time
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamServerEndpoint
from twisted.web.resource import Resource
from twisted.web.server import Request

from pptpgw.config.section import DEFAULT_MANAGEMENT, ManagementSection
from pptpgw.error import NotPermitted
from pptpgw.interfaces import IGatewayService
from pptpgw.log import Logger
from pptpgw.management.access import operatorOf
from pptpgw.management.eventlog import EventLog
from pptpgw.management.events import Events, Witness
from pptpgw.management.health import HealthPage, Readiness, ReadinessPage
from pptpgw.management.metrics.delay import ReactorDelay
from pptpgw.management.metrics.figures import Figures
from pptpgw.management.metrics.page import MetricsPage
from pptpgw.management.operation import Operations
from pptpgw.management.rates import Rates
from pptpgw.management.site import APIResource, ManagementSite
from pptpgw.management.stream import Streams
from pptpgw.management.subjects import operations
from pptpgw.ports.listening import Listening, endpointFromString
from pptpgw.ports.unixsocket import prepare
from pptpgw.timing.timer import cancelled

LOOK_SECONDS = 1.0
"""
Seconds between two looks at what nobody reports.
"""


class ManagementService(Service):
    """
    The management interface on its endpoints.

    @ivar places: where it listens, as endpoint strings.
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
        @raise pptpgw.error.ConfigurationError: an endpoint string can't be used.
        """
        self.places: tuple[str, ...] = ()
        self._reactor = reactor
        self._section = section
        self._gateway = gateway
        self._endpoints = [
            (text, endpointFromString(reactor, "management", text)) for text in section.endpoints
        ]
        self._listening = Listening()
        self._rates = Rates(reactor, gateway.sessions)
        self._streams = Streams(reactor)
        log = EventLog()
        self._witness = Witness(gateway, log, now)
        self._look: IDelayedCall | None = None
        self._delay = ReactorDelay(reactor)
        self._figures = Figures(reactor, gateway, self._delay.seconds)
        self._readiness = Readiness(reactor, gateway)
        self._operations = Operations(
            (*Events(log).operations(), *operations(gateway, self._rates, now))
        )

    def startService(self) -> None:
        """
        Begin to note events, if anybody can ask for them.
        """
        Service.startService(self)
        if self.places and self._look is None:
            self._gateway.sessions.addObserver(self._witness)
            self._watch()

    def privilegedStartService(self) -> None:
        """
        Listen on the endpoints.

        @raise NotPermitted: an endpoint that the configuration names can't be opened.
        """
        Service.privilegedStartService(self)
        pages = {
            b"metrics": MetricsPage(self._figures, self._assertMayRead),
            b"healthz": HealthPage(),
            b"readyz": ReadinessPage(self._readiness, operatorOf),
        }
        site = ManagementSite(
            root(self._reactor, self._operations, self._streams, pages), self._reactor
        )
        self._delay.start()
        for text, endpoint in self._endpoints:
            fault = self._open(text, endpoint, site)
            if not fault:
                self.places += (text,)
            elif self._section.endpoints == DEFAULT_MANAGEMENT:
                self._log.warn(
                    "the gateway runs without its management interface at {place}: {fault}; "
                    "[management] endpoints names another place, or none",
                    place=text,
                    fault=fault,
                )
            else:
                raise NotPermitted(f"[management] endpoints: {text} can't be opened: {fault}")

    def stopService(self) -> Deferred[Any]:
        """
        End all streams, and close the ports.

        @return: fires when the ports are closed.
        """
        Service.stopService(self)
        self.places = ()
        self._rates.stop()
        self._look = cancelled(self._look)
        self._gateway.sessions.removeObserver(self._witness)
        self._streams.stop()
        self._delay.stop()
        self._figures.stop()
        return self._listening.close()

    def _watch(self) -> None:
        self._look = self._reactor.callLater(LOOK_SECONDS, self._watch)
        self._witness.look()

    def _assertMayRead(self, request: Request) -> None:
        """
        Check that the sender of C{request} may read the metrics.

        @raise Problem: they aren't public, and nobody who is known asks.
        """
        if not self._gateway.configuration.management.metricsPublic:
            operatorOf(request)

    def _open(self, text: str, endpoint: IStreamServerEndpoint, site: ManagementSite) -> str:
        """
        Listen on C{endpoint}. Return why that isn't possible; empty if it is.
        """
        if text.startswith("unix:"):
            try:
                prepare(_path(text))
            except OSError as error:
                return f"{error.filename}: {error.strerror}"
        return self._listening.open(endpoint, site)


def root(
    clock: IReactorTime,
    operations: Operations,
    streams: Streams,
    pages: Mapping[bytes, Resource] | None = None,
) -> Resource:
    """
    Return the root of the site that answers the requests for the operations in C{operations}.

    @param streams: sends the answers that are streams.
    @param pages: what is there besides, by the first part of the path.
    """
    made = Resource()
    for name, page in (pages or {}).items():
        made.putChild(name, page)
    made.putChild(b"api", APIResource(clock, operations, streams))
    return made


def _path(text: str) -> str:
    """
    Return the path in the endpoint string C{text} of a Unix socket.
    """
    return text.removeprefix("unix:").partition(":")[0].removeprefix("address=")
