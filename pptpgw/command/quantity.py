"""
Durations, sizes and rates as people write them: C{1h30m}, C{10GiB}, C{2M}.

A number without a unit is in the smallest one: seconds, octets, bits a second. C{k}, C{M}, C{G} and
C{T} are powers of 1000, as rates have them in tc and in RouterOS; C{Ki}, C{Mi}, C{Gi} and C{Ti} are
powers of 1024.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction

from pptpgw.error import ConfigurationError
from pptpgw.store.attribute import BITS_A_SECOND, OCTETS, SECONDS

_SECONDS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
_PREFIXES = {"": 1} | {
    prefix + i: (1024 if i else 1000) ** power
    for power, prefix in enumerate("kmgt", 1)
    for i in ("", "i")
}
_NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,9})?"
_PART = re.compile(rf"({_NUMBER})([wdhms])", re.ASCII | re.IGNORECASE)
_SIZE = re.compile(rf"({_NUMBER})([kmgt]i?)?(?:b|octets)?", re.ASCII | re.IGNORECASE)
_RATE = re.compile(rf"({_NUMBER})([kmgt]i?)?(?:bps|bits?(?:/s)?)?", re.ASCII | re.IGNORECASE)

DURATION = "seconds, or 90s, 30m, 1h30m, 7d, 2w"
SIZE = "octets, or 500M, 10GiB: k, M, G, T are powers of 1000; Ki, Mi, Gi, Ti of 1024"
RATE = "bits a second, or 512k, 2M, 1.5Gbit: k, M, G are powers of 1000; Ki, Mi, Gi of 1024"


def seconds(text: str) -> int:
    """
    Return the seconds of a duration.

    @raise ConfigurationError: it is no duration, or no whole number of seconds.
    """
    if re.fullmatch(_NUMBER, text, re.ASCII):
        return _whole(Fraction(text), text, DURATION)
    parts = list(_PART.finditer(text))
    units = [part[2].lower() for part in parts]
    inOrder = units == sorted(set(units), key=list(_SECONDS).index)
    if not parts or "".join(part[0] for part in parts) != text or not inOrder:
        raise _fault(text, DURATION)
    total = sum(Fraction(part[1]) * _SECONDS[part[2].lower()] for part in parts)
    return _whole(Fraction(total), text, DURATION)


def octets(text: str) -> int:
    """
    Return the octets of a size.

    @raise ConfigurationError: it is no size.
    """
    return _scaled(_SIZE, text, SIZE)


def rate(text: str) -> int:
    """
    Return the bits a second of a rate.

    @raise ConfigurationError: it is no rate.
    """
    return _scaled(_RATE, text, RATE)


READERS: Mapping[str, tuple[Callable[[str], int], str]] = {
    SECONDS: (seconds, DURATION),
    OCTETS: (octets, SIZE),
    BITS_A_SECOND: (rate, RATE),
}
"""
The function that reads texts of each unit, and what it takes, in words.
"""


def _scaled(form: re.Pattern[str], text: str, words: str) -> int:
    match = form.fullmatch(text)
    if match is None:
        raise _fault(text, words)
    return _whole(Fraction(match[1]) * _PREFIXES[(match[2] or "").lower()], text, words)


def _whole(value: Fraction, text: str, words: str) -> int:
    if value.denominator != 1:
        raise _fault(text, words)
    return int(value)


def _fault(text: str, words: str) -> ConfigurationError:
    return ConfigurationError(f"{text}: must be {words}")
