"""
Van Jacobson's compression of the headers of TCP over IPv4 (RFC 1144), without the frames around it.

Each end of a line remembers the headers of a number of connections, each in a slot. A packet is
sent in one of three forms, by which L{Compressor} and L{Decompressor} name PPP's protocol numbers
(RFC 1332 section 4):

 - as it is: what isn't TCP, or begins or ends a connection;
 - with the number of its slot in place of the protocol number of IP, C{UNCOMPRESSED}: both ends
   remember its header;
 - with only what has changed since the last packet of its slot, C{COMPRESSED}: a mask of changes,
   the slot unless it is that of the packet before, TCP's checksum, and the differences.

A packet with TCP's flags for congestion (RFC 3168) is sent as it is, since RFC 1144 doesn't know
them and they would be lost.
"""

from __future__ import annotations

from collections import OrderedDict
from struct import Struct
from typing import NamedTuple

from pptpgw.error import Malformed
from pptpgw.networks.wire.checksum import checksum
from pptpgw.networks.wire.ip import IPV4_HEADER, TCP, TCP_HEADER
from pptpgw.ppp.wire.ppp import COMPRESSED_TCP, IPV4, UNCOMPRESSED_TCP

# The mask of changes (RFC 1144 section 3.2.2).
_SLOT = 0x40
_IDENTIFIER = 0x20
_PUSH = 0x10
_SEQUENCE = 0x08
_ACKNOWLEDGEMENT = 0x04
_WINDOW = 0x02
_URGENT = 0x01
_CHANGES = 0x0F
# What stands for two frequent cases: both numbers rise by what the last packet carried, or only the
# sequence number does (section 3.2.2, "special cases").
_ECHOED = _SEQUENCE | _WINDOW | _URGENT
_STREAM = _SEQUENCE | _ACKNOWLEDGEMENT | _WINDOW | _URGENT

# TCP's flags (RFC 9293 section 3.1).
_PSH = 0x08
_ACK = 0x10
_URG = 0x20

# Sequence and acknowledgement numbers, header length and flags, window, checksum and urgent
# pointer.
_TCP = Struct("!IIBBHHH")
_LARGEST = 0xFFFF


class _Header(NamedTuple):
    """
    The headers of a packet, and what is compared of them.

    @ivar octets: both headers.
    @ivar tcp: where TCP's header begins.
    @ivar size: the number of octets that the packet carries.
    """

    octets: bytes
    tcp: int
    size: int
    identifier: int
    sequence: int
    acknowledgement: int
    flags: int
    window: int
    urgent: int

    @property
    def fixed(self) -> tuple[bytes, ...]:
        """
        The parts that must be the same in all packets of a slot, besides addresses and ports.
        """
        octets, tcp = self.octets, self.tcp
        return (
            octets[:2],
            octets[6:9],
            octets[IPV4_HEADER:tcp],
            octets[tcp + 12 : tcp + 13],
            octets[tcp + TCP_HEADER :],
        )


def _headerOf(packet: bytes) -> _Header:
    """
    Return the headers of a packet.

    @raise Malformed: C{packet} isn't one of IPv4 with a whole header of TCP.
    """
    tcp = (packet[0] & 0x0F) * 4 if packet else 0
    if tcp < IPV4_HEADER or packet[0] >> 4 != 4 or len(packet) < tcp + TCP_HEADER:
        raise Malformed("no header of IPv4 and TCP")
    sequence, acknowledgement, length, flags, window, _, urgent = _TCP.unpack_from(packet, tcp + 4)
    end = tcp + (length >> 4) * 4
    total = int.from_bytes(packet[2:4], "big")
    if packet[6] & 0x3F or packet[7] or end < tcp + TCP_HEADER or not end <= total <= len(packet):
        raise Malformed("a fragment, or a wrong length")
    identifier = int.from_bytes(packet[4:6], "big")
    numbers = identifier, sequence, acknowledgement, flags, window, urgent
    return _Header(packet[:end], tcp, total - end, *numbers)


def _difference(number: int) -> bytes:
    """
    Return a difference as it is sent: in one octet, or in three if it is 0 or more than 255.
    """
    return bytes((number,)) if 0 < number < 0x100 else b"\0" + number.to_bytes(2, "big")


