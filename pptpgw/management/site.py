"""
The HTTP server of the management interface.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from pptpgw.management.access import HEADERS, Access
from pptpgw.management.answer import answerProblem
from pptpgw.management.connections import Connections
from pptpgw.management.problem import Problem

LARGEST_BODY = 1 << 20
"""
The most octets that the body of a request may have.
"""

IDLE_SECONDS = 60.0
"""
Seconds after which a connection without a request is closed.
"""


class ManagementRequest(Request):
    """
    A request whose body is limited, and whose answer says nothing of the server's software.
    """

    _received = 0

    def gotLength(self, length: int | None) -> None:
        """
        Refuse a body that is announced to be too long.
        """
        if length is not None and length > LARGEST_BODY:
            self._refuse()
        Request.gotLength(self, length)

    def handleContentChunk(self, data: bytes) -> None:
        """
        Collect a part of the body, up to the limit.
        """
        self._received += len(data)
        if self._received > LARGEST_BODY:
            self._refuse()
        else:
            Request.handleContentChunk(self, data)

    def process(self) -> None:
        """
        Answer the request. One for the server as a whole, C{OPTIONS *}, which Twisted would answer
        by itself, is treated as one for the root.
        """
        if self.path == b"*":
            self.path = b"/"
        Request.process(self)

    def render(self, resource: Any) -> None:
        """
        Render C{resource}, with headers that all answers have, unless a browser may have been
        tricked into the request.
        """
        self.responseHeaders.removeHeader(b"server")
        for name, text in HEADERS.items():
            self.responseHeaders.setRawHeaders(name, [text])
        request: Any = self
        try:
            request.site.access.check(self)
        except Problem as problem:
            request.write(answerProblem(self, problem))
            request.finish()
        else:
            Request.render(self, resource)

    def _refuse(self) -> None:
        channel: Any = self.channel
        if channel is not None and not channel.transport.disconnecting:
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            channel.transport.write(
                b"HTTP/1.1 %d %b\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                % (status, status.phrase.encode())
            )
            channel.transport.loseConnection()


class ManagementSite(Site):
    """
    The site of the management interface. It writes no log of requests.

    @ivar access: checks each request.
    """

    requestFactory = ManagementRequest
    displayTracebacks = False
    noisy = False

    def __init__(self, root: Resource, reactor: Any, access: Access) -> None:
        Site.__init__(self, root, timeout=IDLE_SECONDS, reactor=reactor)
        self.access = access
        self._connections = Connections()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """
        Make the protocol of a connection; None, which closes it, if there are too many.
        """
        if not self._connections.admits(addr):
            return None
        base: Any = super()
        made = base.buildProtocol(addr)
        self._connections.count(addr, made)
        return made

    def log(self, request: object) -> None:
        """
        Log nothing: what changes the gateway is logged by L{pptpgw.management.api}.
        """
