"""
The command C{pptpgw export}, which writes the users to a file.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from pptpgw.command.options import FORCE, Accounts, said, stored
from pptpgw.command.output import Output, counted, shown
from pptpgw.command.parsing import command, one, refuse
from pptpgw.command.status import DONE, FAILED
from pptpgw.config.secrecy import privately
from pptpgw.error import ConfigurationError
from pptpgw.store.attribute import decode
from pptpgw.store.interface import IStore
from pptpgw.store.record import Account
from pptpgw.userfiles import chapsecrets, jsonlines


@command(
    "export",
    "Write the users to a file.",
    "Without FILE, or with -, standard output is written. The format json has a line for each "
    "user, which pptpgw import takes; with --secrets it has passwords: NT hashes, and those that "
    "can be had back. The format chap-secrets always has passwords, so it needs --secrets, and "
    "only users whose password can be had back are in it, and no user that is disabled. Only its "
    "owner can read the file.",
)
@one("FILE", needed=False)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["json", "chap-secrets"]),
    default="json",
    help="json by default.",
)
@click.option(
    "--secrets", is_flag=True, help="Write passwords. Keep the file as safe as the store."
)
@FORCE
@said
@stored
async def give(
    accounts: Accounts, output: Output, file: str | None, kind: str, secrets: bool, force: bool
) -> int:
    """
    C{pptpgw export [FILE]}: write the users to a file, or to standard output.

    @return: the exit status, 1 if users are left out.
    @raise ConfigurationError: the file can't be written, or is there and C{force} is false.
    """
    if kind == "chap-secrets" and not secrets:
        refuse("--format chap-secrets: such a file has the passwords; --secrets permits that")
    with accounts.store() as store:
        every = await store.accounts()
        lines = [_line(store, account, kind, secrets) for account in every]
    content = b"".join(line for line in lines if line is not None)
    left = [account for account, line in zip(every, lines, strict=True) if line is None]
    for account in left:
        why = "it is disabled" if account.disabled else "its password can't be had back"
        print(f"{shown(account.name)} is left out: {why}", file=sys.stderr)
    if file in (None, "-"):
        sys.stdout.write(content.decode("utf-8", "surrogateescape"))
    else:
        _write(Path(str(file)), content, force)
        written = len(every) - len(left)
        output.say(
            f"{counted(written, 'user is', 'users are')} written to {file}, {len(left)} left out.",
            file=file,
            users=written,
            left_out=_names(left),
        )
    return FAILED if left else DONE


def _names(accounts: Sequence[Account]) -> list[str]:
    return [one.name for one in accounts]


def _line(store: IStore, account: Account, kind: str, secrets: bool) -> bytes | None:
    """
    Return the line of a user, with its end.

    @param kind: C{json} or C{chap-secrets}.
    @return: None for a user that chap-secrets can't have: it is disabled, or its password can't be
        had back.
    """
    password: bytes | None = None
    if secrets and account.sealed:
        password = store.vault.open(account.name, account.sealed)
    if kind == "json":
        return jsonlines.written(account, secrets, password)
    if password is None or account.disabled:
        return None
    attributes = decode(account.inherited) | decode(account.own)
    addresses = attributes.get("address", "*")
    return chapsecrets.written(account.name, password, None if addresses == "*" else addresses)


def _write(path: Path, content: bytes, replace: bool) -> None:
    try:
        with privately(path, replace) as growing:
            growing.write_bytes(content)
    except OSError as error:
        raise ConfigurationError(f"{error.filename or path}: {error.strerror}") from error
