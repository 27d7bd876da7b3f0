"""
A gateway with limits, and its callers, in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw import testing
from pptpgw.auth.protocols import MSCHAPV2, PAP
from pptpgw.auth.realm import AvatarID
from pptpgw.config.section import LimitsSection
from pptpgw.error import CallError
from pptpgw.interfaces import IAuthenticationProtocol, INetwork
from pptpgw.networks.generic.catalogue import shipped
from pptpgw.networks.generic.plugin import GenericFactory
from pptpgw.networks.ipv4 import plugin as network
from pptpgw.networks.ipv4.ipcp import IPCP
from pptpgw.ppp.client import ClientCall
from pptpgw.sessions.pool import AddressPool
from pptpgw.sessions.profile import Profile
from pptpgw.tunnels.pptp.client import ClientConnection
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from tests.logged import loggedLines

SERVER = "192.0.2.1"
JUDGING_SECONDS = 0.01


@implementer(ICredentialsChecker)
class Checker:
    """
    A checker with profiles by user name. Each user's password is the name. Judging takes a moment.
    """

    credentialInterfaces = (IUsernamePassword, IUsernameHashedPassword)

    def __init__(self, clock: Clock) -> None:
        self.profiles: dict[bytes, Profile] = {}
        self._clock = clock

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        return deferLater(self._clock, JUDGING_SECONDS, self._judge, credentials)

    def _judge(self, credentials: Any) -> AvatarID:
        profile = self.profiles.get(credentials.username)
        if profile is None or not credentials.checkPassword(credentials.username):
            raise UnauthorizedLogin
        return AvatarID(profile)


class World(testing.World):
    """
    A gateway with IPv4 and OSI, and callers as the test needs them.
    """

    connectionSettings = ConnectionSettings(maximumCalls=1000)

    def __init__(
        self, limits: LimitsSection, clock: Any = None, checker: Any = None, **options: Any
    ) -> None:
        """
        @param limits: the section C{[limits]}.
        @param clock: the reactor, or C{None} for a clock that L{run} advances.
        @param checker: the checker of callers, or C{None} for a L{Checker}.
        """
        self.pool = AddressPool([(IPv4Address("10.77.0.10"), IPv4Address("10.77.3.250"))])
        self.observer = testing.SessionRecorder()
        clock = clock or Clock()
        self.checker = checker or Checker(clock)
        settings = {"methods": (MSCHAPV2, PAP), "name": b"gateway"} | options
        super().__init__("", [self.checker], [self.observer], clock, limits, **settings)
        self.log: list[str] = []

    def makeNetworks(self) -> dict[str, INetwork]:
        generic = GenericFactory(shipped()["osi"])
        section = network.IPv4Section()
        return {
            "ipv4": network.IPv4Sessions(section, self.environment, self.pool),
            "osi": generic.makeNetwork(generic.settings(), self.environment),
        }

    def allow(self, *profiles: Profile) -> None:
        for profile in profiles:
            self.checker.profiles[profile.name.encode()] = profile

    def place(
        self,
        connection: ClientConnection,
        name: bytes,
        password: bytes | None = None,
        methods: tuple[IAuthenticationProtocol, ...] = (MSCHAPV2,),
        **options: Any,
    ) -> Placed:
        word = name if password is None else password
        return Placed(self.placeCall(connection, name, word, None, methods, **options))

    def call(self, name: bytes, address: str = "192.0.2.7", **options: Any) -> Placed:
        """
        Place a call on a connection of its own, and advance the clock until it is set up.
        """
        placed = self.place(self.connect(address), name, **options)
        self.run(0.2)
        return placed

    @property
    def users(self) -> list[str]:
        return sorted(session.user for session in self.gateway.sessions)


class Placed:
    """
    A call that was placed.

    @ivar call: the call, once it is set up.
    @ivar failure: why it couldn't be set up.
    """

    def __init__(self, placed: Deferred[ClientCall]) -> None:
        self.call: ClientCall | None = None
        self.failure = ""
        placed.addCallbacks(self._up, self._failed)

    def _up(self, call: ClientCall) -> None:
        self.call = call

    def _failed(self, failure: Failure) -> None:
        failure.trap(CallError)
        self.failure = str(failure.value)

    @property
    def address(self) -> str:
        assert self.call is not None, self.failure or "not set up"
        ipv4 = self.call.protocols["ipv4"]
        assert isinstance(ipv4, IPCP)
        return ipv4.localAddress

    def hangUp(self) -> None:
        assert self.call is not None
        self.call.hangUp("enough")


Made = Any


def worlds() -> Iterator[Made]:
    """
    A fixture that makes worlds. It keeps the log, and checks that nothing is left after the calls.
    """
    worlds: list[World] = []

    def made(options: dict[str, Any] | None = None, **limits: Any) -> World:
        world = World(LimitsSection(**limits), **(options or {}))
        world.allow(Profile("alice"), Profile("bob"))
        world.log = lines
        worlds.append(world)
        return world

    with loggedLines() as lines:
        yield made
    for world in worlds:
        world.stop()
        assert not world.gateway.lines and world.pool.used == 0
