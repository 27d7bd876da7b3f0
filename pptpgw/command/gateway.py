"""
The options of commands that make a gateway, which are those of C{twistd pptpgw}.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import click
from twisted.cred.strcred import AuthOptionMixin
from twisted.python import usage

from pptpgw import tap
from pptpgw.auth.chain import configuredCheckers
from pptpgw.command.parsing import Function, optioned
from pptpgw.config.configuration import Configuration

NOBODY = (
    "nobody could log in: name at least one --auth, as in --auth "
    "chap-secrets:/etc/ppp/chap-secrets, or [auth] checkers in the configuration"
)
"""
What is wrong if there is no checker.
"""


class GatewayOptions(tap.Options):
    """
    The options of C{twistd pptpgw}, as another command was given them. An error is an exception,
    and doesn't end the process.
    """

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """
        Parse the words of the command line.

        @raise click.UsageError: they are wrong.
        """
        try:
            usage.Options.parseOptions(self, options)
        except usage.UsageError as error:
            raise click.UsageError(str(error)) from error

    def load(self) -> Configuration:
        """
        See L{tap.Options.load}.

        @raise click.UsageError: an option that replaces what the file says is wrong.
        """
        try:
            return tap.Options.load(self)
        except usage.UsageError as error:
            raise click.UsageError(str(error)) from error

    def postOptions(self) -> None:
        """
        Do nothing: each command says when the configuration is read.
        """

    def addConfigured(self, configuration: Configuration) -> None:
        """
        Make the checkers that the configuration names, unless C{--auth} named some.

        @raise pptpgw.error.PPTPGWError: a checker can't be made.
        """
        if "auth" not in self:
            for checker in configuredCheckers(configuration):
                AuthOptionMixin.addChecker(self, checker)


def gatewayed(function: Function) -> Function:
    """
    Add the options of C{twistd pptpgw}; the function is given C{words}, the command line for it.
    """

    @wraps(function)
    def wrapped(*first: Any, **more: Any) -> Any:
        words = [f"--auth={one}" for one in more.pop("auth")]
        for name, *_ in tap.Options.optParameters:
            if (value := more.pop(str(name))) is not None:
                words.append(f"--{name}={value}")
        return function(*first, words=words, **more)

    inherited = [
        click.option(
            f"--{option}",
            *([f"-{letter}"] if letter else []),
            str(option),
            metavar=_METAVARS[str(option)],
            help=str(line),
        )
        for option, letter, _, line in tap.Options.optParameters
    ]
    auth = click.option(
        "--auth", metavar="SPEC", multiple=True, help=_sentence(tap.Options.opt_auth.__doc__)
    )
    kind = click.option(
        "--help-auth-type",
        metavar="NAME",
        is_eager=True,
        expose_value=False,
        help=_sentence(tap.Options.opt_help_auth_type.__doc__),
        callback=_teller("help-auth-type"),
    )
    helps = [
        click.option(
            f"--{name}",
            is_flag=True,
            is_eager=True,
            expose_value=False,
            help=_sentence(docstring),
            callback=_teller(name),
        )
        for name, docstring in (
            ("help-auth", tap.Options.opt_help_auth.__doc__),
            ("help-network", tap.Options.opt_help_network.__doc__),
            ("help-plugins", tap.Options.opt_help_plugins.__doc__),
        )
    ]
    return optioned(wrapped, [*inherited, auth, kind, *helps])


_METAVARS = {"config": "FILE", "network": "NAME,...", "pcap": "FILE"}


def _sentence(words: str | None) -> str:
    return " ".join((words or "").split())


def _teller(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """
    Return a callback that prints what an option of C{twistd pptpgw} prints, and exits.
    """

    def tell(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value and not context.resilient_parsing:
            GatewayOptions().parseOptions([f"--{name}" if value is True else f"--{name}={value}"])

    return tell
