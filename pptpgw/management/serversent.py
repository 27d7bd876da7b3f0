"""
Server-Sent Events (WHATWG HTML, section 9.2): texts with a name and an identifier, in one stream.
"""

from __future__ import annotations

MEDIA_TYPE = "text/event-stream"

HEARTBEAT = b":\n\n"
"""
A comment, which clients ignore.
"""


def encodeEvent(name: str, data: bytes, identifier: str = "") -> bytes:
    """
    Encode an event.

    @param name: its name, for which a client listens.
    @param data: its data in JSON, which has no line breaks.
    @param identifier: what a client that comes back names as the last event that it has seen; empty
        to leave that as it is.
    """
    number = b"id: %b\n" % identifier.encode() if identifier else b""
    return b"%bevent: %b\ndata: %b\n\n" % (number, name.encode(), data)
