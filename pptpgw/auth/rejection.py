"""
A no that says how the peer is to be told.
"""

from __future__ import annotations

from twisted.cred.error import UnauthorizedLogin

WRONG_PASSWORD = 691
"""
No such user, or a wrong password (RFC 2759 section 6).
"""


class Rejection(UnauthorizedLogin):
    """
    The claim was found false by somebody who has more to say on it.

    @ivar error: the reason's number (RFC 2759 section 6).
    @ivar retry: whether the peer may try again.
    @ivar text: for the human reader at the other end.
    """

    def __init__(self, error: int = WRONG_PASSWORD, retry: bool = False, text: bytes = b"") -> None:
        super().__init__(error)
        self.error = error
        self.retry = retry
        self.text = text
