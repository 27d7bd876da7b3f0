"""
Tests of L{pptpgw.sessions.gate}: sessions whose accounts name filters. A gateway and its callers,
each with a data path of its own, and a wire between them, in memory.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.auth.realm import AvatarID
from pptpgw.config.environment import Environment
from pptpgw.counting.counters import Counters
from pptpgw.datapath.filtered import FILTERED
from pptpgw.error import Refused
from pptpgw.interfaces import INetwork
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.networks.ipv4.plugin import IPv4Network, IPv4Section
from pptpgw.networks.ipv6.plugin import IPv6Section, IPv6Sessions
from pptpgw.ppp.client import ClientCall
from pptpgw.sessions.gate import Filters
from pptpgw.sessions.pool import AddressPool
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.session import Session
from pptpgw.testing import CALLER
from tests.clients.world import BEHIND, packet
from tests.gre import GREWorld

RULES = {
    "none": (),
    "out": (f"permit udp from any to {BEHIND}",),
    "all": ("permit ip from any to any",),
}


@implementer(ICredentialsChecker)
class Checker:
    """
    Knows users by their profiles; the password of each is its name.
    """

    credentialInterfaces = (IUsernamePassword, IUsernameHashedPassword)

    def __init__(self) -> None:
        self.profiles: dict[bytes, Profile] = {}

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        profile = self.profiles.get(credentials.username)
        if profile is None or not credentials.checkPassword(credentials.username):
            raise UnauthorizedLogin
        return succeed(AvatarID(profile))


class Caller:
    """
    One call, and the packets that come by it.
    """

    def __init__(self, world: World, name: str, address: str) -> None:
        self.packets: list[bytes] = []
        self.calls: list[ClientCall] = []
        self.failures: list[Failure] = []
        password = name.encode()
        ipv4 = IPCP(IPv4Settings.client(self.packets.append))
        world.placeCall(world.connect(address), password, password, [ipv4]).addCallbacks(
            self.calls.append, self.failures.append
        )
        world.run(0.3)
        self.ipv4 = ipv4

    def send(self, packet: bytes) -> None:
        self.ipv4.sendPacket(packet)


class World(GREWorld):
    """
    A gateway with IPv4 and IPv6.
    """

    def __init__(self) -> None:
        self.checker = Checker()
        self.filters = Filters(RULES)
        self.pool = AddressPool([(IPv4Address("10.77.0.10"), IPv4Address("10.77.0.12"))])
        super().__init__("", [self.checker], [self.filters])

    def makeNetworks(self) -> dict[str, INetwork]:
        self.environment.filters = self.filters
        return {
            "ipv4": IPv4Network(IPv4Section(), self.environment, self.pool),
            "ipv6": IPv6Sessions(IPv6Section(), self.environment),
        }

    def call(self, name: str, filter: str) -> Caller:
        self.checker.profiles[name.encode()] = Profile(name, filter=filter)
        return Caller(self, name, f"192.0.2.{10 + len(self.wire.ports)}")

    def session(self, user: str) -> Session:
        (found,) = (one for one in self.gateway.sessions if one.user == user)
        return found


def passes(world: World, user: str, caller: Caller) -> tuple[bool, bool]:
    """
    Whether a packet passes from a user to a host behind the gateway, and from there to it.
    """
    (network,) = world.session(user).networks["ipv4"]
    ours = str(network.network_address)
    out, back = packet(ours, BEHIND), packet(BEHIND, ours)
    world.tun.written.clear()
    caller.packets.clear()
    caller.send(out)
    world.tun.receive(back)
    world.run(0.05)
    return world.tun.written == [out], caller.packets == [back]


def test_twoAccountsAndALiveChange() -> None:
    """
    One is filtered, the other isn't; then both are changed, and the next packet is judged by that.
    """
    world = World()
    alice, bob = world.call("alice", "out"), world.call("bob", "")
    assert alice.calls and bob.calls
    assert passes(world, "alice", alice) == (True, False)
    assert passes(world, "bob", bob) == (True, True)
    session = world.session("alice")
    assert session.counters.discards == {FILTERED: 1}
    for name, expected in [("none", (False, False)), ("all", (True, True)), ("", (True, True))]:
        session.change(replace(session.profile, filter=name))
        assert passes(world, "alice", alice) == expected
    assert passes(world, "bob", bob) == (True, True)
    other = world.session("bob")
    other.change(replace(other.profile, filter="none"))
    assert passes(world, "bob", bob) == (False, False)
    assert passes(world, "alice", alice) == (True, True)


def test_aCallerWithAnUnknownFilterIsTurnedAway() -> None:
    """
    RFC 2865 section 1.1: what can't be honoured is a refusal, and nothing is kept for it.
    """
    world = World()
    caller = world.call("alice", "office")
    world.run(1)
    assert caller.failures and not caller.calls
    assert not world.gateway.sessions
    assert world.pool.used == 0


def test_aChangeToAnUnknownFilterLetsNothingPass(loggedFailures: list[Any]) -> None:
    world = World()
    alice = world.call("alice", "all")
    session = world.session("alice")
    session.change(replace(session.profile, filter="office"))
    assert passes(world, "alice", alice) == (False, False)


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_bothFamiliesHaveGates(family: str) -> None:
    """
    Where there are filters every session has gates, open or not; elsewhere none has.
    """
    gates = []
    for filters in (Filters(RULES), Filters()):
        environment = Environment(Clock(), 1400, None, Counters(), filters)
        pool = AddressPool([(IPv4Address("10.77.0.10"), IPv4Address("10.77.0.12"))])
        network: Any = (
            IPv4Network(IPv4Section(), environment, pool)
            if family == "ipv4"
            else IPv6Sessions(IPv6Section(), environment)
        )
        made: list[Any] = []
        network.makeProtocol(Profile("alice"), CALLER).addCallback(made.append)
        gates.append(made[0].settings.permits)
        with pytest.raises(Refused, match="there is no filter 'office'"):
            network.makeProtocol(Profile("alice", filter="office"), CALLER)
    assert gates[0] is not None and gates[0](b"anything")
    assert gates[1] is None


def test_anEndedSessionIsForgotten() -> None:
    world = World()
    alice = world.call("alice", "out")
    assert len(world.filters._gates) == 1
    alice.calls[0].hangUp()
    world.run(1)
    assert not world.gateway.sessions
    assert not world.filters._gates
