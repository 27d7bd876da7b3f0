"""
The codes of messages about calls, by what PPTP knows nothing of: why a call is refused, or ends.
"""

from __future__ import annotations

from pptpgw.interfaces import Refusal
from pptpgw.sessions.cause import Termination, codeOf
from pptpgw.tunnels.pptp.wire.code import (
    CauseCode,
    DisconnectResult,
    GeneralError,
    IncomingCallResult,
    OutgoingCallResult,
)

OUTGOING = {
    Refusal.BUSY: (OutgoingCallResult.BUSY, CauseCode.RESOURCE_UNAVAILABLE),
    Refusal.FORBIDDEN: (OutgoingCallResult.DO_NOT_ACCEPT, CauseCode.CALL_REJECTED),
    Refusal.STOPPING: (OutgoingCallResult.BUSY, CauseCode.TEMPORARY_FAILURE),
}
"""
The result and cause codes of an Outgoing-Call-Reply (RFC 2637 section 2.8) by the reason. Clients
redial a line that is busy.
"""

_BUSY = IncomingCallResult.GENERAL_ERROR, GeneralError.NO_RESOURCE

INCOMING = {
    Refusal.BUSY: _BUSY,
    Refusal.FORBIDDEN: (IncomingCallResult.DO_NOT_ACCEPT, GeneralError.NONE),
    Refusal.STOPPING: _BUSY,
}
"""
The result and error codes of an Incoming-Call-Reply (RFC 2637 section 2.10) by the reason.
"""

_GENERAL = DisconnectResult.ADMIN_SHUTDOWN, GeneralError.NONE, CauseCode.NORMAL_CALL_CLEARING
_CODES = {
    Termination.LOST_CARRIER: (
        DisconnectResult.LOST_CARRIER,
        GeneralError.NONE,
        CauseCode.NORMAL_CALL_CLEARING,
    ),
    Termination.SERVICE_UNAVAILABLE: (
        DisconnectResult.GENERAL_ERROR,
        GeneralError.NO_RESOURCE,
        CauseCode.RESOURCE_UNAVAILABLE,
    ),
}


def disconnection(cause: str) -> tuple[int, int, int]:
    """
    Return the result, error and cause codes of a Call-Disconnect-Notify (RFC 2637 section 2.13) for
    a call that ends because of C{cause}.
    """
    return _CODES.get(codeOf(cause), _GENERAL)
