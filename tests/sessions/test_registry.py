"""
Tests for L{pptpgw.sessions.registry}.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer
from zope.interface.verify import verifyClass, verifyObject

from pptpgw.error import ConfigurationError
from pptpgw.interfaces import (
    IHealth,
    IProtectedCall,
    ISession,
    ISessionObserver,
    ISessions,
)
from pptpgw.log import Logger
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.sessions.ending import REPORT_SECONDS
from pptpgw.sessions.observer import SessionObserver
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.registry import Registry
from pptpgw.sessions.session import Session
from pptpgw.testing import SessionRecorder, makeSession

IPV4 = IPCP(IPv4Settings.client(lambda packet: None))
HOME = IPv4Network("10.77.0.10")


class World:
    """
    A registry, with functions that begin and end sessions.

    @ivar released: the users whose sessions' belongings were given back.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.registry = Registry(self.clock)
        self.released: list[str] = []

    def begin(self, number: int = 1, user: str = "alice") -> Session:
        session = makeSession(
            Profile(user),
            number,
            identifier=f"run{number}",
            changed=self.registry.sessionChanged,
        )
        self.registry.sessionStarted(session)
        return session

    def end(self, session: Session) -> None:
        self.registry.sessionEnded(
            session, "enough", session.user, lambda: self.released.append(session.user)
        )


class Noting(SessionRecorder):
    """
    An observer that records each event, then calls C{act}, and returns C{answer} at the end of a
    session.
    """

    def __init__(
        self,
        name: str,
        notes: list[tuple[Any, ...]],
        act: Callable[[], object] = lambda: None,
        answer: Deferred[Any] | None = None,
    ) -> None:
        super().__init__()
        self._name = name
        self._notes = notes
        self._act = act
        self._answer = answer

    def record(self, event: str, *details: Any) -> None:
        self._notes.append((self._name, event, *details) if self._name else (event, *details))
        self._act()

    def sessionEnded(self, session: ISession, cause: str) -> Deferred[Any] | None:
        super().sessionEnded(session, cause)
        return self._answer


@pytest.fixture
def world() -> World:
    return World()


def test_interfaces(world: World) -> None:
    assert verifyClass(ISessions, Registry) and verifyObject(ISessions, world.registry)
    assert verifyObject(ISession, world.begin())


class TestEvents:
    def test_everyEvent(self, world: World) -> None:
        """
        An observer is told of every event in order, with the session and the protocol of each.
        """
        notes: list[tuple[Any, ...]] = []
        registry = world.registry
        registry.addObserver(Noting("", notes))
        session = world.begin()
        registry.protocolOpened(session, IPV4, [HOME])
        registry.networksChanged(session, IPV4, [])
        registry.protocolClosed(session, IPV4)
        session.change(replace(session.profile, sessionTimeout=60.0))
        world.end(session)
        registry.callerRefused("192.0.2.9", "bob", "pap", "no such user", "sstp")
        registry.lockedOut("user", "bob", 3, 99.0)
        assert notes == [
            ("started", session),
            ("opened", session, IPV4),
            ("networks", session),
            ("closed", session, IPV4),
            ("changed", session),
            ("ended", session, "enough"),
            ("refused", "192.0.2.9", "bob", "pap", "no such user", "sstp"),
            ("locked", "user", "bob", 3, 99.0),
        ]
        told = {name for name in ISessionObserver if not name.startswith("_")}
        assert len(told) == len(notes)

    def test_whatIsTrueMeanwhile(self, world: World) -> None:
        """
        A session is registered when its start is told and isn't when its end is told. Its addresses
        lead to it when the opening of a protocol is told and don't when the closing is told.
        """
        seen: list[tuple[int, bool]] = []
        registry = world.registry

        def look() -> None:
            seen.append((len(registry), registry.sessionFor(str(HOME[0])) is not None))

        registry.addObserver(Noting("", [], look))
        session = world.begin()
        registry.protocolOpened(session, IPV4, [HOME])
        registry.protocolClosed(session, IPV4)
        world.end(session)
        assert seen == [(1, False), (1, True), (1, False), (0, False)]

    def test_linesOfTheLog(self, world: World, log: list[str]) -> None:
        """
        Lines that an observer logs begin with the identifier of the session, if there is one.
        """
        registry = world.registry
        registry.addObserver(Noting("", [], lambda: Logger("pptpgw.test").info("told")))
        world.end(world.begin())
        registry.callerRefused("192.0.2.9", "", "", "full", "sstp")
        assert log == ["[run1] told", "[run1] told", "told"]


