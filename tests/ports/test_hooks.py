"""
Tests for L{pptpgw.ports.hooks}: its rules, with programs that the test ends, and whole sessions
with real programs.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import Clock, deferLater
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from pptpgw.config.section import HooksSection
from pptpgw.config.table import keysOf
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import ISessionObserver
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.networks.ipv6.ipv6cp import IPV6CP, IPv6Settings
from pptpgw.networks.mpls.mplscp import MPLSCP, MPLSSettings
from pptpgw.ports.hooks import Hooks
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.registry import Registry
from pptpgw.sessions.session import Session
from pptpgw.testing import DrivenLink, makeSession
from tests.ports.running import running

KINDS = ("auth", "ip", "ipv6")
SCRIPTS = {f"{kind}-{way}": f"/s/{kind}-{way}" for kind in KINDS for way in ("up", "down")}


class Program:
    """
    A program that runs until the test ends it. It is the transport of its own protocol.
    """

    pid = 2**22 + 1
    """
    A process id beyond those of Linux.
    """

    def __init__(
        self, protocol: ProcessProtocol, words: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self.protocol: Any = protocol
        self.words = words
        self.environment = environment
        self.ended = False
        self.protocol.makeConnection(self)

    @property
    def name(self) -> str:
        return self.words[1].rpartition("/")[2]

    def closeStdin(self) -> None:
        pass

    def loseConnection(self) -> None:
        pass

    def signalProcess(self, signal: str) -> None:
        self.end()

    def end(self) -> None:
        assert not self.ended
        self.ended = True
        done = Failure(ProcessDone(0))
        self.protocol.processExited(done)
        self.protocol.processEnded(done)


class Reactor(Clock):
    """
    A clock that runs programs as the test likes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.programs: list[Program] = []

    def spawnProcess(
        self,
        protocol: ProcessProtocol,
        executable: str,
        words: Sequence[str],
        environment: Mapping[str, str],
        path: str,
    ) -> None:
        assert executable.endswith("/setsid") and path == "/"
        self.programs.append(Program(protocol, words, environment))

    @property
    def running(self) -> list[str]:
        return [program.name for program in self.programs if not program.ended]

    @property
    def begun(self) -> list[str]:
        return [program.name for program in self.programs]

    def endAll(self) -> None:
        """
        End every program, including those that begin meanwhile.
        """
        for program in self.programs:
            if not program.ended:
                program.end()


def section(scripts: Mapping[str, str], deadline: float, processes: int) -> HooksSection:
    """
    The section that names these scripts.
    """
    keys = keysOf(HooksSection)
    paths = {keys[name].attribute: path for name, path in scripts.items()}
    return HooksSection(**paths, deadline=deadline, processes=processes)


class World:
    """
    Hooks, and sessions for them.
    """

    def __init__(self, processes: int = 4, scripts: Mapping[str, str] = SCRIPTS) -> None:
        self.reactor = Reactor()
        settings = section(scripts, 10.0, processes)
        self.hooks = Hooks(self.reactor, settings, "pptp0", Registry(self.reactor))
        self.ipcp = IPCP(IPv4Settings(localAddress="10.77.0.1", peerAddress="10.77.0.10"))
        ours, theirs = (bytes(7) + bytes((last,)) for last in (1, 2))
        self.ipv6cp = IPV6CP(IPv6Settings(identifier=ours, peerIdentifier=theirs))
        for protocol in (self.ipcp, self.ipv6cp):
            DrivenLink(protocol, clock=self.reactor)

    def session(self, number: int = 1, user: str = "alice") -> Session:
        return makeSession(Profile(user), number, seconds=self.reactor.seconds)

    def open(self, session: Session) -> None:
        self.hooks.protocolOpened(session, self.ipcp)

    def close(self, session: Session) -> None:
        self.hooks.protocolClosed(session, self.ipcp)


def test_itIsAnObserver() -> None:
    verifyObject(ISessionObserver, World().hooks)


