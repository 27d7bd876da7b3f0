"""
Declarations of network protocols that need no code of their own, and the kinds of their keys.

A declaration is a table of the configuration::

    [[network.generic]]
    name = "controller"
    control = 0x80c3
    data = 0x00c3
    to = "unix:/run/controller"
    options = { 1 = "accept", 2 = { fixed = "0a 00 00 01" }, 3 = { ask = "text:gate" } }

The number of the control protocol is from 0x8000 to 0xbfff, and the numbers of packets are from
0x0001 to 0x3fff. The low octet of each is odd and the high one even (RFC 1661 section 2). Numbers
of protocols that the gateway has code for can't be declared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from pptpgw.config.kind import (
    BOOLEAN,
    PLUGIN_NAME,
    Fault,
    ValueKind,
    exactly,
    key,
    matching,
    require,
    shown,
    whole,
)
from pptpgw.config.table import keysOf, valuesOf
from pptpgw.ppp.wire import ppp

LONGEST_VALUE = 253
"""
The most octets of an option's value.
"""

LONGEST_PATH = 107
"""
The most octets of the path of a Unix socket (unix(7)).
"""

_TAKEN = {
    ppp.IPCP: "IPv4",
    ppp.IPV4: "IPv4",
    ppp.IPV6CP: "IPv6",
    ppp.IPV6: "IPv6",
    ppp.BCP: "Ethernet",
    ppp.BRIDGE: "Ethernet",
    # The spanning tree protocols of 802.1D, IBM and DEC (RFC 3518 section 3.2).
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
Protocol numbers that a declaration can't have, and the name of what uses each.
"""


class Destination(NamedTuple):
    """
    The destination of a declared protocol's packets.

    @ivar scheme: C{hub}, C{unix}, C{udp} or C{object}.
    @ivar place: the path, the address or the dotted name; empty for a hub.
    @ivar port: the UDP port; 0 for other schemes.
    """

    scheme: str
    place: str = ""
    port: int = 0

    def __str__(self) -> str:
        host = f"[{self.place}]" if ":" in self.place else self.place
        return {
            "hub": "hub",
            "unix": f"unix:{self.place}",
            "udp": f"udp:{host}:{self.port}",
            "object": f"object:{self.place}",
        }[self.scheme]


HUB = Destination("hub")


def _number(low: int, high: int, value: object) -> int:
    number = exactly(int, value)
    # 0x00ff, compressed to one octet, would look like the address field of a frame.
    require(low <= number <= high and number & 0x0101 == 1 and number != 0x00FF)
    require(number not in _TAKEN)
    return number


def _numbers(low: int, high: int, value: object) -> tuple[int, ...]:
    values = value if isinstance(value, list) else [value]
    numbers = tuple(_number(low, high, one) for one in values)
    require(0 < len(numbers) == len(set(numbers)) <= 8)
    return numbers


def _shownNumber(value: object) -> str:
    """
    Return protocol numbers as errors quote them: in hexadecimal, with the name of the protocol that
    uses a number already.
    """
    if isinstance(value, list):
        return f"[{', '.join(map(_shownNumber, value))}]"
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return shown(value)
    return f"{value:#06x}" + (f" ({_TAKEN[value]}'s)" if value in _TAKEN else "")


