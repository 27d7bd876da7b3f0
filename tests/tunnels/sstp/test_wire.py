"""
Tests for the packets of SSTP and for its crypto binding, with the examples of [MS-SSTP] section
4.7.
"""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pptpgw.error import Malformed
from pptpgw.ppp.eaptls import startKeys
from pptpgw.ppp.mppe import mschapV2Keys
from pptpgw.tunnels.sstp import binding, wire
from pptpgw.tunnels.sstp.wire import Attribute, CryptoBinding, Kind, Message, Splitter, StatusInfo


def octets(text: str) -> bytes:
    return bytes.fromhex(text)


REQUEST = octets("10 01 00 0E 00 01 00 01 00 01 00 06 00 01")
NONCE = octets(
    "41 2B 48 9A EB D7 EC C7 D0 89 66 F2 6B E7 CD 72 "
    "B2 31 A0 E9 21 0D 7C 91 B3 08 86 2B 03 44 C4 35"
)
ACK = octets("10 01 00 30 00 02 00 01 00 04 00 28 00 00 00 02") + NONCE
CERTIFICATE_HASH = octets(
    "79 93 EF 31 4C 49 3D AC E9 F0 2D 60 E7 E6 1C 84 "
    "B6 69 0A AF E9 D7 AE EA 92 CB BE 8A D5 99 42 2D"
)
CONNECTED = (
    octets("10 01 00 70 00 04 00 01 00 03 00 68 00 00 00 02")
    + NONCE
    + CERTIFICATE_HASH
    + octets("52 A6 8E FD 8C FF BF 52 77 0B 8F 0F E8 EC 73 71")
    + octets("65 83 AF 6D 61 1E B6 D1 79 B3 B2 08 40 98 54 49")
)
KEY = octets(
    "2A 1B B4 0D 55 AB 0F 5E F3 2F 06 F2 B3 CC 73 C4 "
    "8F D3 FA C4 1D 7A 13 15 A1 92 28 D9 02 4C A1 64"
)

SHA1_NONCE = octets(
    "0F 1A 2D 58 D4 A3 E3 00 0F AD 3C E4 90 6E 07 B7 "
    "07 AA 9E 44 1C CE AC 5C BD 7B 2C C1 C9 D8 6C DF"
)
SHA1_HASH = octets("58 26 B6 29 BD A5 9B 8E 6F D8 DC D2 62 2F D3 4C 53 48 05 A5") + bytes(12)
SHA1_CONNECTED = (
    octets("10 01 00 70 00 04 00 01 00 03 00 68 00 00 00 01")
    + SHA1_NONCE
    + SHA1_HASH
    + octets("69 91 5D D5 83 D8 06 2F EF 16 F6 1D B2 F0 32 90 EC 27 CB 6C")
    + bytes(12)
)
SHA1_KEY = octets(
    "4B 31 28 F4 39 25 D9 00 6E EF B1 C4 E8 65 15 A1 "
    "D8 8E 56 BA B3 CA 2B DF 03 73 B7 F5 A8 A1 3B 19"
)

EXAMPLES = [
    (binding.Hash.SHA256, CONNECTED, NONCE, CERTIFICATE_HASH, KEY),
    (binding.Hash.SHA1, SHA1_CONNECTED, SHA1_NONCE, SHA1_HASH, SHA1_KEY),
]


class TestExamples:
    def test_request(self) -> None:
        message = Message(Kind.CALL_CONNECT_REQUEST, (Attribute(1, b"\0\1"),))
        assert message.encode() == REQUEST
        assert wire.decodeMessage(REQUEST) == message

    def test_acknowledgement(self) -> None:
        request = wire.CryptoBindingRequest(binding.Hash.SHA256, NONCE)
        message = Message(Kind.CALL_CONNECT_ACK, (request.encode(),))
        assert message.encode() == ACK
        value = wire.decodeMessage(ACK).value(wire.Identifier.CRYPTO_BINDING_REQUEST)
        assert value is not None and wire.decodeCryptoBindingRequest(value) == request

    @pytest.mark.parametrize(("hash", "packet", "nonce", "certificate", "key"), EXAMPLES)
    def test_compoundMAC(
        self, hash: binding.Hash, packet: bytes, nonce: bytes, certificate: bytes, key: bytes
    ) -> None:
        message = wire.decodeMessage(packet)
        found = wire.decodeCryptoBinding(message.attributes[0].value)
        assert found == CryptoBinding(hash, nonce, certificate, packet[80:])
        assert Message(message.kind, (found.encode(),)).encode() == packet
        assert binding.compoundMAC(hash, key, packet) == packet[80:]


