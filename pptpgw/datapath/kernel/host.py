"""
The data path within the kernel, as its channels see it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from pptpgw.datapath.kernel.figures import Counted
from pptpgw.interfaces import Attachment
from pptpgw.ports.ppp import PPPChannel, PPPUnit, ReceiveFrame


class Host(Protocol):
    """
    The data path within the kernel, as far as its channels use it: it opens channels and devices,
    and leads packets to these.

    @ivar clock: the reactor.
    """

    clock: IReactorTime

    def openPPP(self, index: int, receive: ReceiveFrame) -> PPPChannel:
        """
        Open the kernel's channel with the number C{index}.
        """

    def openUnit(self, number: int, counted: Counted, receive: ReceiveFrame) -> PPPUnit:
        """
        Make a device for packets.

        @param number: the number of the session.
        @param counted: is told what the device counts.
        """

    def count(self, unit: PPPUnit) -> None:
        """
        Read what the device of C{unit} has counted until now.
        """

    def networkOpened(
        self, unit: PPPUnit, attachment: Attachment, mtu: int, before: Attachment | None
    ) -> None:
        """
        Lead packets for the networks of C{attachment} to the device of C{unit}, whose MTU is
        C{mtu}; and those that only C{before} had no more.
        """

    def inTurn(self, change: Callable[[], object]) -> None:
        """
        Make a change that thousands of channels may want at one moment, at once or soon.
        """

    def setMTU(self, unit: PPPUnit, mtu: int) -> None:
        """
        Give the device of C{unit} another MTU, in octets.
        """

    def networkClosed(self, unit: PPPUnit, attachment: Attachment) -> None:
        """
        Lead packets for the networks of C{attachment} to the device of C{unit} no more.
        """

    def channelClosed(self, unit: PPPUnit | None, close: Sequence[Callable[[], None]]) -> None:
        """
        Close the files of a channel, each by one function, in order.
        """
