"""
The conversion of the attributes of a RADIUS packet to a profile.

L{applied} serves Access-Accepts and CoA-Requests: what a packet doesn't mention stays as it was.

The rules:

 - An attribute that restricts (L{RESTRICTING}) must be obeyed. If one can't be read, asks for
   something impossible, or is there twice with different values, the whole packet is refused.
 - An attribute that only grants something is skipped with a warning if it can't be read. If it may
   be there only once, the first one is taken.
 - Framed-IP-Netmask is ignored: servers send a mask by habit, and a link to one user needs none.
   Framed-Route names the networks behind a user.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from pptpgw.config.kind import isUnicast
from pptpgw.error import Malformed
from pptpgw.log import Logger
from pptpgw.radius.packet import RADIUSPacket, decode
from pptpgw.sessions.profile import Profile

SMALLEST_INTERIM = 60
"""
The shortest interval between interim records, in seconds (RFC 2869 section 5.16).
"""
SMALLEST_MTU = 576

# The values of Framed-IP-Address that let the user or the gateway choose (RFC 2865 section 5.8).
_CHOSEN = (IPv4Address("255.255.255.255"), IPv4Address("255.255.255.254"))
# The value of MS-MPPE-Encryption-Policy that requires encryption (RFC 2548 section 2.4.4).
_REQUIRED = 2
# The bits of MS-MPPE-Encryption-Types by key length (RFC 2548 section 2.4.5); that of 56 bits is
# Windows'.
_TYPES = {128: 4, 56: 8, 40: 2}
_UNITS = {"": 1, "k": 1000, "M": 1000_000, "G": 1000_000_000}
_RATE = re.compile(r"(\d{1,12})([kMG]?)(?:/(\d{1,12})([kMG]?))?(?: .*)?", re.DOTALL)

_log = Logger()

ProfileChanges = dict[str, Any]
"""
The attributes of a L{Profile} that change, with their new values.
"""


def applied(packet: RADIUSPacket, profile: Profile) -> Profile:
    """
    Change C{profile} as C{packet} says, and return the result.

    @raise Malformed: an attribute that restricts can't be obeyed; the text names it.
    """
    changes: ProfileChanges = {}
    for name, read in _READERS.items():
        values = dict.fromkeys(packet.octets(name))
        if len(values) > 1 and name in RESTRICTING:
            raise Malformed(f"{name} is there with {len(values)} different values")
        for octets in values:
            try:
                change = read(octets)
            except ValueError as problem:
                if name in RESTRICTING:
                    raise Malformed(f"{name}: {problem}") from problem
                _warn(name, str(problem))
            else:
                _add(changes, change)
    _placeBehind(packet, changes)
    return replace(profile, **changes)


def read(name: str, octets: bytes) -> ProfileChanges:
    """
    Convert one attribute.

    @raise ValueError: the value can't be obeyed.
    @raise KeyError: attributes of this name are not used.
    """
    return _READERS[name](octets)


def isUsed(name: str) -> bool:
    """
    Return whether attributes of this name mean anything to L{applied}.
    """
    return name in _READERS or name == "Framed-Route"


def _warn(name: str, why: str) -> None:
    _log.warn("RADIUS attribute {name} is passed over: {why}", name=name, why=why)


def _add(changes: ProfileChanges, change: ProfileChanges) -> None:
    """
    Add C{change} to C{changes}. Lists grow up to their limits; of other attributes the first value
    is kept.
    """
    for name, value in change.items():
        if name in _GROWING:
            every = dict.fromkeys((*changes.get(name, ()), *value))
            changes[name] = tuple(every)[: _GROWING[name]]
        else:
            changes.setdefault(name, value)


_GROWING = {"routes": 64, "dns": 2, "wins": 2, "dns6": 4, "accountingClass": 16}
"""
The attributes of a profile that several RADIUS attributes add to, and how many entries they may
have.
"""


def _number(attribute: str, low: int, high: int = 0xFFFFFFFF) -> Callable[[bytes], int]:
    def read(octets: bytes) -> int:
        value: int = decode(attribute, octets)
        if not low <= value <= high:
            raise ValueError(f"{value}, {low} to {high} is allowed")
        return value

    return read


def _text(octets: bytes, longest: int = 253) -> str:
    text = octets.decode("utf-8").rstrip("\0")
    if not text.strip() or len(text) > longest or not text.isprintable():
        raise ValueError(f"no text of 1 to {longest} characters that can be printed")
    return text


def _address(octets: bytes) -> IPv4Address:
    address = IPv4Network(decode("Framed-IP-Address", octets))
    if not isUnicast(address):
        raise ValueError(f"{address.network_address} is no host's address")
    return address.network_address


def _framedAddress(octets: bytes) -> ProfileChanges:
    if IPv4Address(decode("Framed-IP-Address", octets)) in _CHOSEN:
        return {"addresses": None}
    return {"addresses": (IPv4Network(_address(octets)),)}


def _route(octets: bytes, user: IPv4Address | None) -> IPv4Network:
    """
    Return the network behind the user that C{NETWORK GATEWAY METRICS} names (RFC 2865 section
    5.22).

    @param user: the user's address, which may stand for the gateway in place of 0.0.0.0.
    @raise ValueError: the network is everything, or behind another gateway.
    """
    words = _text(octets).split()
    network = IPv4Network(words[0])
    if network.prefixlen == 0:
        raise ValueError("everything can't be behind one user")
    gateway = IPv4Address(words[1] if len(words) > 1 else 0)
    if not gateway.is_unspecified and gateway != user:
        raise ValueError(f"{network} is behind {gateway}, who isn't the user")
    return network


def _route6(octets: bytes) -> ProfileChanges:
    """
    Convert a Framed-IPv6-Route (RFC 3162 section 2.5). The gateway must be C{::} or link-local.
    """
    words = _text(octets).split()
    gateway = IPv6Address(words[1] if len(words) > 1 else 0)
    if not gateway.is_unspecified and not gateway.is_link_local:
        raise ValueError(f"{words[0]} is behind {gateway}, who isn't the user")
    return {"routes": (_unicast(IPv6Network(words[0])),)}


def _prefix(attribute: str, octets: bytes) -> IPv6Network:
    return _unicast(IPv6Network(decode(attribute, octets)))


def _unicast(network: IPv6Network) -> IPv6Network:
    if network.prefixlen < 3 or network.is_multicast or network.is_link_local:
        raise ValueError(f"{network} can't be one user's")
    return network


def _framedPrefix(octets: bytes) -> ProfileChanges:
    prefix = _prefix("Framed-IPv6-Prefix", octets)
    if prefix.prefixlen != 64:
        raise ValueError(f"{prefix} is no prefix of a link, which has 64 bits")
    return {"prefix": prefix}


def _interfaceIdentifier(octets: bytes) -> ProfileChanges:
    if len(octets) != 8 or not any(octets):
        raise ValueError("no interface identifier of 8 octets")
    return {"identifier": octets}


def _server6(octets: bytes) -> ProfileChanges:
    address = IPv6Address(octets)
    if address.is_unspecified or address.is_multicast:
        raise ValueError(f"{address} is no host's address")
    return {"dns6": (address,)}


def _policy(octets: bytes) -> ProfileChanges:
    policy = _number("MS-MPPE-Encryption-Policy", 1, 2)(octets)
    # If encryption is only allowed, the configuration decides about it.
    return {"encryption": "require"} if policy == _REQUIRED else {}


def _types(octets: bytes) -> ProfileChanges:
    types = _number("MS-MPPE-Encryption-Types", 0)(octets)
    bits = tuple(length for length, bit in _TYPES.items() if types & bit)
    if types and not bits:
        raise ValueError(f"{types:#x} has none of the key lengths 40, 56 and 128 bits")
    return {"bits": bits} if bits else {}


def rates(text: str) -> tuple[int, int]:
    """
    Return the first pair of a Mikrotik-Rate-Limit in bits a second: from the user, and to the user;
    0 for no limit.

    @param text: C{rx-rate[/tx-rate]}, seen from the gateway, each with C{k}, C{M}, C{G} or nothing
        behind it. Bursts, thresholds, times, a priority and lower bounds may follow, and are
        ignored.
    @raise ValueError: C{text} has another form.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text[:100]!a} is no rate limit")
    received = int(match[1]) * _UNITS[match[2]]
    sent = int(match[3]) * _UNITS[match[4]] if match[3] else received
    return received, sent


