"""
Tests for L{pptpgw.ppp.ccp}.
"""

from __future__ import annotations

import pytest
from scapy.layers.ppp import PPP_LCP_Option
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from pptpgw.interfaces import Agreement, INegotiated
from pptpgw.ppp.automaton import RESTART_SECONDS
from pptpgw.ppp.ccp import CCP, CCPSettings, isStateful, keyLengths, mppeOption
from pptpgw.ppp.control import ControlProtocol
from pptpgw.ppp.option import MAX_FAILURE
from pptpgw.ppp.wire import ppp

H128, H56, H40, H = "01000040", "01000080", "01000020", "01000000"
S128 = "00000040"
EVERY = (40, 56, 128)

ACK, NAK, REJECT = ppp.CONFIGURE_ACK, ppp.CONFIGURE_NAK, ppp.CONFIGURE_REJECT


class Peer:
    """
    Drives a CCP by hand: plays its layer and its peer.
    """

    def __init__(
        self, bits: tuple[int, ...] = (128,), stateful: bool = False, require: bool = True
    ) -> None:
        self.clock = Clock()
        self.told: list[str] = []
        self.sent: list[bytes] = []
        self.ccp = CCP(
            self.clock,
            lambda protocol, packet: self.sent.append(packet),
            self,
            CCPSettings(bits, stateful, require),
        )
        self.ccp.open()
        self.ccp.lowerUp()

    def layerUp(self, protocol: ControlProtocol) -> None:
        self.told.append("up")

    def layerDown(self, protocol: ControlProtocol) -> None:
        self.told.append("down")

    def layerFinished(self, protocol: ControlProtocol, reason: str) -> None:
        self.told.append(reason)

    def request(self, *values: str, options: bytes = b"", identifier: int = 1) -> tuple[int, str]:
        """
        Send a Configure-Request for MPPE with each of C{values}.

        @return: the code and the octets of the answer.
        """
        options += b"".join(b"\x12\x06" + bytes.fromhex(value) for value in values)
        self.ccp.received(ppp.encodePacket(ppp.CONFIGURE_REQUEST, identifier, options))
        return self.sent[-1][0], self.sent[-1][6:].hex()

    def answer(self, code: int, value: str = "") -> None:
        """
        Answer the latest Configure-Request.
        """
        request = [packet for packet in self.sent if packet[0] == ppp.CONFIGURE_REQUEST][-1]
        octets = b"\x12\x06" + bytes.fromhex(value) if value else b""
        octets = request[4:] if code == ACK else octets
        self.ccp.received(ppp.encodePacket(code, request[1], octets))

    def asked(self) -> str:
        """
        The value of MPPE's option in our latest Configure-Request.
        """
        return [packet for packet in self.sent if packet[0] == ppp.CONFIGURE_REQUEST][-1][6:].hex()

    def finish(self) -> str:
        """
        Let the Restart timers run out, and return the last thing that the layer was told.
        """
        self.clock.pump([RESTART_SECONDS] * 3)
        return self.told[-1]


@pytest.mark.parametrize(
    ("bits", "asked"),
    [((128,), H128), ((40,), H40), ((56,), H56), (EVERY, H128), ((40, 56), H56), ((), "")],
)
def test_asked(bits: tuple[int, ...], asked: str) -> None:
    """
    CCP asks for the strongest permitted key length alone, stateless.
    """
    assert Peer(bits, stateful=True, require=False).asked() == asked


@pytest.mark.parametrize(
    ("bits", "value", "answer"),
    [
        ((128,), H128, (ACK, H128)),
        ((128,), H, (NAK, H128)),
        ((128,), "01000001", (NAK, H128)),
        ((128,), "01000041", (NAK, H128)),
        ((128,), "010000e0", (NAK, H128)),
        ((128,), "010000f1", (NAK, H128)),
        ((128,), H40, (NAK, H128)),
        ((128,), S128, (NAK, H128)),
        ((128,), "00000000", (NAK, H128)),
        ((128,), "01ff0040", (NAK, H128)),
        ((40,), H40, (ACK, H40)),
        ((40,), "01000060", (NAK, H40)),
        (EVERY, H56, (ACK, H56)),
        (EVERY, H40, (ACK, H40)),
        (EVERY, "010000e0", (NAK, H128)),
        (EVERY, "010000a0", (NAK, H56)),
        ((), H128, (REJECT, H128)),
    ],
)
def test_judged(bits: tuple[int, ...], value: str, answer: tuple[int, str]) -> None:
    """
    CCP acknowledges an option with exactly one permitted key length and no other bit set. It
    answers every other option with a Configure-Nak that names the strongest common length.
    """
    assert Peer(bits, require=False).request(value) == answer


def test_wrongLength() -> None:
    """
    CCP answers an MPPE option of a wrong length with a Configure-Nak of the right length.
    """
    assert Peer().request(options=b"\x12\x03\x01") == (NAK, H128)


