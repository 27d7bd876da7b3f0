"""
Compression of packets by Deflate (RFC 1979): the frames of one direction, without their header.

A frame is a sequence number of two octets and Deflate's octets, of which the last four are left
out: they are the same in every frame, as it ends with an empty stored block (RFC 1979 section 2).
What is compressed is the protocol number, of one octet if that is possible, and the packet.

A packet that wouldn't shrink is sent as it is, outside of such a frame. It has a sequence number
all the same, and both ends have it in their history. So a lost frame of any network shows in the
sequence number of the next compressed one, and then both ends begin anew (L{Inflater.reset}).

What a peer can cause is limited: the octets that come of one frame, and the memory, which is that
of zlib: 70 KiB for what is sent, and 40 KiB for what is received with the largest window.
"""

from __future__ import annotations

import zlib

from pptpgw.error import Malformed

SENT = 13
"""
The logarithm of the largest window with which we compress, whatever the peer's is. A larger one
takes more memory and gains little, and a peer can read what has a smaller window than its own.
"""

_LEVEL = 6
_MEMORY = 6
_NUMBERS = 1 << 16
_TAIL = b"\x00\x00\xff\xff"
# The header of a stored block that isn't the last one (RFC 1951 section 3.2.4).
_STORED = b"\x00"


def _plain(protocol: bytes, packet: bytes) -> bytes:
    """
    Return what is compressed: the protocol number in as few octets as possible, and the packet.
    """
    return protocol.lstrip(b"\0") + packet


class Deflater:
    """
    The compressor of the packets that one end sends.
    """

    __slots__ = ("_deflate", "_number", "_window")

    def __init__(self, window: int) -> None:
        """
        @param window: the logarithm of the peer's window, from 9 to 15.
        """
        self._window = min(window, SENT)
        self.reset()

    def reset(self) -> None:
        """
        Forget what was sent, since the peer has asked for that by a Reset-Request.
        """
        self._number = 0
        self._deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -self._window, _MEMORY)

    def compress(self, protocol: bytes, packet: bytes) -> bytes | None:
        """
        Compress a packet.

        @param protocol: the protocol number as two octets.
        @return: the frame's information; None if the packet must be sent as it is.
        """
        plain = _plain(protocol, packet)
        number, self._number = self._number, (self._number + 1) % _NUMBERS
        octets = self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        frame = number.to_bytes(2, "big") + octets[: -len(_TAIL)]
        return frame if len(frame) < len(plain) else None


class Inflater:
    """
    The decompressor of the packets that one end receives. After an error it refuses frames until
    L{reset}.
    """

    __slots__ = ("_inflate", "_longest", "_number", "_window")

    def __init__(self, window: int, longest: int) -> None:
        """
        @param window: the logarithm of our window, from 9 to 15.
        @param longest: how many octets may come of a frame at most.
        """
        self._window = window
        self._longest = longest
        self.reset()

    def reset(self) -> None:
        """
        Forget what came, as the peer has done on our Reset-Request.
        """
        self._number: int | None = 0
        self._inflate = zlib.decompressobj(-self._window)

    def decompress(self, frame: bytes) -> bytes:
        """
        Decompress a frame.

        @return: the protocol number, of one octet or two, and the packet.
        @raise Malformed: it isn't the next frame, isn't Deflate's, or too much would come of it.
        """
        number, self._number = self._number, None
        if number is None or int.from_bytes(frame[:2], "big") != number or len(frame) < 3:
            raise Malformed("not the next frame of Deflate")
        plain = self._read(frame[2:] + _TAIL)
        self._number = (number + 1) % _NUMBERS
        return plain

    def passed(self, protocol: bytes, packet: bytes) -> None:
        """
        Keep a packet that came as it is in the history.

        @raise Malformed: it is longer than any packet.
        """
        number, self._number = self._number, None
        if number is None:
            return
        plain = _plain(protocol, packet)
        size = len(plain)
        if size > self._longest:
            raise Malformed("a packet that is too long")
        sizes = size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little")
        self._read(_STORED + sizes + plain)
        self._number = (number + 1) % _NUMBERS

    def _read(self, octets: bytes) -> bytes:
        inflate = self._inflate
        try:
            plain = inflate.decompress(octets, self._longest + 1)
        except zlib.error as error:
            raise Malformed(str(error)) from error
        if not 0 < len(plain) <= self._longest or inflate.unconsumed_tail or inflate.eof:
            raise Malformed("a wrong number of octets")
        return plain
