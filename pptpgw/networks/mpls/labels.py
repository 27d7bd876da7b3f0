"""
A label switch of the gateway's own, for machines whose kernel has none.

The rules (RFC 3031 section 3.10, RFC 3032 sections 2.4 and 3):

 - A route swaps the label on top for another and names the session that is the next hop. What
   stands under the top is left alone, and so is the traffic class.
 - A packet whose label has no route, or whose time to live runs out here, is counted and silently
   discarded. So is labelled multicast.
"""

from __future__ import annotations

from collections.abc import Mapping

from pptpgw.counting.counters import Counters
from pptpgw.datapath.edges import Deliver
from pptpgw.networks.mpls.wire.mpls import ENTRY_OCTETS

NO_ROUTE = "label without a route"
EXPIRED = "labelled packet's time to live ran out"
NOT_UNICAST = "labelled multicast, which isn't switched"

_UNICAST = b"\x88\x47"
_HEADER = 14
# The switch's own address among the sessions': no IPv4 address gives it.
_ADDRESS = bytes.fromhex("02ffffffffff")


class LabelSwitch:
    """
    Replaces the kernel's device: a frame that is written to it comes back with another label.

    @ivar receive: called with each Ethernet frame for a session.
    @ivar address: its own Ethernet address.
    @cvar fault: always empty, since nothing of it can be taken away.
    """

    fault = ""

    def __init__(self, routes: Mapping[int, tuple[int, bytes]], counters: Counters) -> None:
        """
        @param routes: from the label that comes to the one that goes, and the next hop's Ethernet
            address.
        """
        self.receive: Deliver = self._unread
        self.address = _ADDRESS
        self._routes = routes
        self._counters = counters

    def start(self) -> None:
        """
        There is nothing to open.
        """

    def stop(self) -> None:
        """
        There is nothing to close.
        """

    def write(self, frame: bytes) -> None:
        """
        A session sent a frame with a labelled packet.
        """
        if frame[12:_HEADER] != _UNICAST:
            self._counters.discard(NOT_UNICAST)
            return
        start = _HEADER + ENTRY_OCTETS
        entry = int.from_bytes(frame[_HEADER:start], "big")
        route = self._routes.get(entry >> 12)
        if route is None:
            self._counters.discard(NO_ROUTE)
        elif entry & 0xFF <= 1:
            self._counters.discard(EXPIRED)
        else:
            label, destination = route
            swapped = label << 12 | (entry & 0xFFF) - 1
            self.receive(
                destination
                + _ADDRESS
                + _UNICAST
                + swapped.to_bytes(ENTRY_OCTETS, "big")
                + frame[start:]
            )

    def _unread(self, frame: bytes) -> None:
        """
        Nobody is there yet: a network sets C{receive} when it is made.
        """
