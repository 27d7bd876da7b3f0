"""
The passage of a channel's frames to another channel, where the PPP of a call doesn't end here.

Frames of all protocols pass, encrypted or not. Those of network protocols and of MPPE count as
packets, so that limits and accounting hold for the call as for any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pptpgw.counting.counters import Counters
from pptpgw.datapath.plausibility import BEYOND_NETWORKS
from pptpgw.ppp.wire.ppp import ADDRESS_CONTROL

PassOn = Callable[[int, Sequence[bytes]], object]
"""
A function that takes frames: their protocol number, and their information fields.
"""

MOST = 256
"""
The number of protocols of one call that are remembered. A peer may send frames of 65,535 protocols.
"""


class Passage:
    """
    The frames of one protocol that pass. It takes the place of an
    L{pptpgw.datapath.checks.OpenProtocol}.

    @ivar protocol: the protocol number.
    @ivar field: the protocol number as two octets.
    @ivar prefix: the header of a frame, uncompressed, as every peer can receive it.
    @ivar isOfNetwork: whether its frames count as packets.
    """

    __slots__ = ("_counters", "_receive", "field", "isOfNetwork", "prefix", "protocol")

    def __init__(self, protocol: int, counters: Counters, receive: PassOn) -> None:
        """
        @param counters: the figures of the channel, which counts frames itself.
        @param receive: takes the frames that come from the peer.
        """
        self.protocol = protocol
        self.field = protocol.to_bytes(2, "big")
        self.prefix = ADDRESS_CONTROL + self.field
        self.isOfNetwork = protocol < BEYOND_NETWORKS
        self._counters = counters
        self._receive = receive

    def received(self, packets: Sequence[bytes]) -> None:
        """
        Pass frames on.
        """
        if self.isOfNetwork:
            counters = self._counters
            counters.packetsReceived += len(packets)
            counters.octetsReceived += sum(map(len, packets))
        self._receive(self.protocol, packets)


class Passages:
    """
    The passages of one channel, of which every protocol has one.
    """

    __slots__ = ("_counters", "_end", "_made", "_receive")

    def __init__(self, counters: Counters, receive: PassOn, end: int = 1 << 16) -> None:
        """
        @param counters: see L{Passage}.
        @param receive: takes the frames that come from the peer.
        @param end: the lowest protocol number whose frames don't pass.
        """
        self._counters = counters
        self._end = end
        self._receive = receive
        self._made: dict[int, Passage] = {}

    def __contains__(self, protocol: object) -> bool:
        return isinstance(protocol, int) and 0 < protocol < self._end

    def get(self, protocol: int, /) -> Passage | None:
        """
        Return the passage of a protocol; None if its frames don't pass, and for 0, which stands for
        a frame without one.
        """
        made = self._made.get(protocol)
        if made is None and protocol in self:
            if len(self._made) >= MOST:
                self._made.clear()
            made = self._made[protocol] = Passage(protocol, self._counters, self._receive)
        return made
