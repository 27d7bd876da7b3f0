"""
A whole gateway in memory that reads another configuration while it has callers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.testing import MemoryReactorClock
from zope.interface import implementer

from pptpgw import testing
from pptpgw.auth.realm import AvatarID
from pptpgw.config.configuration import parse
from pptpgw.interfaces import ICertifiedName, Reloaded
from pptpgw.ppp.client import ClientCall
from pptpgw.service import GatewayService
from pptpgw.sessions.line import Line
from pptpgw.sessions.profile import Profile
from pptpgw.testing import DELAY, MemoryDataPath, MemoryNetwork, resultOf

Test = TypeVar("Test", bound=Callable[..., Any])

shown: set[str] = set()
"""
The keys of which a test shows that a reload applies them, as in C{[link] mru}.
"""


def shows(*keys: str) -> Callable[[Test], Test]:
    """
    Mark a test that shows that a reload applies these keys.
    """
    shown.update(keys)

    def marked(test: Test) -> Test:
        return test

    return marked


@implementer(ICredentialsChecker)
class Users:
    """
    A checker that knows everybody by the password of L{pptpgw.testing}.

    @ivar profiles: the profiles of users who have one, by name.
    @ivar asked: the names of the users that were judged.
    """

    credentialInterfaces = (IUsernamePassword, IUsernameHashedPassword, ICertifiedName)

    def __init__(self, profiles: Iterable[Profile] = ()) -> None:
        self.profiles = {one.name: one for one in profiles}
        self.asked: list[str] = []

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """
        See L{ICredentialsChecker.requestAvatarId}.
        """
        name = credentials.username.decode()
        self.asked.append(name)
        certified = ICertifiedName.providedBy(credentials)
        if not certified and not credentials.checkPassword(testing.PASSWORD):
            return fail(UnauthorizedLogin())
        return succeed(AvatarID(self.profiles.get(name, Profile(name))))


class World(testing.World):
    """
    A L{GatewayService} whose calls are in memory. None of its parts is started.
    """

    def __init__(
        self,
        text: str = "",
        profiles: Iterable[Profile] = (),
        users: Iterable[ICredentialsChecker] | None = None,
        observers: Iterable[Any] = (),
    ) -> None:
        self.clock: Any = MemoryReactorClock()
        self.network = MemoryNetwork(self.clock)
        self.dataPath = MemoryDataPath(self.network)
        self.callIDs = self.makeCallIDs()
        self.users = Users(profiles)
        self.service = GatewayService(
            self.clock,
            parse(text, "before"),
            [self.users] if users is None else users,
            observers,
            None if users is None else lambda: parse("", "after"),
        )
        self.gateway = self.service.gateway
        self.gateway.context = replace(self.gateway.context, dataPath=self.dataPath)

    def reload(self, text: str = "") -> Reloaded:
        """
        Put the configuration C{text} in force. It must be possible without a restart.
        """
        reloaded = resultOf(self.service.reload(parse(text, "after")))
        assert reloaded.kept == ()
        return reloaded

    def call(self, name: str = "alice", **options: Any) -> Deferred[ClientCall]:
        """
        Place a call that has time to be set up, and return what becomes of it.
        """
        placed = self.placeCall(self.connect(), name.encode(), **options)
        self.run(1.5, DELAY)
        return placed

    def line(self, number: int = -1) -> Line:
        """
        Return one of the gateway's lines, the last one if C{number} isn't given.
        """
        return list(self.gateway.lines)[number]

    def causes(self) -> list[str]:
        """
        Return the causes of the attempts that are over, the last one first.
        """
        return [one.cause for one in self.gateway.attempts if one.cause]
