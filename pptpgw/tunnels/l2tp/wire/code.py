"""
The codes in the control messages of L2TP (RFC 2661), and their names.

Peers send values that the RFC doesn't list, so messages hold plain integers. These enumerations
have the values that the RFC lists.
"""

from __future__ import annotations

from enum import IntEnum


class MessageType(IntEnum):
    """
    The types of control messages (RFC 2661 section 3.2). 0, 5 and 13 are reserved.
    """

    SCCRQ = 1
    SCCRP = 2
    SCCCN = 3
    STOPCCN = 4
    HELLO = 6
    OCRQ = 7
    OCRP = 8
    OCCN = 9
    ICRQ = 10
    ICRP = 11
    ICCN = 12
    CDN = 14
    WEN = 15
    SLI = 16


class AVP(IntEnum):
    """
    The attribute types of the vendor 0 (RFC 2661 section 4.4). 20 is reserved.
    """

    MESSAGE_TYPE = 0
    RESULT_CODE = 1
    PROTOCOL_VERSION = 2
    FRAMING_CAPABILITIES = 3
    BEARER_CAPABILITIES = 4
    TIE_BREAKER = 5
    FIRMWARE_REVISION = 6
    HOST_NAME = 7
    VENDOR_NAME = 8
    ASSIGNED_TUNNEL_ID = 9
    RECEIVE_WINDOW_SIZE = 10
    CHALLENGE = 11
    Q931_CAUSE_CODE = 12
    CHALLENGE_RESPONSE = 13
    ASSIGNED_SESSION_ID = 14
    CALL_SERIAL_NUMBER = 15
    MINIMUM_BPS = 16
    MAXIMUM_BPS = 17
    BEARER_TYPE = 18
    FRAMING_TYPE = 19
    CALLED_NUMBER = 21
    CALLING_NUMBER = 22
    SUB_ADDRESS = 23
    TX_CONNECT_SPEED = 24
    PHYSICAL_CHANNEL_ID = 25
    INITIAL_RECEIVED_LCP_CONFREQ = 26
    LAST_SENT_LCP_CONFREQ = 27
    LAST_RECEIVED_LCP_CONFREQ = 28
    PROXY_AUTHEN_TYPE = 29
    PROXY_AUTHEN_NAME = 30
    PROXY_AUTHEN_CHALLENGE = 31
    PROXY_AUTHEN_ID = 32
    PROXY_AUTHEN_RESPONSE = 33
    CALL_ERRORS = 34
    ACCM = 35
    RANDOM_VECTOR = 36
    PRIVATE_GROUP_ID = 37
    RX_CONNECT_SPEED = 38
    SEQUENCING_REQUIRED = 39


class StopResult(IntEnum):
    """
    The result codes of StopCCN (RFC 2661 section 4.4.2).
    """

    CLEARED = 1
    GENERAL_ERROR = 2
    ALREADY_EXISTS = 3
    NOT_AUTHORIZED = 4
    UNSUPPORTED_PROTOCOL_VERSION = 5
    SHUTTING_DOWN = 6
    FINITE_STATE_MACHINE_ERROR = 7


class CDNResult(IntEnum):
    """
    The result codes of CDN (RFC 2661 section 4.4.2).
    """

    LOSS_OF_CARRIER = 1
    GENERAL_ERROR = 2
    ADMINISTRATIVE_REASONS = 3
    NO_FACILITIES_NOW = 4
    NO_FACILITIES = 5
    INVALID_DESTINATION = 6
    NO_CARRIER = 7
    BUSY = 8
    NO_DIAL_TONE = 9
    NOT_WITHIN_THE_TIME = 10
    NO_FRAMING = 11


class ErrorCode(IntEnum):
    """
    The error codes of StopCCN and CDN (RFC 2661 section 4.4.2).
    """

    NONE = 0
    NO_CONTROL_CONNECTION = 1
    WRONG_LENGTH = 2
    OUT_OF_RANGE = 3
    NO_RESOURCES = 4
    INVALID_SESSION_ID = 5
    VENDOR_SPECIFIC = 6
    TRY_ANOTHER = 7
    UNKNOWN_MANDATORY_AVP = 8


class ProxyAuthentication(IntEnum):
    """
    The values of the Proxy Authen Type AVP (RFC 2661 section 4.4.5).
    """

    TEXTUAL = 1
    CHAP = 2
    PAP = 3
    NONE = 4
    MSCHAP = 5


def describe(codes: type[IntEnum], value: int) -> str:
    """
    Return the name of a code in words, with its number.
    """
    try:
        name = codes(value).name.replace("_", " ").lower()
    except ValueError:
        return f"unknown ({value})"
    return f"{name} ({value})"
