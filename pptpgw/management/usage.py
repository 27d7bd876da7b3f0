"""
The operation that shows who has used which tunnel, by the sums of sessions in the store.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from pptpgw.interfaces import IGatewayService
from pptpgw.management.operation import Operation, OperationRequest
from pptpgw.management.page import Columns, Page, page
from pptpgw.store.record import TunnelUsage


class TunnelUsageView(Struct, frozen=True):
    """
    The sum of a user's sessions by one tunnel, those that go on as of their last record.

    @ivar user: the name of the user.
    @ivar tunnel: the kind of tunnel; null if it isn't known, because an earlier version recorded
        the sessions.
    @ivar sessions: how many there were.
    @ivar seconds: how long they lasted, added.
    @ivar last_day: the last day on which one of them ended, or went on, in UTC.
    @ivar octets_received: octets from the user.
    @ivar octets_sent: octets to the user.
    """

    user: str
    tunnel: str | None
    sessions: int
    seconds: float
    last_day: str
    octets_received: int
    octets_sent: int


class UsageFilter(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    The columns by which sums are chosen.

    @ivar user: the name of the user.
    @ivar tunnel: the kind of tunnel.
    @ivar since: the time from whose day on sessions count that have ended, in seconds since 1970.
    """

    user: str | None = None
    tunnel: str | None = None
    since: float | None = None


COLUMNS: Columns[TunnelUsage] = {
    "user": lambda one: one.user,
    "tunnel": lambda one: one.tunnel or None,
    "sessions": lambda one: one.sessions,
    "seconds": lambda one: one.seconds,
    "last_day": lambda one: one.day,
    "octets_received": lambda one: one.octetsReceived,
    "octets_sent": lambda one: one.octetsSent,
}


class UsageSums:
    """
    Answers the requests for sums of sessions.
    """

    def __init__(self, gateway: IGatewayService) -> None:
        self._gateway = gateway

    def operations(self) -> Iterator[Operation]:
        """
        Iterate over the requests that are answered here, as operations of the interface.
        """
        yield Operation(
            "GET",
            "/usage",
            "List who has used which tunnel, and how much, by the store of sessions.",
            self._list,
            Page[TunnelUsageView],
            query=UsageFilter,
            paged=True,
        )

    async def _list(self, request: OperationRequest) -> Page[TunnelUsageView]:
        store, since = self._gateway.store, request.query.since or 0.0
        found = [] if store is None else await store.usageByTunnel(None, since)
        return await page(found, request, COLUMNS, _view, lasts=True)


def _view(one: TunnelUsage) -> TunnelUsageView:
    return TunnelUsageView(
        one.user,
        one.tunnel or None,
        one.sessions,
        one.seconds,
        one.day,
        one.octetsReceived,
        one.octetsSent,
    )
