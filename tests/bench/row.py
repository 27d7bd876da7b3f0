"""
What is measured: figures, trials that give them values, and the rows that come of it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Figure:
    """
    A figure that a trial gives.

    @ivar name: its name, which no other figure has.
    @ivar target: the value that is wanted; None if none was set.
    @ivar least: whether the target is the least value that is wanted; otherwise it is the most.
    """

    name: str
    unit: str
    target: float | None = None
    least: bool = False

    def chosen(self, pattern: str) -> bool:
        """
        Return whether C{pattern} means this figure: a part of its name, or a pattern with C{*}.
        """
        return pattern in self.name or fnmatchcase(self.name, pattern)


@dataclass(frozen=True, slots=True)
class Trial:
    """
    Something that is done several times, and gives one value for each of its figures each time.

    @ivar run: does it once, and returns the values in the order of the figures.
    @ivar most: how often it is done at most.
    """

    figures: tuple[Figure, ...]
    run: Callable[[], Sequence[float]]
    most: int = 100


@dataclass(frozen=True, slots=True)
class Quotient:
    """
    A figure that is the value of one figure divided by that of another one in the same run.
    """

    figure: Figure
    dividend: str
    divisor: str


@dataclass(frozen=True, slots=True)
class Row:
    """
    A figure as it was measured.

    @ivar value: the median of all runs.
    @ivar low: the lowest value of a run.
    @ivar high: the highest value of a run.
    @ivar target: see L{Figure}.
    @ivar ratio: how far the target is met, 1 or more if it is; None without a target.
    """

    figure: str
    value: float
    low: float
    high: float
    unit: str
    target: float | None = None
    ratio: float | None = None


def rowOf(figure: Figure, values: Sequence[float]) -> Row:
    """
    Return the row of a figure that had these values.
    """
    middle = statistics.median(values)
    ratio = None
    if figure.target is not None:
        above, below = (middle, figure.target) if figure.least else (figure.target, middle)
        # A value of 0 meets every target that is a maximum.
        ratio = above / below if below else 1.0
    lowest, highest = min(values), max(values)
    return Row(figure.name, middle, lowest, highest, figure.unit, figure.target, ratio)


def measure(
    trials: Iterable[Trial],
    quotients: Iterable[Quotient],
    runs: int,
    pattern: str,
    failed: Callable[[str, Exception], object],
    begins: Callable[[str], object] = lambda figure: None,
    over: Callable[[], bool] = lambda: False,
) -> list[Row]:
    """
    Do every trial C{runs} times, in turn, so that what else the machine does meets all alike.

    @param pattern: which figures are wanted; empty for all. The others of a trial are measured, but
        have no row.
    @param failed: called with the name of the first figure of a trial that failed. The trial isn't
        done again, and has no rows.
    @param begins: called with the name of the first figure of a trial that is about to be done.
    @param over: whether no time is left: then no further trial is done, and those that weren't done
        at all have failed.
    """
    quotients = [one for one in quotients if one.figure.chosen(pattern)]
    parts = {name for one in quotients for name in (one.dividend, one.divisor)}
    chosen = [
        trial
        for trial in trials
        if any(one.chosen(pattern) or one.name in parts for one in trial.figures)
    ]
    values: dict[str, list[float]] = {}
    for number in range(runs):
        for trial in tuple(chosen):
            if number >= trial.most:
                continue
            try:
                if over():
                    if number:
                        continue
                    raise TimeoutError("no time was left")
                begins(trial.figures[0].name)
                found = trial.run()
            except Exception as error:
                failed(trial.figures[0].name, error)
                chosen.remove(trial)
            else:
                for figure, value in zip(trial.figures, found, strict=True):
                    values.setdefault(figure.name, []).append(value)
    rows = [
        rowOf(figure, values[figure.name])
        for trial in chosen
        for figure in trial.figures
        if figure.chosen(pattern)
    ]
    return rows + [
        rowOf(one.figure, divided)
        for one in quotients
        if (divided := _divided(values, one.dividend, one.divisor))
    ]


def _divided(values: Mapping[str, Sequence[float]], dividend: str, divisor: str) -> list[float]:
    pairs = zip(values.get(dividend, ()), values.get(divisor, ()), strict=False)
    return [above / below for above, below in pairs if below]
