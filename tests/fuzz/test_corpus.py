"""
Tests that run every saved input.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.fuzz import link
from tests.fuzz.reader import Target
from tests.fuzz.targets import CORPUS, KINDS, pathOf, saved, targetsOf

LIMIT = 100_000
"""
Octets of all files together.
"""


@pytest.fixture(scope="module", autouse=True)
def gateways() -> Iterator[None]:
    """
    The gateways that serve one input after another are stopped at the end.
    """
    yield
    link.close()


def every() -> Iterator[tuple[str, str, Target]]:
    """
    The targets, each with its kind and its name.
    """
    for kind in KINDS:
        for name, target in targetsOf(kind).items():
            yield kind, name, target


@pytest.mark.parametrize(
    ("kind", "name", "target"), [pytest.param(*one, id="-".join(one[:2])) for one in every()]
)
def test_savedInputs(kind: str, name: str, target: Target) -> None:
    """
    No saved input finds a fault.
    """
    inputs = saved(kind, name)
    assert inputs, f"nothing is saved: python -m tests.fuzz --keep {kind}"
    for octets in (b"", *inputs):
        try:
            target(octets)
        except Exception as problem:
            problem.add_note(f"python -m tests.fuzz --reproduce {kind} {name} {octets.hex()}")
            raise
    # Free objects in cycles while a failure can still fail the test.
    gc.collect()


def test_filesAreOfTargets() -> None:
    """
    Every file belongs to a target, and all files together are small.
    """
    files = {path for path in CORPUS.rglob("*") if path.is_file()}
    assert files == {pathOf(kind, name) for kind, name, _ in every()}
    assert sum(path.stat().st_size for path in files) < LIMIT
