"""
Tests for L{pptpgw.ports.shaper}, L{pptpgw.ports.rates} and L{pptpgw.ports.trafficcontrol}. A kernel
in memory reads the requests as strictly as the real one, and the real one is used to measure rates.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Interface,
    IPv6Network,
    ip_network,
)
from struct import unpack_from

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pptpgw.interfaces import IKernelInterface, ISessionObserver
from pptpgw.ports import trafficcontrol
from pptpgw.ports.rates import NotShaped, Numbers
from pptpgw.ports.shaper import Shaper
from pptpgw.ports.trafficcontrol import TrafficRequestType
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.session import Session
from pptpgw.testing import makeSession
from tests.ports.namespace import Readers, inNamespace

TUN, IFB, OWN = 5, 6, 7
ALICE, BOB, HOME = "10.77.0.10/32", "10.77.0.11/32", "fc00:0:1:2::/64"


class MemoryKernel:
    """
    Traffic control of two devices.

    @ivar classes: rates in octets a second, by device and number.
    @ivar filters: networks and their classes, by device, priority and handle.
    @ivar queues: the kind of queue of each class.
    @ivar defaults: the class of packets that no filter assigns to one, by device.
    @ivar redirects: how many filters redirect what a device receives through the IFB.
    """

    def __init__(self, lacks: Sequence[TrafficRequestType] = (), fair: bool = True) -> None:
        self.lacks = lacks
        self.fair = fair
        self.roots: set[int] = set()
        self.classes: dict[tuple[int, int], int] = {}
        self.queues: dict[tuple[int, int], str] = {}
        self.tables: set[tuple[int, int]] = set()
        self.filters: dict[tuple[int, int, int], tuple[str, int]] = {}
        self.defaults: dict[int, int] = {}
        self.ingress: set[int] = set()
        self.redirects: Counter[int] = Counter()
        self.refuses = 0
        self.asked = 0
        self.closed = False
        self.port = 1

    def link(self, name: str) -> None:
        raise AssertionError("not asked for")

    def ask(self, requests: Sequence[bytes]) -> list[int]:
        self.asked += len(requests)
        return [self.refuses or self._do(request) for request in requests]

    def close(self) -> None:
        self.closed = True

    def _do(self, request: bytes) -> int:
        length, kind = unpack_from("=IH", request)
        assert length == len(request)
        index, handle, parent, info = unpack_from("=iIII", request, 20)
        options = attributes(request[36:])
        name = options.get(1, b"").rstrip(b"\0").decode()
        if kind in self.lacks:
            return errno.ENOENT
        body = options.get(2, b"")
        match TrafficRequestType(kind):
            case TrafficRequestType.NEW_QDISC if parent == trafficcontrol.ROOT:
                if index in self.roots:
                    # HTB can't be changed.
                    return errno.EINVAL
                self.roots.add(index)
                self.defaults[index] = unpack_from("=5I", attributes(body)[2])[2]
            case TrafficRequestType.NEW_QDISC if name == "clsact":
                self.ingress.add(index)
            case TrafficRequestType.NEW_QDISC:
                if name == "fq_codel" and not self.fair:
                    return errno.ENOENT
                if (index, parent) not in self.classes:
                    return errno.ENOENT
                self.queues[index, parent] = name
            case TrafficRequestType.DELETE_QDISC:
                self.classes = {k: one for k, one in self.classes.items() if k[0] != index}
                self.queues = {k: one for k, one in self.queues.items() if k[0] != index}
                self.filters = {k: one for k, one in self.filters.items() if k[0] != index}
                self.roots.discard(index)
                if parent != trafficcontrol.ROOT:
                    del self.redirects[index]
            case TrafficRequestType.NEW_CLASS:
                assert index in self.roots
                (rate,) = unpack_from("=Q", attributes(body)[6])
                self.classes[index, handle] = rate
            case TrafficRequestType.DELETE_CLASS:
                if (index, handle) not in self.classes:
                    return errno.ENOENT
                users = [one for key, one in self.filters.items() if key[0] == index]
                if any(number == handle for _, number in users):
                    return errno.EBUSY
                del self.classes[index, handle]
            case TrafficRequestType.NEW_FILTER if parent == trafficcontrol.INGRESS:
                assert index in self.ingress
                self.redirects[index] += 1
            case TrafficRequestType.DELETE_FILTER if parent == trafficcontrol.INGRESS:
                del self.redirects[index]
            case TrafficRequestType.NEW_FILTER:
                inner = attributes(body)
                if 4 in inner:
                    self.tables.add((index, handle))
                elif 3 in inner:
                    assert (index, unpack_from("=I", inner[3])[0]) in self.tables
                else:
                    return self._addFilter(index, info, handle, inner)
            case TrafficRequestType.DELETE_FILTER:
                if (index, info, handle) not in self.filters:
                    return errno.ENOENT
                del self.filters[index, info, handle]
        return 0

    def _addFilter(self, index: int, info: int, handle: int, options: dict[int, bytes]) -> int:
        (bucket,) = unpack_from("=I", options[2])
        (number,) = unpack_from("=I", options[1])
        assert (index, bucket & 0xFFF00000) in self.tables
        assert handle & ~0xFFF == bucket
        if (index, info, handle) in self.filters:
            return errno.EEXIST
        if (index, number) not in self.classes:
            return errno.ENOENT
        keys = options[5][16:]
        mask = b"".join(keys[place : place + 4] for place in range(0, len(keys), 16))
        value = b"".join(keys[place + 4 : place + 8] for place in range(0, len(keys), 16))
        offset = unpack_from("=i", keys, 8)[0]
        assert (
            offset
            == {(TUN, 4): 16, (IFB, 4): 12, (TUN, 6): 24, (IFB, 6): 8}[
                index, 4 if info & 0xFFFF == 0x0008 else 6
            ]
        )
        size = 4 if info & 0xFFFF == 0x0008 else 16
        bits = int.from_bytes(mask.ljust(size, b"\0"), "big").bit_count()
        self.filters[index, info, handle] = (
            str(ip_network((value.ljust(size, b"\0"), bits))),
            number,
        )
        return 0

    @property
    def redirected(self) -> bool:
        assert set(self.redirects.values()) <= {1}
        return self.redirects[TUN] == 1

    def limits(self, index: int) -> dict[str, int]:
        """
        The rate limit in bits a second of each network.
        """
        return {
            network: self.classes[index, number] * 8
            for (device, _, _), (network, number) in self.filters.items()
            if device == index
        }


def attributes(octets: bytes) -> dict[int, bytes]:
    """
    Netlink's attributes by number.
    """
    found = {}
    while octets:
        length, number = unpack_from("=HH", octets)
        found[number] = octets[4:length]
        octets = octets[(length + 3) & ~3 :]
    return found


class MemoryDevices:
    """
    The devices of the machine.
    """

    def __init__(self, code: int = 0) -> None:
        self.names = {"pptp0": TUN, "ppp1": OWN}
        self.code = code

    def index(self, name: str) -> int:
        if name not in self.names:
            raise OSError(errno.ENODEV, "No such device")
        return self.names[name]

    def addIFB(self, name: str) -> None:
        if self.code:
            raise OSError(self.code, "not supported")
        self.names[name] = IFB

    def remove(self, name: str) -> None:
        del self.names[name]


@implementer(IKernelInterface)
class Interface:
    """
    The TUN device.
    """

    name = "pptp0"

    def addAddress(self, address: IPv4Interface | IPv6Interface) -> None:
        raise AssertionError("not asked for")

    def removeAddress(self, address: IPv4Interface | IPv6Interface) -> None:
        raise AssertionError("not asked for")

    def addRoute(
        self, network: IPv4Network | IPv6Network, source: IPv4Address | None = None
    ) -> None:
        raise AssertionError("not asked for")

    def removeRoute(self, network: IPv4Network | IPv6Network) -> None:
        raise AssertionError("not asked for")


class Scene:
    """
    A shaper and its sessions.
    """

    def __init__(self, kernel: MemoryKernel | None = None, code: int = 0) -> None:
        self.kernel = kernel or MemoryKernel()
        self.devices = MemoryDevices(code)
        self.shaper = Shaper(Readers(), Interface(), lambda: self.kernel, self.devices)
        self._count = 0

    def session(
        self,
        *networks: str,
        send: int | None = None,
        receive: int | None = None,
        interface: str = "",
    ) -> Session:
        """
        A session that has opened.
        """
        self._count += 1
        profile = Profile("alice", sendRate=send, receiveRate=receive)
        session = makeSession(profile, self._count, changed=self.shaper.sessionChanged)
        session.interface = interface
        self.move(session, *networks)
        return session

    def move(self, session: Session, *networks: str) -> None:
        """
        Give a session other networks.
        """
        session.networks["ipv4"] = tuple(map(ip_network, networks))
        self.shaper.networksChanged(session)

    def change(self, session: Session, send: int | None = None, receive: int | None = None) -> None:
        """
        Give a session other rates.
        """
        session.change(Profile("alice", sendRate=send, receiveRate=receive))

    def end(self, session: Session) -> None:
        """
        End a session, as the gateway does.
        """
        self.shaper.sessionEnded(session, "enough")


def test_interface() -> None:
    verifyObject(ISessionObserver, Scene().shaper)


def test_nothingIsDoneWithoutALimit() -> None:
    """
    Without a limit the kernel gets no request and no device is made.
    """
    scene = Scene()
    scene.end(scene.session(ALICE))
    scene.shaper.stop()
    assert scene.kernel.asked == 0
    assert scene.devices.names == {"pptp0": TUN, "ppp1": OWN}
    assert not scene.kernel.closed


def test_bothDirections() -> None:
    """
    A session has one class in each direction for all of its networks, and nothing of it is left at
    the end.
    """
    scene = Scene()
    one = scene.session(ALICE, "192.168.7.0/24", HOME, send=2_000_000, receive=1_000_000)
    networks = {ALICE, "192.168.7.0/24", HOME}
    kernel = scene.kernel
    assert kernel.limits(TUN) == dict.fromkeys(networks, 2_000_000)
    assert kernel.limits(IFB) == dict.fromkeys(networks, 1_000_000)
    assert len(kernel.classes) == 2
    assert set(kernel.queues.values()) == {"fq_codel"}
    assert kernel.redirected
    assert scene.devices.names == {"pptp0": TUN, "ppp1": OWN, "pptp0-in": IFB}
    scene.end(one)
    assert (kernel.classes, kernel.filters, kernel.redirected) == ({}, {}, False)
    scene.shaper.stop()
    scene.shaper.stop()
    assert kernel.closed and scene.devices.names == {"pptp0": TUN, "ppp1": OWN}


def test_oneDirectionOnly() -> None:
    """
    A direction without a limit has no class. Packets from callers aren't redirected while none of
    them is limited.
    """
    scene = Scene()
    one = scene.session(ALICE, send=1_000_000)
    assert scene.kernel.limits(TUN) == {ALICE: 1_000_000}
    assert not scene.kernel.redirected and "pptp0-in" not in scene.devices.names
    two = scene.session(BOB, receive=500_000)
    assert scene.kernel.limits(TUN) == {ALICE: 1_000_000}
    assert scene.kernel.limits(IFB) == {BOB: 500_000}
    scene.end(two)
    assert [scene.kernel.redirected] == [False]
    scene.session(BOB, receive=500_000)
    assert [scene.kernel.redirected] == [True]
    scene.end(one)
    assert scene.kernel.limits(TUN) == {}


def test_ownDevice() -> None:
    """
    A session with a device of its own has the only class there, for all packets, and no filter.
    What it sends goes through the IFB that others go through, too. Changes apply, and nothing is
    left at the end.
    """
    scene = Scene()
    kernel = scene.kernel
    scene.session(BOB, send=500_000, receive=500_000)
    one = scene.session(ALICE, HOME, send=2_000_000, receive=1_000_000, interface="ppp1")
    assert kernel.defaults[OWN] == 1
    only = OWN, trafficcontrol.QDISC + 1
    assert kernel.classes[only] * 8 == 2_000_000
    assert kernel.queues[only] == "fq_codel"
    assert kernel.limits(OWN) == {}
    assert kernel.limits(TUN) == {BOB: 500_000}
    assert kernel.limits(IFB) == {BOB: 500_000, ALICE: 1_000_000, HOME: 1_000_000}
    assert kernel.redirects == {TUN: 1, OWN: 1}
    scene.move(one, ALICE)
    assert kernel.limits(IFB) == {BOB: 500_000, ALICE: 1_000_000}
    scene.change(one, send=3_000_000)
    assert kernel.classes[only] * 8 == 3_000_000
    assert kernel.redirects == {TUN: 1} and kernel.limits(IFB) == {BOB: 500_000}
    scene.change(one, receive=4_000_000)
    assert only not in kernel.classes and OWN not in kernel.roots
    assert kernel.redirects == {TUN: 1, OWN: 1}
    scene.change(one, send=3_000_000, receive=4_000_000)
    scene.end(one)
    assert OWN not in kernel.roots
    assert kernel.redirects == {TUN: 1} and kernel.limits(IFB) == {BOB: 500_000}


def test_ownDeviceWithoutHTB(log: list[str]) -> None:
    """
    If the kernel lacks HTB that is logged once.
    """
    scene = Scene(MemoryKernel(lacks=[TrafficRequestType.NEW_QDISC]))
    for _ in range(2):
        scene.session(ALICE, send=1_000_000, interface="ppp1")
    (line,) = log
    assert "is not limited to 1000000 bits a second, nor is anybody else" in line


def test_ownDeviceThatIsGone(log: list[str]) -> None:
    """
    A session whose device is gone isn't limited, and others are.
    """
    scene = Scene()
    scene.session(ALICE, send=1_000_000, receive=1_000_000, interface="ppp2")
    assert [line for line in log if "nor is" in line] == []
    assert len(log) == 2 and scene.kernel.classes == {}
    scene.session(ALICE, send=1_000_000, receive=1_000_000, interface="ppp1")
    assert len(log) == 2 and len(scene.kernel.classes) == 2


def test_theIFBOfOwnDevicesIsRestored() -> None:
    """
    If another program removes the IFB, devices of sessions are redirected to the new one, and their
    own classes stay.
    """
    scene = Scene()
    one = scene.session(ALICE, send=2_000_000, receive=1_000_000, interface="ppp1")
    kernel = scene.kernel
    classes = {key: rate for key, rate in kernel.classes.items() if key[0] == OWN}
    # With the device its classes have gone.
    kernel.roots.discard(IFB)
    kernel.classes, kernel.filters, kernel.tables = classes, {}, set()
    scene.shaper._restore()
    assert kernel.redirects == {OWN: 1}
    assert kernel.limits(IFB) == {ALICE: 1_000_000}
    assert kernel.classes.items() >= classes.items()
    scene.end(one)
    assert (kernel.classes, kernel.filters, kernel.redirects) == ({}, {}, {})


def test_changedLive() -> None:
    """
    A new rate takes one request for the class and one for its queue, without a change of filters. A
    limit can be removed and added.
    """
    scene = Scene()
    one = scene.session(ALICE, send=1_000_000)
    asked = scene.kernel.asked
    scene.change(one, send=3_000_000)
    assert scene.kernel.asked == asked + 2
    assert scene.kernel.limits(TUN) == {ALICE: 3_000_000}
    scene.change(one, receive=8_000)
    assert scene.kernel.limits(TUN) == {} and scene.kernel.limits(IFB) == {ALICE: 8_000}
    scene.change(one)
    assert scene.kernel.classes == {}


def test_networksThatComeAndGo() -> None:
    """
    A delegated prefix is limited with the session's other networks as long as it is the session's.
    """
    scene = Scene()
    one = scene.session(ALICE, send=1_000_000)
    scene.move(one, ALICE, "fc00:1::/56", "8000::/1")
    networks = {ALICE, "fc00:1::/56", "8000::/1"}
    assert scene.kernel.limits(TUN) == dict.fromkeys(networks, 1_000_000)
    scene.move(one, HOME)
    assert scene.kernel.limits(TUN) == {HOME: 1_000_000}
    scene.move(one)
    assert scene.kernel.classes == {}


def test_hugeAndTinyRates() -> None:
    """
    Rates above 32 bits of octets a second, and below one octet a second, work.
    """
    scene = Scene()
    scene.session(ALICE, send=400_000_000_000)
    scene.session(BOB, send=1)
    assert scene.kernel.limits(TUN) == {ALICE: 400_000_000_000, BOB: 8}


def test_plainQueues() -> None:
    """
    A kernel without fq_codel is asked for it only once.
    """
    scene = Scene(MemoryKernel(fair=False))
    scene.session(ALICE, send=1_000_000)
    asked = scene.kernel.asked
    scene.session(BOB, send=1_000_000)
    assert scene.kernel.asked == asked + 3
    assert set(scene.kernel.queues.values()) == {"bfifo"}


def test_numbersAreGivenAgainOnlyWhenTheKernelIsRidOfThem() -> None:
    """
    The number of a class that the kernel hasn't deleted isn't used for another session.
    """
    scene = Scene()
    one = scene.session(ALICE, send=1_000_000)
    scene.kernel.refuses = errno.EPERM
    scene.end(one)
    scene.kernel.refuses = 0
    scene.session(BOB, send=2_000_000)
    assert scene.kernel.limits(TUN) == {ALICE: 1_000_000, BOB: 2_000_000}


def test_numbers() -> None:
    """
    The number that has been free longest is used first, and the numbers are limited.
    """
    numbers = Numbers(3)
    assert [numbers.take() for _ in range(3)] == [1, 2, 3]
    with pytest.raises(NotShaped, match="room for 3 only"):
        numbers.take()
    numbers.release(3)
    numbers.release(1)
    assert [numbers.take(), numbers.take()] == [3, 1]


@pytest.mark.parametrize("direction", ["send", "receive"])
def test_aKernelThatLacksWhatIsNeeded(direction: str, log: list[str]) -> None:
    """
    A kernel without traffic control is reported once, with what is needed. Sessions go on, limited
    in the other direction.
    """
    scene = Scene(code=errno.EOPNOTSUPP)
    if direction == "send":
        scene = Scene(MemoryKernel(lacks=(TrafficRequestType.NEW_QDISC,)))
        scene.session(ALICE, send=1)
        scene.session(BOB, send=1)
        assert scene.kernel.asked == 1
    else:
        scene.session(ALICE, receive=1)
        scene.session(BOB, receive=1, send=8_000)
        assert scene.kernel.limits(TUN) == {BOB: 8_000}
    (error,) = log
    assert "alice from 192.0.2.7 is not limited to 1 bits a second, nor is anybody else" in error
    assert "sch_htb" in error and "ifb" in error


def test_noDevice(log: list[str]) -> None:
    """
    Sessions whose packets stay in the process aren't limited.
    """
    shaper = Shaper(Readers(), None, MemoryKernel)
    scene = Scene()
    scene.shaper = shaper
    scene.session(ALICE, send=1)
    assert "no device of the kernel's" in log[0]


def test_oneSessionThatCannotBe(log: list[str]) -> None:
    """
    A session that can't be limited is reported, each time, and doesn't hinder others.
    """
    scene = Scene()
    scene.session(ALICE, send=8_000)
    scene.kernel.lacks = (TrafficRequestType.NEW_FILTER,)
    two = scene.session(BOB, send=16_000)
    assert len(log) == 1 and "nor is anybody" not in log[0]
    scene.kernel.lacks = ()
    scene.change(two, send=24_000)
    scene.end(two)
    assert scene.kernel.limits(TUN) == {ALICE: 8_000}
    assert len(scene.kernel.classes) == 1


Step = tuple[int, int, int, int, list[str]]
NETWORKS = [ALICE, BOB, HOME, "fc00:1::/56", "192.168.0.0/16", "10.78.0.10/32", "10.79.0.10/32"]
STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 4),
        st.sampled_from([0, 8_000, 16_000]),
        st.sampled_from([0, 24_000]),
        st.lists(st.sampled_from(NETWORKS), unique=True, max_size=3),
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=60)
@given(STEPS)
def test_theKernelHasWhatTheSessionsAre(steps: list[Step]) -> None:
    """
    The kernel limits exactly the networks of the sessions to their rates, whatever comes and goes,
    and nothing else is left in it. (A network of two sessions is counted for each.)
    """
    scene = Scene()
    sessions: dict[int, Session] = {}
    for kind, number, send, receive, networks in steps:
        if number not in sessions:
            sessions[number] = scene.session(*networks, send=send, receive=receive)
        elif kind == 0:
            scene.end(sessions.pop(number))
        elif kind == 1:
            scene.change(sessions[number], send, receive)
        else:
            scene.move(sessions[number], *networks)
        for index, attribute in ((TUN, "sendRate"), (IFB, "receiveRate")):
            wanted = sorted(
                (str(network), getattr(session.profile, attribute))
                for session in sessions.values()
                for network in session.networks["ipv4"]
                if getattr(session.profile, attribute)
            )
            kernel = scene.kernel
            assert wanted == sorted(
                (network, kernel.classes[index, number] * 8)
                for (device, _, _), (network, number) in kernel.filters.items()
                if device == index
            )
            assert len([one for one in kernel.classes if one[0] == index]) == len(
                {
                    session.number
                    for session in sessions.values()
                    if getattr(session.profile, attribute) and session.networks["ipv4"]
                }
            )


def test_kernel() -> None:
    """
    The real kernel limits the rates in both directions and both families, applies changes, and
    doesn't delay sessions without a limit.
    """
    inNamespace("shaper", "tc", module="tests.ports.shaped")


def test_kernelAndOwnDevice() -> None:
    """
    The real kernel limits the rates of a session that has a device of its own.
    """
    inNamespace("own", "tc", module="tests.ports.shaped")
