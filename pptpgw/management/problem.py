"""
The errors that the management interface answers: problem details (RFC 9457).
"""

from __future__ import annotations

from http import HTTPStatus

from msgspec import Struct

from pptpgw.error import PPTPGWError

MEDIA_TYPE = "application/problem+json"


class ProblemDetails(Struct, frozen=True):
    """
    Problem details (RFC 9457 section 3). The type of every problem is C{about:blank}, so that the
    title is the reason phrase of the HTTP status (section 4.2.1).

    @ivar status: the HTTP status.
    @ivar title: the reason phrase of the status.
    @ivar detail: what is wrong, and what to do.
    """

    status: int
    title: str
    detail: str


class Problem(PPTPGWError):
    """
    A request can't be fulfilled. The text says why, and what to do.

    @ivar status: the HTTP status of the answer.
    """

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status

    @property
    def details(self) -> ProblemDetails:
        """
        The problem as it is answered.
        """
        return ProblemDetails(self.status, self.status.phrase, str(self))


def notFound(what: str) -> Problem:
    """
    Return the problem that there is no such thing.

    @param what: what there isn't, such as C{session 0c1d}.
    """
    return Problem(HTTPStatus.NOT_FOUND, f"there is no {what}")
