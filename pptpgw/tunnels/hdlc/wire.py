"""
The asynchronous framing of RFC 1662 section 4: frames between flags, with octet stuffing and the
16-bit FCS.

Every step works on whole frames by methods of C{bytes}, since a loop over the octets in Python
would take a hundred times as long.

The FCS is the CRC of L{binascii.crc_hqx}, except that it begins with the lowest bit of each octet.
So it is computed from octets whose bits have been reversed.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Callable, Iterator

from pptpgw.ppp.wire.ppp import DEFAULT_ACCM

FLAG = b"\x7e"
ESCAPE = b"\x7d"
FCS_OCTETS = 2
SHORTEST = 4
"""
The length in octets of the shortest valid frame, including its FCS (RFC 1662 section 3.1).
"""

# Reasons for discarding a frame.
BAD_FCS = "bad FCS"
TOO_SHORT = "frame too short"
TOO_LONG = "frame too long"
ABORTED = "frame aborted"

_REVERSED = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(256))
_UNESCAPED = [bytes([octet ^ 0x20]) for octet in range(256)]
# The CRC of a valid frame with its FCS, before the complement (RFC 1662 appendix C.2), reversed.
_GOOD = 0x1D0F

Escapes = tuple[tuple[bytes, bytes], ...]
"""
The octets to escape, each with the two octets that are sent in its place.
"""


def escapesOf(accm: int) -> Escapes:
    """
    Return the octets that a sender escapes for a peer with this ACCM: the flag, the escape octet
    itself, and every control character whose bit is set.
    """
    octets = [ESCAPE[0], FLAG[0], *(octet for octet in range(32) if accm >> octet & 1)]
    # The escape octet must be the first to be replaced, since the other replacements contain it.
    return tuple((bytes([octet]), bytes([ESCAPE[0], octet ^ 0x20])) for octet in octets)


def insertedOf(accm: int) -> bytes:
    """
    Return the control characters that the line may have inserted if we asked for this ACCM. A
    receiver removes them (RFC 1662 section 4.2).
    """
    return bytes(octet for octet in range(32) if accm >> octet & 1)


DEFAULT_ESCAPES = escapesOf(DEFAULT_ACCM)


def fcsOf(frame: bytes) -> bytes:
    """
    Return the two octets of the FCS of C{frame}.
    """
    crc = crc_hqx(frame.translate(_REVERSED), 0xFFFF) ^ 0xFFFF
    return crc.to_bytes(2, "big").translate(_REVERSED)


def encode(frame: bytes, escapes: Escapes = DEFAULT_ESCAPES) -> bytes:
    """
    Return C{frame} with its FCS, stuffed, and the flag that ends it. The flag that ended the frame
    before is also the flag that begins this one.
    """
    octets = frame + fcsOf(frame)
    for octet, replacement in escapes:
        octets = octets.replace(octet, replacement)
    return octets + FLAG


def unstuffed(octets: bytes) -> bytes | None:
    """
    Return the octets of a frame before stuffing; None if the frame was aborted, that is, if an
    escape octet is its last (RFC 1662 section 4.3).
    """
    if ESCAPE not in octets:
        return octets
    parts = octets.split(ESCAPE)
    plain = [parts[0]]
    escaped = True
    for part in parts[1:]:
        if not escaped:
            # After an escape octet that was escaped itself.
            plain.append(part)
            escaped = True
        elif part:
            plain.append(_UNESCAPED[part[0]])
            plain.append(part[1:])
        else:
            plain.append(_UNESCAPED[ESCAPE[0]])
            escaped = False
    # If the last octet is an escape octet, the loop takes it for one whose escaped octet is
    # missing.
    return b"".join(plain) if escaped else None


class StreamDecoder:
    """
    A decoder, which finds the frames in a stream of octets.

    No input raises an exception, and the memory used between calls is bounded: octets beyond the
    longest possible frame are discarded up to the next flag. Octets before the first flag aren't
    taken for a frame, since modems and log-ins send text before PPP begins.

    @ivar inserted: the control characters that are removed from frames, see L{insertedOf}.
    @ivar longest: the length in octets of the longest frame that is accepted, without FCS.
    """

    __slots__ = ("_begun", "_buffer", "_discard", "_overflowed", "inserted", "longest")

    def __init__(self, longest: int, discard: Callable[[str], None]) -> None:
        """
        @param discard: called with the reason for each frame that is discarded.
        """
        self.longest = longest
        self.inserted = insertedOf(DEFAULT_ACCM)
        self._discard = discard
        self._buffer = bytearray()
        self._begun = self._overflowed = False

    def feed(self, octets: bytes) -> Iterator[bytes]:
        """
        Decode the next octets of the stream.

        @return: an iterator of valid frames, without FCS. Each frame is decoded only when the
            iterator reaches it, so that C{inserted} may be changed between two frames.
        """
        *ended, rest = octets.split(FLAG)
        for part in ended:
            if self._buffer:
                self._keep(part)
                part = bytes(self._buffer)
                self._buffer.clear()
            begun, self._begun = self._begun, True
            overflowed, self._overflowed = self._overflowed, False
            if overflowed:
                self._discard(TOO_LONG)
            elif begun and part:
                frame = self._valid(part)
                if frame is not None:
                    yield frame
        if self._begun and rest:
            self._keep(rest)

    def _keep(self, octets: bytes) -> None:
        """
        Keep octets of a frame that hasn't ended, unless the frame is too long already.
        """
        if self._overflowed:
            return
        self._buffer += octets
        # Each octet of the frame may have been escaped, and the line may insert some.
        if len(self._buffer) > 2 * (self.longest + FCS_OCTETS) + self.longest:
            self._overflowed = True
            self._buffer.clear()

    def _valid(self, octets: bytes) -> bytes | None:
        """
        Return the frame that C{octets} stand for, without FCS; None if it is invalid, which is
        counted.
        """
        if self.inserted:
            octets = octets.translate(None, self.inserted)
            if not octets:
                return None
        plain = unstuffed(octets)
        if plain is None:
            self._discard(ABORTED)
        elif len(plain) < SHORTEST:
            self._discard(TOO_SHORT)
        elif len(plain) > self.longest + FCS_OCTETS:
            self._discard(TOO_LONG)
        elif crc_hqx(plain.translate(_REVERSED), 0xFFFF) != _GOOD:
            self._discard(BAD_FCS)
        else:
            return plain[:-FCS_OCTETS]
        return None
