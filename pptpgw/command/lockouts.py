"""
The command C{pptpgw lockouts}, which lists who is locked out.
"""

from __future__ import annotations

from time import time

from pptpgw.command.base import Command, moment, shown, table
from pptpgw.store.interface import IStore


class Lockouts(Command):
    """
    C{pptpgw lockouts}: list the users and addresses that are locked out after failed attempts.
    """

    longdesc = (
        "List who is locked out for wrong passwords, and until when, as gateways have written it "
        "to the store. A gateway that was restarted since then has forgotten the lockouts."
    )

    @property
    def url(self) -> str:
        """
        The URL of the store that the gateway writes lockouts to.
        """
        return (self["store"] is None and self.configuration.audit.store) or super().url

    async def perform(self, store: IStore) -> None:
        """
        See L{Command.perform}.
        """
        locked = await store.lockedOut(time())
        if not locked:
            print("Nobody is locked out.")
            return
        print(
            table(
                (
                    one.kind,
                    shown(one.subject),
                    f"{one.failures} failures",
                    f"until {moment(one.until)}",
                )
                for one in locked
            )
        )
