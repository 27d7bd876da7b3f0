"""
Networks of sessions whose packets are filtered, by what their attachment permits.
"""

from __future__ import annotations

from collections.abc import Sequence

from pptpgw.datapath.checks import OpenIPv4, OpenIPv6, OpenProtocol, isLocal
from pptpgw.networks.ipv6.wire.ipv6 import HEADER

FILTERED = "filtered"


class _Filtered(OpenProtocol):
    """
    A network that asks before each packet, both ways.
    """

    __slots__ = ()

    def received(self, packets: Sequence[bytes]) -> None:
        """
        See L{OpenProtocol.received}.
        """
        super().received([packet for packet in packets if self._passes(packet)])

    def transmit(self, packet: bytes) -> None:
        """
        See L{OpenProtocol.transmit}.
        """
        if self._passes(packet):
            super().transmit(packet)

    def _passes(self, packet: bytes) -> bool:
        permits = self.attachment.permits
        if permits is None or permits(packet):
            return True
        self._counters.discard(FILTERED)
        return False


class FilteredIPv4(_Filtered, OpenIPv4):
    """
    IPv4, filtered.
    """

    __slots__ = ()


class FilteredIPv6(_Filtered, OpenIPv6):
    """
    IPv6, filtered, but for what concerns the link alone: without that no host has an address.
    """

    __slots__ = ()

    def _passes(self, packet: bytes) -> bool:
        return (len(packet) >= HEADER and isLocal(packet)) or super()._passes(packet)
