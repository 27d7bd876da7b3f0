"""
The exception by which a checker says what the peer is told.
"""

from __future__ import annotations

from twisted.cred.error import UnauthorizedLogin

from pptpgw.error import WRONG_PASSWORD
from pptpgw.sessions.profile import Profile


class Rejection(UnauthorizedLogin):
    """
    The refusal of a claim by a checker, with what the peer is told. The claim is wrong if C{error}
    is L{WRONG_PASSWORD}; otherwise it may be right, and is refused for another reason.

    @ivar error: the reason as a number of MS-CHAP, see L{pptpgw.error.Refused}.
    @ivar retry: whether the peer may try again.
    @ivar text: the message for the peer's user, in UTF-8.
    @ivar profile: the profile of the account, whose password was right; None if that isn't known.
        With it, a caller by a tunnel that the account doesn't permit is told of nothing else than a
        wrong password.
    """

    def __init__(
        self,
        error: int = WRONG_PASSWORD,
        retry: bool = False,
        text: bytes = b"",
        profile: Profile | None = None,
    ) -> None:
        super().__init__(error)
        self.profile = profile
        self.error = error
        self.retry = retry
        self.text = text
