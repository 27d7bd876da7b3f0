"""
The options that say which gateway is reached, and who logs in.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from pptpgw.clock import steady
from pptpgw.command.login import TOKEN, authorization
from pptpgw.command.options import CONFIG, Accounts
from pptpgw.command.parsing import Function, exclusive, optioned
from pptpgw.command.place import fromEndpoints, fromURL
from pptpgw.command.remote import RunningGateway
from pptpgw.config.section import ManagementSection
from pptpgw.ports.variable import variable

GATEWAY = "PPTPGW_GATEWAY"
"""
The environment variable that may have the URL of the gateway.
"""


@dataclass(frozen=True, slots=True)
class Reach:
    """
    How the command line says that the gateway is reached. By default that is said by the
    configuration and the environment.

    @ivar url: its URL; None for the endpoints in its configuration.
    @ivar authority: see L{pptpgw.command.place.fromURL}.
    @ivar tokenFile: see L{authorization}.
    @ivar operator: see L{authorization}.
    """

    url: str | None = None
    authority: str | None = None
    tokenFile: str | None = None
    operator: str | None = None

    def gateway(self, reactor: Any, section: ManagementSection, source: str) -> RunningGateway:
        """
        Return the gateway.

        @param section: C{[management]} of its configuration.
        @param source: where that stands, for error messages.
        @raise pptpgw.error.ConfigurationError: it can't be connected to, see
            L{pptpgw.command.place}, or nobody can log in, see L{authorization}.
        @raise SystemExit: as in L{authorization}.
        """
        reactor = steady(reactor)
        if self.url is not None:
            place = fromURL(reactor, self.url, self.authority)
        else:
            place = fromEndpoints(reactor, section, source, self.authority)
        login = None if place.isLocal else authorization(self.tokenFile, self.operator)
        return RunningGateway(reactor, place, login)


_REACH = (
    click.option(
        "--gateway",
        metavar="URL",
        help="Where the gateway is, instead of --config: https://HOST:PORT, http://HOST:PORT on "
        f"the loopback interface, or unix:PATH. The environment variable {GATEWAY} may have it.",
    ),
    click.option(
        "--ca",
        metavar="FILE",
        help="The certificates of the authorities that are trusted over TLS, in PEM. By default "
        "those of the system.",
    ),
    click.option(
        "--token-file",
        metavar="FILE",
        help="Log in by the operator's token in this file, which only its owner may read. The "
        f"environment variable {TOKEN} may have the token. On a Unix socket nobody logs in.",
    ),
    click.option(
        "--operator", metavar="NAME", help="Log in as this operator; the password is asked for."
    ),
)


def reached(function: Function) -> Function:
    """
    Add the options that say where the gateway is and who logs in, to a function with C{--config};
    it is given C{reach}, a L{Reach}.
    """

    @wraps(function)
    def wrapped(
        first: Any,
        *,
        config: str | None,
        gateway: str | None,
        ca: str | None,
        token_file: str | None,
        operator: str | None,
        **more: Any,
    ) -> Any:
        exclusive(config=config, gateway=gateway)
        exclusive(token_file=token_file, operator=operator)
        url = gateway or (variable(GATEWAY) if config is None else None)
        return function(first, config=config, reach=Reach(url, ca, token_file, operator), **more)

    return optioned(wrapped, _REACH)


def connected(function: Function) -> Function:
    """
    Add C{--config} and the options of L{reached}; the function is given a L{RunningGateway} in
    place of the reactor.
    """

    @wraps(function)
    async def wrapped(reactor: Any, *, config: str | None, reach: Reach, **more: Any) -> Any:
        accounts = Accounts(reactor, config, None)
        return await function(reach.gateway(reactor, *accounts.management), **more)

    return optioned(reached(wrapped), [CONFIG])
