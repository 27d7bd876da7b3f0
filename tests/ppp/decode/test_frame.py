"""
Tests for L{pptpgw.ppp.decode}, with the texts that pppd prints for the same frames, and with
arbitrary octets.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.networks.ethernet import bcp
from pptpgw.networks.mpls import mplscp
from pptpgw.ppp.decode.frame import LONGEST, Decoder
from pptpgw.ppp.decode.words import Words
from pptpgw.ppp.wire import ppp
from tests.ppp.decode.pppd import DECODER, hiding, recorded

PASSWORD = b"open sesame"

protocols = st.sampled_from(
    [
        *sorted(ppp.AUTHENTICATION),
        ppp.LCP,
        ppp.CCP,
        ppp.CBCP,
        ppp.IPCP,
        ppp.IPV6CP,
        ppp.IPXCP,
        ppp.BCP,
        0x8053,
    ]
) | st.integers(0, 0xFFFF)
packets = st.builds(
    lambda code, identifier, data: ppp.encodePacket(code, identifier, data),
    st.integers(0, 20),
    st.integers(0, 255),
    st.binary(max_size=300)
    | st.lists(st.tuples(st.integers(0, 30), st.binary(max_size=12)), max_size=8).map(
        ppp.encodeOptions
    ),
)

ALL = Decoder({**DECODER._words, ppp.BCP: bcp.WORDS, ppp.MPLSCP: mplscp.WORDS})


@pytest.mark.parametrize(("protocol", "information", "text"), recorded())
def test_theTextIsThatOfPppd(protocol: int, information: bytes, text: str) -> None:
    assert DECODER.text(protocol, information) == hiding(text)


@given(protocols, packets | st.binary(max_size=1600), st.integers(0, 100))
def test_anyOctetsGiveAPrintableTextOfLimitedLength(
    protocol: int, information: bytes, missing: int
) -> None:
    text = ALL.text(protocol, information, len(information) + missing)
    assert text.isascii() and text.isprintable()
    assert len(text) <= LONGEST


@pytest.mark.parametrize(
    ("protocol", "packet"),
    [
        (ppp.PAP, ppp.encodePacket(1, 1, b"\x05alice\x0b" + PASSWORD)),
        # Cut off, longer than it says, in octets after the packet, and with another code.
        (ppp.PAP, ppp.encodePacket(1, 1, b"\x05alice\x0c" + PASSWORD)),
        (ppp.PAP, ppp.encodePacket(1, 1, b"\x05alice\x00" + PASSWORD)),
        (ppp.PAP, ppp.encodePacket(1, 1, b"\xffalice\x0c" + PASSWORD)),
        (ppp.PAP, ppp.encodePacket(1, 1, b"\x05alice\x00") + PASSWORD),
        (ppp.PAP, ppp.encodePacket(9, 1, PASSWORD)),
        (ppp.PAP, b"\x01\x01\x00\x03" + PASSWORD),
        (ppp.CHAP, ppp.encodePacket(2, 1, b"\x0b" + PASSWORD + b"alice")),
        (ppp.CHAP, ppp.encodePacket(2, 1, b"\xff" + PASSWORD + b"alice")),
        (ppp.CHAP, ppp.encodePacket(7, 1, PASSWORD)),
        (ppp.EAP, ppp.encodePacket(2, 1, b"\x04\x0b" + PASSWORD + b"alice")),
        (ppp.EAP, ppp.encodePacket(2, 1, b"\x06" + PASSWORD)),
        (ppp.EAP, ppp.encodePacket(2, 1, b"\x1a\x02\x01\x00\x20\x0b" + PASSWORD + b"alice")),
        (ppp.EAP, ppp.encodePacket(2, 1, b"\x1a\x07\x01\x00\x20\x0b" + PASSWORD)),
        (ppp.EAP, ppp.encodePacket(2, 1, b"\x0d\x80" + PASSWORD)),
        (ppp.SPAP, ppp.encodePacket(1, 1, PASSWORD)),
        (0x8053, ppp.encodePacket(1, 1, ppp.encodeOptions([(1, PASSWORD)]))),
        (ppp.LCP, ppp.encodePacket(8, 1, b"\xc0\x23\x01\x01\x00\x20" + PASSWORD)),
        (ppp.LCP, ppp.encodePacket(8, 1, b"\xc2\x23\x02\x01\x00\x20" + PASSWORD)),
    ],
)
def test_secretsAreHidden(protocol: int, packet: bytes) -> None:
    text = ALL.text(protocol, packet)
    assert PASSWORD.decode() not in text
    assert PASSWORD.hex(" ")[:11] not in text
    assert "hidden>" in text


def test_theProofsOfMSCHAPv2AreHidden() -> None:
    proof = b"0123456789ABCDEF0123456789ABCDEF01234567"
    success = ppp.encodePacket(3, 1, b"S=" + proof + b" M=Welcome")
    assert ALL.text(ppp.CHAP, success) == '[CHAP Success id=0x1 "S=<40 hidden> M=Welcome"]'
    eap = ppp.encodePacket(1, 1, b"\x1a\x03\x01\x00\x33S=" + proof)
    assert ALL.text(ppp.EAP, eap) == (
        '[EAP Request id=0x1 MSCHAPv2 Success <Message "S=<40 hidden>">]'
    )


def test_aFrameThatWasCutIsShownAsFarAsItIsThere() -> None:
    whole = ppp.encodePacket(1, 1, ppp.encodeOptions([(1, b"\x05\x78"), (5, b"\x01\x02\x03\x04")]))
    assert DECODER.text(ppp.LCP, whole) == "[LCP ConfReq id=0x1 <mru 1400> <magic 0x1020304>]"
    assert DECODER.text(ppp.LCP, whole[:10], len(whole)) == (
        "[LCP ConfReq id=0x1 <mru 1400> 05 06 ...]"
    )
    assert DECODER.text(ppp.LCP, whole[:3], len(whole)) == "[LCP] 01 01 00 ..."


def test_protocolsThatPppdDoesNotKnow() -> None:
    options = [(3, b"\1"), (4, b"\1"), (6, b"\2\0\0\0\0\1"), (7, b"\1"), (8, b"\2"), (9, b"")]
    packet = ppp.encodePacket(1, 1, ppp.encodeOptions([*options, (10, b""), (11, b"\xff")]))
    assert ALL.text(ppp.BCP, packet) == (
        "[BCP ConfReq id=0x1 <mac-type ethernet> <tinygram on> <mac 02:00:00:00:00:01> "
        "<spanning-tree 802.1D> <tagged off> <inline> <bpdu-mark> < 0b 03 ff>]"
    )
    assert ALL.text(ppp.MPLSCP, ppp.encodePacket(2, 7)) == "[MPLSCP ConfAck id=0x7]"
    assert (
        ALL.text(0x8029, ppp.encodePacket(1, 1, b"\1\3\2")) == "[ATCP ConfReq id=0x1 < 01 03 02>]"
    )
    assert ALL.text(0x80C3, ppp.encodePacket(5, 1, b"bye")) == '[proto=0x80c3 TermReq id=0x1 "bye"]'
    assert ALL.text(0x00FD, b"\x90\1abc") == "[proto=0xfd] 90 01 61 62 63"


@pytest.mark.parametrize(
    ("packet", "text"),
    [
        (
            "0107000c 0102 0303 05 0203 00",
            "[CBCP Request id=0x7 <NoCallback> <AdminDefined delay 5> <UserDefined delay 0>]",
        ),
        (
            "0208000f 020b 0c 01 35353531323300",
            '[CBCP Response id=0x8 <UserDefined delay 12 number "555123">]',
        ),
        (
            "03090015 040f 00 01 353500 01 3600 02 aabbccdd 0702",
            '[CBCP Ack id=0x9 <List delay 0 number "55" number "6" 02 aa bb cc dd> <kind 0x7>]',
        ),
        ("040a0006 0105", "[CBCP code=0x4 id=0xa 01 05]"),
    ],
)
def test_callback(packet: str, text: str) -> None:
    assert ALL.text(ppp.CBCP, bytes.fromhex(packet)) == text


def test_wordsOfAPluginCanNotDoHarm() -> None:
    def fail(value: bytes) -> str:
        raise ZeroDivisionError

    decoder = Decoder({0x80C3: Words("evil\n", {1: fail, 2: lambda value: "\x1b[2J\u202e" * 2000})})
    packet = ppp.encodePacket(1, 1, b"\1\2\2\2")
    text = decoder.text(0x80C3, packet)
    assert text.startswith("[evil? ConfReq id=0x1 < 01 02> <?[2J??[2J?")
    assert len(text) == LONGEST
