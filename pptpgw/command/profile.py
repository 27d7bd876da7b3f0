"""
C{pptpgw profile}.
"""

from __future__ import annotations

from pptpgw.command.base import (
    Attributed,
    BaseOptions,
    Command,
    Named,
    present,
    shown,
    summary,
    table,
)
from pptpgw.store.interface import IStore


class Add(Attributed):
    """
    C{pptpgw profile add NAME}.
    """

    creates = True

    async def perform(self, store: IStore) -> None:
        """
        See L{Command.perform}.
        """
        await store.addProfile(self.name, present(self.attributes))
        print(f"Profile {shown(self.name)} is added.")


class Set(Attributed):
    """
    C{pptpgw profile set NAME}.
    """

    async def perform(self, store: IStore) -> None:
        """
        See L{Command.perform}.
        """
        await store.changeProfile(self.name, self.attributes)
        print(f"Profile {shown(self.name)} is changed.")


class List(Command):
    """
    C{pptpgw profile list}.
    """

    async def perform(self, store: IStore) -> None:
        """
        See L{Command.perform}.
        """
        profiles = await store.profiles()
        if not profiles:
            print("There are no profiles; pptpgw profile add NAME makes one.")
            return
        print(
            table(
                (shown(one.name), f"{one.users} users", summary(one.attributes)) for one in profiles
            )
        )


class Remove(Named):
    """
    C{pptpgw profile remove NAME}.
    """

    async def perform(self, store: IStore) -> None:
        """
        See L{Command.perform}.
        """
        await store.removeProfile(self.name)
        print(f"Profile {shown(self.name)} is removed.")


class ProfileCommands(BaseOptions):
    """
    C{pptpgw profile}.
    """

    subCommands = [
        ["add", None, Add, "Make a profile."],
        ["set", None, Set, "Change a profile's attributes."],
        ["list", None, List, "List the profiles."],
        ["remove", None, Remove, "Remove a profile that nobody shares."],
    ]
