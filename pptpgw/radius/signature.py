"""
The signatures of requests of dynamic authorization and of their answers (RFC 5176 sections 2.3 and
3.3).

The rules:

 - A request's authenticator is a hash of the whole request and the secret. If the request also has
   a Message-Authenticator, that must be right too.
 - An answer has both.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import md5

from pptpgw.radius.packet import (
    COA_ACK,
    COA_NAK,
    COA_REQUEST,
    DISCONNECT_ACK,
    DISCONNECT_NAK,
    DISCONNECT_REQUEST,
    HEADER_OCTETS,
    MAXIMUM_OCTETS,
    MESSAGE_AUTHENTICATOR,
)

_ANSWERS = {
    DISCONNECT_REQUEST: (DISCONNECT_ACK, DISCONNECT_NAK),
    COA_REQUEST: (COA_ACK, COA_NAK),
}
_ERROR_CAUSE = 101
_PROXY_STATE = 33


def requestAuthenticator(octets: bytes, secret: bytes) -> bytes:
    """
    Return the right authenticator of a request (RFC 5176 section 2.3, which refers to RFC 2866
    section 3).
    """
    covered = octets[:4] + bytes(16) + octets[HEADER_OCTETS:] + secret
    return md5(covered, usedforsecurity=False).digest()


def signed(octets: bytes, secret: bytes) -> bool:
    """
    Return whether a request's Message-Authenticator is right or missing (RFC 5176 section 3.3).

    @param octets: a packet that L{pptpgw.radius.packet.checked} has found whole.
    """
    place = HEADER_OCTETS
    while place < len(octets):
        if octets[place] == MESSAGE_AUTHENTICATOR:
            start = place + 2
            blank = octets[:4] + bytes(16) + octets[HEADER_OCTETS:start] + bytes(16)
            signature = _signature(blank + octets[start + 16 :], secret)
            return hmac.compare_digest(signature, octets[start : start + 16])
        place += octets[place + 1]
    return True


def _signature(octets: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, octets, "md5")


def reply(
    request: bytes, secret: bytes, proxyStates: Iterable[bytes], errorCause: int
) -> bytes | None:
    """
    Return the answer to a request, with a Message-Authenticator and an unchanged copy of each
    Proxy-State (section 3.1); None if that exceeds the size of a packet.

    @param request: the octets of the request.
    @param errorCause: why the request is refused (section 3.5); 0 if it isn't.
    """
    attributes = b""
    if errorCause:
        attributes = _attribute(_ERROR_CAUSE, errorCause.to_bytes(4, "big"))
    for octets in proxyStates:
        attributes += _attribute(_PROXY_STATE, octets)
    length = HEADER_OCTETS + 18 + len(attributes)
    if length > MAXIMUM_OCTETS:
        return None
    code = _ANSWERS[request[0]][errorCause != 0]
    header = bytes((code, request[1])) + length.to_bytes(2, "big")
    vector = request[4:HEADER_OCTETS]
    blank = _attribute(MESSAGE_AUTHENTICATOR, bytes(16))
    signature = _signature(header + vector + blank + attributes, secret)
    attributes = _attribute(MESSAGE_AUTHENTICATOR, signature) + attributes
    covered = header + vector + attributes + secret
    return header + md5(covered, usedforsecurity=False).digest() + attributes


def _attribute(kind: int, octets: bytes) -> bytes:
    return bytes((kind, 2 + len(octets))) + octets
