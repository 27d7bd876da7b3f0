"""
Encoding of the blocks of a pcapng file (draft-ietf-opsawg-pcapng), which holds captured frames of
several interfaces.

A file is one section: a header, then descriptions of interfaces, which are numbered from zero, and
packets, each after the description of its interface. All is little-endian, as the header says.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct

LINKTYPE_PPP_WITH_DIR = 204
"""
The link type of PPP frames with an octet before each for its direction (tcpdump.org's list of link
types).
"""

RECEIVED = 1
SENT = 2
"""
The directions of a frame, as in C{epb_flags} (section 4.3.1).
"""

NAME_LIMIT = 255
"""
The most octets of an interface's name, and of its description.
"""

SECTION_HEADER = b"\n\r\r\n"
"""
The octets that every file begins with.
"""

_INTERFACE_DESCRIPTION = 1
_STATISTICS = 5
_ENHANCED_PACKET = 6
_MAGIC = 0x1A2B3C4D
_UNKNOWN_LENGTH = -1
# The end of the options, and the types of options (sections 3.5, 4.1 to 4.3 and 4.6).
_END = b"\0\0\0\0"
_USER_APPLICATION = 4
_NAME = 2
_DESCRIPTION = 3
_FLAGS = 2
_RECEIVED = 4
_DROPPED = 5

_block = Struct("<II")
_length = Struct("<I")
_section = Struct("<IHHq")
_interface = Struct("<HHI")
_packet = Struct("<IIIII")
_option = Struct("<HH")
_statistics = Struct("<III HHQ HHQ")
# The flags of a packet, followed by the end of its options.
_FLAG_OPTIONS = {
    direction: _option.pack(_FLAGS, 4) + direction.to_bytes(4, "little") + _END
    for direction in (RECEIVED, SENT)
}
# The octet before a PPP frame for its direction.
_DIRECTIONS = {RECEIVED: b"\0", SENT: b"\1"}


def _padded(octets: bytes) -> bytes:
    """
    Return C{octets} with padding to a multiple of four octets.
    """
    return octets + bytes(-len(octets) % 4)


def _made(kind: int, body: bytes) -> bytes:
    """
    Return a block of type C{kind} with the body C{body}, which is padded already.
    """
    size = len(body) + 12
    return _block.pack(kind, size) + body + _length.pack(size)


def _options(options: Iterable[tuple[int, str]]) -> bytes:
    """
    Return the encoding of options whose values are text.
    """
    octets = b""
    for code, text in options:
        value = text.encode()[:NAME_LIMIT].decode(errors="ignore").encode()
        octets += _option.pack(code, len(value)) + _padded(value)
    return octets + _END


def sectionHeader(application: str) -> bytes:
    """
    Return the header of a section of unknown length (section 4.1).

    @param application: the name of the program that writes it.
    """
    body = _section.pack(_MAGIC, 1, 0, _UNKNOWN_LENGTH)
    return _made(
        int.from_bytes(SECTION_HEADER, "little"),
        body + _options([(_USER_APPLICATION, application)]),
    )


def interfaceDescription(name: str, description: str) -> bytes:
    """
    Return the description of an interface for whole PPP frames with times in microseconds (section
    4.2).

    @param name: the name of the interface; it is cut after L{NAME_LIMIT} octets.
    @param description: what it is, in words; it is cut likewise.
    """
    body = _interface.pack(LINKTYPE_PPP_WITH_DIR, 0, 0)
    options = [(_NAME, name), (_DESCRIPTION, description)]
    return _made(_INTERFACE_DESCRIPTION, body + _options(options))


def enhancedPacket(
    interface: int, microseconds: int, direction: int, frame: bytes, missing: int = 0
) -> bytes:
    """
    Return the block for a PPP frame (section 4.3).

    @param interface: the number of its interface in this section.
    @param microseconds: the time of the frame, since 1970.
    @param direction: L{RECEIVED} or L{SENT}.
    @param frame: address and control fields, protocol number and information.
    @param missing: how many octets of the end of the frame aren't there.
    """
    size = len(frame) + 1
    high, low = microseconds >> 32 & 0xFFFFFFFF, microseconds & 0xFFFFFFFF
    head = _packet.pack(interface, high, low, size, size + missing)
    return _made(
        _ENHANCED_PACKET, head + _padded(_DIRECTIONS[direction] + frame) + _FLAG_OPTIONS[direction]
    )


def interfaceStatistics(interface: int, microseconds: int, received: int, dropped: int) -> bytes:
    """
    Return the block that says how many frames of an interface were captured, and how many weren't
    because nobody took them in time (section 4.6).

    @param microseconds: the time of the figures, since 1970.
    """
    high, low = microseconds >> 32 & 0xFFFFFFFF, microseconds & 0xFFFFFFFF
    body = _statistics.pack(interface, high, low, _RECEIVED, 8, received, _DROPPED, 8, dropped)
    return _made(_STATISTICS, body + _END)
