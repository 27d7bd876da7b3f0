"""
Who makes a request, and whether a browser was tricked into it.

The rules:

 - Whoever may open the Unix socket is an administrator. Elsewhere operators log in: by a token
   (C{Authorization: Bearer}), by name and password (C{Authorization: Basic}), or by the cookie of a
   session of the console. What an operator may do is looked up in the store with every request, so
   another role, another password or the removal of the operator is in force at once.
 - The C{Host} must be one that this gateway has: otherwise a page of another site, whose name was
   made to lead here (DNS rebinding), could read the answers.
 - The C{Origin} of a request that changes something, if there is one, must be the gateway itself.
 - A request with a cookie that changes something needs the session's CSRF token.
"""

from __future__ import annotations

import hmac
from base64 import b64decode
from binascii import Error
from collections.abc import Callable, Collection
from http import HTTPStatus
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import urlsplit

from twisted.cred.error import UnauthorizedLogin
from twisted.internet.address import UNIXAddress
from twisted.web.http import Request

from pptpgw.management.console import ConsoleSession, ConsoleSessions, cookieName
from pptpgw.management.credentials import operatorFrom
from pptpgw.management.judging import LONGEST_PASSWORD, WRONG, Judge
from pptpgw.management.operation import NOBODY, Operator, OperatorRole, Sender
from pptpgw.management.problem import Problem
from pptpgw.ports.listening import isLoopback
from pptpgw.ports.unixsocket import peerUser
from pptpgw.store.interface import IStore

_LONGEST_NAME = 64

HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""
The headers of all answers.
"""


class Access:
    """
    Says who makes a request.
    """

    def __init__(
        self,
        judge: Judge,
        consoles: ConsoleSessions,
        store: Callable[[], IStore],
        hosts: Callable[[], Collection[str]],
    ) -> None:
        """
        @param judge: logs operators in.
        @param consoles: the sessions of the console.
        @param store: returns the store that has the operators. It raises
            L{pptpgw.error.PPTPGWError} if there is none.
        @param hosts: returns the names in C{[management] hosts}.
        """
        self._judge = judge
        self._consoles = consoles
        self._store = store
        self._hosts = hosts

    def check(self, request: Request) -> None:
        """
        Check that a browser that was tricked by another site couldn't have made C{request}.

        @raise Problem: it could have.
        """
        if not _isTCP(request):
            return
        given = headerOf(request, "host")
        host = _hostOf(given)
        local: Any = request.getHost()
        if not (
            host == "localhost"
            or isLoopback(host)
            or _isAddress(host, local.host)
            or host in (one.lower() for one in self._hosts())
        ):
            raise Problem(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"{given[:64]!a} is none of this gateway's names: [management] hosts may have more",
            )
        if _isSafe(request) or not request.requestHeaders.hasHeader("origin"):
            return
        if _netlocOf(headerOf(request, "origin")) != given.lower():
            raise Problem(HTTPStatus.FORBIDDEN, "a page of another site has made this request")

    async def operatorOf(self, request: Request) -> Operator:
        """
        Return who makes C{request}; L{NOBODY} if nobody has logged in.

        @raise Problem: the credentials are wrong, or the CSRF token is.
        @raise pptpgw.error.PPTPGWError: nobody can judge that now.
        """
        sender = senderOf(request)
        if not _isTCP(request):
            return Operator(sender.address, OperatorRole.ADMIN)
        if request.requestHeaders.hasHeader("authorization"):
            return await self._authorized(headerOf(request, "authorization"), sender)
        cookie: bytes | None = request.getCookie(cookieName(sender).encode())
        session = None if cookie is None else self._consoles.find(cookie.decode("ascii", "replace"))
        if session is None:
            return NOBODY
        operator = await self._current(session)
        if operator is not NOBODY and not _isSafe(request):
            given = headerOf(request, "x-csrf-token")
            if not hmac.compare_digest(given.encode(), session.csrf.encode()):
                raise Problem(
                    HTTPStatus.FORBIDDEN, "X-CSRF-Token must be the csrf_token of /api/v1/me"
                )
        return operator

    async def _authorized(self, authorization: str, sender: Sender) -> Operator:
        scheme, _, rest = authorization.strip().partition(" ")
        rest = rest.strip()
        if scheme.lower() == "bearer":
            return await self._judge.token(rest, sender)
        if scheme.lower() != "basic":
            raise Problem(
                HTTPStatus.UNAUTHORIZED, "the Authorization must be Bearer TOKEN, or Basic"
            )
        try:
            name, _, password = b64decode(rest, validate=True).partition(b":")
            text = name.decode()
        except (Error, ValueError):
            raise Problem(HTTPStatus.UNAUTHORIZED, "the Authorization can't be read") from None
        if len(text) > _LONGEST_NAME or len(password) > LONGEST_PASSWORD:
            raise Problem(HTTPStatus.UNAUTHORIZED, WRONG)
        return await self._judge.password(text, password, sender)

    async def _current(self, session: ConsoleSession) -> Operator:
        """
        Return the operator of C{session} as the store knows it now; L{NOBODY}, after ending the
        session, if role or password was changed since the login, or the operator was removed.
        """
        before = session.operator
        if not before.revision:
            return Operator(before.name, before.role, session=session.key)
        account = await self._store().operator(before.name)
        if account is not None and account.revision == before.revision:
            try:
                now = operatorFrom(account)
            except UnauthorizedLogin:
                pass
            else:
                return Operator(now.name, now.role, now.revision, session.key)
        self._consoles.end(session.key)
        return NOBODY


def headerOf(request: Request, name: str) -> str:
    """
    Return a header of C{request}, whatever its octets are; empty if it isn't there.
    """
    octets: bytes | None = request.getHeader(name.encode())
    return "" if octets is None else octets.decode("utf-8", "replace")


def senderOf(request: Request) -> Sender:
    """
    Return where C{request} comes from. An IPv6 host has a network of 64 bits at least, so the
    network counts as one address.
    """
    channel: Any = request.channel
    if not _isTCP(request):
        user = peerUser(channel.transport)
        return Sender("local" if user is None else f"uid {user}")
    peer, local = channel.transport.getPeer(), channel.transport.getHost()
    address = peer.host
    found = _parsed(address)
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        address = str(found.ipv4_mapped)
    elif isinstance(found, IPv6Address):
        address = str(IPv6Network((found.packed, 64), strict=False))
    return Sender(address, local.port, request.isSecure())


def _isTCP(request: Request) -> bool:
    channel: Any = request.channel
    return not isinstance(channel.transport.getHost(), UNIXAddress)


def _isSafe(request: Request) -> bool:
    """
    Return whether C{request} changes nothing.
    """
    return request.method in (b"GET", b"HEAD")


def _hostOf(given: str) -> str:
    """
    Return the host in a C{Host} header, in lower case; empty if there is none.
    """
    try:
        return (urlsplit(f"//{given}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _netlocOf(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _isAddress(host: str, local: str) -> bool:
    """
    Return whether C{host} is the address C{local}. A page's host is never an address if its name
    was made to lead here.
    """
    found = _parsed(host)
    return found is not None and found == _parsed(local)


def _parsed(text: str) -> Any:
    try:
        return ip_address(text)
    except ValueError:
        return None
