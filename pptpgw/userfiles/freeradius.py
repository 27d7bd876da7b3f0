"""
FreeRADIUS' C{users} file (the module C{files}, also called C{authorize}).

An entry is a name and check items on one line, and reply items on the lines below it, which begin
with a space or tab. Items are C{ATTRIBUTE OPERATOR VALUE}, parted by commas. Reply items are
converted as if a RADIUS server had sent them, see L{pptpgw.radius.attributes}.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any, NamedTuple

from pyrad.packet import AuthPacket

from pptpgw.error import ConfigurationError, Malformed
from pptpgw.radius import attributes
from pptpgw.radius.packet import RADIUSPacket, dictionary
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.username import nameOf
from pptpgw.userfiles.entry import Entry, EntryFault, EntrySource, attributesOf

_NAME = re.compile(rb'(?:"((?:\\.|[^"\\])*)"|([^\s,"]+))(?=\s|$)')
_ITEM = re.compile(
    rb"""\s*([A-Za-z][A-Za-z0-9-]*)\s*(:=|==|\+=|=~|!~|!=|<=|>=|=|<|>)\s*"""
    rb"""(?:"((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'|([^\s,"'#]+))\s*(?:,|(?=\#)|$)"""
)
_PASSWORDS = ("Cleartext-Password", "User-Password")
_GRANTED = {("Service-Type", "Framed-User"), ("Framed-Protocol", "PPP")}
"""
The check items that hold for every call, so that nothing is lost with them.
"""
_WITHOUT_EFFECT = frozenset(
    (
        "Fall-Through",
        "Framed-Compression",
        "Framed-IP-Netmask",
        "Framed-Protocol",
        "Framed-Routing",
        "Reply-Message",
        "Service-Type",
    )
)


class _Item(NamedTuple):
    attribute: str
    operator: str
    value: bytes


def _items(text: bytes) -> list[_Item]:
    """
    Return a list of items.

    @raise ConfigurationError: it can't be read.
    """
    found: list[_Item] = []
    position = 0
    while text[position:].strip() and not text[position:].lstrip().startswith(b"#"):
        match = _ITEM.match(text, position)
        if match is None:
            raise ConfigurationError(f"item {len(found) + 1} can't be read")
        name, operator, double, single, plain = match.groups()
        quoted = double if double is not None else single
        value = plain if quoted is None else re.sub(rb"\\(.)", rb"\1", quoted)
        found.append(_Item(name.decode(), operator.decode(), value))
        position = match.end()
    return found


def read(source: EntrySource) -> Iterator[Entry | EntryFault]:
    """
    Read the users of a file. An entry that holds only in some cases can't be taken, nor can one for
    all users.
    """
    seen: set[str] = set()
    for number, first, more in _entries(source.content):
        name = ""
        try:
            match = _NAME.match(first)
            if match is None:
                raise ConfigurationError("it begins with no name")
            quoted, plain = match.groups()
            name = nameOf(plain if quoted is None else re.sub(rb"\\(.)", rb"\1", quoted))
            if name == "DEFAULT":
                raise ConfigurationError("a store has no user that stands for all others")
            if name.startswith("$"):
                raise ConfigurationError("other files aren't read")
            if name in seen:
                raise ConfigurationError("an earlier entry has this user")
            seen.add(name)
            yield _entry(number, name, _items(first[match.end() :]), _replies(more))
        except (ConfigurationError, Malformed) as error:
            yield EntryFault(number, name, str(error))


def _entries(content: bytes) -> Iterator[tuple[int, bytes, list[bytes]]]:
    """
    Return the first line of each entry, its number, and the lines below it.
    """
    begun, first, more = 0, b"", list[bytes]()
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith(b"#"):
            continue
        if line[:1] in (b" ", b"\t"):
            more.append(line)
            continue
        if begun:
            yield begun, first, more
        begun, first, more = number, line, []
    if begun:
        yield begun, first, more


def _replies(lines: list[bytes]) -> list[_Item]:
    return [item for line in lines for item in _items(line)]


def _entry(number: int, name: str, checks: list[_Item], replies: list[_Item]) -> Entry:
    password: bytes | None = None
    ntHash = b""
    disabled = False
    profile = Profile(name)
    for item in checks:
        text = nameOf(item.value)
        if item.attribute in _PASSWORDS:
            password = item.value
        elif item.attribute == "NT-Password":
            ntHash = _hash(text)
        elif item.attribute == "Auth-Type":
            disabled = text == "Reject"
        elif item.attribute == "Simultaneous-Use" and text.isdecimal():
            profile = replace(profile, sessions=int(text))
        elif item.attribute == "Calling-Station-Id":
            profile = replace(profile, sources=(_source(text),))
        elif (item.attribute, text) not in _GRANTED:
            # It restricts the user, or says when the entry holds: it can't be left out.
            raise ConfigurationError(f"the check of {item.attribute} can't be kept")
    if not password and not ntHash and not disabled:
        raise ConfigurationError("it has no Cleartext-Password and no NT-Password")
    profile, notes = _replied(profile, replies)
    return Entry(
        number,
        name,
        password,
        # A user that is refused whatever the password needs none: no password has this hash.
        ntHash or bytes(16),
        attributesOf(profile),
        disabled=disabled,
        notes=notes,
    )


def _hash(text: str) -> bytes:
    try:
        octets = bytes.fromhex(text.removeprefix("0x"))
    except ValueError as error:
        raise ConfigurationError("its NT-Password isn't hexadecimal") from error
    if len(octets) != 16:
        raise ConfigurationError("its NT-Password hasn't 16 octets")
    return octets


def _source(text: str) -> IPv4Network:
    try:
        return IPv4Network(text)
    except ValueError as error:
        raise ConfigurationError(f"Calling-Station-Id {text!a}: it is no address") from error


def _replied(profile: Profile, replies: list[_Item]) -> tuple[Profile, tuple[str, ...]]:
    """
    Return the profile that reply items make of C{profile}, and what can't be kept of them.

    @raise ConfigurationError: a value isn't one of its attribute.
    @raise Malformed: an attribute that restricts can't be obeyed.
    """
    packet: Any = AuthPacket(secret=b"", dict=dictionary())
    notes = []
    for item in replies:
        if item.attribute in _WITHOUT_EFFECT:
            continue
        if not attributes.isUsed(item.attribute):
            notes.append(f"{item.attribute} isn't kept")
            continue
        text = nameOf(item.value)
        kind = dictionary().attributes[item.attribute].type
        try:
            value = int(text) if kind == "integer" and text.isdecimal() else text
            packet.AddAttribute(item.attribute, value)
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{item.attribute} = {text!a}: no value of it") from error
    return attributes.applied(RADIUSPacket(packet), profile), tuple(notes)
