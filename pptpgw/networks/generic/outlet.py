"""
The interface between a declared protocol's sessions and the destination of their packets.
"""

from __future__ import annotations

from typing import Protocol

from pptpgw.interfaces import ISubscriber
from pptpgw.networks.generic.control import GenericProtocol


class Outlet(Protocol):
    """
    Takes the packets of one session's protocol, and is told when that opens and closes.
    """

    def opened(self, protocol: GenericProtocol) -> None:
        """
        The session's C{protocol} has opened, for the first time or again.
        """

    def received(self, number: int, packet: bytes) -> None:
        """
        The session's peer sent a packet, under the protocol number C{number}.
        """

    def closed(self, protocol: GenericProtocol) -> None:
        """
        The session's C{protocol} has left Opened.
        """


class Outlets(Protocol):
    """
    The destination of the packets of all sessions, which makes an L{Outlet} for each.
    """

    def start(self) -> None:
        """
        Open what all sessions share.

        @raise pptpgw.error.PPTPGWError: the text says what is wrong and what to do.
        """

    def outlet(self, subscriber: ISubscriber) -> Outlet:
        """
        Make the outlet for one more session.
        """
