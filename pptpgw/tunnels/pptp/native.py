"""
The channel of a PPTP call whose packets threads outside of the interpreter carry
(L{pptpgw.datapath.sharing}).

Packets that a thread holds until their turn comes are part of what is owned.
"""

from __future__ import annotations

from typing import Protocol, cast

from pptpgw.datapath.engine import LiveCounters
from pptpgw.datapath.interface import Reader
from pptpgw.datapath.sharing import Held, SharedChannel
from pptpgw.datapath.threaded import NativeDataPath
from pptpgw.interfaces import IChannelOwner
from pptpgw.tunnels.pptp.channel import GRE, GREChannel, TellACCM
from pptpgw.tunnels.pptp.handover import SharedWindow
from pptpgw.tunnels.pptp.owner import Ends


class SharedGRE(GRE, Protocol):
    """
    A GRE port whose socket a thread can read.
    """

    def readBy(self, reader: Reader) -> int:
        """
        See L{pptpgw.tunnels.pptp.port.gre.GREPort.readBy}.
        """


class NativeChannel(SharedChannel, GREChannel):
    """
    The channel of one PPTP call on the native data path.
    """

    makeWindow = SharedWindow
    _window: SharedWindow

    def __init__(
        self,
        host: NativeDataPath,
        owner: IChannelOwner,
        ends: Ends,
        gre: SharedGRE,
        tellACCM: TellACCM | None = None,
    ) -> None:
        """
        @raise ValueError: another call has the same call id with this peer.
        @raise OSError: the threads don't run, or can't read the port.
        """
        session = host.engine.session(
            gre.readBy(host.engine),
            ends.localAddress,
            ends.localCallID,
            (ends.peerAddress, 0),
            ends.peerCallID,
        )
        self._begin(session)
        try:
            super().__init__(host, owner, ends, gre, tellACCM)
        except BaseException:
            session.close()
            raise
        cast(LiveCounters, self.counters).follow(session)

    @property
    def _isSettled(self) -> bool:
        """
        See L{SharedChannel._isSettled}.
        """
        return self._window.isSettled

    def _suspend(self) -> tuple[tuple[int, ...], bool]:
        """
        See L{SharedChannel._suspend}.
        """
        return self._window.suspend(), self._window.isDoubted

    def _resume(self, numbers: tuple[int, ...], held: list[Held]) -> None:
        """
        See L{SharedChannel._resume}.
        """
        self._window.resume(numbers, held)

    def framesReceived(self, sequence: int, protocol: int, frames: list[bytes]) -> None:
        """
        See L{GREChannel.framesReceived}. What the thread held comes first. If it left nothing else,
        it left a packet without a frame.
        """
        self.take()
        try:
            self._window.catchUp()
            super().framesReceived(sequence, protocol, frames)
        finally:
            self.give()
