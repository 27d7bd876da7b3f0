"""
Rate limits: the traffic control classes of sessions, on a device that they share, with filters, or
on a device of each session's own.

The number of a class or a filter is used again only after the kernel has removed the old one, and
the number that has been free longest is used first.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Iterable, Sequence

from pptpgw.ports import trafficcontrol
from pptpgw.ports.rtnetlink import Kernel, Network
from pptpgw.ports.trafficcontrol import FilterTable

# The number of the only class of a session's own device.
_ONLY = 1


class NotShaped(Exception):
    """
    The kernel refuses a rate limit; the text says what is wrong.
    """


class Numbers:
    """
    Numbers from 1 to a limit. New ones are given first, then the one that has been free longest.
    """

    __slots__ = ("_freed", "_last", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._last = 0
        self._freed: deque[int] = deque()

    def take(self) -> int:
        """
        Return a number that is free.

        @raise NotShaped: all numbers are in use.
        """
        if self._freed:
            return self._freed.popleft()
        if self._last == self._limit:
            raise NotShaped(f"there is room for {self._limit} only")
        self._last += 1
        return self._last

    def release(self, number: int) -> None:
        """
        Make C{number} free again.
        """
        self._freed.append(number)


class _Class:
    """
    The class of one session on the device.

    @ivar number: the number of the class.
    @ivar rate: its limit, in bits a second; 0 before it is set.
    @ivar filters: the number of the filter for each network.
    """

    __slots__ = ("filters", "number", "rate")

    def __init__(self, number: int) -> None:
        self.number = number
        self.rate = 0
        self.filters: dict[Network, int] = {}


class Classes:
    """
    What all limits have in common: classes with their queues.

    @ivar kernel: the socket for requests to the kernel.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._fair = True

    def _setClass(self, index: int, number: int, rate: int) -> None:
        """
        Make or change a class and its queue.

        @param index: the index of the device.
        @param number: the number of the class.
        @raise NotShaped: the kernel refuses.
        """
        results = self.kernel.ask(
            [
                trafficcontrol.setClass(index, number, rate),
                trafficcontrol.setQueue(index, number, rate, self._fair),
            ]
        )
        if self._fair and results == [0, errno.ENOENT]:
            self._fair = False
            results[1:] = self.kernel.ask([trafficcontrol.setQueue(index, number, rate, False)])
        judge(results)

    def _do(self, *requests: bytes) -> None:
        judge(self.kernel.ask(requests))


class OwnLimits(Classes):
    """
    The limits of sessions that have a device each, by which nothing else is sent.
    """

    def __init__(self, kernel: Kernel, index: int) -> None:
        """
        @param index: the index of one of the devices, on which HTB is tried.
        @raise NotShaped: the kernel has no HTB.
        """
        super().__init__(kernel)
        self._do(trafficcontrol.setRoot(index))
        kernel.ask([trafficcontrol.removeRoot(index)])
        # The index of the device, and its rate in bits a second, of each session.
        self._rates: dict[int, tuple[int, int]] = {}

    def __contains__(self, key: int) -> bool:
        return key in self._rates

    def set(self, key: int, rate: int, index: int) -> None:
        """
        Limit the packets that are sent by a device to C{rate} bits a second.

        @param key: the number of the session; an earlier limit of the same session is replaced.
        @param index: the index of the device.
        @raise NotShaped: the kernel refuses; part of the change may have been made.
        """
        if self._rates.get(key) == (index, rate):
            return
        if key not in self:
            self._do(trafficcontrol.setRoot(index, _ONLY))
        self._rates[key] = index, rate
        self._setClass(index, _ONLY, rate)

    def remove(self, key: int) -> None:
        """
        Remove the limit of the session C{key}, if it has one. The device may be gone already.
        """
        index, _ = self._rates.pop(key, (0, 0))
        if index:
            self.kernel.ask([trafficcontrol.removeRoot(index)])


class RateLimits(Classes):
    """
    The rate limits in one direction: the classes on one device.
    """

    def __init__(self, kernel: Kernel, index: int, source: bool) -> None:
        """
        @param index: the index of the device.
        @param source: whether packets are assigned to sessions by their source address, and not by
            their destination.
        @raise NotShaped: the kernel has no HTB.
        """
        super().__init__(kernel)
        self._index = index
        self._source = source
        self._classes: dict[int, _Class] = {}
        self._numbers = Numbers(trafficcontrol.CLASSES)
        self._tables: dict[tuple[int, int], FilterTable] = {}
        self._nodes: dict[tuple[int, int], Numbers] = {}
        self._do(trafficcontrol.setRoot(index))

    def __len__(self) -> int:
        return len(self._classes)

    def __contains__(self, key: int) -> bool:
        return key in self._classes

    def set(self, key: int, rate: int, networks: Iterable[Network]) -> None:
        """
        Limit the packets of C{networks} to C{rate} bits a second, all together.

        @param key: the number of the session; an earlier limit of the same session is replaced.
        @raise NotShaped: the kernel refuses; part of the change may have been made.
        """
        one = self._classes.get(key)
        if one is None:
            one = self._classes[key] = _Class(self._numbers.take())
        if one.rate != rate:
            one.rate = rate
            self._setClass(self._index, one.number, rate)
        wanted = frozenset(networks)
        self._removeFilters(one, [network for network in one.filters if network not in wanted])
        requests = []
        for network in wanted.difference(one.filters):
            table = self._table(network)
            one.filters[network] = node = self._bucket(table, network).take()
            requests.append(table.setFilter(network, node, one.number))
        self._do(*requests)

    def remove(self, key: int) -> None:
        """
        Remove the limit of the session C{key}, if it has one.
        """
        one = self._classes.pop(key, None)
        if one is None:
            return
        self._removeFilters(one, list(one.filters))
        (result,) = self.kernel.ask([trafficcontrol.removeClass(self._index, one.number)])
        if result in (0, errno.ENOENT):
            self._numbers.release(one.number)

    def _table(self, network: Network) -> FilterTable:
        key = network.version, network.prefixlen
        if key not in self._tables:
            table = FilterTable(self._index, network, self._source)
            self._do(*table.requests())
            self._tables[key] = table
        return self._tables[key]

    def _bucket(self, table: FilterTable, network: Network) -> Numbers:
        key = table.handle, table.bucket(network)
        if key not in self._nodes:
            self._nodes[key] = Numbers(trafficcontrol.NODES)
        return self._nodes[key]

    def _removeFilters(self, one: _Class, networks: Sequence[Network]) -> None:
        tables = [self._table(network) for network in networks]
        nodes = [one.filters.pop(network) for network in networks]
        requests = [
            table.removeFilter(network, node)
            for table, network, node in zip(tables, networks, nodes, strict=True)
        ]
        results = self.kernel.ask(requests)
        for table, network, node, result in zip(tables, networks, nodes, results, strict=True):
            if result in (0, errno.ENOENT):
                self._bucket(table, network).release(node)


def judge(results: Iterable[int]) -> None:
    """
    Raise an exception if the kernel refused a request.

    @param results: what L{Kernel.ask} returned.
    @raise NotShaped: one of C{results} is an error.
    """
    for result in results:
        if result:
            raise NotShaped(os.strerror(result))
