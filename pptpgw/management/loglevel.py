"""
The operations of the log: which lines are written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from msgspec import Struct
from twisted.logger import LogLevel

from pptpgw.log import THRESHOLD, Logger
from pptpgw.management.operation import Operation, OperationRequest, OperatorRole

Level = Literal["debug", "info", "warn", "error"]
"""
The levels that can be chosen. Failures of the program are critical, and are always logged.
"""


class LogView(Struct, frozen=True, forbid_unknown_fields=True):
    """
    What is left out of the log until the process ends. The audit isn't affected.

    @ivar level: the least level of a line that is logged.
    """

    level: Level


class LogLevels:
    """
    Answers the requests for the log.
    """

    _log = Logger()

    def operations(self) -> Iterator[Operation]:
        """
        Iterate over the requests that are answered here, as operations of the interface.
        """
        yield Operation("GET", "/log", "Show which lines the log has.", self._show, LogView)
        yield Operation(
            "PUT",
            "/log",
            "Change which lines the log has.",
            self._change,
            LogView,
            body=LogView,
            role=OperatorRole.ADMIN,
        )

    def _show(self, request: OperationRequest) -> LogView:
        return LogView(THRESHOLD.level.name)

    def _change(self, request: OperationRequest) -> LogView:
        level: Any = LogLevel.levelWithName(request.body.level)
        # Neither the old level nor the new one leaves this line out.
        THRESHOLD.level = LogLevel.debug
        self._log.warn(
            "{operator}: from now on the log has lines from the level {least} on",
            operator=request.operator.name,
            least=level.name,
        )
        THRESHOLD.level = level
        return self._show(request)
