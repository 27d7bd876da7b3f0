"""
Lists: filtered, ordered and paged by the server.

A filter is a query parameter with the name of a column. A text matches as in a shell: C{*} stands
for any characters, C{?} for one, and case doesn't matter. Of a column with several values one must
match.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from fnmatch import translate
from http import HTTPStatus
from typing import Any, Generic, TypeVar

from msgspec import Struct, structs

from pptpgw.management.operation import OperationRequest
from pptpgw.management.problem import Problem

T = TypeVar("T")
V = TypeVar("V")


class Page(Struct, Generic[V], frozen=True):
    """
    A part of a list.

    @ivar items: the items of this page.
    @ivar total: how many items match, on all pages.
    """

    items: list[V]
    total: int


Columns = Mapping[str, Callable[[T], Any]]
"""
The columns of a list: functions that give an item's text, number, truth or collection of texts.
"""


def page(
    items: Iterable[T],
    request: OperationRequest,
    columns: Columns[T],
    view: Callable[[T], V],
) -> Page[V]:
    """
    Return the part of a list that C{request} asks for. Only its items are turned into views.

    @param view: turns an item into what is answered.
    @raise Problem: the query names a column that isn't there, or its items can't be ordered by it.
    """
    found, paging = chosen(items, request.query, columns), request.paging
    if paging.sort:
        found.sort(key=_order(paging.sort, columns), reverse=paging.sort.startswith("-"))
    part = found[paging.offset : paging.offset + paging.limit]
    return Page([view(one) for one in part], len(found))


def chosen(items: Iterable[T], query: Struct, columns: Columns[T]) -> list[T]:
    """
    Return the items that the filters in C{query} match: those of its fields that are columns.
    """
    found = list(items)
    for name, wanted in structs.asdict(query).items():
        if name in columns and wanted is not None:
            get, matches = columns[name], _matching(wanted)
            found = [one for one in found if matches(get(one))]
    return found


def _matching(wanted: object) -> Callable[[Any], bool]:
    if not isinstance(wanted, str):
        return lambda value: bool(value == wanted)
    match = re.compile(translate(wanted), re.IGNORECASE).match

    def matches(value: Any) -> bool:
        if value is None:
            return False
        if isinstance(value, Collection) and not isinstance(value, str):
            return any(match(str(one)) for one in value)
        return match(str(value)) is not None

    return matches


def _order(sort: str, columns: Columns[T]) -> Callable[[T], Any]:
    name = sort.removeprefix("-")
    if name not in columns:
        raise Problem(HTTPStatus.BAD_REQUEST, f"sort={sort}: the columns are {', '.join(columns)}")
    get = columns[name]

    def order(item: T) -> tuple[bool, Any]:
        value = get(item)
        if isinstance(value, Collection) and not isinstance(value, str):
            value = ", ".join(map(str, value))
        elif isinstance(value, str):
            value = value.casefold()
        # What has no value stands first.
        return value is not None, value

    return order
