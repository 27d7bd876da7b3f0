"""
Two ends of L2TP without sockets, and a wire between them that loses, repeats and delays datagrams.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.task import Clock
from zope.interface import implementer

from pptpgw.counting.counters import Counters
from pptpgw.error import Malformed
from pptpgw.interfaces import ICallOwner, Refusal
from pptpgw.tunnels.l2tp.call import L2TPCall
from pptpgw.tunnels.l2tp.carriage import Address, Carriage, FrameTaker, IL2TPTransport
from pptpgw.tunnels.l2tp.connection import L2TPConnection
from pptpgw.tunnels.l2tp.connections import ControlConnections
from pptpgw.tunnels.l2tp.settings import ControlSettings
from pptpgw.tunnels.l2tp.wire.code import MessageType
from pptpgw.tunnels.l2tp.wire.header import (
    ControlHeader,
    decodeControl,
    decodeData,
    encodeControl,
    isControl,
)
from pptpgw.tunnels.l2tp.wire.message import L2TPMessage, decode, encode, nameOf

LAC: Address = ("192.0.2.10", 1701)
LNS: Address = ("192.0.2.1", 1701)

Datagram = tuple[Address, Address, bytes]
"""
The source, the destination and the octets.
"""


class Writing:
    """
    What sends datagrams, by a function.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.write = write

    def writeAll(self, datagrams: Sequence[bytes]) -> list[tuple[int, OSError]]:
        for one in datagrams:
            self.write(one)
        return []


@implementer(ICallOwner)
class CallOwner:
    """
    The owner of a call, which records what it is told.
    """

    def __init__(self) -> None:
        self.heard: list[str] = []

    def callEstablished(self, call: Any) -> None:
        self.heard.append("established")

    def callEnded(self, call: Any, cause: str) -> None:
        self.heard.append(cause)


@implementer(IL2TPTransport)
class Transport:
    """
    What carries the frames of a call within the kernel.

    @ivar ends: the ids of the call.
    """

    channel = 7
    compresses = False
    figures = None

    def __init__(self, carriage: Carriage, encrypted: bool) -> None:
        self.ends = carriage.ends
        self.setACCM = carriage.tellACCM
        self.isLAC, self.encrypted = carriage.isLAC, encrypted
        self.framesReceived = 0
        self.isNumbered = False

    def numbered(self) -> None:
        self.isNumbered = True

    def requireEncryption(self) -> None:
        pass

    def close(self) -> None:
        pass


class End:
    """
    One end, which is its port and the owner of its connections, too.

    @ivar owner: the owner that calls are accepted for; None to decide nothing.
    @ivar refusal: why calls are refused; None if they aren't.
    @ivar admitted: whether connections are let in.
    """

    def __init__(self, wire: Wire, address: Address, settings: ControlSettings) -> None:
        self.wire = wire
        self.address = address
        self.counters = Counters()
        self.connections = ControlConnections(wire.clock, settings, self.counters, self, self)
        self.owner: CallOwner | None = CallOwner()
        self.refusal: Refusal | None = None
        self.admitted = True
        self.begun: list[L2TPConnection] = []
        self.opened: list[L2TPConnection] = []
        self.closed: list[str] = []
        self.calls: list[L2TPCall] = []
        self.senders: dict[tuple[int, int], FrameTaker] = {}
        self.transports: list[Transport] = []
        self.ends: list[int] = []

    # The port

    def send(self, localAddress: str, peer: Address, octets: bytes) -> None:
        self.wire.datagrams.append((self.address, peer, octets))

    def writer(self, localAddress: str, peer: Address) -> Writing:
        return Writing(lambda octets: self.wire.datagrams.append((self.address, peer, octets)))

    def register(self, ids: tuple[int, int], peer: Address, taker: FrameTaker) -> None:
        if ids in self.senders:
            raise ValueError("in use")
        self.senders[ids] = taker

    def unregister(self, ids: tuple[int, int]) -> None:
        self.senders.pop(ids, None)

    def openTransport(
        self, carriage: Carriage, encrypted: bool, receive: Callable[[int, bytes], None]
    ) -> Transport:
        self.transports.append(Transport(carriage, encrypted))
        return self.transports[-1]

    def ended(self, peer: Address, tunnelID: int) -> None:
        self.ends.append(tunnelID)

    def receive(self, source: Address, octets: bytes) -> None:
        if isControl(octets):
            self.connections.received(octets, source, self.address[0])
            return
        try:
            message = decodeData(octets)
        except Malformed:
            return
        sender = self.senders.get(message[:2])
        if sender is not None:
            sender.received(message.frame, message.sequence)

    # The owner of connections

    def admits(self, host: str) -> bool:
        return self.admitted

    def connectionBegun(self, connection: L2TPConnection) -> None:
        self.begun.append(connection)

    def connectionOpened(self, connection: L2TPConnection) -> None:
        self.opened.append(connection)

    def callRequested(self, call: L2TPCall) -> None:
        self.calls.append(call)
        if self.refusal is not None:
            call.refuse(self.refusal)
        elif self.owner is not None:
            call.accept(self.owner)

    def connectionClosed(self, connection: L2TPConnection, reason: str) -> None:
        self.closed.append(reason)

    # For tests

    def dial(self, peer: Address = LNS) -> L2TPConnection:
        """
        Open a connection.
        """
        return self.connections.open(self, self.address[0], peer)

    def discards(self, reason: str) -> int:
        return self.counters.discards.get(reason, 0)


