"""
rtnetlink(7): requests about devices, their addresses and routes, the socket that carries them, and
the messages in which the kernel announces changes. L{pptpgw.ports.netlink} has their encoding.

A gateway may add a route for each session, thousands at a time. So this module encodes requests
itself, and sends many of them in one system call. The kernel has done them before that call
returns.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from struct import Struct, pack
from typing import Protocol

from pptpgw.ports.netlink import (
    CREATE,
    DUMP,
    ERROR,
    EXCLUSIVE,
    HEADER,
    READ_SIZE,
    REQUEST,
    messages,
    option,
    options,
    request,
)

Network = IPv4Network | IPv6Network
Interface = IPv4Interface | IPv6Interface

UP = 0x1
"""
The flag of a device that is up.
"""


class NetlinkMessageType(IntEnum):
    """
    The types of rtnetlink messages.
    """

    NEW_LINK = 16
    DELETE_LINK = 17
    GET_LINK = 18
    NEW_ADDRESS = 20
    DELETE_ADDRESS = 21
    GET_ADDRESS = 22
    NEW_ROUTE = 24
    DELETE_ROUTE = 25
    NEW_STATISTICS = 92
    GET_STATISTICS = 94


_link = Struct("=BxHiII")
_address = Struct("=BBBBi")
_route = Struct("=BBBBBBBBI")
# Attributes of links, addresses and routes.
_LINK_ADDRESS, _LINK_NAME, _LINK_MTU, _LINK_MASTER, _LINK_QUEUE, _LINK_INFO = 1, 3, 4, 10, 13, 18
_LINK_FAMILIES, _LINK_GROUP, _LINK_CARRIER = 26, 27, 33
_INFO_KIND = 1
# The attribute of IPv6 by which a device gets no link-local address by itself.
_ADDRESS_GENERATION, _NO_ADDRESS = 8, 1
_ADDRESS, _ADDRESS_LOCAL = 1, 2
_ROUTE_DESTINATION, _ROUTE_DEVICE, _ROUTE_METRIC, _ROUTE_SOURCE = 1, 4, 6, 7
_MAIN_TABLE, _STATIC, _UNIVERSE, _NOWHERE, _UNICAST, _UNREACHABLE = 254, 4, 0, 255, 1, 7
# The metric of routes that stand behind all others.
_LAST = 0xFFFFFFFF
# From linux/netlink.h: an option by which answers don't repeat the request.
_SOL_NETLINK, _CAP_ACK = 270, 10
# The most requests in one system call. Their answers must fit into the socket's buffer.
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class KernelLink:
    """
    A network device.

    @ivar index: the number of the device.
    @ivar name: the name of the device.
    @ivar up: whether the device was brought up.
    @ivar master: the index of the bridge that it is a port of; 0 for none.
    @ivar kind: the kind of a virtual device, such as C{bridge}; empty for others.
    @ivar carrier: whether it has a carrier, as a TUN device has while a program has it open.
    """

    index: int
    name: str
    up: bool
    master: int
    kind: str
    carrier: bool = False


class Kernel(Protocol):
    """
    The interface of L{RequestSocket}, which tests replace.

    @ivar port: the sender in the kernel's announcements of changes that were requested here.
    """

    port: int

    def ask(self, requests: Sequence[bytes]) -> list[int]:
        """
        See L{RequestSocket.ask}.
        """

    def link(self, name: str) -> KernelLink | None:
        """
        See L{RequestSocket.link}.
        """

    def close(self) -> None:
        """
        See L{RequestSocket.close}.
        """


def setLink(
    index: int,
    mtu: int | None = None,
    up: bool = False,
    address: bytes | None = None,
    master: int | None = None,
    bare: bool = False,
    group: int = 0,
) -> bytes:
    """
    Return the request to change a device.

    @param mtu: the new MTU in octets; None to keep it.
    @param up: whether to bring the device up.
    @param address: the new Ethernet address; None to keep it.
    @param master: the index of the bridge to join; 0 to leave its bridge; None for neither.
    @param bare: whether the device gets no link-local address of IPv6 when it is brought up.
    @param group: the group of devices to join; 0 to keep it.
    """
    body = _link.pack(0, 0, index, UP if up else 0, UP if up else 0)
    if mtu is not None:
        body += option(_LINK_MTU, pack("=I", mtu))
    if address is not None:
        body += option(_LINK_ADDRESS, address)
    if master is not None:
        body += option(_LINK_MASTER, pack("=I", master))
    if bare:
        generation = option(_ADDRESS_GENERATION, bytes((_NO_ADDRESS,)))
        body += option(_LINK_FAMILIES, option(socket.AF_INET6, generation))
    if group:
        body += option(_LINK_GROUP, pack("=I", group))
    return request(NetlinkMessageType.NEW_LINK, 0, body)


def setQueue(index: int, packets: int) -> bytes:
    """
    Return the request to let so many packets wait in a device.
    """
    body = _link.pack(0, 0, index, 0, 0) + option(_LINK_QUEUE, pack("=I", packets))
    return request(NetlinkMessageType.NEW_LINK, 0, body)


def addLink(name: str, kind: str, queue: int) -> bytes:
    """
    Return the request to make a virtual device and bring it up.

    @param queue: the number of packets that may wait in it.
    """
    body = _link.pack(0, 0, 0, UP, UP) + option(_LINK_NAME, name.encode() + b"\0")
    body += option(_LINK_QUEUE, pack("=I", queue))
    body += option(_LINK_INFO, option(_INFO_KIND, kind.encode() + b"\0"))
    return request(NetlinkMessageType.NEW_LINK, CREATE | EXCLUSIVE, body)


def removeLink(index: int) -> bytes:
    """
    Return the request to remove a device.
    """
    return request(NetlinkMessageType.DELETE_LINK, 0, _link.pack(0, 0, index, 0, 0))


def removeGroup(group: int) -> bytes:
    """
    Return the request to remove all devices of a group.
    """
    body = _link.pack(0, 0, 0, 0, 0) + option(_LINK_GROUP, pack("=I", group))
    return request(NetlinkMessageType.DELETE_LINK, 0, body)


def addAddress(index: int, address: Interface, peer: IPv4Address | None = None) -> bytes:
    """
    Return the request to give a device an address.

    @param peer: the address of the only other host that the device leads to; None if the device is
        not such a link of two.
    """
    flags = CREATE | EXCLUSIVE
    return _addressRequest(NetlinkMessageType.NEW_ADDRESS, flags, index, address, peer)


def removeAddress(index: int, address: Interface, peer: IPv4Address | None = None) -> bytes:
    """
    Return the request to take an address from a device. The parameters are those of L{addAddress}.
    """
    return _addressRequest(NetlinkMessageType.DELETE_ADDRESS, 0, index, address, peer)


def addRoute(
    index: int, network: Network, first: bool = False, source: IPv4Address | None = None
) -> bytes:
    """
    Return the request to route a network to a device.

    @param first: whether this route precedes others of the same network; otherwise there must be
        none.
    @param source: the address of this machine that it sends there from; None: any.
    """
    what = _STATIC, _UNIVERSE, _UNICAST
    if not first:
        flags, more = CREATE | EXCLUSIVE, b""
    else:
        # A new route of IPv4 precedes those that are there; one of IPv6 does by its metric.
        flags, more = CREATE, _FIRST if network.version == 6 else b""
    if source is not None:
        more += option(_ROUTE_SOURCE, source.packed)
    return _routeRequest(NetlinkMessageType.NEW_ROUTE, flags, network, what, _device(index) + more)


def addUnreachable(network: Network) -> bytes:
    """
    Return the request to answer packets for a network as unreachable, where no narrower route leads
    on. There must be no other route without a device for it.
    """
    return _unreachable(NetlinkMessageType.NEW_ROUTE, CREATE | EXCLUSIVE, network)


def removeUnreachable(network: Network) -> bytes:
    """
    Return the request that undoes L{addUnreachable}.
    """
    return _unreachable(NetlinkMessageType.DELETE_ROUTE, 0, network)


def removeRoute(index: int, network: Network) -> bytes:
    """
    Return the request to remove the route of a network to a device.
    """
    what = 0, _NOWHERE, 0
    return _routeRequest(NetlinkMessageType.DELETE_ROUTE, 0, network, what, _device(index))


def readLink(body: bytes) -> KernelLink:
    """
    Decode a message about a device.
    """
    _, _, index, flags, _ = _link.unpack_from(body)
    found = options(body[_link.size :])
    return KernelLink(
        index,
        found.get(_LINK_NAME, b"").rstrip(b"\0").decode(),
        bool(flags & UP),
        int.from_bytes(found.get(_LINK_MASTER, b""), sys.byteorder),
        options(found.get(_LINK_INFO, b"")).get(_INFO_KIND, b"").rstrip(b"\0").decode(),
        found.get(_LINK_CARRIER) == b"\1",
    )


def readAddress(body: bytes) -> tuple[int, bytes]:
    """
    Decode a message about an address.

    @return: the index of the device, and the address as octets.
    """
    index: int = _address.unpack_from(body)[4]
    found = options(body[_address.size :])
    return index, found.get(_ADDRESS_LOCAL, found.get(_ADDRESS, b""))


def readRoute(body: bytes) -> tuple[int, bytes, int]:
    """
    Decode a message about a route.

    @return: the index of the device that the route leads to, or 0 if the route isn't in the main
        table; and the network as the octets of its address and the prefix length.
    """
    family, length, _, _, table, _, _, _, _ = _route.unpack_from(body)
    found = options(body[_route.size :])
    index = int.from_bytes(found.get(_ROUTE_DEVICE, b""), sys.byteorder)
    size = 4 if family == socket.AF_INET else 16
    return index if table == _MAIN_TABLE else 0, found.get(_ROUTE_DESTINATION, bytes(size)), length


# The lowest metric, which is 1024 for routes without one.
_FIRST = option(_ROUTE_METRIC, pack("=I", 1))


def _addressRequest(
    kind: NetlinkMessageType, flags: int, index: int, address: Interface, peer: IPv4Address | None
) -> bytes:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    body = _address.pack(family, address.network.prefixlen, 0, 0, index)
    body += option(_ADDRESS_LOCAL, address.ip.packed)
    return request(kind, flags, body + option(_ADDRESS, (peer or address.ip).packed))


def _routeRequest(
    kind: NetlinkMessageType,
    flags: int,
    network: Network,
    what: tuple[int, int, int],
    more: bytes,
) -> bytes:
    """
    Return a request about a route in the main table.

    @param what: who has made the route, its scope and its type, as C{struct rtmsg} has them.
    @param more: the options besides the network.
    """
    family = socket.AF_INET if network.version == 4 else socket.AF_INET6
    body = _route.pack(family, network.prefixlen, 0, 0, _MAIN_TABLE, *what, 0)
    body += option(_ROUTE_DESTINATION, network.network_address.packed)
    return request(kind, flags, body + more)


def _unreachable(kind: NetlinkMessageType, flags: int, network: Network) -> bytes:
    what = _STATIC, _UNIVERSE, _UNREACHABLE
    return _routeRequest(kind, flags, network, what, option(_ROUTE_METRIC, pack("=I", _LAST)))


def _device(index: int) -> bytes:
    """
    Return the option of a route that names the device that it leads to.
    """
    return option(_ROUTE_DEVICE, pack("=I", index))


class RequestSocket:
    """
    A socket for requests to the kernel.

    @ivar port: the sender in the kernel's announcements of changes that were requested here.
    """

    def __init__(self, protocol: int = socket.NETLINK_ROUTE) -> None:
        """
        @param protocol: the netlink protocol.
        @raise OSError: the kernel doesn't have it.
        """
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol
        )
        self._socket.bind((0, 0))
        self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        self.port: int = self._socket.getsockname()[0]

    def ask(self, requests: Sequence[bytes]) -> list[int]:
        """
        Make all of C{requests}, in order. A request that fails doesn't prevent those after it.

        @return: the error number of each request (L{errno}); 0 for success.
        @raise OSError: the requests couldn't be sent, or the kernel doesn't answer.
        """
        results: list[int] = []
        for start in range(0, len(requests), _AT_ONCE):
            results += self._ask(requests[start : start + _AT_ONCE])
        return results

    def link(self, name: str) -> KernelLink | None:
        """
        Return the device called C{name}; None if there is none.

        @raise OSError: the kernel doesn't answer.
        """
        body = _link.pack(0, 0, 0, 0, 0) + option(_LINK_NAME, name.encode() + b"\0")
        size = HEADER.size + len(body)
        self._socket.send(HEADER.pack(size, NetlinkMessageType.GET_LINK, REQUEST, 0, 0) + body)
        for kind, _, answer in messages(self._socket.recv(READ_SIZE, socket.MSG_DONTWAIT)):
            if kind == NetlinkMessageType.NEW_LINK:
                return readLink(answer)
            error = -int.from_bytes(answer[:4], sys.byteorder, signed=True)
            if error != errno.ENODEV:
                raise OSError(error, os.strerror(error))
        return None

    def ipv4Addresses(self) -> list[IPv4Interface]:
        """
        Return the IPv4 addresses of all devices.

        @raise OSError: the kernel doesn't answer.
        """
        size = HEADER.size + _address.size
        body = _address.pack(socket.AF_INET, 0, 0, 0, 0)
        self._socket.send(
            HEADER.pack(size, NetlinkMessageType.GET_ADDRESS, REQUEST | DUMP, 0, 0) + body
        )
        found: list[IPv4Interface] = []
        while True:
            for kind, _, answer in messages(self._socket.recv(READ_SIZE, socket.MSG_DONTWAIT)):
                if kind != NetlinkMessageType.NEW_ADDRESS:
                    return found
                _, packed = readAddress(answer)
                found.append(IPv4Interface((packed, _address.unpack_from(answer)[1])))

    def close(self) -> None:
        """
        Close the socket.
        """
        self._socket.close()

    def _ask(self, requests: Sequence[bytes]) -> list[int]:
        self._socket.send(
            b"".join(
                request[:8] + pack("=I", number) + request[12:]
                for number, request in enumerate(requests)
            )
        )
        results: dict[int, int] = {}
        while len(results) < len(requests):
            # The kernel made the answers during the send, so they are there already.
            answers = self._socket.recv(READ_SIZE, socket.MSG_DONTWAIT)
            place = 0
            while place < len(answers):
                length, kind, _, number, _ = HEADER.unpack_from(answers, place)
                if kind == ERROR:
                    results[number] = -int.from_bytes(
                        answers[place + 16 : place + 20], sys.byteorder, signed=True
                    )
                place += (length + 3) & ~3
        return [results[number] for number in range(len(requests))]
