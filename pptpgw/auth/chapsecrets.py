"""
The format of pppd's chap-secrets.

A line is C{client server secret addresses...}, parted into words as pppd parts them: a C{#} where
no quote is open begins a comment, even behind a word; C{"} and C{'} quote, within a word too; a
backslash makes what follows stand for itself, but for C{\\a \\b \\f \\n \\r \\s \\t}, up to three
octal digits and C{\\x} with up to two hexadecimal ones, inside quotes as well; a backslash at the
end of a line joins it with the next.

Where this differs from pppd:

 - A line without addresses allows any address from the pool; pppd allows none.
 - Names instead of addresses, C{/bits+}, options behind C{--} and secrets in other files
   (C{@/path}) aren't known here, and are errors.
 - A quote that isn't closed is an error rather than a warning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from pptpgw.config.kind import NO_UNICAST, isUnicast
from pptpgw.error import ConfigurationError

WILDCARD = b"*"

_SPACE = b" \t\n\v\f\r"
_QUOTES = b"\"'"
_ESCAPES = dict(zip(b"abfnrst", b"\a\b\f\n\r \t", strict=True))
_OCTAL = b"01234567"
_HEXADECIMAL = b"0123456789abcdefABCDEF"
_EVERYWHERE = IPv4Network("0.0.0.0/0")


@dataclass(frozen=True, slots=True)
class Secret:
    """
    One line of the file: the secret that a client and a server share.

    @ivar client: the user's name, or L{WILDCARD}.
    @ivar server: the name of the gateway that the line is for, or L{WILDCARD}.
    @ivar addresses: the networks that the user's address must be in, as in
        L{pptpgw.interfaces.ISubscriber}; empty if no address is allowed.
    """

    client: bytes
    server: bytes
    secret: bytes = field(repr=False)
    addresses: tuple[IPv4Network, ...] | None = None

    @property
    def rank(self) -> int:
        """
        How exactly the line says whom it is for. The client's name outweighs the server's, as in
        pppd.
        """
        return 2 * (self.client != WILDCARD) + (self.server != WILDCARD)


class Secrets:
    """
    The lines of a chap-secrets file, looked up by the name of the client.
    """

    def __init__(self, secrets: Iterator[Secret]) -> None:
        self._byClient: dict[bytes, list[Secret]] = {}
        for secret in secrets:
            self._byClient.setdefault(secret.client, []).append(secret)

    @property
    def clients(self) -> list[bytes]:
        """
        The names of the clients, in the order of the file.
        """
        return list(self._byClient)

    def of(self, client: bytes) -> list[Secret]:
        """
        Return the lines of a client, in the order of the file.
        """
        return self._byClient.get(client, [])

    def find(self, client: bytes, server: bytes) -> Secret | None:
        """
        Return the line that fits best: the one with the fewest wildcards, and of several the first;
        None if no line fits.
        """
        best = None
        for key in (client, WILDCARD):
            for secret in self.of(key):
                if secret.server in (server, WILDCARD) and (
                    best is None or secret.rank > best.rank
                ):
                    best = secret
        return best


def parse(content: bytes, name: str) -> Secrets:
    """
    Read the octets of a file.

    @param name: the name of the file, for error messages.
    @raise ConfigurationError: a line is wrong; the text has the number of the line and never its
        secret.
    """
    return Secrets(_secrets(content, name))


def _secrets(content: bytes, name: str) -> Iterator[Secret]:
    for line, words in lines(content, name):
        yield secretOf(words, f"{name}, line {line}")


def secretOf(words: list[bytes], where: str) -> Secret:
    """
    Return what the words of one line say.

    @param where: the name of the file and the number of the line, for error messages.
    @raise ConfigurationError: the line is wrong.
    """
    if len(words) < 3:
        raise ConfigurationError(
            f"{where}: {len(words)} words, at least client, server and secret are needed"
        )
    client, server, secret, *rest = words
    if not client:
        raise ConfigurationError(f"{where}: the client's name is empty")
    if secret.startswith(b"@/"):
        raise ConfigurationError(f"{where}: a secret kept in another file (@/...)")
    return Secret(client, server, secret, _addresses(rest, where))


def _addresses(words: list[bytes], where: str) -> tuple[IPv4Network, ...] | None:
    """
    Return the networks that a list of address words allows; None if any address is allowed.

    As in pppd the first word that fits an address decides about it, so an exclusion also holds for
    the words behind it. C{*} stands for every address that a host can have.
    """
    if not words or words[0] == WILDCARD:
        return None
    if words[0] == b"-":
        return ()
    allowed: list[IPv4Network] = []
    excluded: list[IPv4Network] = []
    for word in words:
        if word.startswith(b"!"):
            excluded.append(_network(word[1:], where))
            continue
        if word == WILDCARD:
            networks, holes = [_EVERYWHERE], [*NO_UNICAST, *excluded]
        else:
            networks, holes = [_network(word, where)], excluded
            if not isUnicast(networks[0]):
                raise ConfigurationError(f"{where}: {networks[0]} can't be a host's address")
        for hole in holes:
            networks = [part for whole in networks for part in _without(whole, hole)]
        allowed += networks
    return tuple(allowed)


def _network(word: bytes, where: str) -> IPv4Network:
    try:
        return IPv4Network(word.decode("ascii"), strict=False)
    except ValueError as problem:
        raise ConfigurationError(
            f"{where}: {word.decode('utf-8', 'replace')!a} as an address, allowed are *, -, "
            "an IPv4 address, and one with /bits; ! may stand before these"
        ) from problem


def _without(whole: IPv4Network, hole: IPv4Network) -> list[IPv4Network]:
    if not whole.overlaps(hole):
        return [whole]
    if hole.supernet_of(whole):
        return []
    return sorted(whole.address_exclude(hole))


def lines(content: bytes, name: str) -> Iterator[tuple[int, list[bytes]]]:
    """
    Return the words of each line that has any, with the number of the line on which they begin.

    @raise ConfigurationError: a quote isn't closed.
    """
    words: list[bytes] = []
    begun = line = 1
    position, end = 0, len(content)
    while position < end:
        octet = content[position]
        if octet == 0x0A:
            if words:
                yield begun, words
                words = []
            line += 1
            position += 1
        elif content.startswith(b"\\\n", position):
            line += 1
            position += 2
        elif octet == 0x23:
            newline = content.find(b"\n", position)
            position = newline if newline >= 0 else end
        elif octet in _SPACE:
            position += 1
        else:
            if not words:
                begun = line
            word, after = _word(content, position, f"{name}, line {line}")
            line += content.count(b"\n", position, after)
            position = after
            words.append(word)
    if words:
        yield begun, words


def _word(content: bytes, position: int, where: str) -> tuple[bytes, int]:
    """
    Return the word that begins at C{position}, and the position of its end.
    """
    word = bytearray()
    quote = 0
    end = len(content)
    while position < end:
        octet = content[position]
        position += 1
        if octet == 0x5C:
            position = _escape(content, position, word)
        elif quote:
            if octet == quote:
                quote = 0
            else:
                word.append(octet)
        elif octet in _QUOTES:
            quote = octet
        elif octet in _SPACE or octet == 0x23:
            return bytes(word), position - 1
        else:
            word.append(octet)
    if quote:
        raise ConfigurationError(f"{where}: a quote is not closed")
    return bytes(word), end


def _escape(content: bytes, position: int, word: bytearray) -> int:
    """
    Read the escape sequence whose backslash stands before C{position}, and append its meaning to
    C{word}.

    @return: the position of its end.
    """
    octet = content[position : position + 1]
    if not octet:
        return position
    if octet in _OCTAL:
        after = _run(content, position, _OCTAL, 3)
        word.append(int(content[position:after], 8) & 0xFF)
        return after
    if octet == b"x":
        after = _run(content, position + 1, _HEXADECIMAL, 2)
        word.append(int(content[position + 1 : after] or b"0", 16))
        return after
    if octet != b"\n":
        word.append(_ESCAPES.get(octet[0], octet[0]))
    return position + 1


def _run(content: bytes, position: int, digits: bytes, most: int) -> int:
    """
    Return the end of the digits that begin at C{position}; at most C{most} of them are counted.
    """
    after = position
    while after < min(position + most, len(content)) and content[after] in digits:
        after += 1
    return after
