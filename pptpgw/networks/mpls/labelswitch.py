"""
The gateway's own label switch, for machines whose kernel has no MPLS.

The rules (RFC 3031 section 3.10, RFC 3032 sections 2.4 and 3):

 - A route replaces the label on top by another one, and names the session that is the next hop. The
   rest of the stack and the traffic class aren't changed.
 - A packet whose label has no route, or whose time to live ends here, is counted and silently
   discarded. So is labelled multicast.
"""

from __future__ import annotations

from collections.abc import Mapping

from pptpgw.counting.counters import Counters
from pptpgw.datapath.interface import DeliverPacket
from pptpgw.networks.mpls.wire.mpls import ENTRY_OCTETS, ETHERNET_HEADER

NO_ROUTE = "label without a route"
EXPIRED = "labelled packet's time to live ran out"
NOT_UNICAST = "labelled multicast, which isn't switched"

_UNICAST = b"\x88\x47"
# The switch's own Ethernet address among those of the sessions; no IPv4 address leads to it.
_ADDRESS = bytes.fromhex("02ffffffffff")


class LabelSwitch:
    """
    A label switch in the place of the kernel's device: a frame that is written to it comes back
    with another label.

    @ivar receive: called with each Ethernet frame for a session.
    @ivar address: the switch's own Ethernet address.
    @cvar fault: always empty, since no other program can take anything away.
    """

    fault = ""

    def __init__(self, routes: Mapping[int, tuple[int, bytes]], counters: Counters) -> None:
        """
        @param routes: see L{change}.
        """
        self.receive: DeliverPacket = self._unread
        self.address = _ADDRESS
        self._counters = counters
        self.change(routes)

    def change(self, routes: Mapping[int, tuple[int, bytes]]) -> None:
        """
        Switch by other routes.

        @param routes: for each label that comes, the label that replaces it and the Ethernet
            address of the next hop.
        """
        self._routes = routes

    def start(self) -> None:
        """
        Do nothing: there is no device to open.
        """

    def stop(self) -> None:
        """
        Do nothing: there is no device to close.
        """

    def write(self, frame: bytes) -> None:
        """
        Switch a labelled packet that a session sent, in an Ethernet frame.
        """
        if frame[12:ETHERNET_HEADER] != _UNICAST:
            self._counters.discard(NOT_UNICAST)
            return
        start = ETHERNET_HEADER + ENTRY_OCTETS
        entry = int.from_bytes(frame[ETHERNET_HEADER:start], "big")
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
        Ignore C{frame}: the network that is made with this switch sets C{receive}.
        """
