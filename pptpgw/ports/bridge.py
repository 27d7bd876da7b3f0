"""
The TAP device that bridged callers share, and the Linux bridge that it may join.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.defer import Deferred

from pptpgw.counters import Counters
from pptpgw.error import ConfigurationError
from pptpgw.ports import rtnetlink
from pptpgw.ports.netlink import NetlinkPort
from pptpgw.ports.rtnetlink import Kernel, Link, RequestSocket
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

    _bridge = 0

    def join(self, bridge: str) -> None:
        """
        Join the bridge of this name.

        @raise ConfigurationError: there is none, or the kernel won't have it.
        @raise NotPermitted: without CAP_NET_ADMIN.
        """
        assert self._kernel is not None
        found = _find(self._kernel, bridge)
        address = _HIGHEST + secrets.token_bytes(5)
        what = f"joining {bridge} to"
        self._ask(what, rtnetlink.setLink(self._index, address=address))
        self._ask(what, rtnetlink.setLink(self._index, master=found.index))
        self._bridge = found.index

    def remove(self) -> None:
        """
        Leave the bridge; see L{NetlinkPort.remove}.
        """
        if self._kernel is not None and self._bridge:
            self._kernel.ask([rtnetlink.setLink(self._index, master=0)])
            self._bridge = 0
        super().remove()


def _find(kernel: Kernel, bridge: str) -> Link:
    """
    The bridge of this name.

    @raise ConfigurationError: there is none.
    """
    found = kernel.link(bridge)
    if found is None:
        raise ConfigurationError(
            f'[bridge] bridge = "{bridge}": there is no such interface; it is made by ip link '
            f"add {bridge} type bridge, and brought up by ip link set {bridge} up"
        )
    if found.kind != "bridge":
        raise ConfigurationError(
            f'[bridge] bridge = "{bridge}": that interface is no bridge; a bridge has it for a '
            f"port once ip link set {bridge} master BRIDGE was done: name BRIDGE"
        )
    return found


class BridgePort(TUNPort):
    """
    A TAP device, brought up and joined to a bridge.
    """

    def __init__(
        self,
        reactor: Any,
        name: str,
        mtu: int,
        bridge: str,
        counters: Counters,
        system: TUNSystem | None = None,
        netlink: Callable[[], Kernel] = RequestSocket,
    ) -> None:
        """
        @param mtu: of the device, in octets: what an Ethernet frame may hold.
        @param bridge: the name of the Linux bridge to join; empty: none.
        @raise ConfigurationError: the name is no name for an interface.
        """
        super().__init__(reactor, name, counters, system=system, ethernet=True, key=_KEY)
        self._mtu = mtu
        self._bridge = bridge
        self._netlink = netlink
        self._kernel = _Bridged(reactor, name, netlink)

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

    def lacking(self) -> Iterator[str]:
        """
        See L{pptpgw.interfaces.IPreparable.lacking}.
        """
        if self._bridge:
            kernel = self._netlink()
            try:
                _find(kernel, self._bridge)
            except ConfigurationError as error:
                yield str(error)
            finally:
                kernel.close()

    def stop(self) -> Deferred[None]:
        """
        Leave the bridge and close the device; harmless the second time.
        """
        self._kernel.remove()
        return super().stop()