CERTIFICATE = b"a certificate in DER"


class TestBinding:
    def fault(self, packet: bytes, key: bytes = KEY, certificate: bytes = CERTIFICATE) -> str:
        found = wire.decodeCryptoBinding(wire.decodeMessage(packet).attributes[0].value)
        return binding.fault(packet, found, NONCE, certificate, [key])

    @pytest.mark.parametrize("hash", binding.Hash)
    def test_whatAClientSendsHolds(self, hash: binding.Hash) -> None:
        packet = binding.callConnected(hash, NONCE, CERTIFICATE, KEY)
        assert self.fault(packet) == ""
        assert "certificate" in self.fault(packet, certificate=b"another")
        assert "MAC" in self.fault(packet, key=binding.NO_KEY)
        assert "nonce" in self.fault(binding.callConnected(hash, bytes(32), CERTIFICATE, KEY))

    @pytest.mark.parametrize("mask", [0, 3, 4, 255])
    def test_aHashThatWasNotOffered(self, mask: int) -> None:
        packet = bytearray(binding.callConnected(binding.Hash.SHA256, NONCE, CERTIFICATE, KEY))
        packet[15] = mask
        assert "hash" in self.fault(bytes(packet))

    def test_theStrongestHashIsChosen(self) -> None:
        chosen = [binding.strongest(mask) for mask in (0, 1, 2, 3, 4, 0xFD)]
        sha1, sha256 = binding.Hash.SHA1, binding.Hash.SHA256
        assert chosen == [None, sha1, sha256, sha256, None, sha1]

    @settings(max_examples=50, deadline=None)
    @given(st.integers(0, 111), st.integers(1, 255))
    def test_noOctetMayBeAnother(self, at: int, change: int) -> None:
        """
        The binding doesn't hold if any octet of the packet is another one, but those of the header
        that L{wire.decodeMessage} looks at.
        """
        packet = bytearray(binding.callConnected(binding.Hash.SHA256, NONCE, CERTIFICATE, KEY))
        packet[at] ^= change
        try:
            message = wire.decodeMessage(bytes(packet))
            found = wire.decodeCryptoBinding(message.attributes[0].value)
        except Malformed:
            return
        assert binding.fault(bytes(packet), found, NONCE, CERTIFICATE, [KEY])

    def test_theKeyIsDerivedAsTheSpecificationSays(self) -> None:
        """
        The first round of PRF+, written out.
        """
        seed = b"SSTP inner method derived CMK" + b"\x20\x00" + b"\x01"
        derived = hmac.new(KEY, seed, hashlib.sha256).digest()
        expected = hmac.new(derived, CONNECTED[:80] + bytes(32), hashlib.sha256).digest()
        assert binding.compoundMAC(binding.Hash.SHA256, KEY, CONNECTED) == expected

    @pytest.mark.parametrize("isServer", [False, True])
    def test_theKeyOfMSCHAPv2(self, isServer: bool) -> None:
        """
        The key that MS-CHAPv2 earns, within EAP or not, with the example of RFC 3079 section 5.2,
        written out: what the server receives with, and what it sends with.
        """
        hashHash = octets("41 C0 0C 58 4B D2 D9 1C 40 17 A2 A1 2F A5 9F 3F")
        response = octets("82 30 9E CD 8D 70 8B 5E A0 8F AA 39 81 CD 83 54 42 33 11 4A 3D 85 D6 DF")
        master = hashlib.sha1(hashHash + response + b"This is the MPPE Master Key").digest()[:16]
        assert master == octets("FD EC E3 71 7A 8C 83 8C B3 88 E5 27 AE 3C DD 31")
        sides = (
            b"On the client side, this is the send key; on the server side, it is the receive key.",
            b"On the client side, this is the receive key; on the server side, it is the send key.",
        )
        received, sent = (
            hashlib.sha1(master + bytes(40) + side + b"\xf2" * 40).digest()[:16] for side in sides
        )
        assert sent == octets("8B 7C DC 14 9B 99 3A 1B A1 18 CB 15 3F 56 DC CB")
        assert mschapV2Keys(hashHash, response, isServer).bindings == (received + sent,)

    @pytest.mark.parametrize("isServer", [False, True])
    def test_theKeysOfEAPTLS(self, isServer: bool) -> None:
        """
        Those of the Master Session Key: its beginning, and the one of pppd 2.4.9.
        """
        session = bytes(range(64))
        halves = session[:16] + session[32:48]
        assert startKeys(session, isServer).bindings == (session[:32], halves)


