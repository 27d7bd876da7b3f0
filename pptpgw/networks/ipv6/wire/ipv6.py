"""
Encoding and decoding of IPv6 packets (RFC 8200 section 3), and of the ICMPv6 messages (RFC 4443
section 2.1) and UDP datagrams (RFC 768) in them, with their checksums.

Packets with extension headers are decoded, but the headers aren't looked into.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address
from struct import Struct

from pptpgw.error import Malformed
from pptpgw.networks.wire.checksum import checksum
from pptpgw.networks.wire.ip import ICMPV6, IPV6_HEADER, UDP

MINIMUM_MTU = 1280
"""
The size in octets of the packets that every link carries whole (RFC 8200 section 5).
"""

# Types of ICMPv6 messages (RFC 4443 section 2.1); types below 128 are errors.
PACKET_TOO_BIG = 2
ECHO_REQUEST = 128
ECHO_REPLY = 129
REDIRECT = 137

UNSPECIFIED = IPv6Address("::")
# Multicast addresses (RFC 4291 section 2.7.1).
ALL_NODES = IPv6Address("ff02::1")
ALL_ROUTERS = IPv6Address("ff02::2")

_VERSION = 6
_header = Struct("!IHBB16s16s")
_message = Struct("!BBH")
_datagram = Struct("!HHHH")
_pseudoEnd = Struct("!II")


@dataclass(frozen=True, slots=True)
class IPv6Packet:
    """
    An IPv6 packet. Traffic class and flow label are ignored in packets received and 0 in packets
    sent.

    @ivar protocol: the Next Header value.
    @ivar payload: what follows the header, at most 65535 octets.
    @ivar hopLimit: the hop limit; 255 proves that no router has forwarded the packet (RFC 4861
        section 3.1).
    """

    source: IPv6Address
    destination: IPv6Address
    protocol: int
    payload: bytes
    hopLimit: int = 255


@dataclass(frozen=True, slots=True)
class ICMPv6Message:
    """
    An ICMPv6 message (RFC 4443 section 2.1).

    @ivar body: what follows the checksum.
    """

    type: int
    code: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Datagram:
    """
    A UDP datagram (RFC 768).
    """

    sourcePort: int
    destinationPort: int
    payload: bytes


def decode(octets: bytes) -> IPv6Packet:
    """
    Return the packet that C{octets} hold; octets past its payload length are padding.

    @raise Malformed: C{octets} aren't IPv6, or are shorter than their payload length says.
    """
    if len(octets) < IPV6_HEADER or octets[0] >> 4 != _VERSION:
        raise Malformed(f"{len(octets)} octets are no IPv6 packet")
    _, length, protocol, hopLimit, source, destination = _header.unpack_from(octets)
    if len(octets) < IPV6_HEADER + length:
        raise Malformed(f"a packet of {len(octets)} octets gives its payload length as {length}")
    payload = octets[IPV6_HEADER : IPV6_HEADER + length]
    return IPv6Packet(IPv6Address(source), IPv6Address(destination), protocol, payload, hopLimit)


def encode(packet: IPv6Packet) -> bytes:
    """
    Return the encoding of a packet.
    """
    header = _header.pack(
        _VERSION << 28,
        len(packet.payload),
        packet.protocol,
        packet.hopLimit,
        packet.source.packed,
        packet.destination.packed,
    )
    return header + packet.payload


def decodeMessage(packet: IPv6Packet) -> ICMPv6Message:
    """
    Return the ICMPv6 message in C{packet}.

    @raise Malformed: the message is too short, or its checksum is wrong.
    """
    payload = packet.payload
    if len(payload) < _message.size or _sum(packet) != 0:
        raise Malformed("no ICMPv6 message, or one with a wrong checksum")
    kind, code, _ = _message.unpack_from(payload)
    return ICMPv6Message(kind, code, payload[_message.size :])


def encodeMessage(
    source: IPv6Address, destination: IPv6Address, message: ICMPv6Message, hopLimit: int = 255
) -> bytes:
    """
    Return the encoding of a packet with an ICMPv6 message.
    """
    payload = _message.pack(message.type, message.code, 0) + message.body
    return encode(_summed(IPv6Packet(source, destination, ICMPV6, payload, hopLimit), 2))


def decodeDatagram(packet: IPv6Packet) -> Datagram:
    """
    Return the UDP datagram in C{packet}.

    @raise Malformed: the length or the checksum of the datagram is wrong, or it has no checksum,
        which IPv6 requires (RFC 8200 section 8.1).
    """
    payload = packet.payload
    if len(payload) < _datagram.size:
        raise Malformed(f"{len(payload)} octets are no UDP datagram")
    sourcePort, destinationPort, length, total = _datagram.unpack_from(payload)
    if length != len(payload) or total == 0 or _sum(packet) != 0:
        raise Malformed("a UDP datagram with a wrong length or checksum")
    return Datagram(sourcePort, destinationPort, payload[_datagram.size :])


def encodeDatagram(
    source: IPv6Address, destination: IPv6Address, datagram: Datagram, hopLimit: int = 255
) -> bytes:
    """
    Return the encoding of a packet with a UDP datagram.
    """
    length = _datagram.size + len(datagram.payload)
    header = _datagram.pack(datagram.sourcePort, datagram.destinationPort, length, 0)
    packet = IPv6Packet(source, destination, UDP, header + datagram.payload, hopLimit)
    return encode(_summed(packet, 6))


def _sum(packet: IPv6Packet) -> int:
    """
    Return the checksum over the payload and the pseudo-header (RFC 8200 section 8.1): 0 if the
    payload has the correct checksum.
    """
    addresses = packet.source.packed + packet.destination.packed
    end = _pseudoEnd.pack(len(packet.payload), packet.protocol)
    return checksum(addresses + end + packet.payload)


def _summed(packet: IPv6Packet, at: int) -> IPv6Packet:
    """
    Return C{packet} with its checksum filled in at the offset C{at} of the payload, where there are
    zeros. A checksum of 0 is sent as 0xFFFF, since 0 would mean that there is none.
    """
    total = (_sum(packet) or 0xFFFF).to_bytes(2, "big")
    payload = packet.payload[:at] + total + packet.payload[at + 2 :]
    return IPv6Packet(packet.source, packet.destination, packet.protocol, payload, packet.hopLimit)
