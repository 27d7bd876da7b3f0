"""
Tests for L{pptpgw.sessions.gate}, with sessions whose accounts name filters: a gateway and its
callers, each with a data path of its own, joined in memory.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

import pytest
from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.datapath.filtered import FILTERED
from pptpgw.error import Refused
from pptpgw.interfaces import Attachment, IGate, INetwork
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.networks.ipv4.plugin import IPv4Section, IPv4Sessions
from pptpgw.networks.ipv6.plugin import IPv6Section, IPv6Sessions
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.wire.ppp import IPV4, IPV6, IPX
from pptpgw.sessions.filter import Filter
from pptpgw.sessions.gate import Filters, Gate
from pptpgw.sessions.pool import AddressPool
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.session import Session
from pptpgw.testing import GREWorld, makeSession
from tests.clients.world import BEHIND, packet
from tests.limited import Checker
from tests.logged import loggedLines

RULES = {
    "none": (),
    "out": (f"permit udp from any to {BEHIND}",),
    "all": ("permit ip from any to any",),
}


class Caller:
    """
    A caller with one call, and the packets that arrive by it.
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
    A gateway with IPv4 and IPv6, or with the networks that are given.
    """

    def __init__(self, networks: dict[str, INetwork] | None = None) -> None:
        clock = Clock()
        self.checker = Checker(clock)
        self.others = networks
        self.pool = AddressPool([(IPv4Address("10.77.0.10"), IPv4Address("10.77.0.12"))])
        super().__init__("", [self.checker], clock=clock)

    def makeNetworks(self) -> dict[str, INetwork]:
        return self.others or {
            "ipv4": IPv4Sessions(IPv4Section(), self.environment, self.pool),
            "ipv6": IPv6Sessions(IPv6Section(), self.environment),
        }

    def makeFilters(self) -> Filters:
        return Filters(RULES)

    def call(self, name: str, filter: str) -> Caller:
        self.checker.profiles[name.encode()] = Profile(name, filter=filter)
        return Caller(self, name, f"192.0.2.{10 + len(self.wire.ports)}")

    def session(self, user: str) -> Session:
        (found,) = (one for one in self.gateway.sessions if one.user == user)
        return found


def passes(world: World, user: str, caller: Caller) -> tuple[bool, bool]:
    """
    Whether a packet passes from C{user} to a host behind the gateway, and whether the reply passes
    back.
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
    A filter applies to the sessions of its account alone, and a change of the account applies to
    the next packet.
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
    A caller whose account names an unknown filter is refused, as RFC 2865 section 1.1 demands, and
    nothing is kept for it.
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


def test_gates() -> None:
    """
    Every session has a gate where filters are configured, and none has one elsewhere. An unknown
    filter is refused in both cases.
    """
    gate = Filters(RULES).gate(Profile("alice"))
    assert gate is not None and gate(b"anything")
    assert Filters().gate(Profile("alice")) is None
    for filters in (Filters(RULES), Filters()):
        with pytest.raises(Refused, match="there is no filter 'office'"):
            filters.gate(Profile("alice", filter="office"))


def test_whatAnAttachmentPermitsItself() -> None:
    """
    Only attachments of IPv4 and IPv6 get the session's gate, and a packet must pass an attachment's
    own gate too.
    """
    gate = Gate(None)
    attachments = gate.before(
        {
            IPV4: Attachment(permits=lambda packet: packet == b"own"),
            IPV6: Attachment(),
            IPX: Attachment(),
        }
    )
    permits = attachments[IPV4].permits
    assert permits is not None and permits(b"own") and not permits(b"other")
    assert attachments[IPV6].permits is gate and attachments[IPX].permits is None
    gate.filter = Filter(())
    assert not permits(b"own")


def test_whoWatchesAGateIsToldOfChanges() -> None:
    """
    A watcher is told once of each change, with the filter that is in force by then: never, not even
    for a moment, that everything passes because a filter is missing.
    """
    filters = Filters(RULES)
    profile = Profile("alice", filter="out")
    gate = filters.gate(profile)
    assert gate is not None and IGate.providedBy(gate)
    seen: list[Filter | None] = []
    gate.watch(lambda: seen.append(gate.filter))
    session: Any = makeSession(profile)
    session.gate = gate
    filters.change(RULES, [session])
    assert seen == []
    with loggedLines():
        filters.change({"all": RULES["all"]}, [session])
    filters.change({"out": RULES["all"]}, [session])
    assert seen == [Filter(()), Filter(RULES["all"])]
    gate.watch(None)
    gate.filter = None
    assert len(seen) == 2


@implementer(INetwork)
class OtherNetwork:
    """
    A network plugin for IPv4 that doesn't support filters.
    """

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def makeProtocol(self, subscriber: Any, caller: Any) -> Any:
        return succeed(IPCP(IPv4Settings("10.77.0.1", "10.77.0.10")))

    def release(self, protocol: Any) -> None:
        pass


def test_networksOfOtherPlugins() -> None:
    world = World({"other": OtherNetwork()})
    alice = world.call("alice", "out")
    assert passes(world, "alice", alice) == (True, False)
    session = world.session("alice")
    session.change(replace(session.profile, filter="none"))
    assert passes(world, "alice", alice) == (False, False)
