"""
What C{[[network.generic]]} tables declare.

C{
[[network.generic]]
name = "controller"
control = 0x80c3
data = 0x00c3
to = "unix:/run/controller"
options = { 1 = "accept", 2 = { fixed = "0a 00 00 01" }, 3 = { ask = "text:gate" } }
}

The rules:

 - The control protocol's number is one from 0x8000 to 0xbfff, those of packets are from 0x0001 to
   0x3fff; the low octet of each is odd and the high one even (RFC 1661 section 2).
 - A number belongs to one protocol: none that a module of the gateway serves can be declared, and
   no two declarations share one.
 - A table with the name of a declaration that comes with the gateway (C{protocols.toml}) says what
   is otherwise there.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from pptpgw.declaration import HUB, Declaration, Destination, Rule
from pptpgw.kind import Kind
from pptpgw.wire import ppp

LONGEST_VALUE = 253
"""
Octets of an option's value, at most.
"""

LONGEST_PATH = 107
"""
Octets of the path of a Unix socket, at most (unix(7)).
"""

_TAKEN = {
    ppp.IPCP: "IPv4",
    ppp.IPV4: "IPv4",
    ppp.IPV6CP: "IPv6",
    ppp.IPV6: "IPv6",
    ppp.BCP: "Ethernet",
    ppp.BRIDGE: "Ethernet",
    # The spanning tree's packets: 802.1D, IBM and DEC (RFC 3518 section 3.2).
    0x0201: "Ethernet",
    0x0203: "Ethernet",
    0x0205: "Ethernet",
    ppp.MPLSCP: "MPLS",
    ppp.MPLS: "MPLS",
    0x0283: "MPLS",
    ppp.IPXCP: "IPX",
    ppp.IPX: "IPX",
    ppp.CCP: "MPPE",
    ppp.MPPE: "MPPE",
    0x80FB: "compression",
    0x00FB: "compression",
    0x0001: "padding",
}
"""
Numbers that a declaration can't have, and whose they are.
"""


class Fault(ValueError):
    """
    What is wrong with a value made of many; the text names the part, its value and what is allowed.
    """


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError


def _string(value: object, pattern: str) -> str:
    _require(isinstance(value, str) and re.fullmatch(pattern, value) is not None)
    assert isinstance(value, str)
    return value


def _number(low: int, high: int, value: object) -> int:
    _require(isinstance(value, int) and not isinstance(value, bool))
    assert isinstance(value, int)
    _require(low <= value <= high)
    return value


def _protocolNumber(low: int, high: int) -> Callable[[object], int]:
    def convert(value: object) -> int:
        number = _number(low, high, value)
        # 0x00ff, compressed to one octet, would look like an address field.
        _require(number & 0x0101 == 1 and number != 0x00FF and number not in _TAKEN)
        return number

    return convert


def _data(value: object) -> tuple[int, ...]:
    values = value if isinstance(value, list) else [value]
    numbers = tuple(_protocolNumber(0x0001, 0x3FFF)(one) for one in values)
    _require(0 < len(numbers) == len(set(numbers)) <= 8)
    return numbers


def _to(value: object) -> Destination:
    scheme, _, rest = _string(value, "(?s).*").partition(":")
    if scheme == "unix":
        _require(rest.startswith("/") and "\0" not in rest)
        _require(len(rest.encode()) <= LONGEST_PATH)
        return Destination("unix", rest)
    if scheme == "udp":
        host, _, port = rest.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        address = ip_address(host[1:-1] if bracketed else host)
        _require(isinstance(address, IPv6Address if bracketed else IPv4Address))
        _require("%" not in host and not address.is_multicast and not address.is_unspecified)
        _string(port, r"[1-9][0-9]{0,4}")
        return Destination("udp", str(address), _number(1, 65535, int(port)))
    if scheme == "object":
        return Destination("object", _string(rest, r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+"))
    _require(value == "hub")
    return HUB


def _octets(value: object) -> bytes:
    text = _string(value, "(?s).*")
    octets = text[5:].encode() if text.startswith("text:") else bytes.fromhex(text)
    _require(len(octets) <= LONGEST_VALUE)
    return octets


def _lengths(value: object) -> tuple[int, ...]:
    if value == "any":
        return ()
    _require(isinstance(value, list) and bool(value))
    assert isinstance(value, list)
    return tuple(_number(0, LONGEST_VALUE, one) for one in value)


def _assign(value: object) -> tuple[bytes, bytes]:
    first, dash, last = _string(value, "[0-9A-Fa-f -]+").partition("-")
    _require(bool(dash))
    values = _octets(first), _octets(last)
    _require(0 < len(values[0]) == len(values[1]) and values[0] <= values[1])
    return values


def _boolean(value: object) -> bool:
    _require(isinstance(value, bool))
    return bool(value)


_VALUE = 'a value of at most 253 octets, in hexadecimal or as in "text:VALUE"'
_PARTS = {
    "accept": Kind('"any", or a list of the lengths in octets of values, from 0 to 253', _lengths),
    "fixed": Kind(_VALUE, _octets),
    "assign": Kind(
        'two values of one length in hexadecimal, "FIRST-LAST", of which each session gets its own',
        _assign,
    ),
    "ask": Kind(_VALUE, _octets),
    "required": Kind("true or false", _boolean),
}
"""
The keys of an option's table.
"""

_ODD = "its low octet odd and its high octet even, and no other protocol's"
_KEYS = {
    "name": Kind(
        "1 to 32 lower-case letters, digits and hyphens, a letter first",
        lambda value: _string(value, "[a-z][a-z0-9-]{0,31}"),
    ),
    "control": Kind(f"a number from 0x8000 to 0xbfff, {_ODD}", _protocolNumber(0x8000, 0xBFFF)),
    "data": Kind(
        f"a number from 0x0001 to 0x3fff, {_ODD}, or a list of up to eight distinct ones", _data
    ),
    "to": Kind(
        '"hub", "unix:/PATH", "udp:ADDRESS:PORT" (an IPv6 address in brackets) or '
        '"object:DOTTED.NAME"',
        _to,
    ),
    "description": Kind(
        "a line of printable ASCII characters", lambda value: _string(value, "[ -~]{1,200}")
    ),
    "options": Kind("a table of options by type, 0 to 255", lambda value: _options(value)),
}
"""
The keys of a declaration.
"""

_NUMBERS = ("control", "data")


def _options(value: object) -> dict[int, Rule]:
    _require(isinstance(value, dict))
    assert isinstance(value, dict)
    return {_number(0, 255, _type(name)): _rule(name, one) for name, one in value.items()}


def _type(name: object) -> int:
    return int(_string(name, "0|[1-9][0-9]{0,2}"))


def _rule(name: str, value: object) -> Rule:
    """
    How one option is negotiated.
    """
    if value == "accept":
        return Rule(accept=())
    if value == "reject":
        return Rule()
    if not isinstance(value, dict):
        allowed = f'"accept", "reject" or a table of {", ".join(_PARTS)}'
        raise Fault(f"options.{name} = {_shown(value)}: must be {allowed}")
    rule = Rule(**_converted(f"options.{name}.", value, _PARTS))
    given = [part for part in ("accept", "fixed", "assign") if part in value]
    if len(given) > 1:
        raise Fault(f"options.{name} = {_shown(value)}: must have one of {', '.join(given)}")
    if rule.required and rule.ask is None:
        raise Fault(f"options.{name}.required = true: must stand beside ask, which it is about")
    return rule


def _converted(prefix: str, table: Mapping[str, object], kinds: Mapping[str, Kind]) -> Any:
    """
    The values of a table by key.

    @raise Fault: one isn't allowed.
    """
    values = {}
    for name, value in table.items():
        if name not in kinds:
            raise Fault(f"unknown key {prefix}{name}: there are {', '.join(kinds)}")
        try:
            values[name] = kinds[name].convert(value)
        except Fault:
            raise
        except (ValueError, TypeError) as error:
            shown = f"{prefix}{name} = {_shown(value, name in _NUMBERS)}"
            owner = _owner(value) if name in _NUMBERS else ""
            raise Fault(f"{shown}: must be {kinds[name].allowed}{owner}") from error
    return values


def _shown(value: object, hexadecimal: bool = False) -> str:
    if hexadecimal and isinstance(value, list):
        return f"[{', '.join(_shown(one, True) for one in value)}]"
    if hexadecimal and isinstance(value, int) and value > 1:
        return f"{value:#06x}"
    return json.dumps(value, default=str, ensure_ascii=False)


def _owner(value: object) -> str:
    """
    Whose number C{value} is, if that is what is wrong with it.
    """
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, int) and one in _TAKEN:
            return f"; {one:#06x} is {_TAKEN[one]}'s"
    return ""


def _declaration(table: object, known: Mapping[str, Declaration]) -> Declaration:
    """
    What C{table} declares, over what is known by its name.
    """
    if not isinstance(table, dict):
        raise Fault(f"{_shown(table)}: must be a table")
    values = _converted("", table, _KEYS)
    if "name" not in values:
        raise Fault("name is missing")
    if values["name"] in known:
        return replace(known[values["name"]], **values)
    for name in _NUMBERS:
        if name not in values:
            raise Fault(f"{name} is missing: must be {_KEYS[name].allowed}")
    return Declaration(**values)


def _declarations(tables: object, known: Mapping[str, Declaration]) -> tuple[Declaration, ...]:
    """
    What all the tables declare.
    """
    _require(isinstance(tables, list))
    assert isinstance(tables, list)
    declared: dict[str, Declaration] = {}
    for index, table in enumerate(tables, 1):
        name = table.get("name") if isinstance(table, dict) else None
        where = f"entry {index}" + (f", {_shown(name)}" if name is not None else "")
        try:
            declaration = _declaration(table, known)
            if declaration.name in declared:
                raise Fault("name is another entry's")
            _judgeNumbers(declaration, [*declared.values(), *_others(declaration, known)])
        except Fault as fault:
            raise Fault(f"{where}: {fault}") from fault
        declared[declaration.name] = declaration
    return tuple(declared.values())


def _others(declaration: Declaration, known: Mapping[str, Declaration]) -> Iterable[Declaration]:
    return (one for one in known.values() if one.name != declaration.name)


def _judgeNumbers(declaration: Declaration, others: Iterable[Declaration]) -> None:
    """
    Refuse numbers that another declaration has.
    """
    numbers = {declaration.control, *declaration.data}
    for other in others:
        for number in sorted(numbers & {other.control, *other.data}):
            raise Fault(f"{number:#06x} is a number of {json.dumps(other.name)} already")


@cache
def shipped() -> Mapping[str, Declaration]:
    """
    The declarations that come with the gateway, by name.
    """
    text = files("pptpgw").joinpath("protocols.toml").read_text(encoding="utf-8")
    return {one.name: one for one in _declarations(tomllib.loads(text)["generic"], {})}


GENERIC = Kind(
    "tables, [[network.generic]], each of which declares a network protocol",
    lambda value: _declarations(value, shipped()),
)
"""
A list of declarations.
"""
