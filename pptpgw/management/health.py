"""
Whether the gateway lives and whether it serves, for load balancers and those who start it again.

The pages need no login: C{/healthz} is answered as long as the reactor runs, and C{/readyz} says
whether callers are served. Why they aren't is told to those who may see the gateway's state.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Literal

from msgspec import Struct
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from pptpgw.error import PPTPGWError
from pptpgw.interfaces import IGatewayService
from pptpgw.log import Logger
from pptpgw.management.answer import answerJSON, answerProblem
from pptpgw.management.problem import Problem, ProblemDetails
from pptpgw.radius.transport import RADIUSService

KEPT = 5.0
"""
Seconds for which it is remembered whether a store answers.
"""

STORE_SECONDS = 3.0
"""
Seconds that a store may take to answer.
"""


class Health(Struct, frozen=True):
    """
    The answer of C{/healthz} and C{/readyz} if all is well.

    @ivar state: C{alive} if the process answers, C{ready} if it serves callers.
    """

    state: Literal["alive", "ready"]


class ReadinessDetails(ProblemDetails, frozen=True):
    """
    Why the gateway doesn't serve.

    @ivar reasons: a text for each reason; empty for those who may not see the gateway's state.
    """

    reasons: list[str]


class NotReady(Problem):
    """
    The problem that is answered while no callers are served: 503 with the reasons.
    """

    def __init__(self, reasons: list[str]) -> None:
        text = "; ".join(reasons) or "the gateway serves no callers now"
        super().__init__(HTTPStatus.SERVICE_UNAVAILABLE, text)
        self._reasons = reasons

    @property
    def details(self) -> ReadinessDetails:
        """
        See L{Problem.details}.
        """
        return ReadinessDetails(self.status, self.status.phrase, str(self), self._reasons)


class _StoreCheck:
    """
    Asks a store whether it answers, once for all who want to know.
    """

    def __init__(self, clock: IReactorTime, store: Any) -> None:
        self._clock = clock
        self._store = store
        self._fault = ""
        self._asked = -KEPT
        self._waiting: list[Deferred[str]] = []

    def fault(self) -> Deferred[str]:
        """
        Find out why the store doesn't answer.

        @return: fires with the text; empty if the store answers.
        """
        if not self._waiting and self._clock.seconds() - self._asked < KEPT:
            return succeed(self._fault)
        waits: Deferred[str] = Deferred()
        self._waiting.append(waits)
        if len(self._waiting) == 1:
            # Nobody is called so, and one row is looked up.
            asked: Deferred[Any] = maybeDeferred(self._store.attempts, "user", "")
            asked.addTimeout(STORE_SECONDS, self._clock)
            asked.addCallbacks(lambda _: "", _why).addCallback(self._tell)
        return waits

    def _tell(self, fault: str) -> None:
        self._fault, self._asked = fault, self._clock.seconds()
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(fault)


class Readiness:
    """
    Finds out whether a gateway serves.
    """

    def __init__(self, clock: IReactorTime, gateway: IGatewayService) -> None:
        self._gateway = gateway
        stores = dict.fromkeys((*gateway.stores, *filter(None, [gateway.store])))
        self._checks = [_StoreCheck(clock, one) for one in stores]

    def reasons(self) -> Deferred[list[str]]:
        """
        Find out why callers aren't served.

        @return: fires with a text for each reason; none if callers are served.
        """
        asked: Deferred[list[str]] = gatherResults(one.fault() for one in self._checks)
        return asked.addCallback(lambda faults: [*self._own(), *filter(None, faults)])

    def _own(self) -> list[str]:
        gateway = self._gateway
        reasons = [] if gateway.started is not None else ["the gateway doesn't run"]
        if gateway.draining is not None:
            reasons.append("the gateway is drained")
        reasons += gateway.faults
        deaf = [name for name, one in gateway.tunnels.items() if not one.places]
        reasons += [f"{name} listens nowhere" for name in deaf]
        radius = gateway.radius
        if radius is not None and not radius.reaches(RADIUSService.AUTHENTICATION):
            reasons.append("no RADIUS server answers")
        return reasons


class _Page(Resource):
    """
    A page that takes GET and HEAD.
    """

    isLeaf = True

    def __init__(self) -> None:
        Resource.__init__(self)

    def render(self, request: Request) -> bytes | int:
        """
        Answer C{request}.
        """
        if request.method in (b"GET", b"HEAD"):
            return self.answer(request)
        problem = Problem(HTTPStatus.METHOD_NOT_ALLOWED, "this page takes GET")
        return answerProblem(request, problem)

    def answer(self, request: Request) -> bytes | int:
        """
        Answer C{request}, as C{Resource.render} does.
        """
        raise NotImplementedError


class HealthPage(_Page):
    """
    The page C{/healthz}.
    """

    def answer(self, request: Request) -> bytes:
        """
        Say that the reactor runs.
        """
        return answerJSON(request, Health("alive"))


class ReadinessPage(_Page):
    """
    The page C{/readyz}.
    """

    _log = Logger()

    def __init__(
        self, readiness: Readiness, assertMaySee: Callable[[Request], Awaitable[object]]
    ) -> None:
        """
        @param assertMaySee: raises L{PPTPGWError} if the sender of a request may not see the
            gateway's state.
        """
        super().__init__()
        self._readiness = readiness
        self._assertMaySee = assertMaySee

    def answer(self, request: Request) -> int:
        """
        Say whether callers are served.
        """
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        asked: Deferred[bytes] = Deferred.fromCoroutine(self._said(request))
        asked.addCallback(lambda octets: None if gone else _finish(request, octets))
        asked.addErrback(lambda failure: self._log.failure("an answer failed", failure))
        return NOT_DONE_YET

    async def _said(self, request: Request) -> bytes:
        reasons = await self._readiness.reasons()
        if not reasons:
            return answerJSON(request, Health("ready"))
        try:
            await self._assertMaySee(request)
        except PPTPGWError:
            reasons = []
        return answerProblem(request, NotReady(reasons))


def _finish(request: Request, octets: bytes) -> None:
    request.write(octets)
    request.finish()


def _why(failure: Failure) -> str:
    return f"the store doesn't answer: {failure.getErrorMessage() or type(failure.value).__name__}"
