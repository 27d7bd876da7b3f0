"""
Tests for L{pptpgw.datapath.choice} and L{pptpgw.datapath.hindrance}, with fakes of both paths.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.testing import MemoryReactorClock
from zope.interface import directlyProvides

from pptpgw.config.configuration import parse
from pptpgw.config.environment import Environment
from pptpgw.config.kind import NoSettings
from pptpgw.datapath import engine
from pptpgw.datapath.choice import ChosenDataPath, auto, foreseen, instead, kernel
from pptpgw.datapath.framed import FramedChannel
from pptpgw.datapath.hindrance import objections
from pptpgw.error import ConfigurationError, NotCarried, NotPermitted, Unavailable
from pptpgw.interfaces import ICall, IKernelCall, TunnelKind
from pptpgw.ports import pppox
from tests.datapath.test_framed import Sender
from tests.datapath.test_python import Owner
from tests.logged import loggedLines


class Call:
    """
    A call that either path can carry.
    """

    tunnel = TunnelKind("pptp", "PPTP")
    caller = "192.0.2.10"

    def openChannel(self, owner: Any, host: Any) -> FramedChannel:
        return FramedChannel(host, owner, Sender())


DECLARED = 'name = "appletalk"\nto = "udp:127.0.0.1:5000"'
FEW = '[[network.filter]]\nname = "web"\nrules = ["permit ip from any to any"]'
MANY = '[[network.filter]]\nname = "web"\nrules = [{}]'.format(
    ", ".join(f'"permit tcp from 10.0.{one % 200}.0/24 to any port {one}"' for one in range(500))
)


class Kernel:
    """
    The kernel's path.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.opened: list[int] = []
        self.running = False
        self.mru = 0

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False

    def openChannel(self, call: object, owner: object, number: int) -> object:
        if self.error is not None:
            raise self.error
        self.opened.append(number)
        return self


class Clamp:
    """
    The clamp of the MSS.
    """

    def __init__(self) -> None:
        self.isOn = False

    def set(self, on: bool) -> Deferred[None]:
        self.isOn = on
        return succeed(None)


class Machine(NamedTuple):
    """
    What a machine lacks.
    """

    ppp: str = ""
    tables: str = ""
    pppox: Mapping[int, str] = MappingProxyType({})

    def lackingPPP(self) -> str:
        return self.ppp

    def lackingPPPoX(self, protocol: int) -> str:
        return self.pppox.get(protocol, "")

    def lackingTables(self) -> str:
        return self.tables


class World:
    """
    A data path that chooses.
    """

    def __init__(
        self,
        text: str = "",
        strict: bool = False,
        lacking: str = "",
        tables: str = "",
        pppox: Mapping[int, str] = MappingProxyType({}),
    ) -> None:
        self.environment: Any = Environment(MemoryReactorClock(), parse(text, "test"))
        self.path = ChosenDataPath(self.environment, strict, Machine(lacking, tables, pppox))
        self.path._kernel = self.kernel = Kernel()  # type: ignore[assignment]
        self.path._clamp = self.clamp = Clamp()  # type: ignore[assignment]

    def start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(self.path._device, "start", lambda: None)
        self.path.start()

    def open(self, number: int = 3, kind: object = IKernelCall) -> Any:
        call: Any = Call()
        directlyProvides(call, kind)
        owner: Any = Owner()
        return self.path.openChannel(call, owner, number)

    def follow(self, text: str) -> None:
        self.environment.configuration = parse(text, "after")
        self.path.reload(self.environment)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World()
    world.start(monkeypatch)
    yield world
    world.path.stop()
    assert not world.kernel.running and not world.clamp.isOn


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", ""),
        (
            '[network]\nprotocols = ["ipv4", "ipx"]\n[ipx]\nnetwork = 1',
            "[network] protocols has ipx",
        ),
        ("[link]\nencryption-bits = [128, 56]", "[link] encryption-bits has 56"),
        ("[link]\nencryption-stateful = true", "[link] encryption-stateful is set"),
        ('[link]\ncompression = ["deflate"]', "[link] compression is set"),
        ("[link]\nmultilink = true", "[link] multilink is set"),
        ('[capture]\nfile = "/tmp/x.pcapng"', "[capture] file is set"),
        ("[[network.generic]]\n" + DECLARED, "[[network.generic]] declares"),
        (FEW, ""),
        (MANY, '[[network.filter]] name = "web": it is a program of 5'),
    ],
)
def test_objections(text: str, why: str) -> None:
    found = list(objections(parse(text, "test")))
    assert len(found) == bool(why) and all(one.startswith(why) for one in found)


