"""
Tests for L{pptpgw.tunnels.pptp.wire.gre}.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.l2 import GRE_PPTP

from pptpgw.error import Malformed
from pptpgw.tunnels.pptp.wire.gre import decode, encode

NUMBER = st.integers(0, 0xFFFFFFFF)
CALL_ID = st.integers(0, 0xFFFF)


class TestCodec:
    """
    Tests for whole packets.
    """

    @given(CALL_ID, st.binary(max_size=100), NUMBER, st.none() | NUMBER, st.binary(max_size=9))
    def test_roundTrip(
        self, callID: int, payload: bytes, sequence: int, acknowledgement: int | None, rest: bytes
    ) -> None:
        octets = encode(callID, payload, sequence, acknowledgement)
        assert decode(octets + rest) == (callID, payload, sequence, acknowledgement)

    @given(CALL_ID, NUMBER)
    def test_acknowledgementAlone(self, callID: int, acknowledgement: int) -> None:
        octets = encode(callID, acknowledgement=acknowledgement)
        assert len(octets) == 12
        assert decode(octets) == (callID, b"", None, acknowledgement)

    @given(st.binary(max_size=60))
    def test_arbitraryOctets(self, octets: bytes) -> None:
        try:
            decode(octets)
        except Malformed:
            pass

    @given(
        st.sampled_from([0x3001, 0x3081, 0x2081, 0x2001]),
        st.integers(0, 20),
        st.binary(max_size=30),
    )
    def test_nearlyRight(self, flags: int, length: int, rest: bytes) -> None:
        octets = flags.to_bytes(2, "big") + b"\x88\x0b" + length.to_bytes(2, "big") + rest
        try:
            _, payload, _, _ = decode(octets)
        except Malformed:
            return
        assert len(payload) in (0, length)

    def test_asAnotherSeesIt(self) -> None:
        both = GRE_PPTP(encode(0x1234, b"\xff\x03\xc0\x21", 5, 0xFFFFFFFF))
        assert (both.call_id, both.sequence_number, both.ack_number) == (0x1234, 5, 0xFFFFFFFF)
        assert (both.payload_len, both.acknum_present, both.version) == (4, 1, 1)
        alone = GRE_PPTP(encode(1, acknowledgement=7))
        assert (alone.payload_len, alone.seqnum_present, alone.ack_number) == (0, 0, 7)

    @pytest.mark.parametrize(
        "octets",
        [
            b"",
            encode(1, b"abcd", 1)[:-1],
            encode(1, b"", 1, 1)[:-1],
            encode(1, acknowledgement=1)[:-1],
            b"\xb0" + encode(1, b"a", 1)[1:],
            b"\x30\x00" + encode(1, b"a", 1)[2:],
            b"\x31" + encode(1, b"a", 1)[1:],
            b"\x10" + encode(1, b"a", 1)[1:],
            encode(1, b"a", 1)[:2] + b"\x08\x00" + encode(1, b"a", 1)[4:],
        ],
    )
    def test_malformed(self, octets: bytes) -> None:
        with pytest.raises(Malformed):
            decode(octets)

    def test_whatCannotBe(self) -> None:
        with pytest.raises(ValueError):
            encode(1)
        with pytest.raises(ValueError):
            encode(1, b"a", acknowledgement=1)
        with pytest.raises(ValueError):
            encode(1, bytes(0x10000), 1)
