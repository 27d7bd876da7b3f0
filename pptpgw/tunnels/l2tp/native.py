"""
The channel of an L2TP call whose packets threads outside of the interpreter carry
(L{pptpgw.datapath.sharing}), and the data messages that are left to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from pptpgw.datapath.engine import LiveCounters
from pptpgw.datapath.interface import Reader
from pptpgw.datapath.sharing import Held, SharedChannel
from pptpgw.datapath.threaded import NativeDataPath
from pptpgw.interfaces import IChannelHost, IChannelOwner
from pptpgw.log import Logger
from pptpgw.tunnels.l2tp.channel import L2TPChannel
from pptpgw.tunnels.l2tp.sender import DataSender

if TYPE_CHECKING:
    from pptpgw.datapath._native import Session

_NO_NUMBER = 0x10000
# What PPTP's calls have besides.
_REST = (0,) * 10

_log = Logger()


@runtime_checkable
class SharedPort(Protocol):
    """
    A UDP port whose sockets threads can read.
    """

    def readBy(self, reader: Reader) -> int:
        """
        See L{pptpgw.tunnels.l2tp.port.udp.L2TPPort.readBy}.
        """


def sessionFor(
    dataPath: IChannelHost,
    port: object,
    localAddress: str,
    localIDs: tuple[int, int],
    peer: tuple[str, int],
    peerIDs: tuple[int, int],
) -> Session | None:
    """
    Return a session of the threads for a call; None if they don't carry it.

    @param localIDs: the ids that we assigned to control connection and call.
    @param peerIDs: the ids that the peer assigned.
    """
    if (
        not isinstance(dataPath, NativeDataPath)
        or dataPath.engine.threads is None
        or not isinstance(port, SharedPort)
    ):
        return None
    engine = dataPath.engine
    ours, theirs = (ids[0] << 16 | ids[1] for ids in (localIDs, peerIDs))
    try:
        place = port.readBy(engine)
        return engine.session(place, localAddress or "0.0.0.0", ours, peer, theirs)
    except OSError as error:
        _log.warn("a call isn't carried natively: {error}", error=str(error))
        return None


class SharedSender(DataSender):
    """
    The data messages of a call on the native data path.

    @ivar channel: the channel of the call; set before anything else is done with this.
    """

    __slots__ = ("channel",)

    channel: NativeL2TPChannel

    def numbered(self) -> None:
        """
        See L{DataSender.numbered}.
        """
        self.channel.take()
        super().numbered()
        self.channel.give()

    def received(self, frame: bytes, sequence: int = -1) -> None:
        """
        See L{DataSender.received}.
        """
        self.channel.take()
        try:
            super().received(frame, sequence)
        finally:
            self.channel.give()

    def receivedAll(self, frames: Sequence[bytes]) -> None:
        """
        See L{DataSender.receivedAll}.
        """
        self.channel.take()
        try:
            super().receivedAll(frames)
        finally:
            self.channel.give()

    @property
    def isDoubted(self) -> bool:
        """
        Whether a sequence number of the peer changes what we send.
        """
        return self._follows and self._number < 0

    def suspend(self) -> tuple[int, ...]:
        """
        Return the sequence numbers that come and are sent next, as C{_nativesession.c} takes them,
        since they are counted elsewhere from now on.
        """
        expected, sending = (
            _NO_NUMBER if number < 0 else number for number in (self._expected, self._number)
        )
        return expected, 0, 0, sending, *_REST

    def resume(self, numbers: tuple[int, ...]) -> None:
        """
        Go on from numbers that L{suspend} returned, as they are now.
        """
        self._expected, self._number = (
            -1 if numbers[place] == _NO_NUMBER else numbers[place] for place in (0, 3)
        )


class NativeL2TPChannel(SharedChannel, L2TPChannel):
    """
    The channel of one L2TP call on the native data path.
    """

    _sender: SharedSender

    def __init__(
        self, host: IChannelHost, owner: IChannelOwner, sender: SharedSender, session: Session
    ) -> None:
        self._begin(session)
        super().__init__(host, owner, sender)
        sender.channel = self
        cast(LiveCounters, self.counters).follow(session)

    def _suspend(self) -> tuple[tuple[int, ...], bool]:
        """
        See L{SharedChannel._suspend}.
        """
        return self._sender.suspend(), self._sender.isDoubted

    def _resume(self, numbers: tuple[int, ...], held: list[Held]) -> None:
        """
        See L{SharedChannel._resume}.
        """
        self._sender.resume(numbers)
