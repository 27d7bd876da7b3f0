"""
Lists: filtered, ordered and paged by the server.

A filter is a query parameter with the name of a column. A text matches as in a shell: C{*} stands
for any characters, C{?} for one, and case doesn't matter. Of a column with several values one must
match.

A list may have thousands of items, so it is filtered and ordered in slices
(L{pptpgw.timing.slices}).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from fnmatch import translate
from heapq import merge
from http import HTTPStatus
from itertools import islice
from typing import Any, Generic, TypeVar

from msgspec import Struct, structs
from twisted.internet.defer import Deferred

from pptpgw.management.operation import OperationRequest
from pptpgw.management.problem import Problem
from pptpgw.timing.slices import inSlices

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


# How many items a step of a slice filters or orders.
_STEP = 64


async def page(
    items: Iterable[T],
    request: OperationRequest,
    columns: Columns[T],
    view: Callable[[T], V],
    lasts: bool = False,
) -> Page[V]:
    """
    Return the part of a list that C{request} asks for. Only its items are turned into views.

    @param view: turns an item into what is answered.
    @param lasts: see L{chosen}.
    @raise Problem: the query names a column that isn't there.
    """
    paging = request.paging
    order = _order(paging.sort, columns) if paging.sort else None
    found = await chosen(items, request, columns, lasts)
    if order is not None:
        found = await _ordered(found, request, order)
    views: list[V] = []
    end = paging.offset + paging.limit

    def look() -> Iterator[None]:
        for one in found[paging.offset : end]:
            views.append(view(one))
            yield

    await inSlices(request.clock, look())
    return Page(views, len(found))


def assertChooses(request: OperationRequest, hint: str) -> None:
    """
    Check that the query of C{request} chooses by something, so that no change of everything is
    asked for by mistake.

    @param hint: how to choose everything.
    @raise Problem: it chooses by nothing.
    """
    if all(value is None for value in structs.asdict(request.query).values()):
        raise Problem(HTTPStatus.BAD_REQUEST, f"the query chooses nothing; {hint}")


def chosen(
    items: Iterable[T], request: OperationRequest, columns: Columns[T], lasts: bool = False
) -> Deferred[list[T]]:
    """
    Choose the items that the filters in the query of C{request} match: those of its fields that are
    columns.

    @param lasts: whether C{items} can be iterated over in slices, although what they are made of
        may change meanwhile. Otherwise they are collected at once.
    """
    found: list[T] = []
    filters = [
        (columns[name], matching(wanted))
        for name, wanted in structs.asdict(request.query).items()
        if name in columns and wanted is not None
    ]

    def choose(left: Iterator[T]) -> Iterator[None]:
        while part := list(islice(left, _STEP)):
            for get, matches in filters:
                part = [one for one in part if matches(get(one))]
            found.extend(part)
            yield

    done = inSlices(request.clock, choose(iter(items if lasts else list(items))))
    return done.addCallback(lambda _: found)


def _ordered(
    found: list[T], request: OperationRequest, order: Callable[[T], Any]
) -> Deferred[list[T]]:
    """
    Order C{found} as far as the end of the page that C{request} asks for.
    """
    paging, whole = request.paging, len(found)
    isReverse = paging.sort.startswith("-")
    parts: list[list[tuple[Any, T]]] = []
    ordered: list[T] = []

    def sort() -> Iterator[None]:
        for start in range(0, whole, _STEP):
            keyed = [(order(one), one) for one in found[start : start + _STEP]]
            keyed.sort(key=_first, reverse=isReverse)
            parts.append(keyed)
            yield
        inOrder = merge(*parts, key=_first, reverse=isReverse)
        for _, one in islice(inOrder, paging.offset + paging.limit):
            ordered.append(one)
            yield

    done = inSlices(request.clock, sort())
    # Those behind the page stand in any order; only their number counts.
    return done.addCallback(lambda _: ordered + found[len(ordered) :])


def _first(keyed: tuple[Any, T]) -> Any:
    return keyed[0]


def matching(wanted: object) -> Callable[[Any], bool]:
    """
    Return a function that tells whether a value is what the filter C{wanted} asks for.
    """
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
