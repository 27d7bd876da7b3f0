"""
Tests of IPv6 on calls that a gateway dials, with two gateways in one process.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from pptpgw.error import ConfigurationError
from pptpgw.networks.ipv6.dialled import DialledIPV6CP
from pptpgw.networks.ipv6.site import Site
from pptpgw.ppp.wire.ppp import IPV6
from tests.dialling.test_service import Sites

IPV6_TOO = '[network]\nprotocols = ["ipv4", "ipv6"]\n'
DIAL = """
networks = ["ipv4", "ipv6"]
prefix-to = ["lan", "dmz"]
"""
ALL = IPv6Network("::/0")


class Devices:
    """
    The interfaces of a machine, which has no others than C{lan} and C{dmz}.
    """

    def __init__(self) -> None:
        self.addresses: set[tuple[str, str]] = set()
        self.unreachable: set[str] = set()
        self.calls = 0

    def addAddress(self, name: str, address: IPv6Interface) -> str:
        self.calls += 1
        if name not in ("lan", "dmz"):
            return f"there is no interface {name}"
        assert (name, str(address)) not in self.addresses
        self.addresses.add((name, str(address)))
        return ""

    def removeAddress(self, name: str, address: IPv6Interface) -> str:
        self.addresses.discard((name, str(address)))
        return ""

    def addUnreachable(self, network: IPv6Network) -> str:
        assert str(network) not in self.unreachable
        self.unreachable.add(str(network))
        return ""

    def removeUnreachable(self, network: IPv6Network) -> str:
        self.unreachable.remove(str(network))
        return ""


class IPv6Sites(Sites):
    """
    Two gateways with IPv6.

    @ivar devices: the interfaces of the southern one.
    """

    def __init__(self, folder: Path, more: str = DIAL, **options: Any) -> None:
        self.devices = Devices()
        super().__init__(folder, more, both=IPV6_TOO, **options)

    def make(self, text: str) -> None:
        super().make(text)
        network: Any = self.south.networks["ipv6"]
        network._devices = self.devices

    @property
    def protocol(self) -> DialledIPV6CP:
        line = self.dial.line
        assert line is not None
        found = line.link._network._networks[0x8057]  # type: ignore[union-attr]
        assert isinstance(found, DialledIPV6CP)
        return found


@pytest.fixture
def sites(tmp_path: Path) -> IPv6Sites:
    return IPv6Sites(tmp_path)


def test_aDelegatedPrefix(sites: IPv6Sites) -> None:
    """
    The prefix that the other end delegates is divided among the interfaces, leads there from the
    other end, and is given back in the end. Our own address is made of the prefix of the link.
    """
    sites.start()
    assert sites.state == "UP"
    (beyond,) = sites.north.gateway.sessions
    link, delegated = beyond.networks["ipv6"]
    assert (link.prefixlen, delegated.prefixlen) == (64, 56)
    base = int(delegated.network_address)
    assert sites.devices.addresses == {
        ("lan", f"{IPv6Address(base + 1)}/64"),
        ("dmz", f"{IPv6Address(base + (1 << 64) + 1)}/64"),
    }
    assert sites.devices.unreachable == {str(delegated)}
    line = sites.dial.line
    assert line is not None
    attachment = line.channel.networks[IPV6]  # type: ignore[attr-defined]
    assert attachment.isHost and len(attachment.own) == 1 and attachment.own[0] in link
    assert attachment.localAddress == sites.protocol.localAddress
    sites.run(9000, 1)
    assert sites.state == "UP" and sites.devices.calls == 2
    sites.stop()
    assert not sites.devices.addresses and not sites.devices.unreachable
    pool: Any = sites.north.networks["ipv6"]
    assert pool.figures()[1].used == 0


def test_again(sites: IPv6Sites) -> None:
    """
    Calls that are cut and dialled again leave nothing of the former prefixes.
    """
    sites.start()
    for number in range(5):
        assert len(sites.devices.addresses) == 2 and len(sites.devices.unreachable) == 1, number
        sites.run(40, 0.1)
        (beyond,) = sites.north.gateway.sessions
        if number % 2:
            beyond.hangUp("enough")
        else:
            sites.opened[-1].end("cut")
        sites.run(0.5)
        assert not sites.devices.addresses and not sites.devices.unreachable
        sites.run(8, 0.01)
    sites.stop()


def test_aLease(tmp_path: Path) -> None:
    """
    An address that DHCPv6 gives is ours, too.
    """
    sites = IPv6Sites(tmp_path, DIAL + "lease-address = true\nprefix-length = 60\n")
    sites.start()
    assert len(sites.protocol.attachment().own) == 2
    sites.stop()


def test_withoutAPrefix(tmp_path: Path) -> None:
    """
    No DHCPv6 is spoken where no prefix is to be used; the default route is taken where it is asked
    for, beside networks of callers.
    """
    sites = IPv6Sites(tmp_path, 'networks = ["ipv6"]\n')
    text = sites.text.replace('["10.1.0.0/16"]', '["::/0", "fd00:9::/32"]')
    sites.make(text)
    sites.start()
    (session,) = sites.south.gateway.sessions
    assert session.networks["ipv6"] == (IPv6Network("fd00:9::/32"), ALL)
    (beyond,) = sites.north.gateway.sessions
    assert len(beyond.networks["ipv6"]) == 1
    assert sites.protocol.host is not None and sites.protocol.host.dhcp is None
    sites.stop()


def test_theKernelHasNoIPv6(sites: IPv6Sites) -> None:
    network: Any = sites.south.networks["ipv6"]
    network._disabled = True
    with pytest.raises(ConfigurationError, match="no IPv6"):
        network.ask(sites.dial.plan.dial, sites.dial.plan.profile, None)


def test_aSite() -> None:
    """
    A part of each prefix goes to each interface, as far as there are parts. What stays is left
    alone, and what the kernel refuses doesn't keep the rest.
    """
    devices = Devices()
    site = Site("north", ["lan", "nowhere", "dmz"], devices, (), set(), Clock().seconds)
    wide, narrow = IPv6Network("2001:db8:1::/56"), IPv6Network("2001:db8:2:7::/64")
    site.use([wide])
    assert devices.addresses == {("lan", "2001:db8:1::1/64"), ("dmz", "2001:db8:1:2::1/64")}
    calls = devices.calls
    site.use([wide])
    assert devices.calls == calls
    site.use([wide, narrow])
    assert ("lan", "2001:db8:2:7::1/64") in devices.addresses and len(devices.addresses) == 3
    assert devices.unreachable == {str(wide), str(narrow)}
    site.use([narrow])
    assert devices.addresses == {("lan", "2001:db8:2:7::1/64")}
    site.use([])
    assert not devices.addresses and not devices.unreachable