def test_otherCompression() -> None:
    """
    CCP rejects Deflate, BSD, Predictor and Stac, all in one Configure-Reject and nothing else.
    """
    others = bytes.fromhex("1a047800 15032f 0102 1105000104 18047800")
    peer = Peer()
    peer.request(H128, options=others)
    assert peer.sent[-1][0] == REJECT
    assert peer.sent[-1][4:] == others


def test_windows() -> None:
    """
    Windows asks for the H bit without a key length and follows our Configure-Nak. Both directions
    then use the same length.
    """
    peer = Peer()
    assert peer.request(H) == (NAK, H128)
    assert peer.request(H128) == (ACK, H128)
    peer.answer(ACK)
    assert peer.told == ["up"]
    ccp = peer.ccp
    assert (ccp.sendBits, ccp.sendStateful) == (128, False)
    assert (ccp.receiveBits, ccp.receiveStateful) == (128, False)


def test_lateDuplicate() -> None:
    """
    CCP acknowledges a repetition of the acknowledged request in Opened and stays open. Another
    request restarts the negotiation.
    """
    peer = Peer((40, 128))
    peer.request(H128)
    peer.answer(ACK)
    peer.sent.clear()
    assert peer.request(H128, identifier=9) == (ACK, H128)
    assert peer.sent == [bytes.fromhex("0209000a1206") + bytes.fromhex(H128)]
    assert peer.told == ["up"]
    assert peer.request(H40) == (ACK, H40)
    assert peer.told == ["up", "down"]


def test_agreement() -> None:
    """
    What was agreed on is there in state Opened alone: a negotiation anew replaces it, and the end
    drops it.
    """
    peer = Peer((40, 128), stateful=True)
    verifyObject(INegotiated, peer.ccp)
    peer.request(H128)
    found = [peer.ccp.agreement]
    peer.answer(ACK)
    found.append(peer.ccp.agreement)
    peer.request(H40)
    found.append(peer.ccp.agreement)
    peer.answer(NAK, H40)
    peer.answer(ACK)
    found.append(peer.ccp.agreement)
    peer.ccp.received(ppp.encodePacket(ppp.TERMINATE_REQUEST, 9))
    found.append(peer.ccp.agreement)
    options = [bytes.fromhex("1206" + value) for value in (H128, H40)]
    first, second = (Agreement(ppp.CCP, one, one) for one in options)
    assert found == [None, first, None, second, None]


def test_peerForgot() -> None:
    """
    CCP restarts the negotiation when the peer repeats its request in Opened again and again.
    """
    peer = Peer()
    peer.request(H128)
    peer.answer(ACK)
    for _ in range(MAX_FAILURE):
        peer.request(H128)
    assert peer.told == ["up"]
    peer.request(H128)
    peer.answer(ACK)
    assert peer.told == ["up", "down", "up"]


def test_nakFollowed() -> None:
    """
    CCP follows a Configure-Nak that names a permitted key length, and then uses that length in both
    directions.
    """
    peer = Peer(EVERY)
    peer.answer(NAK, H40)
    assert peer.asked() == H40
    assert peer.request("010000e0") == (NAK, H40)
    peer.answer(ACK)
    assert peer.request(H128) == (NAK, H40)
    assert peer.request(H40) == (ACK, H40)
    assert peer.told == ["up"]
    assert (peer.ccp.sendBits, peer.ccp.receiveBits) == (40, 40)


def test_nakOfSeveral() -> None:
    """
    CCP takes the strongest permitted key length of those that a Configure-Nak names. If none is
    permitted, CCP tries the next weaker of its own.
    """
    peer = Peer((40, 56))
    peer.answer(NAK, "010000e0")
    assert peer.asked() == H56
    peer.answer(NAK, H128)
    assert peer.asked() == H40


def test_acknowledgedHolds() -> None:
    """
    A Configure-Nak of the peer can't weaken our key length after we have acknowledged 128 bits for
    the peer's.
    """
    peer = Peer(EVERY)
    assert peer.request(H128) == (ACK, H128)
    peer.answer(NAK, H40)
    assert peer.finish() == "MPPE: no common key length: peer offers 40, we allow 128 or 56 or 40"


def test_noCommonLength() -> None:
    """
    Ends without a common key length end CCP and say so, whether they learn of it by a Configure-Nak
    or by a Configure-Request.
    """
    reason = "MPPE: no common key length: peer offers 40, we allow 128"
    peer = Peer()
    peer.answer(NAK, H40)
    assert peer.finish() == reason
    peer = Peer()
    for _ in range(MAX_FAILURE):
        assert peer.request(H40) == (NAK, H128)
    peer.request(H40)
    assert peer.finish() == reason


def test_nakWithoutLength() -> None:
    """
    CCP repeats its request after a Configure-Nak without a key length, but not endlessly.
    """
    peer = Peer()
    for _ in range(MAX_FAILURE):
        peer.answer(NAK, H)
        assert peer.asked() == H128
    peer.answer(NAK, H)
    assert peer.finish() == "MPPE: the peer rejects it"


