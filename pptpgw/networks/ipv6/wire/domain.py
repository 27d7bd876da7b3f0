"""
Encoding and decoding of uncompressed domain names (RFC 1035 section 3.1), for the search lists of
RFC 3646 section 4 and RFC 8106 section 5.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pptpgw.error import Malformed

MAX_NAME_OCTETS = 255

_name = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*")


def isName(name: str) -> bool:
    """
    Return whether C{name} is a domain name: labels of letters, digits, hyphens and underscores,
    without a dot at the end.
    """
    return _name.fullmatch(name) is not None and len(name) + 2 <= MAX_NAME_OCTETS


def encodeNames(names: Iterable[str]) -> bytes:
    """
    Return the encoding of domain names, one after another.
    """
    octets = bytearray()
    for name in names:
        for label in name.encode("ascii").split(b"."):
            octets += b"%c%b" % (len(label), label)
        octets.append(0)
    return bytes(octets)


def decodeNames(octets: bytes) -> tuple[str, ...]:
    """
    Return the domain names that C{octets} hold one after another.

    @raise Malformed: a name doesn't end, is compressed, or isn't one in the sense of L{isName}.
    """
    names, labels, position = [], [], 0
    while position < len(octets):
        length = octets[position]
        label = octets[position + 1 : position + 1 + length]
        position += 1 + length
        if length:
            labels.append(label)
            continue
        name = b".".join(labels).decode("latin-1")
        if not isName(name) or name.count(".") != len(labels) - 1:
            raise Malformed(f"{name!r} is no domain name")
        names.append(name)
        labels = []
    if labels or position > len(octets):
        raise Malformed("the last domain name doesn't end")
    return tuple(names)
