"""
What the kernel has to know about the TUN device: its address, its MTU, and the routes to it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import Protocol

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from pptpgw.error import ConfigurationError, NotPermitted

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


class NetlinkPort:
    """
    One interface and what we added to it.

    Everything here is done at once: the kernel answers these requests itself, within microseconds.

    @ivar name: the interface.
    """

    def __init__(self, name: str, system: Callable[[], System] = IPRoute) -> None:
        self.name = name
        self._system = system
        self._open: System | None = None
        # What undoes the things done, in the order of doing.
        self._undo: list[Callable[[System], object]] = []

    def configure(self, address: str, mtu: int, networks: Iterable[Network] = ()) -> None:
        """
        Give the interface its address and MTU, bring it up, and lead C{networks} to it.

        Where one step fails, those before it are undone.

        @param address: our own address, dotted; the only one on the interface (a /32).
        @param mtu: in octets.
        @raise NotPermitted: without CAP_NET_ADMIN, or where there is no such interface.
        @raise ConfigurationError: the kernel won't have one of the values: a route that is there
            already, for one.
        """
        self._open = self._system()
        try:
            index = next(iter(self._open.link_lookup(ifname=self.name)), None)
            if index is None:
                raise NotPermitted(f"there is no interface {self.name}")
            self._step(f"MTU {mtu} of", lambda system: system.link("set", index=index, mtu=mtu))
            self._step(
                f"address {address} of",
                lambda system: system.addr("add", index=index, address=address, prefixlen=32),
                lambda system: system.addr("del", index=index, address=address, prefixlen=32),
            )
            self._step("bringing up", lambda system: system.link("set", index=index, state="up"))
            for network in networks:
                self._route(index, str(network))
        except Exception:
            self.remove()
            raise

    def remove(self) -> None:
        """
        Undo what was done; harmless the second time. What is gone already, with the interface
        perhaps, is left at that.
        """
        if self._open is None:
            return
        for undo in reversed(self._undo):
            try:
                undo(self._open)
            except NetlinkError:
                pass
        self._undo.clear()
        self._open.close()
        self._open = None

    def _route(self, index: int, network: str) -> None:
        """
        Lead one network to the interface.
        """
        self._step(
            f"a route for {network} to",
            lambda system: system.route("add", dst=network, oif=index),
            lambda system: system.route("del", dst=network, oif=index),
        )

    def _step(
        self,
        what: str,
        do: Callable[[System], object],
        undo: Callable[[System], object] | None = None,
    ) -> None:
        """
        Do one thing, and remember how to undo it.
        """
        assert self._open is not None
        try:
            do(self._open)
        except NetlinkError as error:
            text = f"{what} interface {self.name}: {errno.errorcode.get(error.code, error.code)}"
            if error.code in (errno.EPERM, errno.EACCES):
                raise NotPermitted(f"{text}; it needs CAP_NET_ADMIN") from error
            raise ConfigurationError(f"the kernel refuses {text}") from error
        if undo is not None:
            self._undo.append(undo)