def test_stateful() -> None:
    """
    CCP asks a peer that wants stateful MPPE to use stateless MPPE. A peer that insists gets
    stateful MPPE where it is allowed, and otherwise CCP ends with the reason.
    """
    peer = Peer(stateful=True)
    assert peer.request(S128) == (NAK, H128)
    assert peer.request(S128) == (ACK, S128)
    peer.answer(NAK, S128)
    assert peer.asked() == S128
    peer.answer(ACK)
    assert (peer.ccp.sendStateful, peer.ccp.receiveStateful) == (True, True)
    peer = Peer()
    for _ in range(MAX_FAILURE):
        assert peer.request(S128) == (NAK, H128)
    peer.answer(NAK, S128)
    assert peer.asked() == H128
    peer.request(S128)
    assert peer.finish() == "MPPE: the peer insists on stateful, we allow stateless only"


def test_required() -> None:
    """
    CCP ends where MPPE is required and the peer rejects it or never asks for it.
    """
    peer = Peer()
    peer.answer(REJECT, H128)
    assert peer.finish() == "MPPE: the peer rejects it"
    peer = Peer()
    peer.answer(ACK)
    for _ in range(MAX_FAILURE):
        assert peer.request() == (NAK, H128)
    peer.request()
    assert peer.finish() == "MPPE: the peer doesn't ask for it"


def test_preferred() -> None:
    """
    Where MPPE is only preferred, CCP hints at it once by a Configure-Nak and then opens without it.
    CCP never opens with MPPE in one direction alone.
    """
    peer = Peer(require=False)
    assert peer.request() == (NAK, H128)
    assert peer.request() == (ACK, "")
    peer.answer(REJECT, H128)
    peer.answer(ACK)
    assert peer.told == ["up"]
    assert (peer.ccp.sendBits, peer.ccp.receiveBits) == (0, 0)
    peer = Peer(require=False)
    peer.answer(REJECT, H128)
    assert peer.request(H128) == (REJECT, H128)
    assert peer.request() == (ACK, "")
    peer.answer(ACK)
    assert peer.told == ["up"]


def test_off() -> None:
    """
    CCP asks for nothing and rejects MPPE where no key length is allowed.
    """
    peer = Peer((), require=False)
    assert peer.request(H) == (REJECT, H)
    assert peer.request() == (ACK, "")
    peer.answer(ACK)
    assert (peer.told, peer.ccp.sendBits) == (["up"], 0)


def test_resets() -> None:
    """
    CCP passes a Reset-Request on and acknowledges it in Opened alone, where it sends Reset-Requests
    too, and discards a Reset-Ack.
    """
    peer = Peer()
    asked: list[str] = []
    peer.ccp.resetRequested = lambda: asked.append("reset")
    peer.ccp.received(ppp.encodePacket(ppp.RESET_REQUEST, 7))
    peer.ccp.sendResetRequest()
    peer.request(H128)
    peer.answer(ACK)
    assert (asked, peer.told) == ([], ["up"])
    peer.sent.clear()
    peer.ccp.received(ppp.encodePacket(ppp.RESET_REQUEST, 7))
    peer.ccp.received(ppp.encodePacket(ppp.RESET_ACK, 7))
    assert (asked, peer.sent) == (["reset"], [ppp.encodePacket(ppp.RESET_ACK, 7)])
    peer.sent.clear()
    peer.ccp.sendResetRequest()
    peer.ccp.sendResetRequest()
    assert [ppp.decodePacket(packet)[::2] for packet in peer.sent] == [(14, b"")] * 2
    assert peer.sent[0][1] != peer.sent[1][1]


def test_resetsOfStatefulMPPE() -> None:
    """
    CCP acknowledges a Reset-Request until the peer rejects the code.
    """
    peer = Peer(stateful=True)
    asked: list[str] = []
    peer.ccp.resetRequested = lambda: asked.append("reset")
    peer.request(S128)
    peer.request(S128, identifier=2)
    peer.answer(ACK)
    assert peer.ccp.sendStateful
    peer.sent.clear()
    peer.ccp.received(ppp.encodePacket(ppp.RESET_REQUEST, 7))
    assert (asked, peer.sent) == (["reset"], [ppp.encodePacket(ppp.RESET_ACK, 7)])
    peer.ccp.received(ppp.encodePacket(ppp.CODE_REJECT, 3, peer.sent.pop()))
    peer.ccp.received(ppp.encodePacket(ppp.RESET_REQUEST, 8))
    assert (asked, peer.sent, peer.told) == (["reset"] * 2, [], ["up"])


@pytest.mark.parametrize(("bits", "flag"), [(40, 0x20), (56, 0x80), (128, 0x40)])
def test_octets(bits: int, flag: int) -> None:
    """
    MPPE's option has the same octets as scapy's generic option, and is read back.
    """
    value = mppeOption(bits, stateful=False)
    theirs = bytes(PPP_LCP_Option(type=18, data=(0x01000000 | flag).to_bytes(4, "big")))
    assert ppp.encodeOptions([(18, value)]) == theirs
    assert (keyLengths(value), isStateful(value)) == ((bits,), False)
    assert isStateful(mppeOption(bits, stateful=True))
