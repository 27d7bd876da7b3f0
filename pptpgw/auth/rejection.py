"""
The refusal of a claim that says what the peer is told.
"""

from __future__ import annotations

from twisted.cred.error import UnauthorizedLogin

from pptpgw.error import WRONG_PASSWORD


class Rejection(UnauthorizedLogin):
    """
    A checker refuses a claim and says what the peer is told. The claim is false if C{error} is
    L{WRONG_PASSWORD}; otherwise it may be true, and is refused for another reason.

    @ivar error: how MS-CHAP numbers the reason, as in L{pptpgw.error.Refused}.
    @ivar retry: whether the peer may try again.
    @ivar text: what the peer's user is told, in UTF-8.
    """

    def __init__(self, error: int = WRONG_PASSWORD, retry: bool = False, text: bytes = b"") -> None:
        super().__init__(error)
        self.error = error
        self.retry = retry
        self.text = text
