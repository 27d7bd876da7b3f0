"""
What commands print: sentences and tables for people, JSON for programs.

Tables have colours and the terminal's width if standard output is a terminal and they have at most
L{MOST_COLOURED} rows. Otherwise they are plain text in aligned columns, as C{awk} likes it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from shutil import get_terminal_size
from typing import Any, Generic, TypeVar

import click

from pptpgw.command.parsing import meant

T = TypeVar("T")

MOST_COLOURED = 1000
"""
The most rows of a table that get colours and the terminal's width, which takes about a millisecond
a row.
"""


def shown(text: str) -> str:
    """
    Return C{text} in a form that a terminal can show: escaped if it has control characters, or
    spaces at an end.
    """
    return text if text.isprintable() and text == text.strip() else ascii(text)


def counted(number: int, one: str, many: str) -> str:
    """
    Return C{number} with the words that follow it: C{one} after 1, and C{many} after any other
    number.
    """
    return f"{number} {one if number == 1 else many}"


def moment(time: float) -> str:
    """
    Return a time, in seconds since the epoch, as date and time in UTC, to the minute:
    C{2026-07-01 12:30 UTC}.
    """
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M UTC")


def duration(seconds: float) -> str:
    """
    Return a number of seconds as C{hours:minutes:seconds}, rounded; less than 0 is 0. There may be
    more than 24 hours.
    """
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _text(value: Any) -> str:
    if value is None or value == "" or value == []:
        return "-"
    if isinstance(value, list):
        return " ".join(map(shown, value))
    return shown(str(value))


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """
    A column of a table.

    @ivar name: the field's name in JSON.
    @ivar value: returns the field of a row: a value that JSON has.
    @ivar cell: returns the text of a row that people see; by default that of the value.
    @ivar heading: what stands above the column; by default the name.
    @ivar usual: whether people see the column if they don't ask for columns.
    @ivar isNumber: whether the column is aligned at the right, if a terminal shows it.
    @ivar style: returns rich's style of a cell's text.
    """

    name: str
    value: Callable[[T], Any]
    cell: Callable[[T], str] | None = None
    heading: str = ""
    usual: bool = True
    isNumber: bool = False
    style: Callable[[str], str] = lambda cell: ""

    @property
    def title(self) -> str:
        """
        The heading, or else the name with hyphens, in capitals.
        """
        return (self.heading or self.name.replace("_", "-")).upper()

    def text(self, row: T) -> str:
        """
        Return what people see of a row, without control characters; C{-} if there is nothing.
        """
        return _text(self.value(row)) if self.cell is None else self.cell(row)


def find(columns: Sequence[Column[T]], name: str) -> Column[T]:
    """
    Return the column that a user names by its field in JSON or by its heading.

    @raise click.UsageError: there is none.
    """
    wanted = name.strip().lower().replace("-", "_")
    for one in columns:
        if wanted in (one.name, one.title.lower().replace("-", "_")):
            return one
    names = [one.name for one in columns]
    raise click.UsageError(f"there is no column {name!r}{meant(wanted, names)}")


class Output:
    """
    What a command prints.

    @ivar asJSON: whether it is for programs.
    """

    def __init__(self, asJSON: bool) -> None:
        self.asJSON = asJSON

    def say(self, text: str, **fields: object) -> None:
        """
        Print a sentence, or its C{fields} as an object.
        """
        print(_encoded(fields) if self.asJSON else text)

    def show(self, rows: Mapping[str, str], **fields: object) -> None:
        """
        Print what is known of one thing: C{rows} for people, or C{fields} as an object.
        """
        if self.asJSON:
            print(_encoded(fields))
            return
        width = max(map(len, rows))
        _print("\n".join(f"{name:{width}}  {text}".rstrip() for name, text in rows.items()))


class Listing(Output, Generic[T]):
    """
    The listing of many things, as the options C{--columns}, C{--sort}, C{--match} and C{--json} ask
    for it.

    @ivar columns: the columns that are shown.
    """

    def __init__(
        self,
        columns: Sequence[Column[T]],
        asJSON: bool,
        chosen: str | None = None,
        order: str | None = None,
        matches: Sequence[str] = (),
    ) -> None:
        """
        @raise click.UsageError: there is no such column, or a regular expression is none.
        """
        super().__init__(asJSON)
        usual = [one for one in columns if asJSON or one.usual]
        self.columns = [find(columns, one) for one in chosen.split(",")] if chosen else usual
        self._descending = bool(order) and str(order).startswith("-")
        self._order = find(columns, order.removeprefix("-")) if order else None
        self._matches = [_match(columns, one) for one in matches]

    def list(
        self, rows: Sequence[T], nothing: str, total: Callable[[Sequence[T]], T] | None = None
    ) -> None:
        """
        Print rows.

        @param nothing: what people read if there is none.
        @param total: makes a last row for people, of more than one.
        """
        chosen = self.select(rows)
        if self.asJSON:
            print(_encoded([{one.name: one.value(row) for one in self.columns} for row in chosen]))
        elif not chosen:
            print(nothing if not rows else f"None of the {len(rows)} matches.")
        else:
            last = [total(chosen)] if total is not None and len(chosen) > 1 else []
            self._table([*chosen, *last])

    def select(self, rows: Sequence[T]) -> Sequence[T]:
        """
        Return the rows that match every C{--match}, in the order of C{--sort}; without it they stay
        in their order.
        """
        chosen = [
            row
            for row in rows
            if all(pattern.search(column.text(row)) for column, pattern in self._matches)
        ]
        order = self._order
        if order is not None:
            chosen.sort(key=lambda row: _rank(order.value(row)), reverse=self._descending)
        return chosen

    def _table(self, rows: Sequence[T]) -> None:
        titles = [one.title for one in self.columns]
        cells = [[one.text(row) for one in self.columns] for row in rows]
        if sys.stdout.isatty():
            isShort = len(cells) <= MOST_COLOURED
            _print(
                _coloured(self.columns, titles, cells) if isShort else _aligned([titles, *cells])
            )
        else:
            print(_aligned([titles, *cells]))


def _encoded(value: object) -> str:
    # Only ASCII: no control character of a name reaches a terminal.
    return json.dumps(value, indent=2)


def _match(columns: Sequence[Column[T]], text: str) -> tuple[Column[T], re.Pattern[str]]:
    name, equals, pattern = text.partition("=")
    if not equals:
        raise click.UsageError(f"--match {text}: must be COLUMN=REGEX")
    try:
        return find(columns, name), re.compile(pattern)
    except re.error as error:
        raise click.UsageError(f"--match {text}: {error}") from error


def _rank(value: Any) -> tuple[int, Any]:
    """
    Return the key by which a value is sorted: nothing first, then numbers, then texts.
    """
    if value is None:
        return 0, 0
    return (1, value) if isinstance(value, int | float) else (2, _text(value))


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _coloured(
    columns: Sequence[Column[Any]], titles: Sequence[str], rows: Sequence[Sequence[str]]
) -> str:
    # Only here: what is printed into a pipe starts sooner.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column, title in zip(columns, titles, strict=True):
        justify: Any = "right" if column.isNumber else "left"
        table.add_column(Text(title), justify=justify, overflow="fold")
    for row in rows:
        styled = zip(columns, row, strict=True)
        table.add_row(*(Text(cell, style=column.style(cell)) for column, cell in styled))
    console = Console(highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip("\n")


def _print(text: str) -> None:
    """
    Print text. If both ends are a terminal that has fewer lines, it is shown by the pager of
    C{PAGER}.
    """
    isLong = text.count("\n") + 2 > get_terminal_size().lines
    if isLong and sys.stdout.isatty() and sys.stdin.isatty():
        click.echo_via_pager(text + "\n")
    else:
        print(text)
