"""
Tests for L{pptpgw.sessions.seating}: older sessions that stand in the way of newer calls. The
gateway and its callers are in memory.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest

from pptpgw.ppp.probe import PROBE_SECONDS
from pptpgw.ppp.wire import ppp
from pptpgw.sessions.cause import Termination
from pptpgw.sessions.profile import Profile
from tests.limited import Made, Placed, World, worlds

make = pytest.fixture(worlds)

FIXED = Profile("alice", addresses=(IPv4Network("10.1.1.1"),))


def vanish(world: World, placed: Placed) -> None:
    """
    Cut a caller's connection without telling anybody: nothing arrives in either direction.
    """
    assert placed.call is not None
    channel: Any = placed.call.channel
    world.network.leave(channel)
    channel.sendFrame = channel.sendPacket = lambda protocol, information: None


def echoes(world: World) -> int:
    """
    How many Echo-Requests the gateway has sent.
    """
    return sum(
        protocol == ppp.LCP and information[0] == ppp.ECHO_REQUEST
        for channel in world.dataPath.channels
        for protocol, information in channel.sent
    )


class TestOneSessionForAUser:
    def test_whoHasVanished(self, make: Made) -> None:
        """
        A user's new call is let in when a probe finds the user's older session dead.
        """
        world = make(maxSessionsPerUser=1)
        vanish(world, world.call(b"alice"))
        second = world.call(b"alice", "192.0.2.8")
        assert second.call is None and not second.failure
        world.run(PROBE_SECONDS)
        assert second.address == "10.77.0.11"
        ((user, cause, code),) = world.observer.ended
        assert (user, code) == ("alice", Termination.LOST_CARRIER)
        assert "doesn't answer" in cause
        assert [session.caller for session in world.gateway.sessions] == ["192.0.2.8"]

    def test_whoIsThere(self, make: Made) -> None:
        """
        A live session keeps its place and isn't disturbed, and the user's newer call is denied
        within a moment.
        """
        world = make(maxSessionsPerUser=1)
        world.call(b"alice")
        second = world.call(b"alice", "192.0.2.8")
        world.run(0.3)
        assert "may have 1" in world.observer.refused[0][3]
        world.run(10, 0.01)
        assert second.failure and len(world.gateway.sessions) == 1
        assert not world.observer.ended

    def test_whoeverElseDialsMeanwhile(self, make: Made) -> None:
        """
        Several newer calls at once cause one probe, and one of them gets the place.
        """
        world = make(maxSessionsPerUser=1)
        vanish(world, world.call(b"alice"))
        before = echoes(world)
        newer = [world.call(b"alice", f"192.0.2.{number}") for number in range(20, 25)]
        world.run(PROBE_SECONDS + 10, 0.01)
        assert echoes(world) - before <= 2 * 8 + 1
        assert [one.call is not None for one in newer].count(True) == 1
        assert len(world.gateway.sessions) == 1

    @pytest.mark.parametrize("first", [True, False])
    def test_whoHangsUp(self, make: Made, first: bool) -> None:
        """
        Either call may hang up during the probe. If the newer one does, no session ends. If the
        older one does, its place is free at once.
        """
        world = make(maxSessionsPerUser=1)
        older = world.call(b"alice")
        vanish(world, older)
        second = world.call(b"alice", "192.0.2.8")
        lines = {line.call.peerAddress: line for line in world.gateway.lines}
        lines["192.0.2.7" if first else "192.0.2.8"].call.connection.connectionLost("gone")
        world.run(0.1)
        assert (second.call is not None) is first
        world.run(10, 0.01)
        assert len(world.gateway.sessions) == 1
        assert len(world.observer.ended) == int(first)

    def test_oneOfTwoHasVanished(self, make: Made) -> None:
        world = make(maxSessionsPerUser=2)
        world.call(b"alice", "192.0.2.5")
        vanish(world, world.call(b"alice", "192.0.2.6"))
        world.call(b"alice", "192.0.2.7")
        world.run(PROBE_SECONDS)
        callers = sorted(session.caller for session in world.gateway.sessions)
        assert callers == ["192.0.2.5", "192.0.2.7"]


class TestAFixedAddress:
    def test_whoHasVanished(self, make: Made) -> None:
        """
        A fixed address goes to the newer call when the older session is dead, however many sessions
        the user may have.
        """
        world = make()
        world.allow(FIXED)
        vanish(world, world.call(b"alice"))
        second = world.call(b"alice", "192.0.2.8")
        world.run(PROBE_SECONDS)
        assert second.address == "10.1.1.1"
        assert [code for *_, code in world.observer.ended] == [Termination.LOST_CARRIER]

    def test_anotherUsers(self, make: Made) -> None:
        """
        An address that two accounts share goes to the newer call after the end of the other
        account's session has been accounted for.
        """
        world = make()
        world.allow(FIXED, Profile("bob", addresses=FIXED.addresses))
        vanish(world, world.call(b"bob"))
        world.observer.reports = []
        second = world.call(b"alice", "192.0.2.8")
        world.run(PROBE_SECONDS)
        assert world.users == [] and second.call is None
        world.observer.reports[0].callback(None)
        world.run(0.2)
        assert second.address == "10.1.1.1"
        world.observer.reports = None

    def test_whoIsThere(self, make: Made) -> None:
        world = make()
        world.allow(FIXED)
        world.call(b"alice")
        second = world.call(b"alice", "192.0.2.8")
        world.run(10, 0.01)
        assert second.failure and not world.observer.ended

    def test_anAddressThatIsLeft(self, make: Made) -> None:
        """
        No probe is made where the account has another free address.
        """
        world = make()
        networks = (IPv4Network("10.1.1.1"), IPv4Network("10.1.1.2"))
        world.allow(Profile("alice", addresses=networks))
        vanish(world, world.call(b"alice"))
        before = echoes(world)
        assert world.call(b"alice", "192.0.2.8").address == "10.1.1.2"
        assert echoes(world) == before

    def test_whoMustGoAnyhow(self, make: Made) -> None:
        """
        No probe is made of a session that is replaced anyway, and the newer call is let in at once.
        """
        world = make(maxSessionsPerUser=1, perUser="replace")
        world.allow(FIXED)
        vanish(world, world.call(b"alice"))
        assert world.call(b"alice", "192.0.2.8").address == "10.1.1.1"