def test_foreseen(monkeypatch: pytest.MonkeyPatch) -> None:
    auto = parse('[datapath]\npath = "auto"', "test")
    assert foreseen(auto, Machine()) == "kernel"
    unclamped = replace(auto, network=replace(auto.network, mssClamp=False))
    assert foreseen(unclamped, Machine("", "no nft")) == "kernel"
    alone = parse('[datapath]\npath = "kernel"', "test")
    assert foreseen(alone, Machine("", "no nft")) == "kernel"
    assert foreseen(parse('[datapath]\npath = "python"', "test"), Machine()) == "python"
    monkeypatch.setattr(engine, "makeThreads", object)
    assert foreseen(auto, Machine("no module")) == "native: no module"
    assert foreseen(auto, Machine("", "no nft")) == "native: [network] mss-clamp is set, and no nft"
    captured = replace(auto, capture=replace(auto.capture, file="/tmp/x"))
    why = "[capture] file is set, and the kernel's packets don't pass there"
    assert foreseen(captured, Machine()) == f"python: {why}"
    monkeypatch.setattr(engine, "makeThreads", None)
    why = "no module; the thread in C isn't compiled"
    assert foreseen(auto, Machine("no module")) == f"python: {why}"


def test_foreseenForEachTunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The kernel may be able to carry the calls of one tunnel and not those of another one.
    """
    monkeypatch.setattr(engine, "makeThreads", object)
    both = parse('[listen]\ntunnels = ["pptp", "l2tp", "sstp"]', "test")
    lacking = {pppox.L2TP: "no l2tp_ppp"}
    assert foreseen(both, Machine()) == "kernel"
    assert foreseen(both, Machine(pppox=lacking)) == "kernel, those of l2tp by native: no l2tp_ppp"
    assert foreseen(both, Machine("no ppp", pppox=lacking)) == "native: no ppp"
    lacking[pppox.PPTP] = "no pptp"
    assert foreseen(both, Machine(pppox=lacking)) == "native: no pptp; no l2tp_ppp"
    alone = parse('[listen]\ntunnels = ["l2tp"]', "test")
    assert foreseen(alone, Machine(pppox={pppox.PPTP: "no pptp"})) == "kernel"
    neither = parse('[listen]\ntunnels = ["sstp"]', "test")
    assert foreseen(neither, Machine()) == "kernel"


def test_oneTunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Calls of a tunnel for which the kernel lacks something pass here, and those of others don't.
    Where the kernel alone may carry calls, nothing starts.
    """
    text = '[listen]\ntunnels = ["pptp", "l2tp"]'
    world = World(text, pppox={pppox.PPTP: "no pptp"})
    world.start(monkeypatch)
    with loggedLines() as lines:
        assert world.open().path == "python: no pptp"
        assert not lines
    Call.tunnel = TunnelKind("l2tp", "L2TP")
    try:
        assert world.open() is world.kernel
    finally:
        Call.tunnel = TunnelKind("pptp", "PPTP")
    assert world.path.filesPerSession and world.clamp.isOn
    world.path.stop()
    world = World(text, strict=True, pppox={pppox.L2TP: "no l2tp_ppp"})
    assert list(world.path.lacking()) == [
        '[datapath] path = "kernel": no l2tp_ppp; "auto" is possible'
    ]
    with pytest.raises(ConfigurationError, match="no l2tp_ppp"):
        world.start(monkeypatch)


