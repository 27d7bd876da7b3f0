"""
Tests for L{pptpgw.ppp.lcp}.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from pptpgw.auth import protocols
from pptpgw.auth.protocols import CHAP, MSCHAP, MSCHAPV2
from pptpgw.interfaces import Negotiated
from pptpgw.ppp.automaton import RESTART_SECONDS, State
from pptpgw.ppp.control import ControlProtocol
from pptpgw.ppp.lcp import LCP, MAX_LOOPS
from pptpgw.ppp.lcpoption import LCPSettings, authenticationName
from pptpgw.ppp.option import MAX_REFUSALS
from pptpgw.ppp.wire import ppp

Options = Sequence[tuple[int, str]]

V2, V1, MD5, PAP = "c22381", "c22380", "c22305", "c023"


class Peer:
    """
    Drives an LCP by hand: plays its layer and its peer.
    """

    def __init__(
        self,
        settings: LCPSettings | None = None,
        magic: Iterable[int] = (),
        proxied: Negotiated | None = None,
    ) -> None:
        self.clock = Clock()
        self.told: list[str] = []
        self.sent: list[bytes] = []
        numbers = iter(magic)
        counter = iter(range(1, 1000))
        self.lcp = LCP(
            self.clock,
            lambda protocol, packet: self.sent.append(packet),
            self,
            settings if settings is not None else LCPSettings(),
            lambda octets: next(numbers, next(counter)).to_bytes(octets, "big"),
        )
        self.lcp.open()
        if proxied is None:
            self.lcp.lowerUp()
        else:
            self.lcp.resume(proxied)

    def layerUp(self, protocol: ControlProtocol) -> None:
        self.told.append("up")

    def layerDown(self, protocol: ControlProtocol) -> None:
        self.told.append("down")

    def layerFinished(self, protocol: ControlProtocol, reason: str) -> None:
        self.told.append(reason)

    def last(self) -> tuple[int, list[tuple[int, str]]]:
        """
        The code and the options of the packet that was sent last.
        """
        code, _, data = ppp.decodePacket(self.sent[-1])
        return code, [(number, value.hex()) for number, value in ppp.decodeOptions(data)]

    def asked(self) -> dict[int, str]:
        """
        The options of our latest Configure-Request.
        """
        request = [packet for packet in self.sent if packet[0] == ppp.CONFIGURE_REQUEST][-1]
        return {number: value.hex() for number, value in ppp.decodeOptions(request[4:])}

    def request(self, *options: tuple[int, str], identifier: int = 0) -> None:
        """
        Send a Configure-Request.
        """
        octets = ppp.encodeOptions((number, bytes.fromhex(value)) for number, value in options)
        self.lcp.received(ppp.encodePacket(ppp.CONFIGURE_REQUEST, identifier, octets))

    def answer(self, code: int, *options: tuple[int, str]) -> None:
        """
        Answer the latest Configure-Request. An Ack repeats its options.
        """
        request = [packet for packet in self.sent if packet[0] == ppp.CONFIGURE_REQUEST][-1]
        octets = ppp.encodeOptions((number, bytes.fromhex(value)) for number, value in options)
        if code == ppp.CONFIGURE_ACK:
            octets = request[4:]
        self.lcp.received(ppp.encodePacket(code, request[1], octets))

    def magic(self) -> int:
        """
        The magic number of an Echo-Request.
        """
        self.lcp.sendEcho()
        code, _, data = ppp.decodePacket(self.sent[-1])
        assert code == ppp.ECHO_REQUEST
        return int.from_bytes(data[:4], "big")

    def open(self, *options: tuple[int, str]) -> None:
        """
        Exchange Configure-Requests and Acks, so that LCP reaches Opened.
        """
        self.answer(ppp.CONFIGURE_ACK)
        self.request(*options)
        assert self.told[-1] == "up"
        self.sent.clear()


def test_ourRequest() -> None:
    """
    LCP asks for MRU, the strongest authentication protocol, a magic number and both compressions.
    """
    peer = Peer(LCPSettings(authentication=(MSCHAPV2, protocols.PAP)))
    assert peer.last() == (
        ppp.CONFIGURE_REQUEST,
        [(1, "0578"), (3, V2), (5, "00000001"), (7, ""), (8, "")],
    )


def test_plainRequest() -> None:
    """
    LCP doesn't ask for options that are switched off, and rejects them where the peer asks for
    them.
    """
    peer = Peer(LCPSettings(mru=1500, magic=False, acfc=False, pfc=False))
    assert peer.last() == (ppp.CONFIGURE_REQUEST, [(1, "05dc")])
    peer.request((1, "0578"), (7, ""), (8, ""))
    assert peer.last() == (ppp.CONFIGURE_REJECT, [(7, ""), (8, "")])


@pytest.mark.parametrize(
    ("option", "code", "answer"),
    [
        ((1, "0578"), ppp.CONFIGURE_ACK, (1, "0578")),
        ((1, "0080"), ppp.CONFIGURE_ACK, (1, "0080")),
        ((1, "2328"), ppp.CONFIGURE_ACK, (1, "2328")),
        ((1, "007f"), ppp.CONFIGURE_NAK, (1, "0080")),
        ((1, "0000"), ppp.CONFIGURE_NAK, (1, "0080")),
        ((1, "000578"), ppp.CONFIGURE_NAK, (1, "05dc")),
        ((2, "00000000"), ppp.CONFIGURE_ACK, (2, "00000000")),
        ((2, "000a0000"), ppp.CONFIGURE_ACK, (2, "000a0000")),
        ((2, "00"), ppp.CONFIGURE_NAK, (2, "00000000")),
        ((3, V2), ppp.CONFIGURE_REJECT, (3, V2)),
        ((5, "01020304"), ppp.CONFIGURE_ACK, (5, "01020304")),
        ((5, "00000000"), ppp.CONFIGURE_NAK, (5, "00000002")),
        ((5, "0102"), ppp.CONFIGURE_NAK, (5, "00000002")),
        ((5, "00000001"), ppp.CONFIGURE_NAK, (5, "00000002")),
        ((7, ""), ppp.CONFIGURE_ACK, (7, "")),
        ((8, ""), ppp.CONFIGURE_ACK, (8, "")),
        ((8, "01"), ppp.CONFIGURE_NAK, (8, "")),
        ((4, "c02500000064"), ppp.CONFIGURE_REJECT, (4, "c02500000064")),
        ((13, "06"), ppp.CONFIGURE_REJECT, (13, "06")),
        ((17, "064e"), ppp.CONFIGURE_REJECT, (17, "064e")),
        ((18, ""), ppp.CONFIGURE_REJECT, (18, "")),
        ((19, "01aabb"), ppp.CONFIGURE_REJECT, (19, "01aabb")),
        ((9, "04"), ppp.CONFIGURE_REJECT, (9, "04")),
        ((254, ""), ppp.CONFIGURE_REJECT, (254, "")),
    ],
)
def test_judged(option: tuple[int, str], code: int, answer: tuple[int, str]) -> None:
    """
    LCP acknowledges, naks or rejects each option as it should.
    """
    peer = Peer()
    peer.request(option)
    assert peer.last() == (code, [answer])


def test_windows() -> None:
    """
    Windows opens LCP after one Configure-Reject of its callback and multilink options. Its
    Identification packets get no answer.
    """
    peer = Peer(LCPSettings(authentication=(MSCHAPV2,)))
    wish = [(1, "0578"), (5, "41b50f3c"), (7, ""), (8, "")]
    extra = [(13, "06"), (17, "064e"), (19, "0100112233445566778899aabbccddeeff")]
    peer.request(*wish, *extra, identifier=0)
    assert peer.last() == (ppp.CONFIGURE_REJECT, extra)
    peer.request(*wish, identifier=1)
    assert peer.last() == (ppp.CONFIGURE_ACK, wish)
    peer.answer(ppp.CONFIGURE_ACK)
    assert peer.told == ["up"]
    lcp = peer.lcp
    assert (lcp.peerMRU, lcp.mru, peer.magic()) == (1400, 1400, 1)
    assert (lcp.demanded, lcp.demandedOfUs) == (MSCHAPV2, None)
    assert (lcp.sendACFC, lcp.sendPFC, lcp.sendACCM) == (True, True, 0xFFFFFFFF)
    peer.sent.clear()
    for text in (b"MSRASV5.20", b"MSRAS-0-HOST", bytes(16)):
        lcp.received(ppp.encodePacket(ppp.IDENTIFICATION, 2, b"\x41\xb5\x0f\x3c" + text))
    lcp.received(ppp.encodePacket(ppp.TIME_REMAINING, 3, bytes(8)))
    assert (peer.sent, peer.told) == ([], ["up"])


@pytest.mark.parametrize("settings", [LCPSettings(authentication=(MSCHAPV2,)), LCPSettings()])
@pytest.mark.parametrize("value", ["", "00", "0135353531323334", "02", "03", "04", "06", "07aa"])
def test_callback(settings: LCPSettings, value: str) -> None:
    """
    Every operation of Callback is rejected at either end, and a peer that goes on without it isn't
    delayed. One that insists is told why LCP ends.
    """
    peer = Peer(settings)
    peer.request((13, value), (1, "0578"))
    assert peer.last() == (ppp.CONFIGURE_REJECT, [(13, value)])
    peer.answer(ppp.CONFIGURE_NAK, (13, value))
    assert 13 not in peer.asked()
    peer.open((1, "0578"))
    insisting = Peer(settings)
    for identifier in range(MAX_REFUSALS + 1):
        insisting.request((13, value), identifier=identifier)
    code, _, data = ppp.decodePacket(insisting.sent[-1])
    assert (code, data) == (
        ppp.TERMINATE_REQUEST,
        b"the peer keeps asking for what it can't have",
    )


BUNDLING = LCPSettings(mrru=1614, endpoint=b"\x01here")


@pytest.mark.parametrize(
    ("option", "code", "answer"),
    [
        ((17, "064e"), ppp.CONFIGURE_ACK, (17, "064e")),
        ((17, "ffff"), ppp.CONFIGURE_ACK, (17, "ffff")),
        ((17, "0040"), ppp.CONFIGURE_NAK, (17, "0080")),
        ((17, "05"), ppp.CONFIGURE_NAK, (17, "064e")),
        ((18, ""), ppp.CONFIGURE_ACK, (18, "")),
        ((18, "01"), ppp.CONFIGURE_NAK, (18, "")),
        ((19, "01aabb"), ppp.CONFIGURE_ACK, (19, "01aabb")),
        ((19, ""), ppp.CONFIGURE_NAK, (19, "00")),
    ],
)
def test_multilink(option: tuple[int, str], code: int, answer: tuple[int, str]) -> None:
    """
    The options of multilink are judged where that is permitted, and rejected otherwise.
    """
    peer = Peer(BUNDLING)
    peer.request(option)
    assert peer.last() == (code, [answer])
    peer = Peer()
    peer.request(option)
    assert peer.last() == (ppp.CONFIGURE_REJECT, [option])


def test_bundles() -> None:
    """
    A link is one of a bundle if both ends have an MRRU. Then it carries no more than its own MRU in
    one frame.
    """
    peer = Peer(BUNDLING)
    assert (peer.asked()[17], peer.asked()[19]) == ("064e", b"\x01here".hex())
    peer.open((17, "0640"), (18, ""), (19, "0211223344"), (1, "05dc"))
    lcp = peer.lcp
    assert lcp.bundles and (lcp.mrru, lcp.peerMRRU) == (1614, 1600)
    assert (lcp.sendShort, lcp.receiveShort) == (True, False)
    assert lcp.peerEndpoint == b"\x02\x11\x22\x33\x44" and lcp.peerMRU == 1400
    peer = Peer(BUNDLING)
    peer.open((1, "05dc"), (19, "00"))
    assert not peer.lcp.bundles and peer.lcp.peerMRU == 1400 and peer.lcp.peerEndpoint == b""
    peer = Peer(LCPSettings(mrru=1614, shortNumbers=True))
    assert (peer.asked()[18], 19 in peer.asked()) == ("", False)
    peer.answer(ppp.CONFIGURE_NAK, (17, "05dc"))
    assert peer.asked()[17] == "05dc"
    peer.answer(ppp.CONFIGURE_REJECT, (17, "05dc"), (18, ""))
    peer.open((17, "0640"))
    assert not peer.lcp.bundles


def test_routerOS() -> None:
    """
    RouterOS opens LCP with an MRU of 1450 and a magic number, and its MRRU is rejected.
    """
    peer = Peer(LCPSettings(authentication=(MSCHAPV2, CHAP)))
    peer.request((1, "05aa"), (5, "11223344"), (17, "0640"))
    assert peer.last() == (ppp.CONFIGURE_REJECT, [(17, "0640")])
    peer.request((1, "05aa"), (5, "11223344"))
    peer.answer(ppp.CONFIGURE_ACK)
    assert peer.lcp.peerMRU == 1450
    assert not peer.lcp.sendPFC


def test_pppd() -> None:
    """
    pppd opens LCP with an ACCM of 0 and without an MRU.
    """
    peer = Peer()
    peer.open((2, "00000000"), (5, "11223344"), (7, ""), (8, ""))
    assert (peer.lcp.peerMRU, peer.lcp.sendACCM) == (1500, 0)


def test_controlCharacters() -> None:
    """
    LCP on a line that escapes control characters asks for the map of those that must be escaped,
    and answers a peer whose map lacks some of them with a Configure-Nak (RFC 1662 section 7.1).
    """
    peer = Peer(LCPSettings(accm=0x00000001))
    assert peer.asked()[2] == "00000001"
    assert (peer.lcp.sendACCM, peer.lcp.receiveACCM) == (0xFFFFFFFF, 0xFFFFFFFF)
    peer.answer(ppp.CONFIGURE_NAK, (2, "000a0000"))
    assert peer.asked()[2] == "000a0001"
    peer.open((2, "00000002"))
    assert (peer.lcp.sendACCM, peer.lcp.receiveACCM) == (0x00000002, 0x000A0001)


def test_aPeerWithoutControlCharacterMaps() -> None:
    """
    LCP has every control character escaped when the peer rejects the map.
    """
    peer = Peer(LCPSettings(accm=0))
    peer.answer(ppp.CONFIGURE_REJECT, (2, "00000000"))
    assert 2 not in peer.asked()
    peer.open()
    assert peer.lcp.receiveACCM == 0xFFFFFFFF


def test_earlyRequestRepeated() -> None:
    """
    LCP repeats its unanswered request unchanged when the peer's first packet arrives, before it
    answers that packet. It doesn't do so for the second packet.
    """
    peer = Peer()
    peer.request((1, "0578"))
    assert [packet[0] for packet in peer.sent] == [1, 1, 2]
    assert peer.sent[0] == peer.sent[1]
    peer.request((1, "0578"))
    assert [packet[0] for packet in peer.sent] == [1, 1, 2, 2]
    peer.answer(ppp.CONFIGURE_ACK)
    peer.answer(ppp.CONFIGURE_ACK)
    assert peer.told == ["up"]
    peer.lcp.lowerDown()
    peer.lcp.lowerUp()
    peer.sent.clear()
    peer.request()
    assert [packet[0] for packet in peer.sent] == [1, 2]


@pytest.mark.parametrize("code", [ppp.CONFIGURE_ACK, ppp.CONFIGURE_NAK])
def test_answerIsNotRepeatedFor(code: int) -> None:
    """
    LCP doesn't repeat its request when the peer's first packet is the answer.
    """
    peer = Peer()
    peer.answer(code, (1, "0500"))
    assert [packet[0] for packet in peer.sent] == [1] + [1] * (code == ppp.CONFIGURE_NAK)
    if code == ppp.CONFIGURE_NAK:
        assert peer.sent[0] != peer.sent[1]


def test_mruNaked() -> None:
    """
    LCP follows a Configure-Nak of its MRU, unless the suggested value is useless.
    """
    peer = Peer()
    for suggestion, mru in (("0500", "0500"), ("0010", "0500"), ("ffff", "0500"), ("0080", "0080")):
        peer.answer(ppp.CONFIGURE_NAK, (1, suggestion))
        assert peer.asked()[1] == mru
    peer.answer(ppp.CONFIGURE_REJECT, (1, "0080"))
    peer.open()
    assert peer.lcp.mru == 1500


def test_booleanNaked() -> None:
    """
    LCP drops an option without a value when a Configure-Nak names it, as RouterTester's does.
    """
    peer = Peer()
    peer.answer(ppp.CONFIGURE_NAK, (7, ""), (8, ""))
    assert peer.asked().keys() == {1, 5}


def test_magicNaked() -> None:
    """
    LCP chooses another magic number after a Configure-Nak, and none after a Configure-Reject.
    """
    peer = Peer()
    peer.answer(ppp.CONFIGURE_NAK, (5, "deadbeef"))
    assert peer.asked()[5] == "00000002"
    peer.answer(ppp.CONFIGURE_REJECT, (5, "00000002"))
    peer.open()
    assert peer.magic() == 0


def test_magicNeverZero() -> None:
    """
    LCP never chooses zero as its magic number.
    """
    assert Peer(magic=[0, 0, 77]).asked()[5] == "0000004d"


def test_loopedBack() -> None:
    """
    LCP detects a line that returns what is sent, and ends with that reason.
    """
    peer = Peer()
    for _ in range(40):
        pending, peer.sent[:] = peer.sent[:], []
        for packet in pending:
            peer.lcp.received(packet)
    peer.clock.pump([RESTART_SECONDS] * 3)
    assert peer.told == ["the line is looped back"]
    assert MAX_LOOPS < 10


BOTH = LCPSettings(authentication=(MSCHAPV2, CHAP))


def test_authenticationNakFollowed() -> None:
    """
    LCP follows a Configure-Nak that names another permitted method.
    """
    peer = Peer(BOTH)
    peer.answer(ppp.CONFIGURE_NAK, (3, MD5))
    assert peer.asked()[3] == MD5
    peer.open()
    assert peer.lcp.demanded is CHAP


@pytest.mark.parametrize(
    ("suggestion", "name"),
    [("c227", "EAP"), (PAP, "PAP"), (V1, "MS-CHAP"), ("c22306", "CHAP with algorithm 6")],
)
def test_authenticationNakNotPermitted(suggestion: str, name: str) -> None:
    """
    LCP ends when a Configure-Nak names a method that isn't permitted, and says which.
    """
    peer = Peer(BOTH)
    peer.answer(ppp.CONFIGURE_NAK, (3, suggestion))
    code, identifier, reason = ppp.decodePacket(peer.sent[-1])
    text = f"the peer proposes {name}, which isn't permitted"
    assert (code, reason) == (ppp.TERMINATE_REQUEST, text.encode())
    peer.lcp.received(ppp.encodePacket(ppp.TERMINATE_ACK, identifier))
    assert peer.told == [text]
    assert peer.lcp.state is State.CLOSED


def test_authenticationRejected() -> None:
    """
    LCP ends when the peer rejects authentication, or answers with Configure-Naks without end, and
    says so.
    """
    text = "the peer refuses to authenticate with any of mschapv2, chap"
    peer = Peer(BOTH)
    peer.answer(ppp.CONFIGURE_REJECT, (3, V2))
    peer.clock.pump([RESTART_SECONDS] * 3)
    assert peer.told == [text]
    peer = Peer(BOTH)
    for suggestion in (MD5, V2) * 3:
        peer.answer(ppp.CONFIGURE_NAK, (3, suggestion))
    peer.clock.pump([RESTART_SECONDS] * 3)
    assert peer.told == [text]


@pytest.mark.parametrize(
    ("demand", "code", "answer"),
    [
        (V2, ppp.CONFIGURE_ACK, V2),
        (V1, ppp.CONFIGURE_ACK, V1),
        (PAP, ppp.CONFIGURE_NAK, V2),
        ("c227", ppp.CONFIGURE_NAK, V2),
    ],
)
def test_authenticationDemandedOfUs(demand: str, code: int, answer: str) -> None:
    """
    LCP acknowledges a demand for a method that we are willing to use. It answers every other demand
    with a Configure-Nak that names our strongest method.
    """
    peer = Peer(LCPSettings(answers=(MSCHAPV2, MSCHAP)))
    peer.request((3, demand))
    assert peer.last() == (code, [(3, answer)])
    peer.request((3, V1))
    peer.answer(ppp.CONFIGURE_ACK)
    assert (peer.lcp.demandedOfUs, peer.lcp.demanded) == (MSCHAP, None)


def test_authenticationNames() -> None:
    """
    C{authenticationName} gives methods their usual names.
    """
    assert authenticationName(bytes.fromhex(V2)) == "MS-CHAPv2"
    assert authenticationName(bytes.fromhex(MD5)) == "CHAP with MD5"
    assert authenticationName(bytes.fromhex("c027")) == "SPAP"
    assert authenticationName(bytes.fromhex("c223")) == "CHAP with no algorithm"
    assert authenticationName(b"") == "authentication protocol 0x0000"


def test_echo() -> None:
    """
    LCP answers an Echo-Request in Opened with the same identifier and content and our magic number,
    cut to the peer's MRU. It doesn't answer before Opened.
    """
    peer = Peer()
    peer.lcp.received(ppp.encodePacket(ppp.ECHO_REQUEST, 5, b"\0\0\0\7hello"))
    assert ppp.ECHO_REPLY not in [packet[0] for packet in peer.sent]
    peer.open((1, "0080"), (5, "00000007"))
    peer.lcp.received(ppp.encodePacket(ppp.ECHO_REQUEST, 5, b"\0\0\0\7hello"))
    assert peer.sent[-1] == ppp.encodePacket(ppp.ECHO_REPLY, 5, b"\0\0\0\1hello")
    peer.lcp.received(ppp.encodePacket(ppp.ECHO_REQUEST, 6, b"\0\0\0\7" + bytes(400)))
    assert len(peer.sent[-1]) == 128
    peer.sent.clear()
    peer.lcp.received(ppp.encodePacket(ppp.ECHO_REQUEST, 7, b"\0\0\0\1mine"))
    peer.lcp.received(ppp.encodePacket(ppp.ECHO_REQUEST, 8, b"\0\0"))
    peer.lcp.received(ppp.encodePacket(ppp.DISCARD_REQUEST, 9, b"\0\0\0\7"))
    assert peer.sent == []


def test_keepalive() -> None:
    """
    LCP counts unanswered Echo-Requests until one is answered, and measures the round trip by the
    answer. A reply with our own magic number or with an unknown identifier isn't an answer.
    """
    peer = Peer()
    lcp = peer.lcp
    lcp.sendEcho()
    assert lcp.echoesUnanswered == 0
    peer.open((5, "00000007"))
    lcp.sendEcho()
    lcp.sendEcho()
    assert [packet[:1] + packet[2:] for packet in peer.sent] == [b"\x09\0\x08\0\0\0\1"] * 2
    identifier = peer.sent[-1][1]
    peer.clock.advance(0.25)
    lcp.received(ppp.encodePacket(ppp.ECHO_REPLY, identifier, b"\0\0\0\1"))
    lcp.received(ppp.encodePacket(ppp.ECHO_REPLY, identifier - 2, b"\0\0\0\7"))
    lcp.received(ppp.encodePacket(ppp.ECHO_REPLY, identifier + 1, b"\0\0\0\7"))
    lcp.received(ppp.encodePacket(ppp.ECHO_REPLY, identifier, b"\0"))
    assert (lcp.echoesUnanswered, lcp.roundTrip) == (2, None)
    lcp.received(ppp.encodePacket(ppp.ECHO_REPLY, identifier, b"\0\0\0\7"))
    assert (lcp.echoesUnanswered, lcp.roundTrip) == (0, 0.25)


@pytest.mark.parametrize("magic", ["00000007", None])
def test_challenge(magic: str | None) -> None:
    """
    A challenge is an Echo-Request with random octets. Its reply must have the same identifier, the
    peer's magic number and those octets. A challenge isn't counted as an unanswered Echo-Request,
    and each is confirmed only once.
    """
    peer = Peer()
    lcp = peer.lcp
    lcp.challenge()
    peer.open(*[(5, magic)] if magic is not None else [])
    lcp.challenge()
    lcp.sendEcho()
    lcp.challenge()
    first, plain, second = (ppp.decodePacket(packet) for packet in peer.sent)
    assert [code for code, _, _ in (first, plain, second)] == [ppp.ECHO_REQUEST] * 3
    theirs = bytes.fromhex(magic or "00000000")
    secret = second[2][4:]
    assert len(secret) == 8
    assert lcp.echoesUnanswered == 1

    def reply(identifier: int, data: bytes) -> bytes:
        return ppp.encodePacket(ppp.ECHO_REPLY, identifier, data)

    right = reply(second[1], theirs + secret)
    for packet in (
        b"",
        right[:3],
        right[:-1],
        right + b"more",
        reply(plain[1], theirs),
        reply(second[1], b"\0\0\0\1" + secret),
        reply(second[1], theirs + bytes(8)),
        reply(second[1] + 1, theirs + secret),
        reply(first[1] - 1, theirs + secret),
        b"\x09" + right[1:],
    ):
        assert not lcp.answersChallenge(packet), packet.hex()
    assert lcp.answersChallenge(reply(first[1], theirs + secret))
    assert lcp.answersChallenge(right)
    lcp.received(right)
    assert lcp.echoesUnanswered == 0
    assert not lcp.answersChallenge(right)


def test_echoCodeRejected() -> None:
    """
    LCP stays open when the peer rejects the code of Echo-Request.
    """
    peer = Peer()
    peer.open()
    peer.lcp.sendEcho()
    peer.lcp.received(ppp.encodePacket(ppp.CODE_REJECT, 1, peer.sent[-1]))
    assert (peer.lcp.echoesUnanswered, peer.told) == (0, ["up"])


def test_protocolRejectSent() -> None:
    """
    A Protocol-Reject has the protocol and as much of the packet as the peer's MRU allows. LCP sends
    it in Opened alone.
    """
    peer = Peer()
    peer.lcp.sendProtocolReject(0x8235, b"abc")
    assert len(peer.sent) == 1
    peer.open((1, "0080"))
    peer.lcp.sendProtocolReject(0x8235, b"abc")
    peer.lcp.sendProtocolReject(0x8235, bytes(500))
    first, second = peer.sent
    assert ppp.decodePacket(first)[::2] == (ppp.PROTOCOL_REJECT, b"\x82\x35abc")
    assert first[1] != second[1]
    assert len(second) == 128


def test_protocolRejectReceived() -> None:
    """
    LCP reports the protocol of a Protocol-Reject to the link. A Protocol-Reject of LCP itself ends
    LCP, and one before Opened is ignored.
    """
    peer = Peer()
    rejected: list[int] = []
    peer.lcp.protocolRejected = rejected.append
    peer.lcp.received(ppp.encodePacket(ppp.PROTOCOL_REJECT, 1, b"\x80\xfd\1\1"))
    peer.open()
    peer.lcp.received(ppp.encodePacket(ppp.PROTOCOL_REJECT, 1, b"\x80\xfd\1\1"))
    peer.lcp.received(ppp.encodePacket(ppp.PROTOCOL_REJECT, 1, b"\x80"))
    assert (rejected, peer.told) == ([0x80FD], ["up"])
    peer.lcp.received(ppp.encodePacket(ppp.PROTOCOL_REJECT, 1, b"\xc0\x21"))
    peer.clock.pump([RESTART_SECONDS] * 3)
    assert peer.told == ["up", "down", "the peer rejects LCP itself"]


def test_renegotiated() -> None:
    """
    A Configure-Request in Opened restarts the negotiation, as RFC 1661 says, with the options that
    LCP asked for at first.
    """
    peer = Peer(BOTH)
    peer.answer(ppp.CONFIGURE_NAK, (3, MD5))
    peer.open((1, "0578"))
    peer.request((1, "0500"))
    assert [packet[0] for packet in peer.sent] == [1, 2]
    assert peer.asked()[3] == V2
    peer.answer(ppp.CONFIGURE_ACK)
    assert peer.told == ["up", "down", "up"]
    assert (peer.lcp.peerMRU, peer.lcp.demanded) == (1280, MSCHAPV2)


def octets(*options: tuple[int, str]) -> bytes:
    return ppp.encodeOptions((number, bytes.fromhex(value)) for number, value in options)


OURS = ((1, "0578"), (3, V2), (5, "00000007"), (7, ""), (8, ""))
"""
What another end has asked the peer for: what we would ask for, too.
"""


def test_resumed() -> None:
    """
    What another end has agreed on is taken over without a packet, and is what LCP has agreed on.
    Another Configure-Request of the peer restarts the negotiation.
    """
    peers = octets((1, "0500"), (2, "000a0000"), (5, "00000009"))
    proxied = Negotiated(octets((17, "0000"), (1, "0500")), peers, octets(*OURS))
    peer = Peer(BOTH, proxied=proxied)
    assert peer.sent == [] and peer.told == ["up"]
    lcp = peer.lcp
    assert (lcp.state, lcp.demanded, lcp.mru, lcp.peerMRU) == (State.OPENED, MSCHAPV2, 1400, 1280)
    assert (lcp.sendPFC, lcp.sendACFC, lcp.sendACCM) == (False, False, 0xA0000)
    assert lcp.negotiated(None) == proxied
    assert peer.magic() == 7
    peer.sent.clear()
    peer.request((1, "0578"))
    assert [packet[0] for packet in peer.sent] == [1, 2]
    peer.answer(ppp.CONFIGURE_ACK)
    assert peer.told == ["up", "down", "up"]


@pytest.mark.parametrize(
    ("ours", "peers"),
    [
        (octets((1, "0578")), b""),
        (octets((3, V2)), b""),
        (octets((1, "0579"), (3, V2)), b""),
        (octets((1, "0004"), (3, V2)), b""),
        (octets((1, "05"), (3, V2)), b""),
        (octets((1, "0578"), (3, PAP)), b""),
        (octets((1, "0578"), (3, "c227")), b""),
        (octets(*OURS, (17, "0000")), b""),
        (octets((1, "0578"), (3, V2), (5, "00000000")), b""),
        (octets((1, "0578"), (3, V2), (7, "00")), b""),
        (octets((1, "0578"), (3, V2), (2, "00")), b""),
        (octets(*OURS), octets((3, V2))),
        (octets(*OURS), octets((1, "0001"))),
        (octets(*OURS), octets((17, "0000"))),
        (octets(*OURS), b"\x01"),
        (b"\x01\x01", b""),
    ],
    ids=lambda one: one.hex(),
)
def test_notResumed(ours: bytes, peers: bytes) -> None:
    """
    What this end wouldn't have agreed on isn't taken over: no authentication or one that isn't
    permitted, a larger MRU, and options that are unknown or malformed.
    """
    peer = Peer(BOTH, proxied=Negotiated(b"", peers, ours))
    assert peer.told == [] and peer.lcp.state is State.REQ_SENT
    assert peer.asked()[3] == V2
    peer.open((1, "0578"))


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_resumingAnything(ours: bytes, peers: bytes) -> None:
    """
    Whatever the other end tells, either LCP negotiates or the settings are satisfied.
    """
    peer = Peer(BOTH, proxied=Negotiated(b"", peers, ours))
    if peer.lcp.opened:
        assert peer.lcp.demanded is not None and peer.lcp.mru <= 1400
    else:
        assert peer.lcp.state is State.REQ_SENT
