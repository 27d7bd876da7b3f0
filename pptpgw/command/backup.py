"""
The command C{pptpgw backup}, which copies the account store.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pptpgw.command.options import FORCE, Accounts, said, stored
from pptpgw.command.output import Output
from pptpgw.command.parsing import command, one
from pptpgw.error import ConfigurationError
from pptpgw.ports.terminal import onInterrupt
from pptpgw.store import sqlite


@command(
    "backup",
    "Copy the store to a file.",
    "The store is an SQLite file, which gateways may go on using. Only its owner can read the "
    "copy, which is enough to log in as every user: keep it as safe as the store. It doesn't "
    "contain the key of recoverable passwords, [accounts] key. For PostgreSQL use pg_dump.",
)
@one("COPY")
@FORCE
@said
@stored
async def backup(accounts: Accounts, output: Output, copy: str, force: bool) -> None:
    """
    C{pptpgw backup COPY}: copy the store's SQLite file while it is in use.

    @raise ConfigurationError: the store isn't an SQLite file.
    """
    scheme, _, path = accounts.url().partition(":")
    if scheme != "sqlite":
        raise ConfigurationError(f"{scheme}: only SQLite stores can be copied; use pg_dump")
    # Copying blocks the reactor, so its own signal handlers would do nothing meanwhile.
    with onInterrupt(sys.exit):
        sqlite.backup(Path(path), Path(copy), replace=force)
    output.say(f"The accounts are copied to {copy}.", file=copy)
