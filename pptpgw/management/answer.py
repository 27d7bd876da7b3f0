"""
The answers to requests: their status, their headers and their body.
"""

from __future__ import annotations

from http import HTTPStatus

from twisted.web.server import Request

from pptpgw.error import ConfigurationError, PPTPGWError, Unavailable
from pptpgw.management.encoding import toJSON
from pptpgw.management.problem import MEDIA_TYPE, Problem
from pptpgw.store.error import InUse, NotAllowed, StoreError, Taken, Unknown

JSON = "application/json"
"""
The media type of what requests and answers carry.
"""

_STATUSES: tuple[tuple[type[PPTPGWError], HTTPStatus], ...] = (
    (Unknown, HTTPStatus.NOT_FOUND),
    (Taken, HTTPStatus.CONFLICT),
    (InUse, HTTPStatus.CONFLICT),
    (NotAllowed, HTTPStatus.BAD_REQUEST),
    (StoreError, HTTPStatus.SERVICE_UNAVAILABLE),
    (ConfigurationError, HTTPStatus.BAD_REQUEST),
    (Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (PPTPGWError, HTTPStatus.CONFLICT),
)
"""
The status of the answer for each kind of exception that a handler may raise; the first that fits
counts.
"""


def problemFrom(error: PPTPGWError) -> Problem:
    """
    Return the problem that C{error} is.
    """
    if isinstance(error, Problem):
        return error
    status = next(status for kind, status in _STATUSES if isinstance(error, kind))
    return Problem(status, str(error))


def answerJSON(request: Request, answer: object) -> bytes:
    """
    Set the status and the headers of an answer that is C{answer}, and return its body.
    """
    return answerWith(request, HTTPStatus.OK, JSON, toJSON(answer))


def answerProblem(request: Request, problem: Problem) -> bytes:
    """
    Set the status and the headers of an answer that is C{problem}, and return its body.
    """
    if problem.status is HTTPStatus.UNAUTHORIZED:
        # Only Bearer is named: for Basic a browser would ask for a password by itself.
        request.setHeader(b"www-authenticate", b'Bearer realm="pptpgw"')
    return answerWith(request, problem.status, MEDIA_TYPE, toJSON(problem.details))


def answerWith(request: Request, status: HTTPStatus, kind: str, octets: bytes) -> bytes:
    """
    Set the status and the headers of an answer, and return its body, which is empty for C{HEAD}.

    @param kind: the media type of C{octets}; empty if there is no body.
    """
    request.setResponseCode(status, status.phrase.encode())
    if kind:
        request.setHeader(b"content-type", kind.encode())
        request.setHeader(b"content-length", b"%d" % len(octets))
    return b"" if request.method == b"HEAD" else octets
