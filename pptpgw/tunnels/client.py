"""
What the clients of all tunnels have in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from twisted.internet.defer import Deferred

from pptpgw.config.kind import ValueKind, exactly, matching
from pptpgw.error import ConfigurationError

ANY_FILE = matching("the path of a file", r"(?s)[^\0]+")
"""
The kind of an option that names a file, which may be relative to the current folder.
"""

OUR_ADDRESS = ValueKind(
    "an IP address of this machine", lambda value: str(ip_address(exactly(str, value)))
)
"""
The kind of an option that says where to call from.
"""


def ignore(stage: str) -> None:
    """
    Do nothing: nobody asks how far a connection has come.
    """


def hostAndPort(place: Sequence[str], port: int) -> tuple[str, int]:
    """
    Return where a gateway is.

    @param place: see L{pptpgw.interfaces.ITunnelClientFactory.makeClient}.
    @param port: the port if none is given.
    @raise ConfigurationError: C{place} is no host with at most a port behind it.
    """
    host, *rest = place or ("",)
    if not host or len(rest) > 1:
        raise ConfigurationError("a host is needed, and at most a port behind it")
    text = rest[0] if rest else str(port)
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= 5 else 0
    if not 0 < number < 65536:
        raise ConfigurationError(f"{text!a} is no port")
    return host, number


def following(event: Deferred[None]) -> Deferred[None]:
    """
    Return a Deferred of its own that fires when C{event} does. To cancel it changes nothing else.
    """
    mine: Deferred[None] = Deferred()

    def fired(result: None) -> None:
        if not mine.called:
            mine.callback(None)

    event.addCallback(fired)
    return mine
