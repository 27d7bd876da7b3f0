"""
C{python -m tests.bench.accounts FOLDER USERS} makes an account store in a folder.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from pptpgw.store.store import Store
from tests.bench.caller import PASSWORD


async def make(reactor: Any, folder: str, users: int) -> None:
    """
    Make the store, with C{users} users.
    """
    store = Store(reactor, f"sqlite:{folder}/accounts.sqlite", f"{folder}/key", create=True)
    for number in range(users):
        await store.addAccount(f"caller{number}", PASSWORD.encode())
    store.close()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(make(reactor, sys.argv[1], int(sys.argv[2]))))