class Wire:
    """
    The wire, and its two ends.

    @ivar datagrams: those that are under way.
    @ivar seen: all that have arrived.
    @ivar passes: decides what becomes of a datagram: how often it arrives.
    """

    def __init__(
        self, lns: ControlSettings | None = None, lac: ControlSettings | None = None
    ) -> None:
        self.clock = Clock()
        self.datagrams: list[Datagram] = []
        self.seen: list[Datagram] = []
        self.passes: Callable[[Datagram], int] = lambda datagram: 1
        self.lns = End(self, LNS, lns or ControlSettings())
        self.lac = End(self, LAC, lac or ControlSettings())

    def run(self, seconds: float = 0.0, step: float = 0.25) -> None:
        """
        Have everything arrive that is under way, for so many seconds.
        """
        self._deliver()
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            seconds -= step
            self._deliver()

    def _deliver(self) -> None:
        for _ in range(10_000):
            if not self.datagrams:
                return
            one = source, destination, octets = self.datagrams.pop(0)
            for _ in range(self.passes(one)):
                self.seen.append(one)
                for end in (self.lns, self.lac):
                    if end.address == destination:
                        end.receive(source, octets)
        raise AssertionError("the two ends never come to rest")

    def names(self, destination: Address) -> list[str]:
        """
        What has arrived at one end, by name.
        """
        return [
            "ZLB" if not (body := decodeControl(octets)[1]) else nameOf(decode(body).type)
            for _, there, octets in self.seen
            if there == destination and isControl(octets)
        ]

    def dialled(self) -> tuple[L2TPConnection, L2TPConnection]:
        """
        Open a connection from the LAC to the LNS.

        @return: its two ends, the LAC's first.
        """
        ours = self.lac.dial()
        self.run()
        return ours, self.lns.opened[-1]

    def called(self) -> tuple[L2TPCall, L2TPCall, CallOwner]:
        """
        Place an incoming call.

        @return: its two ends, the LAC's first, and the LAC's owner.
        """
        ours, _ = self.dialled()
        owner = CallOwner()
        call = ours.placeCall(owner)
        self.run()
        return call, self.lns.calls[-1], owner


class Stranger:
    """
    A peer that sends what it wants.

    @ivar peerID: the tunnel id that the other end has told.
    """

    def __init__(self, wire: Wire, end: End, address: Address = ("192.0.2.66", 5000)) -> None:
        self.wire = wire
        self.end = end
        self.address = address
        self.peerID = 0
        self.sent = self.expected = 0

    def say(
        self,
        kind: int,
        values: dict[int, Any] | None = None,
        sessionID: int = 0,
        tunnelID: int | None = None,
        mustKnow: bool = True,
    ) -> list[L2TPMessage]:
        """
        Send a message.

        @return: the answers.
        """
        body = encode(L2TPMessage(kind, values or {}, mustKnow))
        return self.raw(body, sessionID, tunnelID)

    def raw(
        self, body: bytes, sessionID: int = 0, tunnelID: int | None = None
    ) -> list[L2TPMessage]:
        to = self.peerID if tunnelID is None else tunnelID
        header = ControlHeader(to, sessionID, self.sent, self.expected)
        self.sent = (self.sent + 1) & 0xFFFF if body else self.sent
        self.end.receive(self.address, encodeControl(header, body))
        return self.answers()

    def answers(self) -> list[L2TPMessage]:
        """
        The messages that have come, which are acknowledged with the next one.
        """
        found = []
        left = []
        for one in self.wire.datagrams:
            if one[1] != self.address:
                left.append(one)
                continue
            header, body = decodeControl(one[2])
            if body:
                message = decode(body)
                if message.type == MessageType.SCCRP:
                    self.peerID = message.values[9]
                if header.sent == self.expected:
                    self.expected += 1
                found.append(message)
        self.wire.datagrams[:] = left
        return found
