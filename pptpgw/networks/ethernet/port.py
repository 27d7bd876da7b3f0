"""
The TAP device that bridged callers share, and the Linux bridge that it may join.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from pptpgw.counting.counters import Counters
from pptpgw.error import ConfigurationError
from pptpgw.ports import rtnetlink
from pptpgw.ports.device import Device
from pptpgw.ports.devicesystem import DeviceSystem
from pptpgw.ports.kernelinterface import KernelInterface
from pptpgw.ports.rtnetlink import Kernel, KernelLink, RequestSocket

_KEY = "[bridge] interface"
# A bridge takes the lowest address of its ports as its own address, and would change it whenever a
# port with the lowest one comes or goes. Addresses that begin with this octet are locally
# administered and higher than those of every maker.
_HIGHEST = b"\xfe"


class _Bridged(KernelInterface):
    """
    An interface that may become a port of a bridge.
    """

    _bridge = 0

    def join(self, bridge: str, address: bytes) -> None:
        """
        Join a bridge. Calling this again does nothing.

        @param bridge: the name of the bridge.
        @param address: the Ethernet address to give the interface.
        @raise ConfigurationError: there is no such bridge, or the kernel refuses.
        @raise NotPermitted: the process lacks CAP_NET_ADMIN.
        """
        assert self._kernel is not None
        found = _find(self._kernel, bridge)
        what = f"joining {bridge} to"
        self._ask(what, rtnetlink.setLink(self._index, address=address))
        self._ask(what, rtnetlink.setLink(self._index, master=found.index))
        self._bridge = found.index

    def remove(self) -> None:
        """
        Leave the bridge; see L{KernelInterface.remove}.
        """
        if self._kernel is not None and self._bridge:
            self._kernel.ask([rtnetlink.setLink(self._index, master=0)])
            self._bridge = 0
        super().remove()

    def _isChanged(self, link: KernelLink) -> str:
        """
        See L{KernelInterface.isTaken}.
        """
        if link.master != self._bridge:
            return "the device was taken out of its bridge"
        return super()._isChanged(link)


def _find(kernel: Kernel, bridge: str) -> KernelLink:
    """
    Return the bridge called C{bridge}.

    @raise ConfigurationError: there is no device of this name, or it isn't a bridge.
    """
    found = kernel.link(bridge)
    if found is None:
        raise ConfigurationError(
            f'[bridge] bridge = "{bridge}": there is no such interface; ip link add {bridge} '
            f"type bridge makes it, and ip link set {bridge} up brings it up"
        )
    if found.kind != "bridge":
        raise ConfigurationError(
            f'[bridge] bridge = "{bridge}": that interface is no bridge; make it a port of one '
            f"with ip link set {bridge} master BRIDGE, and name BRIDGE here"
        )
    return found


class BridgePort(Device):
    """
    A TAP device that joins a bridge when it is brought up.
    """

    kernel: _Bridged

    def __init__(
        self,
        reactor: Any,
        name: str,
        mtu: int,
        bridge: str,
        counters: Counters,
        system: DeviceSystem | None = None,
        netlink: Callable[[], Kernel] = RequestSocket,
    ) -> None:
        """
        @param mtu: the device's MTU in octets, which is the largest payload of a frame.
        @param bridge: the name of the Linux bridge to join; empty for none.
        @raise ConfigurationError: C{name} can't be the name of an interface.
        """
        kernel = _Bridged(reactor, name, netlink)
        super().__init__(
            reactor, name, mtu, counters, system, ethernet=True, key=_KEY, kernel=kernel
        )
        self._bridge = bridge
        self._netlink = netlink
        self._address = _HIGHEST + secrets.token_bytes(5)

    def prepare(self) -> None:
        """
        Join the bridge, if one is configured. See L{Device.prepare}.
        """
        if self._bridge:
            self.kernel.join(self._bridge, self._address)

    def lacking(self) -> Iterator[str]:
        """
        See L{pptpgw.interfaces.IPreparable.lacking}.
        """
        if not self._bridge:
            return
        try:
            with closing(self._netlink()) as kernel:
                _find(kernel, self._bridge)
        except ConfigurationError as error:
            yield str(error)
        except OSError as error:
            yield f'[bridge] bridge = "{self._bridge}": the kernel says {error.strerror}'
