"""
An open network protocol of a call: it checks packets and passes them on.
L{pptpgw.datapath.openipv4} and L{pptpgw.datapath.openipv6} have those that look into packets.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

from pptpgw.counting.bucket import Bucket
from pptpgw.counting.counters import Counters
from pptpgw.datapath.fair import FULL
from pptpgw.datapath.interface import DeliverAll, DeliverPacket
from pptpgw.interfaces import Attachment
from pptpgw.log import Logger

SPOOFED = "source address not the peer's"
TOO_BIG = "too big for the peer"
NOT_DELIVERED = "not taken by the network"
NO_ROOM = "not sent: the transport takes none"

FAILURE_LIMIT = 1 / 20, 3
"""
The failures of a network on a packet that are logged: how many a second, and how many at once.
Others are only counted.
"""


def closed(packet: bytes) -> None:
    """
    Raise OSError: what a network that has been closed delivers packets to.
    """
    raise OSError(errno.ENETDOWN, "the network is closed")


class Carrier(Protocol):
    """
    The sender of packets to the peer, which is the call's channel.
    """

    @property
    def counters(self) -> Counters:
        """
        The counters of the call.
        """

    @property
    def isFull(self) -> bool:
        """
        Whether the transport has no room, so that packets are discarded.
        """

    def transmit(self, network: OpenProtocol, packets: Sequence[bytes]) -> None:
        """
        Send packets of C{network}, which aren't larger than its MTU.
        """


Transmit = Callable[["OpenProtocol", Sequence[bytes]], None]
"""
A function that sends packets of a network.
"""


class OpenProtocol:
    """
    An open protocol whose packets aren't looked into. It is a L{Peer} for routes.

    @ivar protocol: the protocol number.
    @ivar field: the protocol number as two octets.
    @ivar prefix: the header of a frame with a packet in clear; the channel sets it.
    @ivar mtu: the largest packet to the peer, in octets; the channel sets it.
    """

    __slots__ = (
        "_carry",
        "_counters",
        "_deliver",
        "_deliverAll",
        "_failures",
        "attachment",
        "field",
        "mtu",
        "prefix",
        "protocol",
    )

    _log = Logger()

    def __init__(
        self,
        protocol: int,
        attachment: Attachment,
        carrier: Carrier,
        deliver: DeliverPacket,
        deliverAll: DeliverAll | None,
        failures: Bucket,
    ) -> None:
        """
        @param deliver: passes a packet to the network.
        @param deliverAll: passes packets to the network at once; None if it takes single packets.
        @param failures: limits how often failures of C{deliver} are logged.
        """
        self.protocol = protocol
        self.field = protocol.to_bytes(2, "big")
        self.attachment = attachment
        self.prefix = b""
        self.mtu = attachment.mtu
        self.carriedBy(carrier)
        self._counters = carrier.counters
        self._deliver = deliver
        self._deliverAll = deliverAll
        self._failures = failures

    def carriedBy(self, carrier: Carrier) -> None:
        """
        Send packets by C{carrier} from now on.
        """
        self._carry: Transmit = carrier.transmit

    def received(self, packets: Sequence[bytes]) -> None:
        """
        Check packets from the peer and pass them to the network.
        """
        self._counters.packetsReceived += len(packets)
        self._counters.octetsReceived += sum(map(len, packets))
        self._pass(packets)

    def _pass(self, packets: Sequence[bytes]) -> None:
        """
        Pass packets that were checked to the network.
        """
        if self._deliverAll is not None:
            refused = self._deliverAll(packets)
            if refused:
                self._counters.discard(NOT_DELIVERED, refused)
            return
        for packet in packets:
            try:
                self._deliver(packet)
            except Exception as error:
                self._failed(error)

    def close(self) -> None:
        """
        Pass no more packets to the network, not even the rest of those in one call of L{received}.
        """
        self._deliver = closed
        self._deliverAll = None

    def transmit(self, packets: Sequence[bytes]) -> None:
        """
        Check packets for the peer and send them.
        """
        fitting = [packet for packet in packets if len(packet) <= self.mtu]
        if len(fitting) < len(packets):
            self._counters.discard(TOO_BIG, len(packets) - len(fitting))
        if fitting:
            self._carry(self, fitting)

    @property
    def forms(self) -> Mapping[int, OpenProtocol]:
        """
        The forms of the network's packets that have protocol numbers of their own, by these.
        """
        return NO_FORMS

    def lost(self) -> None:
        """
        Note that a frame from the peer was lost, of whatever protocol. Nothing needs to be done.
        """

    def dropped(self, count: int) -> None:
        """
        See L{Peer}.
        """
        self._counters.discard(FULL, count)

    def _failed(self, error: Exception) -> None:
        """
        Count a packet that the network didn't take, and log an unexpected exception.
        """
        if not isinstance(error, OSError) and self._failures.take():
            self._log.failure(
                "The network of protocol 0x{protocol:04x} failed on a packet",
                protocol=self.protocol,
            )
        self._counters.discard(NOT_DELIVERED)


NO_FORMS: Mapping[int, OpenProtocol] = MappingProxyType({})
