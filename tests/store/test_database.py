"""
Tests for L{pptpgw.store.database} and L{pptpgw.store.schema}: deadlines, connections and versions.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import pytest
from twisted.internet import reactor as globalReactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater

from pptpgw.error import ConfigurationError
from pptpgw.store import database
from pptpgw.store.database import THREADS, Database, Transaction
from pptpgw.store.error import StoreError, Unknown
from pptpgw.store.record import SessionRecord, TunnelUsage, Usage
from pptpgw.store.schema import STEPS, upgrade
from tests.postgresql import Server
from tests.store.conftest import MakeStore

reactor: Any = globalReactor


@pytest.fixture
def sql(url: str) -> Iterator[Database]:
    """
    A database without tables.
    """
    made = Database(reactor, url, create=True)
    yield made
    made.close()


@pytest.fixture
def hurried(tmp_path: Path) -> Iterator[Database]:
    """
    A database with a short deadline.
    """
    made = Database(reactor, f"sqlite:{tmp_path}/hurried.sqlite", create=True, deadline=0.2)
    yield made
    made.close()


def one(transaction: Transaction) -> object:
    """
    The result of a query that takes no time.
    """
    return transaction.row("SELECT 1 + 1")


class TestQueries:
    async def test_rows(self, sql: Database) -> None:
        def work(transaction: Transaction) -> list[tuple[object, ...]]:
            transaction.execute("CREATE TABLE t (a TEXT, b BIGINT, c DOUBLE PRECISION)")
            assert transaction.execute("INSERT INTO t VALUES (?, ?, ?)", "x%?", 1 << 62, 0.5) == 1
            transaction.execute("INSERT INTO t VALUES (?, ?, ?)", "é", None, None)
            assert transaction.row("SELECT a FROM t WHERE a = ?", "none") is None
            return transaction.rows("SELECT a, b, c FROM t ORDER BY a")

        assert await sql.write(work) == [("x%?", 1 << 62, 0.5), ("é", None, None)]

    async def test_whatFailsIsUndone(self, sql: Database) -> None:
        def work(transaction: Transaction) -> None:
            transaction.execute("CREATE TABLE t (a TEXT)")
            raise Unknown("x")

        with pytest.raises(Unknown):
            await sql.write(work)
        assert await sql.read(lambda transaction: sql.hasTable(transaction, "t")) is False

    async def test_aFaultOfTheDatabase(self, sql: Database) -> None:
        with pytest.raises(StoreError, match="nonsense"):
            await sql.read(lambda transaction: transaction.rows("SELECT * FROM nonsense"))
        assert await sql.read(one) == (2,)

    async def test_theReactorGoesOn(self, sql: Database) -> None:
        """
        The reactor runs while a query waits.
        """
        released = Event()

        def work(transaction: Transaction) -> bool:
            return released.wait(10)

        asked = sql.read(work)
        await deferLater(reactor, 0.01, lambda: None)
        assert not asked.called
        released.set()
        assert await asked is True


class TestDeadline:
    async def test_noAnswer(self, hurried: Database) -> None:
        released = Event()
        try:
            with pytest.raises(StoreError, match=r"no answer within 0\.2 s"):
                await hurried.read(lambda transaction: released.wait(10))
        finally:
            released.set()
        assert await hurried.read(one) == (2,)

    async def test_whatIsTooLateIsNeverBegun(self, hurried: Database) -> None:
        """
        A query that waits for a thread beyond its deadline is never begun.
        """
        released = Event()
        begun: list[object] = []
        asked: list[Deferred[Any]] = [
            hurried.read(lambda transaction: released.wait(10)) for _ in range(THREADS)
        ]
        asked.append(hurried.read(lambda transaction: begun.append(one(transaction))))
        results = await DeferredList(asked, consumeErrors=True)
        assert [success for success, _ in results] == [False] * (THREADS + 1)
        released.set()
        assert await hurried.read(one) == (2,)
        hurried.close()
        assert begun == []
        with pytest.raises(StoreError, match="it is closed"):
            await hurried.read(one)

    async def test_whatIsCancelledIsNeverBegun(self, sql: Database) -> None:
        """
        A query that is cancelled while it waits for a thread is never begun.
        """
        released = Event()
        begun: list[object] = []
        asked: list[Deferred[Any]] = [
            sql.read(lambda transaction: released.wait(10)) for _ in range(THREADS)
        ]
        unwanted: Deferred[Any] = sql.read(lambda transaction: begun.append(one(transaction)))
        unwanted.cancel()
        with pytest.raises(StoreError):
            await unwanted
        released.set()
        await DeferredList(asked, consumeErrors=True)
        assert await sql.read(one) == (2,)
        assert begun == []

    async def test_notTooManyWait(self, hurried: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(database, "MOST_QUERIES", 3)
        released = Event()
        waiting = [hurried.read(lambda transaction: released.wait(10)) for _ in range(3)]
        with pytest.raises(StoreError, match="3 queries wait"):
            await hurried.read(one)
        released.set()
        await DeferredList(waiting)
        assert await hurried.read(one) == (2,)


class TestClose:
    async def test_aQueryThatHangs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: list[str]
    ) -> None:
        """
        C{close} stops waiting for a query that hangs.
        """
        monkeypatch.setattr(database, "CLOSE_SECONDS", 0.1)
        made = Database(reactor, f"sqlite:{tmp_path}/x", create=True)
        released, begun = Event(), Event()

        def hang(transaction: Transaction) -> None:
            begun.set()
            released.wait(20)

        asked = made.read(hang)
        begun.wait(10)
        made.close()
        assert log == ["a query still runs after 0.1 s; it is abandoned"]
        released.set()
        await asked

    def test_theProcessEnds(self, tmp_path: Path) -> None:
        """
        The process ends even if a query hangs.
        """
        program = f"""
