"""
Tests for L{pptpgw.tunnels.hdlc.wire}.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from pptpgw.tunnels.hdlc import wire
from pptpgw.tunnels.hdlc.wire import StreamDecoder, encode, escapesOf, fcsOf, insertedOf, unstuffed

LONGEST = 60
NONE = escapesOf(0)

accms = st.one_of(st.sampled_from([0, 0xFFFFFFFF, 0x000A0000]), st.integers(0, 0xFFFFFFFF))
# Flags, escapes and control characters occur far more often than by chance.
octets = st.lists(
    st.one_of(st.sampled_from([0x7E, 0x7D, 0x5E, 0x5D, 0x11, 0x31]), st.integers(0, 255))
).map(bytes)
frames = octets.filter(lambda frame: 2 <= len(frame) <= LONGEST)


def slowFCS(frame: bytes) -> bytes:
    """
    The FCS, computed bit by bit as in RFC 1662 appendix C.2.
    """
    fcs = 0xFFFF
    for octet in frame:
        fcs ^= octet
        for _ in range(8):
            fcs = fcs >> 1 ^ (0x8408 if fcs & 1 else 0)
    return (fcs ^ 0xFFFF).to_bytes(2, "little")


def slowEncode(frame: bytes, accm: int) -> bytes:
    """
    A frame, encoded octet by octet as in RFC 1662 section 4.2.
    """
    sent = bytearray()
    for octet in frame + slowFCS(frame):
        if octet in (0x7D, 0x7E) or (octet < 32 and accm >> octet & 1):
            sent += bytes([0x7D, octet ^ 0x20])
        else:
            sent.append(octet)
    return bytes(sent) + b"\x7e"


class SlowDecoder:
    """
    The receiver of RFC 1662 section 4, octet by octet, without limits.
    """

    def __init__(self, accm: int) -> None:
        self.accm = accm
        self.frames: list[bytes] = []
        self.reasons: list[str] = []
        self._begun = self._escaped = False
        self._frame = bytearray()

    def feed(self, stream: bytes) -> None:
        for octet in stream:
            if octet == 0x7E:
                self._ended()
            elif not self._begun or (octet < 32 and self.accm >> octet & 1):
                continue
            elif self._escaped:
                self._frame.append(octet ^ 0x20)
                self._escaped = False
            elif octet == 0x7D:
                self._escaped = True
            else:
                self._frame.append(octet)

    def _ended(self) -> None:
        frame, aborted = bytes(self._frame), self._escaped
        self._begun, self._escaped = True, False
        self._frame.clear()
        if aborted:
            self.reasons.append(wire.ABORTED)
        elif not frame:
            return
        elif len(frame) < 4:
            self.reasons.append(wire.TOO_SHORT)
        elif len(frame) > LONGEST + 2:
            self.reasons.append(wire.TOO_LONG)
        elif slowFCS(frame[:-2]) != frame[-2:]:
            self.reasons.append(wire.BAD_FCS)
        else:
            self.frames.append(frame[:-2])


def decode(
    stream: Sequence[bytes], accm: int = 0, longest: int = LONGEST
) -> tuple[list[bytes], list[str]]:
    """
    Decode a stream that arrives in C{pieces}.

    @return: the frames, and the reasons of the discards.
    """
    reasons: list[str] = []
    decoder = StreamDecoder(longest, reasons.append)
    decoder.inserted = insertedOf(accm)
    return [frame for piece in stream for frame in decoder.feed(piece)], reasons


def pieces(stream: bytes, cuts: Sequence[int]) -> list[bytes]:
    """
    C{stream}, cut at these places.
    """
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[begin:end] for begin, end in pairwise(places)]


def test_anLCPFrameOfPppd() -> None:
    """
    The first frame that pppd sends, as its option C{record} keeps it, is decoded: a
    Configure-Request with an ACCM, a magic number, PFC and ACFC.
    """
    sent = bytes.fromhex(
        "7eff7d23c0217d217d217d207d347d227d267d207d207d207d207d257d26ccb869"
        "7d377d277d227d287d22bb2c7e"
    )
    frame = bytes.fromhex("ff03c0210101001402060000000005 06ccb8691707020802")
    assert wire.FLAG + encode(frame) == sent
    assert decode([sent], 0xFFFFFFFF) == ([frame], [])


def test_theCheckValueOfTheCRC() -> None:
    """
    The FCS of the nine digits is CRC-16/X-25's 0x906e, sent with the low octet first.
    """
    assert fcsOf(b"123456789") == bytes.fromhex("6e90")


@given(octets)
def test_theFCSIsThatOfTheRFC(frame: bytes) -> None:
    assert fcsOf(frame) == slowFCS(frame)


@given(octets, accms)
def test_framesAreEncodedAsTheRFCHasIt(frame: bytes, accm: int) -> None:
    encoded = encode(frame, escapesOf(accm))
    assert encoded == slowEncode(frame, accm)
    assert not any(octet in encoded[:-1] for octet in insertedOf(accm) + wire.FLAG)


@given(st.lists(frames), accms, st.lists(st.integers(0, 5000)))
def test_whatWasEncodedIsDecoded(sent: list[bytes], accm: int, cuts: list[int]) -> None:
    """
    Frames with one flag between them are decoded to what was encoded, in whatever pieces they
    arrive.
    """
    stream = wire.FLAG + b"".join(encode(frame, escapesOf(accm)) for frame in sent)
    assert decode(pieces(stream, cuts), accm) == (sent, [])


@given(frames, accms, st.lists(st.tuples(st.integers(0, 500), st.integers(0, 31))))
def test_controlCharactersThatTheLineInsertsAreRemoved(
    frame: bytes, accm: int, inserted: list[tuple[int, int]]
) -> None:
    stream = bytearray(wire.FLAG + encode(frame, escapesOf(accm)))
    for place, octet in inserted:
        if accm >> octet & 1:
            stream.insert(place % (len(stream) + 1), octet)
    assert decode([bytes(stream)], accm) == ([frame], [])


@given(octets, accms, st.lists(st.integers(0, 5000)))
@example(b"\x7e\x7d\x7d\x7d\x7e\x7d\x7e\x7d\x7d\x5e\x11\x7e", 1 << 17, [])
@example(b"\x7e\x7d\x7e\x11\x7e\x7d\x11\x31\x7e", 1 << 17, [3])
def test_garbageIsJudgedAsTheRFCHasIt(stream: bytes, accm: int, cuts: list[int]) -> None:
    """
    Arbitrary octets raise nothing, and every bad frame is discarded for the same reason as by a
    receiver that goes octet by octet.
    """
    model = SlowDecoder(accm)
    model.feed(stream)
    assert decode(pieces(stream, cuts), accm) == (model.frames, model.reasons)


@given(st.lists(frames, min_size=3, max_size=3), st.data())
def test_aDamagedOctetCostsTwoFramesAtMost(sent: list[bytes], data: st.DataObject) -> None:
    """
    An octet that is dropped, doubled or changed, at any place, costs at most two frames.
    """
    before, damaged, after = (encode(frame, NONE) for frame in sent)
    place = data.draw(st.integers(0, len(damaged) - 1))
    octet = damaged[place : place + 1]
    change = data.draw(st.sampled_from([b"", octet + octet, bytes([octet[0] ^ 0x10])]))
    damaged = damaged[:place] + change + damaged[place + 1 :]
    # Another flag follows, as the frame's own flag may be the damaged octet.
    stream = wire.FLAG + before + damaged + wire.FLAG + after
    received, _ = decode([stream])
    assert received[0] == sent[0]
    assert received[-1] == sent[2]


def test_nothingBeforeTheFirstFlagIsAFrame() -> None:
    frame = b"\xff\x03\xc0\x21hello"
    assert decode([b"CONNECT 9600\r\nlogin: ", encode(frame), encode(frame)]) == ([frame], [])


def test_emptyFramesAreNoFrames() -> None:
    assert decode([b"\x7e\x7e\x7e\x7e"]) == ([], [])
    assert decode([b"\x7e\x11\x13\x7e"], 0xFFFFFFFF) == ([], [])


def test_theLongestFrame() -> None:
    """
    The limit applies to the length of a frame before it is escaped.
    """
    longest = bytes(LONGEST)
    stream = [b"\x7e", encode(longest), encode(longest + b"\0"), encode(longest)]
    assert decode(stream) == ([longest, longest], [wire.TOO_LONG])


def test_aStreamWithoutFlagsKeepsNothing() -> None:
    """
    A stream without flags isn't stored: it is discarded up to the next flag, and counted once.
    """
    reasons: list[str] = []
    decoder = StreamDecoder(1500, reasons.append)
    assert list(decoder.feed(b"\x7e")) == []
    kept = []
    for _ in range(10000):
        assert list(decoder.feed(b"spam" * 10)) == []
        kept.append(len(decoder._buffer))
    assert max(kept) < 3 * 1502 + 40
    assert kept[-1] == 0
    assert reasons == []
    frame = b"\xff\x03\xc0\x21hello"
    assert list(decoder.feed(b"\x7e" + encode(frame))) == [frame]
    assert reasons == [wire.TOO_LONG]


def test_whatIsInsertedMayChangeBetweenFrames() -> None:
    """
    A frame right after a Configure-Ack, in the same packet, is read with the new ACCM.
    """
    decoder = StreamDecoder(LONGEST, lambda reason: None)
    first, second = b"\xff\x03\xc0\x21ack", b"\xff\x03\xc2\x23\x01\x02\x03"
    arriving = decoder.feed(wire.FLAG + encode(first) + encode(second, NONE))
    assert next(arriving) == first
    decoder.inserted = insertedOf(0)
    assert list(arriving) == [second]


def test_anAbortedFrame() -> None:
    assert unstuffed(b"abc\x7d") is None
    assert decode([b"\x7eabcdef\x7d", b"\x7e"]) == ([], [wire.ABORTED])
