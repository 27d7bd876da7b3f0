"""
One network protocol that is open on one call: what its packets are checked for, and where they go.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Protocol

from pptpgw.counters import Counters
from pptpgw.datapath.edges import Deliver
from pptpgw.datapath.ip import HEADER, TCP, clampMSS, fragment, mayFragment, tooBig
from pptpgw.interfaces import Attachment

IPV4 = 0x0021
IPV6 = 0x0057

SPOOFED = "source address not the peer's"
TOO_BIG = "too big for the peer"
NOT_DELIVERED = "not taken by the network"

TCP_OVERHEAD = 40
"""
Octets of IPv4 and TCP header, without options: the MTU less these is the MSS.
"""

_SYN = 0x02
_SHORTEST_TCP = 40
_IPV6_HEADER = 40


class Carrier(Protocol):
    """
    What takes the packets to the peer: a channel.
    """

    @property
    def counters(self) -> Counters:
        """
        The call's.
        """

    def transmit(self, network: Network, packet: bytes) -> None:
        """
        Send one packet, which fits.
        """


class Network:
    """
    A protocol of which nothing is known but its number.

    @ivar field: the protocol number, two octets.
    @ivar prefix: what stands before a packet in clear; the channel sets it.
    @ivar mtu: the largest packet to the peer; the channel sets it.
    """

    __slots__ = (
        "_carry",
        "_counters",
        "_deliver",
        "attachment",
        "field",
        "mtu",
        "prefix",
        "protocol",
    )

    def __init__(
        self, protocol: int, attachment: Attachment, carrier: Carrier, deliver: Deliver
    ) -> None:
        self.protocol = protocol
        self.field = protocol.to_bytes(2, "big")
        self.attachment = attachment
        self.prefix = b""
        self.mtu = attachment.mtu
        self._carry = carrier.transmit
        self._counters = carrier.counters
        self._deliver = deliver

    def received(self, packet: bytes) -> None:
        """
        A packet came from the peer: check it and hand it to the network.
        """
        counters = self._counters
        counters.packetsReceived += 1
        counters.octetsReceived += len(packet)
        try:
            self._deliver(packet)
        except OSError:
            counters.discard(NOT_DELIVERED)

    def transmit(self, packet: bytes) -> None:
        """
        A packet is to go to the peer.
        """
        if len(packet) > self.mtu:
            self._counters.discard(TOO_BIG)
            return
        self._carry(self, packet)


class IPv6(Network):
    """
    IPv6, its sources checked.
    """

    __slots__ = ("_sources",)

    def __init__(
        self, protocol: int, attachment: Attachment, carrier: Carrier, deliver: Deliver
    ) -> None:
        super().__init__(protocol, attachment, carrier, deliver)
        self._sources = _Sources(attachment, IPv6Network)

    def received(self, packet: bytes) -> None:
        """
        See L{Network.received}.
        """
        if len(packet) < _IPV6_HEADER or packet[0] >> 4 != 6 or packet[8:24] not in self._sources:
            self._counters.discard(SPOOFED)
            return
        super().received(packet)


class IPv4(Network):
    """
    IPv4: sources checked, MSS clamped both ways, and a packet that is too large cut in fragments,
    or answered where it forbids that.
    """

    __slots__ = ("_clamp", "_source", "_sources")

    def __init__(
        self,
        protocol: int,
        attachment: Attachment,
        carrier: Carrier,
        deliver: Deliver,
        clamp: bool,
    ) -> None:
        """
        @param clamp: whether to clamp the MSS.
        """
        super().__init__(protocol, attachment, carrier, deliver)
        self._sources = _Sources(attachment, IPv4Network)
        # The peer's one address, for a comparison instead of a look-up.
        self._source = self._sources.single()
        self._clamp = clamp

    def received(self, packet: bytes) -> None:
        """
        See L{Network.received}.
        """
        counters = self._counters
        # A header of 20 octets from the peer's one address is nearly every packet.
        if (packet[12:16] != self._source or packet[0] != 0x45) and not self._mayCome(packet):
            counters.discard(SPOOFED)
            return
        size = len(packet)
        if packet[9] == TCP and size >= _SHORTEST_TCP and packet[33] & _SYN | packet[0] ^ 0x45:
            packet = self._clamped(packet)
        counters.packetsReceived += 1
        counters.octetsReceived += size
        try:
            self._deliver(packet)
        except OSError:
            counters.discard(NOT_DELIVERED)

    def transmit(self, packet: bytes) -> None:
        """
        See L{Network.transmit}.
        """
        size = len(packet)
        if size > self.mtu:
            self._tooBig(packet)
            return
        # Where there are options the flags aren't at 33, and the clamp has to look for them.
        if size >= _SHORTEST_TCP and packet[9] == TCP and packet[33] & _SYN | packet[0] ^ 0x45:
            packet = self._clamped(packet)
        self._carry(self, packet)

    def _clamped(self, packet: bytes) -> bytes:
        """
        The packet with its MSS within the MTU.
        """
        return clampMSS(packet, max(1, self.mtu - TCP_OVERHEAD)) if self._clamp else packet

    def _mayCome(self, packet: bytes) -> bool:
        """
        Whether this is IPv4 from an address of the peer's.
        """
        return len(packet) >= HEADER and packet[0] >> 4 == 4 and packet[12:16] in self._sources

    def _tooBig(self, packet: bytes) -> None:
        """
        Cut the packet in pieces that fit, or tell its sender.
        """
        if mayFragment(packet):
            for piece in fragment(packet, self.mtu):
                self._carry(self, piece)
            return
        self._counters.discard(TOO_BIG)
        answer = tooBig(packet, self.mtu)
        if answer is not None:
            try:
                self._deliver(answer)
            except OSError:
                self._counters.discard(NOT_DELIVERED)


class _Sources:
    """
    The addresses that a peer may send from: those of its attachment. A network in this process that
    names none takes every one.
    """

    __slots__ = ("_networks",)

    def __init__(self, attachment: Attachment, family: type[IPv4Network | IPv6Network]) -> None:
        self._networks: tuple[tuple[int, int], ...] | None = None
        if attachment.addresses or attachment.receive is None:
            self._networks = tuple(
                (int(network.network_address), int(network.netmask))
                for network in attachment.addresses
                if isinstance(network, family)
            )

    def __contains__(self, address: bytes) -> bool:
        if self._networks is None:
            return True
        number = int.from_bytes(address, "big")
        return any(number & mask == prefix for prefix, mask in self._networks)

    def single(self) -> bytes:
        """
        The only IPv4 address that there is, or nothing.
        """
        if self._networks is not None and len(self._networks) == 1:
            ((prefix, mask),) = self._networks
            if mask == 0xFFFFFFFF:
                return prefix.to_bytes(4, "big")
        return b""
