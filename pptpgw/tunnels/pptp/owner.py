"""
The edges of the tunnel half: the transport below it, and how the owners of calls and control
connections are told what becomes of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec
from typing import Protocol as TypingProtocol

from pptpgw.log import Logger

_log = Logger()
_P = ParamSpec("_P")


@dataclass(frozen=True, slots=True)
class Ends:
    """
    The two ends of one call's GRE tunnel (RFC 2637 section 4.1).

    @ivar localAddress: our IPv4 address, dotted.
    @ivar peerAddress: the peer's IPv4 address, dotted.
    @ivar localCallID: the call id in the GRE packets that we receive.
    @ivar peerCallID: the call id to put into those that we send.
    """

    localAddress: str
    peerAddress: str
    localCallID: int
    peerCallID: int


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
