"""
The kinds of value that a configuration key can have. Each says in words what is allowed, and makes
a typed value of what TOML gave.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

from pptpgw.error import ConfigurationError
from pptpgw.interfaces import DEFAULT_POOL, Effect

T = TypeVar("T")

AddressRange = tuple[IPv4Address, IPv4Address]
"""
The first and the last address of a run of addresses.
"""


def shown(value: object) -> str:
    """
    Return C{value} as errors quote it, in the form of JSON.
    """
    return json.dumps(value, default=str, ensure_ascii=False)


class Fault(ValueError):
    """
    The faults of a value that consists of several parts: one line for each, which names the part.
    """

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class ValueKind(NamedTuple):
    """
    A kind of value that a key can have.

    @ivar allowed: what is allowed, in words.
    @ivar convert: makes the typed value of what TOML gave. It raises L{Fault} if it says itself
        what is wrong, and another ValueError or a TypeError for anything else that isn't allowed.
    @ivar show: makes the text by which an error quotes a value that isn't allowed.
    """

    allowed: str
    convert: Callable[[Any], Any]
    show: Callable[[Any], str] = shown


class Applies(NamedTuple):
    """
    What a reload does with a new value of a key.

    @ivar effect: what the new value applies to.
    @ivar reason: why it needs a restart, if it does, in words.
    """

    effect: Effect
    reason: str = ""


NEW, LIVE = Applies(Effect.NEW), Applies(Effect.LIVE)
"""
The new value applies to calls to come, or to these and to current sessions.
"""


def restart(reason: str) -> Applies:
    """
    Say that the new value of a key needs a restart, and why.
    """
    return Applies(Effect.RESTART, reason)


def key(kind: ValueKind, default: object = MISSING, applies: Applies | None = None) -> Any:
    """
    A row of a section: an attribute of a frozen dataclass, C{maxCalls} for the key C{max-calls}.

    @param default: the typed value if the file has none. Without a default the key is required;
        only the tables of a list may have such keys, since a section may be left out.
    @param applies: what a reload does with a new value: L{NEW}, L{LIVE} or L{restart}. None, for
        keys of plugins and of the tables of a list: calls to come get it if the plugin provides
        L{pptpgw.interfaces.IReloadable}, and otherwise it needs a restart.
    """
    return field(default=default, metadata={"kind": kind, "applies": applies})


def require(condition: bool) -> None:
    """
    Raise ValueError unless C{condition} is true.
    """
    if not condition:
        raise ValueError


def exactly(type_: type[T], value: object) -> T:
    """
    Return C{value} if its type is C{type_}; True and False aren't numbers.

    @raise ValueError: the value has another type.
    """
    require(isinstance(value, type_) and (type_ is bool or not isinstance(value, bool)))
    assert isinstance(value, type_)
    return value


def whole(low: int, high: int) -> ValueKind:
    """
    Return the kind of a whole number from C{low} to C{high}.
    """

    def convert(value: object) -> int:
        number = exactly(int, value)
        require(low <= number <= high)
        return number

    return ValueKind(f"a whole number from {low} to {high}", convert)


def seconds(low: int, high: int) -> ValueKind:
    """
    Return the kind of a number of seconds from C{low} to C{high}, whole or not, which becomes a
    float.
    """

    def convert(value: object) -> float:
        number = exactly(int, value) if isinstance(value, int) else exactly(float, value)
        require(low <= number <= high)
        return float(number)

    return ValueKind(f"a number of seconds from {low} to {high}", convert)


def orZero(kind: ValueKind) -> ValueKind:
    """
    Return the kind that allows 0, which stands for none, and the values of C{kind}.
    """

    def convert(value: object) -> object:
        # False equals 0, but isn't a number.
        return 0.0 if value == 0 and not isinstance(value, bool) else kind.convert(value)

    return ValueKind(f"0, or {kind.allowed}", convert)


def matching(allowed: str, pattern: str) -> ValueKind:
    """
    Return the kind of a text that C{pattern} matches as a whole.
    """

    def convert(value: object) -> str:
        text = exactly(str, value)
        require(re.fullmatch(pattern, text) is not None)
        return text

    return ValueKind(allowed, convert)


def choice(*allowed: str) -> ValueKind:
    """
    Return the kind of a text that is one of the words C{allowed}.
    """
    return matching("one of " + ", ".join(f'"{one}"' for one in allowed), "|".join(allowed))


def listOf(allowed: str, convert: Callable[[Any], object]) -> ValueKind:
    """
    Return the kind of a list of distinct values, each made by C{convert}, in the order of the file.

    @param allowed: what the values are, in words.
    """

    def convertAll(value: object) -> tuple[object, ...]:
        values = tuple(convert(one) for one in exactly(list, value))
        require(len(set(values)) == len(values))
        return values

    return ValueKind("a list of " + allowed, convertAll)


def _subset(
    members: tuple[T, ...], convert: Callable[[Any], T], mayBeEmpty: bool = False
) -> ValueKind:
    """
    Return the kind of a list of one or more of C{members}, which becomes a tuple in the order of
    C{members}.

    @param mayBeEmpty: whether there may be none.
    """

    def convertAll(value: object) -> tuple[T, ...]:
        chosen = [convert(one) for one in exactly(list, value)]
        require((mayBeEmpty or bool(chosen)) and all(one in members for one in chosen))
        return tuple(member for member in members if member in chosen)

    names = ", ".join(json.dumps(getattr(member, "value", member)) for member in members)
    some = "any" if mayBeEmpty else "one or more"
    return ValueKind(f"a list of {some} of {names}", convertAll)


def _address(value: object) -> IPv4Address:
    """
    Convert an address that a host can have, loopback included.
    """
    address = IPv4Address(exactly(str, value))
    require(address.is_loopback or isUnicast(IPv4Network(address)))
    return address


def isUnicast(network: IPv4Network) -> bool:
    """
    Return whether every address of C{network} can be a host's on some network: it has none of
    0.0.0.0/8, 127.0.0.0/8 (loopback), 224.0.0.0/4 (multicast) and 240.0.0.0/4 (class E, broadcast).
    """
    first = int(network.network_address)
    return _areHosts(first, first | int(network.hostmask))


def _areHosts(first: int, last: int) -> bool:
    return not any(first <= end and start <= last for start, end in _NO_HOSTS)


def hostsOf(network: IPv4Network) -> AddressRange:
    """
    Return the first and the last address of C{network} that a host can have. A network with more
    than two addresses has two that no host has: its own and the broadcast address.
    """
    spare = 1 if network.prefixlen < 31 else 0
    return network[spare], network[-1 - spare]


def _unicast(value: object) -> IPv4Address:
    """
    Convert an address at which other machines can reach a host.
    """
    address = _address(value)
    require(not address.is_loopback)
    return address


def _network(value: object) -> IPv4Network:
    return IPv4Network(exactly(str, value))


def _unicastNetwork(value: object) -> IPv4Network:
    network = _network(value)
    require(isUnicast(network))
    return network


def _prefix(value: object) -> IPv6Network:
    network = IPv6Network(exactly(str, value))
    require(network.prefixlen <= _PREFIX_BITS)
    require(not any(network.overlaps(other) for other in _NO_PREFIXES))
    return network


def _ipv6Address(value: object) -> IPv6Address:
    address = IPv6Address(exactly(str, value))
    require(address.scope_id is None and not any(address in other for other in _NO_PREFIXES))
    return address


def _addressRange(value: object) -> AddressRange:
    """
    Convert C{"a-b"}, one address, or the host addresses of a network.
    """
    text = exactly(str, value)
    if "/" in text:
        first, last = hostsOf(IPv4Network(text))
    else:
        start, dash, end = text.partition("-")
        first = IPv4Address(start.strip())
        last = IPv4Address(end.strip()) if dash else first
    require(first <= last)
    require(_areHosts(int(first), int(last)))
    return first, last


def _ranges(value: object) -> tuple[AddressRange, ...]:
    ranges = tuple(_addressRange(one) for one in exactly(list, value))
    ascending = sorted(ranges)
    require(all(a[1] < b[0] for a, b in pairwise(ascending)))
    return ranges


_PREFIX_BITS = 64
# Unspecified, loopback and IPv4-mapped addresses; link-local; multicast.
_NO_PREFIXES = tuple(map(IPv6Network, ("::/8", "fe80::/10", "ff00::/8")))


def _udpAddress(value: object) -> str:
    text = exactly(str, value)
    if text:
        host, _, port = text.rpartition(":")
        require(re.fullmatch("[0-9]{1,5}", port) is not None and 1 <= int(port) <= 65535)
        IPv4Address(host)
    return text


NO_UNICAST = tuple(map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4")))
"""
The IPv4 networks whose addresses can't be a host's on a network.
"""

# The first and the last address of each network, as numbers.
_NO_HOSTS = tuple((int(one[0]), int(one[-1])) for one in NO_UNICAST)
_NO_UNICAST = "; none of 0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/4 and 240.0.0.0/4"
BOOLEAN = ValueKind("true or false", lambda value: exactly(bool, value))
ADDRESS = ValueKind(f'an IPv4 address of one host, as in "192.0.2.1"{_NO_UNICAST}', _unicast)
ADDRESSES = listOf("distinct IPv4 addresses of hosts", _address)
TWO_ADDRESSES = ValueKind(
    f"a list of at most two distinct IPv4 addresses of hosts{_NO_UNICAST}",
    lambda value: listOf("", _unicast).convert(value if len(value) <= 2 else None),
)
NETWORKS = listOf('distinct IPv4 networks without host bits, as in "192.0.2.0/24"', _network)
CALLERS_NETWORKS = ValueKind(
    f"{NETWORKS.allowed}{_NO_UNICAST}", listOf("", _unicastNetwork).convert
)
RANGES = ValueKind(
    f'a list of ranges "FIRST-LAST", addresses and networks, none overlapping another{_NO_UNICAST}',
    _ranges,
)
POOL_NAME = matching(
    f'1 to 63 printable ASCII characters without space, not "{DEFAULT_POOL}"',
    f"(?!{DEFAULT_POOL}$)[!-~]{{1,63}}",
)
POOL_OR_NONE = matching('the name of a pool; "" for none', "[!-~]{0,63}")
_PREFIX = 'IPv6 network of at most 64 bits without host bits, as in "2001:db8:1::/48"'
_PREFIXES = listOf("distinct ones", _prefix)
PREFIXES = ValueKind(
    f"an {_PREFIX}, or {_PREFIXES.allowed}",
    lambda value: _PREFIXES.convert([value] if isinstance(value, str) else value),
)
IPV6_ADDRESSES = listOf("distinct IPv6 addresses, not link-local", _ipv6Address)
BITS = _subset((128, 56, 40), lambda value: exactly(int, value))
COMPRESSIONS = _subset(("deflate", "mppc"), lambda value: exactly(str, value), mayBeEmpty=True)
NAME = matching(
    "1 to 63 printable ASCII characters, no space first or last", r"[!-~]([ -~]{0,61}[!-~])?"
)
USER_OR_NONE = matching("at most 253 printable characters", r"[^\x00-\x1f\x7f]{0,253}")
PLUGIN_NAME = "[a-z][a-z0-9-]{0,31}"
"""
The pattern of the names of plugins.
"""
PROTOCOLS = ValueKind(
    "a list of one or more distinct names of network protocols; --help-network lists them",
    lambda value: listOf("names", matching("a name", PLUGIN_NAME).convert).convert(value or None),
)
TUNNELS = listOf(
    "distinct names of tunnels; --help-plugins lists them",
    matching("a name", PLUGIN_NAME).convert,
)
ENDPOINTS = listOf(
    'distinct server endpoint strings of Twisted, as in "tcp:1723:interface=192.0.2.1"',
    matching("an endpoint string", r"[a-z0-9]+:.*").convert,
)
HOSTS = listOf(
    "distinct names of hosts, without ports",
    matching("a name", r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?").convert,
)
METHODS = ValueKind(
    "a list of one or more distinct names of authentication protocols; --help-plugins lists them",
    PROTOCOLS.convert,
)
METHODS_OR_NONE = listOf(
    "distinct names of authentication protocols; --help-plugins lists them",
    matching("a name", PLUGIN_NAME).convert,
)
EAP_METHODS = listOf(
    "distinct names of EAP methods; --help-plugins lists them",
    matching("a name", PLUGIN_NAME).convert,
)
SPECIFICATION = matching(
    "the name of a plugin, NAME:ARGUMENT where it takes one; --help-plugins lists them",
    f"(?s){PLUGIN_NAME}(:.*)?",
)
SPECIFICATIONS = listOf(
    "distinct names of plugins, NAME:ARGUMENT where one takes it; --help-plugins lists them",
    SPECIFICATION.convert,
)
ROUTER_NAME = matching(
    "empty, or 1 to 47 upper-case letters, digits, underscores, hyphens and at signs",
    "[A-Z0-9_@-]{0,47}",
)
_INTERFACE = r"(?!\.{1,2}$)[A-Za-z0-9_.-]{1,15}"
FILE = matching('the absolute path of a file, "" for none', r"(?s)(/[^\0]*[^/\0])?")
STORE = matching(
    'sqlite:PATH with an absolute path, or "postgresql://HOST/DATABASE" in the manner of libpq',
    r"(?s)sqlite:/[^\0]*[^/\0]|postgres(ql)?://[^\0]*",
)
STORE_OR_NONE = matching(
    STORE.allowed + '; or "" for none', r"(?s)(sqlite:/[^\0]*[^/\0]|postgres(ql)?://[^\0]*)?"
)
INTERFACE = matching(
    "1 to 15 letters, digits, dots, hyphens and underscores, not . or ..",
    _INTERFACE,
)
INTERFACE_OR_NONE = matching(f'{INTERFACE.allowed}; or "" for none', rf"{_INTERFACE}|")
UDP_ADDRESS = ValueKind(
    'empty, or an IPv4 address of this machine, or 0.0.0.0, and a port, as in "0.0.0.0:213"',
    _udpAddress,
)
TEXTS = ValueKind(
    "a list of texts", lambda value: tuple(exactly(str, one) for one in exactly(list, value))
)


def assertNoArgument(key: str, name: str, argument: str) -> None:
    """
    Check that a plugin that takes no argument was chosen without one.

    @param key: the key that chooses the plugin, as errors name it.
    @param name: the name of the plugin.
    @raise ConfigurationError: there is an argument.
    """
    if argument:
        raise ConfigurationError(f'{key} = "{name}:{argument}": it takes no argument')


@dataclass(frozen=True, slots=True)
class NoSettings:
    """
    The settings of a plugin that has no section.
    """