class TestObservers:
    def test_theOrder(self, world: World) -> None:
        """
        Observers are told in the order in which they were added. Adding one again puts it last.
        """
        notes: list[tuple[Any, ...]] = []
        first, second = Noting("first", notes), Noting("second", notes)
        for one in (first, second, first):
            world.registry.addObserver(one)
        session = world.begin()
        assert notes == [("second", "started", session), ("first", "started", session)]

    def test_oneThatLacksSomething(self, world: World) -> None:
        """
        An observer that lacks a method isn't added, and the error names the observer and the
        method.
        """

        class Lacking(SessionObserver):
            lockedOut: Any = None

        lacking: Any
        for lacking in (Lacking(), object()):
            with pytest.raises(ConfigurationError, match="ISessionObserver") as raised:
                world.registry.addObserver(lacking)
            assert repr(lacking) in str(raised.value)
        world.begin()

    def test_removal(self, world: World) -> None:
        """
        An observer that is removed is told nothing more. Removing it again does nothing.
        """
        notes: list[tuple[Any, ...]] = []
        one = Noting("one", notes)
        world.registry.addObserver(one)
        for _ in range(2):
            world.registry.removeObserver(one)
        world.begin()
        assert notes == []

    def test_addedWhileOthersAreTold(self, world: World) -> None:
        """
        An observer that is added during an event is told of the next event.
        """
        notes: list[tuple[Any, ...]] = []
        added = Noting("added", notes)
        registry = world.registry
        registry.addObserver(Noting("adding", notes, lambda: registry.addObserver(added)))
        session = world.begin()
        assert notes == [("adding", "started", session)]
        session.change(session.profile)
        assert notes[1:] == [("adding", "changed", session), ("added", "changed", session)]

    def test_removedWhileOthersAreTold(self, world: World) -> None:
        """
        An observer that another removes during an event isn't told of that event, and all others
        are.
        """
        notes: list[tuple[Any, ...]] = []
        registry = world.registry
        removed = Noting("removed", notes)
        registry.addObserver(Noting("removing", notes, lambda: registry.removeObserver(removed)))
        registry.addObserver(removed)
        registry.addObserver(Noting("last", notes))
        session = world.begin()
        assert notes == [("removing", "started", session), ("last", "started", session)]

    def test_oneThatRemovesItself(self, world: World) -> None:
        """
        An observer that removes itself is told once, and the observer behind it is told of every
        event.
        """
        notes: list[tuple[Any, ...]] = []
        registry = world.registry
        once = Noting("once", notes, lambda: registry.removeObserver(once))
        registry.addObserver(once)
        registry.addObserver(Noting("last", notes))
        session = world.begin()
        session.change(session.profile)
        assert [note[:2] for note in notes] == [
            ("once", "started"),
            ("last", "started"),
            ("last", "changed"),
        ]

    def test_oneThatRaises(
        self, world: World, log: list[str], loggedFailures: list[Failure]
    ) -> None:
        """
        An observer's exception is logged with the observer's name and the session, and the observer
        behind it is told.
        """

        def fail() -> None:
            raise ValueError("broken observer")

        notes: list[tuple[Any, ...]] = []
        raising = Noting("raising", [], fail)
        world.registry.addObserver(raising)
        world.registry.addObserver(Noting("last", notes))
        session = world.begin()
        world.end(session)
        assert [note[:2] for note in notes] == [("last", "started"), ("last", "ended")]
        assert world.released == ["alice"]
        assert [line.partition(" failed")[0] for line in log] == [
            f"[run1] session observer {raising}"
        ] * 2
        assert [str(failure.value) for failure in loggedFailures] == ["broken observer"] * 2
        loggedFailures.clear()

    def test_oneThatAnswersWithItsFailure(
        self, world: World, loggedFailures: list[Failure]
    ) -> None:
        """
        Observers that account for the end at once, and those that fail, now or later, aren't waited
        for.
        """
        pending: Deferred[None] = Deferred()
        within: Deferred[None] = Deferred()
        chained = succeed(None).addCallback(lambda _: within)
        for answer in (None, succeed(1), pending, chained):
            world.registry.addObserver(Noting("", [], answer=answer))
        world.end(world.begin())
        assert world.released == [] and len(world.registry.endings) == 1
        pending.errback(KeyError("later"))
        assert world.released == []
        within.callback(None)
        assert world.released == ["alice"] and not world.registry.endings
        assert [type(failure.value) for failure in loggedFailures] == [KeyError]
        loggedFailures.clear()

    def test_oneThatHangs(self, world: World) -> None:
        """
        The addresses of a session stay reserved for L{REPORT_SECONDS} at most while an observer
        hasn't accounted for its end, even if the observer is removed meanwhile.
        """
        hanging = Noting("", [], answer=Deferred())
        world.registry.addObserver(hanging)
        world.end(world.begin())
        world.registry.removeObserver(hanging)
        world.clock.advance(REPORT_SECONDS - 0.1)
        assert world.released == []
        world.clock.advance(0.1)
        assert world.released == ["alice"]

    def test_theirHealth(self, world: World) -> None:
        """
        Observers that report their health are listed as long as they are told of sessions.
        """

        @implementer(IHealth)
        class Faulty(SessionObserver):
            fault = "the disk is full"

        faulty = Faulty()
        world.registry.addObserver(SessionObserver())
        world.registry.addObserver(faulty)
        assert list(world.registry.health) == [faulty]
        world.registry.removeObserver(faulty)
        assert not world.registry.health


