"""
What the secret of two ends is used for: the response to a challenge (RFC 2661 section 5.1.1), and
the hiding of AVPs (section 4.3).

The RFC prescribes MD5 for both. Neither protects anything against somebody who can try secrets: a
secret must be long and random.
"""

from __future__ import annotations

import hmac
from hashlib import md5

from pptpgw.error import Malformed

_BLOCK = 16


def response(messageType: int, secret: bytes, challenge: bytes) -> bytes:
    """
    Return the response to C{challenge}.

    @param messageType: the type of the message that carries the response, SCCRP or SCCCN.
    """
    return md5(bytes((messageType,)) + secret + challenge, usedforsecurity=False).digest()


def isResponse(claimed: bytes, messageType: int, secret: bytes, challenge: bytes) -> bool:
    """
    Return whether C{claimed} is the response to C{challenge}, in constant time.
    """
    return hmac.compare_digest(claimed, response(messageType, secret, challenge))


def hide(attribute: int, value: bytes, secret: bytes, vector: bytes) -> bytes:
    """
    Return the hidden form of a value, padded so that only its length in blocks shows.

    @param vector: the value of the Random Vector AVP.
    """
    plain = len(value).to_bytes(2, "big") + value
    plain += bytes(-len(plain) % _BLOCK)
    hidden = b""
    key = attribute.to_bytes(2, "big") + secret + vector
    for start in range(0, len(plain), _BLOCK):
        hidden += _xor(plain[start : start + _BLOCK], key)
        key = secret + hidden[-_BLOCK:]
    return hidden


def reveal(attribute: int, hidden: bytes, secret: bytes, vector: bytes) -> bytes:
    """
    Return the value that C{hidden} hides. With a wrong secret it is any value, or Malformed.

    @raise Malformed: the length in it is larger than what is there.
    """
    plain = b""
    key = attribute.to_bytes(2, "big") + secret + vector
    for start in range(0, len(hidden), _BLOCK):
        block = hidden[start : start + _BLOCK]
        plain += _xor(block, key)
        key = secret + block
    length = int.from_bytes(plain[:2], "big")
    if len(plain) < 2 or length > len(plain) - 2:
        raise Malformed("a hidden AVP can't be read: are the secrets the same?")
    return plain[2 : 2 + length]


def _xor(block: bytes, key: bytes) -> bytes:
    stream = md5(key, usedforsecurity=False).digest()
    return bytes(one ^ other for one, other in zip(block, stream, strict=False))
