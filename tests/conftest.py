"""
Hooks and fixtures for all tests. A logged error fails its test, and skipped tests are counted, or
fail where everything is installed.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Iterator
from functools import cache, wraps
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import (
    globalLogBeginner,
)
from twisted.python.failure import Failure

from tests import logged

MAY_SKIP = os.environ.get("CI") != "true"
"""
Whether tests may skip. With C{CI=true} everything that tests need is there, so a test that skips
has failed.
"""

# Hundreds of tests start programs: what these import is compiled once, not at each start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

collect_ignore = ["example"]
"""
The tests of packages that must be installed. C{tests/test_example.py} runs them.
"""


def pytest_configure() -> None:
    """
    Stop Twisted from keeping events, and what they refer to, for a log that nobody opens.
    """
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)


REAL = ("browser", "command", "integration", "lab", "ports")
"""
The folders whose tests wait for other programs and the kernel in real time. A busy machine makes
one of a thousand late, so a test of these that fails is run once more. The summary names it.
"""


@cache
def _others() -> frozenset[Path]:
    """
    Return the files of the other parts.
    """
    part, _, parts = os.environ.get("NATIVE_PART", "1/1").partition("/")
    files = sorted(Path(__file__).parent.rglob("test_*.py"))
    return frozenset(files) - frozenset(files[int(part) - 1 :: int(parts)])


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """
    With C{NATIVE_PART=1/2} ignore the files that aren't of the first of two parts.
    """
    return True if collection_path in _others() else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """
    Run tests that are coroutines in the reactor, L{REAL} ones a second time if they fail, and no
    tests of other parts, whose files may have been named.
    """
    items[:] = [item for item in items if item.path not in _others()]
    again = pytest.mark.flaky(reruns=1)
    for item in items:
        if item.path.relative_to(Path(__file__).parent).parts[0] in REAL:
            item.add_marker(again)
        if isinstance(item, pytest.Function) and iscoroutinefunction(item.obj):
            item.obj = _deferred(item.obj)


def _deferred(test: Callable[..., Coroutine[Deferred[Any], Any, None]]) -> Callable[..., Any]:
    @wraps(test)
    def run(*arguments: object, **named: object) -> Deferred[None]:
        return Deferred.fromCoroutine(test(*arguments, **named))

    return run


@pytest.fixture(autouse=True, scope="module")
def withoutEarlier() -> None:
    """
    Exclude the objects that earlier modules leave, which all tests share, from later garbage
    collections, so that each takes only a millisecond.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def loggedFailures() -> Iterator[list[Failure]]:
    """
    Every L{Failure} that is logged while the test runs, unhandled errors of Deferreds included. A
    test that expects failures takes this fixture, checks the list and clears it: failures that are
    left fail the test.
    """
    with logged.loggedFailures() as failures:
        yield failures
        # An unhandled error is logged when its Deferred is freed; most are in reference cycles.
        gc.collect()
    if failures:
        tracebacks = "\n".join(failure.getTraceback() for failure in failures)
        pytest.fail(f"logged, and not expected:\n{tracebacks}", pytrace=False)


@pytest.fixture
def log() -> Iterator[list[str]]:
    """
    The lines that pptpgw logs.
    """
    with logged.loggedLines() as lines:
        yield lines


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    The folder into which pip has installed the packages of C{tests/example}.
    """
    folder = tmp_path_factory.mktemp("example")
    ignored = shutil.ignore_patterns("__pycache__")
    source = shutil.copytree(Path(__file__).parent / "example", folder / "source", ignore=ignored)
    packages = [str(path) for path in source.iterdir() if path.is_dir()]
    command = "install --quiet --no-build-isolation --no-index --no-deps --target"
    subprocess.run(
        [sys.executable, "-m", "pip", *command.split(), str(folder / "installed"), *packages],
        env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        check=True,
        timeout=300,
    )
    return folder / "installed"


def _judgeSkip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not MAY_SKIP and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be: {_reason(report)}"


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _judgeSkip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _judgeSkip(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """
    Print how many tests skipped for each reason, and why tests that were run once more had failed.
    """
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count} skipped: {reason}")
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"first run of {report.nodeid}", sep="_")
        terminalreporter.write_line(report.longreprtext)
