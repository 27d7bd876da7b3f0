"""
Tests for L{pptpgw.datapath.kernel.channel} and L{pptpgw.datapath.kernel.path}, with fakes of the
kernel.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from errno import EINVAL, ENOBUFS, EPERM
from ipaddress import IPv4Network
from typing import Any

import pytest
from zope.interface import alsoProvides

from pptpgw.datapath.kernel.figures import Figures
from pptpgw.datapath.kernel.path import GROUP, KernelDataPath
from pptpgw.error import ConfigurationError, NotCarried, NotPermitted
from pptpgw.interfaces import (
    Attachment,
    IBridgedChannel,
    IKernelCall,
    KernelFigures,
    MPPEParameters,
)
from pptpgw.ports import rtnetlink
from pptpgw.ports.ppp import CCP_OPEN, CCP_UP, DROP, MUST_COMPRESS, PASS
from pptpgw.ppp.wire.ppp import CCP, IPCP, IPV4, IPV6, LCP, MPPE
from tests.logged import loggedLines
from tests.ports.fakeppp import FakePPPSystem
from tests.ports.namespace import Readers

NETWORK = IPv4Network("10.77.0.10/32")
ATTACHMENT = Attachment((NETWORK,), mtu=1400)
KEYS = MPPEParameters(bytes(16), 128)
REFUSED = OSError(EINVAL, "Invalid argument")


class Owner:
    """
    The link, as the channel sees it.
    """

    def __init__(self) -> None:
        self.frames: list[tuple[int, bytes]] = []
        self.failures: list[str] = []
        self.resyncs = 0

    def frameReceived(self, protocol: int, information: bytes) -> None:
        self.frames.append((protocol, information))

    def resyncNeeded(self) -> None:
        self.resyncs += 1

    def channelFailed(self, reason: str) -> None:
        self.failures.append(reason)


class Transport:
    """
    What carries the call's frames.
    """

    channel = 7
    compresses = True
    figures: KernelFigures | None = None

    def __init__(self) -> None:
        self.receive: Callable[[int, bytes], None] = lambda *_: None
        self.required = 0
        self.closed = False
        self.error: Exception | None = None

    def requireEncryption(self) -> None:
        if self.error is not None:
            raise self.error
        self.required += 1

    def setACCM(self, send: int, receive: int) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class Call:
    """
    A call that the kernel can carry.
    """

    def __init__(self) -> None:
        self.transport = Transport()
        alsoProvides(self, IKernelCall)

    def openTransport(self, receive: Callable[[int, bytes], None]) -> Transport:
        self.transport.receive = receive
        return self.transport


class Kernel:
    """
    A socket for requests to the kernel.
    """

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.code = 0

    def ask(self, requests: Sequence[bytes]) -> list[int]:
        self.requests += requests
        return [self.code] * len(requests)

    def close(self) -> None:
        pass


class NoFigures(Figures):
    """
    Reads nothing, but notes which device it should.
    """

    def __init__(self, clock: Any) -> None:
        super().__init__(clock)
        self.asked: list[int] = []

    def read(self, index: int) -> None:
        self.asked.append(index)

    def add(self, index: int, counted: object) -> None:
        pass

    def remove(self, index: int) -> None:
        pass


class World:
    """
    A data path with one channel.
    """

    def __init__(self) -> None:
        self.reactor = Readers()
        self.system = FakePPPSystem()
        self.kernel = Kernel()
        self.figures = NoFigures(self.reactor)
        self.path = KernelDataPath(self.reactor, 1400, self._connect, self.system, self.figures)
        self.path.start()
        self.owner, self.call = Owner(), Call()
        self.transport = self.call.transport
        owner: Any = self.owner
        call: Any = self.call
        self.channel: Any = self.path.openChannel(call, owner, 5)
        self.system.calls.clear()

    def _connect(self) -> Any:
        return self.kernel

    def modes(self) -> dict[int, int]:
        """
        The modes that were set last, by protocol, and forget what was asked.
        """
        asked: Any = self.system.asked("mode")
        return dict(value for _, value in asked)

    def encrypt(self) -> None:
        """
        Negotiate MPPE.
        """
        self.channel.requireMPPE()
        for send in (False, True):
            self.channel.offerMPPE(KEYS, send)
        self.channel.setReceiveMPPE(KEYS)
        self.channel.setSendMPPE(KEYS)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.path.stop()


def test_interface(world: World) -> None:
    """
    A call has no device until its network phase, and then one that is named after its session.
    """
    assert IBridgedChannel.providedBy(world.channel)
    assert (world.channel.interface, world.channel.path) == ("", "kernel")
    world.channel.sendFrame(LCP, b"\x01")
    assert world.channel.interface == "" and world.system.asked() == []
    world.channel.sendFrame(IPCP, b"\x01")
    assert world.channel.interface == "ppp5"
    asked = world.system.asked()
    assert ("mode", (IPV4, DROP)) in asked and ("mode", (IPV6, DROP)) in asked
    assert asked[-1] == ("connect", 5), "packets pass to the device last"
    assert [octets for _, octets in world.system.written] == [b"\xc0\x21\x01", b"\x80\x21\x01"]


def test_count(world: World) -> None:
    """
    Counters are brought up to date by the device, as long as there is one.
    """
    world.channel.count()
    assert world.figures.asked == []
    world.channel.openNetwork(IPV4, ATTACHMENT)
    world.channel.count()
    assert world.figures.asked == [1005]
    world.channel.close()
    world.channel.count()
    assert world.figures.asked == [1005]


def test_network(world: World) -> None:
    """
    Packets of an open network pass, with a route and a filter, and then no more.
    """
    world.channel.openNetwork(IPV4, ATTACHMENT)
    asked: Any = world.system.asked()
    names = [name for name, _ in asked]
    assert names.index("filter") < len(names) - 1 - names[::-1].index("mode")
    assert dict(value for name, value in asked if name == "mode") == {IPV4: PASS, IPV6: DROP}
    assert world.kernel.requests == [
        rtnetlink.setLink(1005, mtu=1400, up=True, bare=True, group=GROUP),
        rtnetlink.addRoute(1005, NETWORK, first=True),
    ]
    world.kernel.requests.clear()
    world.channel.closeNetwork(IPV4)
    assert world.modes() == {IPV4: DROP, IPV6: DROP}
    assert world.kernel.requests == [rtnetlink.removeRoute(1005, NETWORK)]
    world.channel.closeNetwork(IPV4)
    assert world.modes() == {}


def test_requiredEncryption(world: World) -> None:
    """
    Nothing passes while encryption is required and isn't on, whatever the order.
    """
    world.channel.requireMPPE()
    assert world.transport.required == 1
    world.channel.openNetwork(IPV4, ATTACHMENT)
    assert world.modes() == {IPV4: DROP, IPV6: DROP}
    world.channel.offerMPPE(KEYS, False)
    world.channel.offerMPPE(KEYS, True)
    asked = world.system.asked()
    assert [value for name, value in asked if name == "flags"] == [CCP_OPEN, CCP_OPEN]
    assert not [name for name, _ in asked if name == "mode"]
    world.channel.setSendMPPE(KEYS)
    asked = world.system.asked()
    assert asked[0] == ("flags", CCP_OPEN | CCP_UP | MUST_COMPRESS), "before packets pass"
    assert ("mode", (IPV4, PASS)) in asked
    assert world.kernel.requests[-1] == rtnetlink.setLink(1005, mtu=1396)
    world.channel.setSendMPPE(None)
    asked = world.system.asked()
    assert ("mode", (IPV4, DROP)) in asked
    assert "flags" not in dict(asked), "the kernel would forget the keys, and send in clear"


def test_preferredEncryption(world: World) -> None:
    """
    Without MPPE packets pass in clear, unless it is required.
    """
    world.channel.offerMPPE(KEYS, False)
    world.channel.openNetwork(IPV4, ATTACHMENT)
    assert world.modes()[IPV4] == PASS
    assert world.transport.required == 0
    world.channel.setReceiveMPPE(KEYS)
    assert world.transport.required == 1


@pytest.mark.parametrize("code", [1, 5, 6])
def test_whatEndsEncryption(code: int, world: World) -> None:
    """
    What makes the kernel stop to encrypt ends the call if it came encrypted; otherwise the kernel
    never saw it.
    """
    world.encrypt()
    world.channel.openNetwork(IPV4, ATTACHMENT)
    world.modes()
    world.transport.receive(CCP, bytes((code, 1, 0, 4)))
    assert world.owner.frames == [(CCP, bytes((code, 1, 0, 4)))] and world.owner.failures == []
    world.channel.unitReceived(CCP, bytes((code, 1, 0, 4)))
    assert world.modes() == {IPV4: DROP, IPV6: DROP}
    assert len(world.owner.failures) == 1 and len(world.owner.frames) == 1


def test_otherFramesOfTheUnit(world: World) -> None:
    world.encrypt()
    world.channel.unitReceived(CCP, b"\x0e\x01\x00\x04")
    world.channel.unitReceived(IPCP, b"\x01\x01\x00\x04")
    assert [protocol for protocol, _ in world.owner.frames] == [CCP, IPCP]
    assert world.channel.counted.frames == [2, 0] and world.channel.counted.octets == [8, 0]


def test_whatCannotBeDecrypted(world: World) -> None:
    """
    The peer is asked for a Reset-Ack, twice a second at most, until the kernel's MPPE has failed
    for good.
    """
    world.encrypt()
    for _ in range(3):
        world.channel.unitReceived(MPPE, b"\x10\x00")
    assert world.owner.resyncs == 1
    world.reactor.advance(0.5)
    world.channel.unitReceived(MPPE, b"\x10\x00")
    assert world.owner.resyncs == 2 and world.owner.failures == []
    world.system.state = 0x00800000
    world.reactor.advance(0.5)
    world.channel.unitReceived(MPPE, b"\x10\x00")
    assert world.owner.resyncs == 2 and "MPPE has failed" in world.owner.failures[0]


def test_noResetAck(world: World) -> None:
    """
    A call ends if twenty requests in a row get no Reset-Ack.
    """
    world.encrypt()
    for acknowledged in (True, False):
        for _ in range(19):
            world.channel.unitReceived(MPPE, b"\x10\x00")
            world.reactor.advance(0.5)
        if acknowledged:
            world.channel.unitReceived(CCP, b"\x0f\x01\x00\x04")
    assert world.owner.resyncs == 38 and world.owner.failures == []
    world.channel.unitReceived(MPPE, b"\x10\x00")
    assert world.owner.failures == ["the peer doesn't resynchronise MPPE"]


def test_nonsense(world: World) -> None:
    world.channel.frameReceived(0, b"")
    assert sum(world.channel.counters.discards.values()) == 1 and world.owner.frames == []


@pytest.mark.parametrize("request_", ["flags", "mode", "filter", "mppe", "unit", "connect", "open"])
def test_refusals(request_: str, world: World) -> None:
    """
    If the kernel refuses anything, nothing passes, and the call ends soon, with a line in the log.
    """
    world.system.refused = {request_: REFUSED}
    world.channel.setFraming(True, True)
    world.encrypt()
    world.channel.openNetwork(IPV4, ATTACHMENT)
    assert world.owner.failures == []
    assert PASS not in world.modes().values()
    with loggedLines() as lines:
        world.reactor.advance(0)
    assert len(world.owner.failures) == 1 and len(lines) == 1
    world.system.refused = {}
    world.channel.setSendMPPE(KEYS)
    assert PASS not in world.modes().values()


def test_aGuardThatIsRefused(world: World) -> None:
    world.transport.error = OSError(EPERM, "Operation not permitted")
    world.encrypt()
    world.channel.openNetwork(IPV4, ATTACHMENT)
    assert PASS not in world.modes().values()
    world.reactor.advance(0)
    assert "Operation not permitted" in world.owner.failures[0]


@pytest.mark.parametrize(
    ("protocol", "attachment"),
    [
        (0x002B, ATTACHMENT),
        (IPV4, Attachment((NETWORK,), receive=lambda packet: None)),
        (IPV4, Attachment((NETWORK,), permits=lambda packet: True)),
    ],
)
def test_whatTheKernelCannotDo(protocol: int, attachment: Attachment, world: World) -> None:
    """
    A network that the kernel can't carry is refused, and what is open goes on.
    """
    world.channel.openNetwork(IPV6, Attachment((), mtu=1400))
    asked = world.system.asked()
    with pytest.raises(NotCarried, match='path = "python" carries it'):
        world.channel.openNetwork(protocol, attachment)
    assert world.system.asked() == []
    assert ("mode", (IPV6, PASS)) in asked
    world.reactor.advance(0)
    assert world.owner.failures == []


def test_sending(world: World) -> None:
    """
    Packets of open networks can be sent; what the kernel doesn't take is counted.
    """
    world.channel.sendPacket(IPV4, b"x")
    world.channel.openNetwork(IPV4, ATTACHMENT)
    world.channel.sendPacket(IPV4, b"y")
    assert [octets for _, octets in world.system.written] == [b"\x00\x21y"]
    world.system.refused = {"write": OSError(ENOBUFS, "No buffer space")}
    world.channel.sendPacket(IPV4, b"z")
    world.channel.sendFrame(LCP, b"z")
    assert sum(world.channel.counters.discards.values()) == 3


def test_framing(world: World) -> None:
    world.channel.setFraming(True, False)
    world.channel.setFraming(False, True)
    world.channel.setFraming(False, False)
    assert world.system.asked() == [("flags", 0), ("flags", 1), ("flags", 0)]


def test_close(world: World) -> None:
    """
    Everything is closed, in a thread, and nothing is done after that.
    """
    world.encrypt()
    world.channel.openNetwork(IPV4, ATTACHMENT)
    world.channel.close()
    world.channel.close()
    world.channel.sendFrame(LCP, b"")
    world.channel.openNetwork(IPV4, ATTACHMENT)
    world.channel.frameReceived(LCP, b"")
    world.path.stop()
    for _ in range(500):
        if world.transport.closed:
            break
        time.sleep(0.01)
    assert world.transport.closed and world.system.opened == set()
    assert world.owner.frames == [] and world.system.written == []


def test_aFailureAfterTheEnd(world: World) -> None:
    """
    A call that has ended meanwhile isn't ended again.
    """
    world.system.refused = {"unit": REFUSED}
    world.channel.offerMPPE(KEYS, True)
    world.channel.close()
    world.reactor.advance(0)
    assert world.owner.failures == []


def test_theKernelRefusesARoute(world: World) -> None:
    """
    The session goes on, and the log says what fails.
    """
    world.kernel.code = EPERM
    with loggedLines() as lines:
        world.channel.openNetwork(IPV4, ATTACHMENT)
    assert len(lines) == 2 and "ppp5: Operation not permitted" in lines[0]
    assert world.owner.failures == []


def test_noChannel(world: World) -> None:
    """
    Without /dev/ppp the transport is closed again.
    """
    world.system.refused = {"open": OSError(EPERM, "Operation not permitted")}
    call: Any = Call()
    owner: Any = world.owner
    with pytest.raises(NotPermitted, match="/dev/ppp"):
        world.path.openChannel(call, owner)
    assert call.transport.closed


class Bridge:
    """
    A second channel on the data path of C{world}, to which frames pass.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        call: Any = Call()
        owner: Any = Owner()
        self.transport: Transport = call.transport
        self.transport.channel = 8
        self.channel: Any = world.path.openChannel(call, owner)
        world.channel.passFrames(self.channel.sendFrames)
        self.channel.passFrames(world.channel.sendFrames)
        world.system.calls.clear()

    def figures(self) -> list[tuple[int, ...]]:
        """
        Return packets and octets, received and sent, of both channels.
        """
        found: list[tuple[int, ...]] = []
        for one in (self.world.channel.counters, self.channel.counters):
            assert (one.framesReceived, one.framesSent) == (one.packetsReceived, one.packetsSent)
            packets = one.packetsReceived, one.packetsSent
            found.append((*packets, one.octetsReceived, one.octetsSent))
        return found


