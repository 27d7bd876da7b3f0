"""
The start of a program of the demo, in a network namespace of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.task import react
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)

from pptpgw.error import PPTPGWError
from pptpgw.ports import privileges


def run(module: str, main: Callable[[Any], Awaitable[int]]) -> None:
    """
    Run C{main} in a network namespace of its own, where the kernel forwards packets, and exit with
    the status that it returns. Warnings are logged to standard error.

    @param module: the name of the module to run again in the namespace.
    @param main: called with the reactor; a L{PPTPGWError} that it raises ends the program.
    """
    observer = FilteringLogObserver(
        textFileLogObserver(sys.stderr), [LogLevelFilterPredicate(LogLevel.warn)]
    )
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)

    async def started(reactor: Any) -> None:
        try:
            raise SystemExit(await main(reactor))
        except PPTPGWError as error:
            raise SystemExit(f"pptpgw: {error}") from error

    try:
        privileges.acquire(module, apart=True)
        privileges.forward()
    except PPTPGWError as error:
        sys.exit(f"pptpgw: {error}")
    react(started)
