"""
The TAP device that bridged callers share, and the Linux bridge that it may join.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

from pyroute2 import IPRoute
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet

from pptpgw.counters import Counters
from pptpgw.error import ConfigurationError
from pptpgw.ports.netlink import NetlinkPort, System
from pptpgw.ports.tun import System as TUNSystem
from pptpgw.ports.tun import TUNPort

_KEY = "[bridge] interface"
# A bridge takes the lowest address of its ports for its own, and must not take one that comes and
# goes: what begins with this is locally administered and above every maker's.
_HIGHEST = b"\xfe"


class _Bridged(NetlinkPort):
    """
    An interface that may become a port of a bridge.
    """

    def join(self, bridge: str) -> None:
        """
        Join the bridge of this name.

        @raise ConfigurationError: there is none, or the kernel won't have it.
        @raise NotPermitted: without CAP_NET_ADMIN.
        """
        self._step(f"joining {bridge} to", partial(self._join, bridge), self._leave)

    def _join(self, bridge: str, system: System) -> None:
        index = next(iter(system.link_lookup(ifname=bridge)), None)
        if index is None:
            raise ConfigurationError(
                f'[bridge] bridge = "{bridge}": there is no such interface; it is made by ip link '
                f"add {bridge} type bridge, and brought up by ip link set {bridge} up"
            )
        answers: Any = system.link("get", index=index)
        if answers[0].get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND") != "bridge":
            raise ConfigurationError(
                f'[bridge] bridge = "{bridge}": that interface is no bridge; a bridge has it for a '
                f"port once ip link set {bridge} master BRIDGE was done: name BRIDGE"
            )
        address = (_HIGHEST + secrets.token_bytes(5)).hex(":")
        system.link("set", index=self._index, address=address)
        system.link("set", index=self._index, master=index)

    def _leave(self, system: System) -> None:
        system.link("set", index=self._index, master=0)


class BridgePort(TUNPort):
    """
    A TAP device, brought up and joined to a bridge.
    """

    def __init__(
        self,
        reactor: IReactorFDSet,
        name: str,
        mtu: int,
        bridge: str,
        counters: Counters,
        system: TUNSystem | None = None,
        netlink: Callable[[], System] = IPRoute,
    ) -> None:
        """
        @param mtu: of the device, in octets: what an Ethernet frame may hold.
        @param bridge: the name of the Linux bridge to join; empty: none.
        @raise ConfigurationError: the name is no name for an interface.
        """
        super().__init__(reactor, name, counters, system=system, ethernet=True, key=_KEY)
        self._mtu = mtu
        self._bridge = bridge
        self._kernel = _Bridged(name, netlink)

    def start(self) -> None:
        """
        Open the device, bring it up, and join the bridge.

        @raise pptpgw.error.PPTPGWError: the text says why it can't be; nothing is left open.
        """
        self.startReading()
        try:
            self._kernel.name = self.name
            self._kernel.configure(self._mtu)
            if self._bridge:
                self._kernel.join(self._bridge)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> Deferred[None]:
        """
        Leave the bridge and close the device; harmless the second time.
        """
        self._kernel.remove()
        return super().stop()
