"""
The data path in Python: every packet passes through this process, by one TUN device and a table of
routes.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from pptpgw.counting.bucket import Bucket
from pptpgw.counting.counters import Counters
from pptpgw.datapath.checks import (
    ERROR_LIMIT,
    FAILURE_LIMIT,
    Carrier,
    OpenIPv4,
    OpenIPv6,
    OpenProtocol,
)
from pptpgw.datapath.filtered import FilteredIPv4, FilteredIPv6
from pptpgw.datapath.interface import TUN, DeliverPacket
from pptpgw.datapath.route import RouteTable
from pptpgw.error import PPTPGWError
from pptpgw.interfaces import (
    Attachment,
    ICall,
    IChannel,
    IChannelHost,
    IChannelOwner,
    IDataPath,
    IKernelInterface,
)
from pptpgw.log import Logger
from pptpgw.ppp.wire.ppp import IPV4, IPV6

NO_ROUTE = "no session has the destination"


@implementer(IDataPath, IChannelHost)
class PythonDataPath:
    """
    The data path of the gateway in Python. See L{IDataPath}.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        tun: TUN | None = None,
        mssClamp: bool = True,
        interface: IKernelInterface | None = None,
    ) -> None:
        """
        @param tun: the TUN device, which is the network of every attachment without a C{receive};
            None if there is no such attachment. The data path sets its C{receive}.
        @param mssClamp: whether to clamp the MSS of TCP, both ways.
        @param interface: the TUN device's interface to the kernel, which is told of routes; None if
            routes exist already.
        """
        self.counters = Counters()
        self.clock = clock
        self._tun = tun
        self._mssClamp = mssClamp
        self.interface = interface
        self._routes: RouteTable[DeliverPacket] = RouteTable()
        self._exact = self._routes.exact
        # The limits on logged failures, by protocol, for all calls together.
        self._failures: dict[int, Bucket] = {}
        if tun is not None:
            tun.receive = self.packetReceived

    def start(self) -> None:
        """
        Do nothing: the code that made the TUN device opens it.
        """

    def stop(self) -> Deferred[None] | None:
        """
        Do nothing: the code that made the TUN device closes it.
        """
        return None

    def openChannel(self, call: ICall, owner: IChannelOwner) -> IChannel:
        """
        See L{IDataPath.openChannel}.

        @raise ValueError: the call's identifiers are in use with this peer.
        """
        channel: IChannel = call.openChannel(owner, self)
        return channel

    def packetReceived(self, packet: bytes) -> None:
        """
        Send a packet from the kernel to the session that has its destination address.
        """
        transmit: DeliverPacket | None
        if packet[:1] == b"\x45":
            transmit = self._exact.get(packet[16:20])
            if transmit is None:
                transmit = self._routes.lookup(packet[16:20])
        else:
            transmit = self._routes.lookup(self._destination(packet))
        if transmit is None:
            self.counters.discard(NO_ROUTE)
        else:
            transmit(packet)

    def networkOpened(
        self, channel: Carrier, protocol: int, attachment: Attachment
    ) -> OpenProtocol:
        """
        Open the network protocol C{protocol} on C{channel}, with its routes.

        @raise ValueError: the attachment has no C{receive}, and there is no TUN device.
        """
        deliver: DeliverPacket
        if attachment.receive is not None:
            deliver = attachment.receive
        elif self._tun is not None:
            deliver = self._tun.write
        else:
            raise ValueError(f"no network takes packets of protocol 0x{protocol:04x}")
        failures = self._failures.get(protocol)
        if failures is None:
            failures = self._failures[protocol] = Bucket(self.clock.seconds, FAILURE_LIMIT)
        shared = protocol, attachment, channel, deliver, failures
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
            for route in attachment.addresses:
                self._routes.add(route, network.transmit)
                self._addRoute(route)
        return network

    def networkClosed(self, network: OpenProtocol) -> None:
        """
        Remove the routes to C{network}.
        """
        if network.attachment.receive is not None:
            return
        for route in network.attachment.addresses:
            self._routes.remove(route, network.transmit)
            if self.interface is not None:
                self.interface.removeRoute(route)

    def _addRoute(self, route: IPv4Network | IPv6Network) -> None:
        """
        Have the kernel route packets for C{route} to the TUN device; log an error if it refuses.
        """
        if self.interface is not None:
            try:
                self.interface.addRoute(route)
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
