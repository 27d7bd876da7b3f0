"""
Reading control messages as RFC 2661 section 4.1 has it: what can't be understood, and whose sender
insists on it, ends the call or the connection.
"""

from __future__ import annotations

from pptpgw.error import Malformed
from pptpgw.tunnels.l2tp.wire.code import ErrorCode, MessageType
from pptpgw.tunnels.l2tp.wire.message import L2TPMessage, decode, nameOf

_UNKNOWN = ErrorCode.UNKNOWN_MANDATORY_AVP
_SHOWN = 8


class NotUnderstood(Exception):
    """
    A message can't be understood; the text says why.

    @ivar reason: the reason under which it is counted.
    @ivar error: what the sender is told; NONE if nothing ends, since the message may be ignored.
    """

    def __init__(self, text: str, reason: str, error: ErrorCode) -> None:
        super().__init__(text)
        self.reason = reason
        self.error = error


def read(body: bytes, secret: bytes, permissive: bool) -> tuple[MessageType, L2TPMessage]:
    """
    Return a control message and its type.

    @param secret: the secret that is agreed on with the peer; empty for none.
    @param permissive: whether types and AVPs that we don't know are ignored in any case.
    @raise NotUnderstood: it can't be understood.
    """
    try:
        message = decode(body, secret)
    except Malformed as error:
        text = f"malformed: {error}"
        raise NotUnderstood(text, "control message malformed", ErrorCode.WRONG_LENGTH) from error
    name = nameOf(message.type)
    try:
        kind = MessageType(message.type)
    except ValueError:
        ignored = permissive or not message.mustKnow
        raise NotUnderstood(
            f"{name} is unknown",
            "control message unknown",
            ErrorCode.NONE if ignored else _UNKNOWN,
        ) from None
    if message.unknown and not permissive:
        unknown = ", ".join(map(str, message.unknown[:_SHOWN]))
        raise NotUnderstood(f"{name} with unknown AVPs: {unknown}", "AVP unknown", _UNKNOWN)
    return kind, message
