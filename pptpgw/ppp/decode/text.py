"""
How octets of a frame are written: as hexadecimal, as a quoted text, or hidden because they are
secret. The result is printable ASCII, whatever the octets.
"""

from __future__ import annotations

from dataclasses import dataclass

from pptpgw.ppp.wire.ppp import HEADER_OCTETS

HEX_OCTETS = 32
"""
The most octets that are written in hexadecimal in one place; more are shown as C{...}.
"""

CUT = " ..."
"""
What stands in place of octets that are left out.
"""

_ESCAPES = {
    **{octet: f"\\{octet:03o}" for octet in range(256) if not 0x20 <= octet <= 0x7E},
    0x09: "\\t",
    0x0A: "\\n",
    0x0D: "\\r",
    0x22: '\\"',
    0x5C: "\\\\",
}
_SHOWN = [_ESCAPES.get(octet, chr(octet)) for octet in range(256)]


def hexed(octets: bytes) -> str:
    """
    Return octets in hexadecimal, each after a space, as pppd writes what it can't read.
    """
    text = "".join(f" {octet:02x}" for octet in octets[:HEX_OCTETS])
    return text + CUT if len(octets) > HEX_OCTETS else text


def quoted(octets: bytes) -> str:
    """
    Return octets as a text in quotation marks, whose other than printable octets are escaped.
    """
    return '"' + "".join(_SHOWN[octet] for octet in octets) + '"'


def printable(text: str) -> str:
    """
    Return C{text} with a question mark for each character that isn't printable ASCII, which only a
    plugin's words may have.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if 0x20 <= ord(one) < 0x7F else "?" for one in text)


def hidden(count: int) -> str:
    """
    Return what stands in place of C{count} secret octets.
    """
    return f"<{count} octet{'s' * (count != 1)} hidden>"


@dataclass(frozen=True, slots=True)
class Parts:
    """
    The parts of a packet.

    @ivar data: the octets after the header, up to the packet's length.
    @ivar padding: the octets after the packet.
    @ivar isCut: whether octets of C{data} are missing, because the frame wasn't kept whole.
    """

    code: int
    identifier: int
    data: bytes
    padding: bytes
    isCut: bool

    @property
    def end(self) -> str:
        """
        What is written behind the data: that octets are missing, if they are.
        """
        return CUT if self.isCut else ""


def parted(packet: bytes, size: int) -> Parts | None:
    """
    Return the parts of a packet (RFC 1661 section 5), or None if it has no valid header.

    @param packet: the first octets of the packet, or all of them.
    @param size: the length of the whole packet in octets.
    """
    if len(packet) < HEADER_OCTETS:
        return None
    length = int.from_bytes(packet[2:4], "big")
    if not HEADER_OCTETS <= length <= size:
        return None
    return Parts(
        packet[0],
        packet[1],
        packet[HEADER_OCTETS:length],
        packet[length:],
        length > len(packet),
    )
