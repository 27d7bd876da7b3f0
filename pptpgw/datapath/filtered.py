"""
The open network protocols of sessions with a filter: a packet passes only if C{permits} of the
attachment returns true for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from pptpgw.datapath.checks import OpenProtocol
from pptpgw.datapath.openipv4 import OpenIPv4
from pptpgw.datapath.openipv6 import OpenIPv6, isLocal
from pptpgw.networks.wire.ip import IPV6_HEADER

FILTERED = "filtered"


class _Filtered(OpenProtocol):
    """
    A network that applies its attachment's filter to each packet, in both directions.
    """

    __slots__ = ()

    def received(self, packets: Sequence[bytes]) -> None:
        """
        See L{OpenProtocol.received}.
        """
        super().received([packet for packet in packets if self._passes(packet)])

    def transmit(self, packets: Sequence[bytes]) -> None:
        """
        See L{OpenProtocol.transmit}.
        """
        super().transmit([packet for packet in packets if self._passes(packet)])

    def _passes(self, packet: bytes) -> bool:
        permits = self.attachment.permits
        if permits is None or permits(packet):
            return True
        self._counters.discard(FILTERED)
        return False


class FilteredIPv4(_Filtered, OpenIPv4):
    """
    IPv4 with a filter, which is asked about every packet.
    """

    __slots__ = ()


class FilteredIPv6(_Filtered, OpenIPv6):
    """
    IPv6 with a filter. Packets that concern the link alone always pass, because without them no
    host gets an address.
    """

    __slots__ = ()

    def _passes(self, packet: bytes) -> bool:
        return (len(packet) >= IPV6_HEADER and isLocal(packet)) or super()._passes(packet)
