"""
The attributes of a profile as text: one table for the command line, the database and listings.

What a user's own attributes don't say, the profile says that the user shares; what neither says,
the configuration decides. An attribute whose text is L{DEFAULT} leaves the decision to the
configuration, whatever the shared profile says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from typing import Any

from pptpgw.config.kind import (
    BITS,
    CALLERS_NETWORKS,
    IPV6_ADDRESSES,
    NAME,
    NETWORKS,
    PREFIXES,
    PROTOCOLS,
    TUNNELS,
    TWO_ADDRESSES,
    ValueKind,
    choice,
    seconds,
    whole,
)
from pptpgw.error import ConfigurationError
from pptpgw.sessions import hours
from pptpgw.sessions.profile import Profile

DEFAULT = "*"
"""
The text of an attribute that is left to the configuration.
"""

NONE = "-"
"""
The text of an empty list, such as "no address at all".
"""

SECONDS, OCTETS, BITS_A_SECOND, SESSIONS = "seconds", "octets", "bits a second", "sessions"
"""
The units of attributes that are quantities.
"""

_YEAR = 366 * 86400
_MOST = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Attribute:
    """
    The description of one attribute.

    @ivar option: its name on the command line and in the database.
    @ivar field: its name in L{Profile}.
    @ivar words: its help on the command line.
    @ivar allowed: the description of the texts that are allowed.
    @ivar read: converts a text to a value; raises ValueError or TypeError if the text isn't
        allowed.
    @ivar write: converts a value to a text that C{read} takes.
    @ivar unit: the unit of a quantity: see L{SECONDS}; empty for what is none.
    """

    option: str
    field: str
    words: str
    allowed: str
    read: Callable[[str], Any]
    write: Callable[[Any], str]
    unit: str = ""


def _one(option: str, field: str, words: str, kind: ValueKind) -> Attribute:
    """
    Return an attribute with one value of this kind.
    """
    return Attribute(option, field, words, kind.allowed, kind.convert, str)


def _number(option: str, field: str, words: str, kind: ValueKind, unit: str = "") -> Attribute:
    def read(text: str) -> Any:
        return kind.convert(int(text))

    return Attribute(option, field, words, kind.allowed, read, lambda value: str(int(value)), unit)


def _several(
    option: str, field: str, words: str, kind: ValueKind, member: Callable[[str], Any] = str
) -> Attribute:
    """
    Return an attribute with a list of values, separated by commas.
    """

    def read(text: str) -> Any:
        members = [] if text == NONE else [member(one.strip()) for one in text.split(",")]
        return kind.convert(members)

    return Attribute(option, field, words, f"{kind.allowed}, parted by commas", read, _joined)


def _joined(values: Iterable[object]) -> str:
    return ",".join(map(_shown, values)) or NONE


def _shown(value: object) -> str:
    host = isinstance(value, IPv4Network) and value.prefixlen == value.max_prefixlen
    return str(value).removesuffix("/32") if host else str(value)


def _networks(texts: list[str]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(map(ip_network, texts)))


def _hours(text: str) -> str:
    try:
        hours.parse(text)
    except ConfigurationError as error:
        raise ValueError from error
    return text


def _identifier(text: str) -> bytes:
    if not re.fullmatch(r"[0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{1,4}){3}", text):
        raise ValueError
    identifier = b"".join(int(part, 16).to_bytes(2, "big") for part in text.split(":"))
    if identifier == bytes(8):
        raise ValueError
    return identifier


_HOURS = ValueKind('days, times or both, as in "Mo-Fr 08:00-18:00, Sa"', _hours)
_ROUTES = ValueKind("a list of IPv4 and IPv6 networks without host bits", _networks)
_PREFIX = ValueKind(
    'an IPv6 network of at most 64 bits, as in "2001:db8:1::/48"',
    lambda text: PREFIXES.convert(text)[0],
)
_CLASS = ValueKind(
    "a list of octets in hexadecimal",
    lambda texts: tuple(bytes.fromhex(one) for one in texts),
)
_NAMES = ValueKind(PROTOCOLS.allowed, lambda names: frozenset(PROTOCOLS.convert(names)))
_TUNNELS = ValueKind(TUNNELS.allowed, lambda names: frozenset(TUNNELS.convert(names)))
_TIME = seconds(0, _YEAR)
_RATE = whole(1000, 1 << 40)

ATTRIBUTES: Mapping[str, Attribute] = {
    one.option: one
    for one in (
        _several("address", "addresses", "IPv4 networks to have an address of", CALLERS_NETWORKS),
        _one("pool", "pool", "Name of the IPv4 pool", NAME),
        _several("routes", "routes", "Networks behind the user", _ROUTES),
        _several("dns", "dns", "IPv4 name servers", TWO_ADDRESSES),
        _several("wins", "wins", "NetBIOS name servers", TWO_ADDRESSES),
        _one("prefix", "prefix", "IPv6 prefix of the link", _PREFIX),
        _one("delegated", "delegated", "IPv6 prefix to delegate", _PREFIX),
        Attribute(
            "identifier",
            "identifier",
            "IPv6 interface identifier to take",
            'four groups of 16 bits in hexadecimal, as in "0:0:0:7"',
            _identifier,
            lambda octets: ":".join(f"{octets[i] << 8 | octets[i + 1]:x}" for i in (0, 2, 4, 6)),
        ),
        _several("dns6", "dns6", "IPv6 name servers", IPV6_ADDRESSES),
        _number("mtu", "mtu", "Largest packet to send", whole(576, 4000), OCTETS),
        Attribute(
            "protocols",
            "protocols",
            "Network protocols permitted",
            _NAMES.allowed,
            lambda text: _NAMES.convert([one.strip() for one in text.split(",")]),
            lambda names: _joined(sorted(names)),
        ),
        Attribute(
            "tunnels",
            "tunnels",
            "Tunnels to call by",
            _TUNNELS.allowed,
            lambda text: _TUNNELS.convert([one.strip() for one in text.split(",")]),
            lambda names: _joined(sorted(names)),
        ),
        _one("encryption", "encryption", "MPPE", choice("require", "prefer", "off")),
        _several("bits", "bits", "MPPE key lengths permitted", BITS, int),
        _number(
            "sessions", "sessions", "Sessions at a time; 0: any number", whole(0, 65535), SESSIONS
        ),
        _several("sources", "sources", "Networks to call from", NETWORKS),
        _one("hours", "hours", "When to be connected", _HOURS),
        _number(
            "session-timeout", "sessionTimeout", "Time that a session may last", _TIME, SECONDS
        ),
        _number(
            "idle-timeout", "idleTimeout", "Time without a packet that ends it", _TIME, SECONDS
        ),
        _number("volume", "volume", "What a session may carry", whole(0, _MOST), OCTETS),
        _number("receive-rate", "receiveRate", "Rate from the user", _RATE, BITS_A_SECOND),
        _number("send-rate", "sendRate", "Rate to the user", _RATE, BITS_A_SECOND),
        _one("filter", "filter", "Name of a filter", NAME),
        _one("forward", "forward", "Name of the destination that calls pass to", NAME),
        _number(
            "interim", "interim", "Time between accounting records", seconds(60, 86400), SECONDS
        ),
        Attribute(
            "class",
            "accountingClass",
            "Class of accounting records",
            "octets in hexadecimal, several parted by commas",
            lambda text: _CLASS.convert(text.split(",")),
            lambda values: ",".join(value.hex() for value in values),
        ),
    )
}
"""
Every attribute, by the name of its option.
"""


def check(option: str, text: str) -> str:
    """
    Return C{text} in the form in which it is stored.

    @raise ConfigurationError: the text isn't allowed; the message says what is.
    """
    attribute = ATTRIBUTES[option]
    if text == DEFAULT:
        return text
    try:
        return attribute.write(attribute.read(text))
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            f"{option} {text}: must be {attribute.allowed}; {DEFAULT} for what the configuration "
            "says"
        ) from error


def present(attributes: Mapping[str, str | None]) -> dict[str, str]:
    """
    Return the attributes that have a text, without those that are to be removed.
    """
    return {name: text for name, text in attributes.items() if text is not None}


def fields(attributes: Mapping[str, str]) -> dict[str, str | int]:
    """
    Return attributes as JSON has them: names in snake_case, quantities as numbers.
    """
    return {
        fieldOf(name): int(text) if ATTRIBUTES[name].unit and text.isdigit() else text
        for name, text in attributes.items()
    }


def fieldOf(option: str) -> str:
    """
    Return the name that the attribute C{option} has in JSON.
    """
    return option.replace("-", "_")


def encode(attributes: Mapping[str, str]) -> str:
    """
    Return the text that the database stores for C{attributes}.
    """
    return json.dumps(dict(sorted(attributes.items())), ensure_ascii=False)


def decode(text: str) -> dict[str, str]:
    """
    Return the attributes that the database has stored as C{text}.

    @raise ConfigurationError: another program has changed them to something else.
    """
    try:
        attributes = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"these are no attributes: {text!a}") from error
    if not isinstance(attributes, dict):
        raise ConfigurationError(f"these are no attributes: {text!a}")
    return attributes


def profileOf(name: str, attributes: Mapping[str, str]) -> Profile:
    """
    Return the profile of the user C{name}, made of texts by the names of their options.

    @raise ConfigurationError: an attribute is unknown, or its text isn't allowed.
    """
    values = {}
    for option, text in attributes.items():
        attribute = ATTRIBUTES.get(option)
        if attribute is None:
            raise ConfigurationError(f"{name}: no attribute is called {option}")
        if text == DEFAULT:
            continue
        try:
            values[attribute.field] = attribute.read(text)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{name}: {option} = {text!a}: must be {attribute.allowed}"
            ) from error
    return Profile(name, **values)
