"""
The kernel's traffic control (rtnetlink(7), linux/pkt_sched.h, linux/pkt_cls.h): the requests that
rate limits need. L{pptpgw.ports.rtnetlink} carries them.
"""

from __future__ import annotations

import socket
from enum import IntEnum
from struct import Struct, pack

from pptpgw.ports.netlink import CREATE, REPLACE, option, request
from pptpgw.ports.rtnetlink import Network

ROOT = 0xFFFFFFFF
"""
The parent of a device's root qdisc.
"""

QDISC = 0x10000
"""
The handle of the HTB qdisc, 1:0. The handles of its classes are this plus their number.
"""

INGRESS = 0xFFFFFFF2
"""
The parent of filters for the packets that a device receives.
"""

CLASSES = 0x7FFF
"""
The most classes of a device: each has a qdisc, and the kernel numbers no more of these.
"""

NODES = 0xFFF
"""
The most filters in one bucket.
"""


class TrafficRequestType(IntEnum):
    """
    The types of traffic control requests.
    """

    NEW_QDISC = 36
    DELETE_QDISC = 37
    NEW_CLASS = 40
    DELETE_CLASS = 41
    NEW_FILTER = 44
    DELETE_FILTER = 45


_CLSACT, _CLSACT_HANDLE = 0xFFFFFFF1, 0xFFFF0000
_traffic = Struct("=BxHiIII")
_rate = Struct("=BBHhHI")
# Attributes of all requests, and of those for HTB, u32, fq_codel, actions and mirred.
_KIND, _OPTIONS = 1, 2
_HTB_PARAMETERS, _HTB_INIT, _HTB_RATE64, _HTB_CEIL64 = 1, 2, 6, 7
_U32_CLASS, _U32_HASH, _U32_LINK, _U32_DIVISOR, _U32_SELECTOR, _U32_ACTION = 1, 2, 3, 4, 5, 7
_FQ_LIMIT, _FQ_FLOWS = 2, 5
_ACTION_KIND, _ACTION_OPTIONS, _MIRRED_PARAMETERS = 1, 2, 2
_ETHERNET = 1
_TERMINAL = 1
_EVERY_PROTOCOL, _IPV4, _IPV6 = 0x0003, 0x0800, 0x86DD
_BUCKETS = 256
# The kernel counts time in units of 64 nanoseconds.
_TICK = 64e-9
# The octets that a class may send at once after silence: two packets, or what comes in 10 ms.
_BURST_OCTETS, _BURST_SECONDS = 3200, 0.01
# The seconds that a packet may wait in a plain queue, and the least and the most octets of its
# room.
_WAIT, _ROOM, _MOST_ROOM = 0.1, 16384, 4 << 20
# The offsets of source and destination address in a packet, by IP version.
_SOURCES, _DESTINATIONS = {4: 12, 6: 8}, {4: 16, 6: 24}


def setRoot(index: int, default: int = 0) -> bytes:
    """
    Return the request to make HTB the root qdisc of a device.

    @param default: the number of the class of packets that no filter assigns to one; 0 to let them
        pass at once.
    """
    options = option(_HTB_INIT, pack("=5I", 3, 10, default, 0, 0))
    return _message(TrafficRequestType.NEW_QDISC, index, QDISC, ROOT, 0, "htb", options)


def clear(index: int) -> list[bytes]:
    """
    Return the requests to remove all qdiscs from a device. A request for a qdisc that isn't there
    fails without effect on the others.
    """
    return [
        removeRoot(index),
        _message(TrafficRequestType.DELETE_QDISC, index, _CLSACT_HANDLE, _CLSACT, 0),
    ]


def removeRoot(index: int) -> bytes:
    """
    Return the request to undo L{setRoot}, with all classes.
    """
    return _message(TrafficRequestType.DELETE_QDISC, index, QDISC, ROOT, 0)