class Compressor:
    """
    The compressor of the packets that one end sends.
    """

    __slots__ = ("_free", "_last", "_omits", "_slots")

    def __init__(self, slots: int, omits: bool) -> None:
        """
        @param slots: how many slots the other end has.
        @param omits: whether the slot may be left out if it is that of the packet before.
        """
        self._omits = omits
        self._free = list(range(slots - 1, -1, -1))
        # By addresses and ports, those that were used last behind the others.
        self._slots: OrderedDict[bytes, tuple[int, _Header]] = OrderedDict()
        self._last = -1

    def compress(self, packet: bytes) -> tuple[int, bytes]:
        """
        Compress a packet.

        @return: the protocol number of the form, and the octets.
        """
        if len(packet) < IPV4_HEADER or packet[9] != TCP:
            return IPV4, packet
        try:
            new = _headerOf(packet)
        except Malformed:
            return IPV4, packet
        if new.flags & ~(_PSH | _URG) != _ACK or len(packet) != len(new.octets) + new.size:
            return IPV4, packet
        connection = packet[12:20] + packet[new.tcp : new.tcp + 4]
        known = self._slots.pop(connection, None)
        if known is None:
            slot = self._free.pop() if self._free else self._slots.popitem(last=False)[1][0]
            compressed = None
        else:
            slot, old = known
            compressed = _changed(old, new)
        self._slots[connection] = slot, new
        omitted = self._omits and slot == self._last
        self._last = slot
        if compressed is None:
            return UNCOMPRESSED_TCP, b"%b%c%b" % (packet[:9], slot, packet[10:])
        mask, differences = compressed
        begin = bytes((mask,)) if omitted else bytes((mask | _SLOT, slot))
        at = new.tcp + 16
        data = packet[len(new.octets) :]
        return COMPRESSED_TCP, begin + packet[at : at + 2] + differences + data


def _changed(old: _Header, new: _Header) -> tuple[int, bytes] | None:
    """
    Compare the headers of two packets of a slot.

    @return: the mask of changes, without the slot, and the differences; None if the second one
        can't be told by differences.
    """
    sequence = new.sequence - old.sequence & 0xFFFFFFFF
    acknowledgement = new.acknowledgement - old.acknowledgement & 0xFFFFFFFF
    window = new.window - old.window & 0xFFFF
    isUrgent = bool(new.flags & _URG)
    if sequence > _LARGEST or acknowledgement > _LARGEST or new.fixed != old.fixed:
        return None
    if not isUrgent and (new.urgent != old.urgent or old.flags & _URG):
        return None
    mask, differences = 0, b""
    if isUrgent:
        mask |= _URGENT
        differences += _difference(new.urgent)
    if window:
        mask |= _WINDOW
        differences += _difference(window)
    if acknowledgement:
        mask |= _ACKNOWLEDGEMENT
        differences += _difference(acknowledgement)
    if sequence:
        mask |= _SEQUENCE
        differences += _difference(sequence)
    if not mask:
        # Either a packet with data follows one without, or this is sent again, perhaps because the
        # other end has lost its place.
        if old.size or not new.size:
            return None
    elif mask in (_ECHOED, _STREAM):
        return None
    elif sequence == old.size and mask == _SEQUENCE | _ACKNOWLEDGEMENT:
        if acknowledgement == sequence:
            mask, differences = _ECHOED, b""
    elif sequence == old.size and mask == _SEQUENCE:
        mask, differences = _STREAM, b""
    identifier = new.identifier - old.identifier & 0xFFFF
    if identifier != 1:
        mask |= _IDENTIFIER
        differences += _difference(identifier)
    if new.flags & _PSH:
        mask |= _PUSH
    return mask, differences


