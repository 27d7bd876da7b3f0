"""
A kernel in memory, with devices, addresses and routes.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from struct import pack

from pptpgw.ports.netlink import HEADER, options
from pptpgw.ports.rtnetlink import (
    UP,
    KernelLink,
    NetlinkMessageType,
    readAddress,
    readLink,
    readRoute,
)

MTU, ADDRESS, MASTER, QUEUE = 4, 1, 10, 13
"""
Attributes of links.
"""


class MemoryKernel:
    """
    A kernel that records requests as words, and refuses one kind of them.

    @ivar port: the port whose requests these are.
    @ivar requests: the requests, such as C{"route add 10.77.0.0/24 dev 5"}.
    @ivar links: the devices by name.
    @ivar routes: the networks that are routed to the device C{index}.
    """

    port = 77

    def __init__(self, refuse: str = "", code: int = errno.EPERM) -> None:
        self.requests: list[str] = []
        self.refuse = refuse
        self.code = code
        self.opened = 0
        self.links = {
            "pptp0": KernelLink(5, "pptp0", False, 0, "tun"),
            "tap0": KernelLink(6, "tap0", False, 0, "tun"),
            "br0": KernelLink(9, "br0", True, 0, "bridge"),
            "eth0": KernelLink(3, "eth0", True, 0, ""),
        }
        self.routes: set[str] = set()

    def __call__(self) -> MemoryKernel:
        self.opened += 1
        return self

    def link(self, name: str) -> KernelLink | None:
        return self.links.get(name)

    def ask(self, requests: Sequence[bytes]) -> list[int]:
        return [self._do(request) for request in requests]

    def close(self) -> None:
        self.opened -= 1

    def _do(self, request: bytes) -> int:
        length, kind, _, _, _ = HEADER.unpack_from(request)
        assert length == len(request)
        said = describe(kind, request[HEADER.size :])
        if self.refuse and self.refuse in said:
            return self.code
        self.requests.append(said)
        words = said.split()
        if words[0] == "route":
            if words[1] == "add" and words[2] in self.routes:
                self.requests.pop()
                return errno.EEXIST
            (self.routes.add if words[1] == "add" else self.routes.discard)(words[2])
        return 0


def describe(kind: int, body: bytes) -> str:
    """
    A request in words.
    """
    match NetlinkMessageType(kind):
        case NetlinkMessageType.NEW_LINK:
            index, found = readLink(body).index, options(body[16:])
            words = [f"link set {index}"]
            if MTU in found:
                words.append(f"mtu {int.from_bytes(found[MTU], 'little')}")
            if QUEUE in found:
                words.append(f"txqueuelen {int.from_bytes(found[QUEUE], 'little')}")
            if ADDRESS in found:
                words.append(f"address {found[ADDRESS].hex(':')}")
            if MASTER in found:
                words.append(f"master {int.from_bytes(found[MASTER], 'little')}")
            return " ".join([*words, *["up"] * readLink(body).up])
        case NetlinkMessageType.NEW_ADDRESS | NetlinkMessageType.DELETE_ADDRESS:
            index, packed = readAddress(body)
            verb = "add" if kind == NetlinkMessageType.NEW_ADDRESS else "del"
            remote = options(body[8:])[ADDRESS]
            peer = f" peer {ip_address(remote)}" if remote != packed else ""
            return f"addr {verb} {ip_address(packed)}/{body[1]}{peer} dev {index}"
        case NetlinkMessageType.NEW_ROUTE | NetlinkMessageType.DELETE_ROUTE:
            index, packed, length = readRoute(body)
            verb = "add" if kind == NetlinkMessageType.NEW_ROUTE else "del"
            network = (IPv4Network if len(packed) == 4 else IPv6Network)((packed, length))
            return f"route {verb} {network} dev {index}"
        case _:
            raise AssertionError(kind)


def linkMessage(index: int, up: bool, master: int = 0, family: int = 0) -> bytes:
    """
    The kernel's announcement about a device.
    """
    body = pack("=BxHiII", family, 0, index, UP if up else 0, 0)
    return body + pack("=HHI", 8, MASTER, master) if master else body
