"""
The commands on who is locked out for wrong passwords: C{pptpgw lockouts} and C{lockouts clear}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from time import time
from typing import Any

import click

from pptpgw.command.options import Accounts, listed, said, stored
from pptpgw.command.output import Column, Listing, Output, counted, moment, shown
from pptpgw.command.parsing import Group, command, refuse
from pptpgw.command.reach import Reach, connected, reached
from pptpgw.command.remote import NotDone, RunningGateway, quoted
from pptpgw.error import ConfigurationError, PPTPGWError
from pptpgw.sessions.username import folded
from pptpgw.timing.stamp import stamp

_HERE = "pptpgw.command.lockouts"

Lockout = Mapping[str, Any]
"""
A lockout, as the management interface describes it.
"""

KINDS = "user", "source"

group = Group(
    "lockouts",
    "Who is locked out for wrong passwords: list (if none is named), clear.",
    {
        "list": (f"{_HERE}:every", "List who is locked out for wrong passwords, and until when."),
        "clear": (f"{_HERE}:clear", "Let in again who is locked out."),
    },
    default="list",
)
"""
C{pptpgw lockouts}: the group of commands on lockouts.
"""

_ENFORCED = {True: "yes", False: "no", None: "-"}

COLUMNS: tuple[Column[Lockout], ...] = (
    Column("kind", lambda one: one["kind"]),
    Column("subject", lambda one: one["subject"]),
    Column("failures", lambda one: one["failures"], isNumber=True),
    Column("until", lambda one: stamp(one["until"]), lambda one: moment(one["until"])),
    Column("enforced", lambda one: one["enforced"], lambda one: _ENFORCED[one["enforced"]]),
)
"""
The columns of C{pptpgw lockouts}.
"""


@command(
    "list",
    "List who is locked out for wrong passwords, and until when.",
    "The running gateway is asked. It also tells of lockouts that it doesn't enforce: those in the "
    "store from before a restart, and of other gateways. If it can't be asked, or --store is "
    "given, those in the store are listed, and it isn't known whether they are enforced. With "
    "--gateway the store isn't asked.",
)
@listed(COLUMNS)
@reached
@stored
async def every(accounts: Accounts, listing: Listing[Lockout], reach: Reach) -> None:
    """
    C{pptpgw lockouts}: list the users and addresses that are locked out after failed attempts.
    """
    listing.list(await _known(accounts, reach), "Nobody is locked out.")


async def lockoutOf(accounts: Accounts, name: str) -> Lockout | None:
    """
    Return the lockout of a user; None if there is none, or none can be known.
    """
    try:
        found = await _known(accounts, Reach())
    except PPTPGWError:
        return None
    subject = _folded(name)
    return next((one for one in found if (one["kind"], one["subject"]) == ("user", subject)), None)


def _folded(name: str) -> str:
    return folded(name.encode("utf-8", "surrogateescape"), True)


async def _known(accounts: Accounts, reach: Reach) -> Sequence[Lockout]:
    try:
        return await _current(accounts, reach)
    except PPTPGWError:
        if reach.url is not None and accounts.location is None:
            raise
        return await _stored(accounts)


async def _current(accounts: Accounts, reach: Reach) -> Sequence[Lockout]:
    """
    Return the lockouts that the running gateway knows.

    @raise PPTPGWError: it can't be asked, or isn't meant.
    """
    if accounts.location is not None:
        raise ConfigurationError("a store is named")
    return await reach.gateway(accounts.reactor, *accounts.management).list("/lockouts")


async def _stored(accounts: Accounts) -> Sequence[Lockout]:
    with accounts.store(audit=True) as store:
        locked = await store.lockedOut(time())
    return [
        {
            "kind": one.kind,
            "subject": one.subject,
            "failures": one.failures,
            "until": one.until,
            "enforced": None,
        }
        for one in locked
    ]


@command(
    "clear",
    "Let in again who is locked out.",
    "WORDS are [KIND] SUBJECT. SUBJECT is the name of a user, or the address that calls come from; "
    "KIND is user or source, and says which of them is meant.",
)
@click.argument("words", nargs=-1, metavar="[[KIND] SUBJECT]")
@click.option("--all", "everyone", is_flag=True, help="Clear all lockouts.")
@said
@connected
async def clear(
    gateway: RunningGateway, output: Output, words: Sequence[str], everyone: bool
) -> None:
    """
    C{pptpgw lockouts clear}: clear lockouts of the running gateway.

    @raise ConfigurationError: who is named isn't locked out.
    """
    if everyone == bool(words) or len(words) > 2:
        refuse("name one [KIND] SUBJECT, or --all")
    if everyone:
        answer = await gateway.ask("DELETE", "/lockouts", {"subject": "*"})
        cleared = answer["subjects"]
    else:
        *kinds, subject = words
        if not set(kinds) <= set(KINDS):
            refuse(f"KIND is {' or '.join(KINDS)}, not {kinds[0]}")
        cleared = await _clear(gateway, kinds or KINDS, subject)
    lines = [f"{counted(len(cleared), 'lockout is', 'lockouts are')} cleared."]
    lines += [f"{one['kind']} {shown(one['subject'])}" for one in cleared]
    output.say("\n".join(lines), subjects=cleared)


async def _clear(gateway: RunningGateway, kinds: Sequence[str], subject: str) -> list[Any]:
    """
    Clear the lockouts of C{subject}, however its name is spelled.

    @raise ConfigurationError: there is none.
    """
    names = {"source": subject, "user": _folded(subject)}
    cleared: list[Any] = []
    for kind in kinds:
        try:
            answer = await gateway.ask("DELETE", f"/lockouts/{kind}/{quoted(names[kind])}")
        except NotDone as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
        else:
            cleared += answer["subjects"]
    if not cleared:
        raise ConfigurationError(f"{' or '.join(kinds)} {shown(subject)} isn't locked out")
    return cleared
