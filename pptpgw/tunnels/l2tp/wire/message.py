"""
The control messages of L2TP: lists of AVPs, the first of which says the type (RFC 2661 sections 4
and 6).

L{REQUIRED} has the AVPs without which a message of a type can't be understood. Others that the
message may have, or may not have, are accepted all the same: peers repeat AVPs of one message in
the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from struct import error as StructError
from typing import Any

from pptpgw.error import Malformed
from pptpgw.tunnels.l2tp.wire.avp import (
    HEADER,
    HIDDEN,
    LENGTH,
    LONGEST,
    MANDATORY,
    RESERVED,
    TABLE,
)
from pptpgw.tunnels.l2tp.wire.code import AVP, MessageType
from pptpgw.tunnels.l2tp.wire.secret import hide, reveal

PROTOCOL_VERSION = 0x0100
"""
Version 1, revision 0 (RFC 2661 section 4.4.3).
"""

REQUIRED: dict[int, tuple[AVP, ...]] = {
    MessageType.SCCRQ: (
        AVP.PROTOCOL_VERSION,
        AVP.FRAMING_CAPABILITIES,
        AVP.HOST_NAME,
        AVP.ASSIGNED_TUNNEL_ID,
    ),
    MessageType.SCCRP: (
        AVP.PROTOCOL_VERSION,
        AVP.FRAMING_CAPABILITIES,
        AVP.HOST_NAME,
        AVP.ASSIGNED_TUNNEL_ID,
    ),
    MessageType.SCCCN: (),
    MessageType.STOPCCN: (AVP.RESULT_CODE, AVP.ASSIGNED_TUNNEL_ID),
    MessageType.HELLO: (),
    MessageType.OCRQ: (
        AVP.ASSIGNED_SESSION_ID,
        AVP.CALL_SERIAL_NUMBER,
        AVP.MINIMUM_BPS,
        AVP.MAXIMUM_BPS,
        AVP.BEARER_TYPE,
        AVP.FRAMING_TYPE,
        AVP.CALLED_NUMBER,
    ),
    MessageType.OCRP: (AVP.ASSIGNED_SESSION_ID,),
    MessageType.OCCN: (AVP.FRAMING_TYPE, AVP.TX_CONNECT_SPEED),
    MessageType.ICRQ: (AVP.ASSIGNED_SESSION_ID, AVP.CALL_SERIAL_NUMBER),
    MessageType.ICRP: (AVP.ASSIGNED_SESSION_ID,),
    MessageType.ICCN: (AVP.FRAMING_TYPE, AVP.TX_CONNECT_SPEED),
    MessageType.CDN: (AVP.RESULT_CODE, AVP.ASSIGNED_SESSION_ID),
    MessageType.WEN: (AVP.CALL_ERRORS,),
    MessageType.SLI: (AVP.ACCM,),
}
"""
The AVPs that a message must have besides its type, in the RFC's order.
"""

MOST = 128
"""
The most AVPs that are read of one message.
"""

_IDS = (AVP.ASSIGNED_TUNNEL_ID, AVP.ASSIGNED_SESSION_ID)


@dataclass(frozen=True, slots=True)
class L2TPMessage:
    """
    A control message.

    A message that can be made can be encoded: making one with a value that doesn't fit raises
    C{ValueError}.

    @ivar type: the type. It may be one that the RFC doesn't list.
    @ivar values: the values of its AVPs by attribute, without that of the type.
    @ivar mustKnow: whether the receiver must end the connection if it doesn't know the type.
    @ivar unknown: the attributes that we don't know or can't read, and whose sender set M. If the
        vendor isn't 0, it is in the upper 16 bits.
    """

    type: int
    values: Mapping[int, Any] = field(default_factory=dict)
    mustKnow: bool = True
    unknown: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for attribute, value in self.values.items():
            try:
                octets = TABLE[attribute].form.encode(value)
            except (KeyError, StructError, TypeError, Malformed) as error:
                raise ValueError(f"AVP {attribute} can't be {value!r}") from error
            if len(octets) > LONGEST:
                raise ValueError(f"AVP {attribute} of {len(octets)} octets")

    def get(self, attribute: AVP, otherwise: Any = None) -> Any:
        """
        Return the value of an attribute, or C{otherwise}.
        """
        return self.values.get(attribute, otherwise)


def nameOf(messageType: int) -> str:
    """
    Return the RFC's name of a type of message, or its number.
    """
    try:
        name = MessageType(messageType).name
    except ValueError:
        return f"message type {messageType}"
    return "StopCCN" if name == "STOPCCN" else name


def encode(
    message: L2TPMessage,
    secret: bytes = b"",
    vector: bytes = b"",
    hidden: frozenset[int] = frozenset(),
) -> bytes:
    """
    Return the octets of a message, without a header.

    @param secret: the secret of the two ends, by which AVPs are hidden.
    @param vector: random octets, for hiding.
    @param hidden: the attributes to hide, if the message has them.
    """
    octets = _avp(AVP.MESSAGE_TYPE, message.mustKnow, message.type.to_bytes(2, "big"))
    hiding = False
    for attribute, value in message.values.items():
        row = TABLE[attribute]
        plain = row.form.encode(value)
        if attribute in hidden and row.hideable:
            if not hiding:
                octets += _avp(AVP.RANDOM_VECTOR, True, vector)
                hiding = True
            octets += _avp(attribute, row.mandatory, hide(attribute, plain, secret, vector), HIDDEN)
        else:
            octets += _avp(attribute, row.mandatory, plain)
    return octets


def decode(octets: bytes, secret: bytes = b"") -> L2TPMessage:
    """
    Return the value of a message, whose octets, without a header, are C{octets}. Of two AVPs of one
    attribute the first counts. An AVP whose sender didn't set M is ignored if it can't be read.

    @param secret: the secret of the two ends, by which AVPs may be hidden; empty for none.
    @raise Malformed: an AVP doesn't fit, or one is missing.
    """
    avps = _avps(octets)
    flags, vendor, attribute, value = next(avps, (0, 0, -1, b""))
    if (vendor, attribute) != (0, AVP.MESSAGE_TYPE) or flags & (HIDDEN | RESERVED):
        raise Malformed("a control message that doesn't begin with its type")
    kind = _decoded(attribute, value)
    mustKnow = bool(flags & MANDATORY)
    values: dict[int, Any] = {}
    unknown: list[int] = []
    vector = b""
    for flags, vendor, attribute, value in avps:
        row = TABLE.get(attribute)
        mandatory = bool(flags & MANDATORY)
        if vendor or row is None or flags & RESERVED or (flags & HIDDEN and not secret):
            if mandatory:
                unknown.append(vendor << 16 | attribute)
            continue
        try:
            if flags & HIDDEN:
                value = reveal(attribute, value, secret, vector)
            decoded = _decoded(attribute, value)
        except Malformed:
            if mandatory:
                raise
            continue
        if attribute == AVP.RANDOM_VECTOR:
            vector = value
        elif attribute != AVP.MESSAGE_TYPE:
            values.setdefault(attribute, decoded)
    for required in REQUIRED.get(kind, ()):
        if required not in values:
            name = required.name.replace("_", " ").title()
            raise Malformed(f"{nameOf(kind)} without {name}")
    for assigned in _IDS:
        # A peer that refuses what it has assigned no id to yet has none to tell.
        if values.get(assigned) == 0 and kind not in (MessageType.CDN, MessageType.STOPCCN):
            raise Malformed(f"{nameOf(kind)} with the id 0")
    return L2TPMessage(kind, values, mustKnow, tuple(unknown))


def hostName(octets: bytes) -> bytes:
    """
    Return the Host Name in a message, which is never hidden; empty if it has none, or is malformed.
    By it the secret is found by which the other AVPs may be hidden.
    """
    try:
        for _, vendor, attribute, value in _avps(octets):
            if (vendor, attribute) == (0, AVP.HOST_NAME):
                return value
    except Malformed:
        pass
    return b""


def _avp(attribute: int, mandatory: bool, value: bytes, flags: int = 0) -> bytes:
    length = HEADER.size + len(value)
    if length > LENGTH:
        raise ValueError(f"AVP {attribute} of {length} octets")
    return HEADER.pack((MANDATORY if mandatory else 0) | flags | length, 0, attribute) + value


def _avps(octets: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """
    Iterate over the AVPs: flags, vendor, attribute and value of each.

    @raise Malformed: the octets can't be divided, or there are more than L{MOST}.
    """
    place = 0
    for _ in range(MOST):
        if place == len(octets):
            return
        if len(octets) - place < HEADER.size:
            raise Malformed("an AVP without a header")
        flags, vendor, attribute = HEADER.unpack_from(octets, place)
        length = flags & LENGTH
        if not HEADER.size <= length <= len(octets) - place:
            raise Malformed(f"AVP {attribute} gives its length as {length}")
        yield flags, vendor, attribute, octets[place + HEADER.size : place + length]
        place += length
    raise Malformed(f"more than {MOST} AVPs")


def _decoded(attribute: int, value: bytes) -> Any:
    try:
        return TABLE[attribute].form.decode(value)
    except Malformed as error:
        raise Malformed(f"AVP {attribute}: {error}") from error
