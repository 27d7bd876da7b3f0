"""
The edges of the tunnel half: who is told what becomes of calls and control connections, and the
transport below them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec
from typing import Protocol as TypingProtocol

from pptpgw.interfaces import IChannel, IChannelHost, IChannelOwner
from pptpgw.log import Logger

if TYPE_CHECKING:
    from pptpgw.pptp.call import Call
    from pptpgw.pptp.connection import ControlConnection

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


class Channels(TypingProtocol):
    """
    What opens the channels of calls.
    """

    def open(self, call: Call, owner: IChannelOwner, dataPath: IChannelHost) -> IChannel:
        """
        See L{pptpgw.interfaces.ICall.openChannel}.
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