def _destination(value: object) -> Destination:
    scheme, _, rest = exactly(str, value).partition(":")
    if scheme == "unix":
        require(rest.startswith("/") and "\0" not in rest)
        require(len(rest.encode()) <= LONGEST_PATH)
        return Destination("unix", rest)
    if scheme == "udp":
        host, _, port = rest.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        address = ip_address(host[1:-1] if bracketed else host)
        require(isinstance(address, IPv6Address if bracketed else IPv4Address))
        require("%" not in host and not address.is_multicast and not address.is_unspecified)
        require(re.fullmatch(r"[1-9][0-9]{0,4}", port) is not None and int(port) <= 65535)
        return Destination("udp", str(address), int(port))
    if scheme == "object":
        require(re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", rest) is not None)
        return Destination("object", rest)
    require(value == "hub")
    return HUB


def _octets(value: object) -> bytes:
    text = exactly(str, value)
    octets = text[5:].encode() if text.startswith("text:") else bytes.fromhex(text)
    require(len(octets) <= LONGEST_VALUE)
    return octets


def _lengths(value: object) -> tuple[int, ...]:
    if value == "any":
        return ()
    require(value != [])
    return tuple(map(whole(0, LONGEST_VALUE).convert, exactly(list, value)))


def _range(value: object) -> tuple[bytes, bytes]:
    first, dash, last = exactly(str, value).partition("-")
    require(bool(dash))
    values = bytes.fromhex(first), bytes.fromhex(last)
    require(0 < len(values[0]) == len(values[1]) <= LONGEST_VALUE and values[0] <= values[1])
    return values


_LENGTHS = ValueKind('"any", or a list of the lengths in octets of values, from 0 to 253', _lengths)
_VALUE = ValueKind('a value of at most 253 octets, in hexadecimal or as in "text:VALUE"', _octets)
_RANGE = ValueKind(
    'two values of one length in hexadecimal, "FIRST-LAST", of which each session gets its own',
    _range,
)


@dataclass(frozen=True, slots=True)
class Rule:
    """
    The rule by which one option is negotiated; values are the octets after type and length.

    @ivar accept: the lengths in octets of the values that the peer may ask for; empty for any
        length; None if the peer may ask for none.
    @ivar fixed: the only value that the peer may have; a request for another one gets a Nak with
        it.
    @ivar assign: the first and the last of the values of which each session is assigned one; both
        have the same length.
    @ivar ask: the value that we ask for, unless the peer's Configure-Nak changes it.
    @ivar required: whether the protocol is given up if the peer rejects C{ask}.
    """

    accept: tuple[int, ...] | None = key(_LENGTHS, None)
    fixed: bytes | None = key(_VALUE, None)
    assign: tuple[bytes, bytes] | None = key(_RANGE, None)
    ask: bytes | None = key(_VALUE, None)
    required: bool = key(BOOLEAN, False)


def _rule(option: str, value: object) -> Rule:
    """
    Convert the table or text of one option to its rule.
    """
    if value == "accept":
        return Rule(accept=())
    if value == "reject":
        return Rule()
    if not isinstance(value, dict):
        allowed = f'"accept", "reject" or a table of {", ".join(keysOf(Rule))}'
        raise Fault(f"{option} = {shown(value)}: must be {allowed}")
    faults: list[str] = []
    values = valuesOf(f"{option}.", Rule, value, faults)
    given = [name for name in ("accept", "fixed", "assign") if name in value]
    if len(given) > 1:
        faults.append(f"{option} = {shown(value)}: must have one of {', '.join(given)}")
    if values.get("required") and "ask" not in value:
        faults.append(f"{option}.required = true: must stand beside ask, which it is about")
    if faults:
        raise Fault(*faults)
    return Rule(**values)


def _options(value: object) -> dict[int, Rule]:
    return {
        _type(name): _rule(f"options.{name}", one) for name, one in exactly(dict, value).items()
    }


def _type(name: str) -> int:
    require(re.fullmatch("0|[1-9][0-9]{0,2}", name) is not None and int(name) <= 255)
    return int(name)


_ODD = "its low octet odd and its high octet even, and no other protocol's"
_NAME = matching("1 to 32 lower-case letters, digits and hyphens, a letter first", PLUGIN_NAME)
_CONTROL = ValueKind(
    f"a number from 0x8000 to 0xbfff, {_ODD}", partial(_number, 0x8000, 0xBFFF), _shownNumber
)
_DATA = ValueKind(
    f"a number from 0x0001 to 0x3fff, {_ODD}, or a list of up to eight distinct ones",
    partial(_numbers, 0x0001, 0x3FFF),
    _shownNumber,
)
_TO = ValueKind(
    '"hub", "unix:/PATH", "udp:ADDRESS:PORT" (an IPv6 address in brackets) or "object:DOTTED.NAME"',
    _destination,
)
_OPTIONS = ValueKind("a table of options by type, 0 to 255", _options)
_LINE = matching("a line of printable ASCII characters", "[ -~]{1,200}")


@dataclass(frozen=True, slots=True)
class Declaration:
    """
    The declaration of a network protocol.

    @ivar name: the name by which the protocol is chosen.
    @ivar control: the PPP protocol number of its control protocol.
    @ivar data: the PPP protocol numbers of its packets.
    @ivar to: the destination of its packets.
    @ivar options: the rules of its options, by type; other options are rejected.
    @ivar description: a description of one line.
    """

    name: str = key(_NAME)
    control: int = key(_CONTROL)
    data: tuple[int, ...] = key(_DATA)
    to: Destination = key(_TO, HUB)
    options: Mapping[int, Rule] = field(default_factory=dict, metadata={"kind": _OPTIONS})
    description: str = key(_LINE, "")
