"""
Microsoft's compression of packets, MPPC (RFC 2118): the frames of one direction.

A frame is a header of two octets, as MPPE has it, and the compressed protocol number and packet.
The header holds FLUSHED (0x8000), FRONT (0x4000), COMPRESSED (0x2000) and a count modulo 4096.

Both ends remember what was sent in a history of 8,192 octets. A packet is never split there: one
that doesn't fit behind the last one begins at the front (FRONT), and overwrites what is there.
FLUSHED tells that the sender has emptied its history before this packet. After a loss, which the
count shows, the receiver asks for that by a Reset-Request.

What is compressed is a stream of bits, the highest one of an octet first, without an end: what is
left of the last octet is zero. Its elements are

 - an octet below 0x80 as it is, or one from 0x80 as the bits 10 and its seven lower ones;
 - octets that are in the history, as how far back they are (C{_OFFSETS}), and how many they are
   (C{_lengthOf}). A history goes round: before its front stands its end.

A packet that wouldn't shrink is sent as it is, outside of such a frame, and isn't remembered. Other
senders send it in a frame that isn't COMPRESSED.

What a peer can cause is limited: a history has a fixed size, and no more octets come of a frame
than the MRU permits. In Python a large packet takes one or two milliseconds in each direction.
"""

from __future__ import annotations

from array import array

from pptpgw.error import Malformed

HISTORY = 8192
"""
The size of a history in octets.
"""

FLUSHED = 0x8000
FRONT = 0x4000
COMPRESSED = 0x2000
ENCRYPTED = 0x1000
COUNTS = 4096

# How far back octets are: the bits before, how many these are, how many bits follow, and what the
# number in them is counted from (RFC 2118 section 4.2.1).
_OFFSETS = ((0b1111, 4, 6, 0), (0b1110, 4, 8, 64), (0b110, 3, 13, 320))
_SHORTEST = 3
# The most ones before the zero that begins a length (section 4.2.2).
_MOST_ONES = 11
# The bits that the longest element has: an offset and a length.
_WINDOW = 40
_PLACES = 4096


def _hash(octets: bytearray, place: int) -> int:
    """
    Return the number of the place where the last occurrence of three octets is noted.
    """
    return (octets[place] * 0x9E5 ^ octets[place + 1] * 0x1F3 ^ octets[place + 2] * 0x2B) % _PLACES


def _offsetOf(offset: int) -> tuple[int, int]:
    """
    Return the bits that stand for an offset, and how many they are.
    """
    before, count, following, base = next(
        one for one in _OFFSETS if offset < one[3] + (1 << one[2])
    )
    return before << following | offset - base, count + following


def _lengthOf(size: int) -> tuple[int, int]:
    """
    Return the bits that stand for a length, and how many they are: 0 for 3; otherwise for a length
    of n + 1 bits n - 1 ones, a zero, and its n lower bits.
    """
    if size == _SHORTEST:
        return 0, 1
    lower = size.bit_length() - 1
    return ((1 << lower - 1) - 1) << lower + 1 | size ^ 1 << lower, 2 * lower


class Compressor:
    """
    The compressor of the packets that one end sends.
    """

    __slots__ = ("_count", "_flushed", "_history", "_place", "_places")

    def __init__(self) -> None:
        self._count = 0
        self._history = bytearray(HISTORY)
        # Where octets were last seen, by their hash. A place may have been overwritten since.
        self._places = array("H", bytes(2 * _PLACES))
        self.reset()

    def reset(self) -> None:
        """
        Empty the history, since the peer has asked for it.
        """
        self._place = 0
        self._flushed = True

    def compress(self, protocol: bytes, packet: bytes) -> bytes | None:
        """
        Compress a packet.

        @param protocol: the protocol number as two octets.
        @return: the frame's information; None if the packet must be sent as it is.
        """
        plain = protocol + packet
        size = len(plain)
        isFront = self._place + size > HISTORY
        place = 0 if isFront else self._place
        end = place + size
        if end > HISTORY:
            return None
        before = self._history[place:end]
        self._history[place:end] = plain
        octets = self._encoded(place, end)
        if len(octets) + 2 >= size:
            self._history[place:end] = before
            return None
        header = COMPRESSED | self._count
        if self._flushed:
            header |= FLUSHED
        elif isFront:
            header |= FRONT
        self._count = (self._count + 1) % COUNTS
        self._flushed = False
        self._place = end
        return header.to_bytes(2, "big") + octets

    def _encoded(self, place: int, end: int) -> bytes:
        """
        Encode the octets of the history from C{place} to C{end}, by what stands before them since
        the front.
        """
        history, places = self._history, self._places
        encoded = bytearray()
        bits = width = 0
        while place < end:
            match = size = 0
            if place + _SHORTEST <= end:
                noted = _hash(history, place)
                match = places[noted]
                places[noted] = place
                if match < place:
                    limit = end - place
                    while size < limit and history[match + size] == history[place + size]:
                        size += 1
            if size >= _SHORTEST:
                offset = place - match
                back, used = _offsetOf(offset)
                length, more = _lengthOf(size)
                bits = (bits << used | back) << more | length
                width += used + more
                for inner in range(place + 1, min(place + size, end - _SHORTEST + 1)):
                    places[_hash(history, inner)] = inner
                place += size
            else:
                octet = history[place]
                if octet < 0x80:
                    bits = bits << 8 | octet
                    width += 8
                else:
                    bits = bits << 9 | 0x100 | octet & 0x7F
                    width += 9
                place += 1
            whole = width >> 3
            width &= 7
            encoded += (bits >> width).to_bytes(whole, "big")
            bits &= (1 << width) - 1
        if width:
            encoded.append(bits << 8 - width)
        return bytes(encoded)


