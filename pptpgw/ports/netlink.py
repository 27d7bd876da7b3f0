"""
netlink(7): the header of messages to and from the kernel, and the attributes in them, whatever they
are about (L{pptpgw.ports.rtnetlink}, L{pptpgw.ports.trafficcontrol}, L{pptpgw.ports.cleartext}).
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

HEADER = Struct("=IHHII")
"""
The header of every netlink message: length, type, flags, sequence number and sender.
"""

ERROR = 2
"""
The type of the answer to a request, which holds an error number.
"""

REQUEST, ACKNOWLEDGE, REPLACE, EXCLUSIVE, CREATE, DUMP = 0x1, 0x4, 0x100, 0x200, 0x400, 0x300
"""
The flags of requests.
"""

READ_SIZE = 65536
"""
Octets that hold what is read at once.
"""

_attribute = Struct("=HH")


def request(kind: int, flags: int, body: bytes) -> bytes:
    """
    Return a request to which the kernel sends an answer. The sequence number is set when it is
    sent.
    """
    size = HEADER.size + len(body)
    return HEADER.pack(size, kind, REQUEST | ACKNOWLEDGE | flags, 0, 0) + body


def option(number: int, value: bytes) -> bytes:
    """
    Return the encoding of an attribute, padded to a multiple of four octets.
    """
    return _attribute.pack(4 + len(value), number) + value + bytes(-len(value) % 4)


def messages(octets: bytes) -> Iterator[tuple[int, int, bytes]]:
    """
    Return the messages of one read: the type, the sender and the body of each.
    """
    place = 0
    while place + HEADER.size <= len(octets):
        length, kind, _, _, sender = HEADER.unpack_from(octets, place)
        if length < HEADER.size:
            return
        yield kind, sender, octets[place + HEADER.size : place + length]
        place += (length + 3) & ~3


def options(octets: bytes) -> dict[int, bytes]:
    """
    Return the attributes of a message by their numbers; the last one of those with the same number.
    """
    found = {}
    place = 0
    while place + 4 <= len(octets):
        length, number = _attribute.unpack_from(octets, place)
        if length < 4:
            break
        # The two highest bits are flags about the encoding of the value.
        found[number & 0x3FFF] = octets[place + 4 : place + length]
        place += (length + 3) & ~3
    return found
