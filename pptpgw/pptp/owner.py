"""
The edges of the tunnel half: who is told what becomes of calls and control connections, and the
transport below them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec
from typing import Protocol as TypingProtocol

from pptpgw.log import Logger

if TYPE_CHECKING:
    from pptpgw.pptp.call import Call
    from pptpgw.pptp.connection import ControlConnection

_log = Logger()
_P = ParamSpec("_P")


class CallOwner(TypingProtocol):
    """
    Whose call it is.
    """

    def callEstablished(self, call: Call) -> None:
        """
        Both call ids are known: the tunnel can carry packets.
        """

    def callEnded(self, call: Call, cause: str) -> None:
        """
        The call is over; told exactly once for each call that was accepted or placed.
        """

    def linkInfoSet(self, call: Call, sendACCM: int, receiveACCM: int) -> None:
        """
        The peer sent a Set-Link-Info (section 2.15).
        """


class ConnectionOwner(TypingProtocol):
    """
    Whose control connection it is.
    """

    def connectionOpened(self, connection: ControlConnection) -> None:
        """
        Start-Control-Connection is done: calls can be requested (PAC) or placed (PNS).
        """

    def callRequested(self, call: Call) -> None:
        """
        As PAC: C{call.accept} or C{call.refuse} it, now or within C{answerTimeout}.
        """

    def connectionClosed(self, connection: ControlConnection, reason: str) -> None:
        """
        It is over, and so are its calls; told exactly once for each that got a transport.
        """


class ControlTransport(TypingProtocol):
    """
    What a control connection needs of its TCP connection.
    """

    def write(self, octets: bytes, /) -> object:
        """
        Send, in order.
        """

    def loseConnection(self) -> object:
        """
        Close when all has been sent.
        """

    def abortConnection(self) -> object:
        """
        Close at once.
        """


def tell(function: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs) -> None:
    """
    Call an owner; what it raises is logged and goes no further, so that one owner's fault can't
    keep the others from being told.
    """
    try:
        function(*args, **kwargs)
    except Exception:
        _log.failure("the owner of a call or control connection failed")
