"""
pppd's chap-secrets: C{client server secret addresses...}; see L{pptpgw.auth.chapsecrets}.
"""

from __future__ import annotations

from collections.abc import Iterator

from pptpgw.auth.chapsecrets import WILDCARD, Secret, lines, secretOf
from pptpgw.error import ConfigurationError
from pptpgw.sessions.username import nameOf
from pptpgw.store.attribute import ATTRIBUTES
from pptpgw.userfiles.entry import Entry, EntryFault, EntrySource

_ADDRESS = ATTRIBUTES["address"]
_UNCLOSED = "a quote is not closed on the same line"
_ESCAPED = {0x22: b'\\"', 0x5C: b"\\\\", 0x0A: b"\\n", 0x0D: b"\\r", 0x09: b"\\t"}


def read(source: EntrySource) -> Iterator[Entry | EntryFault]:
    """
    Read the users of a file, in the order of their first lines. Of several lines of a user the one
    is taken that the gateway itself would use. The lines behind one whose quote isn't closed are
    read too.
    """
    byClient: dict[bytes, list[tuple[int, Secret]]] = {}
    faults: list[EntryFault] = []
    before, content = 0, source.content
    while content:
        last = _collect(content, before, byClient, faults)
        if last is None:
            break
        # Nothing is left if that line is the last one.
        _, *rest = content.split(b"\n", last - before)[last - before - 1 :]
        content = rest[0] if rest else b""
        before = last
    for client, secrets in byClient.items():
        yield _choose(client, secrets, source.server.encode())
    yield from faults


def _collect(
    content: bytes,
    before: int,
    byClient: dict[bytes, list[tuple[int, Secret]]],
    faults: list[EntryFault],
) -> int | None:
    """
    Read what follows C{before} lines of a file, until a wrong line whose quote isn't closed, or is
    closed on a later line only: it hides the lines of other users.

    @return: the number of that line; None if there is none.
    """
    try:
        for number, words in lines(content, ""):
            line = before + number
            try:
                secret = secretOf(words, "")
            except ConfigurationError as error:
                if any(b"\n" in word for word in words):
                    faults.append(EntryFault(line, "", _UNCLOSED))
                    return line
                faults.append(EntryFault(line, nameOf(words[0]), _why(error)))
            else:
                byClient.setdefault(secret.client, []).append((line, secret))
    except ConfigurationError as error:
        line = before + int(str(error).partition("line ")[2].partition(":")[0])
        faults.append(EntryFault(line, "", _why(error)))
        return line
    return None


def _why(error: ConfigurationError) -> str:
    return str(error).partition(": ")[2]


def _choose(client: bytes, secrets: list[tuple[int, Secret]], server: bytes) -> Entry | EntryFault:
    name, first = nameOf(client), secrets[0][0]
    if client == WILDCARD:
        return EntryFault(first, name, "a store has no user that stands for all others")
    fitting = [(line, one) for line, one in secrets if one.server in (server, WILDCARD)]
    if not fitting:
        return EntryFault(first, name, "it is for other servers; --server NAME takes those of one")
    line, best = max(fitting, key=lambda each: each[1].rank)
    if not best.secret:
        return EntryFault(line, name, "its password is empty")
    attributes = {}
    if best.addresses is not None:
        attributes["address"] = _ADDRESS.write(best.addresses)
    more = sum(one.rank == best.rank for _, one in fitting) - 1
    notes = (f"it has {more} more lines like its first one, which is taken",) if more else ()
    return Entry(line, name, best.secret, attributes=attributes, notes=notes)


def written(name: str, password: bytes, addresses: str | None) -> bytes:
    """
    Return the line of a user, for every server.

    @param addresses: the attribute C{address} of the user's profile; None for any address.
    """
    networks = "*" if addresses is None else addresses.replace(",", " ")
    words = (_quoted(name.encode()), b"*", _quoted(password), networks.encode())
    return b"  ".join(words) + b"\n"


def _quoted(word: bytes) -> bytes:
    def octet(value: int) -> bytes:
        if value in _ESCAPED:
            return _ESCAPED[value]
        return bytes((value,)) if value >= 0x20 and value != 0x7F else b"\\%03o" % value

    return b'"' + b"".join(map(octet, word)) + b'"'
