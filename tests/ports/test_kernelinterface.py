"""
Tests for L{pptpgw.ports.kernelinterface}, with a kernel in memory and with the real one.
"""

from __future__ import annotations

import errno
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from twisted.internet.task import Clock

from pptpgw.error import ConfigurationError, NotPermitted
from pptpgw.ports import rtnetlink
from pptpgw.ports.kernelinterface import KernelInterface
from pptpgw.ports.netlink import HEADER
from pptpgw.ports.rtnetlink import KernelLink, NetlinkMessageType
from pptpgw.ports.sysctl import FOLDER
from tests.ports.kernel import MemoryKernel, linkMessage
from tests.ports.namespace import inNamespace
from tests.ticking import Ticking

NETWORKS = [IPv4Network("10.77.0.0/24"), IPv4Network("10.78.0.1/32")]


def configured(kernel: MemoryKernel) -> KernelInterface:
    """
    A port with its address and routes.
    """
    port = KernelInterface(Clock(), "pptp0", kernel)
    port.configure(1400)
    port.addAddress(IPv4Interface("10.77.0.1"))
    for network in NETWORKS:
        port.addRoute(network)
    return port


DONE = [
    "link set 5 mtu 1400",
    "link set 5 up",
    "addr add 10.77.0.1/32 dev 5",
    "route add 10.77.0.0/24 dev 5",
    "route add 10.78.0.1/32 dev 5",
]
UNDONE = [
    "route del 10.78.0.1/32 dev 5",
    "route del 10.77.0.0/24 dev 5",
    "addr del 10.77.0.1/32 dev 5",
]


