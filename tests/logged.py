"""
What is logged while tests run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer


@contextmanager
def observed(observe: Callable[[LogEvent], object]) -> Iterator[None]:
    """
    Call C{observe} with each event that is logged in this block.
    """

    @implementer(ILogObserver)
    def observer(event: LogEvent) -> None:
        observe(event)

    globalLogPublisher.addObserver(observer)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(observer)


@contextmanager
def loggedLines() -> Iterator[list[str]]:
    """
    Collect the lines that pptpgw logs in this block.
    """
    lines: list[str] = []

    def observe(event: LogEvent) -> None:
        if str(event.get("log_namespace", "")).startswith("pptpgw"):
            lines.append(formatEvent(event))

    with observed(observe):
        yield lines


@contextmanager
def loggedFailures() -> Iterator[list[Failure]]:
    """
    Collect the failures that are logged in this block, unhandled errors of Deferreds included.
    """
    failures: list[Failure] = []

    def observe(event: LogEvent) -> None:
        if "log_failure" in event:
            failures.append(event["log_failure"])

    with observed(observe):
        yield failures
