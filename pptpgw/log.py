"""
Logging: a L{Logger} that escapes every value, and a L{Quota} for lines that peers can cause.

The rules:

 - Every value in a line is printable: other characters, such as control characters and line
   separators, become Python's escape sequences (C{\\x1b}, C{\\u2028}). L{Logger} escapes them
   before any observer sees the event.
 - A line about a session, or about a call that may become one, begins with its identifier in
   brackets. The audit and the store use the same identifier.
 - Lines below the L{Threshold} are left out.
 - Code asks a L{Quota} before it logs a line that anybody can cause. Lines that are left out are
   counted, and one line a minute for each kind says how many they were.

Twisted's own loggers stay as they are, as the process may belong to another application.
"""

from __future__ import annotations

from contextvars import ContextVar
from time import time
from typing import Any, cast

from twisted import logger
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from pptpgw.counting.bucket import Bucket
from pptpgw.counting.counters import Counters
from pptpgw.timing.timer import cancelled

PER_SOURCE = (1 / 6, 20.0)
"""
The number of lines a second that one source may cause in the long run, and the number of lines at
once.
"""
IN_ALL = (5.0, 200.0)
"""
The number of lines a second that all sources together may cause in the long run, and the number of
lines at once.
"""
INTERVAL = 60.0
"""
The time in seconds between two lines that say how many lines were left out.
"""
SOURCES = 4096
"""
The number of sources that a L{Quota} remembers.
"""
LEFT_OUT = "line of the log left out"

_session: ContextVar[str] = ContextVar("session", default="")


# The largest number of octets of a peer's text that is logged.
LONGEST = 80


def readable(octets: bytes) -> str:
    """
    Return a peer's text in a form that can be logged, whatever its octets are: at most L{LONGEST}
    printable characters.
    """
    text = octets[:LONGEST].decode("utf-8", "replace").replace("\N{REPLACEMENT CHARACTER}", "?")
    return "".join(one if one.isprintable() else "?" for one in text).strip()


def escape(text: str) -> str:
    """
    Return C{text} in a form that fits a line of the log, an argument or a variable. Characters that
    can't be printed, such as control characters and line separators, become Python's escape
    sequences.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text
    )


class about:
    """
    A context manager. Lines that are logged inside its block get the identifier of a session.
    """

    __slots__ = ("_before", "_identifier")

    def __init__(self, session: str) -> None:
        self._identifier = session

    def __enter__(self) -> None:
        self._before = _session.set(self._identifier)

    def __exit__(self, *raised: object) -> None:
        _session.reset(self._before)


class Escaped(str):
    """
    A printable text. Its C{repr} has quotes, and doesn't escape anything a second time.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Escaped:
        """
        @param text: any text; characters that aren't printable are escaped.
        """
        return super().__new__(cls, escape(text))

    def __repr__(self) -> str:
        text = self.replace("'", "\\'")
        return f"'{text}'"


class EscapedFailure(Failure):
    """
    A failure whose traceback has only printable lines, since exceptions may quote a peer's texts.
    """

    def __init__(self, failure: Failure) -> None:
        self.__dict__.update(failure.__dict__)

    def getTraceback(self, elideFrameworkCode: int = 0, detail: str = "default") -> str:
        """
        See L{Failure.getTraceback}.
        """
        text = super().getTraceback(elideFrameworkCode, detail)
        return "\n".join(map(Escaped, text.split("\n")))


# A tuple, since a union takes L{isinstance} longer.
_FIGURES = (int, float)


def _told(value: object) -> object:
    if value is None or isinstance(value, _FIGURES):
        return value
    return EscapedFailure(value) if isinstance(value, Failure) else Escaped(str(value))


class Threshold:
    """
    What is left out of pptpgw's own log, in the whole process.

    @ivar level: the least level of a line that is logged. Failures of the program are critical, and
        are always logged.
    """

    __slots__ = ("level",)

    def __init__(self) -> None:
        self.level: Any = logger.LogLevel.debug


THRESHOLD = Threshold()
"""
The threshold of all loggers.
"""


class Logger(logger.Logger):
    """
    The logger of every module of pptpgw, which escapes values and adds the session's identifier.

    The attribute of a class is one logger for all of its instances, where Twisted's would be
    another one each time, with the instance as the source of its events.
    """

    # What L{__get__} returns, by class; None before the first use.
    _loggers: dict[type | None, Logger] | None = None

    def __get__(self, instance: object, owner: type | None = None) -> Logger:
        if self._loggers is None:
            self._loggers = {}
        found = self._loggers.get(owner)
        if found is None:
            found = self._loggers[owner] = cast(Logger, super().__get__(None, owner))
        return found

    def emit(self, level: logger.LogLevel, format: str | None = None, **values: object) -> None:
        """
        See L{logger.Logger.emit}.

        @param values: C{session} is the identifier of the session that the line is about. Its
            default is the identifier given to L{about}, if any.
        """
        if level < THRESHOLD.level:
            return
        session = values.setdefault("session", _session.get())
        if not session:
            del values["session"]
        elif format is not None and "{session}" not in format:
            format = "[{session}] " + format
        event = {name: _told(value) for name, value in values.items()}
        event["log_logger"] = self
        event["log_level"] = level
        event["log_namespace"] = self.namespace
        event["log_source"] = self.source
        event["log_format"] = format
        event["log_time"] = time()
        self.observer(event)


class _Omitted:
    """
    The lines of one kind that were left out since the last report.
    """

    __slots__ = ("count", "sources")

    def __init__(self) -> None:
        self.count = 0
        self.sources: set[str] = set()


class Quota:
    """
    A limit on the lines of the log that peers can cause, for each source and for all together.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, counters: Counters) -> None:
        """
        @param counters: counts the lines that are left out.
        """
        self._clock = clock
        self._counters = counters
        self._all = Bucket(clock.seconds, IN_ALL)
        # The sources in the order of last use, the latest at the end.
        self._sources: dict[str, Bucket] = {}
        self._omitted: dict[str, _Omitted] = {}
        self._since = 0.0
        self._timer: IDelayedCall | None = None

    def allows(self, what: str, source: str) -> bool:
        """
        Return whether a line about C{what}, caused by a peer at the address C{source}, may be
        logged. If not, count it.

        @param what: the kind of line, a plural such as "control connections".
        """
        bucket = self._sources.pop(source, None) or Bucket(self._clock.seconds, PER_SOURCE)
        self._sources[source] = bucket
        if len(self._sources) > SOURCES:
            del self._sources[next(iter(self._sources))]
        if bucket.take() and self._all.take():
            return True
        self._counters.discard(LEFT_OUT)
        omitted = self._omitted.setdefault(what, _Omitted())
        omitted.count += 1
        if len(omitted.sources) < SOURCES:
            omitted.sources.add(source)
        if self._timer is None:
            self._since = self._clock.seconds()
            self._timer = self._clock.callLater(INTERVAL, self.tell)
        return False

    def tell(self) -> None:
        """
        Log at once how many lines have been left out since the last report.
        """
        self._timer = cancelled(self._timer)
        omitted, self._omitted = self._omitted, {}
        for what, one in omitted.items():
            self._log.warn(
                "{count} more lines on {what} were left out within {seconds:.0f} s; addresses that "
                "they came from: {sources}",
                count=one.count,
                what=what,
                seconds=self._clock.seconds() - self._since,
                sources=len(one.sources),
            )
