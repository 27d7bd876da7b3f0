"""
Reading GRE packets from a raw socket and writing them to it: in C where the extension fits
(L{pptpgw.ports.compiled}), and otherwise in Python, which gives the same. C{fastest} is the one to
use, C{implementation} its name.
"""

from __future__ import annotations

import socket
from struct import Struct
from typing import Protocol

from pptpgw.datapath.edges import Receive, Send
from pptpgw.error import Malformed
from pptpgw.ports.compiled import fits
from pptpgw.ppp.wire.ppp import decodeFrame
from pptpgw.tunnels.pptp.wire.gre import DATA, DATA_ACKNOWLEDGEMENT, PROTOCOL_TYPE

RECEIVE_SIZE = 4096
"""
The largest IP packet that is read whole; the rest of a larger one is lost, and so is the packet.
"""

BATCH = 128
"""
Packets a wake-up, at most: about a millisecond, then timers and other descriptors have their turn.
"""

Run = tuple[Receive | None, int, int, list[bytes]]
"""
Who is to be called, and with what; nobody, and the whole packet in place of the information field,
alone in its list, where that takes a closer look.
"""

# Linux's, which the module socket leaves out.
IP_PKTINFO = 8

# An IP header of 20 octets and the first 12 of the GRE header; every PPTP packet has them.
_BOTH = Struct("!12xI4xIHHI")
_ONE_NUMBER = 20 + 12
_TWO_NUMBERS = 20 + 16
_DATA = DATA << 16 | PROTOCOL_TYPE
_DATA_ACKNOWLEDGEMENT = DATA_ACKNOWLEDGEMENT << 16 | PROTOCOL_TYPE


class Raw(Protocol):
    """
    A way to use a raw socket that doesn't block.
    """

    def receive(self, opened: socket.socket, channels: dict[int, Receive]) -> list[Run]:
        """
        Take up to L{BATCH} packets, and find the calls that they belong to.

        A packet that holds a PPP frame, whose IP header has no options, and whose peer and call id
        are in C{channels}, as one number of 48 bits, is taken apart; any other is left whole. Those
        that follow each other, by their numbers too, with frames of one protocol, are one run.

        @raise OSError: nothing could be read, for another reason than that nothing is there.
        """

    def sender(self, opened: socket.socket, source: bytes, destination: bytes) -> Send:
        """
        What sends packets from and to these addresses, 4 octets each. The source has to be named,
        as on a socket for every address the kernel would choose by its routes, which change.
        """


class PythonRaw:
    """
    L{Raw} in Python.
    """

    def receive(self, opened: socket.socket, channels: dict[int, Receive]) -> list[Run]:
        """
        See L{Raw.receive}.
        """
        runs: list[Run] = []
        following: tuple[Receive | None, int, int] = (None, 0, 0)
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

    def sender(self, opened: socket.socket, source: bytes, destination: bytes) -> Send:
        """
        See L{Raw.sender}.
        """
        sendmsg = opened.sendmsg
        ancillary = [(socket.IPPROTO_IP, IP_PKTINFO, bytes(4) + source + bytes(4))]
        address = (socket.inet_ntoa(destination), 0)
        return lambda packet: sendmsg((packet,), ancillary, 0, address)


def _run(octets: bytes, channels: dict[int, Receive]) -> Run:
    """
    One packet, taken apart if it is a plain one.
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
    L{Raw} in C.

    It knows a socket by its number: it must not be used on once the socket is closed.
    """

    def receive(self, opened: socket.socket, channels: dict[int, Receive]) -> list[Run]:
        """
        See L{Raw.receive}.
        """
        return _gre.receive(opened.fileno(), channels)

    def sender(self, opened: socket.socket, source: bytes, destination: bytes) -> Send:
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
