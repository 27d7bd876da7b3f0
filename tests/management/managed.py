"""
A gateway in memory with everything that the management interface asks of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from pptpgw.auth.realm import AvatarID
from pptpgw.config.configuration import Configuration
from pptpgw.config.environment import Plugged
from pptpgw.config.reload import SectionInForce, sectionsInForce
from pptpgw.counting.counters import Totals
from pptpgw.dialling.service import Dialling
from pptpgw.error import PPTPGWError
from pptpgw.interfaces import (
    Change,
    Drain,
    Effect,
    IGatewayService,
    Operated,
    Reloaded,
    ReloadOutcome,
)
from pptpgw.profilecheck import checkProfile
from pptpgw.sessions.lockout import Lockout
from pptpgw.sessions.profile import Profile
from pptpgw.testing.exchange import PASSWORD
from pptpgw.testing.world import World

STARTED = 1_000_000.0


@implementer(ICredentialsChecker)
class Anybody:
    """
    A checker that knows every user, and one password for all.
    """

    credentialInterfaces = (IUsernameHashedPassword,)

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        if not credentials.checkPassword(PASSWORD):
            raise UnauthorizedLogin
        return succeed(AvatarID(Profile(credentials.username.decode())))


@implementer(IGatewayService)
class Managed(World):
    """
    A L{World} whose gateway can be managed. Draining and reloading are only recorded.
    """

    def __init__(
        self,
        text: str = "",
        checkers: Sequence[ICredentialsChecker] | None = None,
        clock: Any = None,
    ) -> None:
        World.__init__(self, text, checkers or [Anybody()], clock=clock)
        self.configuration: Configuration = self.environment.configuration
        self.started: float | None = STARTED
        self.sessions = self.gateway.sessions
        self.attempts = self.gateway.attempts
        self.tally = self.gateway.tally
        self.tunnels: dict[str, Any] = {}
        self.dialling: Any = Dialling(self.gateway.context, {}, {}, Configuration())
        self.radius: Any = None
        self.spool: Any = None
        self.store: Any = None
        self.stores: Sequence[Any] = ()
        self.lastReload: ReloadOutcome | None = None
        self.draining: Drain | None = None
        self.orders: list[object] = []
        self.unable: PPTPGWError | None = None

    @property
    def lines(self) -> Collection[Any]:
        return self.gateway.lines

    @property
    def sections(self) -> Sequence[SectionInForce]:
        return tuple(sectionsInForce(self.environment, self.environment.plugged, {}))

    @property
    def plugged(self) -> Sequence[Plugged]:
        return self.environment.plugged

    @property
    def lockouts(self) -> Lockout:
        return self.gateway.context.lockout

    @property
    def counters(self) -> Totals:
        return self.gateway.counters

    @property
    def faults(self) -> Sequence[str]:
        return [one.fault for one in self.gateway.health if one.fault]

    @property
    def drained(self) -> bool:
        return self.draining is not None and not self.gateway.lines

    def reload(self, configuration: Configuration | None = None) -> Deferred[Reloaded]:
        self.orders.append("reload")
        if self.unable is not None:
            return fail(self.unable)
        return succeed(self.wouldChange())

    def wouldChange(self, configuration: Configuration | None = None) -> Reloaded:
        changes = Change("ipv4", "pool", Effect.NEW), Change("pptp", "port", Effect.RESTART, "port")
        return Reloaded(changes)

    def judge(self, profile: Profile) -> None:
        checkProfile(self.configuration, profile)

    def drain(self, deadline: float | None = None, stop: bool = False) -> Deferred[bool]:
        self.orders.append(("drain", deadline, stop))
        self.draining = Drain(
            self.clock.seconds(),
            None if deadline is None else self.clock.seconds() + deadline,
            stop,
        )
        return Deferred()

    def operated(self, act: Operated) -> None:
        self.sessions.operated(act)

    def undrain(self) -> None:
        self.orders.append("undrain")
        self.draining = None