from threading import Event
from twisted.internet import reactor
from pptpgw.store import database

database.CLOSE_SECONDS = 0.1
made = database.Database(reactor, "sqlite:{tmp_path}/x", create=True)

def hang(transaction):
    reactor.callFromThread(reactor.stop)
    Event().wait()

reactor.callWhenRunning(made.read, hang)
reactor.run()
print("over")
"""
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert (done.returncode, done.stdout) == (0, "over\n"), done.stderr


class TestSQLite:
    async def test_writersWaitForEachOther(self, tmp_path: Path) -> None:
        """
        Writers in several threads wait for each other, so that what each has read stays true.
        SQLite's own deferred lock would make some fail.
        """
        made = Database(reactor, f"sqlite:{tmp_path}/x", create=True)
        await made.write(lambda transaction: transaction.execute("CREATE TABLE t (n BIGINT)"))
        await made.write(lambda transaction: transaction.execute("INSERT INTO t VALUES (0)"))

        def increment(transaction: Transaction) -> None:
            row = transaction.row("SELECT n FROM t")
            assert row is not None
            transaction.execute("UPDATE t SET n = ?", row[0] + 1)

        await DeferredList([made.write(increment) for _ in range(50)], fireOnOneErrback=True)
        row = await made.read(lambda transaction: transaction.row("SELECT n FROM t"))
        assert row == (50,)
        made.close()

    @pytest.mark.parametrize("create", [False, True])
    def test_aDamagedFile(self, tmp_path: Path, create: bool) -> None:
        """
        A file that isn't a database, or that has a damaged page, is refused, and the error says
        what to do.
        """
        path = tmp_path / "x"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE t (a TEXT)")
            connection.executemany("INSERT INTO t VALUES (?)", [("x" * 1000,)] * 100)
            connection.commit()
        path.chmod(0o600)
        Database(reactor, f"sqlite:{path}", create)
        whole = path.read_bytes()
        for octets in (b"nonsense" * 1000, whole[:8192] + bytes(4096) + whole[12288:]):
            path.write_bytes(octets)
            with pytest.raises(StoreError, match=r"the store is damaged \(.*sqlite3 .* \.recover"):
                Database(reactor, f"sqlite:{path}", create)

    @pytest.mark.parametrize("create", [False, True])
    async def test_aFileThatIsRemovedOrReplaced(self, tmp_path: Path, create: bool) -> None:
        """
        Queries fail while the database's file is missing, and go to the new file when it was
        replaced. Nothing is written to the removed file.
        """
        path, copy = tmp_path / "x", tmp_path / "copy"
        first = Database(reactor, f"sqlite:{path}", create=True)
        await first.write(lambda transaction: transaction.execute("CREATE TABLE t (n BIGINT)"))
        first.close()
        shutil.copy(path, copy)
        made = Database(reactor, f"sqlite:{path}", create)

        def add(transaction: Transaction) -> object:
            transaction.execute("INSERT INTO t VALUES (1)")
            return transaction.row("SELECT COUNT(*) FROM t")

        assert await made.write(add) == (1,)
        for name in ("x", "x-wal", "x-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        for _ in range(THREADS + 1):
            with pytest.raises(StoreError, match="was removed while it is in use; remove x-wal"):
                await made.write(add)
        assert not path.exists()
        copy.rename(path)
        assert await made.write(add) == (1,)
        made.close()

    def test_others(self, tmp_path: Path) -> None:
        path = tmp_path / "x"
        path.touch(0o640)
        with pytest.raises(StoreError, match=f"chmod 600 {path}"):
            Database(reactor, f"sqlite:{path}")

    def test_notAURL(self) -> None:
        for url in ("", "x", "sqlite:", "postgresql:db", "/var/lib/x.sqlite"):
            with pytest.raises(ConfigurationError, match="must be sqlite:PATH or postgresql://"):
                Database(reactor, url)


class TestPostgreSQL:
    async def test_connectionsThatWereCut(self, server: Server) -> None:
        """
        Queries work again after all connections were cut at once, as by a restart of the server.
        """
        made = Database(reactor, server.fresh())
        released = Event()

        def work(transaction: Transaction) -> object:
            released.wait(0.1)
            return transaction.row("SELECT pg_backend_pid()")

        first = await DeferredList([made.read(work) for _ in range(THREADS)])
        assert len({pid for _, pid in first}) == THREADS
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        again = await DeferredList([made.read(work) for _ in range(THREADS)])
        assert all(success for success, _ in again)
        assert {pid for _, pid in first}.isdisjoint(pid for _, pid in again)
        made.close()

    async def test_theServerIsAwayForAWhile(self, server: Server) -> None:
        made = Database(reactor, server.fresh())
        assert await made.read(one) == (2,)
        server.stop()
        with pytest.raises(StoreError, match="connection"):
            await made.read(one)
        server.start()
        assert await made.read(one) == (2,)
        made.close()

    async def test_aLockThatSomebodyHolds(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database, "LOCK_SECONDS", 0.2)
        url = server.fresh()
        made = Database(reactor, url)
        await made.write(lambda transaction: transaction.execute("CREATE TABLE t (a TEXT)"))
        released = Event()

        locked: Deferred[None] = Deferred()

        def hold(transaction: Transaction) -> None:
            transaction.execute("LOCK TABLE t")
            reactor.callFromThread(locked.callback, None)
            released.wait(5)

        held = made.write(hold)
        await locked
        with pytest.raises(StoreError, match=r"(lock|statement) timeout"):
            await made.write(lambda transaction: transaction.execute("DELETE FROM t"))
        released.set()
        await held
        made.close()

    async def test_aServerThatHangs(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A thread that waits for a hanging server is soon free, a query that waits for a thread is
        never begun, and closing doesn't take long. Queries work again when the server goes on.
        """
        monkeypatch.setattr(database, "LOCK_SECONDS", 2.0)
        url = server.fresh()
        made, other = Database(reactor, url), Database(reactor, url)
        assert await made.read(one) == await other.read(one) == (2,)
        with server.hanging():
            began = monotonic()
            with pytest.raises(StoreError, match="the server is silent for 3 s"):
                await made.read(one)
            asked = [other.read(one) for _ in range(40)]
            other.close()
            assert monotonic() - began < 10
        await DeferredList(asked, consumeErrors=True)
        assert await made.read(one) == (2,)
        made.close()

    def test_theDriverIsMissing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "pptpgw.store.postgresql", raising=False)
        monkeypatch.delattr("pptpgw.store.postgresql", raising=False)
        monkeypatch.setitem(sys.modules, "psycopg", None)
        with pytest.raises(ConfigurationError, match=r"pip install 'pptpgw\[postgresql\]'"):
            Database(reactor, "postgresql://localhost/x")


