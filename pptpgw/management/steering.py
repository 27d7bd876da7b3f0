"""
The operations that steer the gateway as a whole: reload, drain and undrain.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta, Struct

from pptpgw.interfaces import IGatewayService, Reloaded
from pptpgw.management.operation import Operation, OperationRequest, OperatorRole
from pptpgw.management.status import DrainView, drainOf


class KeyChange(Struct, frozen=True):
    """
    A key of the configuration whose value differs.

    @ivar key: its name, as in C{[ipv4] pool}.
    @ivar effect: whether the new value applies to calls to come, to current sessions too, or only
        after a restart.
    @ivar reason: why it needs a restart; empty unless it does.
    """

    key: str
    effect: Literal["new", "live", "restart"]
    reason: str


class Changes(Struct, frozen=True):
    """
    What a reload has changed, or would change.

    @ivar changes: every key whose value differs.
    """

    changes: list[KeyChange]


class DrainOrder(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    How to drain the gateway.

    @ivar deadline_seconds: the seconds after which the sessions that are left are ended; null to
        wait for however long they last.
    @ivar stop: whether the gateway stops when no call is left.
    """

    deadline_seconds: Annotated[float, Meta(ge=0)] | None = None
    stop: bool = False


class Steering:
    """
    Answers the requests that steer the gateway.
    """

    def __init__(self, gateway: IGatewayService) -> None:
        self._gateway = gateway

    def operations(self) -> Iterator[Operation]:
        """
        Iterate over the requests that are answered here, as operations of the interface.
        """
        yield Operation(
            "GET",
            "/reload",
            "Show what a reload would change.",
            lambda request: _changes(self._gateway.wouldChange()),
            Changes,
        )
        yield Operation(
            "POST",
            "/reload",
            "Read the configuration file again, and put it in force as far as possible.",
            self._reload,
            Changes,
            role=OperatorRole.ADMIN,
        )
        yield Operation(
            "PUT",
            "/drain",
            "Take no more calls, and wait until the current ones are over.",
            self._drain,
            DrainView,
            body=DrainOrder,
            role=OperatorRole.ADMIN,
        )
        yield Operation(
            "DELETE", "/drain", "Take calls again.", self._undrain, role=OperatorRole.ADMIN
        )

    async def _reload(self, request: OperationRequest) -> Changes:
        return _changes(await self._gateway.reload())

    def _drain(self, request: OperationRequest) -> DrainView | None:
        order: DrainOrder = request.body
        self._gateway.drain(order.deadline_seconds, order.stop)
        return drainOf(self._gateway)

    def _undrain(self, request: OperationRequest) -> None:
        self._gateway.undrain()


def _changes(reloaded: Reloaded) -> Changes:
    return Changes(
        [
            KeyChange(one.name, one.effect.name.lower(), one.reason)  # type: ignore[arg-type]
            for one in reloaded.changes
        ]
    )
