"""
The exceptions that parts of pptpgw raise for each other and for programs and plugins.

An exception that one module raises and catches itself is defined there.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from pptpgw.sessions.remedy import Remedy


class PPTPGWError(Exception):
    """
    The base class of the exceptions that a caller of pptpgw may want to catch.

    A wrong argument, which is a bug in the calling code, raises C{ValueError} or C{TypeError}.
    """


class Malformed(PPTPGWError, ValueError):
    """
    Octets from the network can't be decoded.

    This is the only exception that decoders raise, in modules called C{wire} and folders of that
    name, whatever the octets.
    """


class ConfigurationError(PPTPGWError):
    """
    The configuration can't be used.

    The text names the file and the key, the value found, and the values allowed.
    """


class Category(Enum):
    """
    Why a caller is turned away, in one word: what metrics and programs tell apart. The value is the
    word.
    """

    WRONG_PASSWORD = "wrong-password"
    """
    There is no such user, or the password is wrong.
    """

    LOCKED_OUT = "locked-out"
    """
    The user or the address is locked out after too many false claims.
    """

    FORBIDDEN = "forbidden"
    """
    The account or the configuration doesn't permit it: disabled, out of hours, another address.
    """

    TUNNEL = "tunnel"
    """
    The account doesn't permit the tunnel that the call came by.
    """

    LIMITS = "limits"
    """
    There are as many sessions as there may be, of the user, the address or the gateway.
    """

    BUSY = "busy"
    """
    As many calls are being set up as may be.
    """

    NO_ADDRESS = "no-address"
    """
    No address or prefix is free.
    """

    DRAINING = "draining"
    """
    The gateway takes no calls, since it is drained or stops.
    """

    OUTAGE = "outage"
    """
    A server, a store or a part of the gateway doesn't work.
    """

    GONE = "gone"
    """
    The caller hung up before it was served.
    """

    OTHER = "other"
    """
    Anything else.
    """


PASSWORD_EXPIRED = 648
"""
MS-CHAP's error for a right password that has expired, so that it may only be changed (RFC 2759
section 6).
"""

WRONG_PASSWORD = 691
"""
MS-CHAP's error for a user that doesn't exist, and for a wrong password (RFC 2759 section 6).
"""

NOT_CHANGED = 709
"""
MS-CHAP's error for a new password that can't be used, though the old one is right (RFC 2759 section
6).
"""


class Refused(PPTPGWError):
    """
    A valid request of a peer is refused; the text is the reason, for the log.

    @ivar retry: whether the peer may try again within the same exchange.
    @ivar error: MS-CHAP's number for the reason (RFC 2759 section 6).
    @ivar text: the text for the peer's user, in UTF-8; empty for the default one.
    @ivar category: the L{Category} of the reason.
    @ivar remedy: what the operator can do about it; None for that of the category, if it has one.
    """

    def __init__(
        self,
        reason: str,
        retry: bool = True,
        error: int = WRONG_PASSWORD,
        text: bytes = b"",
        category: Category = Category.OTHER,
        remedy: Remedy | None = None,
    ) -> None:
        super().__init__(reason)
        self.category = category
        self.remedy = remedy
        self.retry = retry
        self.error = error
        self.text = text


class Unproven(Refused):
    """
    A claim is answered as a false one: there is no such user, the password is wrong, or the account
    doesn't permit the tunnel. The text is the same in all cases and in a lockout, so that a peer
    can't tell them apart.

    @ivar why: the reason for the log and for observers, which peers aren't told.
    """

    def __init__(self, why: str = "", category: Category = Category.WRONG_PASSWORD) -> None:
        """
        @param why: the reason, if it isn't the text.
        """
        super().__init__("no such user or wrong password", category=category)
        self.why = why or str(self)


class Unavailable(PPTPGWError):
    """
    A checker, a network or an address pool can't be reached, or has nothing left. Since that isn't
    the caller's fault, the caller is told to dial again. The text says why, for the log only.

    @ivar category: the L{Category} of the reason.
    @ivar remedy: what the operator can do about it; None for that of the category.
    """

    category = Category.OUTAGE
    remedy: Remedy | None = None


class CallError(PPTPGWError):
    """
    A call that this side placed could not be set up, or has ended; the text says why.
    """


class Exhausted(Unavailable):
    """
    A bounded supply (addresses, sessions, call ids, connections) has nothing left to give.
    """

    def __init__(self, reason: str, category: Category = Category.LIMITS) -> None:
        super().__init__(reason)
        self.category = category


class NotPermitted(PPTPGWError):
    """
    The operating system refused something that the gateway needs; the text says what is missing and
    how to grant it.
    """


class NotCarried(PPTPGWError):
    """
    The data path of a call can't carry a network protocol; the text says why, and which key of the
    configuration changes that.
    """


def untraced(failure: Failure) -> Failure:
    """
    Return C{failure} without its traceback, unless it is a bug. The frames of a traceback refer to
    the objects that waited for the failure. If one of those kept the failure, only the garbage
    collector would free them.
    """
    error = failure.value
    if isinstance(error, PPTPGWError | CancelledError):
        failure.tb = error.__traceback__ = None
    return failure