LATER = (*STEPS, ("ALTER TABLE users ADD COLUMN remark TEXT NOT NULL DEFAULT ''",))


class TestVersions:
    async def test_onceIsEnough(self, sql: Database) -> None:
        await upgrade(sql)
        await upgrade(sql)

    async def test_twoAtOnce(self, url: str, makeStore: MakeStore) -> None:
        """
        Two that make the tables at the same time, like the gateway and the command, both succeed.
        """
        stores = [makeStore(url) for _ in range(4)]
        await DeferredList([one.open() for one in stores], fireOnOneErrback=True)
        await stores[0].addAccount("bob", b"x")
        assert await stores[3].account("bob") is not None

    async def test_aLaterVersionKeepsWhatIsThere(
        self, url: str, sql: Database, makeStore: MakeStore
    ) -> None:
        store = makeStore(url)
        await store.addAccount("bob", b"x", attributes={"mtu": "1280"})
        await upgrade(sql, LATER)
        rows = await sql.read(
            lambda transaction: transaction.rows("SELECT name, attributes, remark FROM users")
        )
        assert rows == [("bob", '{"mtu": "1280"}', "")]

    async def test_operatorsOfAnEarlierVersion(
        self, url: str, sql: Database, makeStore: MakeStore
    ) -> None:
        """
        Operators that were made before operators could be disabled are enabled.
        """
        await upgrade(sql, STEPS[:2])
        await sql.write(
            lambda transaction: transaction.execute(
                "INSERT INTO operators VALUES ('ann', 'viewer', 'HASH', 1, 2, 'x')"
            )
        )
        (ann,) = await makeStore(url).operators()
        assert (ann.name, ann.password, ann.disabled) == ("ann", "HASH", False)

    async def test_usageOfAnEarlierVersion(
        self, url: str, sql: Database, makeStore: MakeStore
    ) -> None:
        """
        Sessions and sums that were written before there were several tunnels remain, without a
        tunnel, and new ones are added beside them.
        """
        await upgrade(sql, STEPS[:3])
        await sql.write(
            lambda transaction: [
                transaction.execute(
                    "INSERT INTO usage VALUES ('bob', '2026-01-02', 3, 60.5, 1000, 2000)"
                ),
                transaction.execute(
                    "INSERT INTO sessions VALUES ('a1', 'bob', 'gate', '192.0.2.7', 1, 2, '', '', "
                    "'', 0, 0, 0, 0, 2, 'it ended', 1)"
                ),
            ]
        )
        store = makeStore(url)
        assert await store.usage() == [Usage("bob", 3, 60.5, 1000, 2000)]
        day = 1767312000.0
        new = SessionRecord(
            "a2", "bob", "gate", "192.0.2.7", day, day + 9, ended=day + 9, tunnel="sstp"
        )
        await store.sessionEnded(new)
        assert await store.usageByTunnel() == [
            TunnelUsage("bob", 3, 60.5, 1000, 2000, "", "2026-01-02"),
            TunnelUsage("bob", 1, 9.0, 0, 0, "sstp", "2026-01-02"),
        ]
        assert [one.tunnel for one in await store.sessions()] == ["sstp", ""]

    async def test_aStepThatFailsChangesNothing(self, sql: Database) -> None:
        await upgrade(sql)
        with pytest.raises(StoreError):
            await upgrade(sql, (*LATER, ("ALTER TABLE nonsense ADD COLUMN a TEXT",)))
        await upgrade(sql, LATER)

    async def test_tablesOfALaterVersion(
        self, url: str, sql: Database, makeStore: MakeStore
    ) -> None:
        """
        Tables of a later version are left unchanged, and are looked at again at the next attempt.
        """
        await upgrade(sql, LATER)
        store = makeStore(url)
        with pytest.raises(
            StoreError, match=f"made by a later pptpgw; this one knows {len(STEPS)}"
        ):
            await store.accounts()
        await sql.write(
            lambda transaction: transaction.execute(
                "UPDATE pptpgw_schema SET version = ?", len(STEPS)
            )
        )
        assert await store.accounts() == []
