"""
The channel of a bundle of links (RFC 1990), which stands above the channels of its links.

Its frames are cut into fragments, which the channels of the links send like control frames, and
put together from those that these receive. Frames of networks and their control protocols that
come on a link without being fragments belong to the bundle too (section 4), and so does the
encryption of its packets. Only frames of LCP, of authentication and their like are a link's.

A frame that every link can carry is sent whole. Each fragment is sent by the link that has carried
the fewest octets so far, of those that have room.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from functools import partial

from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from pptpgw.counting.counters import Counters
from pptpgw.datapath.channel import MALFORMED
from pptpgw.datapath.framed import FramedChannel
from pptpgw.datapath.passage import Passages
from pptpgw.datapath.reassembly import LOST, Reassembly
from pptpgw.error import Malformed
from pptpgw.interfaces import (
    IBundleChannel,
    IBundledChannel,
    IChannelHost,
    IChannelOwner,
    IFrameSender,
    MultilinkParameters,
)
from pptpgw.ppp.wire.multilink import (
    BEGINNING,
    ENDING,
    LONG_HEADER,
    LONG_NUMBERS,
    SHORT_HEADER,
    SHORT_NUMBERS,
    decode,
    encode,
)
from pptpgw.ppp.wire.ppp import MULTILINK
from pptpgw.timing.timer import cancelled

WAIT_SECONDS = 0.5
"""
Seconds after which a missing fragment is given up, where no later one has come on every link.
"""

LINK_PROTOCOLS = 0xC000
"""
The lowest number of the protocols whose frames belong to a link.
"""

# The octets of a frame beside its information, if nothing is compressed.
_HEADER = 4


class Member:
    """
    A link of a bundle.

    @ivar largest: the largest part of a frame that fits in one fragment, in octets.
    @ivar carried: how many octets it has carried; a link that joins begins with as many as the one
        that has carried the fewest.
    """

    __slots__ = ("carried", "channel", "largest")

    def __init__(self, channel: IBundledChannel, largest: int, carried: int) -> None:
        self.channel = channel
        self.largest = largest
        self.carried = carried


@implementer(IFrameSender)
class Fragmenter:
    """
    What sends the frames of a bundle on its links.

    @ivar members: the links.
    """

    def __init__(self, short: bool) -> None:
        """
        @param short: whether sequence numbers are sent in the short form.
        """
        self.members: list[Member] = []
        self._short = short
        self._mask = (SHORT_NUMBERS if short else LONG_NUMBERS) - 1
        self._number = 0

    @property
    def full(self) -> bool:
        """
        See L{IFrameSender.full}: whether no link has room.
        """
        return bool(self.members) and all(one.channel.isFull for one in self.members)

    def add(self, channel: IBundledChannel, mru: int) -> None:
        """
        Send by C{channel} too.

        @param mru: the largest information field that it sends, in octets.
        """
        largest = mru - (SHORT_HEADER if self._short else LONG_HEADER)
        carried = min((one.carried for one in self.members), default=0)
        self.members.append(Member(channel, largest, carried))

    def remove(self, channel: IBundledChannel) -> None:
        """
        Send no more by C{channel}.
        """
        self.members = [one for one in self.members if one.channel is not channel]

    def send(self, frame: bytes) -> None:
        """
        See L{IFrameSender.send}.
        """
        members = self.members
        if not members:
            raise OSError(errno.ENETDOWN, "the bundle has no link")
        largest = min(one.largest for one in members)
        count = -(-len(frame) // largest)
        if count == 1:
            self._sendPart(BEGINNING | ENDING, frame)
            return
        # In parts of the same size, so that none is tiny.
        size = -(-len(frame) // count)
        for place in range(0, len(frame), size):
            bits = (0 if place else BEGINNING) | (ENDING if place + size >= len(frame) else 0)
            self._sendPart(bits, frame[place : place + size])

    def _sendPart(self, bits: int, part: bytes) -> None:
        members = self.members
        if len(members) > 1:
            free = [one for one in members if not one.channel.isFull]
            chosen = min(free or members, key=lambda one: one.carried)
        else:
            chosen = members[0]
        chosen.carried += len(part)
        number = self._number
        self._number = number + 1 & self._mask
        chosen.channel.sendFrame(MULTILINK, encode(bits, number, part, self._short))

    def setACCM(self, send: int, receive: int) -> None:
        """
        See L{IFrameSender.setACCM}. Nothing is escaped but on the links.
        """

    def disconnected(self) -> None:
        """
        See L{IFrameSender.disconnected}.
        """
        self.members = []


@implementer(IBundleChannel)
class BundleChannel(FramedChannel):
    """
    See L{IBundleChannel}.
    """

    __slots__ = ("_fragmenter", "_passed", "_reassembly", "_short", "_timer")

    # Frames within fragments have neither address nor control.
    controlHeader = b""

    def __init__(
        self, host: IChannelHost, owner: IChannelOwner, parameters: MultilinkParameters
    ) -> None:
        self._fragmenter = Fragmenter(parameters.sendShort)
        super().__init__(host, owner, self._fragmenter)
        self._short = parameters.receiveShort
        numbers = SHORT_NUMBERS if self._short else LONG_NUMBERS
        self._reassembly = Reassembly(
            numbers, parameters.mrru + _HEADER, self.received, self._discard
        )
        # Ends the wait for a fragment, and the number that was awaited when it began.
        self._timer: IDelayedCall | None = None
        self._passed: int | None = None
        self.carriedHere("a bundle of links")
        # As if both had been negotiated (RFC 1990 section 2).
        self.setFraming(True, True)

    def addLink(self, channel: IBundledChannel, mru: int) -> None:
        """
        See L{IBundleChannel.addLink}.
        """
        if self._closed:
            return
        self._reassembly.addLink(channel)
        self._fragmenter.add(channel, mru)
        receive = partial(self._linkReceived, channel)
        channel.joinBundle(Passages(Counters(), receive, LINK_PROTOCOLS), self._networks)

    def removeLink(self, channel: IBundledChannel) -> None:
        """
        See L{IBundleChannel.removeLink}.
        """
        channel.leaveBundle()
        self._fragmenter.remove(channel)
        self._reassembly.removeLink(channel)

    def _linkReceived(
        self, channel: IBundledChannel, protocol: int, frames: Sequence[bytes]
    ) -> None:
        """
        Handle frames of one protocol that C{channel} has received.
        """
        if protocol != MULTILINK:
            self._receive(0, protocol, list(frames))
            return
        for fragment in frames:
            try:
                bits, number, part = decode(fragment, self._short)
            except Malformed:
                self.counters.discard(MALFORMED)
            else:
                self._reassembly.add(channel, bits, number, part)
        if self._timer is None and self._reassembly.isWaiting:
            self._await()

    def _discard(self, reason: str, count: int) -> None:
        """
        Count fragments that are of no use.
        """
        self.counters.discard(reason, count)
        if reason == LOST:
            self.lost()

    def _await(self) -> None:
        """
        Begin to wait for the fragment that is missing.
        """
        self._passed = self._reassembly.following
        self._timer = self._clock.callLater(WAIT_SECONDS, self._waited)

    def _waited(self) -> None:
        self._timer = None
        if self._reassembly.following == self._passed:
            self._reassembly.giveUp()
        if self._reassembly.isWaiting:
            self._await()

    def _disconnect(self) -> None:
        """
        See L{FramedChannel._disconnect}.
        """
        for member in self._fragmenter.members:
            member.channel.leaveBundle()
        super()._disconnect()
        self._reassembly.close()
        self._timer = cancelled(self._timer)
