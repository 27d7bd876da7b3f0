"""
A no that says how the peer is to be told.

The errors are those of RFC 2759 section 6.
"""

from __future__ import annotations

from twisted.cred.error import UnauthorizedLogin

PASSWORD_EXPIRED = 648
"""
The password is right, and may only be changed.
"""

WRONG_PASSWORD = 691
"""
No such user, or a wrong password.
"""

NOT_CHANGED = 709
"""
The old password is right, but the new one won't do.
"""


class Rejection(UnauthorizedLogin):
    """
    The claim was found false by somebody who has more to say on it; or, where the error isn't
    L{WRONG_PASSWORD}, true, but of no use.

    @ivar error: the reason's number.
    @ivar retry: whether the peer may try again.
    @ivar text: for the human reader at the other end.
    """

    def __init__(self, error: int = WRONG_PASSWORD, retry: bool = False, text: bytes = b"") -> None:
        super().__init__(error)
        self.error = error
        self.retry = retry
        self.text = text