class TestMessages:
    @pytest.mark.parametrize(
        "text",
        [
            "10 01 00 07 00 01 00",
            "10 01 00 08 00 08 00 01",
            "10 01 00 0E 00 01 00 02 00 01 00 06 00 01",
            "10 01 00 0E 00 01 00 01 00 01 00 07 00 01",
            "10 01 00 0E 00 01 00 01 00 01 00 03 00 01",
            "10 01 00 0A 00 01 00 01 00 01",
        ],
    )
    def test_malformed(self, text: str) -> None:
        with pytest.raises(Malformed):
            wire.decodeMessage(octets(text))

    def test_reservedBitsAreIgnored(self) -> None:
        packet = octets("10 FF F0 0E 00 01 00 01 FF 01 F0 06 00 01")
        assert wire.decodeMessage(packet) == wire.decodeMessage(REQUEST)

    @settings(max_examples=50, deadline=None)
    @given(
        st.integers(0, 65535),
        st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=200)), max_size=15),
    )
    def test_whatIsEncodedIsDecoded(self, kind: int, values: list[tuple[int, bytes]]) -> None:
        message = Message(kind, tuple(Attribute(*one) for one in values))
        assert wire.decodeMessage(message.encode()) == message

    @settings(max_examples=50, deadline=None)
    @given(st.binary(max_size=200))
    def test_noOctetsRaiseAnythingElse(self, some: bytes) -> None:
        for decode in (
            wire.decodeMessage,
            wire.decodeStatusInfo,
            wire.decodeCryptoBinding,
            wire.decodeCryptoBindingRequest,
        ):
            try:
                decode(some)
            except Malformed:
                pass

    def test_aRejectedValueIsCut(self) -> None:
        info = StatusInfo(1, 4, bytes(range(100)))
        value = info.encode().value
        assert wire.decodeStatusInfo(value) == StatusInfo(1, 4, bytes(range(64)))


class TestSplitter:
    def split(self, *pieces: bytes) -> list[tuple[str, bytes]]:
        found: list[tuple[str, bytes]] = []
        splitter = Splitter(
            lambda frame: found.append(("data", frame)),
            lambda packet: found.append(("control", packet)),
        )
        for piece in pieces:
            splitter.feed(piece)
        return found

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.binary(max_size=60), max_size=8), st.lists(st.integers(1, 90), max_size=8))
    def test_howeverTheStreamIsCut(self, frames: list[bytes], cuts: list[int]) -> None:
        stream = b"".join(map(wire.encodeFrame, frames)) + REQUEST
        pieces = []
        rest = stream
        for cut in cuts:
            pieces.append(rest[:cut])
            rest = rest[cut:]
        expected = [("data", frame) for frame in frames] + [("control", REQUEST)]
        assert self.split(*pieces, rest) == expected

    def test_theLongestFrame(self) -> None:
        frame = bytes(wire.LONGEST_FRAME)
        assert self.split(wire.encodeFrame(frame)) == [("data", frame)]

    @pytest.mark.parametrize("text", ["11 00 00 08", "10 01 00 03", "00 00 00 08", "47 45 54 20"])
    def test_whatIsNoPacket(self, text: str) -> None:
        with pytest.raises(Malformed):
            self.split(octets(text))

    def test_theHandlersMayChange(self) -> None:
        found: list[bytes] = []
        splitter = Splitter(found.append, lambda packet: setattr(splitter, "data", len))
        splitter.feed(wire.encodeFrame(b"one") + REQUEST + wire.encodeFrame(b"two"))
        assert found == [b"one"]
