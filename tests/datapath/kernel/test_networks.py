"""
Tests for what L{pptpgw.datapath.kernel.channel} and L{pptpgw.datapath.kernel.path} do for the
networks of a call: filters that change, IPv6 on the link, and networks that change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from errno import EEXIST
from ipaddress import IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path
from typing import Any

import pytest

from pptpgw.datapath.kernel.local import LocalPackets
from pptpgw.error import NotCarried
from pptpgw.interfaces import Attachment
from pptpgw.ports import netlink, rtnetlink, sysctl
from pptpgw.ports.bpf import Assembled
from pptpgw.ports.ppp import DROP, PASS, PPPUnit
from pptpgw.ppp.wire.ppp import IPV4, IPV6
from pptpgw.sessions.filter import Filter
from pptpgw.sessions.gate import Gate
from pptpgw.timing.slices import PAUSE, SECONDS
from tests.datapath.kernel.test_channel import ATTACHMENT, KEYS, REFUSED, Call, World
from tests.logged import loggedLines

PREFIX, HOME, OTHER = (IPv6Network(f"fc00:0:{one}::/64") for one in ("1:1", "2", "3"))
OURS = IPv6Address("fe80::1")
INDEX = 1005
"""
The number of the call's device.
"""
MANY = [f"permit tcp from 10.0.{one % 200}.0/24 to any port {one}" for one in range(1000)]


class Local(LocalPackets):
    """
    The packets for routers, in memory.
    """

    def __init__(self) -> None:
        self.routers: dict[int, Callable[[bytes], object]] = {}
        self.error: OSError | None = None

    def add(self, index: int, receive: Callable[[bytes], object]) -> None:
        if self.error is not None:
            raise self.error
        self.routers[index] = receive

    def remove(self, index: int) -> None:
        self.routers.pop(index, None)


class Reached(World):
    """
    A world with the packets for routers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.path._local = self.local = Local()

    def requests(self) -> list[bytes]:
        """
        What the kernel was asked by rtnetlink, which is forgotten.
        """
        found, self.kernel.requests = self.kernel.requests, []
        return found

    def filters(self) -> list[object]:
        """
        The sizes of the filters that were set, which are forgotten with what else was asked.
        """
        return [size for name, size in self.system.asked() if name == "filter"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    The kernel's settings of the call's device.
    """
    monkeypatch.setattr(sysctl, "FOLDER", tmp_path)
    (tmp_path / "ppp5").mkdir()
    (tmp_path / "ppp5" / "disable_ipv6").write_text("1\n")
    return tmp_path


@pytest.fixture
def world() -> Iterator[Reached]:
    made = Reached()
    yield made
    made.path.stop()


def ipv6(*networks: IPv6Network, local: Callable[[bytes], None] | None = None) -> Attachment:
    return Attachment(networks, mtu=1400, local=local, localAddress=OURS)


def test_aFilterThatChanges(world: Reached) -> None:
    """
    A change of the filter reaches the kernel at once, if it is a change, while a network is open.
    """
    gate = Gate(Filter(["permit tcp from any to any"]))
    attachment = Attachment(ATTACHMENT.addresses, permits=gate)
    world.channel.openNetwork(IPV4, attachment)
    (first,) = world.filters()
    gate.filter = Filter(["permit tcp from any to any"])
    assert world.filters() == []
    gate.filter = Filter(["permit tcp from any to 10.0.0.0/8", "permit udp from any to any"])
    (second,) = world.filters()
    gate.filter = None
    (third,) = world.filters()
    assert third < first < second  # type: ignore[operator]
    world.channel.closeNetwork(IPV4)
    gate.filter = Filter(())
    assert world.filters() == []
    world.channel.openNetwork(IPV4, attachment)
    assert len(world.filters()) == 1
    world.channel.close()
    gate.filter = None
    assert world.filters() == []


def test_filtersInTurn(world: Reached, folder: Path) -> None:
    """
    Filters that change in one moment are replaced in several turns of the reactor, and not where a
    network has closed meanwhile.
    """
    owner: Any = world.owner
    channels: list[Any] = [world.channel]
    for _ in range(3):
        call: Any = Call()
        channels.append(world.path.openChannel(call, owner, 6 + len(channels)))
    gates = [Gate(None) for _ in channels]
    for channel, gate in zip(channels, gates, strict=True):
        channel.openNetwork(IPV4, Attachment(ATTACHMENT.addresses, permits=gate))
    world.system.asked("filter")
    setFilter = PPPUnit.setFilter

    def slowly(unit: PPPUnit, program: Assembled) -> None:
        setFilter(unit, program)
        world.reactor.rightNow += SECONDS * 2

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PPPUnit, "setFilter", slowly)
        for gate in gates:
            gate.filter = Filter(())
        assert len(world.system.asked("filter")) == 1
        channels[-1].close()
        for _ in range(10):
            world.reactor.advance(PAUSE)
    assert len(world.system.asked("filter")) == 2


def test_bothFamiliesHaveOneGate(world: Reached, folder: Path) -> None:
    """
    The gate is watched while one of the families is open.
    """
    gate = Gate(Filter(()))
    world.channel.openNetwork(IPV4, Attachment(ATTACHMENT.addresses, permits=gate))
    world.channel.openNetwork(IPV6, Attachment((PREFIX,), permits=gate))
    world.channel.closeNetwork(IPV4)
    world.filters()
    gate.filter = None
    assert len(world.filters()) == 1
    with pytest.raises(NotCarried, match="rules alone"):
        world.channel.openNetwork(IPV4, ATTACHMENT)


def test_aFilterThatIsTooLarge(world: Reached) -> None:
    """
    A network whose filter doesn't fit isn't opened. If a filter changes to one that doesn't fit,
    nothing passes any more, and the call ends.
    """
    gate = Gate(Filter(MANY))
    attachment = Attachment(ATTACHMENT.addresses, permits=gate)
    with pytest.raises(NotCarried, match=r"of \d+ instructions.*path = \"python\""):
        world.channel.openNetwork(IPV4, attachment)
    assert world.modes() == {} and world.requests() == []
    gate.filter = None
    world.channel.openNetwork(IPV4, attachment)
    assert world.modes()[IPV4] == PASS
    with loggedLines():
        gate.filter = Filter(MANY)
        assert world.modes() == {IPV4: DROP, IPV6: DROP}
        world.channel.sendPacket(IPV4, b"x")
        assert world.system.written == []
        world.reactor.advance(0)
    assert "instructions" in world.owner.failures[0]


def test_theKernelRefusesAChangedFilter(world: Reached) -> None:
    """
    If the kernel refuses a filter, nothing passes any more.
    """
    gate = Gate(None)
    world.channel.openNetwork(IPV4, Attachment(ATTACHMENT.addresses, permits=gate))
    world.system.refused = {"filter": REFUSED}
    with loggedLines():
        gate.filter = Filter(())
        assert world.modes() == {IPV4: DROP, IPV6: DROP}
        world.reactor.advance(0)
    assert len(world.owner.failures) == 1


def test_ipv6OnTheLink(world: Reached, folder: Path) -> None:
    """
    The device has our link-local address, and the router gets what hosts ask it, until the network
    is closed.
    """
    got: list[bytes] = []
    world.channel.openNetwork(IPV6, ipv6(PREFIX, local=got.append))
    address = IPv6Interface("fe80::1/64")
    assert world.requests()[1:] == [
        rtnetlink.addAddress(INDEX, address),
        rtnetlink.addRoute(INDEX, PREFIX, first=True),
    ]
    assert (folder / "ppp5" / "disable_ipv6").read_text() == "0"
    world.local.routers[INDEX](b"solicitation")
    assert got == [b"solicitation"]
    world.channel.closeNetwork(IPV6)
    assert world.requests() == [
        rtnetlink.removeRoute(INDEX, PREFIX),
        rtnetlink.removeAddress(INDEX, address),
    ]
    assert world.local.routers == {}


def test_delegatedPrefixes(world: Reached, folder: Path) -> None:
    """
    A change of the networks adds and removes their routes, and nothing else stops meanwhile.
    """
    world.channel.openNetwork(IPV6, ipv6(PREFIX, HOME))
    world.requests(), world.modes()
    world.channel.openNetwork(IPV6, ipv6(PREFIX, OTHER))
    found = world.requests()
    assert rtnetlink.addRoute(INDEX, OTHER, first=True) in found
    assert rtnetlink.removeRoute(INDEX, HOME) in found
    assert not {
        rtnetlink.addRoute(INDEX, PREFIX, first=True),
        rtnetlink.removeRoute(INDEX, PREFIX),
    } & {*found}
    assert DROP not in {mode for protocol, mode in world.modes().items() if protocol == IPV6}
    world.channel.closeNetwork(IPV6)
    assert rtnetlink.removeRoute(INDEX, OTHER) in world.requests()


def test_noRouterOfThisMachine(world: Reached, folder: Path) -> None:
    """
    What the kernel refuses is logged, and the rest goes on. That an address or route is there
    already is no error.
    """
    world.local.error = PermissionError(1, "Operation not permitted")
    world.kernel.code = EEXIST
    (folder / "ppp5" / "disable_ipv6").unlink()
    (folder / "ppp5").rmdir()
    with loggedLines() as lines:
        world.channel.openNetwork(IPV6, ipv6(PREFIX, local=lambda packet: None))
    assert len(lines) == 2 and all("refuses a change of ppp5" in one for one in lines)
    assert world.modes()[IPV6] == PASS


@pytest.mark.parametrize(
    ("mtus", "encrypted", "expected"),
    [
        ({IPV4: 1400}, False, 1400),
        ({IPV4: 1400}, True, 1396),
        ({IPV4: 1000}, True, 996),
        ({IPV4: 1000, IPV6: 1284}, True, 1280),
        ({IPV4: 1400, IPV6: 1300}, True, 1296),
    ],
)
def test_mtu(
    mtus: dict[int, int], encrypted: bool, expected: int, world: Reached, folder: Path
) -> None:
    """
    The device's MTU is the smallest of its networks', but with IPv6 never below IPv6's least.
    """
    if encrypted:
        world.encrypt()
    for protocol, mtu in mtus.items():
        networks: Sequence[Any] = ATTACHMENT.addresses if protocol == IPV4 else (PREFIX,)
        world.channel.openNetwork(protocol, Attachment(tuple(networks), mtu=mtu))
    (last,) = [one for one in world.requests() if one[4:6] == b"\x10\x00"][-1:]
    assert netlink.options(last[32:])[4] == expected.to_bytes(4, "little")


def test_theRouterSendsNothingInClear(world: Reached, folder: Path) -> None:
    """
    While encryption is required and isn't on, what the router sends is dropped.
    """
    world.encrypt()
    world.channel.openNetwork(IPV6, ipv6(PREFIX))
    world.channel.sendPacket(IPV6, b"advertisement")
    assert [octets for _, octets in world.system.written] == [b"\0\x57advertisement"]
    world.channel.setSendMPPE(None)
    world.channel.sendPacket(IPV6, b"advertisement")
    world.channel.setSendMPPE(KEYS)
    assert len(world.system.written) == 1
    assert sum(world.channel.counters.discards.values()) == 1
