"""
The data path of calls whose packets the kernel carries, each by a device of its own.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from pptpgw.counting.counters import Counters
from pptpgw.datapath.kernel.channel import KernelChannel
from pptpgw.datapath.kernel.figures import Counted, Figures
from pptpgw.datapath.kernel.local import LocalPackets
from pptpgw.datapath.kernel.removal import Removal
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import Attachment, ICall, IChannel, IChannelOwner, IDataPath, IKernelCall
from pptpgw.log import Logger
from pptpgw.ports import rtnetlink
from pptpgw.ports.ppp import (
    PPPChannel,
    PPPSystem,
    PPPUnit,
    RealPPPSystem,
    ReceiveFrame,
    UnitNumbers,
)
from pptpgw.ports.rtnetlink import Kernel, RequestSocket
from pptpgw.ports.sysctl import enableIPv6
from pptpgw.timing.slices import Burst

GROUP = 0x70707470
"""
The kernel's group of network devices that those of calls are in (C{ip link show group}), by which
rules for packets name all of them.
"""

FILES = 4
"""
The files that each call needs: its transport, or two of them where a tunnel has one of its own, and
the kernel's channel and unit.
"""

# What the kernel answers if a route or an address, or its device, isn't there any more.
_GONE = errno.ESRCH, errno.ENODEV, errno.EADDRNOTAVAIL


@implementer(IDataPath)
class KernelDataPath:
    """
    See L{IDataPath}.

    @ivar clock: the reactor.
    @ivar mru: the largest packet that peers of calls to come may send, in octets.
    """

    interface = None
    path = "kernel"

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        mru: int,
        connect: Callable[[], Kernel] = RequestSocket,
        system: PPPSystem | None = None,
        figures: Figures | None = None,
        local: LocalPackets | None = None,
    ) -> None:
        """
        @param mru: see L{mru}.
        @param connect: opens a socket for requests to the kernel.
        @param local: receives the packets for the routers of links; None for the real ones.
        """
        self.counters = Counters()
        self.clock = reactor
        self.mru = mru
        self._connect = connect
        self._system: PPPSystem = system or RealPPPSystem()
        self._kernel: Kernel | None = None
        self._numbers = UnitNumbers()
        self._figures = figures or Figures(reactor)
        self._local = local or LocalPackets(reactor)
        self._removal: Removal | None = None
        self._changes = Burst(reactor)

    def start(self) -> None:
        """
        See L{IDataPath.start}.
        """
        self._kernel = self._connect()
        self._removal = Removal(self._connect())

    def stop(self) -> Deferred[None] | None:
        """
        See L{IDataPath.stop}.

        @return: fires when the devices of all calls are removed.
        """
        self._figures.stop()
        kernel, self._kernel = self._kernel, None
        if kernel is not None:
            kernel.close()
        return None if self._removal is None else self._removal.stop(self.clock)

    def openChannel(self, call: ICall, owner: IChannelOwner, number: int = 0) -> IChannel:
        """
        See L{IDataPath.openChannel}.

        @raise ConfigurationError: the kernel can't carry the frames of this tunnel.
        """
        if not IKernelCall.providedBy(call):
            raise ConfigurationError(f"the kernel carries no calls of {call.tunnel.name}")
        return KernelChannel(self, IKernelCall(call), owner, number)

    # For channels

    def openPPP(self, index: int, receive: ReceiveFrame) -> PPPChannel:
        """
        See L{pptpgw.datapath.kernel.host.Host.openPPP}.
        """
        return PPPChannel(self.clock, index, receive, self._system)

    def openUnit(self, number: int, counted: Counted, receive: ReceiveFrame) -> PPPUnit:
        """
        See L{pptpgw.datapath.kernel.host.Host.openUnit}.
        """
        unit = PPPUnit(self.clock, self._numbers, number, self.mru, receive, self._system)
        self._figures.add(unit.index, counted)
        return unit

    def count(self, unit: PPPUnit) -> None:
        """
        See L{pptpgw.datapath.kernel.host.Host.count}.
        """
        self._figures.read(unit.index)

    def networkOpened(
        self, unit: PPPUnit, attachment: Attachment, mtu: int, before: Attachment | None
    ) -> None:
        """
        See L{pptpgw.datapath.kernel.host.Host.networkOpened}.
        """
        index, name = unit.index, unit.name
        former = () if before is None else before.addresses
        requests = [rtnetlink.setLink(index, mtu=mtu, up=True, bare=True, group=GROUP)]
        if attachment.localAddress is not None:
            if attachment.localAddress.version == 6:
                self._try(lambda: enableIPv6(name), name)
            requests.append(rtnetlink.addAddress(index, _onLink(attachment.localAddress)))
        earlier = () if before is None else before.own
        requests += [
            rtnetlink.addAddress(index, IPv6Interface(one))
            for one in attachment.own
            if one not in earlier
        ]
        # The whole pool is routed to the process, possibly by the same networks.
        requests += [
            rtnetlink.addRoute(index, one, first=True)
            for one in attachment.addresses
            if one not in former
        ]
        self._ask(name, requests, errno.EEXIST)
        gone = [one for one in former if one not in attachment.addresses]
        removals = [rtnetlink.removeRoute(index, one) for one in gone]
        removals += [
            rtnetlink.removeAddress(index, IPv6Interface(one))
            for one in earlier
            if one not in attachment.own
        ]
        self._ask(name, removals, *_GONE)
        local = attachment.local
        if local is not None:
            self._try(lambda: self._local.add(index, local), name)

    def inTurn(self, change: Callable[[], object]) -> None:
        """
        See L{pptpgw.datapath.kernel.host.Host.inTurn}.
        """
        self._changes.do(change)

    def setMTU(self, unit: PPPUnit, mtu: int) -> None:
        """
        See L{pptpgw.datapath.kernel.host.Host.setMTU}.
        """
        self._ask(unit.name, [rtnetlink.setLink(unit.index, mtu=mtu)])

    def networkClosed(self, unit: PPPUnit, attachment: Attachment) -> None:
        """
        See L{pptpgw.datapath.kernel.host.Host.networkClosed}.
        """
        index = unit.index
        requests = [rtnetlink.removeRoute(index, one) for one in attachment.addresses]
        if attachment.localAddress is not None:
            requests.append(rtnetlink.removeAddress(index, _onLink(attachment.localAddress)))
        requests += [rtnetlink.removeAddress(index, IPv6Interface(one)) for one in attachment.own]
        if attachment.local is not None:
            self._local.remove(index)
        self._ask(unit.name, requests, *_GONE)

    def channelClosed(self, unit: PPPUnit | None, close: Sequence[Callable[[], None]]) -> None:
        """
        See L{pptpgw.datapath.kernel.host.Host.channelClosed}.
        """
        index = 0 if unit is None else unit.index
        if index:
            self._figures.remove(index)
        if self._removal is not None:
            self._removal.put(index, close)

    def _ask(self, interface: str, requests: Sequence[bytes], *harmless: int) -> None:
        """
        Make requests to the kernel, and log those that it refuses: the session goes on, although
        some of its packets may not arrive.
        """
        if self._kernel is None:
            return
        for code in self._kernel.ask(requests):
            if code and code not in harmless:
                self._refused(interface, os.strerror(code))

    def _try(self, change: Callable[[], object], interface: str) -> None:
        """
        Make a change, and log that the kernel refuses it, as L{_ask} does.
        """
        try:
            change()
        except OSError as error:
            self._refused(interface, str(error))

    def _refused(self, interface: str, why: str) -> None:
        self._log.error(
            "the kernel refuses a change of {interface}: {why}", interface=interface, why=why
        )


def _onLink(address: IPv4Address | IPv6Address) -> IPv4Interface | IPv6Interface:
    """
    Return an address of IPv4, or a link-local one with the prefix of all of them.
    """
    return IPv6Interface((address, 64)) if address.version == 6 else IPv4Interface(address)
