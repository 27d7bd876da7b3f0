"""
Tests for L{pptpgw.sessions.hours}.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.error import ConfigurationError
from pptpgw.sessions.hours import Hours, parse

HOUR = 3600.0


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """
    A function that sets the time zone. The zone is UTC until it is called.
    """

    def become(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    become("UTC0")
    yield become
    monkeypatch.undo()
    time.tzset()


def at(text: str) -> float:
    """
    The seconds since 1970 at the local time C{text}. (1 June 2026 is a Monday.)
    """
    return datetime.fromisoformat(text).timestamp()


class TestParse:
    @pytest.mark.parametrize(
        ("text", "spans"),
        [
            ("Mo 08:00-18:00", ((480, 1080),)),
            ("Mo-Tu 08:00-18:00", ((480, 1080), (1920, 2520))),
            ("Mo We 00:00-00:01", ((0, 1), (2880, 2881))),
            ("Mo", ((0, 1440),)),
            ("Sa-Su", ((7200, 10080),)),
            ("Su-Mo", ((0, 1440), (8640, 10080))),
            ("Su 22:00-06:00", ((0, 360), (9960, 10080))),
            ("Mo 08:00-24:00", ((480, 1440),)),
            ("Mo 08:00-12:00, Mo 11:00-13:00", ((480, 780),)),
            ("Mo 12:00-13:00,Mo 08:00-12:00", ((480, 780),)),
            ("Mo-Su", ((0, 10080),)),
            ("00:00-24:00", ((0, 10080),)),
            ("00:00-00:00", ((0, 10080),)),
            ("Mo-Tu Su 10:00-11:00", ((600, 660), (2040, 2100), (9240, 9300))),
        ],
    )
    def test_whatIsMeant(self, text: str, spans: tuple[tuple[int, int], ...]) -> None:
        assert parse(text) == Hours(spans)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            " ",
            ",",
            "Mo,",
            "Mon",
            "mo",
            "Mo-",
            "Mo-FrSa",
            "Mo 8:00-18:00",
            "Mo 08:00",
            "Mo 08:00-",
            "Mo08:00-18:00",
            "08:60-18:00",
            "08:00-24:01",
            "25:00-26:00",
            "24:00-01:00",
            "Mo 08:00-18:00 Tu",
            "Mo " * 400,
            "Mo ٠٨:00-18:00",
        ],
    )
    def test_whatMeansNothing(self, text: str) -> None:
        with pytest.raises(ConfigurationError):
            parse(text)

    @given(st.text(alphabet="MoTuWeFr0123456789:-, ", max_size=40))
    def test_anyTextMeansHoursOrIsRefused(self, text: str) -> None:
        try:
            hours = parse(text)
        except ConfigurationError:
            return
        assert hours.spans
        assert all(0 <= start < end <= 10080 for start, end in hours.spans)


class TestLeft:
    def test_withinAndWithout(self, zone: object) -> None:
        hours = parse("Mo-Fr 08:00-18:00, Sa 09:00-12:00")
        assert hours.left(at("2026-06-01 07:59:59")) == 0
        assert hours.left(at("2026-06-01 08:00")) == 10 * HOUR
        assert hours.left(at("2026-06-01 17:59:59")) == 1
        assert hours.left(at("2026-06-01 18:00")) == 0
        assert hours.left(at("2026-06-06 11:00")) == HOUR
        assert hours.left(at("2026-06-07 11:00")) == 0

    def test_overTheEndOfTheWeek(self, zone: object) -> None:
        """
        Hours that pass the end of the week are one stretch.
        """
        assert parse("Sa-Mo").left(at("2026-06-06 00:00")) == 72 * HOUR
        assert parse("Su 22:00-06:00").left(at("2026-06-07 23:00")) == 7 * HOUR
        assert parse("Su 22:00-06:00").left(at("2026-06-08 05:00")) == HOUR

    def test_always(self, zone: object) -> None:
        assert parse("Mo-Su").left(at("2026-06-03 12:34")) == inf

    def test_local(self, zone: Callable[[str], None]) -> None:
        """
        Hours are local times of this machine.
        """
        zone("XXX-2")
        assert parse("Mo 08:00-09:00").left(at("2026-06-01 06:30+00:00")) == HOUR / 2

    def test_summerTime(self, zone: Callable[[str], None]) -> None:
        """
        The night in which summer time ends has an hour more, and the night in which it begins an
        hour less.
        """
        zone("CET-1CEST,M3.5.0,M10.5.0/3")
        hours = parse("Sa-Su 20:00-08:00")
        assert hours.left(at("2026-10-24 23:00")) == 10 * HOUR
        assert hours.left(at("2026-03-28 23:00")) == 8 * HOUR

    @given(st.integers(0, 4_000_000_000))
    def test_isLeftOrNot(self, when: int) -> None:
        """
        The hours end exactly as much later as C{left} says.
        """
        hours = parse("Mo-Fr 08:00-18:00, Fr-Su 22:00-03:30")
        left = hours.left(when)
        assert 0 <= left <= 10 * HOUR + HOUR
        if left:
            assert hours.left(when + left) == 0
            assert hours.left(when + left - 1) == 1
