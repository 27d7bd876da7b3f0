"""
The control messages of PPTP, which are encoded to octets and decoded from them (RFC 2637 section
2).

Each message is a frozen dataclass. The order of its fields is that of their octets, and the
annotation of a field says how it is encoded, so that L{encode} and L{decode} are the same for all
fifteen messages. Reserved octets are sent as zeros and ignored when received. The values of codes
are in L{pptpgw.tunnels.pptp.wire.code}; L{pptpgw.tunnels.pptp.wire.framing} divides the TCP stream
into messages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Annotated, ClassVar, NamedTuple, get_type_hints

from pptpgw.error import Malformed
from pptpgw.tunnels.pptp.wire.code import (
    ControlMessageType,
    DisconnectResult,
    GeneralError,
    IncomingCallResult,
    OutgoingCallResult,
    Result,
    StartResult,
    StopReason,
    nameOf,
)

PORT = 1723
MAGIC_COOKIE = 0x1A2B3C4D
PROTOCOL_VERSION = 0x0100
CONTROL_MESSAGE = 1

# The header: length, PPTP message type, magic cookie, control message type, Reserved0.
_HEADER = Struct(">HHIHH")
SHORTEST = _HEADER.size


class Place(NamedTuple):
    """
    The encoding of a field.

    @ivar form: the L{struct} format, including the reserved octets after the field.
    @ivar limit: the largest number, or the largest length of a text in octets.
    """

    form: str
    limit: int


U8 = Annotated[int, Place("B", 0xFF)]
U8Reserved2 = Annotated[int, Place("B2x", 0xFF)]
U8Reserved3 = Annotated[int, Place("B3x", 0xFF)]
U16 = Annotated[int, Place("H", 0xFFFF)]
U16Reserved2 = Annotated[int, Place("H2x", 0xFFFF)]
U32 = Annotated[int, Place("I", 0xFFFFFFFF)]
Text64 = Annotated[bytes, Place("64s", 64)]
Text128 = Annotated[bytes, Place("128s", 128)]


class ControlMessage:
    """
    A control message.

    A message that can be made can be encoded: making one with a value that doesn't fit its field,
    or with a text that contains a NUL, raises C{ValueError}.
    """

    __slots__ = ()

    messageType: ClassVar[ControlMessageType]

    def __post_init__(self) -> None:
        for name, (_, limit) in _LAYOUTS[self.messageType].places.items():
            value = getattr(self, name)
            if isinstance(value, bytes):
                fits = len(value) <= limit and 0 not in value
            else:
                fits = 0 <= value <= limit
            if not fits:
                raise ValueError(f"{type(self).__name__}.{name} can't be {value!r}")


@dataclass(frozen=True, slots=True)
class StartControlConnectionRequest(ControlMessage):
    """
    Start-Control-Connection-Request (RFC 2637 section 2.1): the sender opens the control
    connection.
    """

    messageType = ControlMessageType.START_CONTROL_CONNECTION_REQUEST
    protocolVersion: U16Reserved2 = PROTOCOL_VERSION
    framingCapabilities: U32 = 3
    bearerCapabilities: U32 = 3
    maximumChannels: U16 = 0
    firmwareRevision: U16 = 0
    hostName: Text64 = b""
    vendorName: Text64 = b""


@dataclass(frozen=True, slots=True)
class StartControlConnectionReply(ControlMessage):
    """
    Start-Control-Connection-Reply (RFC 2637 section 2.2).
    """

    messageType = ControlMessageType.START_CONTROL_CONNECTION_REPLY
    protocolVersion: U16 = PROTOCOL_VERSION
    result: U8 = StartResult.SUCCESS
    error: U8 = GeneralError.NONE
    framingCapabilities: U32 = 3
    bearerCapabilities: U32 = 3
    maximumChannels: U16 = 0
    firmwareRevision: U16 = 0
    hostName: Text64 = b""
    vendorName: Text64 = b""


@dataclass(frozen=True, slots=True)
class StopControlConnectionRequest(ControlMessage):
    """
    Stop-Control-Connection-Request (RFC 2637 section 2.3): the sender closes the control
    connection.
    """

    messageType = ControlMessageType.STOP_CONTROL_CONNECTION_REQUEST
    reason: U8Reserved3 = StopReason.NONE


@dataclass(frozen=True, slots=True)
class StopControlConnectionReply(ControlMessage):
    """
    Stop-Control-Connection-Reply (RFC 2637 section 2.4).
    """

    messageType = ControlMessageType.STOP_CONTROL_CONNECTION_REPLY
    result: U8 = Result.OK
    error: U8Reserved2 = GeneralError.NONE


@dataclass(frozen=True, slots=True)
class EchoRequest(ControlMessage):
    """
    Echo-Request (RFC 2637 section 2.5): the sender asks for a sign of life.
    """

    messageType = ControlMessageType.ECHO_REQUEST
    identifier: U32 = 0


@dataclass(frozen=True, slots=True)
class EchoReply(ControlMessage):
    """
    Echo-Reply (RFC 2637 section 2.6).
    """

    messageType = ControlMessageType.ECHO_REPLY
    identifier: U32 = 0
    result: U8 = Result.OK
    error: U8Reserved2 = GeneralError.NONE


@dataclass(frozen=True, slots=True)
class OutgoingCallRequest(ControlMessage):
    """
    Outgoing-Call-Request (RFC 2637 section 2.7): the PNS asks the PAC for a call.

    @ivar processingDelay: the delay in tenths of a second, as in every message that has this field.
    """

    messageType = ControlMessageType.OUTGOING_CALL_REQUEST
    callID: U16 = 0
    callSerialNumber: U16 = 0
    minimumBPS: U32 = 300
    maximumBPS: U32 = 100_000_000
    bearerType: U32 = 3
    framingType: U32 = 3
    window: U16 = 64
    processingDelay: U16 = 0
    phoneNumberLength: U16Reserved2 = 0
    phoneNumber: Text64 = b""
    subaddress: Text64 = b""


@dataclass(frozen=True, slots=True)
class OutgoingCallReply(ControlMessage):
    """
    Outgoing-Call-Reply (RFC 2637 section 2.8).
    """

    messageType = ControlMessageType.OUTGOING_CALL_REPLY
    callID: U16 = 0
    peerCallID: U16 = 0
    result: U8 = OutgoingCallResult.CONNECTED
    error: U8 = GeneralError.NONE
    cause: U16 = 0
    connectSpeed: U32 = 100_000_000
    window: U16 = 64
    processingDelay: U16 = 0
    physicalChannelID: U32 = 0


@dataclass(frozen=True, slots=True)
class IncomingCallRequest(ControlMessage):
    """
    Incoming-Call-Request (RFC 2637 section 2.9): the PAC offers a call to the PNS.
    """

    messageType = ControlMessageType.INCOMING_CALL_REQUEST
    callID: U16 = 0
    callSerialNumber: U16 = 0
    bearerType: U32 = 3
    physicalChannelID: U32 = 0
    dialedNumberLength: U16 = 0
    dialingNumberLength: U16 = 0
    dialedNumber: Text64 = b""
    dialingNumber: Text64 = b""
    subaddress: Text64 = b""


@dataclass(frozen=True, slots=True)
class IncomingCallReply(ControlMessage):
    """
    Incoming-Call-Reply (RFC 2637 section 2.10).
    """

    messageType = ControlMessageType.INCOMING_CALL_REPLY
    callID: U16 = 0
    peerCallID: U16 = 0
    result: U8 = IncomingCallResult.CONNECT
    error: U8 = GeneralError.NONE
    window: U16 = 64
    transmitDelay: U16Reserved2 = 0


@dataclass(frozen=True, slots=True)
class IncomingCallConnected(ControlMessage):
    """
    Incoming-Call-Connected (RFC 2637 section 2.11): the PAC has answered the call.
    """

    messageType = ControlMessageType.INCOMING_CALL_CONNECTED
    peerCallID: U16Reserved2 = 0
    connectSpeed: U32 = 100_000_000
    window: U16 = 64
    transmitDelay: U16 = 0
    framingType: U32 = 3


@dataclass(frozen=True, slots=True)
class CallClearRequest(ControlMessage):
    """
    Call-Clear-Request (RFC 2637 section 2.12): the PNS ends a call.

    @ivar callID: the call id that the sender, the PNS, assigned.
    """

    messageType = ControlMessageType.CALL_CLEAR_REQUEST
    callID: U16Reserved2 = 0


@dataclass(frozen=True, slots=True)
class CallDisconnectNotify(ControlMessage):
    """
    Call-Disconnect-Notify (RFC 2637 section 2.13): the PAC has ended a call.

    @ivar callID: the call id that the sender, the PAC, assigned.
    """

    messageType = ControlMessageType.CALL_DISCONNECT_NOTIFY
    callID: U16 = 0
    result: U8 = DisconnectResult.REQUEST
    error: U8 = GeneralError.NONE
    cause: U16Reserved2 = 0
    statistics: Text128 = b""


@dataclass(frozen=True, slots=True)
class WANErrorNotify(ControlMessage):
    """
    WAN-Error-Notify (RFC 2637 section 2.14): the PAC counts errors on its line.

    @ivar peerCallID: the call id that the receiver, the PNS, assigned.
    """

    messageType = ControlMessageType.WAN_ERROR_NOTIFY
    peerCallID: U16Reserved2 = 0
    crcErrors: U32 = 0
    framingErrors: U32 = 0
    hardwareOverruns: U32 = 0
    bufferOverruns: U32 = 0
    timeoutErrors: U32 = 0
    alignmentErrors: U32 = 0


@dataclass(frozen=True, slots=True)
class SetLinkInfo(ControlMessage):
    """
    Set-Link-Info (RFC 2637 section 2.15): the PNS tells the ACCMs that were negotiated.

    @ivar peerCallID: the call id that the receiver assigned.
    """

    messageType = ControlMessageType.SET_LINK_INFO
    peerCallID: U16Reserved2 = 0
    sendACCM: U32 = 0xFFFFFFFF
    receiveACCM: U32 = 0xFFFFFFFF


class UnknownMessage(Malformed):
    """
    A message of a type that RFC 2637 doesn't define. Its header is valid, so that the messages
    after it can be found.
    """


class _Layout:
    """
    The encoding of one type of message, made from its annotations.
    """

    __slots__ = ("build", "places", "struct")

    def __init__(self, kind: type[ControlMessage]) -> None:
        self.build: Callable[..., ControlMessage] = kind
        self.places: dict[str, Place] = {
            name: hint.__metadata__[0]
            for name, hint in get_type_hints(kind, include_extras=True).items()
            if hasattr(hint, "__metadata__")
        }
        forms = "".join(place.form for place in self.places.values())
        self.struct = Struct(_HEADER.format + forms)


def encode(message: ControlMessage) -> bytes:
    """
    Return the octets of a message, including its header.
    """
    layout = _LAYOUTS[message.messageType]
    return layout.struct.pack(
        layout.struct.size,
        CONTROL_MESSAGE,
        MAGIC_COOKIE,
        message.messageType,
        0,
        *[getattr(message, name) for name in layout.places],
    )


def decode(octets: bytes) -> ControlMessage:
    """
    Return the value of a message, whose octets are C{octets}. A text ends at its first NUL.

    @raise Malformed: the magic cookie or the length is wrong.
    @raise UnknownMessage: the message is valid, but its type is unknown.
    """
    if len(octets) < SHORTEST:
        raise Malformed(f"a control message of {len(octets)} octets")
    length, kind, cookie, number, _ = _HEADER.unpack_from(octets)
    if cookie != MAGIC_COOKIE:
        raise Malformed(f"magic cookie {cookie:#010x}")
    if length != len(octets):
        raise Malformed(f"{len(octets)} octets whose length field says {length}")
    if kind != CONTROL_MESSAGE:
        raise UnknownMessage(f"PPTP message type {kind}")
    layout = _LAYOUTS.get(number)
    if layout is None:
        raise UnknownMessage(f"control message type {number}")
    if length != layout.struct.size:
        raise Malformed(f"{nameOf(number)} of {length} octets, not {layout.struct.size}")
    values = layout.struct.unpack(octets)[5:]
    return layout.build(
        *[value.partition(b"\0")[0] if isinstance(value, bytes) else value for value in values]
    )


MESSAGES: tuple[type[ControlMessage], ...] = (
    StartControlConnectionRequest,
    StartControlConnectionReply,
    StopControlConnectionRequest,
    StopControlConnectionReply,
    EchoRequest,
    EchoReply,
    OutgoingCallRequest,
    OutgoingCallReply,
    IncomingCallRequest,
    IncomingCallReply,
    IncomingCallConnected,
    CallClearRequest,
    CallDisconnectNotify,
    WANErrorNotify,
    SetLinkInfo,
)
_LAYOUTS: dict[int, _Layout] = {kind.messageType: _Layout(kind) for kind in MESSAGES}
LONGEST = max(layout.struct.size for layout in _LAYOUTS.values())
