"""
The codes with which calls and control connections end (RFC 2661 section 4.4.2), and what they mean
to the gateway.
"""

from __future__ import annotations

from enum import IntEnum

from pptpgw.interfaces import Refusal
from pptpgw.log import readable
from pptpgw.sessions.cause import Termination, codeOf
from pptpgw.tunnels.l2tp.wire.avp import Q931Cause, ResultCode
from pptpgw.tunnels.l2tp.wire.code import AVP, CDNResult, ErrorCode, describe
from pptpgw.tunnels.l2tp.wire.message import L2TPMessage

REFUSALS = {
    Refusal.BUSY: ResultCode(CDNResult.NO_FACILITIES_NOW),
    Refusal.FORBIDDEN: ResultCode(CDNResult.ADMINISTRATIVE_REASONS),
    Refusal.STOPPING: ResultCode(CDNResult.GENERAL_ERROR, ErrorCode.TRY_ANOTHER),
}
"""
The result codes of a CDN by the reason for which a call is refused.
"""

_ENDINGS = {
    Termination.LOST_CARRIER: CDNResult.LOSS_OF_CARRIER,
    Termination.SERVICE_UNAVAILABLE: CDNResult.NO_FACILITIES_NOW,
}
_TEXT = 128


def resultOf(cause: str) -> ResultCode:
    """
    Return the result code of a CDN that ends a call for C{cause}.
    """
    result = _ENDINGS.get(codeOf(cause), CDNResult.ADMINISTRATIVE_REASONS)
    return ResultCode(result, ErrorCode.NONE, reason(cause))


def reason(text: str) -> bytes:
    """
    Return a text for people, as a Result Code has it.
    """
    return text.encode("utf-8", "replace")[:_TEXT]


def told(codes: type[IntEnum], message: L2TPMessage) -> str:
    """
    Return in words what the peer says why it ends something.

    @param codes: the result codes of the message.
    """
    result: ResultCode = message.get(AVP.RESULT_CODE)
    text = describe(codes, result.result)
    if result.error:
        text += f", {describe(ErrorCode, result.error)}"
    cause: Q931Cause | None = message.get(AVP.Q931_CAUSE_CODE)
    if cause is not None:
        text += f", Q.931 cause {cause.cause}"
    for said in (result.text, b"" if cause is None else cause.text):
        if said:
            text += f": {readable(said)}"
    return text
