"""
The command C{pptpgw backup}, which copies the account store.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pptpgw.command.base import Named
from pptpgw.error import ConfigurationError
from pptpgw.ports.terminal import onInterrupt
from pptpgw.store import sqlite
from pptpgw.store.interface import IStore


class Backup(Named):
    """
    C{pptpgw backup COPY}: copy the store's SQLite file while it is in use.
    """

    synopsis = "COPY [options]"
    longdesc = (
        "Copy an SQLite store to the file COPY, which only its owner can read, while gateways "
        "run. The copy is enough to log in as every user: keep it as safe as the store. It doesn't "
        "contain the key of recoverable passwords, [accounts] key. For PostgreSQL use pg_dump."
    )

    async def perform(self, store: IStore) -> None:
        """
        See L{Command.perform}.
        """
        scheme, _, path = self.url.partition(":")
        if scheme != "sqlite":
            raise ConfigurationError(f"{scheme}: only SQLite stores can be copied; use pg_dump")
        # Copying blocks the reactor, so its own signal handlers would do nothing meanwhile.
        with onInterrupt(sys.exit):
            sqlite.backup(Path(path), Path(self.name))
        print(f"The accounts are copied to {self.name}.")
