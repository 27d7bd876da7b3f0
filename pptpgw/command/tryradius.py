"""
The command C{pptpgw test radius}, which asks each RADIUS server of a configuration something.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import click
from twisted.cred.portal import Portal

from pptpgw.auth.authenticator import Authenticator
from pptpgw.auth.realm import SubscriberRealm
from pptpgw.auth.trial import Trial
from pptpgw.clock import steady
from pptpgw.command.options import CONFIG, said
from pptpgw.command.output import Output, shown
from pptpgw.command.parsing import command, one
from pptpgw.command.password import present
from pptpgw.command.status import DONE, FAILED
from pptpgw.command.trial import passwordMethods
from pptpgw.config.configuration import Configuration, load
from pptpgw.counting.counters import Counters
from pptpgw.error import ConfigurationError, PPTPGWError, Refused
from pptpgw.interfaces import IAuthenticationProtocol
from pptpgw.radius.checker import RADIUSChecker
from pptpgw.radius.client import RADIUSClient
from pptpgw.radius.nas import NAS
from pptpgw.radius.servers import Server
from pptpgw.radius.transport import RADIUSService, Unanswered
from pptpgw.radius.trial import ServerProbe, advise, probe, services, transportTo, unsigned


@command(
    "radius",
    "Ask each RADIUS server.",
    "Without USER each service of each [[radius.server]] is sent a Status-Server packet, which "
    "asks nothing but whether it is there. With USER each that judges callers is sent a login by "
    "the strongest protocol that [link] authentication permits, except EAP. An answer has a time "
    "and, if the server signs it, a Message-Authenticator. If there is none, the usual causes are "
    "told. The exit status is 0 if every server answers, and lets USER in.",
)
@one("USER", needed=False)
@CONFIG
@click.option("--stdin", is_flag=True, help="Read USER's password, a line, from standard input.")
@said
async def radius(
    reactor: Any, output: Output, user: str | None, config: str | None, stdin: bool
) -> int:
    """
    C{pptpgw test radius}: ask each server, one after another.

    @return: the exit status, 1 if a server doesn't answer, or refuses C{user}.
    @raise ConfigurationError: the configuration has no server.
    """
    reactor = steady(reactor)
    configuration = Configuration() if config is None else load(config)
    if not configuration.radius.server:
        raise ConfigurationError("the configuration has no [[radius.server]]")
    asked = [
        (server, service)
        for server in configuration.radius.server
        for service in services(server)
        if user is None or service is RADIUSService.AUTHENTICATION
    ]
    if user is None:
        found = [(await probe(reactor, configuration, *one), True) for one in asked]
    else:
        method, password = passwordMethods(configuration.link.methods())[0], present(user, stdin)
        found = [
            await _login(reactor, configuration, server, method, user, password)
            for server, _ in asked
        ]
    good = bool(found) and all(one.seconds is not None and right for one, right in found)
    output.say(
        "\n".join(_lines(one for one, _ in found)),
        servers=[
            {
                "server": one.place,
                "service": one.service.value,
                "answered": one.seconds is not None,
                "seconds": one.seconds,
                "message_authenticator": one.signed,
                "accepted": None if user is None else right,
                "reason": one.why,
                "advice": one.advice,
            }
            for one, right in found
        ],
    )
    return DONE if good else FAILED


async def _login(
    reactor: Any,
    configuration: Configuration,
    server: Server,
    method: IAuthenticationProtocol,
    user: str,
    password: bytes,
) -> tuple[ServerProbe, bool]:
    """
    Have one server judge a login.

    @return: what came of it, and whether the user was let in.
    """
    service, counters, nas = RADIUSService.AUTHENTICATION, Counters(), NAS.of(configuration)
    transport = transportTo(reactor, configuration, server, service, counters)
    alone = replace(transport.server, acctPort=0)
    client = RADIUSClient(reactor, [alone], lambda *_: transport, nas.identifier)
    checker = RADIUSChecker(client, nas, configuration.radius.timeout)
    authenticator = Authenticator(Portal(SubscriberRealm(), [checker]))
    name = user.encode("utf-8", "surrogateescape")
    right, why, advice = False, "", ""
    try:
        await Trial(reactor, method, name, password, authenticator).start()
        right = True
    except Unanswered as error:
        advice = advise(server, error, counters)
        return ServerProbe(server, service, None, False, str(error), advice), False
    except Refused as error:
        why = f"{shown(user)} by {method.name}: {error}"
    except PPTPGWError as error:
        why = str(error)
    finally:
        client.stop()
    if not transport.signed:
        advice = unsigned(server, service)
        if server.requireMessageAuthenticator and server.transport != "tls":
            right, why = False, "the gateway discards an answer without Message-Authenticator"
            advice = "update the server, or set require-message-authenticator = false"
    return ServerProbe(server, service, transport.seconds, transport.signed, why, advice), right


def _lines(probes: Iterable[ServerProbe]) -> list[str]:
    lines = []
    for found in probes:
        lines.append(f"{found.place}, {found.service.value}: {found.text}")
        if found.seconds is not None and found.why:
            lines.append(f"  {found.why}")
        if found.advice:
            lines.append(f"  {found.advice}")
    return lines
