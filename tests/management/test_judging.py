"""
Tests for L{pptpgw.management.judging}: limits on guesses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock

from pptpgw.management import judging
from pptpgw.management.credentials import OperatorChecker
from pptpgw.management.judging import (
    FAILURES,
    FAILURES_OF_SOURCE,
    LOCKOUT_SECONDS,
    MOST_WAITING,
    WRONG,
    WRONG_TOKENS,
    WRONG_TOKENS_SECONDS,
    Judge,
)
from pptpgw.management.operation import (
    Operator,
    Sender,
)
from pptpgw.management.problem import Problem
from tests.management.asking import CHEAP, REMOTE
from tests.management.guarded import ELSEWHERE, Guarded, failureOf


@pytest.fixture
def site() -> Guarded:
    return Guarded()


class TestSameWork:
    """
    Tests for what an unknown operator costs.
    """

    def test_unknown(self, site: Guarded) -> None:
        """
        The password of an unknown operator, and of one without a password, is hashed at the usual
        cost.
        """
        calls: list[tuple[Any, ...]] = []

        def inThread(function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
            calls.append((function, *arguments))
            return execute(function, *arguments)

        site.done(site.store.addOperator("robot", "admin", ""))
        checker = OperatorChecker(lambda: site.store, inThread, CHEAP)
        judge = Judge(Clock(), checker, lambda act: None)
        for name in ("viewer", "nobody", "robot"):
            failing = Deferred.fromCoroutine(judge.password(name, b"wrong", Sender("192.0.2.1")))
            assert isinstance(failureOf(failing), Problem)
        assert len(calls) == 3
        shapes = {
            (one[0], one[1], one[2].split("$")[:4] == calls[0][2].split("$")[:4]) for one in calls
        }
        assert len(shapes) == 1
        assert len({len(one[2]) for one in calls}) == 1
        judge.stop()


class TestGuessing:
    """
    Tests for the limits on guesses.
    """

    def login(self, site: Guarded, name: str, password: str, host: Any = REMOTE) -> int:
        body = {"name": name, "password": password}
        return site.asking.ask("POST", "/login", body, host).status

    def test_name(self, site: Guarded) -> None:
        """
        A name is locked out after too many wrong passwords, whether it exists or not, and only for
        passwords: sessions and tokens go on. The lockout is told.
        """
        headers = [site.headers(way, "viewer") for way in ("token", "cookie")]
        site.asking.acts.clear()
        for name in ("viewer", "nobody"):
            for _ in range(FAILURES):
                assert self.login(site, name, "wrong") == 401
            assert self.login(site, name, name) == 429
        assert self.login(site, "admin", "admin") == 200
        for one in headers:
            assert site.ask(headers=one).status == 200
        lockouts = [one for one in site.asking.acts if one.action == "lockout"]
        assert [(one.operator, one.target) for one in lockouts] == [
            ("viewer", "viewer"),
            ("nobody", "nobody"),
        ]
        failed = [one for one in site.asking.acts if one.action == "login" and one.outcome == WRONG]
        assert len(failed) == 2 * FAILURES and failed[0].source == "127.0.0.1"
        site.asking.clock.advance(LOCKOUT_SECONDS)
        assert self.login(site, "viewer", "viewer") == 200

    def test_source(self, site: Guarded) -> None:
        """
        An address that tries many names is locked out, but no other address.
        """
        for number in range(FAILURES_OF_SOURCE):
            assert self.login(site, f"n{number}", "wrong") == 401
        assert self.login(site, "viewer", "viewer") == 429
        assert self.login(site, "viewer", "viewer", ELSEWHERE) == 200

    def test_cleared(self, site: Guarded) -> None:
        """
        The right password clears the count of the name.
        """
        for _ in range(2):
            for _ in range(FAILURES - 1):
                assert self.login(site, "viewer", "wrong") == 401
            assert self.login(site, "viewer", "viewer") == 200

    def test_tokens(self, site: Guarded) -> None:
        """
        An address that sends many wrong tokens is refused for a while, with tokens alone.
        """
        right = site.headers("token", "viewer")
        for _ in range(WRONG_TOKENS):
            assert site.ask(headers={"Authorization": "Bearer wrong"}).status == 401
        assert site.ask(headers=right).status == 429
        assert self.login(site, "viewer", "viewer") == 200
        site.asking.clock.advance(WRONG_TOKENS_SECONDS)
        assert site.ask(headers=right).status == 200

    def test_logged(self, site: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The lines of the log that strangers can cause are limited.
        """
        lines: list[str] = []
        monkeypatch.setattr(Judge, "_log", _Log(lines))
        for number in range(WRONG_TOKENS):
            site.ask(headers={"Authorization": f"Bearer {number}"})
        assert 1 <= len(lines) <= 25

    def test_bounds(self, site: Guarded) -> None:
        """
        Passwords are judged one after the other, a limited number wait, and one that is wrong
        counts although its client has gone.
        """
        pending: list[Deferred[Any]] = []

        def inThread(function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
            pending.append(Deferred())
            return pending[-1]

        judge = Judge(Clock(), OperatorChecker(lambda: site.store, inThread, CHEAP), lambda _: None)
        source = Sender("192.0.2.1")

        def ask() -> Deferred[Operator]:
            return Deferred.fromCoroutine(judge.password("viewer", b"wrong", source))

        asked = [ask() for _ in range(MOST_WAITING + 1)]
        assert len(pending) == 1
        assert "wait already" in str(failureOf(ask()))
        for _ in range(FAILURES):
            asked[0].cancel()
            failureOf(asked.pop(0))
            pending.pop().callback(False)
        # The others aren't judged any more: the ones before them have caused a lockout.
        assert pending == []
        assert [str(failureOf(one)).partition(":")[0] for one in asked] == [
            "there were too many wrong passwords for this name, or from this address"
        ] * len(asked)
        judge.stop()


class _Log:
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def warn(self, line: str, **values: object) -> None:
        self._lines.append(line)


def test_constants() -> None:
    """
    Guessing takes years: a name takes fewer than 1,500 passwords a day.
    """
    assert FAILURES * 86400 / LOCKOUT_SECONDS < 1500
    assert judging.LONGEST_PASSWORD >= 64
