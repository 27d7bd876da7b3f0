"""
Tests for L{pptpgw.command.usage}, with a real store.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from pptpgw.command.main import run
from pptpgw.store.record import SessionRecord
from pptpgw.store.store import Store
from tests.ports.running import running

DAY = 86400.0
FIRST = SessionRecord(
    "a1",
    "alice",
    "gate",
    "192.0.2.7",
    started=10 * DAY,
    changed=10 * DAY + 3661,
    authentication="mschapv2",
    addresses=("10.77.0.10/32", "2001:db8::/64"),
    octetsReceived=1000,
    octetsSent=2000,
    ended=10 * DAY + 3661,
    cause="the peer terminated LCP",
    code=1,
)
SECOND = replace(
    FIRST, identifier="a2", started=20 * DAY, changed=20 * DAY + 59, ended=20 * DAY + 59
)
OPEN = replace(
    FIRST, identifier="b1", user="b\nb", started=20 * DAY, ended=None, changed=20 * DAY + 1
)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """
    A store with three sessions of two users. One of the sessions goes on.
    """
    where = f"sqlite:{tmp_path}/sessions.sqlite"

    def fill(reactor: Any) -> Deferred[Any]:
        store = Store(reactor, where, "", create=True)

        async def put() -> None:
            for record in (FIRST, SECOND, OPEN):
                await store.sessionChanged(record)
            store.close()

        return Deferred.fromCoroutine(put())

    running(fill)
    return where


def said(capsys: pytest.CaptureFixture[str], *words: str) -> list[list[str]]:
    """
    The words of each line that the command prints.
    """
    status = running(lambda reactor: Deferred.fromCoroutine(run(reactor, ["usage", *words])))
    captured = capsys.readouterr()
    assert status == 0, captured.err
    return [line.split() for line in captured.out.splitlines()]


HEAD = ["USER", "SESSIONS", "TIME", "RECEIVED", "SENT"]
ALICE = ["alice", "2", "1:02:00", "2000", "4000"]
OTHER = ["'b\\nb'", "1", "0:00:01", "1000", "2000"]


class TestSums:
    def test_everybody(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        """
        A session that goes on counts with its last written figures, and a name can't break a line.
        """
        total = ["(all)", "3", "1:02:01", "3000", "6000"]
        assert said(capsys, "--store", url) == [HEAD, ALICE, OTHER, total]

    def test_oneUser(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert said(capsys, "alice", "--store", url) == [HEAD, ALICE]
        assert said(capsys, "nobody", "--store", url) == [["no", "sessions"]]

    def test_since(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        """
        Sums since 11 January and since 12 January 1970, and since a recent time, when only the
        session that goes on counts.
        """
        for day, sums in (
            ("1970-01-11", ALICE),
            ("1970-01-12", ["alice", "1", "0:00:59", "1000", "2000"]),
        ):
            assert said(capsys, "alice", "--since", day, "--store", url) == [HEAD, sums]
        assert said(capsys, "--since", "30d", "--store", url) == [HEAD, OTHER]

    def test_theStoreThatTheGatewayWritesTo(
        self, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "pptpgw.toml").write_text(f'[audit]\nstore = "{url}"\n')
        assert said(capsys, "alice", "--config", f"{tmp_path}/pptpgw.toml") == [HEAD, ALICE]


class TestByTunnel:
    @pytest.fixture
    def url(self, url: str) -> str:
        """
        The store with sessions by known tunnels besides, of which one goes on.
        """

        def fill(reactor: Any) -> Deferred[Any]:
            store = Store(reactor, url, "")

            async def put() -> None:
                for identifier, tunnel, day in (("c1", "pptp", 30), ("c2", "sstp", 40)):
                    at = day * DAY
                    record = replace(FIRST, started=at, changed=at + 10, ended=at + 10)
                    await store.sessionChanged(
                        replace(record, identifier=identifier, tunnel=tunnel)
                    )
                at = 50 * DAY
                record = replace(OPEN, started=at, changed=at + 5, tunnel="pptp")
                await store.sessionChanged(replace(record, identifier="c3"))
                store.close()

            return Deferred.fromCoroutine(put())

        running(fill)
        return url

    def test_whoUsesWhich(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        head = ["TUNNEL", "USER", "SESSIONS", "TIME", "LAST", "RECEIVED", "SENT"]
        assert said(capsys, "--by", "tunnel", "--store", url) == [
            head,
            ["unknown", "alice", "2", "1:02:00", "1970-01-21", "2000", "4000"],
            ["unknown", "'b\\nb'", "1", "0:00:01", "1970-01-21", "1000", "2000"],
            ["pptp", "alice", "1", "0:00:10", "1970-01-31", "1000", "2000"],
            ["pptp", "'b\\nb'", "1", "0:00:05", "1970-02-20", "1000", "2000"],
            ["sstp", "alice", "1", "0:00:10", "1970-02-10", "1000", "2000"],
        ]

    def test_whoStillUsesOne(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        """
        By a filter and since a day, as JSON too; a record tells its tunnel.
        """
        words = ("--by", "tunnel", "--since", "1970-02-01", "--match", "tunnel=pptp")
        (row,) = said(capsys, *words, "--store", url)[1:]
        assert row[:2] == ["pptp", "'b\\nb'"]
        words = ("alice", "--by", "tunnel", "--match", "tunnel=sstp", "--json")
        running(
            lambda reactor: Deferred.fromCoroutine(run(reactor, ["usage", *words, "--store", url]))
        )
        (one,) = json.loads(capsys.readouterr().out)
        assert (one["user"], one["tunnel"], one["last_day"]) == ("alice", "sstp", "1970-02-10")
        assert said(capsys, "alice", "--sessions", "1", "--columns", "tunnel", "--store", url) == [
            ["TUNNEL"],
            ["sstp"],
        ]


class TestSessions:
    def test_theLatestFirst(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        head, *lines = said(capsys, "--sessions", "2", "--store", url)
        assert head[0] == "BEGAN"
        assert [line[4] for line in lines] == ["'b\\nb'", "alice"]
        assert lines[0][-2:] == ["goes", "on"]
        assert " ".join(lines[1]) == (
            "1970-01-21 00:00 UTC 0:00:59 alice 192.0.2.7 unknown 10.77.0.10/32 2001:db8::/64 "
            "1000 2000 the peer terminated LCP (1)"
        )

    def test_ofOneUserAndSince(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        words = ("alice", "--sessions", "9", "--since", "1970-01-12", "--store", url)
        assert len(said(capsys, *words)) == 2


@pytest.mark.parametrize(
    "words",
    [
        ("--since", "yesterday"),
        ("--since", "-1d"),
        ("--since", "99999999d"),
        ("--sessions", "many"),
        ("--sessions", "-1"),
        ("--sessions", "1000000"),
        ("alice", "bob"),
        ("--by", "hour"),
        ("--by", "tunnel", "--sessions", "3"),
    ],
)
def test_whatCannotBeMeant(
    words: tuple[str, ...], url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["usage", *words, "--store", url]
    assert running(lambda reactor: Deferred.fromCoroutine(run(reactor, argv))) in (1, 2)
    assert capsys.readouterr().err.startswith("pptpgw: ")
