"""
The layer above a control protocol (RFC 1661 section 4.4), as that sees it.
"""

from __future__ import annotations

from typing import Any
from typing import Protocol as TypingProtocol


class Layer(TypingProtocol):
    """
    The layer above a control protocol (L{pptpgw.ppp.control.ControlProtocol}), which is told of its
    state: the link is the layer above LCP and CCP, a network protocol the layer above its own
    control protocol.
    """

    def layerUp(self, protocol: Any) -> None:
        """
        This-Layer-Up (RFC 1661 section 4.4): note that C{protocol} has reached Opened.
        """

    def layerDown(self, protocol: Any) -> None:
        """
        This-Layer-Down: note that C{protocol} has left Opened.
        """

    def layerFinished(self, protocol: Any, reason: str) -> None:
        """
        This-Layer-Finished: C{protocol} gave up or was ended, and won't open again by itself.
        """


class Nobody:
    """
    A L{Layer} and a sender that ignore everything, for a control protocol that won't be used any
    more.
    """

    def layerUp(self, protocol: Any) -> None:
        """
        See L{Layer.layerUp}.
        """

    def layerDown(self, protocol: Any) -> None:
        """
        See L{Layer.layerDown}.
        """

    def layerFinished(self, protocol: Any, reason: str) -> None:
        """
        See L{Layer.layerFinished}.
        """

    def send(self, protocol: int, packet: bytes) -> None:
        """
        Discard a packet that would be sent.
        """


NOBODY = Nobody()
