"""
The answers to HTTP requests that don't open an SSTP connection, so that a port can be shared with a
web site.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from twisted.python.reflect import namedAny
from twisted.web.pages import notFound
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from pptpgw.config.kind import ValueKind, exactly, require
from pptpgw.error import ConfigurationError
from pptpgw.tunnels.sstp.opening import encodeRefusal

IDLE_SECONDS = 30.0
"""
Seconds after which a connection without a request is closed.
"""

_OBJECT = "object:"
_WEB = ("http", "https")


def _otherwise(value: object) -> str:
    text = exactly(str, value)
    if not text or text.startswith("/"):
        return text
    require(text.isascii() and text.isprintable() and " " not in text)
    if text.startswith(_OBJECT):
        require(all(part.isidentifier() for part in text.removeprefix(_OBJECT).split(".")))
    else:
        address = urlsplit(text)
        require(address.scheme in _WEB and bool(address.netloc))
    return text


OTHERWISE = ValueKind(
    'empty, an address of the web that browsers are sent to, as in "https://www.example.org/", the '
    'absolute path of a folder whose files are served, or "object:DOTTED.NAME"',
    _otherwise,
)


class _Request(Request):
    """
    A request without a body, whose answer says nothing of the server's software.
    """

    def gotLength(self, length: int | None) -> None:
        """
        Refuse any body.
        """
        if length != 0:
            channel: Any = self.channel
            if channel is not None and not channel.transport.disconnecting:
                channel.transport.write(encodeRefusal(413, "Content Too Large"))
                channel.loseConnection()
        Request.gotLength(self, length)

    def handleContentChunk(self, data: bytes) -> None:
        """
        Drop a part of a body.
        """

    def render(self, resource: Any) -> None:
        """
        Answer the request.
        """
        self.responseHeaders.removeHeader(b"server")
        Request.render(self, resource)


class _Site(Site):
    """
    The web site. It writes no log of requests.
    """

    requestFactory = _Request
    displayTracebacks = False
    noisy = False

    def log(self, request: object) -> None:
        """
        Log nothing: strangers send requests.
        """


class Otherwise:
    """
    What is served to those who don't speak SSTP.

    @ivar answer: the one answer, after which the connection is closed; empty if there is a site.
    @ivar site: the factory of connections to a web site; None if there is none.
    """

    def __init__(self, reactor: Any, text: str) -> None:
        """
        @param text: the value of the key.
        @raise ConfigurationError: it can't be served; the text says why.
        """
        self.answer = b""
        self.site: Site | None = None
        if text.startswith(("/", _OBJECT)):
            make: Any = _Site
            self.site = make(_resource(text), timeout=IDLE_SECONDS, reactor=reactor)
        elif text:
            self.answer = encodeRefusal(302, "Found", Location=text)
        else:
            self.answer = encodeRefusal(404, "Not Found")


def _folder(path: str) -> Any:
    """
    Return the files of a folder, which isn't listed.
    """
    # A gateway that serves none starts sooner without this module.
    from twisted.web.static import File

    class Folder(File):
        childNotFound: Any = notFound()

        def directoryListing(self) -> Any:
            """
            Answer that there is nothing.
            """
            return self.childNotFound

    return Folder(path)


def _resource(text: str) -> Any:
    """
    Return the root of a web site.
    """
    place = f"[sstp] otherwise = {text}"
    if text.startswith("/"):
        if not Path(text).is_dir():
            raise ConfigurationError(f"{place}: there is no such folder")
        return _folder(text)
    try:
        found = namedAny(text.removeprefix(_OBJECT))
    except Exception as error:
        raise ConfigurationError(f"{place}: {error or type(error).__name__}") from error
    made = found() if callable(found) else found
    if not IResource.providedBy(made):
        raise ConfigurationError(f"{place}: it is no IResource of Twisted")
    return made
