"""
The exception by which a checker says what the peer is told.
"""

from __future__ import annotations

from twisted.cred.error import UnauthorizedLogin

from pptpgw.error import WRONG_PASSWORD


class Rejection(UnauthorizedLogin):
    """
    The refusal of a claim by a checker, with what the peer is told. The claim is wrong if C{error}
    is L{WRONG_PASSWORD}; otherwise it may be right, and is refused for another reason.

    @ivar error: the reason as a number of MS-CHAP, see L{pptpgw.error.Refused}.
    @ivar retry: whether the peer may try again.
    @ivar text: the message for the peer's user, in UTF-8.
    """

    def __init__(self, error: int = WRONG_PASSWORD, retry: bool = False, text: bytes = b"") -> None:
        super().__init__(error)
        self.error = error
        self.retry = retry
        self.text = text
