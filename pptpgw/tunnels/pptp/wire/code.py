"""
The codes in the control messages of PPTP (RFC 2637 section 2), and their words.

Peers send values that the RFC doesn't list, so the messages carry plain integers; these
enumerations name the values that it does.
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
    Result codes of Start-Control-Connection-Reply (section 2.2).
    """

    SUCCESS = 1
    GENERAL_ERROR = 2
    COMMAND_CHANNEL_ALREADY_EXISTS = 3
    NOT_AUTHORIZED = 4
    UNSUPPORTED_PROTOCOL_VERSION = 5


class StopReason(IntEnum):
    """
    Reasons of Stop-Control-Connection-Request (section 2.3).
    """

    NONE = 1
    STOP_PROTOCOL = 2
    STOP_LOCAL_SHUTDOWN = 3


class Result(IntEnum):
    """
    Result codes of Stop-Control-Connection-Reply and Echo-Reply (sections 2.4 and 2.6).
    """

    OK = 1
    GENERAL_ERROR = 2


class OutgoingCallResult(IntEnum):
    """
    Result codes of Outgoing-Call-Reply (section 2.8).
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
    Result codes of Incoming-Call-Reply (section 2.10).
    """

    CONNECT = 1
    GENERAL_ERROR = 2
    DO_NOT_ACCEPT = 3


class DisconnectResult(IntEnum):
    """
    Result codes of Call-Disconnect-Notify (section 2.13).
    """

    LOST_CARRIER = 1
    GENERAL_ERROR = 2
    ADMIN_SHUTDOWN = 3
    REQUEST = 4


class GeneralError(IntEnum):
    """
    General error codes, meaningful beside a result code of General Error (section 2.16).
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
    The causes of Q.931 that fit a call which no telephone network carries.
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
    What a code means, in words fit for a log.
    """
    try:
        return kind(code).name.replace("_", " ").lower()
    except ValueError:
        return f"code {code}"


def nameOf(number: int) -> str:
    """
    The RFC's name of a control message type, as in C{Echo-Request}.
    """
    return _NAMES[ControlMessageType(number)]


_NAMES = {
    kind: "-".join("WAN" if word == "WAN" else word.capitalize() for word in kind.name.split("_"))
    for kind in ControlMessageType
}
