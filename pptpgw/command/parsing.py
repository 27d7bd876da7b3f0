"""
Commands and groups of commands, by click: what all parts of the command line have in common.

A command's function is a coroutine function. Parsing a command line gives L{Work}, which is done
later, with a reactor.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from pptpgw.command.status import WORDS

Completer = Callable[[click.Context, click.Parameter, str], list[str]]


Function = Callable[..., Any]
"""
A command's function.
"""

Option = Callable[[Any], Any]
"""
A decorator of a command's function, which adds an option or an argument.
"""


@dataclass(frozen=True, slots=True)
class Work:
    """
    What a command line asks for.

    @ivar do: does it, given a reactor; the result is the exit status, None for 0. If
        C{runsReactor} it is called without one, and returns when the reactor that it has run has
        stopped.
    @ivar runsReactor: whether C{do} runs the reactor itself.
    """

    do: Callable[..., Any]
    runsReactor: bool = False

    async def perform(self, reactor: Any) -> int:
        """
        Do it with a reactor that runs, and return the exit status.
        """
        doing: Awaitable[int | None] = self.do(reactor)
        return await doing or 0


class _Helped(click.Command):
    """
    What has the exit statuses at the end of its C{--help}.
    """

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """
        Write the exit statuses, which are the same for every command.
        """
        with formatter.section("Exit status"):
            formatter.write_dl(list(WORDS.items()))


class Command(_Helped):
    """
    A command whose function is a coroutine function, which is given a reactor and the parameters.
    Options may stand before and behind the arguments.

    @ivar runsReactor: see L{Work}; the function is then an ordinary one, and gets no reactor.
    """

    runsReactor = False

    def invoke(self, context: click.Context) -> Work:
        """
        Return the work, which is done later: parsing a command line does nothing.
        """
        assert self.callback is not None
        return Work(partial(self.callback, **context.params), self.runsReactor)


class ForegroundCommand(Command):
    """
    A command that runs the reactor itself.
    """

    runsReactor = True


class Group(_Helped, click.Group):
    """
    A group of commands, whose modules are imported when they are needed.
    """

    def __init__(
        self,
        name: str,
        words: str,
        members: Mapping[str, tuple[str, str]],
        default: str = "",
        **more: Any,
    ) -> None:
        """
        @param words: what the commands are for.
        @param members: of each command its module and object, as in C{module:object}, and what it
            is for.
        @param default: the command that is meant if none is named; empty for none.
        """
        more.setdefault("help", words)
        super().__init__(
            name,
            short_help=words,
            invoke_without_command=True,
            subcommand_metavar="COMMAND [ARGS]...",
            callback=self._missing,
            **more,
        )
        self.members = members
        self._default = default

    def parse_args(self, context: click.Context, words: list[str]) -> list[str]:
        """
        Parse the options of the group. Without a command the default one is meant, whose options
        then follow.
        """
        own = self._default and not set(words[:1]) & set(context.help_option_names)
        if own and (not words or words[0].startswith("-")):
            words = [self._default, *words]
        return super().parse_args(context, words)

    def list_commands(self, context: click.Context) -> list[str]:
        """
        Return the names of the commands, in the order in which C{--help} shows them.
        """
        return list(self.members)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """
        Return a command, after the import of its module; None if there is no such command.
        """
        if name not in self.members:
            return None
        module, _, attribute = self.members[name][0].partition(":")
        found: click.Command = getattr(import_module(module), attribute)
        return found

    def resolve_command(
        self, context: click.Context, words: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """
        Return the command that C{words} begin with. An error names the one that was perhaps meant.
        """
        name = words[0]
        if name not in self.members and not name.startswith("-") and not context.resilient_parsing:
            path = context.command_path
            raise click.UsageError(f"{path} has no command {name!r}{meant(name, self.members)}")
        return super().resolve_command(context, words)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """
        Write the list of the commands, without importing them.
        """
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in self.members.items()])

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        """
        Return the commands that begin with C{incomplete}, without importing them, and the options.
        """
        found = [
            CompletionItem(name, help=words)
            for name, (_, words) in self.members.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, context, incomplete)

    def _missing(self, **_: object) -> None:
        context = click.get_current_context()
        if context.invoked_subcommand is None:
            raise click.UsageError("a command is missing; --help lists them")


def meant(name: str, names: Iterable[str]) -> str:
    """
    Return the end of an error about an unknown C{name}: which of C{names} was perhaps meant, or
    which there are.
    """
    every = list(names)
    near = get_close_matches(name, every, n=1)
    return f": did you mean {near[0]}?" if near else f"; there are {', '.join(every)}"


def command(
    name: str, words: str, more: str = "", cls: type[Command] = Command
) -> Callable[[Callable[..., Any]], click.Command]:
    """
    Make a command of a function.

    @param words: what it is for, in one sentence.
    @param more: what else C{--help} says.
    """
    return click.command(name, cls=cls, short_help=words, help=f"{words}\n\n{more}".strip())


def one(metavar: str, needed: bool = True, complete: Completer | None = None) -> Option:
    """
    Add an argument that stands exactly once, or at most once.

    @param metavar: its name in the usage.
    @param complete: returns what a shell may complete it to.
    """

    def judge(context: click.Context, parameter: click.Parameter, values: Any) -> str | None:
        # An argument too many isn't shown: it may be a password.
        if len(values) > 1 or (needed and not values):
            words = f"one {metavar} is needed" if needed else f"at most one {metavar}"
            raise click.UsageError(f"{words}, not {len(values)}")
        return values[0] if values else None

    return click.argument(
        metavar.lower(),
        nargs=-1,
        metavar=metavar if needed else f"[{metavar}]",
        callback=judge,
        shell_complete=complete,
    )


def optioned(function: Function, options: Sequence[Option]) -> Function:
    """
    Add options to a function, in the order in which C{--help} shows them.
    """
    for option in reversed(options):
        function = option(function)
    return function


def exclusive(**given: object) -> None:
    """
    Check that at most one of several options is given.

    @raise click.UsageError: there are more.
    """
    names = [f"--{name.replace('_', '-')}" for name, value in given.items() if value]
    if len(names) > 1:
        refuse(f"{' and '.join(names)}: it can be only one of them")


def refuse(why: str) -> NoReturn:
    """
    @raise click.UsageError: always, with C{why}.
    """
    raise click.UsageError(why)
