"""
Tests for the command C{pptpgw operator}.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from twisted.internet import reactor

from pptpgw.command import operator
from pptpgw.store.password import Cost, hashPassword, isPassword
from pptpgw.store.record import OperatorAccount
from pptpgw.store.store import Store
from tests.command.invocation import Command, Done


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Hash at a low cost.
    """
    cost = Cost(16, 1, 1)
    monkeypatch.setattr(operator, "hashPassword", lambda password: hashPassword(password, cost))


def storeIn(folder: Path) -> Store:
    return Store(reactor, f"sqlite:{folder}/accounts.sqlite", f"{folder}/key")


async def found(folder: Path, name: str = "ann") -> OperatorAccount | None:
    store = storeIn(folder)
    try:
        return await store.operator(name)
    finally:
        store.close()


async def must(folder: Path) -> OperatorAccount:
    account = await found(folder)
    assert account is not None
    return account


class TestAdd:
    """
    Tests for C{pptpgw operator add}.
    """

    async def test_typed(self, pptpgw: Command, tmp_path: Path) -> None:
        """
        Without options a viewer is made, whose password is typed.
        """
        done = await pptpgw("operator", "add", "ann", typed=("sesame", "sesame"))
        assert done == Done(0, "Operator ann is added.\n", "")
        ann = await must(tmp_path)
        assert ann.role == "viewer" and isPassword(b"sesame", ann.password)

    async def test_generated(self, pptpgw: Command, tmp_path: Path) -> None:
        """
        A password that is made is printed once.
        """
        done = await pptpgw("operator", "add", "ann", "--role", "admin", "--generate", "--json")
        said = json.loads(done.out)
        ann = await must(tmp_path)
        assert ann.role == "admin" and isPassword(said["password"].encode(), ann.password)

    async def test_withoutPassword(self, pptpgw: Command, tmp_path: Path) -> None:
        """
        An operator may have no password.
        """
        assert (await pptpgw("operator", "add", "ann", "--no-password")).status == 0
        assert (await must(tmp_path)).password == ""

    @pytest.mark.parametrize(
        ("words", "status", "complaint"),
        [
            (["ann", "--role", "nobody"], 2, "'nobody' is not one of"),
            (["ann", "sesame"], 2, "one NAME is needed"),
            (["ann", "--no-password", "--generate"], 2, "it can be only one of them"),
            (["a:b", "--generate"], 1, "a name has 1 to 64"),
            (["ann", "--stdin"], 1, "the password is empty"),
        ],
    )
    async def test_refused(
        self, pptpgw: Command, tmp_path: Path, words: list[str], status: int, complaint: str
    ) -> None:
        """
        What can't be done is refused, and nothing is made.
        """
        done = await pptpgw("operator", "add", *words)
        assert done.status == status and complaint in done.error
        assert not (tmp_path / "accounts.sqlite").exists() or await found(tmp_path) is None

    async def test_twice(self, pptpgw: Command) -> None:
        """
        A name is taken once, which is said before a password is asked for.
        """
        await pptpgw("operator", "add", "ann", "--no-password")
        done = await pptpgw("operator", "add", "ann")
        assert (done.status, done.error) == (1, "pptpgw: there is an operator ann already\n")


class TestSet:
    """
    Tests for C{pptpgw operator set}.
    """

    async def test_changes(self, pptpgw: Command, tmp_path: Path) -> None:
        """
        What isn't named stays as it is.
        """
        await pptpgw("operator", "add", "ann", "--stdin", stdin="one\n")
        await pptpgw("operator", "set", "ann", "--role", "operator")
        ann = await must(tmp_path)
        assert ann.role == "operator" and isPassword(b"one", ann.password)
        await pptpgw("operator", "set", "ann", "--password", typed=("two", "two"))
        ann = await must(tmp_path)
        assert ann.role == "operator" and isPassword(b"two", ann.password)
        await pptpgw("operator", "set", "ann", "--no-password")
        assert (await must(tmp_path)).password == ""

    async def test_nothing(self, pptpgw: Command) -> None:
        """
        A change of nothing, and of nobody, is refused.
        """
        await pptpgw("operator", "add", "ann", "--no-password")
        assert (await pptpgw("operator", "set", "ann")).status == 2
        done = await pptpgw("operator", "set", "bob", "--role", "admin")
        assert (done.status, done.error) == (1, "pptpgw: there is no operator bob\n")


async def test_listAndRemove(pptpgw: Command, tmp_path: Path) -> None:
    """
    Operators are listed without secrets, disabled, enabled and removed.
    """
    await pptpgw("operator", "add", "ann", "--no-password")
    await pptpgw("operator", "add", "bob", "--role", "admin", "--generate")
    listed = json.loads((await pptpgw("operator", "list", "--json")).out)
    assert [(one["name"], one["role"], one["password"]) for one in listed] == [
        ("ann", "viewer", False),
        ("bob", "admin", True),
    ]
    assert "scrypt" not in str(listed)
    for word, disabled in (("disable", True), ("enable", False)):
        done = await pptpgw("operator", word, "ann")
        assert done.out == f"Operator ann is {word}d.\n"
        listed = json.loads((await pptpgw("operator", "list", "--json")).out)
        assert [one["disabled"] for one in listed] == [disabled, False]
        assert (await pptpgw("operator", word, "carol")).status == 1
    assert (await pptpgw("operator", "remove", "ann")).out == "Operator ann is removed.\n"
    assert await found(tmp_path) is None
    assert (await pptpgw("operator", "remove", "ann")).status == 1


async def test_tokens(pptpgw: Command, tmp_path: Path) -> None:
    """
    A token is printed once, works until its time, and is removed by its name.
    """
    await pptpgw("operator", "add", "ann", "--no-password")
    words = ("operator", "token", "add", "ann", "--name", "backup")
    done = await pptpgw(*words, "--lasts", "90d")
    token = done.out.splitlines()[1]
    store = storeIn(tmp_path)
    try:
        account = await store.operatorWithToken(token)
        assert account is not None and account.name == "ann"
        listed = (await pptpgw("operator", "token", "list", "ann")).out
        assert "backup" in listed and token not in listed
        (one,) = await store.tokens("ann")
        assert one.expires is not None and abs(one.expires - one.created - 90 * 86400) < 60
        assert (await pptpgw(*words)).status == 1
        done = await pptpgw("operator", "token", "remove", "ann", "--name", "backup")
        assert done.out == "The token backup of operator ann is removed.\n"
        assert await store.operatorWithToken(token) is None
    finally:
        store.close()
    assert (await pptpgw("operator", "token", "add", "bob", "--name", "x")).status == 1
    assert (await pptpgw("operator", "token", "add", "ann")).status == 2
    assert (await pptpgw(*words, "--lasts", "soon")).status == 1
