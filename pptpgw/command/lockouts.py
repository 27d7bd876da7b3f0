"""
The command C{pptpgw lockouts}, which lists who is locked out.
"""

from __future__ import annotations

from time import time

from pptpgw.command.options import Accounts, listed, stored
from pptpgw.command.output import Column, Listing, moment, stamp
from pptpgw.command.parsing import command
from pptpgw.store.record import Attempts

COLUMNS: tuple[Column[Attempts], ...] = (
    Column("kind", lambda one: one.kind),
    Column("subject", lambda one: one.subject),
    Column("failures", lambda one: one.failures, isNumber=True),
    Column("until", lambda one: stamp(one.until), lambda one: moment(one.until)),
    Column("last", lambda one: stamp(one.last), lambda one: moment(one.last), usual=False),
)
"""
The columns of C{pptpgw lockouts}.
"""


@command(
    "lockouts",
    "List who is locked out for wrong passwords, and until when.",
    "The lockouts are those that gateways have written to the store. A gateway that was restarted "
    "since then has forgotten them.",
)
@listed(COLUMNS)
@stored
async def lockouts(accounts: Accounts, listing: Listing[Attempts]) -> None:
    """
    C{pptpgw lockouts}: list the users and addresses that are locked out after failed attempts.
    """
    with accounts.store(audit=True) as store:
        locked = await store.lockedOut(time())
    listing.list(locked, "Nobody is locked out.")
