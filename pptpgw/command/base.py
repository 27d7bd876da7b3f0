"""
The base classes of the commands that use the store, and the printing of times and tables.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from getopt import GetoptError, gnu_getopt
from typing import Any, NoReturn

from twisted.python import usage

from pptpgw import __version__
from pptpgw.command.profilecheck import checkProfile
from pptpgw.config.configuration import Configuration, load
from pptpgw.store.attribute import ATTRIBUTES, check, profileOf
from pptpgw.store.interface import IStore
from pptpgw.store.store import Store


class BaseOptions(usage.Options):
    """
    The base class of every part of the command line: the whole, a group of commands, a command.
    """

    longdesc = ""
    synopsis = ""

    def __init__(self) -> None:
        usage.Options.__init__(self)

    def opt_version(self) -> NoReturn:
        """
        Show the version, and exit.
        """
        print(f"pptpgw {__version__}")
        sys.exit(0)


def optionsFirst(options: usage.Options, words: Sequence[str]) -> list[str]:
    """
    Return the words of a command line with the options before the names, among which they may
    stand.

    @raise usage.UsageError: there is an option that C{options} don't know.
    """
    try:
        found, names = gnu_getopt(list(words), options.shortOpt, options.longOpt)
    except GetoptError as error:
        raise usage.UsageError(str(error)) from error
    takes = {name.removesuffix("=") for name in options.longOpt if name.endswith("=")}
    ordered = [
        f"{option}={value}" if option.removeprefix("--") in takes else option + value
        for option, value in found
    ]
    return [*ordered, "--", *names]


class Command(BaseOptions):
    """
    The base class of one command. Options may stand before and behind its arguments.

    @cvar creates: whether the command makes a store where there is none.
    """

    creates = False

    optParameters: Sequence[Sequence[object]] = [
        ["store", None, None, "The URL of the store. Instead of [accounts] store."],
        ["config", "c", None, "The gateway's configuration, a TOML file."],
    ]

    def __init__(self) -> None:
        BaseOptions.__init__(self)
        self.configuration = Configuration()

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse options and arguments in any order.
        """
        usage.Options.parseOptions(self, optionsFirst(self, options or ()))

    def postOptions(self) -> None:
        """
        Read the configuration file, if one is given.

        @raise pptpgw.error.ConfigurationError: the file can't be used.
        """
        if self["config"] is not None:
            self.configuration = load(self["config"])

    @property
    def url(self) -> str:
        """
        The URL of the store, from the command line or the configuration.
        """
        url: str | None = self["store"]
        return self.configuration.accounts.store if url is None else url

    async def run(self, reactor: Any) -> int:
        """
        Open the store, and perform the command.

        @return: the exit status.
        @raise pptpgw.error.PPTPGWError: the command failed; the text says why.
        """
        store = Store(reactor, self.url, self.configuration.accounts.key, create=self.creates)
        try:
            await self.perform(store)
        finally:
            store.close()
        return 0

    async def perform(self, store: IStore) -> None:
        """
        Do what the command is for, with the opened store.

        @raise pptpgw.error.PPTPGWError: the command failed; the text says why.
        """
        raise NotImplementedError


class Named(Command):
    """
    A command on one thing, such as a user or a profile.

    @ivar name: the name of the thing.
    """

    synopsis = "NAME [options]"

    def parseArgs(self, *names: str) -> None:
        """
        Take the one argument, which is the name.

        @raise usage.UsageError: there isn't exactly one argument.
        """
        if len(names) != 1:
            raise usage.UsageError(f"one {self.synopsis.split()[0]} is needed, not {len(names)}")
        (self.name,) = names


class Attributed(Named):
    """
    A command that sets attributes of a profile; each attribute has an option.
    """

    optParameters: Sequence[Sequence[object]] = [
        [one.option, None, None, f"{one.words}."] for one in ATTRIBUTES.values()
    ]

    @property
    def attributes(self) -> dict[str, str | None]:
        """
        The attributes on the command line, as the store takes them; None removes one.

        @raise pptpgw.error.ConfigurationError: a value isn't allowed, or isn't in the
            configuration.
        """
        given: dict[str, str] = {name: self[name] for name in ATTRIBUTES if self[name] is not None}
        attributes = {name: check(name, text) if text else None for name, text in given.items()}
        checkProfile(self.configuration, profileOf("", present(attributes)))
        return attributes


def present(attributes: dict[str, str | None]) -> dict[str, str]:
    """
    Return the attributes that have a text, without those that are to be removed.
    """
    return {name: text for name, text in attributes.items() if text is not None}


def summary(attributes: Any) -> str:
    """
    Return attributes in one line, written as on the command line.
    """
    return " ".join(f"--{name} {shown(text)}" for name, text in attributes.items())


def shown(text: str) -> str:
    """
    Return C{text} in a form that a terminal can show: escaped if it has control characters, or
    spaces at an end.
    """
    return text if text.isprintable() and text == text.strip() else ascii(text)


def moment(time: float) -> str:
    """
    Return a time, in seconds since the epoch, as date and time in UTC.
    """
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M UTC")


def table(rows: Iterable[Sequence[str]]) -> str:
    """
    Return rows as lines of text whose columns are aligned.
    """
    every = list(rows)
    widths = [max(map(len, column)) for column in zip(*every, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in every
    )
