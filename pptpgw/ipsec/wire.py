"""
The packets of vici, the protocol by which strongSwan's daemon is asked and told things, as its
documentation describes them (the README of libcharon's plugin vici).

On a stream each packet follows its length in 32 bits. A packet has a type and, for some types, a
name; then comes a message: names, each with a value, a list of values or another message.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum
from types import MappingProxyType
from typing import NamedTuple, Union

from pptpgw.error import Malformed

Message = Mapping[str, Union[bytes, Sequence[bytes], "Message"]]
"""
A message, by the names of its elements.
"""

NOTHING: Message = MappingProxyType({})
"""
An empty message.
"""

Made = dict[str, Union[bytes, list[bytes], "Made"]]

LONGEST = 512 * 1024
"""
The most octets of a packet.
"""

DEEPEST = 16
"""
The most messages that are within each other.
"""

_length = struct.Struct("!I")
_short = struct.Struct("!H")


class Kind(IntEnum):
    """
    The numbers of the types of packets: a command is a request, which a response answers; a client
    registers for events before it is sent any.
    """

    REQUEST = 0
    RESPONSE = 1
    UNKNOWN_REQUEST = 2
    REGISTER = 3
    UNREGISTER = 4
    CONFIRM = 5
    UNKNOWN_EVENT = 6
    EVENT = 7


_NAMED = {Kind.REQUEST, Kind.REGISTER, Kind.UNREGISTER, Kind.EVENT}


class _Element(IntEnum):
    """
    The numbers of the types of elements, of which a message consists: a section has elements of its
    own, a list has values without names.
    """

    SECTION_START = 1
    SECTION_END = 2
    VALUE = 3
    LIST_START = 4
    LIST_ITEM = 5
    LIST_END = 6


class Packet(NamedTuple):
    """
    A packet of vici: a command, an event, or what charon answers.

    @ivar kind: its type.
    @ivar name: the name of the command or event; empty for a type that has none.
    @ivar message: the message; empty for a type that has none.
    """

    kind: Kind
    name: str = ""
    message: Message = NOTHING

    def encode(self) -> bytes:
        """
        Return the octets, beginning with the length.

        @raise ValueError: a name or a value is too long.
        """
        named = _name(self.name) if self.kind in _NAMED else b""
        body = bytes((self.kind,)) + named + encodeMessage(self.message)
        if len(body) > LONGEST:
            raise ValueError(f"a packet of {len(body)} octets")
        return _length.pack(len(body)) + body


def split(octets: bytes) -> tuple[list[bytes], bytes]:
    """
    Split what a stream has brought.

    @return: the whole packets, without their lengths, and the rest.
    @raise Malformed: a packet is longer than L{LONGEST}.
    """
    packets, start = [], 0
    while len(octets) - start >= _length.size:
        (length,) = _length.unpack_from(octets, start)
        if length > LONGEST:
            raise Malformed(f"a packet of {length} octets")
        end = start + _length.size + length
        if end > len(octets):
            break
        packets.append(octets[start + _length.size : end])
        start = end
    return packets, octets[start:]


def decode(octets: bytes) -> Packet:
    """
    Return the packet in C{octets}, which don't have its length.

    @raise Malformed: they aren't a packet.
    """
    reader = _Reader(octets)
    number = reader.octet()
    if number not in Kind._value2member_map_:
        raise Malformed(f"a packet of type {number}")
    kind = Kind(number)
    name = reader.name() if kind in _NAMED else ""
    return Packet(kind, name, _decodeMessage(reader))


def encodeMessage(message: Message) -> bytes:
    """
    Return the octets of a message.

    @raise ValueError: a name or a value is too long.
    """
    parts = []
    for name, value in message.items():
        if isinstance(value, bytes):
            parts += [bytes((_Element.VALUE,)), _name(name), _value(value)]
        elif isinstance(value, Mapping):
            parts += [bytes((_Element.SECTION_START,)), _name(name), encodeMessage(value)]
            parts.append(bytes((_Element.SECTION_END,)))
        else:
            parts += [bytes((_Element.LIST_START,)), _name(name)]
            parts += [bytes((_Element.LIST_ITEM,)) + _value(one) for one in value]
            parts.append(bytes((_Element.LIST_END,)))
    return b"".join(parts)


def _decodeMessage(reader: _Reader) -> Message:
    """
    Return the message that is the rest of a packet. An element with the name of an earlier one
    takes its place.
    """
    top: Made = {}
    around: list[Made] = []
    current = top
    items: list[bytes] | None = None
    while not reader.isEmpty:
        kind = reader.octet()
        if items is not None:
            if kind == _Element.LIST_ITEM:
                items.append(reader.value())
            elif kind == _Element.LIST_END:
                items = None
            else:
                raise Malformed(f"an element of type {kind} in a list")
        elif kind == _Element.VALUE:
            name = reader.name()
            current[name] = reader.value()
        elif kind == _Element.LIST_START:
            current[reader.name()] = items = []
        elif kind == _Element.SECTION_START and len(around) < DEEPEST:
            within: Made = {}
            current[reader.name()] = within
            around.append(current)
            current = within
        elif kind == _Element.SECTION_END and around:
            current = around.pop()
        else:
            raise Malformed(f"an element of type {kind} at depth {len(around)}")
    if around or items is not None:
        raise Malformed("a message that ends within a section or a list")
    return top


def _name(name: str) -> bytes:
    octets = name.encode()
    if not 0 < len(octets) <= 0xFF:
        raise ValueError(f"{name!r} doesn't fit")
    return bytes((len(octets),)) + octets


def _value(value: bytes) -> bytes:
    if len(value) > 0xFFFF:
        raise ValueError(f"a value of {len(value)} octets")
    return _short.pack(len(value)) + value


class _Reader:
    """
    A place in the octets of a packet. What is taken from there raises L{Malformed} if fewer octets
    are left than it needs.
    """

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._place = 0

    @property
    def isEmpty(self) -> bool:
        """
        Whether no octets are left.
        """
        return self._place == len(self._octets)

    def octet(self) -> int:
        """
        Take the next octet, as a number.
        """
        return self._take(1)[0]

    def name(self) -> str:
        """
        Take a name: an octet with its length, and as many octets of UTF-8. U+FFFD stands for what
        isn't UTF-8.
        """
        return self._take(self.octet()).decode(errors="replace")

    def value(self) -> bytes:
        """
        Take a value: its length in two octets, and as many octets.
        """
        return self._take(_short.unpack(self._take(_short.size))[0])

    def _take(self, count: int) -> bytes:
        taken = self._octets[self._place : self._place + count]
        if len(taken) < count:
            raise Malformed(f"{count} octets where {len(taken)} are left")
        self._place += count
        return taken
