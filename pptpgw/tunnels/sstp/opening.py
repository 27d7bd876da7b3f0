"""
The HTTP request and response that open an SSTP connection ([MS-SSTP] sections 3.2.4.1 and 4.1).

Nothing is known of who sends a request. Its head is limited in size, and the connection limits its
time; what isn't understood is L{Malformed}, and nothing else is raised.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pptpgw.error import Malformed

LARGEST_HEAD = 8192
"""
The most octets that the head of a request or response may have.
"""

METHOD = b"SSTP_DUPLEX_POST"
PATH = b"/sra_{BA195980-CD49-458b-9E23-C84EE0ADCD75}/"
ENDLESS = b"18446744073709551615"
"""
The length of a body that never ends: 2**64 - 1.
"""

_END = b"\r\n\r\n"
_REQUEST = re.compile(rb"([!-~]{1,32}) ([!-~]+) (HTTP/1\.[01])")
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})( [^\r\n]*)?")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*")
_GUID = re.compile(rb"\{?[0-9A-Fa-f-]{36}\}?")
# The name of a host, with a port.
_HOST = re.compile(rb"([A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)(:[0-9]{1,5})?")


class Request(NamedTuple):
    """
    The head of a request.

    @ivar fields: the header fields, by their names in lower case; of several with one name the
        first.
    """

    method: bytes
    target: bytes
    version: bytes
    fields: dict[bytes, bytes]

    @property
    def isSSTP(self) -> bool:
        """
        Whether the request opens an SSTP connection. A query in its target, which names a tenant to
        a proxy, isn't looked at.
        """
        path = self.target.partition(b"?")[0]
        isOurs = self.method == METHOD and path.lower() == PATH.lower()
        return isOurs and self.version == b"HTTP/1.1"

    @property
    def correlation(self) -> str:
        """
        The identifier that the client's own log has for the connection; empty if there is none.
        """
        value = self.fields.get(b"sstpcorrelationid", b"")
        return value.decode() if _GUID.fullmatch(value) else ""

    @property
    def host(self) -> str:
        """
        The name of the host that was called, in lower case; empty if there is none.
        """
        return hostName(self.fields.get(b"host", b""))


class Head:
    """
    The octets of a head, until it is whole.

    @ivar octets: everything that was received.
    """

    def __init__(self) -> None:
        self.octets = b""

    def feed(self, octets: bytes) -> int:
        """
        Add octets.

        @return: the length of the head, if it is whole, or 0.
        @raise Malformed: it is too long.
        """
        # The end may have begun in what was there before.
        start = max(0, len(self.octets) - len(_END) + 1)
        self.octets += octets
        at = self.octets.find(_END, start)
        if at > LARGEST_HEAD or (at < 0 and len(self.octets) > LARGEST_HEAD):
            raise Malformed(f"the head of an HTTP message has more than {LARGEST_HEAD} octets")
        return 0 if at < 0 else at + len(_END)


def decodeRequest(head: bytes) -> Request:
    """
    Decode the head of a request.

    @raise Malformed: it isn't HTTP.
    """
    first, *lines = head.removesuffix(_END).split(b"\r\n")
    matched = _REQUEST.fullmatch(first)
    if matched is None:
        raise Malformed("no HTTP request")
    fields: dict[bytes, bytes] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise Malformed("no HTTP header field")
        fields.setdefault(field[1].lower(), field[2])
    return Request(matched[1], matched[2], matched[3], fields)


def decodeStatus(head: bytes) -> int:
    """
    Return the status of the head of a response.

    @raise Malformed: it isn't HTTP.
    """
    matched = _STATUS.fullmatch(head.partition(b"\r\n")[0])
    if matched is None:
        raise Malformed("no HTTP response")
    return int(matched[1])


def hostName(value: bytes) -> str:
    """
    Return the name of a host in lower case, without the port that may stand behind it; empty if it
    is no name.
    """
    matched = _HOST.fullmatch(value)
    return matched[1].decode().lower() if matched else ""


def encodeRequest(host: str, correlation: str) -> bytes:
    """
    Return the request of a client.

    @param correlation: a GUID.
    """
    lines = (
        METHOD + b" " + PATH + b" HTTP/1.1",
        b"Host: " + host.encode(),
        b"SSTPCORRELATIONID: {" + correlation.encode() + b"}",
        b"Content-Length: " + ENDLESS,
    )
    return b"\r\n".join(lines) + _END


ACCEPTED = b"HTTP/1.1 200 OK\r\nContent-Length: " + ENDLESS + _END


def encodeRefusal(status: int, phrase: str, **fields: str) -> bytes:
    """
    Return a response without a body, after which the connection is closed.

    @param fields: more header fields.
    """
    lines = [f"HTTP/1.1 {status} {phrase}", "Connection: close", "Content-Length: 0"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join(lines).encode() + _END
