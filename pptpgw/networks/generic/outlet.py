"""
Where the packets of a declared protocol go: an outlet for each session.
"""

from __future__ import annotations

from typing import Protocol

from pptpgw.interfaces import ISubscriber
from pptpgw.networks.generic.control import GenericProtocol


class Outlet(Protocol):
    """
    Where one session's packets go, and where those for it come from.
    """

    def opened(self, protocol: GenericProtocol) -> None:
        """
        The session's C{protocol} opens, for the first time or again.
        """

    def received(self, number: int, packet: bytes) -> None:
        """
        A packet came from the session, under its protocol number.
        """

    def closed(self, protocol: GenericProtocol) -> None:
        """
        It carries packets no longer.
        """


class Outlets(Protocol):
    """
    Where those of all sessions go.
    """

    def start(self) -> None:
        """
        Open what they share.

        @raise pptpgw.error.PPTPGWError: the text says what is wrong and what to do.
        """

    def outlet(self, subscriber: ISubscriber) -> Outlet:
        """
        An outlet for one more session.
        """
