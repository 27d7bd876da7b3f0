"""
The log: how what others say is written there, and how much of it.

The rules:

 - Every value that is put into a line is printable: whatever else a text holds, control characters
   and line separators among it, is escaped as Python does it (C{\\x1b}, C{\\u2028}). That is done
   here, before any observer sees the event, so it holds for each of them, whatever it makes of it.
 - A line that concerns a session, or a call that may become one, begins with its identifier in
   brackets, the one that the audit and the store have for it.
 - A line that anybody can cause asks a L{Quota} first. What that leaves out is counted, and told in
   one line a minute for each kind.

Twisted's own loggers are left as they are: the process may belong to somebody else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from twisted import logger
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from pptpgw.bucket import Bucket
from pptpgw.counters import Counters
from pptpgw.timer import cancelled
from pptpgw.wire.text import escape

PER_SOURCE = (1 / 6, 20.0)
"""
Lines a second that one source may cause in the long run, and how many at once.
"""
IN_ALL = (5.0, 200.0)
"""
The same, of all sources together.
"""
INTERVAL = 60.0
"""
Seconds that lines are left out until the log says how many.
"""
SOURCES = 4096
"""
Sources that are remembered.
"""
LEFT_OUT = "line of the log left out"

_session: ContextVar[str] = ContextVar("session", default="")


@contextmanager
def about(session: str) -> Iterator[None]:
    """
    What is logged inside the block concerns the session of this identifier.
    """
    before = _session.set(session)
    try:
        yield
    finally:
        _session.reset(before)


class Escaped(str):
    """
    A text that is printable throughout; its C{repr} is in quotes, and escapes nothing twice.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Escaped:
        """
        @param text: any; what isn't printable in it is escaped.
        """
        return super().__new__(cls, escape(text))

    def __repr__(self) -> str:
        text = self.replace("'", "\\'")
        return f"'{text}'"


class EscapedFailure(Failure):
    """
    A failure whose traceback is printable, line by line: exceptions quote what others say.
    """

    def __init__(self, failure: Failure) -> None:
        self.__dict__.update(failure.__dict__)

    def getTraceback(self, elideFrameworkCode: int = 0, detail: str = "default") -> str:
        """
        See L{Failure.getTraceback}.
        """
        text = super().getTraceback(elideFrameworkCode, detail)
        return "\n".join(map(Escaped, text.split("\n")))


def _told(value: object) -> object:
    if value is None or isinstance(value, int | float):
        return value
    return EscapedFailure(value) if isinstance(value, Failure) else Escaped(str(value))


class Logger(logger.Logger):
    """
    What every module of pptpgw logs with.
    """

    def emit(self, level: logger.LogLevel, format: str | None = None, **values: object) -> None:
        """
        See L{logger.Logger.emit}.

        @param values: C{session} is the identifier of the session that the line concerns; without
            one it is that of L{about}, if any.
        """
        session = values.setdefault("session", _session.get())
        if not session:
            del values["session"]
        elif format is not None and "{session}" not in format:
            format = "[{session}] " + format
        told = {name: _told(value) for name, value in values.items()}
        super().emit(level, format, **told)


class _Omitted:
    """
    The lines of one kind that were left out.
    """

    __slots__ = ("count", "sources")

    def __init__(self) -> None:
        self.count = 0
        self.sources: set[str] = set()


class Quota:
    """
    How many lines of the log others may cause.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, counters: Counters) -> None:
        """
        @param counters: where lines that are left out are counted.
        """
        self._clock = clock
        self._counters = counters
        self._all = Bucket(clock.seconds, IN_ALL)
        # The one that was heard of last is at the end.
        self._sources: dict[str, Bucket] = {}
        self._omitted: dict[str, _Omitted] = {}
        self._since = 0.0
        self._timer: IDelayedCall | None = None

    def allows(self, what: str, source: str) -> bool:
        """
        Whether a line on C{what}, which a peer at the address C{source} caused, may be logged.

        @param what: in the plural, as in "control connections".
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
        Log now what was left out up to now.
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
