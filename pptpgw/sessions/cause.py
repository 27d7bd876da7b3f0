"""
Why something ended or failed: a text for people, a code for accounting, and what to do about it.
"""

from __future__ import annotations

from enum import IntEnum

from pptpgw.error import Category, Refused, Unavailable, Unproven
from pptpgw.sessions.remedy import Remedy


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
    @ivar remedy: what to do about it; None if nothing is to be done, or nothing is known.
    @ivar why: the reason for the log and for observers, which peers aren't told; empty if it is the
        text.
    """

    code: Termination
    remedy: Remedy | None
    why: str

    def __new__(
        cls,
        text: str,
        code: Termination = Termination.NAS_REQUEST,
        remedy: Remedy | None = None,
        why: str = "",
    ) -> Cause:
        """
        @param text: the cause in words that may be logged and sent to the peer.
        """
        self = super().__new__(cls, text)
        self.code = code
        self.remedy = remedy
        self.why = why
        return self


SHUT_DOWN = Cause("the gateway shuts down", Termination.ADMIN_REBOOT, Remedy.STOPPING)
"""
The cause of calls that end because their tunnel stops.
"""

DISPLACED = Cause("a newer connection needs its place", Termination.PORT_PREEMPTED)
"""
The cause of calls whose connection loses its place to another caller's.
"""

_REMEDIES = {
    Category.WRONG_PASSWORD: Remedy.PASSWORD,
    Category.LOCKED_OUT: Remedy.LOCKOUT,
    Category.FORBIDDEN: Remedy.ACCOUNT,
    Category.TUNNEL: Remedy.TUNNEL,
    Category.LIMITS: Remedy.LIMIT,
    Category.BUSY: Remedy.LIMIT,
    Category.NO_ADDRESS: Remedy.ADDRESSES,
    Category.OUTAGE: Remedy.OUTAGE,
}
"""
The remedies of reasons that name none.
"""


def causeOf(error: BaseException | None) -> Cause:
    """
    Return why a caller is refused that met with C{error}. An exception of any other kind than
    pptpgw's own is an outage.
    """
    text = str(error) or type(error).__name__
    remedy = _REMEDIES.get(categoryOf(error))
    if not isinstance(error, Refused):
        if isinstance(error, Unavailable):
            remedy = error.remedy or remedy
        return Cause(text, Termination.SERVICE_UNAVAILABLE, remedy)
    why = error.why if isinstance(error, Unproven) else ""
    return Cause(text, Termination.USER_ERROR, error.remedy or remedy, why)


def categoryOf(error: BaseException | None) -> Category:
    """
    Return the category of the reason why a caller is refused that met with C{error}.
    """
    return error.category if isinstance(error, Refused | Unavailable) else Category.OUTAGE


def asCause(cause: str, otherwise: Termination = Termination.NAS_REQUEST) -> Cause:
    """
    Return C{cause} unchanged if it has a code, and with the code C{otherwise} if it is a plain
    text. Without C{otherwise} the code means that the gateway decided to end the session.
    """
    return cause if isinstance(cause, Cause) else Cause(cause, otherwise)


def codeOf(cause: str) -> Termination:
    """
    Return the code of C{cause}. The code of a plain text means that the gateway decided to end the
    session.
    """
    return asCause(cause).code


def whyOf(cause: str) -> Cause:
    """
    Return C{cause} as the log and observers are told it.
    """
    cause = asCause(cause)
    return reworded(cause, cause.why) if cause.why else cause


def reworded(cause: str, text: str) -> Cause:
    """
    Return C{cause} with another text, which the peer may be told too.
    """
    cause = asCause(cause)
    return Cause(text, cause.code, cause.remedy)
