"""
The AVPs of L2TP: attributes and their values (RFC 2661 section 4).

L{TABLE} has a row for each attribute, in the order of the RFC: the form of its value, whether the
sender sets the bit M, which ends the connection or call if the receiver doesn't know the attribute,
and whether the value may be hidden.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any, NamedTuple

from pptpgw.error import Malformed
from pptpgw.tunnels.l2tp.wire.code import AVP

MANDATORY, HIDDEN, RESERVED, LENGTH = 0x8000, 0x4000, 0x3C00, 0x03FF
HEADER = Struct("!3H")
LONGEST = LENGTH - HEADER.size
"""
The most octets of a value.
"""


class ResultCode(NamedTuple):
    """
    The value of the Result Code AVP (RFC 2661 section 4.4.2).

    @ivar error: the error code; 0 for none, which leaves it out unless there is a text.
    @ivar text: a text for people, in UTF-8.
    """

    result: int
    error: int = 0
    text: bytes = b""


class Q931Cause(NamedTuple):
    """
    The value of the Q.931 Cause Code AVP (RFC 2661 section 4.4.2).
    """

    cause: int
    message: int = 0
    text: bytes = b""


class CallErrors(NamedTuple):
    """
    The value of the Call Errors AVP (RFC 2661 section 4.4.6).
    """

    crcErrors: int = 0
    framingErrors: int = 0
    hardwareOverruns: int = 0
    bufferOverruns: int = 0
    timeoutErrors: int = 0
    alignmentErrors: int = 0


class SendReceiveACCM(NamedTuple):
    """
    The value of the ACCM AVP (RFC 2661 section 4.4.6).
    """

    send: int = 0xFFFFFFFF
    receive: int = 0xFFFFFFFF


class Form(NamedTuple):
    """
    The form of a value.

    @ivar encode: makes the octets. It raises C{ValueError} or C{struct.error} for a value that
        doesn't fit.
    @ivar decode: makes the value. It raises L{Malformed}.
    """

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def _packed(fields: str, make: Callable[..., Any] | None = None, text: bool = False) -> Form:
    """
    The form of numbers, with a text behind them if C{text} is set.

    @param make: makes the value of them; None if there is only one number.
    """
    struct = Struct("!" + fields)

    def encode(value: Any) -> bytes:
        if make is None:
            return struct.pack(value)
        return struct.pack(*value[:-1]) + bytes(value[-1]) if text else struct.pack(*value)

    def decode(octets: bytes) -> Any:
        if len(octets) < struct.size or (len(octets) > struct.size and not text):
            raise Malformed(f"{len(octets)} octets, not {struct.size}")
        numbers = struct.unpack_from(octets)
        if make is None:
            return numbers[0]
        return make(*numbers, octets[struct.size :]) if text else make(*numbers)

    return Form(encode, decode)


def _encodeResult(value: ResultCode) -> bytes:
    octets = _RESULT.encode(value.result)
    if value.error or value.text:
        octets += _RESULT.encode(value.error) + value.text
    return octets


def _decodeResult(octets: bytes) -> ResultCode:
    if len(octets) < 2 or len(octets) == 3:
        raise Malformed(f"a Result Code of {len(octets)} octets")
    return ResultCode(
        int.from_bytes(octets[:2], "big"), int.from_bytes(octets[2:4], "big"), octets[4:]
    )


def _octets(size: int = 0, least: int = 0) -> Form:
    """
    The form of octets.

    @param size: how many; 0 for any number, but C{least}.
    """

    def check(octets: bytes) -> bytes:
        if (size and len(octets) != size) or not least <= len(octets) <= LONGEST:
            raise Malformed(f"{len(octets)} octets")
        return octets

    return Form(check, check)


def _decodeNothing(octets: bytes) -> bool:
    if octets:
        raise Malformed(f"{len(octets)} octets in an AVP without a value")
    return True


_RESULT = _packed("H")
_U16, _U32 = _packed("H"), _packed("I")
_TEXT, _SOME = _octets(), _octets(least=1)
_NOTHING = Form(lambda value: b"", _decodeNothing)


class Row(NamedTuple):
    """
    A row of the table.

    @ivar mandatory: whether the sender sets M.
    @ivar hideable: whether the value may be hidden.
    """

    form: Form
    mandatory: bool
    hideable: bool


TABLE: dict[int, Row] = {
    # RFC 2661 sections 4.4.1 and 4.4.2: all messages, results and errors.
    AVP.MESSAGE_TYPE: Row(_U16, True, False),
    AVP.RESULT_CODE: Row(Form(_encodeResult, _decodeResult), True, False),
    # Section 4.4.3: the control connection.
    AVP.PROTOCOL_VERSION: Row(_U16, True, False),
    AVP.FRAMING_CAPABILITIES: Row(_U32, True, True),
    AVP.BEARER_CAPABILITIES: Row(_U32, True, True),
    AVP.TIE_BREAKER: Row(_octets(8), False, False),
    AVP.FIRMWARE_REVISION: Row(_U16, False, True),
    AVP.HOST_NAME: Row(_SOME, True, False),
    AVP.VENDOR_NAME: Row(_TEXT, False, True),
    AVP.ASSIGNED_TUNNEL_ID: Row(_U16, True, True),
    AVP.RECEIVE_WINDOW_SIZE: Row(_U16, True, False),
    AVP.CHALLENGE: Row(_SOME, True, True),
    AVP.Q931_CAUSE_CODE: Row(_packed("HB", Q931Cause, text=True), True, False),
    AVP.CHALLENGE_RESPONSE: Row(_octets(16), True, True),
    # Section 4.4.4: calls.
    AVP.ASSIGNED_SESSION_ID: Row(_U16, True, True),
    AVP.CALL_SERIAL_NUMBER: Row(_U32, True, True),
    AVP.MINIMUM_BPS: Row(_U32, True, True),
    AVP.MAXIMUM_BPS: Row(_U32, True, True),
    AVP.BEARER_TYPE: Row(_U32, True, True),
    AVP.FRAMING_TYPE: Row(_U32, True, True),
    AVP.CALLED_NUMBER: Row(_TEXT, True, True),
    AVP.CALLING_NUMBER: Row(_TEXT, True, True),
    AVP.SUB_ADDRESS: Row(_TEXT, True, True),
    AVP.TX_CONNECT_SPEED: Row(_U32, True, True),
    AVP.PHYSICAL_CHANNEL_ID: Row(_U32, False, True),
    # Section 4.4.5: what the LAC has negotiated with the caller.
    AVP.INITIAL_RECEIVED_LCP_CONFREQ: Row(_TEXT, False, True),
    AVP.LAST_SENT_LCP_CONFREQ: Row(_TEXT, False, True),
    AVP.LAST_RECEIVED_LCP_CONFREQ: Row(_TEXT, False, True),
    AVP.PROXY_AUTHEN_TYPE: Row(_U16, False, True),
    AVP.PROXY_AUTHEN_NAME: Row(_TEXT, False, True),
    AVP.PROXY_AUTHEN_CHALLENGE: Row(_TEXT, False, True),
    AVP.PROXY_AUTHEN_ID: Row(_packed("xB"), False, True),
    AVP.PROXY_AUTHEN_RESPONSE: Row(_TEXT, False, True),
    # Section 4.4.6: the state of a call.
    AVP.CALL_ERRORS: Row(_packed("2x6I", CallErrors), True, True),
    AVP.ACCM: Row(_packed("2x2I", SendReceiveACCM), True, True),
    AVP.RANDOM_VECTOR: Row(_SOME, True, False),
    AVP.PRIVATE_GROUP_ID: Row(_TEXT, False, True),
    AVP.RX_CONNECT_SPEED: Row(_U32, False, True),
    AVP.SEQUENCING_REQUIRED: Row(_NOTHING, True, False),
}
