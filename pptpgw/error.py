"""
The exceptions that parts of pptpgw raise for each other and for programs and plugins.

An exception that one module raises and catches itself is defined there.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure


class PPTPGWError(Exception):
    """
    The base class of the exceptions that a caller of pptpgw may want to catch.

    A wrong argument, which is a bug in the calling code, raises C{ValueError} or C{TypeError}.
    """


class Malformed(PPTPGWError, ValueError):
    """
    Octets from the network don't form the value that they were decoded as.

    It is the only exception that a decoder in a module called C{wire}, or in a folder of that name,
    raises, whatever the octets.
    """


class ConfigurationError(PPTPGWError):
    """
    The configuration can't be used.

    The text names where it stands (file and key), the value found, and what is allowed.
    """


PASSWORD_EXPIRED = 648
"""
MS-CHAP's error for a right password that has expired: it may only be changed.
"""

WRONG_PASSWORD = 691
"""
MS-CHAP's error for a user that doesn't exist, and for a wrong password.
"""

NOT_CHANGED = 709
"""
MS-CHAP's error for a new password that can't be used; the old one is right.
"""


class Refused(PPTPGWError):
    """
    A peer's request, right in form, is turned down; the text is the reason, fit for a log.

    @ivar retry: whether the peer may try again within the same exchange.
    @ivar error: how MS-CHAP numbers the reason (RFC 2759 section 6).
    @ivar text: what the peer's user is told, in UTF-8; empty: what everybody is.
    """

    def __init__(
        self, reason: str, retry: bool = True, error: int = WRONG_PASSWORD, text: bytes = b""
    ) -> None:
        super().__init__(reason)
        self.retry = retry
        self.error = error
        self.text = text


class Unproven(Refused):
    """
    A claim was found false: there is no such user, or the password is wrong. The text tells neither
    from the other, nor from a lockout.
    """

    def __init__(self) -> None:
        super().__init__("no such user or wrong password")


class Unavailable(PPTPGWError):
    """
    A checker, a network or an address pool can't be reached, or has nothing left. That isn't the
    caller's fault: it is told to dial again. The text says why, and goes to the log only.
    """


class CallError(PPTPGWError):
    """
    A call that this side placed could not be set up, or ended; the text says why.
    """


class Exhausted(Unavailable):
    """
    A bounded supply (addresses, sessions, call ids, connections) has nothing left to give.
    """


class NotPermitted(PPTPGWError):
    """
    The operating system refused what the gateway needs; the text says what is missing and how to
    grant it.
    """


def untraced(failure: Failure) -> Failure:
    """
    C{failure} without its traceback, unless it is a bug. The frames there have those who waited for
    it; if one of them kept it, only the garbage collector would free them.
    """
    error = failure.value
    if isinstance(error, PPTPGWError | CancelledError):
        failure.tb = error.__traceback__ = None
    return failure
