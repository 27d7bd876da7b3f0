"""
The owners of control connections of L2TP, as those see them.
"""

from __future__ import annotations

from typing import Any
from typing import Protocol as TypingProtocol


class L2TPOwner(TypingProtocol):
    """
    The owner of control connections, each a L{pptpgw.tunnels.l2tp.connection.L2TPConnection}, which
    is told about them and their calls.
    """

    def connectionOpened(self, connection: Any) -> None:
        """
        Note that the connection is established: calls can be asked for.
        """

    def callRequested(self, call: Any) -> None:
        """
        Answer a request by the methods of an L{pptpgw.tunnels.l2tp.call.L2TPCall}, at once or
        within C{answerTimeout}.
        """

    def connectionClosed(self, connection: Any, reason: str) -> None:
        """
        Note that the connection has ended, and its calls before it. This is called exactly once.
        """
