"""
The options that many commands have.

Each function here makes a decorator of a command's coroutine function. It adds options to the
command, and gives the function one argument that is made of their values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any

import click

from pptpgw.command.output import Column, Listing, Output
from pptpgw.command.parsing import Function, Option, optioned
from pptpgw.store.interface import IStore

if TYPE_CHECKING:
    from pptpgw.config.configuration import Configuration
    from pptpgw.config.section import ManagementSection

_JSON = click.option("--json", "asJSON", is_flag=True, help="Print JSON, for programs.")
FORCE = click.option("--force", is_flag=True, help="Replace the file if it is there already.")
CONFIG = click.option(
    "--config", "-c", metavar="FILE", help="The gateway's configuration, a TOML file."
)


@dataclass(frozen=True)
class Accounts:
    """
    The account store that the command line means.

    @ivar reactor: the reactor that runs.
    @ivar file: the path of the gateway's configuration; None for the defaults.
    @ivar location: the URL of the store; None for that in the configuration.
    """

    reactor: Any
    file: str | None
    location: str | None

    @cached_property
    def configuration(self) -> Configuration:
        """
        The gateway's configuration.

        @raise pptpgw.error.ConfigurationError: the file can't be used.
        """
        # Most commands are given no configuration, and start sooner without this module.
        from pptpgw.config.configuration import Configuration, load

        return Configuration() if self.file is None else load(self.file)

    def url(self, audit: bool = False) -> str:
        """
        Return the URL of the store.

        @param audit: whether to prefer the store that sessions are written to.
        """
        if self.file is not None:
            configured = self.configuration
            found = (audit and configured.audit.store) or configured.accounts.store
        else:
            from pptpgw.config.section import AccountsSection

            found = AccountsSection().store
        return found if self.location is None else self.location

    @property
    def management(self) -> tuple[ManagementSection, str]:
        """
        C{[management]} of the gateway's configuration, and where that stands.
        """
        if self.file is None:
            from pptpgw.config.section import ManagementSection

            return ManagementSection(), "the default configuration"
        return self.configuration.management, self.file

    @contextmanager
    def store(self, create: bool = False, audit: bool = False) -> Iterator[IStore]:
        """
        While this context lasts, give the store.

        @param create: whether to make a store where there is none.
        @param audit: see L{url}.
        """
        from pptpgw.config.section import AccountsSection
        from pptpgw.store.store import Store

        url = self.url(audit)
        key = AccountsSection().key if self.file is None else self.configuration.accounts.key
        store = Store(self.reactor, url, key, create=create)
        try:
            yield store
        finally:
            store.close()


def stored(function: Function) -> Function:
    """
    Add C{--store} and C{--config}; the function is given C{accounts}, an L{Accounts}, in place of
    the reactor.
    """

    @wraps(function)
    async def wrapped(reactor: Any, *, config: str | None, store: str | None, **more: Any) -> Any:
        accounts = Accounts(reactor, config, store)
        if config is not None:
            # Whatever the command needs of it, a wrong one is told at once.
            _ = accounts.configuration
        return await function(accounts, **more)

    url = "The URL of the store. Instead of [accounts] store."
    return optioned(wrapped, [click.option("--store", metavar="URL", help=url), CONFIG])


def said(function: Function) -> Function:
    """
    Add C{--json}; the function is given C{output}, an L{Output}.
    """

    @wraps(function)
    def wrapped(first: Any, *, asJSON: bool, **more: Any) -> Any:
        return function(first, output=Output(asJSON), **more)

    return optioned(wrapped, [_JSON])


def listed(
    columns: Sequence[Column[Any]], instead: Mapping[str, Sequence[Column[Any]]] = {}
) -> Option:
    """
    Add C{--json}, C{--columns}, C{--sort} and C{--match}; the function is given C{listing}, a
    L{Listing}.

    @param instead: the columns that take the place of C{columns} if an option is given, by the name
        of the option.
    """
    names = list(dict.fromkeys(one.name for some in (columns, *instead.values()) for one in some))
    words = ", ".join(one.name for one in columns) + "".join(
        f"; with --{option}: {', '.join(one.name for one in some)}"
        for option, some in instead.items()
    )

    def completed(context: click.Context, parameter: click.Parameter, text: str) -> list[str]:
        done, comma, last = text.rpartition(",")
        return [done + comma + name for name in names if name.startswith(last)]

    def ordered(context: click.Context, parameter: click.Parameter, text: str) -> list[str]:
        sign = "-" if text.startswith("-") else ""
        return [sign + name for name in names if (sign + name).startswith(text)]

    def matched(context: click.Context, parameter: click.Parameter, text: str) -> list[str]:
        return [f"{name}=" for name in names if f"{name}=".startswith(text)]

    options = (
        _JSON,
        click.option(
            "--columns",
            "chosen",
            metavar="NAME,...",
            help=f"Show these columns: {words}.",
            shell_complete=completed,
        ),
        click.option(
            "--sort",
            metavar="[-]COLUMN",
            help="Sort by this column; with - the greatest comes first.",
            shell_complete=ordered,
        ),
        click.option(
            "--match",
            metavar="COLUMN=REGEX",
            multiple=True,
            help="Only rows in which the column matches; several must all match.",
            shell_complete=matched,
        ),
    )

    def decorate(function: Function) -> Function:
        @wraps(function)
        def wrapped(
            first: Any,
            *,
            asJSON: bool,
            chosen: str | None,
            sort: str | None,
            match: Sequence[str],
            **more: Any,
        ) -> Any:
            every = next((some for name, some in instead.items() if more.get(name)), columns)
            listing = Listing(every, asJSON, chosen, sort, match)
            return function(first, listing=listing, **more)

        return optioned(wrapped, options)

    return decorate
