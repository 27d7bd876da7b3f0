"""
Reading GRE packets from a raw socket, and sending them: in C if the extension can be used
(L{pptpgw.ports.compiled}), otherwise in Python with the same results. C{fastest} is the one in use,
and C{implementation} its name.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from functools import partial
from struct import Struct
from typing import Protocol

from pptpgw.datapath.fair import BATCH, READ, Fair
from pptpgw.datapath.interface import ReceiveFrames, SendAll, SendPacket
from pptpgw.error import Malformed
from pptpgw.ports.compiled import fits
from pptpgw.ppp.wire.ppp import decodeFrame
from pptpgw.tunnels.pptp.wire.gre import DATA, DATA_ACKNOWLEDGEMENT, PROTOCOL_TYPE

RECEIVE_SIZE = 4096
"""
The largest IP packet in octets that can be read. A larger one is lost.
"""

STRAYS = (1 << 64) - 1
"""
The key of packets that belong to no call, which share one lane.
"""

Run = tuple[ReceiveFrames | None, int, int, list[bytes]]
"""
The function to call, and its arguments: the first sequence number, the protocol number, and the
information fields of consecutive frames. For a packet that must be examined further the function is
None, and the list has the whole packet.
"""

# Linux's socket option that the module socket doesn't have.
IP_PKTINFO = 8

# An IP header without options, and the octets of the GRE header that every PPTP packet has: flags,
# version and protocol type, length, call id, and a number.
_HEADER, _SHORTEST = 20, 12
_FIELDS = Struct("!20xIH2xI")
_ONE_NUMBER = _HEADER + 12
_TWO_NUMBERS = _HEADER + 16
_DATA = DATA << 16 | PROTOCOL_TYPE
_DATA_ACKNOWLEDGEMENT = DATA_ACKNOWLEDGEMENT << 16 | PROTOCOL_TYPE


class Receiver(Protocol):
    """
    The packets of a raw socket, which wait in lanes (L{pptpgw.datapath.fair}), one for each call,
    since in the socket all calls share one queue.

    @ivar waiting: the number of packets that wait.
    """

    @property
    def waiting(self) -> int:
        """
        See L{Receiver}.
        """

    def read(self, channels: dict[int, ReceiveFrames], /) -> dict[int, int]:
        """
        Read up to L{pptpgw.datapath.fair.READ} packets, and have them wait in the lanes of their
        calls.

        @param channels: the calls, by peer and call id as one number of 48 bits.
        @return: how many packets were dropped of each call, or of L{STRAYS}.
        @raise OSError: reading failed, except because no packet is there.
        """

    def take(self, channels: dict[int, ReceiveFrames], /) -> list[Run]:
        """
        Return up to L{pptpgw.datapath.fair.BATCH} packets whose turn it is.

        A packet is parsed if it contains a PPP frame, its IP header has no options, and its call is
        in C{channels}. Any other packet is returned whole. Packets of one call that come one after
        another, with consecutive numbers and the same protocol number, are one run.
        """


class Raw(Protocol):
    """
    The interface of an implementation, which reads and sends on a raw socket that doesn't block.
    """

    def receiver(self, opened: socket.socket) -> Receiver:
        """
        Return what receives the packets of the socket.
        """

    def sender(self, opened: socket.socket, source: bytes, destination: bytes) -> SendPacket:
        """
        Return a function that sends a packet from and to these addresses, of 4 octets each. The
        source must be given, because on a socket for all addresses the kernel would choose it by
        its routes, which change.
        """

    def allSender(self, opened: socket.socket, source: bytes, destination: bytes) -> SendAll:
        """
        Return a function that sends packets from and to these addresses. It tries to send each of
        them, even if others fail.
        """


class PythonReceiver:
    """
    The L{Receiver} in Python.
    """

    def __init__(self, opened: socket.socket) -> None:
        self._recv = opened.recv
        self._fair: Fair[int] = Fair()

    @property
    def waiting(self) -> int:
        """
        See L{Receiver}.
        """
        return self._fair.waiting

    def read(self, channels: dict[int, ReceiveFrames], /) -> dict[int, int]:
        """
        See L{Receiver.read}.
        """
        fair = self._fair
        fair.dropped = {}
        read = 0
        try:
            while read < READ:
                octets = self._recv(RECEIVE_SIZE)
                read += 1
                key = _key(octets)
                if not fair.has(key) and key not in channels:
                    key = STRAYS
                fair.add(key, (octets,))
        except BlockingIOError:
            pass
        except OSError:
            if not read:
                raise
        return fair.dropped

    def take(self, channels: dict[int, ReceiveFrames], /) -> list[Run]:
        """
        See L{Receiver.take}.
        """
        fair = self._fair
        runs: list[Run] = []
        following: tuple[ReceiveFrames | None, int, int] = (None, 0, 0)
        left = BATCH
        while left and fair.waiting:
            key, packets = fair.take(left)
            left -= len(packets)
            found = channels.get(key)
            for octets in packets:
                run = _run(octets, found)
                channel, sequence, protocol, frames = run
                if channel is not None and run[:3] == following:
                    runs[-1][3].extend(frames)
                else:
                    runs.append(run)
                following = (channel, sequence + 1, protocol)
        return runs


class PythonRaw:
    """
    The implementation of L{Raw} in Python.
    """

    def receiver(self, opened: socket.socket) -> PythonReceiver:
        """
        See L{Raw.receiver}.
        """
        return PythonReceiver(opened)

    def sender(self, opened: socket.socket, source: bytes, destination: bytes) -> SendPacket:
        """
        See L{Raw.sender}.
        """
        sendmsg = opened.sendmsg
        ancillary = [(socket.IPPROTO_IP, IP_PKTINFO, bytes(4) + source + bytes(4))]
        address = (socket.inet_ntoa(destination), 0)
        return lambda packet: sendmsg((packet,), ancillary, 0, address)

    def allSender(self, opened: socket.socket, source: bytes, destination: bytes) -> SendAll:
        """
        See L{Raw.allSender}.
        """
        return partial(sendEach, self.sender(opened, source, destination))


def sendEach(send: SendPacket, packets: Sequence[bytes]) -> list[tuple[int, OSError]]:
    """
    Send packets one by one: see L{SendAll}.
    """
    failures = []
    for place, packet in enumerate(packets):
        try:
            send(packet)
        except OSError as error:
            failures.append((place, error))
    return failures


def _key(octets: bytes) -> int:
    """
    Return the key of the call that a packet belongs to, if it has the form of one of a call.
    """
    start = (octets[0] & 0x0F) * 4 if octets else 0
    if start < _HEADER or start + _SHORTEST > len(octets):
        return STRAYS
    return int.from_bytes(octets[12:16] + octets[start + 6 : start + 8], "big")


def _run(octets: bytes, channel: ReceiveFrames | None) -> Run:
    """
    Return the run of one packet: parsed if it is a call's and of the usual form, otherwise whole.
    """
    if channel is not None and len(octets) >= _ONE_NUMBER and octets[0] == 0x45:
        flags, length, sequence = _FIELDS.unpack_from(octets)
        if flags in (_DATA, _DATA_ACKNOWLEDGEMENT):
            start = _ONE_NUMBER if flags == _DATA else _TWO_NUMBERS
            if start + length <= len(octets):
                try:
                    protocol, information = decodeFrame(octets[start : start + length])
                except Malformed:
                    pass
                else:
                    return channel, sequence, protocol, [information]
    return None, 0, 0, [octets]


class CompiledRaw:
    """
    The implementation of L{Raw} in C.

    It uses the number of the socket, so a sender must not be called after the socket was closed.
    """

    def receiver(self, opened: socket.socket) -> Receiver:
        """
        See L{Raw.receiver}.
        """
        return _gre.Receiver(opened.fileno())

    def sender(self, opened: socket.socket, source: bytes, destination: bytes) -> SendPacket:
        """
        See L{Raw.sender}.
        """
        return _gre.sender(opened.fileno(), source, destination)

    def allSender(self, opened: socket.socket, source: bytes, destination: bytes) -> SendAll:
        """
        See L{Raw.allSender}.
        """
        return _gre.allSender(opened.fileno(), source, destination)


fastest: Raw = PythonRaw()
implementation = "Python"

try:
    from pptpgw.tunnels.pptp.port import _gre
except ImportError:
    pass
else:
    if fits(_gre):
        fastest = CompiledRaw()
        implementation = "compiled"