class Decompressor:
    """
    The decompressor of the packets that one end receives. After an error it refuses frames until
    one is FLUSHED.
    """

    __slots__ = ("_count", "_history", "_longest", "_place")

    def __init__(self, longest: int) -> None:
        """
        @param longest: how many octets may come of a frame at most.
        """
        self._longest = longest
        self._history = bytearray(HISTORY)
        self._place = 0
        # The count of the next frame; None if that must be FLUSHED.
        self._count: int | None = 0

    def reset(self) -> None:
        """
        Do nothing: the next frame of the peer is FLUSHED, and that empties the history.
        """

    def passed(self, protocol: bytes, packet: bytes) -> None:
        """
        Do nothing: packets that come as they are aren't remembered.
        """

    def decompress(self, frame: bytes) -> bytes:
        """
        Decompress a frame.

        @return: the protocol number, of one octet or two, and the packet.
        @raise Malformed: it isn't the next frame, isn't MPPC's, or too much would come of it.
        """
        header = int.from_bytes(frame[:2], "big")
        expected, self._count = self._count, None
        if len(frame) < 3 or header & ENCRYPTED:
            raise Malformed("not a frame of MPPC")
        if header & FLUSHED:
            self._place = 0
            self._history = bytearray(HISTORY)
        elif header % COUNTS != expected:
            raise Malformed("not the next frame of MPPC")
        if header & FRONT:
            self._place = 0
        plain = self._decoded(frame[2:]) if header & COMPRESSED else frame[2:]
        if not 0 < len(plain) <= self._longest:
            raise Malformed("a wrong number of octets")
        self._count = (header + 1) % COUNTS
        return plain

    def _decoded(self, octets: bytes) -> bytes:
        """
        Decode the octets of a compressed packet, and remember it.

        @raise Malformed: they are malformed, or too much would come of them.
        """
        history, begin = self._history, self._place
        limit = min(HISTORY, begin + self._longest)
        place = begin
        total = 8 * len(octets)
        # The stream, and behind it zeros as far as one may look.
        stream = int.from_bytes(octets, "big") << _WINDOW
        at = 0
        while total - at >= 8:
            window = stream >> total - at & (1 << _WINDOW) - 1
            if window >> _WINDOW - 2 != 0b11:
                isHigh = window >> _WINDOW - 1
                at += 9 if isHigh else 8
                if at > total or place >= limit:
                    raise Malformed("an octet that is cut off, or one too many")
                history[place] = (
                    window >> _WINDOW - 8 if not isHigh else (0x80 | window >> _WINDOW - 9 & 0x7F)
                )
                place += 1
                continue
            used, offset = _offsetIn(window)
            ones, size = _lengthIn(window << used & (1 << _WINDOW) - 1)
            at += used + ones
            if at > total or not offset or place + size > limit:
                raise Malformed("a copy that is cut off, or too long")
            for _ in range(size):
                history[place] = history[place - offset & HISTORY - 1]
                place += 1
        self._place = place
        return bytes(history[begin:place])


def _offsetIn(window: int) -> tuple[int, int]:
    """
    Read an offset from the first bits of C{window}.

    @return: how many bits it has, and the offset.
    """
    _, count, following, base = next(
        one for one in _OFFSETS if window >> _WINDOW - one[1] == one[0]
    )
    used = count + following
    return used, base + (window >> _WINDOW - used & (1 << following) - 1)


def _lengthIn(window: int) -> tuple[int, int]:
    """
    Read a length from the first bits of C{window}.

    @return: how many bits it has, and the length.
    @raise Malformed: it is longer than any.
    """
    ones = _WINDOW - (window ^ (1 << _WINDOW) - 1).bit_length()
    if not ones:
        return 1, _SHORTEST
    if ones > _MOST_ONES:
        raise Malformed("a length beyond the history")
    lower = ones + 1
    used = 2 * lower
    return used, 1 << lower | window >> _WINDOW - used & (1 << lower) - 1