class TestWhatScriptsAreTold:
    def test_ipUpAndIPDown(self) -> None:
        """
        ip-up and ip-down get pppd's arguments and variables. Only ip-down gets the counters.
        """
        world = World(scripts={"ip-up": "/s/ip-up", "ip-down": "/s/ip-down"})
        one = world.session(user="CORP\\al\nice")
        world.hooks.sessionStarted(one)
        world.open(one)
        world.reactor.endAll()
        world.reactor.advance(61.9)
        one.counters.octetsReceived, one.counters.octetsSent = 1000, 2000
        world.close(one)
        up, down = world.reactor.programs
        arguments = ["pptp0", "none", "0", "10.77.0.1", "10.77.0.10", "192.0.2.7"]
        assert up.words == ["setsid", "/s/ip-up", *arguments]
        assert down.words == ["setsid", "/s/ip-down", *arguments]
        assert up.environment == {
            "DEVICE": "none",
            "DIRECTION": "in",
            "IFNAME": "pptp0",
            "IPLOCAL": "10.77.0.1",
            "IPREMOTE": "10.77.0.10",
            "LINKNAME": "cafe00000001",
            "ORIG_UID": str(os.getuid()),
            "PEERNAME": "CORP\\al\\nice",
            "PPPLOGNAME": pwd.getpwuid(os.getuid()).pw_name,
            "REMOTENUMBER": "192.0.2.7",
            "SPEED": "0",
        }
        figures = {"CONNECT_TIME": "61", "BYTES_RCVD": "1000", "BYTES_SENT": "2000"}
        assert down.environment == {**up.environment, **figures}

    def test_ipv6Up(self) -> None:
        world = World()
        world.hooks.protocolOpened(world.session(), world.ipv6cp)
        (up,) = world.reactor.programs
        addresses = ["fe80::1", "fe80::2"]
        assert up.words[1:] == ["/s/ipv6-up", "pptp0", "none", "0", *addresses, "192.0.2.7"]
        assert [up.environment[name] for name in ("LLLOCAL", "LLREMOTE")] == addresses
        assert "IPLOCAL" not in up.environment

    def test_authUp(self) -> None:
        world = World()
        world.hooks.sessionStarted(world.session())
        (up,) = world.reactor.programs
        own = pwd.getpwuid(os.getuid()).pw_name
        assert up.words[1:] == ["/s/auth-up", "pptp0", "alice", own, "none", "0"]

    def test_otherNetworkProtocolsHaveNone(self) -> None:
        world = World()
        world.hooks.protocolOpened(world.session(), MPLSCP(MPLSSettings(print, print)))
        assert not world.reactor.programs


