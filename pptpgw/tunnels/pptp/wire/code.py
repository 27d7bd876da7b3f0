"""
The codes in the control messages of PPTP (RFC 2637 section 2), and their names.

Peers send values that the RFC doesn't list, so messages hold plain integers. These enumerations
have the values that the RFC lists.
"""

from __future__ import annotations

from enum import IntEnum


class ControlMessageType(IntEnum):
    """
    The control message types (RFC 2637 section 1.4).
    """

    START_CONTROL_CONNECTION_REQUEST = 1
    START_CONTROL_CONNECTION_REPLY = 2
    STOP_CONTROL_CONNECTION_REQUEST = 3
    STOP_CONTROL_CONNECTION_REPLY = 4
    ECHO_REQUEST = 5
    ECHO_REPLY = 6
    OUTGOING_CALL_REQUEST = 7
    OUTGOING_CALL_REPLY = 8
    INCOMING_CALL_REQUEST = 9
    INCOMING_CALL_REPLY = 10
    INCOMING_CALL_CONNECTED = 11
    CALL_CLEAR_REQUEST = 12
    CALL_DISCONNECT_NOTIFY = 13
    WAN_ERROR_NOTIFY = 14
    SET_LINK_INFO = 15


class StartResult(IntEnum):
    """
    The result codes of Start-Control-Connection-Reply (RFC 2637 section 2.2).
    """

    SUCCESS = 1
    GENERAL_ERROR = 2
    COMMAND_CHANNEL_ALREADY_EXISTS = 3
    NOT_AUTHORIZED = 4
    UNSUPPORTED_PROTOCOL_VERSION = 5


class StopReason(IntEnum):
    """
    The reasons of Stop-Control-Connection-Request (RFC 2637 section 2.3).
    """

    NONE = 1
    STOP_PROTOCOL = 2
    STOP_LOCAL_SHUTDOWN = 3


class Result(IntEnum):
    """
    The result codes of Stop-Control-Connection-Reply and Echo-Reply (RFC 2637 sections 2.4 and
    2.6).
    """

    OK = 1
    GENERAL_ERROR = 2


class OutgoingCallResult(IntEnum):
    """
    The result codes of Outgoing-Call-Reply (RFC 2637 section 2.8).
    """

    CONNECTED = 1
    GENERAL_ERROR = 2
    NO_CARRIER = 3
    BUSY = 4
    NO_DIAL_TONE = 5
    TIME_OUT = 6
    DO_NOT_ACCEPT = 7


class IncomingCallResult(IntEnum):
    """
    The result codes of Incoming-Call-Reply (RFC 2637 section 2.10).
    """

    CONNECT = 1
    GENERAL_ERROR = 2
    DO_NOT_ACCEPT = 3


class DisconnectResult(IntEnum):
    """
    The result codes of Call-Disconnect-Notify (RFC 2637 section 2.13).
    """

    LOST_CARRIER = 1
    GENERAL_ERROR = 2
    ADMIN_SHUTDOWN = 3
    REQUEST = 4


class GeneralError(IntEnum):
    """
    The error codes, which have a meaning if the result code is General Error (RFC 2637 section
    2.16).
    """

    NONE = 0
    NOT_CONNECTED = 1
    BAD_FORMAT = 2
    BAD_VALUE = 3
    NO_RESOURCE = 4
    BAD_CALL_ID = 5
    PAC_ERROR = 6


class CauseCode(IntEnum):
    """
    The cause codes of Q.931 that can apply to a call outside of a telephone network.
    """

    NORMAL_CALL_CLEARING = 16
    USER_BUSY = 17
    NO_USER_RESPONDING = 18
    CALL_REJECTED = 21
    DESTINATION_OUT_OF_ORDER = 27
    NORMAL_UNSPECIFIED = 31
    NO_CIRCUIT_AVAILABLE = 34
    NETWORK_OUT_OF_ORDER = 38
    TEMPORARY_FAILURE = 41
    RESOURCE_UNAVAILABLE = 47


def describe(kind: type[IntEnum], code: int) -> str:
    """
    Return the meaning of a code in words, for a log.
    """
    try:
        return kind(code).name.replace("_", " ").lower()
    except ValueError:
        return f"code {code}"


def nameOf(number: int) -> str:
    """
    Return the RFC's name of a control message type, such as C{Echo-Request}.
    """
    return _NAMES[ControlMessageType(number)]


_NAMES = {
    kind: "-".join("WAN" if word == "WAN" else word.capitalize() for word in kind.name.split("_"))
    for kind in ControlMessageType
}
