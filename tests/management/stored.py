"""
A store whose database is in memory, and which answers at once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, execute, fail

from pptpgw.store import sqlite
from pptpgw.store.database import Transaction, Work
from pptpgw.store.error import StoreError
from pptpgw.store.store import Store
from pptpgw.store.vault import Vault

T = TypeVar("T")


class MemoryDatabase:
    """
    An SQLite database in memory, for L{Store} in the place of a L{pptpgw.store.database.Database}.

    @ivar fault: why it doesn't answer; empty if it does.
    """

    url = "sqlite:memory"

    def __init__(self) -> None:
        self.fault = ""
        self._connection = sqlite3.connect(":memory:")
        self._connection.execute("PRAGMA foreign_keys = ON")

    def read(self, work: Work[T]) -> Deferred[T]:
        if self.fault:
            return fail(StoreError(self.fault))
        return execute(self._do, work)

    write = alone = read

    def hasTable(self, transaction: Transaction, name: str) -> bool:
        row = transaction.row(sqlite.EXISTS, name)
        return row is not None and row[0] > 0

    def close(self) -> None:
        self._connection.close()

    def _do(self, work: Work[T]) -> T:
        with self._connection:
            return work(Transaction(self._connection.cursor(), sqlite.PLACEHOLDER))


class MemoryStore(Store):
    """
    A store on a L{MemoryDatabase}.
    """

    def __init__(self, now: Callable[[], float], key: Path = Path("/nonexistent")) -> None:
        """
        @param key: the path of the file with the key of recoverable passwords.
        """
        self.database = MemoryDatabase()
        self.url = self.database.url
        self.vault = Vault(key, create=True)
        self._now = now
        self._database: Any = self.database
        self._isOpen = False
        self._waiting: list[Deferred[None]] = []
