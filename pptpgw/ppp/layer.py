"""
What stands on a control protocol: the link on LCP and CCP, a network protocol on its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Protocol as TypingProtocol

if TYPE_CHECKING:
    from pptpgw.ppp.control import ControlProtocol


class Layer(TypingProtocol):
    """
    Whom a control protocol tells.
    """

    def layerUp(self, protocol: ControlProtocol) -> None:
        """
        This-Layer-Up: it reached Opened.
        """

    def layerDown(self, protocol: ControlProtocol) -> None:
        """
        This-Layer-Down: it left Opened.
        """

    def layerFinished(self, protocol: ControlProtocol, reason: str) -> None:
        """
        This-Layer-Finished: it gave up or was ended, and won't open again by itself.
        """


class Nobody:
    """
    Replaces the L{Layer} and the sender of a control protocol that won't be used any more.
    """

    def layerUp(self, protocol: ControlProtocol) -> None:
        """
        Nobody is told.
        """

    def layerDown(self, protocol: ControlProtocol) -> None:
        """
        Nobody is told.
        """

    def layerFinished(self, protocol: ControlProtocol, reason: str) -> None:
        """
        Nobody is told.
        """

    def send(self, protocol: int, packet: bytes) -> None:
        """
        Nothing is sent.
        """


NOBODY = Nobody()
