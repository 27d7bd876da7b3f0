"""
Ethernet frames as PPP carries them: bridged PDUs and the old form of BPDUs (RFC 3518 section 4).

A bridged PDU (protocol number 0x0031) is an octet of flags, the MAC type, the frame from its
destination address on, and padding that the flags count. A BPDU of the old form (0x0201) is what
IEEE 802.1D defines and nothing else.

A frame here is what a network device gives and takes: destination, source, type or length, and
payload, without the LAN FCS.
"""

from __future__ import annotations

import zlib

from pptpgw.error import Malformed

# Flags (section 4.2); the low four bits count the octets of padding.
FCS_PRESENT = 0x80
LAN_ID = 0x40
ZERO_FILL = 0x20
CONTROL = 0x10
_PADS = 0x0F

# The one MAC type that is a frame here: IEEE 802.3 or Ethernet with canonical addresses.
ETHERNET = 1
# Flags and MAC type.
HEADER_OCTETS = 2

# Destination, source, and type or length; and what stands behind the payload on a LAN.
FRAME_HEADER = 14
FCS_OCTETS = 4
# The shortest frame of a LAN, and the longest one without a tag, both without the LAN FCS.
SHORTEST = 60
LONGEST = 1514
TAG_OCTETS = 4
# The types that a tag begins with: IEEE 802.1Q's and 802.1ad's.
TAGS = (b"\x81\x00", b"\x88\xa8")

# The spanning tree's group address, and the addresses that no bridge forwards (IEEE 802.1D table
# 7-10): those of this beginning, whose last octet is at most 0x0F.
SPANNING_TREE = bytes.fromhex("0180c2000000")
_RESERVED = SPANNING_TREE[:5]

_PLAIN = bytes((0, ETHERNET))
# LLC of a BPDU: both service access points 0x42, unnumbered information.
_LLC = b"\x42\x42\x03"
# Protocol identifier, version and type: all that a topology change notification has.
_SHORTEST_BPDU = 4
_LONGEST_BPDU = 1500 - len(_LLC)


def isReserved(address: bytes) -> bool:
    """
    Whether C{address} is one of the sixteen that no bridge forwards.
    """
    return address[:5] == _RESERVED and address[5] <= 0x0F


def decode(packet: bytes) -> bytes:
    """
    The frame in a bridged PDU: whole, of at least 14 octets, its LAN FCS verified and taken off.

    @raise Malformed: it is too short for what its flags say, holds no Ethernet, has a LAN ID, which
        RFC 3518 does away with, or its LAN FCS is wrong.
    """
    if packet[:HEADER_OCTETS] == _PLAIN:
        frame = packet[HEADER_OCTETS:]
        if len(frame) < FRAME_HEADER:
            raise Malformed(f"a frame of {len(frame)} octets has no header")
        return frame
    if len(packet) < HEADER_OCTETS:
        raise Malformed(f"a bridged PDU of {len(packet)} octets has no header")
    flags, kind = packet[0], packet[1]
    if flags & LAN_ID:
        raise Malformed("a bridged PDU has a LAN ID")
    if kind != ETHERNET:
        raise Malformed(f"MAC type {kind} isn't Ethernet")
    end = len(packet) - (flags & _PADS)
    checksum = b""
    if flags & FCS_PRESENT:
        end -= FCS_OCTETS
        checksum = packet[end : end + FCS_OCTETS]
    if end < HEADER_OCTETS + FRAME_HEADER:
        raise Malformed(f"a bridged PDU of {len(packet)} octets with flags 0x{flags:02x}")
    frame = packet[HEADER_OCTETS:end]
    if flags & ZERO_FILL:
        if len(frame) > SHORTEST:
            raise Malformed(f"a compressed frame of {len(frame)} octets isn't short")
        frame = frame.ljust(SHORTEST, b"\x00")
    if checksum and checksum != fcs(frame):
        raise Malformed("the LAN FCS is wrong")
    return frame


def encode(
    frame: bytes, control: bool = False, compress: bool = False, checksum: bool = False
) -> bytes:
    """
    A bridged PDU.

    @param frame: at least 14 octets.
    @param control: mark it as a packet between bridges, a BPDU for one.
    @param compress: leave out the zeros at the end of a frame of the shortest length (section 3.3).
    @param checksum: put its LAN FCS behind it.
    """
    if not control and not compress and not checksum:
        return _PLAIN + frame
    flags = CONTROL if control else 0
    end = b""
    if checksum:
        flags |= FCS_PRESENT
        end = fcs(frame)
    if compress and len(frame) == SHORTEST:
        flags |= ZERO_FILL
        frame = frame[:FRAME_HEADER] + frame[FRAME_HEADER:].rstrip(b"\x00")
    return b"%c%c%b%b" % (flags, ETHERNET, frame, end)


def fcs(frame: bytes) -> bytes:
    """
    The LAN FCS of a frame, as it stands behind it (IEEE 802.3 clause 3.2.9).
    """
    return zlib.crc32(frame).to_bytes(FCS_OCTETS, "little")


def decodeBPDU(packet: bytes, source: bytes) -> bytes:
    """
    The frame that a BPDU of the old form would have been on a LAN.

    @param source: the Ethernet address to send it from, as the old form has none.
    @raise Malformed: it is too short for a BPDU, or too long for a frame.
    """
    if not _SHORTEST_BPDU <= len(packet) <= _LONGEST_BPDU:
        raise Malformed(f"a BPDU of {len(packet)} octets")
    length = (len(_LLC) + len(packet)).to_bytes(2, "big")
    return (SPANNING_TREE + source + length + _LLC + packet).ljust(SHORTEST, b"\x00")


def encodeBPDU(frame: bytes) -> bytes:
    """
    The old form of a BPDU.

    @raise Malformed: the frame holds none: Cisco's PVST, for one, is no IEEE 802.1D.
    """
    length = int.from_bytes(frame[12:FRAME_HEADER], "big")
    start = FRAME_HEADER + len(_LLC)
    end = FRAME_HEADER + length
    if frame[FRAME_HEADER:start] != _LLC or not start + _SHORTEST_BPDU <= end <= len(frame):
        raise Malformed("a frame to the spanning tree's address holds no BPDU")
    return frame[start:end]