def setClass(index: int, number: int, rate: int) -> bytes:
    """
    Return the request to make or change a class.

    @param number: the number of the class, from 1 to L{CLASSES}.
    @param rate: the rate limit in bits a second.
    """
    octets = max(1, rate // 8)
    burst = max(_BURST_OCTETS, octets * _BURST_SECONDS) / octets
    ticks = min(0xFFFFFFFF, int(burst / _TICK))
    limit = _rate.pack(0, _ETHERNET, 0, 0, 0, min(octets, 0xFFFFFFFF))
    options = option(_HTB_PARAMETERS, limit * 2 + pack("=5I", ticks, ticks, 1600, 0, 0))
    options += option(_HTB_RATE64, pack("=Q", octets)) + option(_HTB_CEIL64, pack("=Q", octets))
    return _message(TrafficRequestType.NEW_CLASS, index, QDISC + number, QDISC, 0, "htb", options)


def setQueue(index: int, number: int, rate: int, fair: bool) -> bytes:
    """
    Return the request to make or change the queue of a class.

    @param fair: whether the queue is fq_codel, in which no flow waits for another, and not a plain
        one.
    """
    if fair:
        options = option(_FQ_LIMIT, pack("=I", 1000)) + option(_FQ_FLOWS, pack("=I", 64))
    else:
        options = pack("=I", min(_MOST_ROOM, max(_ROOM, int(rate / 8 * _WAIT))))
    kind = "fq_codel" if fair else "bfifo"
    return _message(TrafficRequestType.NEW_QDISC, index, 0, QDISC + number, 0, kind, options)


def removeClass(index: int, number: int) -> bytes:
    """
    Return the request to remove a class with its queue. Its filters must have been removed.
    """
    return _message(TrafficRequestType.DELETE_CLASS, index, QDISC + number, QDISC, 0)


class FilterTable:
    """
    The filters on one device for networks of one prefix length.

    They are in a hash table of 256 buckets, by the last whole octet of the prefix, so that a packet
    is compared with those in one bucket only. Tables of longer prefixes come before those of
    shorter ones.
    """

    __slots__ = ("_index", "_info", "_length", "_offset", "_place", "handle")

    def __init__(self, index: int, network: Network, source: bool) -> None:
        """
        @param network: any network with the prefix length.
        @param source: whether the source addresses of packets are compared, and not the
            destinations.
        """
        self._index = index
        self._length = network.prefixlen
        six = network.version == 6
        # The number of the table is also its priority. Tables of the two families have different
        # numbers.
        number = (101 if six else 1) + network.max_prefixlen - network.prefixlen
        self._info = number << 16 | socket.htons(_IPV6 if six else _IPV4)
        self._offset = (_SOURCES if source else _DESTINATIONS)[network.version]
        # The octet by which the bucket is chosen; prefixes of less than one octet are all in the
        # first bucket.
        self._place = network.prefixlen // 8 - 1
        self.handle = number << 20

    def requests(self) -> list[bytes]:
        """
        Return the requests to make the table and have packets looked up in it.
        """
        offset, mask = 0, b"\0\0\0\0"
        if self._place >= 0:
            offset = self._offset + self._place // 4 * 4
            mask = (0xFF000000 >> self._place % 4 * 8).to_bytes(4, "big")
        selector = _selector(0, b"", offset, mask)
        link = option(_U32_LINK, pack("=I", self.handle)) + option(_U32_SELECTOR, selector)
        divisor = option(_U32_DIVISOR, pack("=I", _BUCKETS))
        return [
            _message(
                TrafficRequestType.NEW_FILTER,
                self._index,
                self.handle,
                QDISC,
                self._info,
                "u32",
                divisor,
            ),
            _message(TrafficRequestType.NEW_FILTER, self._index, 0, QDISC, self._info, "u32", link),
        ]

    def bucket(self, network: Network) -> int:
        """
        Return the number of the bucket for the filter of C{network}.
        """
        return network.network_address.packed[self._place] if self._place >= 0 else 0

    def setFilter(self, network: Network, node: int, number: int) -> bytes:
        """
        Return the request to assign the packets of C{network} to a class.

        @param node: the number of the filter in its bucket, from 1 to L{NODES}.
        @param number: the number of the class.
        """
        bucket = self.handle | self.bucket(network) << 12
        address, mask = network.network_address.packed, network.netmask.packed
        keys = b"".join(
            mask[place : place + 4]
            + address[place : place + 4]
            + pack("=ii", self._offset + place, 0)
            for place in range(0, max(4, (self._length + 31) // 32 * 4), 4)
        )
        options = (
            option(_U32_CLASS, pack("=I", QDISC + number))
            + option(_U32_HASH, pack("=I", bucket))
            + option(_U32_SELECTOR, _selector(_TERMINAL, keys))
        )
        return _message(
            TrafficRequestType.NEW_FILTER,
            self._index,
            bucket | node,
            QDISC,
            self._info,
            "u32",
            options,
        )

    def removeFilter(self, network: Network, node: int) -> bytes:
        """
        Return the request to remove the filter that L{setFilter} set for C{network}.
        """
        handle = self.handle | self.bucket(network) << 12 | node
        return _message(
            TrafficRequestType.DELETE_FILTER, self._index, handle, QDISC, self._info, "u32"
        )


def setIngress(index: int) -> bytes:
    """
    Return the request to let filters see the packets that a device receives.
    """
    return _message(TrafficRequestType.NEW_QDISC, index, _CLSACT_HANDLE, _CLSACT, 0, "clsact")


def redirect(index: int, other: int) -> bytes:
    """
    Return the request to send all packets that a device receives through the queues of another
    device first.
    """
    # Action 4 is "redirect" at egress, and the packet isn't handled further here.
    parameters = pack("=IIiiiiI", 0, 0, 4, 0, 0, 1, other)
    action = option(_ACTION_KIND, b"mirred\0") + option(
        _ACTION_OPTIONS, option(_MIRRED_PARAMETERS, parameters)
    )
    options = option(_U32_SELECTOR, _selector(_TERMINAL, bytes(16))) + option(
        _U32_ACTION, option(1, action)
    )
    return _message(TrafficRequestType.NEW_FILTER, index, 0, INGRESS, _EVERYTHING, "u32", options)


def direct(index: int) -> bytes:
    """
    Return the request to undo L{redirect}.
    """
    return _message(TrafficRequestType.DELETE_FILTER, index, 0, INGRESS, _EVERYTHING)


_EVERYTHING = 1 << 16 | socket.htons(_EVERY_PROTOCOL)


def _selector(flags: int, keys: bytes, offset: int = 0, mask: bytes = b"\0\0\0\0") -> bytes:
    """
    Return what a u32 filter compares: keys of 16 octets; or, for a table, the octets that choose
    the bucket.
    """
    return pack("=BBBxHHhh", flags, 0, len(keys) // 16, 0, 0, 0, offset) + mask + keys


def _message(
    kind: TrafficRequestType,
    index: int,
    handle: int,
    parent: int,
    info: int,
    name: str = "",
    options: bytes = b"",
) -> bytes:
    """
    Return a request about a device's qdiscs, classes or filters.
    """
    flags = 0
    if kind in (
        TrafficRequestType.NEW_QDISC,
        TrafficRequestType.NEW_CLASS,
        TrafficRequestType.NEW_FILTER,
    ):
        flags |= CREATE
    if kind == TrafficRequestType.NEW_QDISC:
        flags |= REPLACE
    body = _traffic.pack(0, 0, index, handle, parent, info)
    if name:
        body += option(_KIND, name.encode() + b"\0")
    if options:
        body += option(_OPTIONS, options)
    return request(kind, flags, body)