class TestOrder:
    def test_aSessionsScriptsRunOneAfterTheOther(self) -> None:
        world, one = World(), World().session()
        world.hooks.sessionStarted(one)
        world.open(one)
        world.hooks.protocolOpened(one, world.ipv6cp)
        for name in ("auth-up", "ip-up", "ipv6-up"):
            assert world.reactor.running == [name]
            world.reactor.programs[-1].end()
        assert not world.reactor.running
        world.close(one)
        world.hooks.protocolClosed(one, world.ipv6cp)
        world.hooks.sessionEnded(one, "enough")
        world.reactor.endAll()
        assert world.reactor.begun[3:] == ["ip-down", "ipv6-down", "auth-down"]

    def test_ipDownWaitsForIPUp(self) -> None:
        world, one = World(), World().session()
        world.open(one)
        world.close(one)
        assert world.reactor.running == ["ip-up"]
        world.reactor.programs[0].end()
        assert world.reactor.running == ["ip-down"]

    def test_whoeverGetsTheAddressNextWaitsForItsScripts(self) -> None:
        """
        A session's end is accounted for when its ip-down script has ended, so that the next user of
        the address waits for it. Without a script it is accounted for at once.
        """
        world, one = World(scripts={"ip-down": "/s/ip-down"}), World().session()
        assert world.hooks.sessionEnded(one, "enough") is None
        world.close(one)
        ended = world.hooks.sessionEnded(one, "enough")
        assert ended is not None
        fired: list[None] = []
        ended.addCallback(fired.append)
        assert not fired
        world.reactor.endAll()
        assert fired

    def test_soManyAtATimeAndInTurns(self) -> None:
        world = World(2)
        sessions = [world.session(number) for number in range(4)]
        for one in sessions:
            world.hooks.sessionStarted(one)
            world.open(one)
        served = []
        while world.reactor.running:
            assert len(world.reactor.running) <= 2
            (program, *_) = [one for one in world.reactor.programs if not one.ended]
            served.append((program.name, program.environment["LINKNAME"][-1]))
            program.end()
        assert served == [
            (name, str(number)) for name in ("auth-up", "ip-up") for number in range(4)
        ]

    def test_whatClosesBeforeItsTurnIsNotToldAtAll(self) -> None:
        world = World(1)
        first, second = world.session(1), world.session(2)
        world.open(first)
        world.open(second)
        world.close(second)
        world.hooks.sessionEnded(second, "gone")
        world.close(first)
        world.reactor.endAll()
        assert [(one.name, one.environment["LINKNAME"][-1]) for one in world.reactor.programs] == [
            ("ip-up", "1"),
            ("auth-down", "2"),
            ("ip-down", "1"),
        ]

    @pytest.mark.parametrize(
        ("scripts", "expected"),
        [
            (SCRIPTS, ["ip-up", "ip-down", "ip-up"]),
            ({"ip-up": "/s/ip-up"}, ["ip-up", "ip-up"]),
            ({"ip-down": "/s/ip-down"}, ["ip-down", "ip-down"]),
        ],
    )
    def test_aPeerThatNegotiatesForEverHasFewScriptsWaiting(
        self, scripts: Mapping[str, str], expected: list[str]
    ) -> None:
        world, one = World(scripts=scripts), World().session()
        for _ in range(1000):
            world.open(one)
            world.close(one)
        world.open(one)
        world.reactor.endAll()
        assert world.reactor.begun == expected

    @given(st.lists(st.sampled_from("oce"), max_size=40), st.booleans())
    def test_upAndDownTakeTurnsAndTheLastOneIsRight(self, steps: list[str], finally_: bool) -> None:
        """
        The scripts for up and down of a protocol alternate, and the last one that ran fits the
        protocol's state, whatever opens, closes and ends (C{e}) meanwhile.
        """
        world, one = World(), World().session()
        opened = False
        for step in steps:
            if step == "e":
                for program in world.reactor.programs:
                    if not program.ended:
                        program.end()
                        break
            elif opened != (step == "o"):
                opened = step == "o"
                (world.open if opened else world.close)(one)
        world.reactor.endAll()
        begun = world.reactor.begun
        assert begun == ["ip-up", "ip-down"] * (len(begun) // 2) + ["ip-up"] * (len(begun) % 2)
        assert len(begun) % 2 == opened


class TestStop:
    def test_itWaitsForWhatRuns(self) -> None:
        world, one = World(), World().session()
        stopped: list[None] = []
        world.hooks.stop().addCallback(stopped.append)
        assert stopped == [None]
        world.open(one)
        world.close(one)
        world.hooks.stop().addCallback(stopped.append)
        world.reactor.endAll()
        assert stopped == [None, None]
        assert world.reactor.begun == ["ip-up", "ip-down"]
        assert not world.reactor.getDelayedCalls()

    def test_afterADeadlineItWaitsNoLonger(self) -> None:
        world = World(1)
        for number in (1, 2):
            world.open(world.session(number))
        world.close(world.session(1))
        ended = world.hooks.sessionEnded(world.session(2), "stop")
        stopped: list[None] = []
        world.hooks.stop().addCallback(stopped.append)
        world.reactor.advance(5)
        world.reactor.programs[0].end()
        world.reactor.advance(4.9)
        assert not stopped
        with capturedLogs() as events:
            world.reactor.advance(0.1)
        assert stopped and ended is not None and ended.called
        assert world.reactor.begun == ["ip-up", "ip-up"] and not world.reactor.running
        assert any("the gateway stops" in formatEvent(event) for event in events)

    def test_itCanStartAgain(self) -> None:
        world, one = World(), World().session()
        world.open(one)
        world.hooks.stop()
        world.reactor.endAll()
        world.close(one)
        world.reactor.endAll()
        assert world.reactor.begun == ["ip-up", "ip-down"]


def test_whatCannotBeRunIsAnErrorAtTheStart(tmp_path: Path) -> None:
    path = tmp_path / "ip-up"
    path.write_text("#!/bin/sh\n")
    world = World(scripts={"ip-up": str(path), "ip-down": ""})
    with pytest.raises(ConfigurationError, match=rf"\[hooks\] ip-up: {path}: can't be executed"):
        world.hooks.start()
    path.chmod(0o700)
    world.hooks.start()


def test_realScriptsOfManySessions(tmp_path: Path) -> None:
    """
    The scripts of many sessions, slow and fast, run in order within each session, and a limited
    number at once. A script that hangs delays its own session by its deadline and no other session.
    """
    path, log = tmp_path / "script", tmp_path / "log"
    path.write_text(
        "#!/bin/sh\n"
        f'echo "$LINKNAME $0 begins" >> {log}\n'
        'case "$LINKNAME $0" in *07*up) sleep 60;; *up) sleep 0.1;; esac\n'
        f'echo "$LINKNAME $0 ends $CONNECT_TIME" >> {log}\n'
    )
    path.chmod(0o700)
    (tmp_path / "ip-up").symlink_to(path)
    (tmp_path / "ip-down").symlink_to(path)
    scripts = {name: str(tmp_path / name) for name in ("ip-up", "ip-down")}
    world = World()

    def begin(reactor: Any) -> Deferred[None]:
        settings = section(scripts, 1.5, 4)
        hooks = world.hooks = Hooks(reactor, settings, "pptp0", Registry(reactor))
        hooks.start()
        sessions = [world.session(number) for number in range(10)]
        for one in sessions:
            world.open(one)

        def close() -> Deferred[None]:
            for one in sessions:
                world.close(one)
            return hooks.stop()

        return deferLater(reactor, 0.5).addCallback(lambda _: close())

    running(begin)
    lines = log.read_text().splitlines()
    for number in range(10):
        mine = [line.split(maxsplit=1)[1] for line in lines if line.startswith(f"cafe{number:08x}")]
        up, down = (scripts[name] for name in ("ip-up", "ip-down"))
        assert mine == (
            [f"{up} begins", f"{down} begins", f"{down} ends 0"]
            if number == 7
            else [f"{up} begins", f"{up} ends ", f"{down} begins", f"{down} ends 0"]
        ), number
    began = ended = most = 0
    for line in lines:
        began += line.endswith("begins")
        ended += " ends" in line
        most = max(most, began - ended)
    assert most <= 5
