"""
RouterOS' C{/ppp secret export show-sensitive}: lines like C{add name=bob password="a b" ...}.

A line that ends with a backslash goes on at the first character of the next one that isn't a space.
In quotes a backslash and two hexadecimal digits stand for an octet, a backslash and one of
C{nrtabfv} for a control character, C{\\_} for a space, and other signs behind a backslash for
themselves.

The service of a line, unless it is C{any}, is the tunnel that the user may call by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv4Network, ip_network

from pptpgw.error import ConfigurationError
from pptpgw.sessions.username import nameOf
from pptpgw.userfiles.entry import Entry, EntryFault, EntrySource, checked

SECTION = b"/ppp secret"

_PAIR = re.compile(rb'\s*([a-z0-9-]+)=(?:"((?:\\.|[^"\\])*)"|([^\s"]*))(?=\s|$)', re.DOTALL)
_ESCAPE = re.compile(rb"\\([0-9A-F]{2}|.)", re.DOTALL)
_CONTROL = dict(zip(b"nrtabfv_", b"\n\r\t\a\b\f\v ", strict=True))
_TUNNELS = ("l2tp", "pptp", "sstp")
_DEFAULTS = ("default", "default-encryption")
_IGNORED = frozenset(("name", "password", "profile", "disabled", "comment", "local-address"))


def _escaped(match: re.Match[bytes]) -> bytes:
    sign = match[1]
    if len(sign) == 2:
        return bytes((int(sign, 16),))
    return bytes((_CONTROL.get(sign[0], sign[0]),))


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    """
    Return the lines of an export, whole, with the numbers of the lines on which they begin.
    """
    begun, whole = 0, b""
    for number, line in enumerate(content.splitlines(), 1):
        begun = begun or number
        whole += line.lstrip() if whole else line
        if (len(whole) - len(whole.rstrip(b"\\"))) % 2:
            whole = whole[:-1]
            continue
        yield begun, whole
        begun, whole = 0, b""
    if whole:
        yield begun, whole


def read(source: EntrySource) -> Iterator[Entry | EntryFault]:
    """
    Read the users in the section C{/ppp secret} of an export; other sections are passed over. Lines
    before the first section are taken for its lines, too.
    """
    inside = True
    seen: set[str] = set()
    for number, line in _lines(source.content):
        line = line.strip()
        if line.startswith(b"/"):
            inside = line.startswith(SECTION)
            line = line[len(SECTION) :].strip() if inside else b""
        if not inside or not line or line.startswith(b"#"):
            continue
        name = ""
        try:
            values = _values(line)
            name = nameOf(values.get("name", b""))
            if name in seen:
                raise ConfigurationError("an earlier line has this user")
            seen.add(name)
            yield _entry(number, name, values)
        except (ConfigurationError, ValueError) as error:
            yield EntryFault(number, name, str(error))


def _values(line: bytes) -> dict[str, bytes]:
    """
    Return what a line C{add KEY=VALUE...} says.

    @raise ConfigurationError: it is another command, or can't be read.
    """
    command, _, rest = line.partition(b" ")
    if command != b"add":
        raise ConfigurationError("only lines with add can be taken")
    values: dict[str, bytes] = {}
    position = 0
    while rest[position:].strip():
        match = _PAIR.match(rest, position)
        if match is None:
            raise ConfigurationError(f"it can't be read behind {len(values)} values")
        key, quoted, plain = match.groups()
        values[key.decode()] = plain if quoted is None else _ESCAPE.sub(_escaped, quoted)
        position = match.end()
    return values


def _entry(number: int, name: str, values: Mapping[str, bytes]) -> Entry:
    texts = {key: nameOf(value) for key, value in values.items()}
    if not name:
        raise ConfigurationError("it has no name")
    if not values.get("password"):
        raise ConfigurationError(
            "it has no password: RouterOS 7 exports them with show-sensitive only"
        )
    profile = texts.get("profile", "default")
    attributes, notes = {}, []
    for key, text in texts.items():
        if key in _READERS:
            attributes.update(_READERS[key](text))
        elif key not in _IGNORED and text not in ("", "0"):
            notes.append(f"{key} isn't kept")
    return Entry(
        number,
        name,
        values["password"],
        attributes=attributes,
        shared=None if profile in _DEFAULTS else profile,
        disabled=texts.get("disabled") == "yes",
        notes=tuple(notes),
    )


def _service(text: str) -> dict[str, str]:
    if text == "any":
        return {}
    if text not in _TUNNELS:
        raise ConfigurationError(f"it is for {text}")
    return {"tunnels": checked("tunnels", text)}


def _remote(text: str) -> dict[str, str]:
    try:
        return {"address": checked("address", str(IPv4Address(text)))}
    except AddressValueError:
        return {"pool": checked("pool", text)}


def _caller(text: str) -> dict[str, str]:
    if not text:
        return {}
    try:
        return {"sources": checked("sources", str(IPv4Network(text, strict=False)))}
    except ValueError as error:
        # It restricts who may call, so it can't be left out.
        raise ConfigurationError(f"caller-id {text!a}: it is no address") from error


def _routes(text: str) -> dict[str, str]:
    """
    Convert routes: C{NETWORK GATEWAY METRIC}, several parted by commas.
    """
    networks = [str(ip_network(one.split()[0])) for one in text.split(",") if one.strip()]
    return {"routes": checked("routes", ",".join(networks))} if networks else {}


def _prefix(text: str) -> dict[str, str]:
    return {"prefix": checked("prefix", text)} if text not in ("", "::/0") else {}


_READERS = {
    "remote-address": _remote,
    "caller-id": _caller,
    "routes": _routes,
    "service": _service,
    "remote-ipv6-prefix": _prefix,
}
