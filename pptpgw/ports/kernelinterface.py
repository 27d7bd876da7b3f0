"""
The addresses, the MTU and the routes of a device of the gateway, in the kernel.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from pptpgw.error import ConfigurationError, NotPermitted, PPTPGWError
from pptpgw.interfaces import IKernelInterface
from pptpgw.log import Logger
from pptpgw.ports import rtnetlink
from pptpgw.ports.rtnetlink import Interface, Kernel, NetlinkMessageType, Network, RequestSocket
from pptpgw.timing.slices import Burst, inSlices

# The number of routes that are handled in one slice of long work.
_STEP = 64
# Errors if the device is gone or down. The request is then done when the device is restored.
_ABSENT = (errno.ENODEV, errno.ENETDOWN)


@implementer(IKernelInterface)
class KernelInterface:
    """
    An interface, with the addresses and routes that the gateway adds to it.

    Requests block, since the kernel answers within microseconds. Many requests are made in slices.

    @ivar name: the name of the interface.
    @ivar queue: how many packets may wait in it; 0 for as many as the kernel chooses.
    """

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, name: str, connect: Callable[[], Kernel] = RequestSocket
    ) -> None:
        self.name = name
        self.queue = 0
        self._clock = clock
        self._removals = Burst(clock)
        self._connect = connect
        self._kernel: Kernel | None = None
        self._index = 0
        self._mtu = 0
        # The number of requests for each address; with the address of the other end of the link, if
        # there is one.
        self._addresses: dict[tuple[Interface, IPv4Address | None], int] = {}
        # The number of requests for a route, for each network.
        self._wanted: dict[Network, int] = {}
        # The networks whose routes serve no others, with the source of what is sent there, if they
        # have one.
        self._sources: dict[Network, IPv4Address | None] = {}
        # The networks that have a route of their own. Each has the networks within it that need no
        # route because of it; and each of these has the network whose route it uses.
        self._routes: dict[Network, dict[Network, None]] = {}
        self._covers: dict[Network, Network] = {}
        # The networks that have a route and are wanted: by IP version and prefix length, then by
        # the prefix as a number.
        self._leading: dict[tuple[int, int], dict[int, Network]] = {}

    def configure(self, mtu: int) -> None:
        """
        Give the interface its MTU and bring it up.

        @param mtu: the MTU in octets.
        @raise NotPermitted: the process lacks CAP_NET_ADMIN, or there is no such interface.
        @raise ConfigurationError: the kernel refuses.
        """
        self._kernel = self._connect()
        self._mtu = mtu
        try:
            self._bringUp()
        except BaseException:
            self.remove()
            raise

    def setMTU(self, mtu: int) -> None:
        """
        Give the interface another MTU, if it is configured.

        @param mtu: the MTU in octets.
        @raise pptpgw.error.PPTPGWError: the kernel refuses; the text says why.
        """
        self._mtu = mtu
        if self._kernel is not None:
            self._ask(f"MTU {mtu} of", rtnetlink.setLink(self._index, mtu=mtu))

    def addAddress(
        self, address: IPv4Interface | IPv6Interface, peer: IPv4Address | None = None
    ) -> None:
        """
        See L{IKernelInterface.addAddress}.

        @param peer: the address of the only other host that the interface leads to, to which the
            kernel makes a route; None if the interface is not such a link of two.
        """
        key = address, peer
        requests = self._addresses.get(key, 0)
        if not requests:
            self._ask(f"address {address} of", rtnetlink.addAddress(self._index, address, peer))
        self._addresses[key] = requests + 1

    def removeAddress(self, address: IPv4Interface | IPv6Interface) -> None:
        """
        See L{IKernelInterface.removeAddress}.
        """
        key = address, None
        requests = self._addresses.pop(key, 0)
        if requests > 1:
            self._addresses[key] = requests - 1
        elif requests and self._kernel is not None:
            self._kernel.ask([rtnetlink.removeAddress(self._index, address)])

    def remove(self) -> None:
        """
        Remove the addresses and routes, if the interface still has them. Calling this again does
        nothing.
        """
        kernel, self._kernel = self._kernel, None
        if kernel is None:
            return
        index = self._index
        requests = [rtnetlink.removeRoute(index, network) for network in reversed(self._routes)]
        requests += [rtnetlink.removeAddress(index, *one) for one in reversed(self._addresses)]
        kernel.ask(requests)
        kernel.close()
        self._addresses.clear()
        for kept in (self._wanted, self._sources, self._routes, self._covers, self._leading):
            kept.clear()

    def addRoute(
        self, network: IPv4Network | IPv6Network, source: IPv4Address | None = None
    ) -> None:
        """
        See L{IKernelInterface.addRoute}.
        """
        if self._kernel is None:
            return
        requests = self._wanted.get(network, 0)
        if not requests:
            if source is not None or not network.prefixlen:
                # A default route stands for no other one: the table of the kernel may have narrower
                # ones that lead elsewhere.
                self._leadFrom(network, source)
            elif network in self._routes:
                # The route was about to be removed.
                self._keep(network)
            else:
                self._lead(network)
        self._wanted[network] = requests + 1

    def removeRoute(self, network: IPv4Network | IPv6Network) -> None:
        """
        See L{IKernelInterface.removeRoute}.
        """
        requests = self._wanted.get(network, 0)
        if self._kernel is None or not requests:
            return
        if requests > 1:
            self._wanted[network] = requests - 1
            return
        del self._wanted[network]
        if network in self._sources:
            del self._sources[network]
            # At once, before the source may go.
            self._drop(network)
            return
        wide = self._covers.pop(network, None)
        if wide is not None:
            del self._routes[wide][network]
            return
        length, prefix = _place(network)
        same = self._leading[length]
        del same[prefix]
        if not same:
            del self._leading[length]
        # The networks within this one get routes of their own first, wider ones before narrower
        # ones.
        for one in sorted(self._routes[network], key=lambda one: one.prefixlen):
            self._removals.do(self._leadApart, network, one)
        self._removals.do(self._drop, network)

    def restore(self) -> None:
        """
        Bring the interface up and add its addresses again, if anything is missing. It may be a new
        interface of the same name.

        @raise NotPermitted: as L{configure} does.
        @raise ConfigurationError: as L{configure} does.
        """
        self._bringUp()
        for address, peer in self._addresses:
            request = rtnetlink.addAddress(self._index, address, peer)
            self._ask(f"address {address} of", request, errno.EEXIST)

    def restoreRoutes(self) -> Deferred[None]:
        """
        Add every route again.

        @return: fires when the last one has been added; fails with L{PPTPGWError}.
        """
        return inSlices(self._clock, self._leadAgain())

    def isTaken(self, kind: int, sender: int, body: bytes) -> str:
        """
        Return what another program has taken from the interface, in words; an empty text if it is
        nothing. The parameters are those of L{pptpgw.ports.watch.Announced}.
        """
        if self._kernel is None or sender == self._kernel.port:
            return ""
        if kind == NetlinkMessageType.DELETE_ROUTE:
            index, prefix, length = rtnetlink.readRoute(body)
            if index == self._index:
                family = IPv4Network if len(prefix) == 4 else IPv6Network
                network = family((prefix, length))
                if network in self._routes:
                    return f"the route for {network} was removed"
        elif kind == NetlinkMessageType.DELETE_ADDRESS:
            index, packed = rtnetlink.readAddress(body)
            for address, _ in self._addresses:
                if index == self._index and address.ip.packed == packed:
                    return f"the address {address} was removed"
        elif kind in (NetlinkMessageType.NEW_LINK, NetlinkMessageType.DELETE_LINK) and body[0] == 0:
            link = rtnetlink.readLink(body)
            if link.index == self._index:
                if kind == NetlinkMessageType.DELETE_LINK:
                    return "the device was deleted"
                return self._isChanged(link)
        return ""

    def _isChanged(self, link: rtnetlink.KernelLink) -> str:
        return "" if link.up else "the device was brought down"

    def _bringUp(self) -> None:
        assert self._kernel is not None
        link = self._kernel.link(self.name)
        if link is None:
            raise NotPermitted(f"there is no interface {self.name}")
        self._index = link.index
        self._ask(f"MTU {self._mtu} of", rtnetlink.setLink(self._index, mtu=self._mtu))
        if self.queue:
            self._ask("the queue of", rtnetlink.setQueue(self._index, self.queue))
        self._ask("bringing up", rtnetlink.setLink(self._index, up=True))

    def _lead(self, network: Network) -> None:
        """
        Lead C{network} to the interface, by a wider route that exists or by a route of its own.
        """
        wide = self._around(network)
        if wide is not None:
            self._covers[network] = wide
            self._routes[wide][network] = None
            return
        request = rtnetlink.addRoute(self._index, network)
        self._ask(f"a route for {network} to", request, *_ABSENT)
        self._routes[network] = {}
        self._keep(network)

    def _leadFrom(self, network: Network, source: IPv4Address | None) -> None:
        """
        Lead C{network} to the interface by a route of its own, which serves no other network.
        """
        if network in self._routes:
            self._drop(network)
        request = rtnetlink.addRoute(self._index, network, source=source)
        self._ask(f"a route for {network} to", request, *_ABSENT)
        self._routes[network] = {}
        self._sources[network] = source

    def _keep(self, network: Network) -> None:
        """
        Let the route of C{network} serve the networks within it too.
        """
        length, prefix = _place(network)
        self._leading.setdefault(length, {})[prefix] = network

    def _around(self, network: Network) -> Network | None:
        """
        Return a network around C{network} that has a route and keeps it; None if there is none.
        """
        (version, own), prefix = _place(network)
        for (other, length), wide in self._leading.items():
            if other == version and length < own:
                found = wide.get(prefix >> own - length)
                if found is not None:
                    return found
        return None

    def _leadApart(self, network: Network, one: Network) -> None:
        """
        Lead C{one} by another route than that of C{network}, which is about to be removed.
        """
        within = self._routes.get(network, {})
        if self._kernel is None or network in self._wanted or one not in within:
            return
        del within[one], self._covers[one]
        try:
            self._lead(one)
        except PPTPGWError as error:
            self._log.error("{error}", error=str(error))
            del self._wanted[one]

    def _drop(self, network: Network) -> None:
        """
        Remove the route of C{network}, unless it is wanted again.
        """
        if self._kernel is not None and network not in self._wanted:
            self._routes.pop(network, None)
            self._kernel.ask([rtnetlink.removeRoute(self._index, network)])

    def _leadAgain(self) -> Iterator[None]:
        """
        Add every route that is wanted.
        """
        networks = list(self._routes)
        for place in range(0, len(networks), _STEP):
            if self._kernel is None:
                return
            step = [one for one in networks[place : place + _STEP] if one in self._routes]
            requests = [
                rtnetlink.addRoute(self._index, network, source=self._sources.get(network))
                for network in step
            ]
            for network, code in zip(step, self._kernel.ask(requests), strict=True):
                if code not in (0, errno.EEXIST):
                    raise self._error(f"a route for {network} to", code)
            yield

    def _ask(self, what: str, request: bytes, *harmless: int) -> None:
        """
        Make one request to the kernel.

        @param what: words for the request, for errors.
        @param harmless: error numbers to ignore.
        @raise PPTPGWError: the kernel refuses; see L{_error}.
        """
        if self._kernel is None:
            raise NotPermitted(f"interface {self.name} isn't open")
        (code,) = self._kernel.ask([request])
        if code and code not in harmless:
            raise self._error(what, code)

    def _error(self, what: str, code: int) -> PPTPGWError:
        """
        Return the exception for a request that the kernel refused with the error number C{code}.
        """
        text = f"{what} interface {self.name}"
        if code in (errno.EPERM, errno.EACCES):
            return NotPermitted(f"{text}: {errno.errorcode[code]}; it needs CAP_NET_ADMIN")
        if code == errno.EEXIST:
            return ConfigurationError(
                f"{text}: the machine has such a route already; don't give callers addresses (a "
                "pool, a user's own) that belong to another network of this machine"
            )
        return ConfigurationError(f"the kernel refuses {text}: {os.strerror(code)}")


def _place(network: Network) -> tuple[tuple[int, int], int]:
    """
    Return IP version and prefix length, and the prefix as a number.
    """
    free = network.max_prefixlen - network.prefixlen
    return (network.version, network.prefixlen), int(network.network_address) >> free
