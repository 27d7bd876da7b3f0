"""
Tests for L{pptpgw.management.operators}.
"""

from __future__ import annotations

from typing import Any

import pytest
from openapi_spec_validator import validate

from pptpgw.management.operation import Operations
from pptpgw.store.password import isPassword
from pptpgw.testing import resultOf
from tests.management.asking import REMOTE, Asking


@pytest.fixture
def asking() -> Asking:
    return Asking(Operations(()))


def make(asking: Asking, name: str, role: str = "viewer", **more: Any) -> Any:
    return asking.ask("POST", "/operators", {"name": name, "role": role, **more})


def test_made(asking: Asking) -> None:
    """
    An operator is made with a password that is stored as a hash, which no answer has.
    """
    answer = make(asking, "ann", "operator", password="sesame")
    assert answer.json["role"] == "operator" and answer.json["has_password"] is True
    assert make(asking, "robot").json["has_password"] is False
    account = resultOf(asking.store.operator("ann"))
    assert account is not None and isPassword(b"sesame", account.password)
    for path in ("/operators", "/operators/ann"):
        text = asking.ask("GET", path).octets.decode()
        assert "scrypt" not in text and account.revision not in text
    listed = asking.ask("GET", "/operators", role="operator").json
    assert listed["total"] == 1 and listed["items"] == [asking.ask("GET", "/operators/ann").json]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "ann", "role": "viewer"}, 409),
        ({"name": "bob", "role": "nobody"}, 400),
        ({"name": "bob", "role": "owner"}, 400),
        ({"name": "bob"}, 400),
        ({"name": "", "role": "viewer"}, 400),
        ({"name": "x" * 65, "role": "viewer"}, 400),
        ({"name": "bob", "role": "viewer", "password": ""}, 400),
        ({"name": "bob", "role": "viewer", "token": "x"}, 400),
        ({"name": "uid 0", "role": "viewer"}, 400),
        ({"name": "a:b", "role": "viewer"}, 400),
    ],
)
def test_notMade(asking: Asking, body: Any, status: int) -> None:
    """
    What can't be an operator is refused, and nothing is made.
    """
    make(asking, "ann")
    assert asking.ask("POST", "/operators", body).status == status
    assert asking.ask("GET", "/operators").json["total"] == 1


def test_changed(asking: Asking) -> None:
    """
    A change leaves out what it doesn't name; null takes the password away.
    """
    make(asking, "ann", password="one")
    changed = asking.ask("PATCH", "/operators/ann", {"role": "admin"}).json
    assert (changed["role"], changed["has_password"]) == ("admin", True)
    asking.ask("PATCH", "/operators/ann", {"password": "two"})
    account = resultOf(asking.store.operator("ann"))
    assert account is not None and isPassword(b"two", account.password)
    assert asking.ask("PATCH", "/operators/ann", {"password": None}).json["has_password"] is False
    before = resultOf(asking.store.operator("ann"))
    assert asking.ask("PATCH", "/operators/ann", {}).status == 200
    assert resultOf(asking.store.operator("ann")) == before
    assert asking.ask("PATCH", "/operators/bob", {"role": "admin"}).status == 404


def test_disabled(asking: Asking) -> None:
    """
    A disabled operator keeps role, password and tokens, and can be listed by that.
    """
    make(asking, "ann", "admin", password="one")
    make(asking, "bob")
    before = asking.ask("GET", "/operators/ann").json
    assert asking.ask("PATCH", "/operators/ann", {"disabled": True}).json["disabled"] is True
    for disabled, names in (("true", ["ann"]), ("false", ["bob"])):
        listed = asking.ask("GET", "/operators", disabled=disabled).json["items"]
        assert [one["name"] for one in listed] == names
    assert asking.ask("PATCH", "/operators/ann", {"disabled": False}).json == before
    assert asking.ask("PATCH", "/operators/ann", {"disabled": None}).status == 400


def test_removed(asking: Asking) -> None:
    """
    An operator who is removed is not there any more.
    """
    make(asking, "ann")
    assert asking.ask("DELETE", "/operators/ann").status == 204
    for method in ("DELETE", "GET"):
        assert asking.ask(method, "/operators/ann").status == 404


def test_tokens(asking: Asking) -> None:
    """
    A token is shown once, logs in until its time, and can be taken back.
    """
    make(asking, "ann", "admin")
    path = "/operators/ann/tokens"
    token = asking.ask("POST", path, {"name": "script", "lasts_seconds": 60}).json["token"]
    other = asking.ask("POST", path, {"name": "other"}).json["token"]
    listed = asking.ask("GET", path, sort="-name").json
    assert [(one["name"], one["expires"]) for one in listed["items"]] == [
        ("script", 60.0),
        ("other", None),
    ]
    assert token not in asking.ask("GET", path).octets.decode()

    def status(one: str) -> int:
        headers = {"Authorization": f"Bearer {one}"}
        return asking.ask("GET", "/me", host=REMOTE, headers=headers).status

    assert (status(token), status(other)) == (200, 200)
    asking.clock.advance(60)
    assert (status(token), status(other)) == (401, 200)
    assert asking.ask("GET", path, name="other").json["items"][0]["used"] is not None
    assert asking.ask("DELETE", f"{path}/other").status == 204
    assert (status(other), asking.ask("DELETE", f"{path}/other").status) == (401, 404)
    for method, body in (("GET", None), ("POST", {"name": "x"})):
        assert asking.ask(method, "/operators/bob/tokens", body).status == 404
    assert asking.ask("POST", path, {"name": "script"}).status == 409
    assert asking.ask("POST", path, {"name": "x", "lasts_seconds": 0}).status == 400


def test_document(asking: Asking) -> None:
    """
    The OpenAPI document of these operations is valid.
    """
    validate(asking.document)
