"""
The TCP stream of a control connection, cut into its messages (RFC 2637 section 2).
"""

from __future__ import annotations

from pptpgw.error import Malformed
from pptpgw.tunnels.pptp.wire.message import LONGEST, MAGIC_COOKIE, SHORTEST

_COOKIE = MAGIC_COOKIE.to_bytes(4, "big")


class Framing:
    """
    Cuts the octets of a control connection's TCP stream into whole messages.

    L{feed} it what arrived, then ask for the L{next} one until there is none.  It holds less than
    one message between reads.
    """

    __slots__ = ("_buffer", "_offset")

    def __init__(self) -> None:
        self._buffer = b""
        self._offset = 0

    def feed(self, octets: bytes) -> None:
        """
        More of the stream.
        """
        self._buffer = self._buffer[self._offset :] + octets
        self._offset = 0

    def next(self) -> bytes | None:
        """
        The next whole message, or None: more octets are needed.

        @raise Malformed: the stream can't be followed any more.  It is said as soon as it shows,
            so that a peer can't keep us waiting for the rest of nonsense.
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