def test_foreseenNatively(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The thread carries packets if it is compiled and nothing is captured.
    """
    settings = '[datapath]\npath = "native"\n'
    monkeypatch.setattr(engine, "makeThreads", object)
    assert foreseen(parse(settings, "test"), Machine()) == "native"
    captured = parse(settings + '[capture]\nfile = "/tmp/x"', "test")
    assert foreseen(captured, Machine()) == "python: [capture] file is set"
    monkeypatch.setattr(engine, "makeThreads", None)
    assert foreseen(parse(settings, "test"), Machine()) == "python: the thread in C isn't compiled"


def test_theKernel(started: World) -> None:
    """
    The kernel carries a call, whose device has the number of its session.
    """
    assert started.path.path == "kernel" and started.path.filesPerSession == 4
    assert started.kernel.running and started.clamp.isOn
    assert started.open(7) is started.kernel
    assert started.kernel.opened == [7]


def test_otherCalls(started: World) -> None:
    """
    A call that the kernel doesn't know passes here, and says why.
    """
    with loggedLines() as lines:
        for _ in range(2):
            channel = started.open(kind=ICall)
            assert channel.path == "python: the kernel carries no calls of pptp"
    assert len(lines) == 1 and "no calls of pptp" in lines[0]


def test_aCaptureWaits(started: World) -> None:
    """
    While a capture waits for a call, those that it may wait for pass here.
    """
    undo = started.path.keepHere(lambda call: call.caller == "192.0.2.10")
    started.path.keepHere(lambda call: call.caller == "192.0.2.11")
    assert started.open().path == "python: a capture waits for a caller"
    undo()
    assert started.open() is started.kernel


@pytest.mark.parametrize("error", [OSError(113, "No route to host"), NotPermitted("no /dev/ppp")])
def test_theKernelRefuses(error: Exception, started: World) -> None:
    started.kernel.error = error
    assert started.open().path == f"python: {error}"
    started.kernel.error = None
    assert started.open() is started.kernel


def test_theMachineLacksSomething(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(lacking="no module pptp")
    world.start(monkeypatch)
    assert world.path.path == instead(world.environment.configuration, "no module pptp")
    with loggedLines() as lines:
        assert world.open().path == "python: no module pptp"
        # The gateway's first line has it.
        assert not lines
        world.follow("[[network.generic]]\n" + DECLARED)
        for _ in range(2):
            assert world.open().path.startswith("python: [[network.generic]]")
        assert len(lines) == 1
    assert world.path.filesPerSession == 0 and not world.clamp.isOn
    assert world.kernel.opened == []


@pytest.mark.parametrize("strict", [False, True])
def test_privilegesAreGivenUp(strict: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What was possible for root may not be for the user that the process runs as later.
    """
    world = World(strict=strict)
    world.start(monkeypatch)
    assert world.path.path == "kernel"
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    world.path._machine = Machine("/dev/ppp: Permission denied")
    if strict:
        assert world.path.path == "kernel, which refuses calls: /dev/ppp: Permission denied"
        with pytest.raises(Unavailable, match="Permission denied"):
            world.open()
    else:
        assert world.path.path.endswith(": /dev/ppp: Permission denied")
        with loggedLines() as lines:
            assert world.open().path == "python: /dev/ppp: Permission denied"
            assert not lines
    assert world.kernel.opened == []


def test_noTables(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Calls pass here if the kernel can't clamp their MSS, unless that isn't wanted.
    """
    world = World(tables="no nft")
    world.start(monkeypatch)
    assert world.open().path == "python: [network] mss-clamp is set, and no nft"
    assert not world.clamp.isOn
    world.follow("[network]\nmss-clamp = false")
    assert world.open() is world.kernel


def test_aReload(started: World) -> None:
    """
    Calls to come take the path that the new configuration permits, and clamping follows.
    """
    started.follow(FEW)
    assert started.open() is started.kernel
    started.follow(MANY)
    assert started.open().path.startswith('python: [[network.filter]] name = "web"')
    assert not started.clamp.isOn
    started.follow("[network]\nmss-clamp = false\n[link]\nmru = 1300")
    assert started.open() is started.kernel and not started.clamp.isOn
    assert started.kernel.mru == 1300


@pytest.mark.parametrize("strict", [False, True])
def test_theThread(strict: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The thread runs where a call may need it, if it is compiled.
    """
    world = World(strict=strict)
    world.start(monkeypatch)
    isThere = world.path.engine.threads is not None
    assert isThere == (not strict and not engine.lacking())
    world.path.stop()
    assert world.path.engine.threads is None


class TestStrict:
    def test_refusals(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A call that the kernel can't carry is refused.
        """
        world = World(strict=True)
        world.start(monkeypatch)
        assert world.open() is world.kernel
        world.kernel.error = OSError(113, "No route to host")
        with pytest.raises(Unavailable, match="No route"):
            world.open()
        with pytest.raises(NotCarried, match='"auto" is possible'):
            world.path.keepHere(lambda call: True)
        assert list(world.path.lacking()) == []
        world.path.stop()

    def test_start(self, monkeypatch: pytest.MonkeyPatch) -> None:
        world = World(strict=True, lacking="no module pptp")
        assert list(world.path.lacking()) == [
            '[datapath] path = "kernel": no module pptp; "auto" is possible'
        ]
        with pytest.raises(ConfigurationError, match="no module pptp"):
            world.start(monkeypatch)

    def test_make(self) -> None:
        environment: Any = Environment(MemoryReactorClock(), parse("", "test"))
        assert isinstance(kernel.makeDataPath("", NoSettings(), environment), ChosenDataPath)
        for factory in (auto, kernel):
            with pytest.raises(ConfigurationError, match="takes no argument"):
                factory.makeDataPath("x", NoSettings(), environment)
        environment.configuration = parse('[capture]\nfile = "/tmp/x.pcapng"', "test")
        with pytest.raises(ConfigurationError, match=r"\[capture\] file"):
            kernel.makeDataPath("", NoSettings(), environment)
        assert auto.makeDataPath("", NoSettings(), environment).path.startswith("python: ")
