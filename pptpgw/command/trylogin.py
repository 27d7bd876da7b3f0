"""
The command C{pptpgw test login}, which has the checkers of a configuration judge a user's password.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from hmac import compare_digest
from ipaddress import ip_address
from time import time
from typing import Any

import click
from twisted.internet.defer import Deferred, TimeoutError

from pptpgw.auth.chain import configuredCheckers
from pptpgw.auth.judging import Judging
from pptpgw.auth.trial import Trial
from pptpgw.clock import steady
from pptpgw.command.options import CONFIG, said
from pptpgw.command.output import Output, shown
from pptpgw.command.parsing import command, one, refuse
from pptpgw.command.password import present
from pptpgw.command.status import DONE, FAILED
from pptpgw.command.trial import passwordMethods
from pptpgw.config import discovery
from pptpgw.config.configuration import Configuration, load
from pptpgw.config.environment import Environment
from pptpgw.counting.counters import Counters
from pptpgw.error import (
    PASSWORD_EXPIRED,
    ConfigurationError,
    PPTPGWError,
    Refused,
    Unproven,
)
from pptpgw.interfaces import (
    Caller,
    Claim,
    Grant,
    IAuthenticationProtocol,
    ISubscriber,
    ITunnelFactory,
    TunnelKind,
)
from pptpgw.ppp.mschap import ntPasswordHash
from pptpgw.radius.build import makeClient
from pptpgw.sessions.admission import Disclosed, barred, permit
from pptpgw.sessions.lockout import JUDGING_SECONDS
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.session import UNKNOWN
from pptpgw.sessions.username import nameOf
from pptpgw.store.attribute import ATTRIBUTES
from pptpgw.store.attribute import fields as asJSON
from pptpgw.store.record import Account
from pptpgw.timing.lifecycle import stopPart


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What came of a login by one protocol.

    @ivar method: the name of the authentication protocol.
    @ivar text: what happened, a sentence.
    @ivar profile: the profile of the session that would begin; None if the user isn't let in.
    """

    method: str
    text: str
    profile: Profile | None = None

    @property
    def attributes(self) -> dict[str, str]:
        """
        The attributes that the session gets from the user's account, as on the command line.
        """
        if self.profile is None:
            return {}
        defaults = {one.name: one.default for one in fields(self.profile)}
        values = {name: (one, getattr(self.profile, one.field)) for name, one in ATTRIBUTES.items()}
        return {
            name: one.write(value)
            for name, (one, value) in values.items()
            if value != defaults[one.field]
        }


@command(
    "login",
    "Have the checkers judge a user's password.",
    "A login by each protocol that [link] authentication permits, or that of the section of "
    "--tunnel, except EAP, is judged by the checkers that [auth] checkers names, in this process: "
    "RADIUS servers are asked, and the store is read. The running gateway isn't asked, and the "
    "lockouts that it knows don't count. The exit status is 0 if every one of them lets the user "
    "in.",
)
@one("USER")
@CONFIG
@click.option("--stdin", is_flag=True, help="Read the password, a line, from standard input.")
@click.option(
    "--from",
    "source",
    metavar="ADDRESS",
    default="",
    help="The address that the call would come from. Without it every address is right.",
)
@click.option(
    "--tunnel",
    metavar="NAME",
    help="The tunnel that the call would come by, one of [listen] tunnels. Without it every tunnel "
    "is right.",
)
@said
async def login(
    reactor: Any,
    output: Output,
    user: str,
    config: str | None,
    stdin: bool,
    source: str,
    tunnel: str | None,
) -> int:
    """
    C{pptpgw test login}: try a login by each protocol that is permitted, without a call.

    @return: the exit status, 1 if one of them refuses it.
    @raise ConfigurationError: the configuration names no checker.
    """
    if source:
        try:
            ip_address(source)
        except ValueError as error:
            refuse(f"--from {source}: {error}")
    configuration = Configuration() if config is None else load(config)
    if not configuration.auth.checkers:
        raise ConfigurationError(
            "[auth] checkers names nobody who could judge a login: name there whom --auth names "
            'when the gateway starts, as in checkers = ["accounts"]'
        )
    kind = UNKNOWN if tunnel is None else _kindOf(tunnel, configuration)
    rehearsal = Rehearsal(reactor, configuration, kind)
    password = present(user, stdin)
    verdicts = await rehearsal.run(user, password, source)
    output.say(
        "\n".join(_lines(user, verdicts)),
        user=user,
        accepted=all(one.profile is not None for one in verdicts),
        methods=[
            {
                "method": one.method,
                "accepted": one.profile is not None,
                "reason": one.text,
                "attributes": asJSON(one.attributes),
            }
            for one in verdicts
        ],
    )
    return DONE if all(one.profile is not None for one in verdicts) else FAILED


def _kindOf(tunnel: str, configuration: Configuration) -> TunnelKind:
    """
    Return the tunnel of this name.

    @raise ConfigurationError: C{configuration} doesn't serve it.
    """
    served = configuration.listen.tunnels
    if tunnel not in served:
        raise ConfigurationError(
            f"--tunnel {shown(tunnel)}: no caller comes by it, [listen] tunnels has "
            f"{', '.join(served)}"
        )
    kind: TunnelKind = discovery.find(ITunnelFactory, tunnel).kind
    return kind


