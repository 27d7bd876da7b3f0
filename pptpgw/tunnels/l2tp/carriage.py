"""
What carries the frames of one call: its channel, whether data messages have sequence numbers (RFC
2661 section 5.4), and what a LAC with an asynchronous line has to escape on it (section 6.14).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from typing import Protocol as TypingProtocol

from zope.interface import Attribute

from pptpgw.counting.counters import Counters
from pptpgw.error import CallError
from pptpgw.interfaces import IChannel, IChannelHost, IChannelOwner, IKernelTransport
from pptpgw.ppp.wire.ppp import DEFAULT_ACCM
from pptpgw.tunnels.l2tp.channel import L2TPChannel
from pptpgw.tunnels.l2tp.ids import SessionIDs
from pptpgw.tunnels.l2tp.native import NativeL2TPChannel, SharedSender, sessionFor
from pptpgw.tunnels.l2tp.sender import DataSender, Writer
from pptpgw.tunnels.l2tp.settings import ControlSettings
from pptpgw.tunnels.l2tp.statetable import CallKind
from pptpgw.tunnels.l2tp.wire.avp import SendReceiveACCM
from pptpgw.tunnels.l2tp.wire.code import AVP, MessageType
from pptpgw.tunnels.l2tp.wire.message import L2TPMessage

Address = tuple[str, int]
"""
An IPv4 address, dotted, and a UDP port.
"""

SYNCHRONOUS, ASYNCHRONOUS = 1, 2
"""
The bits of framing types (RFC 2661 section 4.4.3).
"""


class FrameTaker(TypingProtocol):
    """
    What takes the frames of one call.
    """

    def received(self, frame: bytes, sequence: int = -1) -> None:
        """
        Take a frame of the peer.

        @param sequence: its sequence number; -1 for none.
        """

    def receivedAll(self, frames: Sequence[bytes]) -> None:
        """
        Take frames of the peer that follow each other, and have no sequence numbers.
        """


class IL2TPTransport(IKernelTransport):
    """
    What carries the frames of one call within the kernel.
    """

    framesReceived: int = Attribute("How many frames the kernel has received; 0 after the end.")

    def numbered() -> None:
        """
        Send sequence numbers from now on.
        """


class DataPort(TypingProtocol):
    """
    The port by which the data messages of calls come and go.
    """

    def register(self, ids: tuple[int, int], peer: Address, taker: FrameTaker) -> None:
        """
        Give C{taker} the frames that come from C{peer} with these ids, which we assigned to
        connection and call.

        @raise ValueError: another call has these ids.
        @raise CallError: the kernel carries a call that it can't tell from this one.
        """

    def unregister(self, ids: tuple[int, int]) -> None:
        """
        Undo L{register}. Calling this again does nothing.
        """

    def writer(self, localAddress: str, peer: Address) -> Writer:
        """
        Return what sends datagrams from C{localAddress} to C{peer}.
        """

    def openTransport(
        self, carriage: Carriage, encrypted: bool, receive: Callable[[int, bytes], None]
    ) -> IL2TPTransport:
        """
        Have the kernel carry the frames of a call: see
        L{pptpgw.interfaces.IKernelCall.openTransport}.

        @param encrypted: whether IPsec protects them.
        @raise CallError: the kernel can't tell the call from another one.
        """


class DataConnection(TypingProtocol):
    """
    The parts of a control connection by which frames are carried.
    """

    counters: Counters
    localAddress: str
    localID: int
    peer: Address
    port: DataPort | None
    settings: ControlSettings

    @property
    def peerID(self) -> int: ...
    def send(
        self, message: L2TPMessage, sessionID: int = 0, hidden: frozenset[int] = frozenset()
    ) -> None: ...


class Carriage:
    """
    What carries the frames of one call.

    @ivar connection: the control connection.
    @ivar framing: how the LAC's line is framed, L{SYNCHRONOUS} or L{ASYNCHRONOUS}.
    @ivar isNumbered: whether data messages that we send have sequence numbers.
    @ivar peerID: the session id that the peer assigned; 0 while it is unknown.
    """

    def __init__(
        self, connection: DataConnection, kind: CallKind, localID: int, peerID: int
    ) -> None:
        """
        @param localID: the session id that we assigned.
        """
        self.framing = SYNCHRONOUS
        self.isNumbered = kind is CallKind.LAC_INCOMING and connection.settings.numbered
        self.peerID = peerID
        self.connection = connection
        self._kind = kind
        self._localID = localID
        self._channel: IChannel | None = None
        self._sender: DataSender | None = None
        self._transport: IL2TPTransport | None = None

    @property
    def ends(self) -> SessionIDs:
        """
        The ids of the call, once the peer's is known.
        """
        return SessionIDs(
            self.connection.localID, self._localID, self.connection.peerID, self.peerID
        )

    @property
    def isLAC(self) -> bool:
        """
        Whether we are the LAC.
        """
        return self._kind.isLAC

    @property
    def framesReceived(self) -> int:
        """
        How many frames have come from the peer.
        """
        if self._transport is not None:
            return self._transport.framesReceived
        return self._channel.counters.framesReceived if self._channel is not None else 0

    def open(self, owner: IChannelOwner, dataPath: IChannelHost) -> IChannel:
        """
        Make the channel, for the native data path or for one in Python.

        @raise CallError: there is no port.
        """
        connection, port = self.connection, self._port()
        ids, peerIDs = (connection.localID, self._localID), (connection.peerID, self.peerID)
        ends = connection.localAddress, ids, connection.peer, peerIDs
        session = sessionFor(dataPath, port, *ends)
        sender = (DataSender if session is None else SharedSender)(
            peerIDs,
            port.writer(connection.localAddress, connection.peer),
            lambda: port.unregister(ids),
            connection.counters.discard,
            self.tellACCM,
            follows=self.isLAC,
        )
        if session is not None and isinstance(sender, SharedSender):
            channel: L2TPChannel = NativeL2TPChannel(dataPath, owner, sender, session)
        else:
            channel = L2TPChannel(dataPath, owner, sender)
        port.register(ids, connection.peer, sender)
        sender.receive, sender.receiveAll = channel.received, channel.receivedAll
        if self.isNumbered:
            sender.numbered()
        self._sender, self._channel = sender, channel
        return channel

    def openTransport(
        self, encrypted: bool, receive: Callable[[int, bytes], None]
    ) -> IKernelTransport:
        """
        Have the kernel carry the frames: see L{DataPort.openTransport}.

        @raise CallError: there is no port, or the kernel can't tell the call from another one.
        """
        transport = self._port().openTransport(self, encrypted, receive)
        if self.isNumbered:
            transport.numbered()
        self._transport = transport
        return transport

    def number(self) -> None:
        """
        Send sequence numbers from now on, since the LAC requires them.
        """
        self.isNumbered = True
        for one in (self._sender, self._transport):
            if one is not None:
                one.numbered()

    def close(self) -> None:
        """
        Drop the references to what carries the frames, since the call is over.
        """
        self._channel = self._sender = self._transport = None

    def tellACCM(self, send: int, receive: int) -> None:
        """
        Tell a LAC with an asynchronous line which characters are to be escaped on it.
        """
        isAsynchronous = not self.isLAC and self.framing == ASYNCHRONOUS
        if isAsynchronous and (send, receive) != (DEFAULT_ACCM, DEFAULT_ACCM):
            values: dict[int, Any] = {AVP.ACCM: SendReceiveACCM(send, receive)}
            self.connection.send(L2TPMessage(MessageType.SLI, values), self.peerID)

    def _port(self) -> DataPort:
        port = self.connection.port
        if port is None:
            raise CallError("there is no UDP port for the frames of a call")
        return port
