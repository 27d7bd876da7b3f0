"""
What the kernel has to know about a device of ours: its addresses, its MTU, and the routes to it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from functools import partial
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import Protocol

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from zope.interface import implementer

from pptpgw.error import ConfigurationError, NotPermitted, PPTPGWError
from pptpgw.interfaces import IKernelInterface
from pptpgw.log import Logger

Network = IPv4Network | IPv6Network


class System(Protocol):
    """
    The part of L{pyroute2.IPRoute} that is used.
    """

    def link_lookup(self, *, ifname: str) -> Iterable[int]:
        """
        The indexes of the interfaces of this name.
        """

    def link(self, command: str, **arguments: object) -> object:
        """
        Change an interface.
        """

    def addr(self, command: str, **arguments: object) -> object:
        """
        Change an address of an interface.
        """

    def route(self, command: str, **arguments: object) -> object:
        """
        Change a route.
        """

    def close(self) -> None:
        """
        Close the socket.
        """


@implementer(IKernelInterface)
class NetlinkPort:
    """
    One interface and what we added to it.

    Everything here is done at once: the kernel answers these requests itself, within microseconds.

    @ivar name: the interface.
    """

    _log = Logger()

    def __init__(self, name: str, system: Callable[[], System] = IPRoute) -> None:
        self.name = name
        self._system = system
        self._open: System | None = None
        self._index = 0
        # What undoes the things done, in the order of doing.
        self._undo: list[Callable[[System], object]] = []
        # The routes, and how many have asked for each; and those that a wider one stands for.
        self._routes: dict[Network, int] = {}
        self._covered: dict[Network, int] = {}

    def configure(self, mtu: int) -> None:
        """
        Give the interface its MTU and bring it up.

        @param mtu: in octets.
        @raise NotPermitted: without CAP_NET_ADMIN, or where there is no such interface.
        @raise ConfigurationError: the kernel won't have it.
        """
        self._open = self._system()
        try:
            index = next(iter(self._open.link_lookup(ifname=self.name)), None)
            if index is None:
                raise NotPermitted(f"there is no interface {self.name}")
            self._index = index
            self._step(f"MTU {mtu} of", lambda system: system.link("set", index=index, mtu=mtu))
            self._step("bringing up", lambda system: system.link("set", index=index, state="up"))
        except Exception:
            self.remove()
            raise

    def addAddress(self, address: IPv4Interface | IPv6Interface) -> None:
        """
        See L{IKernelInterface.addAddress}.
        """
        arguments = {
            "index": self._index,
            "address": str(address.ip),
            "prefixlen": address.network.prefixlen,
        }
        self._step(
            f"address {address} of",
            lambda system: system.addr("add", **arguments),
            lambda system: system.addr("del", **arguments),
        )

    def remove(self) -> None:
        """
        Undo what was done; harmless the second time. What is gone already, with the interface
        perhaps, is left at that.
        """
        if self._open is None:
            return
        for network in self._routes:
            self._undo.append(partial(self._route, "del", network))
        self._routes.clear()
        self._covered.clear()
        for undo in reversed(self._undo):
            try:
                undo(self._open)
            except NetlinkError:
                pass
        self._undo.clear()
        self._open.close()
        self._open = None

    def addRoute(self, network: Network) -> None:
        """
        See L{IKernelInterface.addRoute}.
        """
        if self._open is None:
            return
        if network in self._routes:
            self._routes[network] += 1
        elif network in self._covered or self._isCovered(network):
            self._covered[network] = self._covered.get(network, 0) + 1
        else:
            self._step(f"a route for {network} to", partial(self._route, "add", network))
            self._routes[network] = 1

    def removeRoute(self, network: Network) -> None:
        """
        See L{IKernelInterface.removeRoute}.
        """
        if self._open is None:
            return
        if network in self._covered:
            self._covered[network] -= 1
            if self._covered[network] == 0:
                del self._covered[network]
        elif network in self._routes:
            self._routes[network] -= 1
            if self._routes[network] == 0:
                del self._routes[network]
                self._uncover()
                try:
                    self._route("del", network, self._open)
                except NetlinkError:
                    pass

    def _uncover(self) -> None:
        """
        Add the routes that no wider one stands for any more.
        """
        for network, count in sorted(self._covered.items(), key=lambda item: item[0].prefixlen):
            if self._isCovered(network):
                continue
            del self._covered[network]
            try:
                self._step(f"a route for {network} to", partial(self._route, "add", network))
            except PPTPGWError as error:
                self._log.error("{error}", error=str(error))
            else:
                self._routes[network] = count

    def _isCovered(self, network: Network) -> bool:
        """
        Whether a wider network leads here already.
        """
        return any(
            network.version == wide.version
            and network.prefixlen > wide.prefixlen
            and network.network_address in wide
            for wide in self._routes
        )

    def _route(self, command: str, network: Network, system: System) -> None:
        """
        Change a route to the interface.
        """
        system.route(command, dst=str(network), oif=self._index)

    def _step(
        self,
        what: str,
        do: Callable[[System], object],
        undo: Callable[[System], object] | None = None,
    ) -> None:
        """
        Do one thing, and remember how to undo it.
        """
        if self._open is None:
            raise NotPermitted(f"interface {self.name} isn't open")
        try:
            do(self._open)
        except NetlinkError as error:
            text = f"{what} interface {self.name}: {errno.errorcode.get(error.code, error.code)}"
            if error.code in (errno.EPERM, errno.EACCES):
                raise NotPermitted(f"{text}; it needs CAP_NET_ADMIN") from error
            if error.code == errno.EEXIST:
                raise ConfigurationError(
                    f"{what} interface {self.name}: there is one already, which isn't ours: a "
                    "pool, or a user's own address, belongs to another network of this machine"
                ) from error
            raise ConfigurationError(f"the kernel refuses {text}") from error
        if undo is not None:
            self._undo.append(undo)
