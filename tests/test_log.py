"""
Tests of L{pptpgw.log}.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import (
    FileLogObserver,
    ILogObserver,
    LogEvent,
    eventAsJSON,
    eventsFromJSONLogFile,
    formatEvent,
    formatEventAsClassicLogText,
    globalLogPublisher,
)
from twisted.python import log as legacy
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.counting.counters import Counters
from pptpgw.log import (
    IN_ALL,
    INTERVAL,
    LEFT_OUT,
    PER_SOURCE,
    SOURCES,
    Escaped,
    Logger,
    Quota,
    about,
)

NASTY = "eve\x1b[2J\r\n\0\u2028\u202e\x85\ud800 is alice"
SHOWN = r"eve\x1b[2J\r\n\x00\u2028\u202e\x85\ud800 is alice"


@implementer(ILogObserver)
class Observer:
    """
    A log observer that keeps events.
    """

    def __init__(self) -> None:
        self.events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        self.events.append(event)


def logged(emit: Callable[[Logger], None]) -> LogEvent:
    """
    The event that C{emit} makes a logger emit.
    """
    observer = Observer()
    emit(Logger("pptpgw.test", observer=observer))
    (event,) = observer.events
    return event


def classic(event: LogEvent) -> str:
    """
    The event's line as C{twistd} writes it.
    """
    return formatEventAsClassicLogText(event) or ""


def inJSON(event: LogEvent) -> str:
    """
    The event's line as a program shows it that has read it from JSON.
    """
    found = json.loads(eventAsJSON(event))
    return f"{found['who']} {found['log_format']}"


def fromJSON(event: LogEvent) -> str:
    """
    The event's line as Twisted shows it after reading it from JSON.
    """
    (found,) = eventsFromJSONLogFile(io.StringIO("\x1e" + eventAsJSON(event) + "\n"))
    return formatEvent(found)


def asLegacy(event: LogEvent) -> str:
    """
    The event's line as legacy observers write it.
    """
    return legacy.textFromEventDict({**event, "message": (), "isError": 0}) or formatEvent(event)


def toFile(event: LogEvent) -> str:
    """
    The event's line as a plain file observer writes it.
    """
    file = io.StringIO()
    FileLogObserver(file, lambda event: formatEvent(event) + "\n")(event)
    return file.getvalue().removesuffix("\n")


@pytest.mark.parametrize("formatter", (classic, formatEvent, inJSON, fromJSON, asLegacy, toFile))
@pytest.mark.parametrize("value", (NASTY, ValueError(NASTY), [NASTY]))
def test_everyFormatterShowsWhatCanBePrinted(
    formatter: Callable[[LogEvent], str], value: object
) -> None:
    event = logged(lambda log: log.info("{who} calls", who=value))
    text = formatter(event).removesuffix("\n")
    assert text.isprintable()
    assert SHOWN in text.replace("\\\\", "\\")


def test_quotes() -> None:
    """
    C{repr} shows where a text begins and ends, and escapes nothing twice.
    """
    event = logged(lambda log: log.info("{who!r}, {who!a}", who="a\x1bä' is 'b"))
    assert formatEvent(event) == r"'a\x1bä\' is \'b', 'a\x1b\xe4\' is \'b'"


def test_figuresStay() -> None:
    event = logged(lambda log: log.info("{took:.3f} {count:04x}", took=1.5, count=77))
    assert formatEvent(event) == "1.500 004d"


@given(st.text(st.characters(codec=None)))
def test_anyText(text: str) -> None:
    """
    An escaped text is one line, and doesn't change when it is escaped again.
    """
    found = Escaped(text)
    assert f"x{found}".isprintable() and f"x{found!r}".isprintable()
    assert Escaped(found) == found


def test_tracebacks() -> None:
    """
    A traceback keeps its lines, and their contents are escaped.
    """

    def emit(log: Logger) -> None:
        log.failure("{who} failed", Failure(ValueError(NASTY)), who=NASTY)

    event = logged(emit)
    text = classic(event)
    assert "Traceback" in text
    assert all(line.isprintable() for line in text.replace("\t", "").split("\n"))
    assert event["log_failure"].check(ValueError)


def test_session() -> None:
    """
    A line begins with the identifier of its session, which is given by C{session=} or by the
    context.
    """
    event = logged(lambda log: log.info("{user} opens", session="b7", user="alice"))
    assert (formatEvent(event), event["session"]) == ("[b7] alice opens", "b7")
    with about("b8"):
        assert formatEvent(logged(lambda log: log.info("opens"))) == "[b8] opens"
        event = logged(lambda log: log.info("record of {session}", session="b9"))
        assert formatEvent(event) == "record of b9"
    event = logged(lambda log: log.info("opens"))
    assert (formatEvent(event), "session" in event) == ("opens", False)


def test_othersLogAsBefore() -> None:
    """
    Loggers of Twisted, and thus those of an application around the gateway, aren't changed.
    """
    observer = Observer()
    globalLogPublisher.addObserver(observer)
    try:
        legacy.msg(NASTY)
    finally:
        globalLogPublisher.removeObserver(observer)
    assert NASTY in classic(observer.events[-1]).replace("\n\t", "\n")


class TestQuota:
    def quota(self) -> tuple[Clock, Counters, Quota]:
        clock, counters = Clock(), Counters()
        return clock, counters, Quota(clock, counters)

    def test_oneSource(self, log: list[str]) -> None:
        """
        One source has a limited number of lines, and other sources aren't affected.
        """
        clock, counters, quota = self.quota()
        allowed = sum(quota.allows("calls", "192.0.2.1") for _ in range(100))
        assert allowed == PER_SOURCE[1]
        assert quota.allows("calls", "192.0.2.2")
        assert counters.discards[LEFT_OUT] == 100 - allowed
        assert log == []
        clock.advance(INTERVAL)
        assert log == [
            "80 more lines on calls were left out within 60 s; addresses that they came from: 1",
        ]
        assert quota.allows("calls", "192.0.2.1")
        clock.advance(INTERVAL)
        assert len(log) == 1

    def test_manySources(self, log: list[str]) -> None:
        """
        All sources together have a limited number of lines, and the table of sources doesn't grow.
        """
        clock, _, quota = self.quota()
        allowed = sum(quota.allows("calls", str(one)) for one in range(2 * SOURCES))
        assert allowed == IN_ALL[1]
        assert len(quota._sources) == SOURCES
        quota.tell()
        assert log == [
            f"{2 * SOURCES - allowed} more lines on calls were left out within 0 s; addresses that "
            f"they came from: {SOURCES}",
        ]
        assert not clock.getDelayedCalls()

    def test_aSummaryForEachKind(self, log: list[str]) -> None:
        clock, _, quota = self.quota()
        for _ in range(30):
            quota.allows("calls", "192.0.2.1")
            quota.allows("connections", "192.0.2.1")
        clock.advance(INTERVAL)
        assert [line.partition(" were")[0] for line in log] == [
            "20 more lines on calls",
            "20 more lines on connections",
        ]
