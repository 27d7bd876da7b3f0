"""
Tests for L{pptpgw.ppp.wire.ppp}.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.ppp import (
    PPP,
    PPP_LCP_ACCM_Option,
    PPP_LCP_Auth_Protocol_Option,
    PPP_LCP_Configure,
    PPP_LCP_Magic_Number_Option,
    PPP_LCP_MRU_Option,
    PPP_LCP_Option,
)

from pptpgw.error import Malformed
from pptpgw.ppp.wire import ppp
from tests.octets import encodeFrame

protocols = st.tuples(st.integers(0, 127), st.integers(0, 127)).map(
    lambda halves: halves[0] << 9 | halves[1] << 1 | 1
)
octets = st.integers(0, 255)
options = st.lists(st.tuples(octets, st.binary(max_size=253)), max_size=8)


@given(protocols, st.binary(max_size=64), st.booleans(), st.booleans())
def test_frameRoundTrip(protocol: int, information: bytes, acfc: bool, pfc: bool) -> None:
    """
    An encoded frame is decoded to the same, with or without field compression. The protocol 0xff
    isn't tried, as its compressed form looks like an address, and nobody assigns it.
    """
    if protocol == 0xFF:
        return
    frame = encodeFrame(protocol, information, acfc, pfc)
    assert ppp.decodeFrame(frame) == (protocol, information)


@given(octets, octets, st.binary(max_size=300), st.binary(max_size=8))
def test_packetRoundTrip(code: int, identifier: int, data: bytes, padding: bytes) -> None:
    """
    An encoded packet is decoded to the same, without its padding.
    """
    packet = ppp.encodePacket(code, identifier, data)
    assert ppp.decodePacket(packet + padding) == (code, identifier, data)


@given(options)
def test_optionsRoundTrip(some: list[tuple[int, bytes]]) -> None:
    """
    Encoded options are decoded in their order.
    """
    assert ppp.decodeOptions(ppp.encodeOptions(some)) == some


@given(st.binary(max_size=64))
def test_arbitraryOctets(some: bytes) -> None:
    """
    Arbitrary octets are decoded or raise L{Malformed}, and nothing else. Options that are decoded
    have the same octets when they are encoded again.
    """
    for decode in (ppp.decodeFrame, ppp.decodePacket):
        try:
            decode(some)
        except Malformed:
            pass
    try:
        decoded = ppp.decodeOptions(some)
    except Malformed:
        return
    assert ppp.encodeOptions(decoded) == some


@pytest.mark.parametrize(
    ("frame", "protocol"),
    [
        ("ff03c02101", ppp.LCP),
        ("c02101", ppp.LCP),
        ("ff03002101", ppp.IPV4),
        ("002101", ppp.IPV4),
        ("ff032101", ppp.IPV4),
        ("2101", ppp.IPV4),
    ],
)
def test_fieldCompression(frame: str, protocol: int) -> None:
    """
    A frame is decoded without the address and control fields and without the leading zero of its
    protocol number.
    """
    assert ppp.decodeFrame(bytes.fromhex(frame)) == (protocol, b"\x01")


def test_compressionSent() -> None:
    """
    Packets are sent with both compressions, and LCP's with neither.
    """
    assert encodeFrame(ppp.IPV4, b"x", acfc=True, pfc=True) == b"\x21x"
    assert encodeFrame(ppp.IPCP, b"x", acfc=True, pfc=True) == b"\x80\x21x"
    assert encodeFrame(ppp.LCP, b"x", acfc=True, pfc=True) == b"\xff\x03\xc0\x21x"


@pytest.mark.parametrize("frame", ["", "ff03", "ff03c0", "c0", "0020", "ff03c020"])
def test_noProtocol(frame: str) -> None:
    """
    A frame that is too short for a protocol number, or whose protocol number is even, is malformed.
    """
    with pytest.raises(Malformed):
        ppp.decodeFrame(bytes.fromhex(frame))


@pytest.mark.parametrize("packet", ["", "010100", "01010003", "01010005", "01010006aa"])
def test_packetLength(packet: str) -> None:
    """
    A packet with a length below 4 or past the end is malformed.
    """
    with pytest.raises(Malformed):
        ppp.decodePacket(bytes.fromhex(packet))


@pytest.mark.parametrize("some", ["01", "0100", "0101", "010405", "010405780506000000"])
def test_optionLength(some: str) -> None:
    """
    An option with a length below 2 or past the end is malformed.
    """
    with pytest.raises(Malformed):
        ppp.decodeOptions(bytes.fromhex(some))


def test_scapyAgrees() -> None:
    """
    An LCP Configure-Request has the same octets as scapy's.
    """
    theirs = PPP() / PPP_LCP_Configure(
        id=7,
        options=[
            PPP_LCP_MRU_Option(max_recv_unit=1400),
            PPP_LCP_ACCM_Option(accm=0),
            PPP_LCP_Auth_Protocol_Option(auth_protocol=0xC223, algorithm=0x81),
            PPP_LCP_Magic_Number_Option(magic_number=0x01020304),
            PPP_LCP_Option(type=7),
            PPP_LCP_Option(type=8),
        ],
    )
    ours = ppp.encodeOptions(
        [
            (1, b"\x05\x78"),
            (2, bytes(4)),
            (3, b"\xc2\x23\x81"),
            (5, b"\x01\x02\x03\x04"),
            (7, b""),
            (8, b""),
        ]
    )
    frame = encodeFrame(ppp.LCP, ppp.encodePacket(ppp.CONFIGURE_REQUEST, 7, ours))
    assert ppp.decodeFrame(frame) == ppp.decodeFrame(bytes(theirs))
    protocol, information = ppp.decodeFrame(bytes(theirs))
    assert (protocol, ppp.decodePacket(information)) == (ppp.LCP, (1, 7, ours))
