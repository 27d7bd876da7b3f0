"""
Tests for what control protocols have agreed on, in words.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.interfaces import AgreedOption, Agreement
from pptpgw.networks.ethernet import bcp
from pptpgw.ppp.decode.frame import Decoder
from pptpgw.ppp.decode.words import Words
from pptpgw.ppp.wire import ppp
from tests.ppp.decode.pppd import DECODER

Octets = list[tuple[int, bytes]]


def agreed(
    control: int, ours: Octets, peers: Octets, decoder: Decoder = DECODER
) -> list[AgreedOption]:
    """
    Return the options of an agreement in words.
    """
    agreement = Agreement(control, ppp.encodeOptions(ours), ppp.encodeOptions(peers))
    return list(decoder.agreed(agreement).options)


def test_LCP() -> None:
    """
    Each option is there once, with the values of both requests.
    """
    ours = [(1, b"\x05\x78"), (3, b"\xc2\x23\x81"), (5, b"\1\2\3\4"), (7, b"")]
    peers = [(2, bytes(4)), (5, b"\5\6\7\x08"), (7, b""), (8, b"")]
    assert agreed(ppp.LCP, ours, peers) == [
        (1, "mru", ["1400"], ()),
        (3, "auth", ["chap MS-v2"], ()),
        (5, "magic", ["0x1020304"], ["0x5060708"]),
        (7, "pcomp", [""], [""]),
        (2, "asyncmap", (), ["0x0"]),
        (8, "accomp", (), [""]),
    ]


@pytest.mark.parametrize(
    ("control", "name", "option", "words"),
    [
        (ppp.LCP, "LCP", (17, b"\x05\xdc"), (17, "mrru", ["1500"])),
        (ppp.CCP, "CCP", (18, b"\1\0\0\x40"), (18, "mppe", ["+H -M +S -L -D -C"])),
        (ppp.IPCP, "IPCP", (3, b"\x0a\x4d\0\1"), (3, "addr", ["10.77.0.1"])),
        (ppp.IPCP, "IPCP", (129, b"\x0a\x4d\0\x35"), (129, "ms-dns1", ["10.77.0.53"])),
        (ppp.IPV6CP, "IPV6CP", (1, bytes(7) + b"\1"), (1, "addr", ["fe80::0000:0000:0000:0001"])),
        (ppp.IPXCP, "IPXCP", (1, b"\x77\0\0\0"), (1, "network", ["77000000"])),
        (ppp.BCP, "BCP", (8, b"\1"), (8, "tagged", ["on"])),
        # Without words.
        (ppp.IPCP, "IPCP", (9, b"\1\xff"), (9, "option 9", ["01 ff"])),
        (ppp.LCP, "LCP", (1, b"\1"), (1, "option 1", ["01"])),
        (0x80F1, "proto=0x80f1", (1, b""), (1, "option 1", [""])),
    ],
)
def test_theWordsOfEachProtocol(
    control: int, name: str, option: tuple[int, bytes], words: tuple[int, str, list[str]]
) -> None:
    decoder = Decoder({**DECODER._words, ppp.BCP: bcp.WORDS})
    agreement = Agreement(control, b"", ppp.encodeOptions([option]))
    found = decoder.agreed(agreement)
    assert (found.name, found.control) == (name, control)
    number, word, values = words
    assert found.options == [(number, word, (), values)]


def test_anOptionThatIsThereSeveralTimes() -> None:
    peers = [(4, b"\0\2"), (4, b"\0\4")]
    assert agreed(ppp.IPXCP, [], peers) == [(4, "router", (), ["proto 2", "proto 4"])]


def test_theWordsOfAPlugin() -> None:
    """
    They may fail, or write what isn't ASCII.
    """

    def fail(value: bytes) -> str:
        raise ValueError("broken words")

    words = Words("XCP", {1: fail, 2: lambda value: "größe 1\n2"})
    options = agreed(0x80F1, [(1, b"\1"), (2, b"")], [], Decoder({0x80F1: words}))
    assert options == [(1, "option 1", ["01"], ()), (2, "gr??e", ["1?2"], ())]


@given(
    st.sampled_from([ppp.LCP, ppp.CCP, ppp.IPCP, ppp.IPV6CP, ppp.IPXCP, 0x80F1]),
    *[st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=253)), max_size=6)] * 2,
)
def test_anyOptions(control: int, ours: Octets, peers: Octets) -> None:
    """
    No option is left out, and every text is printable.
    """
    options = agreed(control, ours, peers)
    assert [one.type for one in options] == list(dict.fromkeys(type for type, _ in ours + peers))
    for one in options:
        assert len(one.ours) == [type for type, _ in ours].count(one.type)
        assert len(one.peers) == [type for type, _ in peers].count(one.type)
        for text in (one.name, *one.ours, *one.peers):
            assert text.isascii() and text.isprintable()
        assert one.name
