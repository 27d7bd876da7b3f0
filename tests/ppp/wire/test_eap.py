"""
Tests for the packets of EAP: the octets that the RFCs give, what scapy reads, and malformed
packets.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.eap import EAP, EAP_MD5, EAP_TLS

from pptpgw.error import Malformed
from pptpgw.ppp.wire import eap
from pptpgw.ppp.wire.eap import (
    EAPFailure,
    EAPRequest,
    EAPResponse,
    EAPSuccess,
    Fragment,
    Method,
    Nak,
)

EXPANDED = Method(0x01020304, 0xABCDEF)

identifiers = st.integers(0, 255)
methods = st.one_of(
    st.integers(0, 0xFFFFFFFF).filter(lambda number: number != 3).map(Method),
    st.builds(Method, st.integers(0, 0xFFFFFFFF), st.integers(1, 0xFFFFFF)),
)
short = st.integers(1, 255).map(Method)
long = st.builds(Method, st.integers(1, 0xFFFFFFFF), st.integers(0, 0xFFFFFF))
packets = st.one_of(
    st.builds(EAPRequest, identifiers, methods, st.binary(max_size=40)),
    st.builds(EAPResponse, identifiers, methods, st.binary(max_size=40)),
    st.builds(Nak, identifiers, st.lists(short, max_size=5).map(tuple)),
    st.builds(Nak, identifiers, st.lists(long, max_size=5).map(tuple), st.just(True)),
    st.builds(EAPSuccess, identifiers),
    st.builds(EAPFailure, identifiers),
)


class TestPackets:
    @pytest.mark.parametrize(
        ("packet", "octets"),
        [
            (EAPRequest(7, eap.IDENTITY, b"who"), "01 07 0008 01 77686f"),
            (EAPResponse(7, eap.IDENTITY, b"alice"), "02 07 000a 01 616c696365"),
            (EAPRequest(0, eap.MD5_CHALLENGE, b"\1x"), "01 00 0007 04 0178"),
            (Nak(9, (Method(13), Method(26))), "02 09 0007 03 0d1a"),
            (Nak(9, ()), "02 09 0006 03 00"),
            (Nak(9, (EXPANDED,), True), "02 09 0014 fe00000000000003 feabcdef01020304"),
            (Nak(9, (), True), "02 09 0014 fe00000000000003 fe00000000000000"),
            (EAPRequest(1, EXPANDED, b"!"), "01 01 000d fe abcdef 01020304 21"),
            (EAPSuccess(255), "03 ff 0004"),
            (EAPFailure(0), "04 00 0004"),
        ],
    )
    def test_theOctetsOfEach(self, packet: eap.Packet, octets: str) -> None:
        """
        The octets of each packet are those of RFC 3748 sections 4 and 5.
        """
        assert packet.encode() == bytes.fromhex(octets)
        assert eap.decode(packet.encode()) == packet

    @given(packets)
    def test_whatIsBuiltIsReadAgain(self, packet: eap.Packet) -> None:
        assert eap.decode(packet.encode()) == packet

    def test_scapyReadsTheSame(self) -> None:
        read = EAP(EAPResponse(3, eap.IDENTITY, b"bob").encode())
        assert (read.code, read.id, read.type, read.identity) == (2, 3, 1, b"bob")
        read = EAP(EAPRequest(4, eap.MD5_CHALLENGE, b"\4abcdgate").encode())
        assert isinstance(read, EAP_MD5)
        assert (read.value, read.optional_name) == (b"abcd", b"gate")
        read = EAP(EAPRequest(5, eap.TLS, Fragment(b"xyz", 300, more=True).encode()).encode())
        assert isinstance(read, EAP_TLS)
        assert (read.L, read.M, read.S, read.tls_message_len) == (1, 1, 0, 300)
        assert EAP(Nak(6, (Method(13), Method(25))).encode()).desired_auth_types == [13, 25]

    def test_paddingIsLeftOut(self) -> None:
        """
        Octets behind the packet's length are ignored, as they are padding of the data link (section
        4).
        """
        assert eap.decode(EAPSuccess(1).encode() + b"padding") == EAPSuccess(1)

    def test_aMethodOfTheInternetsInTheExpandedFormIsTheSame(self) -> None:
        """
        A method of the IETF in the expanded form is the same method (section 5.7).
        """
        assert eap.decode(bytes.fromhex("01 02 000d fe 000000 00000004 21")) == EAPRequest(
            2, eap.MD5_CHALLENGE, b"!"
        )

    def test_zeroInANakWantsNothing(self) -> None:
        """
        A zero in a Nak means that the peer wants no method (section 5.3.1).
        """
        assert eap.decode(bytes.fromhex("02 09 0007 03 0004")) == Nak(9, (Method(4),))

    @pytest.mark.parametrize(
        "octets",
        [
            "",
            "01 00 00",
            "01 00 0003 01",
            "01 00 0009 01 61",  # A length beyond the end.
            "01 00 0004",  # No type.
            "02 00 0004",
            "00 00 0005 01",  # Unknown codes.
            "05 00 0005 01",
            "03 00 0005 01",  # Octets after a Success or a Failure (section 4.2).
            "01 00 0006 03 04",  # A Request with type 3: authenticators send no Nak.
            "01 00 000c fe 000000 00000003",
            "01 00 000b fe 000000 000000",  # A truncated expanded type.
            "02 00 000d fe 000000 00000003 04",  # An Expanded Nak of one octet.
            "02 00 0010 fe 000000 00000003 fe000000",
        ],
    )
    def test_whatIsNone(self, octets: str) -> None:
        with pytest.raises(Malformed):
            eap.decode(bytes.fromhex(octets))

    @given(st.binary(max_size=60))
    def test_anyOctetsAtAll(self, octets: bytes) -> None:
        try:
            packet = eap.decode(octets)
        except Malformed:
            return
        assert eap.decode(packet.encode()) == packet

    @given(st.binary(max_size=30), st.sampled_from([1, 2]), st.sampled_from([3, 254]))
    def test_anyNakAtAll(self, octets: bytes, code: int, method: int) -> None:
        length = (5 + len(octets)).to_bytes(2, "big")
        try:
            packet = eap.decode(bytes((code, 0)) + length + bytes((method,)) + octets)
        except Malformed:
            return
        assert eap.decode(packet.encode()) == packet

    @pytest.mark.parametrize("code", [1, 2])
    @pytest.mark.parametrize("type_", [3, 4, 254])
    def test_theLongestThereIs(self, code: int, type_: int) -> None:
        octets = bytes((code, 0, 0xFF, 0xFF, type_)) + bytes((254,)) * 65530
        try:
            packet = eap.decode(octets)
        except Malformed:
            return
        assert eap.decode(packet.encode()) == packet

    def test_whatCannotBeBuilt(self) -> None:
        for wrong in (
            lambda: EAPRequest(256, eap.IDENTITY),
            lambda: EAPSuccess(-1),
            lambda: EAPResponse(0, Method(3)),
            lambda: EAPRequest(0, Method(1 << 32, 1)),
            lambda: EAPRequest(0, Method(1, 1 << 24)),
            lambda: EAPRequest(0, eap.IDENTITY, bytes(65530)),
            lambda: Nak(0, (Method(0),)),
            lambda: Nak(0, (Method(1, 1),)),
            lambda: Nak(0, (Method(256),)),
            lambda: Nak(0, (Method(1, 1 << 24),), True),
            lambda: Nak(0, (Method(4),) * 65531),
            lambda: Fragment(total=1 << 32),
        ):
            with pytest.raises(ValueError):
                wrong()

    def test_whatIsSecretIsNotShown(self) -> None:
        assert "sesame" not in repr(EAPResponse(1, Method(6), b"sesame"))


class TestFragments:
    @pytest.mark.parametrize(
        ("fragment", "octets"),
        [
            (Fragment(start=True), "20"),
            (Fragment(), "00"),
            (Fragment(b"ab", 5, more=True), "c0 00000005 6162"),
            (Fragment(b"ab", more=True), "40 6162"),
            (Fragment(b"e"), "00 65"),
            (Fragment(b"", 0), "80 00000000"),
        ],
    )
    def test_theOctetsOfEach(self, fragment: Fragment, octets: str) -> None:
        """
        The octets of each fragment are those of RFC 5216 sections 3.1 and 3.2.
        """
        assert fragment.encode() == bytes.fromhex(octets)
        assert Fragment.decode(fragment.encode()) == fragment

    @given(
        st.builds(
            Fragment,
            st.binary(max_size=20),
            st.none() | st.integers(0, 0xFFFFFFFF),
            st.booleans(),
            st.booleans(),
        )
    )
    def test_whatIsBuiltIsReadAgain(self, fragment: Fragment) -> None:
        assert Fragment.decode(fragment.encode()) == fragment

    def test_nothingAtAllIsAnAcknowledgement(self) -> None:
        assert Fragment.decode(b"") == Fragment()

    def test_reservedFlagsAreNotLookedAt(self) -> None:
        assert Fragment.decode(b"\x1fab") == Fragment(b"ab")

    @pytest.mark.parametrize("octets", ["80", "c0 0000", "80 000000"])
    def test_aLengthThatIsCutOff(self, octets: str) -> None:
        with pytest.raises(Malformed):
            Fragment.decode(bytes.fromhex(octets))
