"""
The data path in Python: every packet passes through this process, by one TUN device and a table of
routes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from pptpgw.counting.bucket import Bucket
from pptpgw.counting.counters import Counters
from pptpgw.datapath.checks import FAILURE_LIMIT, Carrier, OpenProtocol
from pptpgw.datapath.fair import BATCH, Fair
from pptpgw.datapath.filtered import FilteredIPv4, FilteredIPv6
from pptpgw.datapath.interface import TUN, DeliverAll, DeliverPacket, Peer
from pptpgw.datapath.openipv4 import OpenIPv4
from pptpgw.datapath.openipv6 import ERROR_LIMIT, OpenIPv6
from pptpgw.datapath.route import RouteTable
from pptpgw.error import PPTPGWError
from pptpgw.interfaces import (
    Attachment,
    IBundleChannel,
    ICall,
    IChannel,
    IChannelHost,
    IChannelOwner,
    IDataPath,
    IKernelInterface,
    MultilinkParameters,
)
from pptpgw.log import Logger
from pptpgw.ppp.wire.ppp import IPV4, IPV6
from pptpgw.timing.slices import SECONDS
from pptpgw.timing.timer import cancelled

NO_ROUTE = "no session has the destination"

DEEP = 8
"""
How many times as many packets are read as can be sent at once, while several sessions get packets.
It is the most that reading and dropping packets of a session that is flooded may cost the others.
"""

SHARED = 1.0
"""
Seconds after packets of several sessions came together until so few are read again as can be sent.
The kernel drops what a single session can't take, which costs nothing here.
"""


@implementer(IDataPath, IChannelHost)
class PythonDataPath:
    """
    The data path of the gateway in Python. See L{IDataPath}.
    """

    _log = Logger()

    @property
    def path(self) -> str:
        """
        See L{IDataPath.path}.
        """
        return "python"

    def __init__(
        self,
        clock: IReactorTime,
        tun: TUN | None = None,
        mssClamp: bool = True,
        interface: IKernelInterface | None = None,
    ) -> None:
        """
        @param tun: the TUN device, which is the network of every attachment without a C{receive};
            None if there is no such attachment. The data path sets its C{receiveAll}.
        @param mssClamp: whether to clamp the MSS of TCP, both ways.
        @param interface: the TUN device's interface to the kernel, which is told of routes; None if
            routes exist already.
        """
        self.counters = Counters()
        self.clock = clock
        self._tun = tun
        self._mssClamp = mssClamp
        self.interface = interface
        self._routes: RouteTable[Peer] = RouteTable()
        self._fair: Fair[Peer] = Fair()
        # The turn of the packets that wait.
        self._next: IDelayedCall | None = None
        self._sharedUntil = 0.0
        self._exact = self._routes.exact
        # The limits on logged failures, by protocol, for all calls together.
        self._failures: dict[int, Bucket] = {}
        if tun is not None:
            tun.receiveAll = self.packetsReceived

    def start(self) -> None:
        """
        Do nothing: the code that made the TUN device opens it.
        """

    def stop(self) -> Deferred[None] | None:
        """
        Forget the packets that wait. The code that made the TUN device closes it.
        """
        self._next = cancelled(self._next)
        return None

    def openChannel(self, call: ICall, owner: IChannelOwner, number: int = 0) -> IChannel:
        """
        See L{IDataPath.openChannel}.

        @raise ValueError: the call's identifiers are in use with this peer.
        """
        channel: IChannel = call.openChannel(owner, self)
        return channel

    def openBundle(self, owner: IChannelOwner, parameters: MultilinkParameters) -> IBundleChannel:
        """
        See L{IChannelHost.openBundle}.
        """
        from pptpgw.datapath.bundle import BundleChannel

        return BundleChannel(self, owner, parameters)

    def packetsReceived(self, packets: Sequence[bytes]) -> None:
        """
        Send packets from the kernel to the sessions that have their destination addresses. Those to
        one address keep their order. If there are more than can be sent at once they wait in lanes,
        one for each session.
        """
        fair = self._fair
        groups: dict[bytes, list[bytes]] = {}
        for packet in packets:
            if packet[:1] == b"\x45":
                destination = packet[16:20]
            else:
                destination = self._destination(packet)
            group = groups.get(destination)
            if group is None:
                groups[destination] = [packet]
            else:
                group.append(packet)
        most = self._judge(len(groups) > 1)
        atOnce = not fair.waiting and len(packets) <= most
        for destination, group in groups.items():
            peer = self._exact.get(destination)
            if peer is None:
                peer = self._routes.lookup(destination)
            if peer is None:
                self.counters.discard(NO_ROUTE, len(group))
            elif atOnce:
                self._transmit(peer, group)
            else:
                fair.add(peer, group)
        if fair.waiting and self._next is None:
            self._turn()
        if fair.dropped:
            dropped, fair.dropped = fair.dropped, {}
            for peer, count in dropped.items():
                peer.dropped(count)

    def _judge(self, shared: bool) -> int:
        """
        Choose how many packets are read from now on.

        @param shared: whether packets for several addresses came.
        @return: the most packets that are sent at once.
        """
        if self._tun is not None:
            if shared:
                self._tun.batches = DEEP
                self._sharedUntil = self.clock.seconds() + SHARED
            elif self._tun.batches > 1 and self.clock.seconds() >= self._sharedUntil:
                self._tun.batches = 1
        # Large segments of the kernel make one batch larger.
        return BATCH if shared else 2 * BATCH

    def _turn(self) -> None:
        """
        Send about a millisecond of the packets whose turn it is, and go on in the next turn of the
        reactor if packets are left.
        """
        self._next = None
        fair = self._fair
        seconds = self.clock.seconds
        end = seconds() + SECONDS
        left = BATCH
        while left and fair.waiting:
            peer, packets = fair.take(left)
            left -= len(packets)
            self._transmit(peer, packets)
            if seconds() > end:
                break
        if fair.waiting:
            self._next = self.clock.callLater(0, self._turn)

    def _transmit(self, peer: Peer, packets: Sequence[bytes]) -> None:
        try:
            peer.transmit(packets)
        except Exception:
            self._log.failure("Packets for a session failed")

    def networkOpened(
        self, channel: Carrier, protocol: int, attachment: Attachment
    ) -> OpenProtocol:
        """
        Open the network protocol C{protocol} on C{channel}, with its routes.

        @raise ValueError: the attachment has no C{receive}, and there is no TUN device.
        """
        deliver: DeliverPacket
        deliverAll: DeliverAll | None = None
        if attachment.receive is not None:
            deliver = attachment.receive
        elif self._tun is not None:
            deliver, deliverAll = self._tun.write, self._tun.writeAll
        else:
            raise ValueError(f"no network takes packets of protocol 0x{protocol:04x}")
        failures = self._failures.get(protocol)
        if failures is None:
            failures = self._failures[protocol] = Bucket(self.clock.seconds, FAILURE_LIMIT)
        shared = protocol, attachment, channel, deliver, deliverAll, failures
        network: OpenProtocol
        filtered = attachment.permits is not None
        routes = self._routes if attachment.receive is None else None
        if protocol == IPV4:
            network = (FilteredIPv4 if filtered else OpenIPv4)(*shared, routes, self._mssClamp)
        elif protocol == IPV6:
            errors = Bucket(self.clock.seconds, (ERROR_LIMIT, ERROR_LIMIT))
            kind = FilteredIPv6 if filtered else OpenIPv6
            network = kind(*shared, routes, self._mssClamp, errors)
        else:
            network = OpenProtocol(*shared)
        if attachment.receive is None:
            source = _givenTo(attachment)
            if self.interface is not None:
                for own in _ownOf(attachment):
                    self._add(self.interface.addAddress, own)
            for route in attachment.addresses:
                self._routes.add(route, network)
                if self.interface is not None:
                    self._add(self.interface.addRoute, route, source)
        return network

    def networkClosed(self, network: OpenProtocol) -> None:
        """
        Remove the routes to C{network}, and the packets that wait for it.
        """
        if network.attachment.receive is not None:
            return
        if forgotten := self._fair.forget(network):
            self.counters.discard(NO_ROUTE, forgotten)
        for route in network.attachment.addresses:
            self._routes.remove(route, network)
            if self.interface is not None:
                self.interface.removeRoute(route)
        if self.interface is not None:
            for own in _ownOf(network.attachment):
                self.interface.removeAddress(own)

    def _add(self, add: Callable[..., None], *what: Any) -> None:
        """
        Give the TUN device an address or a route; log an error if the kernel refuses.
        """
        try:
            add(*what)
        except PPTPGWError as error:
            # The session goes on with its address, although packets for it don't arrive.
            self._log.error("{error}", error=str(error))

    def _destination(self, packet: bytes) -> bytes:
        """
        Return the destination address of an IP packet; empty if C{packet} isn't one.
        """
        version = packet[0] >> 4 if packet else 0
        if version == 4 and len(packet) >= 20:
            return packet[16:20]
        if version == 6 and len(packet) >= 40:
            return packet[24:40]
        return b""


def _givenTo(attachment: Attachment) -> IPv4Address | None:
    """
    Return the address that the TUN device has for an attachment; None if it has none for it.
    """
    given = attachment.localAddress
    return given if isinstance(given, IPv4Address) else None


def _ownOf(attachment: Attachment) -> Iterator[IPv4Interface | IPv6Interface]:
    """
    Iterate over the addresses that the TUN device has for an attachment.
    """
    if (given := _givenTo(attachment)) is not None:
        yield IPv4Interface(given)
    yield from map(IPv6Interface, attachment.own)
