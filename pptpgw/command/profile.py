"""
The command C{pptpgw profile}, which manages profiles that users share.
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


class AddProfile(Attributed):
    """
    C{pptpgw profile add NAME}: make a profile.
    """

    creates = True

    async def perform(self, store: IStore) -> None:
        """
        See L{Command.perform}.
        """
        await store.addProfile(self.name, present(self.attributes))
        print(f"Profile {shown(self.name)} is added.")


class SetProfile(Attributed):
    """
    C{pptpgw profile set NAME}: change attributes of a profile.
    """

    async def perform(self, store: IStore) -> None:
        """
        See L{Command.perform}.
        """
        await store.changeProfile(self.name, self.attributes)
        print(f"Profile {shown(self.name)} is changed.")


class ListProfiles(Command):
    """
    C{pptpgw profile list}: list all profiles with their attributes.
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


class RemoveProfile(Named):
    """
    C{pptpgw profile remove NAME}: remove a profile that no user shares.
    """

    async def perform(self, store: IStore) -> None:
        """
        See L{Command.perform}.
        """
        await store.removeProfile(self.name)
        print(f"Profile {shown(self.name)} is removed.")


class ProfileCommands(BaseOptions):
    """
    C{pptpgw profile}: the group of commands on profiles.
    """

    synopsis = "COMMAND"
    subCommands = [
        ["add", None, AddProfile, "Make a profile."],
        ["set", None, SetProfile, "Change a profile's attributes."],
        ["list", None, ListProfiles, "List the profiles."],
        ["remove", None, RemoveProfile, "Remove a profile that nobody shares."],
    ]
