"""
accel-ppp's chap-secrets: C{client server secret address speed}.

Words are parted by spaces and tabs. A quote at the beginning of a word goes to the next one of its
kind, and a backslash inside takes what follows as it is. The server is ignored, as accel-ppp does.
The address may be C{*} for any, an address, or the name of a pool. The speed is C{down/up} in
kilobits a second, seen from the user; one number is for both directions. C{:} and a backslash may
take the place of C{/}.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address

from pptpgw.error import ConfigurationError
from pptpgw.sessions.username import nameOf
from pptpgw.userfiles.entry import Entry, EntryFault, EntrySource, checked

_WORD = re.compile(
    rb"""[ \t]*(?:"((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'|([^ \t"'][^ \t]*))(?=[ \t]|$)"""
)
_SPEED = re.compile(r"([0-9]{1,9})(?:[/\\:]([0-9]{1,9}))?", re.ASCII)


def words(line: bytes) -> list[bytes]:
    """
    Return the words of a line.

    @raise ConfigurationError: a quote isn't closed.
    """
    found, position = [], 0
    line = line.rstrip()
    while position < len(line):
        match = _WORD.match(line, position)
        if match is None:
            raise ConfigurationError("a quote is not closed")
        double, single, plain = match.groups()
        quoted = double if double is not None else single
        found.append(plain if quoted is None else re.sub(rb"\\(.)", rb"\1", quoted))
        position = match.end()
    return found


def looksLike(line: bytes) -> bool:
    """
    Return whether a line has a speed behind the address, which pppd would take for an address.
    """
    try:
        found = words(line)
    except ConfigurationError:
        return False
    return len(found) == 5 and _SPEED.fullmatch(found[4].decode("ascii", "replace")) is not None


def read(source: EntrySource) -> Iterator[Entry | EntryFault]:
    """
    Read the users of a file. Of several lines of a user the first one counts.
    """
    seen: set[bytes] = set()
    for number, line in enumerate(source.content.splitlines(), 1):
        if line.startswith(b"#") or not line.strip():
            continue
        client = b""
        try:
            client, *rest = words(line)
            if client in seen:
                raise ConfigurationError("an earlier line has this user")
            seen.add(client)
            yield _entry(number, client, rest)
        except ConfigurationError as error:
            yield EntryFault(number, nameOf(client), str(error))


def _entry(number: int, client: bytes, rest: list[bytes]) -> Entry:
    if len(rest) < 3:
        raise ConfigurationError(
            f"{1 + len(rest)} words; client, server, secret and address are needed"
        )
    if not rest[1]:
        raise ConfigurationError("its password is empty")
    attributes = _address(nameOf(rest[2]))
    if len(rest) > 3:
        attributes |= speed(nameOf(rest[3]))
    return Entry(number, nameOf(client), rest[1], attributes=attributes)


def _address(text: str) -> dict[str, str]:
    if text[:1] in ("*", "-", "!"):
        return {}
    try:
        return {"address": checked("address", str(IPv4Address(text)))}
    except AddressValueError:
        return {"pool": checked("pool", text)}


def speed(text: str) -> dict[str, str]:
    """
    Return the rates that a speed stands for.

    @raise ConfigurationError: it has another form.
    """
    match = _SPEED.fullmatch(text)
    if match is None:
        raise ConfigurationError(f"speed {text!a}: must be DOWN/UP in kilobits a second")
    down, up = int(match[1]), int(match[2] or match[1])
    rates = {"send-rate": down * 1000, "receive-rate": up * 1000}
    return {option: checked(option, str(rate)) for option, rate in rates.items() if rate}
