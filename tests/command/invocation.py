"""
Runs commands in the process of the tests.
"""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from twisted.internet import reactor

from pptpgw.command.main import run
from pptpgw.store.record import Account
from pptpgw.store.store import Store


@dataclass
class Done:
    """
    The result of a command.
    """

    status: int
    out: str
    error: str


Command = Callable[..., Awaitable[Done]]


def runner(
    configuration: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """
    Return a function that runs a command with this configuration. Its keywords are C{stdin}, the
    standard input, and C{typed}, what is typed at the terminal.
    """

    async def command(*words: str, stdin: str = "", typed: tuple[str, ...] = ()) -> Done:
        waiting = list(typed)
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        monkeypatch.setattr("pptpgw.command.password.getpass", lambda prompt: waiting.pop(0))
        try:
            status = await run(reactor, [*words, "--config", str(configuration)])
        except SystemExit as ended:
            status = int(ended.code or 0)
        assert not waiting
        out, error = capsys.readouterr()
        return Done(status, out, error)

    return command


async def account(folder: Path, name: str = "bob") -> Account | None:
    """
    Return the account in the store in C{folder}; None if there is none.
    """
    store = Store(reactor, f"sqlite:{folder}/accounts.sqlite", f"{folder}/key")
    try:
        return await store.account(name)
    finally:
        store.close()


async def must(folder: Path, name: str = "bob") -> Account:
    """
    Return the account in the store in C{folder}, which must exist.
    """
    found = await account(folder, name)
    assert found is not None
    return found
