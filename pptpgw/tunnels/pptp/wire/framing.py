"""
The division of a control connection's TCP stream into messages (RFC 2637 section 2).
"""

from __future__ import annotations

from pptpgw.error import Malformed
from pptpgw.tunnels.pptp.wire.message import LONGEST, MAGIC_COOKIE, SHORTEST

_COOKIE = MAGIC_COOKIE.to_bytes(4, "big")


class Framing:
    """
    A TCP stream that is divided into messages.

    Call L{feed} with the octets that arrived, and then L{next} until it returns None. Between calls
    less than one message is kept.
    """

    __slots__ = ("_buffer", "_offset")

    def __init__(self) -> None:
        self._buffer = b""
        self._offset = 0

    def feed(self, octets: bytes) -> None:
        """
        Add octets to the end of the stream. L{next} must have returned None before.
        """
        self._buffer = self._buffer[self._offset :] + octets
        self._offset = 0

    def next(self) -> bytes | None:
        """
        Return the next whole message; None if more octets are needed.

        @raise Malformed: no message can be found in the stream any more. This is raised as early as
            possible, so that a peer can't keep us waiting for the rest of an invalid message.
        """
        buffer, start = self._buffer, self._offset
        available = len(buffer) - start
        if available < 2:
            return None
        length = int.from_bytes(buffer[start : start + 2], "big")
        if not SHORTEST <= length <= LONGEST:
            raise Malformed(f"a control message of {length} octets")
        cookie = buffer[start + 4 : start + 8]
        if cookie != _COOKIE[: len(cookie)]:
            raise Malformed(f"magic cookie 0x{cookie.hex()}")
        if available < length:
            return None
        self._offset = start + length
        return buffer[start : start + length]
