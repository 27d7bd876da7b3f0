"""
Tests for L{pptpgw.management.page}, for long lists.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from pptpgw.management.operation import OperationRequest, Operator, OperatorRole, Paging
from pptpgw.management.page import Columns, page


class Query(Struct):
    """
    A filter.

    @ivar name: the name.
    """

    name: str | None = None


class Busy(Clock):
    """
    A clock on which asking for the time takes a tenth of a millisecond.
    """

    def seconds(self) -> float:
        self.rightNow += 0.0001
        return self.rightNow


COUNT = 10_000
COLUMNS: Columns[int] = {"name": lambda one: f"n{one}", "rest": lambda one: one % 7}


def paged(clock: Clock, name: str | None = None, **paging: Any) -> Any:
    """
    Ask for a page of the numbers below L{COUNT}, and return the answer and the number of slices.
    """
    operator = Operator("alice", OperatorRole.VIEWER)
    request = OperationRequest(operator, clock, {}, Query(name), None, Paging(**paging))
    answers: list[Any] = []
    done = Deferred.fromCoroutine(page(range(COUNT), request, COLUMNS, str))
    done.addCallback(answers.append)
    slices = 1
    while not answers:
        (call,) = clock.getDelayedCalls()
        clock.advance(call.getTime() - clock.rightNow)
        slices += 1
    return answers[0], slices


@pytest.mark.parametrize("reverse", [False, True])
def test_orderedInSlices(reverse: bool) -> None:
    """
    A long list is ordered in many slices. Items that the order doesn't part stay as they were.
    """
    sort = "-rest" if reverse else "rest"
    answer, slices = paged(Busy(), sort=sort, offset=1400, limit=100)
    expected = sorted(range(COUNT), key=lambda one: one % 7, reverse=reverse)
    assert answer.items == [str(one) for one in expected[1400:1500]]
    assert answer.total == COUNT
    assert slices > 10


def test_filteredInSlices() -> None:
    """
    A long list is filtered in many slices.
    """
    answer, slices = paged(Busy(), name="n99?9", limit=20)
    assert answer.items == [str(one) for one in range(9909, 10_000, 10)]
    assert answer.total == 10 and slices > 5


def test_atOnce() -> None:
    """
    What fits in one slice is answered at once.
    """
    assert paged(Clock(), sort="name")[1] == 1


def test_behindTheEnd() -> None:
    """
    A page behind the end of the list has no items.
    """
    answer, _ = paged(Clock(), sort="name", offset=COUNT)
    assert (answer.items, answer.total) == ([], COUNT)
