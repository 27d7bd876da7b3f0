"""
The texts of the packets of PAP and CHAP. Passwords, challenges and responses are hidden: with the
last two a password could be guessed.
"""

from __future__ import annotations

import re

from pptpgw.ppp.decode.control import heading
from pptpgw.ppp.decode.text import Parts, hexed, hidden, quoted

_PAP_CODES = {1: "AuthReq", 2: "AuthAck", 3: "AuthNak"}
_CHAP_CODES = {1: "Challenge", 2: "Response", 3: "Success", 4: "Failure"}

# The authenticator's response in a Success of MS-CHAPv2, and the new challenge in a Failure of
# MS-CHAP (RFC 2759 sections 5 and 6).
_SECRET = re.compile(rb"\b([SC]=)([0-9A-Fa-f]{16,})")


def pap(parts: Parts) -> str:
    """
    Return the text of a packet of PAP (RFC 1334 section 2.2).
    """
    data = parts.data
    text = heading(parts, _PAP_CODES)
    if parts.code not in _PAP_CODES:
        return text + secret(data) + parts.end
    name, rest = _sized(data)
    if name is None:
        return text + (secret(data) if parts.code == 1 else hexed(data)) + parts.end
    if parts.code != 1:
        return f"{text} {quoted(name)}{hexed(rest)}{parts.end}"
    text += f" user={quoted(name)} password=<hidden>"
    password, rest = _sized(rest)
    # Frames that are kept are cut off before the password, which would be hidden anyway.
    return text if password is None else text + secret(rest) + parts.end


def chap(parts: Parts) -> str:
    """
    Return the text of a packet of CHAP, whatever its algorithm (RFC 1994 section 4).
    """
    data = parts.data
    text = heading(parts, _CHAP_CODES)
    if parts.code in (1, 2):
        value, name = _sized(data)
        if value is None:
            return text + secret(data) + parts.end
        return f"{text} {hidden(len(value))}, name = {quoted(name)}{parts.end}"
    if parts.code in (3, 4):
        return f"{text} {message(data)}{parts.end}"
    # MS-CHAP's packets that change a password have other codes (RFC 2759 section 7).
    return text + secret(data) + parts.end


def message(data: bytes) -> str:
    """
    Return the text of the message of a Success or a Failure.
    """
    return quoted(_SECRET.sub(lambda one: b"%b<%d hidden>" % (one[1], len(one[2])), data))


def secret(data: bytes) -> str:
    """
    Return what stands in place of octets that may hold a secret: nothing if there are none.
    """
    return " " + hidden(len(data)) if data else ""


def _sized(data: bytes) -> tuple[bytes | None, bytes]:
    """
    Return the field that C{data} begins with, whose length is in its first octet, and the octets
    after it; None and C{data} if the field is cut off.
    """
    if not data or data[0] > len(data) - 1:
        return None, data
    return data[1 : 1 + data[0]], data[1 + data[0] :]
