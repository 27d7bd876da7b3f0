"""
Tests for the format of pppd's chap-secrets. What pppd makes of each word was tried with pppd 2.4.9.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.auth.chapsecrets import Secret, parse
from pptpgw.config.kind import NO_UNICAST
from pptpgw.error import ConfigurationError


def found(content: bytes, client: bytes = b"user", server: bytes = b"gw") -> Secret:
    """
    The only line of C{content} for C{client}.
    """
    secret = parse(content, "file").find(client, server)
    assert secret is not None
    return secret


@pytest.mark.parametrize(
    ("word", "secret"),
    [
        (b"plain", b"plain"),
        (b'"two words"', b"two words"),
        (b"'it is \"so\"'", b'it is "so"'),
        (b'""', b""),
        (b"''", b""),
        (b'"a""b"', b"ab"),
        (b'a"b c"d', b"ab cd"),
        (b"a\\ b", b"a b"),
        (b"a\\sb", b"a b"),
        (b"'a\\'b'", b"a'b"),
        (b'"a \\" b"', b'a " b'),
        (b"\\#x", b"#x"),
        (b'"a # b"', b"a # b"),
        (b"a#b", b"a"),
        (b"x # y", b"x"),
        (b"\\x414\\1012", b"A4A2"),
        (b"\\x4g", b"\x04g"),
        (b'"a\\xfz"', b"a\x0fz"),
        (b"a\\777b", b"a\xffb"),
        (b"a\\nb\\tc\\ac", b"a\nb\tc\ac"),
        (b"\\e\\c", b"ec"),
        (b"a\\\nb", b"ab"),
        (b'"a\nb"', b"a\nb"),
        (b"\\\n  word", b"word"),
        (b"stra\xc3\x9fe", b"stra\xc3\x9fe"),
        (b"a\\", b"a"),
        (b"@word", b"@word"),
    ],
)
def test_words(word: bytes, secret: bytes) -> None:
    """
    Quotes, escapes, comments and continued lines are read as pppd reads them.
    """
    assert found(b"user gw " + word).secret == secret


def test_lines() -> None:
    """
    Comments, empty lines and blanks may stand between the lines, and the last line needs no end.
    """
    content = b"# all\n\n \t \nuser gw one # two\n  other\tgw   two 10.0.0.1\r\nthird * three"
    assert found(content).secret == b"one"
    assert found(content, b"other").addresses == (IPv4Network("10.0.0.1/32"),)
    assert found(content, b"third").secret == b"three"


def test_quotedNames() -> None:
    """
    A quoted name may have blanks and backslashes.
    """
    assert found(b'"a user" gw pw', b"a user").secret == b"pw"
    assert found(b"BIGCO\\\\joe gw pw", b"BIGCO\\joe").secret == b"pw"


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"user gw 1\n* * 2", b"1"),
        (b"* * 2\nuser gw 1", b"1"),
        (b"user * 1\n* gw 2", b"1"),
        (b"* gw 2\nuser * 1", b"1"),
        (b"user * 1\nuser gw 2", b"2"),
        (b"* * 1\n* gw 2", b"2"),
        (b"user gw 1\nuser gw 2", b"1"),
        (b"other gw 1\n* gw 2", b"2"),
        (b"user other 1\n* * 2", b"2"),
    ],
)
def test_bestMatch(content: bytes, secret: bytes) -> None:
    """
    The line with the fewest wildcards applies. The client's name counts before the server's, and
    the first of equal lines applies.
    """
    assert found(content).secret == secret


def test_noMatch() -> None:
    """
    Names are compared octet by octet, and a line for another server doesn't apply.
    """
    secrets = parse(b"user other pw\nUser gw pw\n", "file")
    assert secrets.find(b"user", b"gw") is None
    assert secrets.find(b"", b"gw") is None
    assert secrets.find(b"*", b"gw") is None
    assert parse(b"", "file").find(b"user", b"gw") is None


@pytest.mark.parametrize(
    ("words", "addresses"),
    [
        (b"", None),
        (b"*", None),
        (b"* 10.0.0.1", None),
        (b"-", ()),
        (b"- 10.0.0.1", ()),
        (b"10.0.0.1", ("10.0.0.1/32",)),
        (b"10.0.0.9 10.0.0.1", ("10.0.0.9/32", "10.0.0.1/32")),
        (b"10.0.0.9/30", ("10.0.0.8/30",)),
        (b"!10.0.0.8 10.0.0.8/30", ("10.0.0.9/32", "10.0.0.10/31")),
        (b"!10.0.0.0/24 10.0.0.8/30", ()),
        (b"!10.0.0.1 10.0.1.0/24", ("10.0.1.0/24",)),
        (b"10.0.0.8/30 !10.0.0.8", ("10.0.0.8/30",)),
        (b"!10.0.0.1", ()),
    ],
)
def test_addresses(words: bytes, addresses: tuple[str, ...] | None) -> None:
    """
    The address words of a line permit these networks.
    """
    expected = None if addresses is None else tuple(map(IPv4Network, addresses))
    assert found(b"user gw pw " + words).addresses == expected


def test_excludedFromEverything() -> None:
    """
    A line that excludes one address permits every other.
    """
    addresses = found(b"user gw pw !10.0.0.1 *").addresses
    assert addresses is not None
    assert not any(IPv4Address("10.0.0.1") in network for network in addresses)
    # Addresses that no host can have are excluded too.
    assert sum(network.num_addresses for network in addresses) == 222 * 2**24 - 1
    assert not any(network.overlaps(other) for network in addresses for other in NO_UNICAST)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"user gw pw\n\nuser gw", "file, line 3: 2 words"),
        (b"user\n", "file, line 1: 1 words"),
        (b"a b c\n'' gw pw", "file, line 2: the client's name is empty"),
        (b"a b @/etc/secret", "file, line 1: a secret kept in another file"),
        (b"a b c host.example", "file, line 1: 'host.example' as an address"),
        (b"a b c 10.0.0.0/24+", "file, line 1: '10.0.0.0/24+' as an address"),
        (b"a b c 10.0.0.0/33", "file, line 1: '10.0.0.0/33' as an address"),
        (b"a b c -- opt", "file, line 1: '--' as an address"),
        (b"a b c ::1", "file, line 1: '::1' as an address"),
        (b'a b c\n# x\na \\\nb "c d\n', "file, line 4: a quote is not closed"),
        (b'"a\nb" c', "file, line 1: 2 words"),
        (b"a b c \xff\xfe", "file, line 1: '\\ufffd\\ufffd' as an address"),
    ],
)
def test_errors(content: bytes, problem: str) -> None:
    """
    The error about an invalid file names the file and the line.
    """
    with pytest.raises(ConfigurationError) as raised:
        parse(content, "file")
    assert str(raised.value).startswith(problem)


def test_secretsAreNotShown() -> None:
    """
    Neither an error nor a representation shows a secret.
    """
    with pytest.raises(ConfigurationError) as raised:
        parse(b"user gw hidden nowhere", "file")
    assert "hidden" not in str(raised.value)
    assert "hidden" not in repr(found(b"user gw hidden"))


def quote(word: bytes) -> bytes:
    """
    C{word}, quoted as one word of the format.
    """
    return b'"' + word.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


words = st.binary(max_size=12).filter(lambda word: not word.startswith(b"@/"))


@given(st.lists(st.tuples(words.filter(bool), words, words), max_size=5))
def test_quotedRoundTrip(lines: list[tuple[bytes, bytes, bytes]]) -> None:
    """
    Any octets that are quoted are read back.
    """
    content = b"\n".join(b" ".join(map(quote, line)) for line in lines)
    secrets = parse(content, "file")
    for client, server, _ in lines:
        secret = secrets.find(client, server)
        assert secret is not None
        assert (secret.client, secret.server, secret.secret) in lines


@given(st.binary(max_size=80) | st.text("ab \"'\\#\n*-!/.01", max_size=60).map(str.encode))
def test_arbitraryOctets(content: bytes) -> None:
    """
    Any octets are parsed or raise L{ConfigurationError}.
    """
    try:
        secrets = parse(content, "file")
    except ConfigurationError:
        return
    secrets.find(b"a", b"b")