def test_bridge(world: World) -> None:
    """
    The kernel passes frames between two channels, and what it counts for one of them is counted for
    both, until one of them is closed.
    """
    bridge = Bridge(world)
    bridge.transport.figures = KernelFigures(7, 700, 5, 500)
    world.channel.bridge(bridge.channel)
    assert world.system.asked() == [("bridge", 8)]
    bridge.transport.figures = KernelFigures(17, 1800, 7, 550)
    world.reactor.advance(1)
    assert bridge.figures() == [(2, 10, 50, 1100), (10, 2, 1100, 50)]
    bridge.transport.figures = KernelFigures(18, 1900, 7, 550)
    world.channel.close()
    assert world.system.asked("unbridge") == [("unbridge", 0)]
    assert bridge.figures() == [(2, 11, 50, 1200), (11, 2, 1200, 50)]
    bridge.channel.close()
    assert world.system.asked("unbridge") == [] and world.reactor.getDelayedCalls() == []


def test_bridgeOfTheOtherTransport(world: World) -> None:
    """
    Either transport may be the one that is counted, and passing by the kernel may end before the
    calls. A transport that is gone has no figures any more.
    """
    bridge = Bridge(world)
    world.transport.figures = KernelFigures(0, 0, 0, 0)
    world.channel.bridge(bridge.channel)
    world.transport.figures = KernelFigures(1, 10, 2, 20)
    world.reactor.advance(1)
    assert bridge.figures() == [(1, 2, 10, 20), (2, 1, 20, 10)]
    world.transport.figures = None
    bridge.channel.unbridge()
    assert [name for name, _ in world.system.asked()] == ["bridge", "unbridge"]
    world.channel.unbridge()
    world.channel.frameReceived(IPV4, b"packet")
    assert bridge.figures()[0] == (2, 2, 16, 20)
    assert world.system.asked() == []
    bridge.channel.close()