def _rateLimit(octets: bytes) -> ProfileChanges:
    received, sent = rates(_text(octets))
    return {"receiveRate": received or None, "sendRate": sent or None}


def _interim(octets: bytes) -> ProfileChanges:
    seconds = _number("Acct-Interim-Interval", 0)(octets)
    return {"interim": float(max(seconds, SMALLEST_INTERIM))} if seconds else {}


def _rules(octets: bytes) -> ProfileChanges:
    raise ValueError("rules of a filter can't be taken; Filter-Id names one of [[network.filter]]")


def _seconds(attribute: str, name: str) -> Callable[[bytes], ProfileChanges]:
    read = _number(attribute, 0)
    return lambda octets: {name: float(read(octets))}


_READERS: Mapping[str, Callable[[bytes], ProfileChanges]] = {
    "Framed-IP-Address": _framedAddress,
    "Framed-Pool": lambda octets: {"pool": _text(octets, 63)},
    "Framed-IPv6-Route": _route6,
    "Framed-IPv6-Prefix": _framedPrefix,
    "Delegated-IPv6-Prefix": lambda octets: {"delegated": _prefix("Delegated-IPv6-Prefix", octets)},
    "Framed-Interface-Id": _interfaceIdentifier,
    "Framed-MTU": lambda octets: {"mtu": _number("Framed-MTU", SMALLEST_MTU, 65535)(octets)},
    "Session-Timeout": _seconds("Session-Timeout", "sessionTimeout"),
    "Idle-Timeout": _seconds("Idle-Timeout", "idleTimeout"),
    "Acct-Interim-Interval": _interim,
    "Class": lambda octets: {"accountingClass": (octets,)},
    "Filter-Id": lambda octets: {"filter": _text(octets)},
    "NAS-Filter-Rule": _rules,
    "MS-Filter": _rules,
    "MS-Quarantine-IPFilter": _rules,
    "Port-Limit": lambda octets: {"sessions": _number("Port-Limit", 0)(octets)},
    "MS-Primary-DNS-Server": lambda octets: {"dns": (_address(octets),)},
    "MS-Secondary-DNS-Server": lambda octets: {"dns": (_address(octets),)},
    "MS-Primary-NBNS-Server": lambda octets: {"wins": (_address(octets),)},
    "MS-Secondary-NBNS-Server": lambda octets: {"wins": (_address(octets),)},
    "DNS-Server-IPv6-Address": _server6,
    "MS-MPPE-Encryption-Policy": _policy,
    "MS-MPPE-Encryption-Types": _types,
    "Mikrotik-Rate-Limit": _rateLimit,
    "WISPr-Bandwidth-Max-Up": lambda octets: {
        "receiveRate": _number("WISPr-Bandwidth-Max-Up", 0)(octets) or None
    },
    "WISPr-Bandwidth-Max-Down": lambda octets: {
        "sendRate": _number("WISPr-Bandwidth-Max-Down", 0)(octets) or None
    },
}
"""
The function that converts each attribute. Where several set the same value, the first one here
counts.
"""