class TestNetlinkPort:
    """
    Tests for the requests to the kernel.
    """

    def test_doneAndUndone(self) -> None:
        kernel = MemoryKernel()
        port = configured(kernel)
        assert kernel.requests == DONE
        port.remove()
        port.remove()
        assert kernel.requests == DONE + UNDONE
        assert kernel.opened == 0

    def test_linkOfTwo(self) -> None:
        """
        An address may come with the one at the other end, also when the device is restored.
        """
        kernel = MemoryKernel()
        port = KernelInterface(Clock(), "pptp0", kernel)
        port.configure(1400)
        port.addAddress(IPv4Interface("10.0.0.2"), IPv4Address("10.0.0.1"))
        port.restore()
        port.remove()
        pair = "10.0.0.2/32 peer 10.0.0.1 dev 5"
        assert [line for line in kernel.requests if line.startswith("addr")] == [
            f"addr add {pair}",
            f"addr add {pair}",
            f"addr del {pair}",
        ]

    def test_queue(self) -> None:
        """
        A queue of another length than the kernel's is asked for, also when the device is restored.
        """
        kernel = MemoryKernel()
        port = KernelInterface(Clock(), "pptp0", kernel)
        port.queue = 2048
        port.configure(1400)
        port.restore()
        once = ["link set 5 mtu 1400", "link set 5 txqueuelen 2048", "link set 5 up"]
        assert kernel.requests == [*once, *once]

    @pytest.mark.parametrize(
        ("code", "error", "text"),
        [
            (errno.EPERM, NotPermitted, "CAP_NET_ADMIN"),
            (errno.EEXIST, ConfigurationError, "a route for 10.78.0.1/32 to interface pptp0"),
        ],
    )
    def test_refused(self, code: int, error: type[Exception], text: str) -> None:
        kernel = MemoryKernel("route add 10.78", code)
        with pytest.raises(error, match=text):
            configured(kernel)
        assert kernel.requests == DONE[:4]

    def test_undoingWhatIsGone(self) -> None:
        kernel = MemoryKernel(" del ", errno.ENODEV)
        port = configured(kernel)
        port.remove()
        assert kernel.opened == 0

    def test_laterRoutes(self) -> None:
        kernel = MemoryKernel()
        port = configured(kernel)
        inside, outside = IPv4Network("10.77.0.9/32"), IPv4Network("10.99.0.9/32")
        another = IPv4Network("10.99.0.0/24")
        for network in (inside, outside, outside, another):
            port.addRoute(network)
        for network in (inside, outside, inside, outside, outside):
            port.removeRoute(network)
        port.remove()
        assert kernel.requests == [
            *DONE,
            "route add 10.99.0.9/32 dev 5",
            "route add 10.99.0.0/24 dev 5",
            "route del 10.99.0.9/32 dev 5",
            "route del 10.99.0.0/24 dev 5",
            *UNDONE,
        ]
        port.addRoute(outside)
        port.removeRoute(outside)
        assert kernel.requests[-1] == UNDONE[-1]

    def test_aWiderRouteGoesInSlices(self) -> None:
        """
        The narrower routes within a wider one that goes are set in several turns. A network that
        ends meanwhile gets none, one that begins gets its own, and the wider route stays if it is
        wanted again meanwhile.
        """
        kernel, clock = MemoryKernel(), Ticking()
        port = KernelInterface(clock, "pptp0", kernel)
        port.configure(1400)
        wide = IPv4Network("10.99.0.0/24")
        hosts = [IPv4Network(f"10.99.0.{number}/32") for number in range(100)]
        for network in (wide, *hosts):
            port.addRoute(network)
        port.removeRoute(wide)
        first = len(kernel.routes)
        assert 1 < first < 50 and str(wide) in kernel.routes
        port.removeRoute(hosts[-1])
        port.addRoute(IPv4Network("10.99.0.200/32"))
        clock.finish()
        assert kernel.routes == {*map(str, hosts[:-1]), "10.99.0.200/32"}
        for network in hosts[:-1]:
            port.removeRoute(network)
        clock.finish()
        for network in (wide, *hosts):
            port.addRoute(network)
        port.removeRoute(wide)
        port.addRoute(wide)
        clock.finish()
        assert str(wide) in kernel.routes and len(kernel.routes) < 50
        for network in (wide, *hosts):
            port.removeRoute(network)
        clock.finish()
        assert kernel.routes == {"10.99.0.200/32"}

    def test_restored(self) -> None:
        """
        Addresses and routes that somebody removed are restored, also on a new device.
        """
        kernel = MemoryKernel()
        port = configured(kernel)
        port.addRoute(IPv4Network("10.77.0.9/32"))
        del kernel.requests[:], kernel.links["pptp0"]
        with pytest.raises(NotPermitted, match="there is no interface pptp0"):
            port.restore()
        kernel.routes.clear()
        kernel.links["pptp0"] = KernelLink(8, "pptp0", False, 0, "tun")
        port.restore()
        port.restoreRoutes()
        assert kernel.requests == [
            one.replace("link set 5", "link set 8").replace("dev 5", "dev 8") for one in DONE
        ]

    def test_whatSomebodyElseTook(self) -> None:
        """
        An announced loss is told apart from our own changes, from other devices and from addresses
        and routes that were never ours.
        """
        kernel = MemoryKernel()
        port = configured(kernel)
        route = rtnetlink.removeRoute(5, NETWORKS[0])[HEADER.size :]
        address = rtnetlink.removeAddress(5, IPv4Interface("10.77.0.1"))[HEADER.size :]
        for kind, body, said in (
            (NetlinkMessageType.DELETE_ROUTE, route, "the route for 10.77.0.0/24 was removed"),
            (NetlinkMessageType.DELETE_ADDRESS, address, "the address 10.77.0.1/32 was removed"),
            (NetlinkMessageType.NEW_LINK, linkMessage(5, up=False), "the device was brought down"),
            (NetlinkMessageType.DELETE_LINK, linkMessage(5, up=False), "the device was deleted"),
        ):
            assert port.isTaken(kind, 0, body) == said
            assert port.isTaken(kind, kernel.port, body) == ""
        other = rtnetlink.removeRoute(5, IPv4Network("10.1.0.0/24"))[HEADER.size :]
        another = rtnetlink.removeAddress(5, IPv4Interface("10.1.0.1"))[HEADER.size :]
        for kind, body in (
            (NetlinkMessageType.DELETE_ROUTE, other),
            (NetlinkMessageType.DELETE_ROUTE, rtnetlink.removeRoute(4, NETWORKS[0])[HEADER.size :]),
            (NetlinkMessageType.DELETE_ADDRESS, another),
            (NetlinkMessageType.NEW_LINK, linkMessage(5, up=True)),
            (NetlinkMessageType.NEW_LINK, linkMessage(4, up=False)),
            (NetlinkMessageType.DELETE_LINK, linkMessage(5, up=False, family=7)),
            (NetlinkMessageType.NEW_ADDRESS, address),
        ):
            assert port.isTaken(kind, 0, body) == ""
        port.remove()
        assert port.isTaken(NetlinkMessageType.DELETE_ROUTE, 0, route) == ""

    def test_aRouteOfADeviceThatIsGoneComesWithIt(self) -> None:
        """
        A route that is added while the device is gone is set when the device is back.
        """
        kernel = MemoryKernel("route add 10.99", errno.ENODEV)
        port = configured(kernel)
        port.addRoute(IPv4Network("10.99.0.9/32"))
        kernel.refuse = ""
        port.restoreRoutes()
        assert "10.99.0.9/32" in kernel.routes

    def test_whatAWiderRouteStoodForStaysWhenThatGoes(self) -> None:
        """
        A narrower network gets its own route before the wider route goes, so that no packet is lost
        in between. A network that another route to the device covers needs none.
        """
        kernel = MemoryKernel()
        port = configured(kernel)
        wide, host = IPv4Network("10.99.0.0/16"), IPv4Network("10.99.0.9/32")
        middle = IPv4Network("10.99.0.0/24")
        for network in (wide, host, host, middle):
            port.addRoute(network)
        for network in (wide, host, middle, host, host):
            port.removeRoute(network)
        assert kernel.requests[len(DONE) :] == [
            "route add 10.99.0.0/16 dev 5",
            "route add 10.99.0.0/24 dev 5",
            "route del 10.99.0.0/16 dev 5",
            "route add 10.99.0.9/32 dev 5",
            "route del 10.99.0.0/24 dev 5",
            "route del 10.99.0.9/32 dev 5",
        ]

    def test_laterRouteRefused(self) -> None:
        kernel = MemoryKernel("10.99", errno.EEXIST)
        port = configured(kernel)
        with pytest.raises(ConfigurationError, match=r"10\.99\.0\.9/32"):
            port.addRoute(IPv4Network("10.99.0.9/32"))
        port.removeRoute(IPv4Network("10.99.0.9/32"))

    def test_noInterface(self) -> None:
        kernel = MemoryKernel()
        with pytest.raises(NotPermitted, match="absent"):
            KernelInterface(Clock(), "absent", kernel).configure(1400)
        assert kernel.opened == 0

    def test_kernel(self) -> None:
        inNamespace("netlink")

    @pytest.mark.skipif(not FOLDER.exists(), reason="this kernel has no IPv6")
    def test_kernelWithIPv6(self) -> None:
        inNamespace("netlink6")