def test_noBridge(world: World) -> None:
    """
    Frames pass through this process if the kernel counts none of them or can't pass them, and if
    the other channel isn't its own.
    """
    bridge = Bridge(world)
    world.channel.bridge(bridge.channel)
    assert world.system.asked() == []
    world.transport.figures = KernelFigures(0, 0, 0, 0)
    world.channel.bridge(object())
    assert world.system.asked() == []
    world.system.refused = {"bridge": REFUSED}
    world.channel.bridge(bridge.channel)
    assert world.channel._bridged is None and world.reactor.getDelayedCalls() == []
    world.channel.frameReceived(IPV4, b"packet")
    assert bridge.figures()[0][0] == 1
    bridge.channel.close()
    world.system.refused = {}
    world.channel.bridge(bridge.channel)
    assert world.system.asked() == []


def test_otherCalls(world: World) -> None:
    class Other:
        class tunnel:
            name = "hdlc"

    call: Any = Other()
    owner: Any = world.owner
    with pytest.raises(ConfigurationError, match="hdlc"):
        world.path.openChannel(call, owner)


def test_passage(world: World) -> None:
    """
    Where PPP ends elsewhere there is no device: all frames come and go by the call's channel, those
    of CCP that the kernel must not see too, and count as packets if they are of networks.
    """
    passed: list[tuple[int, bytes]] = []
    world.channel.passFrames(lambda protocol, frames: passed.extend((protocol, f) for f in frames))
    world.channel.frameReceived(LCP, b"request")
    world.transport.receive(CCP, b"\x01")
    world.channel.frameReceived(MPPE, b"packet")
    world.channel.frameReceived(0, b"")
    assert passed == [(LCP, b"request"), (CCP, b"\x01"), (MPPE, b"packet")]
    assert world.owner.frames == []
    world.channel.sendFrames(LCP, [b"answer"])
    world.channel.sendFrames(IPV4, [b"one", b"two"])
    assert [octets for _, octets in world.system.written] == [
        b"\xc0\x21answer",
        b"\x00\x21one",
        b"\x00\x21two",
    ]
    assert world.channel.unit is None
    counters = world.channel.counters
    assert (counters.framesReceived, counters.packetsReceived, counters.octetsReceived) == (4, 1, 6)
    assert (counters.framesSent, counters.packetsSent, counters.octetsSent) == (3, 2, 6)
    world.channel.close()
    world.channel.frameReceived(LCP, b"late")
    world.channel.sendFrames(IPV4, [b"late"])
    assert len(passed) == 3
