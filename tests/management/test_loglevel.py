"""
Tests for L{pptpgw.management.loglevel} and for L{pptpgw.log.Threshold}.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.python.failure import Failure

from pptpgw.log import THRESHOLD, Logger
from pptpgw.management.loglevel import LogLevels
from pptpgw.management.operation import Operations
from tests.logged import loggedLines
from tests.management.asking import REMOTE, Asking


@pytest.fixture
def asking() -> Iterator[Asking]:
    before = THRESHOLD.level
    yield Asking(Operations(LogLevels().operations()))
    THRESHOLD.level = before


def write() -> list[str]:
    """
    Log a line of each level, and return those that are written.
    """
    log = Logger(namespace="pptpgw.test")
    with loggedLines() as lines:
        for level in ("debug", "info", "warn", "error"):
            getattr(log, level)("{text}", text=level)
    return [line for line in lines if line in ("debug", "info", "warn", "error")]


def test_levels(asking: Asking) -> None:
    """
    Lines below the level are left out, from the moment of the change.
    """
    assert asking.ask("GET", "/log").json == {"level": "debug"}
    assert write() == ["debug", "info", "warn", "error"]
    assert asking.ask("PUT", "/log", {"level": "warn"}).json == {"level": "warn"}
    assert asking.ask("GET", "/log").json == {"level": "warn"}
    assert write() == ["warn", "error"]
    asking.ask("PUT", "/log", {"level": "debug"})
    assert write() == ["debug", "info", "warn", "error"]


def test_failures(asking: Asking, loggedFailures: list[Failure]) -> None:
    """
    A failure of the program is logged at every level.
    """
    asking.ask("PUT", "/log", {"level": "error"})
    Logger().failure("it failed", Failure(ValueError()))
    assert len(loggedFailures) == 1
    loggedFailures.clear()


def test_theChangeIsLogged(asking: Asking) -> None:
    """
    The log says who has changed its level, whatever the old and the new level are.
    """
    with loggedLines() as lines:
        for level in ("error", "error", "debug"):
            asking.ask("PUT", "/log", {"level": level})
    told = [line for line in lines if "from the level" in line]
    assert [line.rpartition(" level ")[2] for line in told] == ["error on", "error on", "debug on"]
    assert all(line.startswith(("local:", "uid")) for line in told)


@pytest.mark.parametrize(
    "body", [{"level": "critical"}, {"level": "loud"}, {}, {"level": "info", "more": 1}]
)
def test_refused(asking: Asking, body: object) -> None:
    assert asking.ask("PUT", "/log", body).status == 400
    assert asking.ask("PUT", "/log", {"level": "info"}, host=REMOTE).status == 401
    assert asking.ask("GET", "/log").json == {"level": "debug"}
