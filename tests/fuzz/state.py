"""
Checks for every target that has state.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from twisted.internet.task import Clock

from tests.logged import loggedFailures


@contextmanager
def unfailing() -> Iterator[None]:
    """
    Assert that nothing is logged as a failure in this block.
    """
    with loggedFailures() as failures:
        yield
    assert not failures, "\n".join(failure.getTraceback() for failure in failures)


def runOut(clock: Clock, seconds: float = 600, step: float = 1.0) -> None:
    """
    Let C{clock} run until no timer is left, which must be within C{seconds}.
    """
    passed = 0.0
    while clock.getDelayedCalls():
        assert passed < seconds, clock.getDelayedCalls()
        clock.advance(step)
        passed += step
