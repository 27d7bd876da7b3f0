"""
The page C{/metrics}, which Prometheus reads.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from prometheus_client.core import CollectorRegistry, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from pptpgw.error import PPTPGWError
from pptpgw.log import Logger
from pptpgw.management.answer import answerProblem, problemFrom
from pptpgw.management.metrics.figures import Figures


class _Last(Collector):
    """
    Collects what L{Figures} has made last. This is called in a thread.
    """

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        return self._figures.families

    def describe(self) -> Iterable[Metric]:
        # Asked when it is registered, when nothing is collected yet.
        return ()


class MetricsPage(Resource):
    """
    The page. The figures are read in the reactor's thread, and prometheus_client turns them into
    text in another one.
    """

    isLeaf = True
    _log = Logger()

    def __init__(
        self, figures: Figures, assertMayRead: Callable[[Request], Awaitable[object]]
    ) -> None:
        """
        @param assertMayRead: raises L{PPTPGWError} if the sender of a request may not read the
            page.
        """
        # Imported here, since the import of this module installs a reactor if there is none.
        from prometheus_client.twisted import MetricsResource

        Resource.__init__(self)
        self._figures = figures
        self._assertMayRead = assertMayRead
        registry = CollectorRegistry()
        registry.register(_Last(figures))
        ProcessCollector(registry=registry)
        make: Any = MetricsResource
        self._page: Resource = make(registry)

    def render(self, request: Request) -> int:
        """
        Answer C{request}.
        """
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        asked: Deferred[None] = Deferred.fromCoroutine(self._answer(request, gone))
        asked.addErrback(self._failed, request, gone)
        return NOT_DONE_YET

    async def _answer(self, request: Request, gone: list[Failure]) -> None:
        try:
            await self._assertMayRead(request)
        except PPTPGWError as error:
            if not gone:
                problem = problemFrom(error)
                request.write(answerProblem(request, problem))
                request.finish()
            return
        await self._figures.refreshed()
        if not gone:
            self._page.render(request)

    def _failed(self, failure: Failure, request: Request, gone: list[Failure]) -> None:
        if failure.check(CancelledError) is None:
            self._log.failure("the figures can't be read", failure)
        if not gone:
            request.setResponseCode(500)
            request.finish()
