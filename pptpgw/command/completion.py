"""
Completion in bash, zsh and fish: the command C{pptpgw completion}, and the names of users,
profiles and operators that are completed.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class

from pptpgw.command.options import Accounts
from pptpgw.command.parsing import command

VARIABLE = "_PPTPGW_COMPLETE"
"""
The environment variable by which the script of a shell asks for completions.
"""

SHELLS = {
    "bash": 'eval "$(pptpgw completion bash)"  in ~/.bashrc',
    "zsh": 'eval "$(pptpgw completion zsh)"  in ~/.zshrc, behind compinit',
    "fish": "pptpgw completion fish | source  in ~/.config/fish/config.fish",
}

_MOST = 200
_PATIENCE = 0.1
"""
The seconds to wait for a store that is locked.
"""


def _names(
    table: str, context: click.Context, parameter: click.Parameter, beginning: str
) -> list[str]:
    """
    Return the names in a table of the store that begin with C{beginning}. There are none if the
    store isn't an SQLite file, or can't be read at once.
    """
    from pptpgw.error import PPTPGWError
    from pptpgw.store import sqlite
    from pptpgw.store.database import Transaction
    from pptpgw.store.user import names

    given = context.params
    accounts = Accounts(None, given.get("config"), given.get("store"))
    try:
        scheme, _, path = accounts.url().partition(":")
        if scheme != "sqlite":
            return []
        with sqlite.glanced(Path(path), _PATIENCE) as cursor:
            found = names(Transaction(cursor, sqlite.PLACEHOLDER), table, beginning, _MOST)
    except (PPTPGWError, sqlite.Error):
        return []
    # The shells' scripts take a line for each name.
    return [name for name in found if name.isprintable()]


userNames = partial(_names, "users")
profileNames = partial(_names, "profiles")
operatorNames = partial(_names, "operators")


@command(
    "completion",
    "Print the script that completes this command in a shell.",
    "\b\n" + "\n".join(SHELLS.values()),
)
@click.argument("shell", type=click.Choice(list(SHELLS)))
async def completion(reactor: Any, shell: str) -> None:
    """
    C{pptpgw completion SHELL}: print the script for a shell. The shell itself isn't run.
    """
    made = get_completion_class(shell)
    assert made is not None
    # The class and its template suffice: BashComplete.source would run bash to ask for its version.
    one = made(click.Command("pptpgw"), {}, "pptpgw", VARIABLE)
    click.echo(one.source_template % one.source_vars())