class TestLookUps:
    def test_whoIsThere(self, world: World) -> None:
        """
        A session is found by its identifier, its number and its addresses until it ends.
        """
        registry = world.registry
        alice, bob = world.begin(7), world.begin(3, "bob")
        routed: list[IPv4Network | IPv6Network] = [HOME, IPv6Network("2001:db8:1::/56")]
        registry.protocolOpened(alice, IPV4, routed)
        assert registry.withIdentifier("run7") is registry.withNumber(7) is alice
        assert registry.withIdentifier("run8") is registry.withNumber(8) is None
        assert registry.sessionFor("10.77.0.10") is alice
        assert registry.sessionFor("2001:db8:1:99::1") is alice
        assert registry.sessionFor("10.77.0.11") is None
        with pytest.raises(ValueError):
            registry.sessionFor("nowhere")
        assert list(registry) == [alice, bob] and len(registry) == 2
        registry.networksChanged(alice, IPV4, routed[:1])
        assert registry.sessionFor("2001:db8:1:99::1") is None
        registry.protocolClosed(alice, IPV4)
        assert registry.sessionFor("10.77.0.10") is None
        world.end(alice)
        assert registry.withIdentifier("run7") is registry.withNumber(7) is None
        assert list(registry) == [bob]

    def test_whileSessionsEnd(self, world: World) -> None:
        """
        An iteration yields the sessions that there were when it began, whatever ends meanwhile.
        """
        sessions = [world.begin(number) for number in range(1, 6)]
        seen = []
        for session in world.registry:
            seen.append(session)
            if session.number % 2:
                world.end(sessions[session.number - 1])
                world.begin(session.number + 10)
        assert seen == sessions
        assert [one.number for one in world.registry] == [2, 4, 11, 13, 15]

    def test_twoWithOneAddress(self, world: World) -> None:
        """
        An address of two sessions leads to the one that got it last, and to the other when that one
        has ended.
        """
        registry = world.registry
        first, second = world.begin(1), world.begin(2)
        for session in (first, second):
            registry.protocolOpened(session, IPV4, [HOME])
        assert registry.sessionFor("10.77.0.10") is second
        registry.protocolClosed(second, IPV4)
        assert registry.sessionFor("10.77.0.10") is first


class Working(Clock):
    """
    A clock that moves on by a millisecond for each session that ends.
    """

    def work(self) -> None:
        self.rightNow += 0.001


def test_thousandsAreEndedInSlices() -> None:
    """
    Thousands of sessions that are hung up at once end in order, a few in each turn of the reactor.
    Each is found until its turn comes.
    """
    clock = Working()
    registry = Registry(clock)
    ended: list[int] = []

    def end(session: Session) -> None:
        clock.work()
        registry.sessionEnded(session, "enough", "alice", lambda: ended.append(session.number))

    sessions = [makeSession(number=number) for number in range(1000)]
    for session in sessions:
        registry.sessionStarted(session)
    for session in registry:
        registry.hangUps.do(end, session)
    most = len(ended)
    assert 0 < most < 10
    while registry:
        before = len(ended)
        assert [one.number for one in registry] == list(range(before, 1000))
        assert registry.withNumber(before) is sessions[before]
        clock.advance(0.001)
        most = max(most, len(ended) - before)
    assert ended == list(range(1000)) and most < 10
    clock.advance(1)
    assert clock.getDelayedCalls() == []


def test_callers(world: World) -> None:
    """
    Each call has a number and an identifier of its own, which differs from those of other runs.
    """

    class Call:
        caller, called, tunnel = "192.0.2.7", "192.0.2.1", None

    call: Any = Call()
    registries = [world.registry, Registry(world.clock)]
    callers = [registry.callerOf(call) for registry in registries for _ in range(3)]
    assert [one.port for one in callers] == [1, 2, 3] * 2
    assert len({one.session for one in callers}) == 6
    assert {(one.address, one.called) for one in callers} == {("192.0.2.7", "192.0.2.1")}


def test_whatProtectsACaller(world: World) -> None:
    """
    A caller has the words of a call that tells what encrypts its packets.
    """

    class Call:
        caller, called, tunnel, protection = "192.0.2.7", "192.0.2.1", None, "IPsec ESP, one"

    call: Any = Call()
    directlyProvides(call, IProtectedCall)
    assert world.registry.callerOf(call).protection == "IPsec ESP, one"
