"""
Tests of L{pptpgw.ports.netlink}: over a kernel in memory, and the real one.
"""

from __future__ import annotations

import errno
from ipaddress import IPv4Interface, IPv4Network

import pytest
from pyroute2.netlink.exceptions import NetlinkError

from pptpgw.error import ConfigurationError, NotPermitted
from pptpgw.ports.netlink import NetlinkPort
from pptpgw.ports.sysctl import FOLDER
from tests.ports.namespace import inNamespace

NETWORKS = [IPv4Network("10.77.0.0/24"), IPv4Network("10.78.0.1/32")]


def configured(kernel: MemoryKernel) -> NetlinkPort:
    """
    A port with its address and routes.
    """
    port = NetlinkPort("pptp0", kernel)
    port.configure(1400)
    port.addAddress(IPv4Interface("10.77.0.1"))
    for network in NETWORKS:
        port.addRoute(network)
    return port


class MemoryKernel:
    """
    Keeps what it is told, and refuses one request.
    """

    def __init__(self, refuse: str = "", code: int = errno.EPERM) -> None:
        self.requests: list[str] = []
        self.refuse = refuse
        self.code = code
        self.closed = 0

    def __call__(self) -> MemoryKernel:
        return self

    def link_lookup(self, *, ifname: str) -> list[int]:
        return [5] if ifname == "pptp0" else []

    def _request(self, kind: str, command: str, arguments: dict[str, object]) -> None:
        request = " ".join([kind, command, *(f"{name}={arguments[name]}" for name in arguments)])
        if self.refuse and self.refuse in request:
            raise NetlinkError(self.code, "refused")
        self.requests.append(request)

    def link(self, command: str, **arguments: object) -> None:
        self._request("link", command, arguments)

    def addr(self, command: str, **arguments: object) -> None:
        self._request("addr", command, arguments)

    def route(self, command: str, **arguments: object) -> None:
        self._request("route", command, arguments)

    def close(self) -> None:
        self.closed += 1


ADDRESS = "index=5 address=10.77.0.1 prefixlen=32"
DONE = [
    "link set index=5 mtu=1400",
    "link set index=5 state=up",
    f"addr add {ADDRESS}",
    "route add dst=10.77.0.0/24 oif=5",
    "route add dst=10.78.0.1/32 oif=5",
]
UNDONE = [
    "route del dst=10.78.0.1/32 oif=5",
    "route del dst=10.77.0.0/24 oif=5",
    f"addr del {ADDRESS}",
]


class TestNetlinkPort:
    """
    What is asked of the kernel.
    """

    def test_doneAndUndone(self) -> None:
        kernel = MemoryKernel()
        port = configured(kernel)
        assert kernel.requests == DONE
        port.remove()
        port.remove()
        assert kernel.requests == DONE + UNDONE
        assert kernel.closed == 1

    @pytest.mark.parametrize(
        ("code", "error", "text"),
        [
            (errno.EPERM, NotPermitted, "CAP_NET_ADMIN"),
            (errno.EEXIST, ConfigurationError, "a route for 10.78.0.1/32 to interface pptp0"),
        ],
    )
    def test_refused(self, code: int, error: type[Exception], text: str) -> None:
        kernel = MemoryKernel("route add dst=10.78", code)
        with pytest.raises(error, match=text):
            configured(kernel)
        assert kernel.requests == DONE[:4]

    def test_undoingWhatIsGone(self) -> None:
        kernel = MemoryKernel("del", errno.ENODEV)
        port = configured(kernel)
        port.remove()
        assert kernel.closed == 1

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
            "route add dst=10.99.0.9/32 oif=5",
            "route add dst=10.99.0.0/24 oif=5",
            "route del dst=10.99.0.9/32 oif=5",
            "route del dst=10.99.0.0/24 oif=5",
            *UNDONE,
        ]
        port.addRoute(outside)
        port.removeRoute(outside)
        assert kernel.requests[-1] == UNDONE[-1]

    def test_whatAWiderRouteStoodForStaysWhenThatGoes(self) -> None:
        """
        It gets its own route first, so that no packet is lost between; a narrower one that leads to
        the same needs none.
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
            "route add dst=10.99.0.0/16 oif=5",
            "route add dst=10.99.0.0/24 oif=5",
            "route del dst=10.99.0.0/16 oif=5",
            "route add dst=10.99.0.9/32 oif=5",
            "route del dst=10.99.0.0/24 oif=5",
            "route del dst=10.99.0.9/32 oif=5",
        ]

    def test_laterRouteRefused(self) -> None:
        kernel = MemoryKernel("dst=10.99", errno.EEXIST)
        port = configured(kernel)
        with pytest.raises(ConfigurationError, match=r"10\.99\.0\.9/32"):
            port.addRoute(IPv4Network("10.99.0.9/32"))
        port.removeRoute(IPv4Network("10.99.0.9/32"))

    def test_noInterface(self) -> None:
        kernel = MemoryKernel()
        with pytest.raises(NotPermitted, match="absent"):
            NetlinkPort("absent", kernel).configure(1400)
        assert kernel.closed == 1

    def test_kernel(self) -> None:
        inNamespace("netlink")

    @pytest.mark.skipif(not FOLDER.exists(), reason="this kernel has no IPv6")
    def test_kernelWithIPv6(self) -> None:
        inNamespace("netlink6")
