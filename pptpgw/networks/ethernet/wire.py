"""
The encoding of Ethernet frames and BPDUs in PPP packets (RFC 3518 section 4).

A bridged PDU (protocol number 0x0031) is an octet of flags, the MAC type, the frame from its
destination address on, and padding, whose length is in the flags. A BPDU of the old form (0x0201)
has only what IEEE 802.1D defines, without an Ethernet header.

A frame in this module is what a network device reads and writes: destination, source, type or
length, and payload, without the LAN FCS.
"""

from __future__ import annotations

import zlib

from pptpgw.error import Malformed

# Flags (section 4.2); the low four bits are the number of octets of padding.
FCS_PRESENT = 0x80
LAN_ID = 0x40
ZERO_FILL = 0x20
CONTROL = 0x10
_PADS = 0x0F

# The only supported MAC type: IEEE 802.3 or Ethernet with canonical addresses.
ETHERNET = 1
# Octets of the flags and the MAC type.
HEADER_OCTETS = 2

# Octets of destination, source, and type or length; and of the LAN FCS behind the payload.
FRAME_HEADER = 14
FCS_OCTETS = 4
# The shortest frame of a LAN, and the longest one without a tag, in octets without the LAN FCS.
SHORTEST = 60
LONGEST = 1514
TAG_OCTETS = 4
# The Ethernet types of VLAN tags: IEEE 802.1Q and 802.1ad.
TAGS = (b"\x81\x00", b"\x88\xa8")

# The group address of the spanning tree, and the first five octets of the addresses that no bridge
# forwards (IEEE 802.1D table 7-10); their last octet is at most 0x0F.
SPANNING_TREE = bytes.fromhex("0180c2000000")
_RESERVED = SPANNING_TREE[:5]

_PLAIN = bytes((0, ETHERNET))
# The LLC header of a BPDU: both service access points 0x42, unnumbered information.
_LLC = b"\x42\x42\x03"
# Octets of protocol identifier, version and type, which are all of a topology change notification.
_SHORTEST_BPDU = 4
_LONGEST_BPDU = 1500 - len(_LLC)


def isReserved(address: bytes) -> bool:
    """
    Return whether C{address} is one of the sixteen that no bridge forwards (IEEE 802.1D table
    7-10).
    """
    return address[:5] == _RESERVED and address[5] <= 0x0F


def decode(packet: bytes) -> bytes:
    """
    Return the frame in a bridged PDU: at least 14 octets, its LAN FCS verified and removed.

    @raise Malformed: C{packet} is shorter than its flags say, isn't Ethernet, has a LAN ID
        (obsolete since RFC 3518), or its LAN FCS is wrong.
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
    Return the bridged PDU for a frame.

    @param frame: at least 14 octets.
    @param control: whether to mark it as a packet between bridges, such as a BPDU.
    @param compress: whether to leave out the zeros at the end of a frame of the shortest length
        (RFC 3518 section 3.3).
    @param checksum: whether to append the LAN FCS.
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
    Return the LAN FCS of a frame in the order of transmission (IEEE 802.3 clause 3.2.9).
    """
    return zlib.crc32(frame).to_bytes(FCS_OCTETS, "little")


def decodeBPDU(packet: bytes, source: bytes) -> bytes:
    """
    Return the Ethernet frame for a BPDU of the old form.

    @param source: the source address of the frame, since the old form has none.
    @raise Malformed: C{packet} is too short for a BPDU, or too long for a frame.
    """
    if not _SHORTEST_BPDU <= len(packet) <= _LONGEST_BPDU:
        raise Malformed(f"a BPDU of {len(packet)} octets")
    length = (len(_LLC) + len(packet)).to_bytes(2, "big")
    return (SPANNING_TREE + source + length + _LLC + packet).ljust(SHORTEST, b"\x00")


def encodeBPDU(frame: bytes) -> bytes:
    """
    Return the old form of the BPDU in an Ethernet frame.

    @raise Malformed: the frame holds no IEEE 802.1D BPDU; Cisco's PVST isn't one, for example.
    """
    length = int.from_bytes(frame[12:FRAME_HEADER], "big")
    start = FRAME_HEADER + len(_LLC)
    end = FRAME_HEADER + length
    if frame[FRAME_HEADER:start] != _LLC or not start + _SHORTEST_BPDU <= end <= len(frame):
        raise Malformed("a frame to the spanning tree's address holds no BPDU")
    return frame[start:end]
