"""
The command line of C{pptpgw}, and the function that runs it.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import click
from twisted.internet.defer import Deferred

from pptpgw import __version__
from pptpgw.command.parsing import Group, Work
from pptpgw.command.status import DONE, FAILED, USAGE, statusOf
from pptpgw.error import PPTPGWError
from pptpgw.ports.loading import loading
from pptpgw.ports.terminal import endWithReader, leaveForbiddenFolder, onInterrupt

_FOLDER = "pptpgw.command"

commands = Group(
    "pptpgw",
    "Run an access gateway, manage its accounts, and run PPP on a line.",
    {
        "user": (
            f"{_FOLDER}.user:group",
            "Users: add, set, list, show, disable, enable, remove.",
        ),
        "profile": (
            f"{_FOLDER}.profile:group",
            "Attributes that users share: add, set, list, remove.",
        ),
        "operator": (
            f"{_FOLDER}.operator:group",
            "Operators who log in: add, set, list, disable, enable, remove, token.",
        ),
        "lockouts": (
            f"{_FOLDER}.lockouts:group",
            "Who is locked out for wrong passwords: list (if none is named), clear.",
        ),
        "import": (
            f"{_FOLDER}.importing:take",
            "Add the users of a file of pppd, accel-ppp, RouterOS or FreeRADIUS.",
        ),
        "export": (f"{_FOLDER}.exporting:give", "Write the users to a file."),
        "backup": (f"{_FOLDER}.backup:backup", "Copy the store to a file."),
        "usage": (f"{_FOLDER}.usage:usage", "Show the sessions of users, and their sums."),
        "status": (f"{_FOLDER}.steering:status", "Show the state of the running gateway."),
        "sessions": (f"{_FOLDER}.sessions:sessions", "List the sessions of the running gateway."),
        "session": (f"{_FOLDER}.sessions:group", "One session: show, set."),
        "disconnect": (f"{_FOLDER}.sessions:disconnect", "End sessions."),
        "show": (f"{_FOLDER}.accel:show", "accel-ppp's listing of sessions."),
        "terminate": (f"{_FOLDER}.accel:terminate", "End sessions in accel-ppp's way."),
        "why": (f"{_FOLDER}.attempts:why", "Say why a user can't call."),
        "attempts": (
            f"{_FOLDER}.attempts:attempts",
            "List what became of the last calls.",
        ),
        "top": (
            f"{_FOLDER}.top:top",
            "Show the sessions of the running gateway on a screen, as they are now.",
        ),
        "monitor": (f"{_FOLDER}.following:monitor", "Print what happens, as it happens."),
        "trace": (
            f"{_FOLDER}.following:trace",
            "Print what a caller negotiates, as it happens, in the words of pppd.",
        ),
        "capture": (
            f"{_FOLDER}.following:capture",
            "Write the packets of one call to a file, decrypted.",
        ),
        "pools": (
            f"{_FOLDER}.pools:pools",
            "List pools of addresses and prefixes, and how much of them is used.",
        ),
        "dial": (
            f"{_FOLDER}.dial:group",
            "Calls that the gateway dials: list, up, down.",
        ),
        "reload": (
            f"{_FOLDER}.steering:reload",
            "Have the running gateway read its configuration again.",
        ),
        "drain": (f"{_FOLDER}.steering:drain", "Have the running gateway take no more calls."),
        "undrain": (f"{_FOLDER}.steering:undrain", "Have the running gateway take calls again."),
        "run": (f"{_FOLDER}.foreground:run", "Run the gateway in the foreground."),
        "check": (
            f"{_FOLDER}.check:check",
            "Judge a configuration without opening anything.",
        ),
        "test": (
            f"{_FOLDER}.trial:group",
            "Try one thing without a caller: login, radius, call.",
        ),
        "doctor": (
            f"{_FOLDER}.doctor:doctor",
            "Examine this machine and what the gateway needs.",
        ),
        "ipsec": (
            f"{_FOLDER}.ipsec:group",
            "IPsec beneath L2TP, which is strongSwan's: print, check.",
        ),
        "completion": (
            f"{_FOLDER}.completion:completion",
            "Print the script that completes this command in a shell.",
        ),
        "ppp": (
            f"{_FOLDER}.ppp:ppp",
            "Run PPP on a line: standard input and output, a serial line.",
        ),
    },
    help=(
        "Run an access gateway, manage its accounts, and run PPP on a line. pptpgw COMMAND --help "
        "describes a command."
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
)
"""
The command line as a whole.
"""
click.version_option(__version__, message="pptpgw %(version)s")(commands)


def parse(words: Sequence[str]) -> Work | int:
    """
    Return the work that a command line asks for, or the exit status if there is none: help was
    printed, or an error.
    """
    try:
        found: Work | int = commands.main(list(words), prog_name="pptpgw", standalone_mode=False)
    except (click.ClickException, PPTPGWError) as error:
        return told(error)
    return found


async def perform(reactor: Any, work: Work) -> int:
    """
    Do the work, and return the exit status. Errors that are told to people go to standard error.
    """
    try:
        return await work.perform(reactor)
    except (click.ClickException, PPTPGWError) as error:
        return told(error)


def told(error: click.ClickException | PPTPGWError) -> int:
    """
    Print an error to standard error, and return the exit status that it means: see
    L{pptpgw.command.status}.
    """
    if isinstance(error, click.ClickException):
        print(f"pptpgw: {error.format_message()}", file=sys.stderr)
        return USAGE
    print(f"pptpgw: {error}", file=sys.stderr)
    return statusOf(error)


async def run(reactor: Any, words: Sequence[str]) -> int:
    """
    Run the command that C{words} name, without C{pptpgw}, on a reactor that runs, and return the
    exit status.
    """
    work = parse(words)
    return work if isinstance(work, int) else await perform(reactor, work)


def main() -> NoReturn:
    """
    Run the command line of this process, and exit.

    @raise KeyboardInterrupt: Ctrl-C was typed before the reactor runs.
    """
    endWithReader()
    leaveForbiddenFolder()
    try:
        with loading():
            work = parse(sys.argv[1:])
    except click.Abort as interrupted:
        # What click makes of an interrupt while it parses, which imports the command's module.
        raise KeyboardInterrupt from interrupted
    if isinstance(work, int):
        sys.exit(work)
    if work.runsReactor:
        sys.exit(_alone(work))
    sys.exit(_runReactor(work))


def _alone(work: Work) -> int:
    """
    Do work that runs the reactor itself, and return the exit status.
    """
    try:
        return work.do() or DONE
    except (click.ClickException, PPTPGWError) as error:
        return told(error)


def _runReactor(work: Work) -> Any:
    """
    Run the reactor until the work is done or a signal comes, and return the exit status. An
    exception that isn't told to people is printed with its traceback, and is 1.
    """
    from twisted.internet import reactor as running

    reactor: Any = running
    statuses: list[Any] = []

    def end(status: Any) -> None:
        if not statuses:
            reactor.stop()
        statuses.append(status)

    async def do() -> None:
        with onInterrupt(lambda status: reactor.callFromThread(end, status)):
            try:
                end(await work.perform(reactor))
            except (click.ClickException, PPTPGWError) as error:
                # After a signal the reactor's end disconnects the command, which is no error.
                if not statuses:
                    end(told(error))
            except SystemExit as ended:
                end(ended.code)
            except Exception:
                traceback.print_exc()
                end(FAILED)

    doing = do()
    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(doing))
    reactor.run()
    # After a signal the command is still in the middle: let it put back what it has changed.
    doing.close()
    # A signal decides the exit status, even if the command still ended with a result.
    return statuses[0]
