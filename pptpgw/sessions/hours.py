"""
The hours in which a user may call, such as C{"Mo-Fr 08:00-18:00, Sa 09:00-12:00"}.

The text consists of parts with commas between them, each with days, times or both. Days are C{Mo},
C{Tu}, C{We}, C{Th}, C{Fr}, C{Sa}, C{Su} and ranges of them, with spaces between them; a part
without days holds for every day. Times are C{HH:MM-HH:MM}, up to but not including the second one;
C{24:00} is the end of a day. A part without times holds for the whole day. If the second time isn't
later than the first, it is a time of the next day. Ranges of days may extend over the end of the
week. Times are those of this machine's time zone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from math import inf

from pptpgw.error import ConfigurationError

_DAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
_DAY_MINUTES = 24 * 60
_WEEK_MINUTES = 7 * _DAY_MINUTES
_DAY = "(?:Mo|Tu|We|Th|Fr|Sa|Su)"
_RANGE = f"{_DAY}(?:-{_DAY})?"
_PART = re.compile(
    rf"(?P<days>{_RANGE}(?: +{_RANGE})*)?(?(days)(?: +|$))"
    r"(?:(\d\d):([0-5]\d)-(\d\d):([0-5]\d))?",
    re.ASCII,
)
# The longest text that is read, in characters. Every set of hours can be written shorter.
_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class Hours:
    """
    The hours in which a user may call and be connected.

    @ivar spans: the spans in minutes of the week, counted from Monday 00:00, in ascending order and
        without touching; each from its first minute up to, but not including, its end.
    """

    spans: tuple[tuple[int, int], ...]

    def left(self, when: float) -> float:
        """
        Return how many seconds remain at the time C{when} (in seconds since 1970, in UTC) until the
        hours end: 0 outside of them, infinite if they never end.
        """
        if self.spans == ((0, _WEEK_MINUTES),):
            return inf
        local, minute = _minuteOfWeek(when)
        end = next((end for start, end in self.spans if start <= minute < end), None)
        if end is None:
            return 0.0
        if end == _WEEK_MINUTES and self.spans[0][0] == 0:
            end += self.spans[0][1]
        return max(0.0, _secondsTo(end, local, when))

    def until(self, when: float) -> float:
        """
        Return how many seconds after C{when} (in seconds since 1970, in UTC) the hours begin: 0
        within them.
        """
        local, minute = _minuteOfWeek(when)
        if any(start <= minute < end for start, end in self.spans):
            return 0.0
        begins = (start for start, _ in self.spans if start > minute)
        begin = next(begins, self.spans[0][0] + _WEEK_MINUTES)
        return max(0.0, _secondsTo(begin, local, when))


def _minuteOfWeek(when: float) -> tuple[datetime, int]:
    """
    Return the local time, and its minute of the week.
    """
    local = datetime.fromtimestamp(when)
    return local, local.weekday() * _DAY_MINUTES + local.hour * 60 + local.minute


def _secondsTo(minute: int, local: datetime, when: float) -> float:
    """
    Return the seconds from C{when}, which is C{local}, to a minute of that week or the next one.
    """
    # Subtracting local times would be an hour wrong where summer time begins or ends.
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    monday = midnight - timedelta(days=local.weekday())
    return (monday + timedelta(minutes=minute)).timestamp() - when


@lru_cache(maxsize=1024)
def parse(text: str) -> Hours:
    """
    Parse C{text}.

    @raise ConfigurationError: the text doesn't have the form above; the message says what is wrong.
    """
    if len(text) > _LONGEST:
        raise ConfigurationError(f"hours of more than {_LONGEST} characters")
    spans: list[tuple[int, int]] = []
    for start, end in sorted(one for part in text.split(",") for one in _spans(part.strip())):
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return Hours(tuple(spans))


def _spans(part: str) -> Iterator[tuple[int, int]]:
    """
    Return the spans of one part; a span over the end of the week is split in two.
    """
    match = _PART.fullmatch(part)
    if match is None or not part:
        raise ConfigurationError(
            f'hours "{part}": must be days, times or both, as in "Mo-Fr 08:00-18:00"'
        )
    days, *clock = match.groups()
    first, last = 0, _DAY_MINUTES
    if clock[0] is not None:
        first = _minute(clock[0], clock[1], _DAY_MINUTES - 1)
        last = _minute(clock[2], clock[3], _DAY_MINUTES)
        if last <= first:
            last += _DAY_MINUTES
    for day in _days(days or "Mo-Su"):
        start, end = day * _DAY_MINUTES + first, day * _DAY_MINUTES + last
        yield start, min(end, _WEEK_MINUTES)
        if end > _WEEK_MINUTES:
            yield 0, end - _WEEK_MINUTES


def _minute(hour: str, minute: str, highest: int) -> int:
    minutes = int(hour) * 60 + int(minute)
    if minutes > highest:
        raise ConfigurationError(f"hours with {hour}:{minute}: a day goes from 00:00 to 24:00")
    return minutes


def _days(text: str) -> Iterator[int]:
    for one in text.split():
        first, _, last = one.partition("-")
        start, end = _DAYS.index(first), _DAYS.index(last or first)
        for day in range(start, end + 1 if end >= start else end + 8):
            yield day % 7
