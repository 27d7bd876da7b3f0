"""
Tests for L{pptpgw.management.subjects}: the operations of all subjects together.
"""

from __future__ import annotations

from typing import Any

import pytest
from openapi_spec_validator import validate
from twisted.internet.defer import execute

from pptpgw.management.operation import Operations
from pptpgw.management.rates import Rates
from pptpgw.management.subjects import operations
from tests.management.asking import Asking
from tests.management.managed import STARTED, Managed


@pytest.fixture
def document() -> Any:
    world = Managed()
    rates = Rates(world.clock, world.sessions)
    return Asking(Operations(operations(world, rates, execute, lambda: STARTED))).document


def test_valid(document: Any) -> None:
    """
    The OpenAPI document of all operations is valid, and no two have the same identifier.
    """
    validate(document)
    identifiers = [
        one["operationId"] for path in document["paths"].values() for one in path.values()
    ]
    assert len(set(identifiers)) == len(identifiers) > 30


def test_described(document: Any) -> None:
    """
    Every field of what is answered and of what is asked for is described in words.
    """
    parameters = {
        f"{method} {path} {one['name']}": one
        for path, some in document["paths"].items()
        for method, operation in some.items()
        for one in operation["parameters"]
        if one["in"] == "query"
    }
    fields = {
        f"{name}.{field}": one
        for name, schema in document["components"]["schemas"].items()
        for field, one in schema.get("properties", {}).items()
        # The tag of a kind of event is described by its value.
        if "enum" not in one or field != "kind"
    }
    assert len(fields) > 150
    silent = [name for name, one in (parameters | fields).items() if not one.get("description")]
    assert silent == []