class Rehearsal:
    """
    The checkers of a configuration, without a gateway.
    """

    def __init__(self, reactor: Any, configuration: Configuration, tunnel: TunnelKind) -> None:
        """
        @param tunnel: the tunnel that the call would come by; L{UNKNOWN} for any.
        @raise pptpgw.error.PPTPGWError: a checker can't be made.
        """
        self._tunnel = tunnel
        self._clock = reactor = steady(reactor)
        environment = Environment(reactor, configuration, Counters())
        if configuration.radius.server:
            environment.radius = makeClient(reactor, configuration, environment.counters)
        self._radius = environment.radius
        self._judging = Judging(environment, configuredCheckers(configuration), False)

    async def run(self, user: str, password: bytes, source: str) -> list[Verdict]:
        """
        Try a login by each protocol that is permitted.

        @param source: the address that the call would come from; empty for any.
        @raise ConfigurationError: there is no protocol to try.
        """
        offers = self._judging.offers
        settings = offers.tunnels.get(self._tunnel.name, offers.general)
        methods = passwordMethods(settings.methods)
        services = self._judging.services
        services.privilegedStartService()
        services.startService()
        try:
            return [await self._try(one, user, password, source) for one in methods]
        finally:
            await stopPart(self._clock, services)
            if self._radius is not None:
                self._radius.stop()
            for store in self._judging.stores:
                store.close()

    async def _try(
        self, method: IAuthenticationProtocol, user: str, password: bytes, source: str
    ) -> Verdict:
        name = user.encode("utf-8", "surrogateescape")
        isKnown = source or self._tunnel != UNKNOWN
        caller = Caller(source, "", 0, "", self._tunnel) if isKnown else None
        names: list[str] = []

        def judge(claim: Claim) -> Deferred[Grant]:
            names.extend((nameOf(claim.name), nameOf(claim.account)))
            return self._judging.authenticator(replace(claim, caller=caller))

        trial = Trial(self._clock, method, name, password, judge)
        try:
            grant = await trial.start().addTimeout(JUDGING_SECONDS, self._clock)
            profile = ISubscriber(grant.subscriber).profile
            permit(profile if source else replace(profile, sources=()), source, time())
        except TimeoutError:
            return Verdict(method.name, f"can't be judged: no verdict in {JUDGING_SECONDS:g} s")
        except Unproven as error:
            why = await self._why(method, names, password) or str(error)
            return Verdict(method.name, f"refused: {why}")
        except Refused as error:
            expired = "the password is right, but has expired: 'pptpgw user set' sets a new one"
            why = expired if error.error == PASSWORD_EXPIRED else str(error)
            if isinstance(error, Disclosed):
                why = self._barred(error.profile) or why
            return Verdict(method.name, f"refused: {why}")
        except PPTPGWError as error:
            return Verdict(method.name, f"can't be judged: {error}")
        except Exception as error:
            # A checker of somebody else's may fail by any exception.
            return Verdict(method.name, f"can't be judged: {type(error).__name__}: {error}")
        if why := self._barred(profile):
            return Verdict(method.name, f"refused: {why}")
        if profile.tunnels is None or self._tunnel != UNKNOWN:
            return Verdict(method.name, "accepted", profile)
        tunnels = " or ".join(sorted(profile.tunnels))
        return Verdict(method.name, f"accepted, for calls by {tunnels} only", profile)

    def _barred(self, profile: Profile) -> str:
        """
        Say that the user of C{profile} may not call by the tunnel, or by any if it isn't known;
        empty if the user may.
        """
        if self._tunnel != UNKNOWN:
            return barred(profile, self._tunnel)
        mayCall = profile.tunnels is None or profile.tunnels
        return "" if mayCall else f"{profile.name} may call by no tunnel"

    async def _why(
        self, method: IAuthenticationProtocol, names: Sequence[str], password: bytes
    ) -> str:
        """
        Say why the claim was found false, by more than what a caller may know; empty if the
        checkers have no store of ours, which could tell.

        @param names: the names by which the user was looked up.
        """
        stores = self._judging.stores
        found = [await store.account(name) for store in stores for name in names]
        account = next((one for one in found if one is not None), None)
        return _explained(account, method, names[0], password) if stores else ""


def _explained(
    account: Account | None, method: IAuthenticationProtocol, user: str, password: bytes
) -> str:
    """
    Say why an account isn't let in.

    @param account: the account; None if there is none.
    """
    name = shown(user)
    if account is None:
        return f"the store has no user {name}: 'pptpgw user add {name}' makes one"
    if not compare_digest(ntPasswordHash(password), account.ntHash):
        return "the password is wrong"
    if account.disabled:
        return f"the password is right, but {name} is disabled: 'pptpgw user enable {name}'"
    if not account.sealed:
        return (
            f"{method.name} needs a recoverable password, and the store has only its hash: "
            f"'pptpgw user set {name} --password --recoverable'"
        )
    return "the stored password and its hash differ: 'pptpgw user set' sets both anew"


def _lines(user: str, verdicts: Sequence[Verdict]) -> list[str]:
    lines = []
    for verdict in verdicts:
        lines.append(f"{shown(user)} by {verdict.method}: {verdict.text}")
        lines += [f"  {name}  {shown(text)}" for name, text in verdict.attributes.items()]
    return lines
