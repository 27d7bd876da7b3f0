"""
Fuzzing of the management interface as strangers reach it, over TCP before a login.

Whatever comes, nobody gets in, and the gateway doesn't fail.
"""

from __future__ import annotations

import re
from functools import cache

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from pptpgw.management.judging import LOCKOUT_SECONDS
from pptpgw.management.operation import BASE
from tests.fuzz.reader import Reader, Target
from tests.management.asking import REMOTE
from tests.management.guarded import Guarded

HEADERS = (
    b"Authorization",
    b"Cookie",
    b"Host",
    b"Origin",
    b"X-CSRF-Token",
    b"Content-Type",
    b"Last-Event-ID",
)
BEGINNINGS = (b"", b"Basic ", b"Bearer ", b"pptpgw-8723=", b"http://", b"localhost", b"[")


@cache
def _site() -> Guarded:
    """
    The site that serves one input after another.
    """
    return Guarded()


def _send(octets: bytes) -> None:
    """
    Send C{octets} on a connection of their own, and hold the answers against the rules.
    """
    site = _site()
    site.asking.clock.advance(LOCKOUT_SECONDS)
    transport = StringTransport(hostAddress=REMOTE, peerAddress=REMOTE)
    protocol = site.asking.protocol(transport)
    protocol.dataReceived(octets)
    statuses = [int(one) for one in re.findall(rb"HTTP/1\.[01] ([0-9]{3}) ", transport.value())]
    protocol.connectionLost(Failure(ConnectionDone()))
    # 100 is the answer to Expect: 100-continue.
    assert not [one for one in statuses if one != 100 and not 400 <= one < 500], statuses
    assert site.handled == 0 and not len(site.asking.operating.consoles)
    site.asking.acts.clear()


def _octets(octets: bytes) -> None:
    """
    Anything.
    """
    _send(octets)


def _headers(octets: bytes) -> None:
    """
    A request that changes something, with any headers.
    """
    reader = Reader(octets)
    lines = [b"PUT %b/thing HTTP/1.1" % BASE.encode(), b"Host: localhost"]
    while reader.more:
        name, beginning = reader.choose(HEADERS), reader.choose(BEGINNINGS)
        text = reader.chunk().replace(b"\r", b" ").replace(b"\n", b" ")
        lines.append(name + b": " + beginning + text)
    _send(b"\r\n".join([*lines, b"", b""]))


def _login(octets: bytes) -> None:
    """
    The body of a login.
    """
    reader = Reader(octets)
    path = reader.choose((b"/login", b"/login/link"))
    body = reader.rest()
    head = (
        b"POST %b%b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n"
    )
    _send(head % (BASE.encode(), path, len(body)) + body)


TARGETS: dict[str, Target] = {"headers": _headers, "login": _login, "octets": _octets}
"""
Targets by name.
"""
