"""
Tests for L{pptpgw.tunnels.l2tp.wire.header}, with scapy's layer as the other opinion.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.l2tp import L2TP

from pptpgw.error import Malformed
from pptpgw.tunnels.l2tp.wire.header import (
    CONTROL_OCTETS,
    ControlHeader,
    DataMessage,
    decodeControl,
    decodeData,
    encodeControl,
    encodeData,
    isControl,
)

U16 = st.integers(0, 0xFFFF)
FRAME = b"\xff\x03\xc0\x21\x09\x01\x00\x08abcd"


@given(U16, U16, U16, U16, st.binary(max_size=40))
def test_controlMessages(tunnel: int, session: int, sent: int, expected: int, body: bytes) -> None:
    """
    A control message decodes to what was encoded, and to what scapy reads.
    """
    header = ControlHeader(tunnel, session, sent, expected)
    octets = encodeControl(header, body)
    assert isControl(octets)
    assert decodeControl(octets) == (header, body)
    # What stands behind the length is ignored.
    assert decodeControl(octets + b"padding") == (header, body)
    other = L2TP(octets)
    assert (other.tunnel_id, other.session_id, other.ns, other.nr, other.len) == (
        *header,
        len(octets),
    )
    assert octets[:2].hex() == "c802"


@given(U16, U16, st.integers(-1, 0xFFFF), st.binary(max_size=40))
def test_dataMessages(tunnel: int, session: int, sequence: int, frame: bytes) -> None:
    message = DataMessage(tunnel, session, sequence, frame)
    octets = encodeData(message)
    assert not isControl(octets)
    assert decodeData(octets) == message


@pytest.mark.parametrize("flags", ["length", "sequence", "offset", "priority"])
@pytest.mark.parametrize("others", ["", "length+sequence+offset+priority"])
def test_everyFormOfData(flags: str, others: str) -> None:
    """
    Data messages that scapy makes, with each field and with all of them, have the same frame.
    """
    names = "+".join(filter(None, (flags, others)))
    made = L2TP(hdr=names, tunnel_id=7, session_id=9, ns=300, nr=5, offset=3, pad=b"pad")
    octets = bytes(made / FRAME)
    sequence = 300 if "sequence" in names else -1
    if "length" in names:
        octets += b"beyond the length"
    assert decodeData(octets) == DataMessage(7, 9, sequence, FRAME)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\xc8\x02\x00\x0c" + bytes(7),  # Too short.
        b"\xc8\x02\x00\x0b" + bytes(8),  # Its length is below that of the header,
        b"\xc8\x02\x00\x0d" + bytes(8),  # or past the end.
        b"\xc8\x03\x00\x0c" + bytes(8),  # L2TPv3.
        b"\xc8\x01\x00\x0c" + bytes(8),  # L2F.
        b"\x88\x02\x00\x0c" + bytes(8),  # No length,
        b"\xc0\x02\x00\x0c" + bytes(8),  # or no numbers.
        b"\x48\x02\x00\x0c" + bytes(8),  # Data.
    ],
)
def test_noControlMessages(octets: bytes) -> None:
    with pytest.raises(Malformed):
        decodeControl(octets)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\x00\x02\x00\x01\x00",  # Too short.
        b"\x00\x03\x00\x01\x00\x01",  # Another version.
        b"\xc8\x02\x00\x0c" + bytes(8),  # A control message.
        b"\x40\x02\x00\x09\x00\x01\x00\x01",  # Its length is past the end,
        b"\x40\x02\x00\x07\x00\x01\x00\x01",  # or within the header.
        b"\x08\x02\x00\x01\x00\x01\x00\x01",  # No room for the numbers,
        b"\x02\x02\x00\x01\x00\x01\x00",  # or for the offset,
        b"\x02\x02\x00\x01\x00\x01\x00\x01",  # or for what it points past.
    ],
)
def test_noDataMessages(octets: bytes) -> None:
    with pytest.raises(Malformed):
        decodeData(octets)


def test_aZLB() -> None:
    assert len(encodeControl(ControlHeader(1, 0, 2, 3))) == CONTROL_OCTETS


@given(st.binary(max_size=64))
def test_anyOctets(octets: bytes) -> None:
    for decode in (decodeControl, decodeData):
        try:
            decode(octets)
        except Malformed:
            pass
