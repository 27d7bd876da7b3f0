"""
Tests for what L{pptpgw.gateway} and L{pptpgw.sessions.line} do with limits: storms of calls, users
with too many sessions, guesses, sessions that end by themselves, and addresses that are given
again. The gateway and its callers are in memory.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from pptpgw.auth.eap import EAPProtocol
from pptpgw.auth.eapmethod import MD5
from pptpgw.auth.protocols import MSCHAPV2, PAP
from pptpgw.error import Category
from pptpgw.log import PER_SOURCE
from pptpgw.networks.generic.catalogue import shipped
from pptpgw.networks.generic.control import GenericSettings, protocolFor
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ppp.link import Phase
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.sessions.cause import Termination
from pptpgw.sessions.ending import REPORT_SECONDS
from pptpgw.sessions.lockout import USER_LOCKED_OUT
from pptpgw.sessions.profile import Profile
from tests.limited import Made, Placed, World, worlds

make = pytest.fixture(worlds)


class TestStorm:
    def test_fiveHundredAtOnce(self, make: Made) -> None:
        """
        Each of 500 calls at once is set up, or is refused at once with a reason that permits
        another try. Those that are set up take no longer than a single one, and none hangs.
        """
        world = make(maxSetups=20)
        connections = [world.connect(f"192.0.2.{number}") for number in range(10, 60)]
        placed = [world.place(one, b"alice") for one in connections for _ in range(10)]
        world.run(0.01)
        refused = [one for one in placed if one.failure]
        assert len(refused) == 480
        # The first address has all places, and loses them to the others.
        assert {one.failure for one in refused} == {
            "the peer refused the call: busy, cause: resource unavailable",
            "the peer disconnected the call: general error",
        }
        world.run(0.1)
        assert all(one.call for one in placed if not one.failure)
        assert len(world.gateway.sessions) == 20
        discards = world.gateway.counters.sum().discards
        assert discards["call refused"] + discards["call displaced by a newer one"] == 480
        assert 10 <= discards["call displaced by a newer one"] < 50

    def test_whoeverCallsAgain(self, make: Made) -> None:
        """
        Callers that are refused and call again a moment later are all connected in the end.
        """
        world = make(maxSetups=20)
        connections = [world.connect(f"192.0.2.{number}") for number in range(10, 25)]
        waiting = [one for one in connections for _ in range(10)]
        rounds = 0
        while waiting:
            rounds += 1
            placed = [(one, world.place(one, b"alice")) for one in waiting]
            world.run(0.1)
            assert all(one.call or one.failure for _, one in placed)
            waiting = [connection for connection, one in placed if one.failure]
        assert rounds == 8
        assert len(world.gateway.sessions) == 150

    def test_whoIsSilent(self, make: Made) -> None:
        """
        Calls that never send anything lose their places after the set-up time.
        """
        world = make(maxSetups=5, options={"setupTimeout": 10.0})
        world.network.lose = lambda frame: True
        for _ in range(5):
            world.place(world.connect(), b"alice")
        world.run(1, 0.01)
        assert world.call(b"alice").failure
        world.run(20, 0.01)
        world.network.lose = lambda frame: False
        assert world.call(b"alice").call is not None

    def test_oneSourceLeavesRoom(self, make: Made) -> None:
        world = make(maxSetups=5, maxSetupsPerSource=3)
        world.network.lose = lambda frame: True
        greedy = world.connect("192.0.2.66")
        for _ in range(10):
            world.place(greedy, b"alice")
        world.run(0.1)
        world.network.lose = lambda frame: False
        assert world.call(b"alice", "192.0.2.67").call is not None

    def test_itIsToldInMeasure(self, make: Made) -> None:
        """
        A thousand refusals are counted, and make few lines of the log and few events.
        """
        world = make(maxSessions=1)
        assert world.call(b"alice").call is not None
        greedy = world.connect()
        for _ in range(500):
            world.place(greedy, b"bob")
        world.run(0.1)
        told = [line for line in world.log if "call refused" in line]
        assert 0 < len(told) < PER_SOURCE[1]
        assert len(world.observer.refused) == len(told)
        assert world.observer.refused[0] == (
            "192.0.2.7",
            "",
            "",
            "there are 1 sessions, see [limits] max-sessions",
            "pptp",
        )
        assert world.gateway.counters.sum().discards["call refused"] == 500


class TestSessions:
    def test_inAll(self, make: Made) -> None:
        """
        As many as there are seats are let in of several callers that authenticate at the same time.
        A seat that becomes free is another caller's.
        """
        world = make(maxSessions=2)
        connection = world.connect()
        placed = [world.place(connection, b"alice") for _ in range(4)]
        world.run(10, 0.01)
        up = [one for one in placed if one.call]
        assert len(up) == 2 and len(world.gateway.sessions) == 2
        assert {reason for *_, reason, _ in world.observer.refused} == {
            "there are 2 sessions, see [limits] max-sessions"
        }
        up[0].hangUp()
        world.run(5, 0.01)
        assert world.call(b"bob").call is not None

    def test_deny(self, make: Made) -> None:
        world = make(maxSessionsPerUser=1)
        first = world.call(b"alice")
        second = world.call(b"alice")
        world.run(10, 0.01)
        assert second.failure and first.call is not None
        assert world.users == ["alice"]
        assert world.call(b"bob").call is not None
        first.hangUp()
        world.run(5, 0.01)
        assert world.call(b"alice").call is not None

    def test_replace(self, make: Made) -> None:
        """
        The user's oldest session makes room at once, and its fixed address goes to the newer call.
        """
        world = make(maxSessionsPerUser=1, perUser="replace")
        world.allow(Profile("alice", addresses=(IPv4Network("10.1.1.1"),)))
        first = world.call(b"alice", "192.0.2.8")
        second = world.call(b"alice", "192.0.2.9")
        assert second.address == "10.1.1.1"
        assert [session.caller for session in world.gateway.sessions] == ["192.0.2.9"]
        ((user, cause, code),) = world.observer.ended
        assert (user, code) == ("alice", Termination.PORT_PREEMPTED)
        assert "192.0.2.9, takes its place" in cause
        assert first.call is not None and first.call.link.phase is Phase.DEAD

    def test_replaceWhoIsGone(self, make: Made) -> None:
        """
        A user whose client has lost its power is let in without waiting for the old call to answer.
        """
        world = make(maxSessionsPerUser=1, perUser="replace")
        world.allow(Profile("alice", addresses=(IPv4Network("10.1.1.1"),)))
        world.call(b"alice", "192.0.2.8")
        (lost,) = world.dataPath.channels
        world.network.leave(lost)
        assert world.call(b"alice", "192.0.2.9").address == "10.1.1.1"

    def test_replaceWhileSeveralCall(self, make: Made) -> None:
        """
        One of ten calls of one user at once remains, the others end, and nothing is left of them.
        """
        world = make(maxSessionsPerUser=1, perUser="replace")
        connection = world.connect()
        placed = [world.place(connection, b"alice") for _ in range(10)]
        world.run(10, 0.01)
        assert world.users == ["alice"] and world.pool.used == 1
        up = [one for one in placed if one.call and one.call.link.phase is Phase.NETWORK]
        assert len(up) == 1

    def test_theAccountsOwn(self, make: Made) -> None:
        world = make(maxSessionsPerUser=1)
        world.allow(Profile("alice", sessions=2))
        assert world.call(b"alice").call and world.call(b"alice").call
        third = world.call(b"alice")
        world.run(10, 0.01)
        assert third.failure

    def test_whoGetsNoAddress(self, make: Made) -> None:
        """
        A caller without an address has no seat.
        """
        world = make(maxSessionsPerUser=1)
        world.allow(Profile("alice", addresses=()))
        failed = world.call(b"alice")
        assert any("allows no address" in line for line in world.log)
        world.allow(Profile("alice"))
        assert world.call(b"alice").call is not None
        world.run(10, 0.01)
        assert failed.failure


class TestAccounts:
    def test_sources(self, make: Made) -> None:
        world = make()
        world.allow(Profile("alice", sources=(IPv4Network("192.0.2.8/32"),)))
        assert world.call(b"alice", "192.0.2.8").call is not None
        failed = world.call(b"alice", "192.0.2.9")
        world.run(10, 0.01)
        assert failed.failure
        assert world.observer.refused[0][3] == "alice may not call from 192.0.2.9"

    def test_hours(self, make: Made) -> None:
        """
        Nobody is let in outside of the account's hours, and a session ends with them.
        """
        world = make()
        world.clock.advance(43200)
        world.allow(Profile("alice", hours="Mo-We"), Profile("bob", hours="Th"))
        failed = world.call(b"alice")
        assert world.call(b"bob").call is not None
        world.run(10, 0.01)
        assert failed.failure
        world.run(86400, 20)
        assert [(user, code) for user, _, code in world.observer.ended] == [
            ("bob", Termination.SESSION_TIMEOUT)
        ]

    def test_protocols(self, make: Made) -> None:
        """
        A network protocol that the account doesn't permit isn't made: its packets are rejected, and
        it takes no address.
        """
        world = make()
        world.allow(Profile("alice", protocols=frozenset({"osi"})))
        osi = protocolFor(shipped()["osi"])(GenericSettings(lambda number, packet: None))
        settings = LinkSettings(identity=Identity(b"alice", b"alice", (MSCHAPV2,)))
        ipv4 = IPCP(IPv4Settings.client(lambda packet: None))
        placed = Placed(world.connect().placeCall(settings, [ipv4, osi]))
        world.run(0.3)
        assert placed.call is not None
        (session,) = world.gateway.sessions
        assert set(session.networks) == {"osi"} and world.pool.used == 0

    def test_noProtocol(self, make: Made) -> None:
        world = make()
        world.allow(Profile("alice", protocols=frozenset({"ipx"})))
        failed = world.call(b"alice")
        world.run(10, 0.01)
        assert failed.failure
        assert world.observer.refused[0][3] == "no network protocol is permitted to this user"


class TestEnds:
    def test_time(self, make: Made) -> None:
        world = make(sessionTimeout=30.0)
        world.call(b"alice")
        world.run(29, 0.05)
        assert world.users == ["alice"]
        world.run(5, 0.05)
        assert world.users == []
        assert [code for *_, code in world.observer.ended] == [Termination.SESSION_TIMEOUT]

    def test_silence(self, make: Made) -> None:
        """
        Echo-Requests keep a link open, but don't keep its session from being idle.
        """
        world = make(idleTimeout=60.0, options={"echoInterval": 5.0})
        placed = world.call(b"alice")
        assert placed.call is not None
        for _ in range(10):
            placed.call.protocols["ipv4"].sendPacket(b"a packet")
            world.run(20, 0.05)
        assert world.users == ["alice"]
        (session,) = world.gateway.sessions
        before = session.counters.framesReceived
        world.run(90, 0.05)
        assert world.users == []
        assert session.counters.framesReceived >= before + 5
        assert [code for *_, code in world.observer.ended] == [Termination.IDLE_TIMEOUT]

    def test_volume(self, make: Made) -> None:
        world = make()
        world.allow(Profile("alice", volume=1000))
        placed = world.call(b"alice")
        assert placed.call is not None
        placed.call.protocols["ipv4"].sendPacket(bytes(600))
        world.run(10, 0.05)
        assert world.users == ["alice"]
        world.dataPath.channels[0].sendPacket(0x21, bytes(400))
        world.run(10, 0.05)
        assert world.users == []

    def test_changed(self, make: Made) -> None:
        """
        The limits of a session follow changes of its profile.
        """
        world = make()
        world.call(b"alice")
        (session,) = world.gateway.sessions
        session.change(replace(session.profile, sessionTimeout=20.0))
        world.run(30, 0.05)
        assert world.users == []


class TestGuesses:
    def guess(self, world: World, name: bytes, address: str, password: bytes = b"wrong") -> float:
        """
        Guess one password, which is answered as a wrong one.

        @return: how long the answer took.
        """
        before = world.clock.seconds()
        placed = world.place(world.connect(address), name, password)
        while not placed.failure:
            world.run(0.01)
        return world.clock.seconds() - before

    def test_aUser(self, make: Made) -> None:
        """
        A locked-out user is refused from every address, even with the right password, until the
        lockout is over.
        """
        world = make(maxFailures=3, lockout=60.0)
        for _ in range(3):
            self.guess(world, b"alice", "192.0.2.66")
        ((kind, subject, failures, until),) = world.observer.lockouts
        assert (kind, subject, failures) == ("user", "alice", 3)
        assert any("user 'alice' is locked out until 19" in line for line in world.log)
        locked = world.call(b"alice", "192.0.2.8")
        assert world.call(b"bob", "192.0.2.66").call is not None
        world.run(until - world.clock.seconds(), 0.05)
        assert locked.failure
        assert world.call(b"alice", "192.0.2.8").call is not None

    def test_theLogTellsALockout(self, make: Made) -> None:
        """
        The log says that a right password is refused because of a lockout. The caller is told what
        it is told of a wrong one.
        """
        methods = (EAPProtocol((MD5,)),)
        world = make({"encryption": "off", "methods": methods}, maxFailures=1, lockout=600.0)
        told = []
        for password in (b"wrong", b"alice"):
            at = len(world.log)
            placed = world.call(b"alice", methods=methods, encryption="off", password=password)
            world.run(20, 0.05)
            told.append(placed.failure)
        assert told[0] == told[1]
        logged = [line.partition("192.0.2.7: ")[2] for line in world.log[at:]]
        assert f"'alice' is refused, by eap: {USER_LOCKED_OUT}" in logged
        assert f"call ended without a session: {USER_LOCKED_OUT}" in logged

    def test_aSource(self, make: Made) -> None:
        world = make(maxFailuresPerSource=5, lockout=600.0)
        for number in range(5):
            self.guess(world, b"user%d" % number, "192.0.2.66")
        locked = world.call(b"alice", "192.0.2.66")
        assert world.call(b"alice", "192.0.2.8").call is not None
        world.run(20, 0.05)
        assert locked.failure

    def test_inTheSameTimeAndWords(self, make: Made) -> None:
        """
        An unknown user, a wrong password and a lockout have the same packets at the same times on
        the wire. Observers are told which it was.
        """
        seen = []
        for name in (b"alice", b"mallory"):
            world = make(maxFailures=3)
            took = [self.guess(world, name, "192.0.2.66") for _ in range(5)]
            sent = [bytes(frame) for one in world.dataPath.channels for _, frame in one.sent]
            assert not any(b"lock" in frame for frame in sent)
            frames = [
                (number, bytes(frame[:1]), len(frame))
                for channel in world.dataPath.channels
                for number, frame in channel.sent
                if number == MSCHAPV2.number
            ]
            seen.append((took, frames, [text for *_, text, _ in world.observer.refused]))
        assert seen[0] == seen[1]
        wrong = "no such user or wrong password"
        assert seen[0][2] == [wrong] * 3 + [USER_LOCKED_OUT] * 2

    def test_anotherTunnel(self, make: Made) -> None:
        """
        Who may not call by this tunnel gets the same packets at the same times as for a wrong
        password, and isn't locked out by it. The log, observers and the tally tell the reason.
        """
        seen = []
        for tunnels, password in ((frozenset(("sstp",)), b"alice"), (None, b"wrong")):
            world = make(maxFailures=20)
            world.allow(Profile("alice", tunnels=tunnels))
            took = [self.guess(world, b"alice", "192.0.2.66", password)]
            frames = [
                (number, bytes(frame[:1]), len(frame))
                for channel in world.dataPath.channels
                for number, frame in channel.sent
                if number == MSCHAPV2.number
            ]
            seen.append((took, frames))
        assert seen[0] == seen[1]

    def test_anotherTunnelIsNoFailure(self, make: Made) -> None:
        """
        A client that goes on to dial by a tunnel that its account doesn't permit locks nobody out,
        and its account is refused at once when it changes, and let in when it changes back.
        """
        world = make(maxFailures=2, maxFailuresPerSource=2, lockout=600.0)
        world.allow(Profile("alice", tunnels=frozenset(("sstp", "l2tp"))))
        for _ in range(5):
            placed = world.call(b"alice")
            world.run(20, 0.05)
            assert placed.failure
        assert not world.observer.lockouts and not list(world.gateway.context.lockout)
        why = "alice may not call by pptp, only by l2tp or sstp"
        assert {told for *_, told in world.observer.refused} == {"pptp"}
        assert {text for *_, text, _ in world.observer.refused} == {why}
        assert any(f"'alice' is refused, by mschapv2: {why}" in line for line in world.log)
        assert world.gateway.tally.refusals == {("pptp", Category.TUNNEL): 5}
        world.allow(Profile("alice", tunnels=frozenset(("pptp", "sstp"))))
        assert world.call(b"alice").call is not None
        # Nobody may call by a tunnel because no other one is named.
        world.allow(Profile("bob", tunnels=frozenset()))
        refused = world.call(b"bob")
        world.run(20, 0.05)
        assert refused.failure

    def test_nobodyIsLockedOutOfItsSession(self, make: Made) -> None:
        """
        A caller that is challenged during its session may authenticate, whatever others have
        guessed.
        """
        world = make(maxFailures=3, lockout=600.0, options={"rechallenge": 30.0})
        world.call(b"alice")
        for _ in range(3):
            self.guess(world, b"alice", "192.0.2.66")
        assert world.observer.lockouts
        world.run(100, 0.05)
        assert world.users == ["alice"]


class TestPAP:
    def call(self, world: World, address: str) -> Placed:
        return world.call(b"alice", address, methods=(PAP, MSCHAPV2), encryption="off")

    def test_whereItIsOffered(self, make: Made) -> None:
        """
        PAP is offered to callers from the listed networks. Other callers that prefer it use the
        next method.
        """
        world = make(
            papClients=(IPv4Network("192.0.2.8/32"),),
            options={"encryption": "off", "methods": (PAP, MSCHAPV2)},
        )
        assert self.call(world, "192.0.2.8").call is not None
        assert self.call(world, "192.0.2.9").call is not None
        methods = {one.caller: one.authentication for one in world.gateway.sessions}
        assert methods == {"192.0.2.8": "pap", "192.0.2.9": "mschapv2"}

    def test_nothingElse(self, make: Made) -> None:
        """
        Callers from other networks, where PAP is the only method, are refused before they send
        their password.
        """
        world = make(
            papClients=(IPv4Network("192.0.2.8/32"),),
            options={"encryption": "off", "methods": (PAP,)},
        )
        failed = self.call(world, "192.0.2.9")
        assert failed.failure.startswith("the peer refused the call: do not accept")
        assert not world.dataPath.channels

    def test_settingsAreShared(self, make: Made) -> None:
        """
        Callers whose settings don't differ share one value.
        """
        world = make()
        for name, source in ((b"alice", "192.0.2.8"), (b"bob", "192.0.2.9")):
            world.call(name, source)
        first, second = world.gateway.lines
        assert first.link.settings is second.link.settings


class TestAccounting:
    def test_anAddressWaits(self, make: Made) -> None:
        """
        The address of an ended session goes to nobody else before its end is accounted for, even
        when the pool is empty.
        """
        world = make()
        world.allow(Profile("alice", addresses=(IPv4Network("10.1.1.1"),)))
        world.allow(Profile("bob", addresses=(IPv4Network("10.1.1.1"),)))
        world.observer.reports = []
        first = world.call(b"alice")
        first.hangUp()
        world.run(0.5)
        assert world.users == [] and world.pool.used == 1
        failed = world.call(b"bob")
        world.run(1, 0.01)
        assert any("already in use" in line for line in world.log)
        (report,) = world.observer.reports
        report.callback(None)
        assert world.pool.used == 0
        assert world.call(b"bob").address == "10.1.1.1"
        world.run(10, 0.01)
        assert failed.failure
        world.observer.reports = None

    def test_itsOwnUserWaits(self, make: Made) -> None:
        """
        A user that calls again meanwhile isn't refused, but let in when its address is free.
        """
        world = make()
        world.allow(Profile("alice", addresses=(IPv4Network("10.1.1.1"),)))
        world.observer.reports = []
        world.call(b"alice").hangUp()
        world.run(0.5)
        second = world.call(b"alice")
        assert second.call is None and not second.failure
        world.observer.reports[0].callback(None)
        world.run(0.2)
        assert second.address == "10.1.1.1"
        world.observer.reports = None

    def test_aReplacedSessionIsAccountedFor(self, make: Made) -> None:
        world = make(maxSessionsPerUser=1, perUser="replace")
        world.allow(Profile("alice", addresses=(IPv4Network("10.1.1.1"),)))
        world.observer.reports = []
        world.call(b"alice")
        second = world.call(b"alice")
        assert second.call is None and world.users == []
        world.observer.reports[0].callback(None)
        world.run(0.2)
        assert second.address == "10.1.1.1"
        world.observer.reports = None

    def test_accountingThatNeverAnswers(self, make: Made) -> None:
        world = make()
        world.observer.reports = []
        world.call(b"alice").hangUp()
        world.run(REPORT_SECONDS - 0.5, 0.01)
        assert world.pool.used == 1
        world.run(1, 0.01)
        assert world.pool.used == 0
        world.observer.reports = None

    def test_whoeverHangsUpWhileItWaits(self, make: Made) -> None:
        """
        A caller that hangs up while it waits for an address takes none when there is one.
        """
        world = make()
        world.allow(Profile("alice", addresses=(IPv4Network("10.1.1.1"),)))
        world.observer.reports = []
        world.call(b"alice").hangUp()
        world.run(0.5)
        world.call(b"alice")
        (line,) = world.gateway.lines
        line.call.connection.connectionLost("gone")
        world.observer.reports[0].callback(None)
        world.run(0.2)
        assert world.pool.used == 0 and not world.gateway.lines
        world.observer.reports = None

    def test_stop(self, make: Made) -> None:
        """
        A gateway that stops waits for the accounting of sessions, but no longer than its limit.
        """
        for answers in (True, False):
            world = make()
            world.observer.reports = []
            world.call(b"alice")
            stopped: list[object] = []
            world.gateway.stop(3).addCallback(stopped.append)
            world.run(1, 0.01)
            assert not stopped and not world.gateway.lines
            if answers:
                world.observer.reports[0].callback(None)
                assert stopped
            world.run(1.9, 0.01)
            assert bool(stopped) is answers
            world.run(0.2, 0.01)
            assert stopped and world.pool.used == 0
            assert [code for *_, code in world.observer.ended] == [Termination.ADMIN_REBOOT]


def test_theEndsOfManyAreTold(make: Made) -> None:
    """
    The causes of sessions' ends keep their codes on the way through line and link.
    """
    world = make(maxSessionsPerUser=1, perUser="replace", idleTimeout=20.0)
    world.call(b"alice")
    world.call(b"alice")
    world.run(40, 0.05)
    assert Counter(code for *_, code in world.observer.ended) == Counter(
        [Termination.PORT_PREEMPTED, Termination.IDLE_TIMEOUT]
    )
