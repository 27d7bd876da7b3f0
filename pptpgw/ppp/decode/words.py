"""
The words for the options of a control protocol. Each control protocol has one table of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from pptpgw.ppp.decode.text import hexed

OptionWords = Callable[[bytes], str]
"""
Called with the value of an option, the octets after type and length. Returns what is written
between C{<} and C{>}; an empty text if the value can't be read, which is then shown in hexadecimal.
"""

CODES: Mapping[int, str] = {
    1: "ConfReq",
    2: "ConfAck",
    3: "ConfNak",
    4: "ConfRej",
    5: "TermReq",
    6: "TermAck",
    7: "CodeRej",
}
"""
The codes that every control protocol has (RFC 1661 section 5), in pppd's words.
"""


@dataclass(frozen=True, slots=True)
class Words:
    """
    The words for the packets of one control protocol.

    @ivar name: the name of the protocol, such as C{IPCP}.
    @ivar options: the words for its options, by type.
    @ivar codes: the words for the codes of its packets.
    """

    name: str
    options: Mapping[int, OptionWords] = field(default_factory=dict)
    codes: Mapping[int, str] = field(default_factory=lambda: CODES)


def flag(word: str) -> OptionWords:
    """
    Return the words for an option without a value.
    """
    return lambda value: "" if value else word


def number(word: str, octets: int = 2) -> OptionWords:
    """
    Return the words for an option whose value is a number of so many octets: C{mru 1400}.
    """

    def words(value: bytes) -> str:
        return f"{word} {int.from_bytes(value, 'big')}" if len(value) == octets else ""

    return words


def hexadecimal(word: str, octets: int = 4) -> OptionWords:
    """
    Return the words for an option whose value is a number in hexadecimal: C{magic 0x1020304}.
    """

    def words(value: bytes) -> str:
        return f"{word} 0x{int.from_bytes(value, 'big'):x}" if len(value) == octets else ""

    return words


def dotted(word: str, count: int = 1) -> OptionWords:
    """
    Return the words for an option whose value is C{count} IPv4 addresses: C{addr 10.77.0.1}.
    """

    def words(value: bytes) -> str:
        if len(value) != 4 * count:
            return ""
        addresses = (value[start : start + 4] for start in range(0, len(value), 4))
        return " ".join((word, *(str(IPv4Address(one)) for one in addresses)))

    return words


def named(word: str, names: Mapping[bytes, str], octets: int = 1) -> OptionWords:
    """
    Return the words for an option whose value begins with one of a few values that have names, and
    may go on: C{compress VJ 0f 01}.

    @param names: the names by the octets of the value.
    @param octets: how many octets the part with a name has; others are shown as a number.
    """

    def words(value: bytes) -> str:
        first, rest = value[:octets], value[octets:]
        if len(first) < octets:
            return ""
        name = names.get(first, f"0x{int.from_bytes(first, 'big'):x}")
        return f"{word} {name}{hexed(rest)}"

    return words
