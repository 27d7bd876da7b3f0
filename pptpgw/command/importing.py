"""
The command C{pptpgw import}, which takes users from a file of another program.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from pptpgw.command.options import Accounts, said, stored
from pptpgw.command.output import Output, counted, shown
from pptpgw.command.parsing import command, one
from pptpgw.command.status import DONE, FAILED
from pptpgw.error import ConfigurationError
from pptpgw.ports.terminal import onInterrupt
from pptpgw.profilecheck import checkProfile
from pptpgw.store.interface import IStore
from pptpgw.store.record import Draft
from pptpgw.userfiles.entry import Entry, EntryFault, EntrySource
from pptpgw.userfiles.format import FORMATS, detect
from pptpgw.userfiles.intake import Intake, draftOf

MANY = 1000
"""
The number of users from which on a progress bar is shown.
"""


@command(
    "import",
    "Add the users of a file of pppd, accel-ppp, RouterOS or FreeRADIUS.",
    "FILE is pppd's chap-secrets, accel-ppp's with speeds, RouterOS' /ppp secret export "
    "show-sensitive, FreeRADIUS' users file, or what pptpgw export writes; - is standard input. "
    "All users are taken or, if a line can't be taken, none; with --skip-errors the others are, "
    "and the exit status is 1.",
)
@one("FILE")
@click.option(
    "--format",
    "chosen",
    type=click.Choice(["auto", *FORMATS]),
    default="auto",
    help="The format of the file; auto, which is the default, looks at its lines.",
)
@click.option(
    "--server", metavar="NAME", help="The gateway's name in chap-secrets. Instead of [link] name."
)
@click.option(
    "--recoverable",
    is_flag=True,
    help="Store the passwords themselves too, encrypted: CHAP needs them.",
)
@click.option("--update", is_flag=True, help="Change users that exist; by default they are errors.")
@click.option("--skip-errors", is_flag=True, help="Take the other users if lines can't be taken.")
@click.option("--dry-run", is_flag=True, help="Only say what would happen to each user.")
@said
@stored
async def take(
    accounts: Accounts,
    output: Output,
    file: str,
    chosen: str,
    server: str | None,
    recoverable: bool,
    update: bool,
    skip_errors: bool,
    dry_run: bool,
) -> int:
    """
    C{pptpgw import FILE}: take the users of a file. All that can be taken are added in one
    transaction.

    @return: the exit status, 1 if users are left out.
    @raise ConfigurationError: the file has a user that can't be taken, and C{skip_errors} is false.
    """
    content = _content(file)
    kind = detect(content) if chosen == "auto" else chosen
    if chosen == "auto" and kind != "chap-secrets":
        words = f"{file} is taken as {FORMATS[kind].words}; --format names another one"
        print(words, file=sys.stderr)
    source = EntrySource(content, server or accounts.configuration.link.name)
    with onInterrupt(sys.exit):
        found = list(FORMATS[kind].read(source))
    if not found:
        words = f"{file} has no users as {FORMATS[kind].words}; --format names another format"
        print(words, file=sys.stderr)
    existing, profiles = await _known(accounts)
    check = partial(checkProfile, accounts.configuration)
    intake = Intake(existing, profiles, check, update)
    with _progress("judging", len(found)) as advance:
        judged = []
        for each in found:
            judged.append(intake.judged(each))
            advance()
    entries = [each for each in judged if isinstance(each, Entry)]
    faults = [each for each in judged if isinstance(each, EntryFault)]
    for each in entries:
        for note in each.notes:
            print(f"{_where(each)}: {note}", file=sys.stderr)
    for fault in faults:
        print(f"{_where(fault)} is left out: {shown(fault.why)}", file=sys.stderr)
    status = FAILED if faults else DONE
    if dry_run:
        _foretell(output, entries, faults, existing, skip_errors)
        return status
    if faults and not skip_errors:
        raise ConfigurationError(
            f"nothing is imported: {len(faults)} of {len(found)} users can't be taken. "
            "--skip-errors takes the others"
        )
    with accounts.store(create=True) as store:
        drafts = list(_drafts(store, entries, recoverable))
        added, changed = await store.takeAccounts(drafts, update)
    changes = f", {changed} changed" if update else ""
    output.say(
        f"{counted(added, 'user is', 'users are')} added{changes}, {len(faults)} left out.",
        added=added,
        changed=changed,
        left_out=[_fault(one) for one in faults],
        format=kind,
    )
    return status


def _content(file: str) -> bytes:
    try:
        with onInterrupt(sys.exit):
            return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}") from error


async def _known(accounts: Accounts) -> tuple[set[str], set[str]]:
    """
    Return the names of the users and of the profiles in the store. A store that isn't there yet has
    none.
    """
    scheme, _, path = accounts.url().partition(":")
    if scheme == "sqlite" and not Path(path).exists():
        return set(), set()
    with accounts.store() as store:
        users = {account.name for account in await store.accounts()}
        return users, {profile.name for profile in await store.profiles()}


def _where(found: Entry | EntryFault) -> str:
    return f"line {found.line}{': ' + shown(found.name) if found.name else ''}"


def _fault(fault: EntryFault) -> dict[str, object]:
    return {"line": fault.line, "user": fault.name or None, "why": fault.why}


def _foretell(
    output: Output,
    entries: Sequence[Entry],
    faults: Sequence[EntryFault],
    existing: set[str],
    skipErrors: bool,
) -> None:
    """
    Print what would happen to each user; nothing is changed.
    """
    none = bool(faults) and not skipErrors
    added = [one.name for one in entries if one.name not in existing]
    changed = [one.name for one in entries if one.name in existing]
    lines = [f"{shown(name)} would be added" for name in added]
    lines += [f"{shown(name)} would be changed" for name in changed]
    total = (
        f"{counted(len(added), 'user', 'users')} would be added, {len(changed)} changed, "
        f"{len(faults)} left out"
    )
    unless = ", but without --skip-errors nothing is imported" if none else ""
    output.say(
        "\n".join([*lines, f"{total}{unless}."]),
        would_be_added=added,
        would_be_changed=changed,
        left_out=[_fault(one) for one in faults],
    )


def _drafts(store: IStore, entries: Sequence[Entry], recoverable: bool) -> Iterator[Draft]:
    with _progress("hashing", len(entries)) as advance:
        for each in entries:
            yield draftOf(each, store.vault if recoverable else None)
            advance()


@contextmanager
def _progress(what: str, total: int) -> Iterator[Any]:
    """
    While this context lasts, show a progress bar if standard error is a terminal and there is much
    to do. The context gives what is called after each step. SIGINT and SIGTERM end the process
    meanwhile, since the work blocks the reactor.
    """
    if total < MANY or not sys.stderr.isatty():
        with onInterrupt(sys.exit):
            yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with onInterrupt(sys.exit), Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)
