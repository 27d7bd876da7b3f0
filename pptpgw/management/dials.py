"""
The operations of calls that the gateway dials (C{[[dial]]}).
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from pptpgw.dialling.service import DialService
from pptpgw.interfaces import IGatewayService
from pptpgw.management.operation import Operation, OperationRequest, OperatorRole
from pptpgw.management.page import Columns, Page, page
from pptpgw.management.problem import notFound
from pptpgw.sessions.cause import Cause, Termination


class DialView(Struct, frozen=True):
    """
    A call that the gateway dials.

    @ivar name: its name.
    @ivar tunnel: the kind of tunnel.
    @ivar addresses: where to, in the order in which they are tried.
    @ivar address: the one that is tried now or next.
    @ivar state: off, waiting, dialling, up or ending.
    @ivar wanted: whether it is to be up.
    @ivar state_seconds: for how long it has been in that state.
    @ivar next_seconds: the seconds until it is dialled; null if it doesn't wait.
    @ivar failures: how many attempts in a row have failed.
    @ivar reason: why the last attempt or call has ended; empty if none has.
    @ivar session_id: the identifier of its session; null if it has none.
    """

    name: str
    tunnel: str
    addresses: list[str]
    address: str
    state: str
    wanted: bool
    state_seconds: float
    next_seconds: float | None
    failures: int
    reason: str
    session_id: str | None


class DialFilter(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    The columns by which calls are chosen.

    @ivar name: the name.
    @ivar tunnel: the kind of tunnel.
    @ivar state: the state.
    """

    name: str | None = None
    tunnel: str | None = None
    state: str | None = None


_COLUMNS: Columns[DialService] = {
    "name": lambda one: one.plan.dial.name,
    "tunnel": lambda one: one.plan.dial.tunnel,
    "state": lambda one: one.redial.state.value,
    "failures": lambda one: one.redial.failures,
}


class Dials:
    """
    Answers the requests for calls that the gateway dials.
    """

    def __init__(self, gateway: IGatewayService) -> None:
        self._gateway = gateway

    def operations(self) -> Iterator[Operation]:
        """
        Iterate over the requests that are answered here, as operations of the interface.
        """
        path = "/dials/{name}"
        yield Operation(
            "GET",
            "/dials",
            "List the calls that the gateway dials.",
            self._list,
            Page[DialView],
            query=DialFilter,
            paged=True,
        )
        yield Operation("GET", path, "Show a call that the gateway dials.", self._show, DialView)
        yield Operation(
            "PUT",
            f"{path}/call",
            "Have the gateway dial a call, at once if it waits.",
            self._up,
            DialView,
            role=OperatorRole.OPERATOR,
        )
        yield Operation(
            "DELETE",
            f"{path}/call",
            "End a call, and don't dial it again until somebody asks.",
            self._down,
            DialView,
            role=OperatorRole.OPERATOR,
        )

    async def _list(self, request: OperationRequest) -> Page[DialView]:
        found = tuple(self._gateway.dialling.dials.values())
        return await page(found, request, _COLUMNS, view)

    def _show(self, request: OperationRequest) -> DialView:
        return view(self._find(request))

    def _up(self, request: OperationRequest) -> DialView:
        found = self._find(request)
        found.redial.up()
        return view(found)

    def _down(self, request: OperationRequest) -> DialView:
        found = self._find(request)
        text = f"the operator {request.operator.name} ended it"
        found.redial.down(Cause(text, Termination.ADMIN_RESET))
        return view(found)

    def _find(self, request: OperationRequest) -> DialService:
        name = request.names["name"]
        found: DialService | None = self._gateway.dialling.dials.get(name)
        if found is None:
            raise notFound(f"dial {name}")
        return found


def view(service: DialService) -> DialView:
    """
    Return a call as it is shown.
    """
    dial, redial, line = service.plan.dial, service.redial, service.line
    session = None if line is None else line.session
    return DialView(
        name=dial.name,
        tunnel=dial.tunnel,
        addresses=list(dial.addresses),
        address=dial.addresses[redial.number],
        state=redial.state.value,
        wanted=redial.isWanted,
        state_seconds=redial.lasted,
        next_seconds=redial.left,
        failures=redial.failures,
        reason="" if redial.cause is None else str(redial.cause),
        session_id=None if session is None else session.identifier,
    )