RESTRICTING = frozenset(
    (
        "Framed-IP-Address",
        "Framed-Pool",
        "Framed-IPv6-Prefix",
        "Framed-Interface-Id",
        "Session-Timeout",
        "Idle-Timeout",
        "Filter-Id",
        "NAS-Filter-Rule",
        "MS-Filter",
        "MS-Quarantine-IPFilter",
        "Port-Limit",
        "MS-MPPE-Encryption-Policy",
        "MS-MPPE-Encryption-Types",
        "Mikrotik-Rate-Limit",
        "WISPr-Bandwidth-Max-Up",
        "WISPr-Bandwidth-Max-Down",
    )
)
"""
The attributes that restrict a user. None of them may be skipped because it can't be read.
"""


def _placeBehind(packet: RADIUSPacket, changes: ProfileChanges) -> None:
    """
    Add the networks behind the user, which depend on the user's address.
    """
    addresses = changes.get("addresses")
    user = addresses[0].network_address if addresses else None
    for octets in packet.octets("Framed-Route"):
        try:
            network = _route(octets, user)
        except ValueError as problem:
            _warn("Framed-Route", str(problem))
        else:
            _add(changes, {"routes": (network,)})


def nameIn(packet: RADIUSPacket, name: str) -> str:
    """
    Return the user's name in the server's answer (RFC 2865 section 5.1), to which the limits apply;
    C{name} if the answer has none.

    @raise Malformed: the answer's name can't be read.
    """
    for octets in packet.octets("User-Name")[:1]:
        if octets == name.encode("utf-8", "surrogateescape"):
            return name
        try:
            return _text(octets)
        except ValueError as problem:
            raise Malformed(f"User-Name: {problem}") from problem
    return name
