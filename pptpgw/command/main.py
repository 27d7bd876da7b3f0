"""
The command line of C{pptpgw}, and the function that runs it.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

from twisted.internet.defer import Deferred
from twisted.python import usage

from pptpgw.command.backup import Backup
from pptpgw.command.base import BaseOptions
from pptpgw.command.chapsecrets import Import
from pptpgw.command.lockouts import Lockouts
from pptpgw.command.profile import ProfileCommands
from pptpgw.command.usage import UsageCommand
from pptpgw.command.user import UserCommands
from pptpgw.error import PPTPGWError
from pptpgw.ports.terminal import endWithReader, onInterrupt


def _ppp() -> usage.Options:
    # This module imports the gateway, which the other commands don't need.
    from pptpgw.command.ppp import PPP

    return PPP()


class PPTPGW(BaseOptions):
    """
    The command line as a whole: its commands, one for each subcommand.
    """

    synopsis = "Usage: pptpgw"
    longdesc = (
        "Manage the accounts of a PPTP gateway, and run PPP on a line. pptpgw COMMAND --help "
        "describes a command."
    )
    subCommands = [
        ["user", None, UserCommands, "Users: add, set, list, show, disable, enable, remove."],
        ["profile", None, ProfileCommands, "Attributes that users share: add, set, list, remove."],
        ["lockouts", None, Lockouts, "List who is locked out for wrong passwords, and until when."],
        ["import", None, Import, "Add the users of a chap-secrets file."],
        ["backup", None, Backup, "Copy the store to a file."],
        ["usage", None, UsageCommand, "Show the sessions of users, and their sums."],
        ["ppp", None, _ppp, "Run PPP on a line: standard input and output, a serial line."],
    ]


async def run(reactor: Any, argv: Sequence[str]) -> int:
    """
    Run the command that C{argv} names, and return the exit status.
    """
    options: Any = PPTPGW()
    try:
        options.parseOptions(list(argv))
        while getattr(options, "subCommands", None):
            if options.subCommand is None:
                raise usage.UsageError("a command is missing; --help lists them")
            options = options.subOptions
        status: int = await options.run(reactor)
    except usage.UsageError as error:
        print(f"pptpgw: {error}", file=sys.stderr)
        return 2
    except PPTPGWError as error:
        print(f"pptpgw: {error}", file=sys.stderr)
        return 1
    return status


def main() -> NoReturn:
    """
    The entry point: run the command line of this process, and exit.
    """
    from twisted.internet import reactor as running

    reactor: Any = running
    statuses: list[Any] = []

    def end(status: Any) -> None:
        if not statuses:
            reactor.stop()
        statuses.append(status)

    async def perform() -> None:
        with onInterrupt(lambda status: reactor.callFromThread(end, status)):
            try:
                end(await run(reactor, sys.argv[1:]))
            except SystemExit as ended:
                end(ended.code)
            except Exception:
                traceback.print_exc()
                end(1)

    endWithReader()
    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(perform()))
    reactor.run()
    # A signal decides the exit status, even if the command still ended with a result.
    sys.exit(statuses[0])
