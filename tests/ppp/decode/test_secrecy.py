"""
Tests for L{pptpgw.ppp.decode.secrecy}.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pptpgw.ppp.decode.secrecy import withoutPassword
from pptpgw.ppp.wire import ppp

PASSWORD = b"open sesame"


@pytest.mark.parametrize(
    ("protocol", "packet"),
    [
        (ppp.PAP, ppp.encodePacket(1, 1, b"\x05alice\x0b" + PASSWORD)),
        (ppp.PAP, ppp.encodePacket(1, 1, b"\x00\x0b" + PASSWORD)),
        (ppp.PAP, ppp.encodePacket(1, 1, b"\xffalice\x0b" + PASSWORD)),
        (ppp.PAP, ppp.encodePacket(7, 1, b"\x05alice\x0b" + PASSWORD)),
        (ppp.EAP, ppp.encodePacket(2, 1, b"\x06" + PASSWORD)),
        (ppp.EAP, ppp.encodePacket(2, 1, b"\xfe\0\0\0\0\0\0\1" + PASSWORD)),
        (ppp.SPAP, ppp.encodePacket(1, 1, PASSWORD)),
        (ppp.SHIVA, ppp.encodePacket(1, 1, PASSWORD)),
    ],
)
def test_thePasswordIsCutOff(protocol: int, packet: bytes) -> None:
    kept = withoutPassword(protocol, packet)
    assert packet.startswith(kept) and kept
    assert PASSWORD not in kept


@pytest.mark.parametrize(
    ("protocol", "packet"),
    [
        (ppp.PAP, ppp.encodePacket(3, 1, b"\x07Welcome")),
        (ppp.CHAP, ppp.encodePacket(2, 1, b"\x10" + bytes(16) + b"alice")),
        (ppp.EAP, ppp.encodePacket(2, 1, b"\x01alice")),
        (ppp.EAP, ppp.encodePacket(3, 1)),
    ],
)
def test_othersAreKeptWhole(protocol: int, packet: bytes) -> None:
    assert withoutPassword(protocol, packet) == packet


@given(st.sampled_from(sorted(ppp.AUTHENTICATION)), st.binary(max_size=40))
def test_anyOctets(protocol: int, packet: bytes) -> None:
    assert packet.startswith(withoutPassword(protocol, packet))
