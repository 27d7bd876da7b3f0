"""
Reading GRE packets from a raw socket, and sending them: in C if the extension can be used
(L{pptpgw.ports.compiled}), otherwise in Python with the same results. C{fastest} is the one in use,
and C{implementation} its name.
"""

from __future__ import annotations

import socket
from struct import Struct
from typing import Protocol

from pptpgw.datapath.interface import ReceiveFrames, SendPacket
from pptpgw.error import Malformed
from pptpgw.ports.compiled import fits
from pptpgw.ppp.wire.ppp import decodeFrame
from pptpgw.tunnels.pptp.wire.gre import DATA, DATA_ACKNOWLEDGEMENT, PROTOCOL_TYPE

RECEIVE_SIZE = 4096
"""
The largest IP packet in octets that can be read. A larger one is lost.
"""

BATCH = 128
"""
The largest number of packets that are read at once. They take about a millisecond; then timers and
other descriptors have their turn.
"""

Run = tuple[ReceiveFrames | None, int, int, list[bytes]]
"""
The function to call, and its arguments: the first sequence number, the protocol number, and the
information fields of consecutive frames. For a packet that must be examined further the function is
None, and the list has the whole packet.
"""

# Linux's socket option that the module socket doesn't have.
IP_PKTINFO = 8

# An IP header of 20 octets and the first 12 octets of the GRE header, which every PPTP packet has.
_BOTH = Struct("!12xI4xIHHI")
_ONE_NUMBER = 20 + 12
_TWO_NUMBERS = 20 + 16
_DATA = DATA << 16 | PROTOCOL_TYPE
_DATA_ACKNOWLEDGEMENT = DATA_ACKNOWLEDGEMENT << 16 | PROTOCOL_TYPE


class Raw(Protocol):
    """
    The interface of an implementation, which reads and sends on a raw socket that doesn't block.
    """

    def receive(self, opened: socket.socket, channels: dict[int, ReceiveFrames]) -> list[Run]:
        """
        Read up to L{BATCH} packets, and find the calls that they belong to.

        A packet is parsed if it contains a PPP frame, its IP header has no options, and its peer
        and call id are in C{channels}, as one number of 48 bits. Any other packet is returned
        whole. Packets of one call that arrive one after another, with consecutive numbers and the
        same protocol number, are one run.

        @raise OSError: reading failed, except because no packet is there.
        """

    def sender(self, opened: socket.socket, source: bytes, destination: bytes) -> SendPacket:
        """
        Return a function that sends packets from and to these addresses, of 4 octets each. The
        source must be given, because on a socket for all addresses the kernel would choose it by
        its routes, which change.
        """


class PythonRaw:
    """
    The implementation of L{Raw} in Python.
    """

    def receive(self, opened: socket.socket, channels: dict[int, ReceiveFrames]) -> list[Run]:
        """
        See L{Raw.receive}.
        """
        runs: list[Run] = []
        following: tuple[ReceiveFrames | None, int, int] = (None, 0, 0)
        try:
            for _ in range(BATCH):
                run = _run(opened.recv(RECEIVE_SIZE), channels)
                channel, sequence, protocol, frames = run
                if channel is not None and run[:3] == following:
                    runs[-1][3].extend(frames)
                else:
                    runs.append(run)
                following = (channel, sequence + 1, protocol)
        except BlockingIOError:
            pass
        except OSError:
            if not runs:
                raise
        return runs

    def sender(self, opened: socket.socket, source: bytes, destination: bytes) -> SendPacket:
        """
        See L{Raw.sender}.
        """
        sendmsg = opened.sendmsg
        ancillary = [(socket.IPPROTO_IP, IP_PKTINFO, bytes(4) + source + bytes(4))]
        address = (socket.inet_ntoa(destination), 0)
        return lambda packet: sendmsg((packet,), ancillary, 0, address)


def _run(octets: bytes, channels: dict[int, ReceiveFrames]) -> Run:
    """
    Return the run of one packet: parsed if it is of the usual form, otherwise whole.
    """
    if len(octets) >= _ONE_NUMBER and octets[0] == 0x45:
        source, flags, length, callID, sequence = _BOTH.unpack_from(octets)
        if flags in (_DATA, _DATA_ACKNOWLEDGEMENT):
            start = _ONE_NUMBER if flags == _DATA else _TWO_NUMBERS
            channel = channels.get(source << 16 | callID)
            if channel is not None and start + length <= len(octets):
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

    def receive(self, opened: socket.socket, channels: dict[int, ReceiveFrames]) -> list[Run]:
        """
        See L{Raw.receive}.
        """
        return _gre.receive(opened.fileno(), channels)

    def sender(self, opened: socket.socket, source: bytes, destination: bytes) -> SendPacket:
        """
        See L{Raw.sender}.
        """
        return _gre.sender(opened.fileno(), source, destination)


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