class Decompressor:
    """
    The decompressor of the packets that one end receives.

    After L{lost} it refuses compressed packets until one comes that names its slot, since others
    may belong to the packet that is missing (RFC 1144 section 4.1).
    """

    __slots__ = ("_headers", "_last", "_slots")

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._headers: dict[int, _Header] = {}
        # The slot of the packet before; -1 if it isn't known.
        self._last = -1

    def lost(self) -> None:
        """
        Note that a frame was lost.
        """
        self._last = -1

    def remember(self, packet: bytes) -> bytes:
        """
        Take a packet whose header isn't compressed, and remember that.

        @return: the packet with IP's protocol number.
        @raise Malformed: it isn't TCP, or the slot is none of ours.
        """
        self._last = -1
        header = _headerOf(packet)
        slot = packet[9]
        if slot >= self._slots:
            raise Malformed("a slot beyond those that were agreed on")
        restored = b"%b%c%b" % (packet[:9], TCP, packet[10:])
        self._headers[slot] = header._replace(octets=restored[: len(header.octets)])
        self._last = slot
        return restored

    def decompress(self, octets: bytes) -> bytes | None:
        """
        Restore a packet whose header is compressed.

        @return: the packet; None if it can't be known, because a frame before it was lost.
        @raise Malformed: it is too short, or no header is known of its slot.
        """
        differences = _Differences(octets)
        mask = differences.octet()
        if mask & _SLOT:
            self._last = differences.octet()
        elif self._last < 0:
            return None
        slot, self._last = self._last, -1
        old = self._headers.get(slot)
        if old is None:
            raise Malformed("a slot of which no header is known")
        new, packet = _restored(old, mask, differences)
        self._headers[slot] = new
        self._last = slot
        return packet


class _Differences:
    """
    A compressed header that is read from its beginning.
    """

    __slots__ = ("_octets", "_place")

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._place = 0

    def octet(self) -> int:
        """
        Read an octet.

        @raise Malformed: there is none.
        """
        return self.number(1)

    def number(self, octets: int = 2) -> int:
        """
        Read a number of so many octets.

        @raise Malformed: there are fewer.
        """
        end = self._place + octets
        if end > len(self._octets):
            raise Malformed("a compressed header that is too short")
        number = int.from_bytes(self._octets[self._place : end], "big")
        self._place = end
        return number

    def difference(self) -> int:
        """
        Read what L{_difference} has made.

        @raise Malformed: it is too short.
        """
        return self.octet() or self.number()

    def rest(self) -> bytes:
        """
        Return the octets behind the compressed header: the data that the packet carries.
        """
        return self._octets[self._place :]


def _restored(old: _Header, mask: int, differences: _Differences) -> tuple[_Header, bytes]:
    """
    Return the header that follows C{old}, and its packet.

    @raise Malformed: the compressed header is too short, or the packet would be too large.
    """
    sequence, acknowledgement = old.sequence, old.acknowledgement
    window, urgent = old.window, old.urgent
    flags = old.flags & ~(_PSH | _URG)
    if mask & _PUSH:
        flags |= _PSH
    check = differences.number()
    changes = mask & _CHANGES
    if changes == _ECHOED:
        acknowledgement += old.size
        sequence += old.size
    elif changes == _STREAM:
        sequence += old.size
    else:
        if mask & _URGENT:
            flags |= _URG
            urgent = differences.difference()
        if mask & _WINDOW:
            window = window + differences.difference() & 0xFFFF
        if mask & _ACKNOWLEDGEMENT:
            acknowledgement += differences.difference()
        if mask & _SEQUENCE:
            sequence += differences.difference()
    step = differences.difference() if mask & _IDENTIFIER else 1
    identifier = old.identifier + step & 0xFFFF
    sequence &= 0xFFFFFFFF
    acknowledgement &= 0xFFFFFFFF
    data = differences.rest()
    total = len(old.octets) + len(data)
    if total > _LARGEST:
        raise Malformed("a packet that is too large")
    header, tcp = bytearray(old.octets), old.tcp
    header[2:6] = total.to_bytes(2, "big") + identifier.to_bytes(2, "big")
    header[10:12] = b"\0\0"
    header[10:12] = checksum(bytes(header[:tcp])).to_bytes(2, "big")
    length = header[tcp + 12]
    _TCP.pack_into(header, tcp + 4, sequence, acknowledgement, length, flags, window, check, urgent)
    octets = bytes(header)
    numbers = identifier, sequence, acknowledgement, flags, window, urgent
    return _Header(octets, tcp, len(data), *numbers), octets + data
