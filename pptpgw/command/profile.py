"""
The command C{pptpgw profile}, which manages profiles that users share.
"""

from __future__ import annotations

from collections.abc import Mapping

from pptpgw.command.attributes import WORDS, attributed, checked, summary
from pptpgw.command.completion import profileNames
from pptpgw.command.options import Accounts, listed, said, stored
from pptpgw.command.output import Column, Listing, Output, shown
from pptpgw.command.parsing import Group, command, one
from pptpgw.store.attribute import fields, present
from pptpgw.store.record import SharedProfile

_HERE = "pptpgw.command.profile"

group = Group(
    "profile",
    "Attributes that users share: add, set, list, remove.",
    {
        "add": (f"{_HERE}:add", "Make a profile."),
        "set": (f"{_HERE}:change", "Change a profile's attributes."),
        "list": (f"{_HERE}:every", "List the profiles."),
        "remove": (f"{_HERE}:remove", "Remove a profile that nobody shares."),
    },
)
"""
C{pptpgw profile}: the group of commands on profiles.
"""

_existing = one("NAME", complete=profileNames)


@command("add", "Make a profile.", WORDS)
@one("NAME")
@attributed
@said
@stored
async def add(accounts: Accounts, output: Output, given: Mapping[str, str], name: str) -> None:
    """
    C{pptpgw profile add NAME}: make a profile. The store is made if it is missing.

    @raise pptpgw.store.error.Taken: there is one of this name.
    """
    attributes = present(checked(given, accounts.configuration))
    with accounts.store(create=True) as store:
        await store.addProfile(name, attributes)
    _done(output, name, "added")


@command("set", "Change a profile's attributes.", WORDS)
@_existing
@attributed
@said
@stored
async def change(accounts: Accounts, output: Output, given: Mapping[str, str], name: str) -> None:
    """
    C{pptpgw profile set NAME}: change attributes of a profile. Calls to come of the users who share
    it are given them.

    @raise pptpgw.store.error.Unknown: there is no such profile.
    """
    attributes = checked(given, accounts.configuration)
    with accounts.store() as store:
        await store.changeProfile(name, attributes)
    _done(output, name, "changed")


COLUMNS: tuple[Column[SharedProfile], ...] = (
    Column("name", lambda one: one.name),
    Column("users", lambda one: one.users, isNumber=True),
    Column("attributes", lambda one: fields(one.attributes), lambda one: summary(one.attributes)),
)
"""
The columns of C{pptpgw profile list}.
"""


@command("list", "List the profiles.")
@listed(COLUMNS)
@stored
async def every(accounts: Accounts, listing: Listing[SharedProfile]) -> None:
    """
    C{pptpgw profile list}: list all profiles with their attributes.
    """
    with accounts.store() as store:
        found = await store.profiles()
    listing.list(found, "There are no profiles; pptpgw profile add NAME makes one.")


@command("remove", "Remove a profile that nobody shares.")
@_existing
@said
@stored
async def remove(accounts: Accounts, output: Output, name: str) -> None:
    """
    C{pptpgw profile remove NAME}: remove a profile.

    @raise pptpgw.store.error.InUse: users share it.
    @raise pptpgw.store.error.Unknown: there is no such profile.
    """
    with accounts.store() as store:
        await store.removeProfile(name)
    _done(output, name, "removed")


def _done(output: Output, name: str, what: str) -> None:
    output.say(f"Profile {shown(name)} is {what}.", profile=name, done=what)
