"""
Why a session ended: a text for people, and a code for accounting.
"""

from __future__ import annotations

from enum import IntEnum


class Termination(IntEnum):
    """
    Acct-Terminate-Cause (RFC 2866 section 5.10), those that a gateway has use for.
    """

    USER_REQUEST = 1
    LOST_CARRIER = 2
    LOST_SERVICE = 3
    IDLE_TIMEOUT = 4
    SESSION_TIMEOUT = 5
    ADMIN_RESET = 6
    ADMIN_REBOOT = 7
    NAS_ERROR = 9
    NAS_REQUEST = 10
    NAS_REBOOT = 11
    PORT_PREEMPTED = 13
    SERVICE_UNAVAILABLE = 15
    USER_ERROR = 17


class Cause(str):
    """
    A text that knows its code; wherever a plain text says why something ends it may be one.

    @ivar code: the L{Termination}.
    """

    code: Termination

    def __new__(cls, text: str, code: Termination) -> Cause:
        """
        @param text: fit for a log, and for the peer.
        """
        self = super().__new__(cls, text)
        self.code = code
        return self


def asCause(cause: str, otherwise: Termination) -> Cause:
    """
    C{cause} as it is where it knows its code; a plain text with the code C{otherwise}.
    """
    return cause if isinstance(cause, Cause) else Cause(cause, otherwise)


def codeOf(cause: str) -> Termination:
    """
    The code of C{cause}; a plain text is the gateway's own decision.
    """
    return cause.code if isinstance(cause, Cause) else Termination.NAS_REQUEST
