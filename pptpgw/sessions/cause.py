"""
The cause of a session's end: a text for people, and a code for accounting.
"""

from __future__ import annotations

from enum import IntEnum


class Termination(IntEnum):
    """
    The values of Acct-Terminate-Cause that a gateway uses (RFC 2866 section 5.10).
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
    A text with a code. It may stand wherever a plain text says why something ends.

    @ivar code: the L{Termination}.
    """

    code: Termination

    def __new__(cls, text: str, code: Termination) -> Cause:
        """
        @param text: the cause in words that may be logged and sent to the peer.
        """
        self = super().__new__(cls, text)
        self.code = code
        return self


SHUT_DOWN = Cause("the gateway shuts down", Termination.ADMIN_REBOOT)
"""
The cause of calls that end because their tunnel stops.
"""

DISPLACED = Cause("a newer connection needs its place", Termination.PORT_PREEMPTED)
"""
The cause of calls whose connection loses its place to another caller's.
"""


def asCause(cause: str, otherwise: Termination) -> Cause:
    """
    Return C{cause} unchanged if it has a code, and with the code C{otherwise} if it is a plain
    text.
    """
    return cause if isinstance(cause, Cause) else Cause(cause, otherwise)


def codeOf(cause: str) -> Termination:
    """
    Return the code of C{cause}. The code of a plain text means that the gateway decided to end the
    session.
    """
    return cause.code if isinstance(cause, Cause) else Termination.NAS_REQUEST
