"""
What a run of measurements reports: the table, and the document that is written as JSON.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.row import Row


@dataclass(frozen=True, slots=True)
class Report:
    """
    Rows, and where and when they were measured.

    @ivar machine: the processor, how many there are, and the kernel.
    @ivar date: the day, as in 2026-11-30.
    @ivar load: the load averages of a minute before and after.
    @ivar runs: how often each figure was measured at most.
    @ivar absent: what couldn't be measured, each with the reason.
    """

    machine: str
    date: str
    load: tuple[float, float]
    runs: int
    absent: Mapping[str, str]
    rows: tuple[Row, ...]

    def value(self, figure: str) -> float:
        """
        Return the median of a figure.

        @raise KeyError: it isn't there.
        """
        for row in self.rows:
            if row.figure == figure:
                return row.value
        raise KeyError(figure)


def machine() -> str:
    """
    Return this machine's processor, how many there are, and the kernel.
    """
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    count = len(os.sched_getaffinity(0))
    release = ".".join(platform.release().split("-")[0].split(".")[:2])
    return f"{count} x {(names or [platform.machine()])[0]}, Linux {release}"


def today() -> str:
    """
    Return the day.
    """
    return time.strftime("%Y-%m-%d", time.gmtime())


def table(rows: Iterable[Row]) -> str:
    """
    Return rows as a table for people, a line for each.
    """
    lines = [f"{'figure':64}{'value':>10}{'low':>10}{'high':>10}  {'unit':14}{'target':>8}  ratio"]
    for row in rows:
        numbers = "".join(f"{shown(one):>10}" for one in (row.value, row.low, row.high))
        judged = ""
        if row.target is not None and row.ratio is not None:
            judged = f"{shown(row.target):>8}{row.ratio:7.2f}"
        lines.append(f"{row.figure:64}{numbers}  {row.unit:14}{judged}".rstrip())
    return "\n".join(lines)


def shown(value: float) -> str:
    """
    Return a value with three digits, or without a fraction if it is 100 or more.
    """
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def write(report: Report, path: Path) -> None:
    """
    Write a report as JSON, a line for each row, so that two reports can be compared by line.
    """
    fields = asdict(report)
    rows = fields.pop("rows")
    head = json.dumps(fields, indent=1)[:-2]
    body = ",\n".join(f"  {json.dumps(_rounded(row))}" for row in rows)
    path.write_text(f'{head},\n "rows": [\n{body}\n ]\n}}\n')


def _rounded(row: dict[str, object]) -> dict[str, object]:
    return {
        key: float(f"{value:.4g}") if isinstance(value, float) else value
        for key, value in row.items()
    }


def read(path: Path) -> Report:
    """
    Return the report that L{write} has written.
    """
    fields = json.loads(path.read_text())
    before, after = fields.pop("load")
    rows = tuple(Row(**row) for row in fields.pop("rows"))
    return Report(load=(before, after), rows=rows, **fields)
