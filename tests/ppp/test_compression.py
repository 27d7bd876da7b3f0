"""
Tests for L{pptpgw.ppp.compression}.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from pptpgw.interfaces import CompressionParameters
from pptpgw.ppp.automaton import RESTART_SECONDS
from pptpgw.ppp.compression import CompressionCCP
from pptpgw.ppp.control import ControlProtocol
from pptpgw.ppp.decode.agreement import agreedOptions
from pptpgw.ppp.decode.ccp import WORDS
from pptpgw.ppp.settings import LinkSettings
from pptpgw.ppp.wire import ppp
from tests.ppp.test_link import CLIENT, SERVER, Pair

ACK, NAK, REJECT = ppp.CONFIGURE_ACK, ppp.CONFIGURE_NAK, ppp.CONFIGURE_REJECT

# The options of Deflate, of its draft, of BSD-Compress, and of MPPC and MPPE.
DEFLATE, DRAFT, BSD, MPPC = 26, 24, 21, 18
FULL = (DEFLATE, "7800")

Wanted = tuple[int, str]


class Peer:
    """
    Drives a CCP by hand: plays its layer and its peer.
    """

    def __init__(self, *methods: str) -> None:
        self.clock = Clock()
        self.told: list[str] = []
        self.sent: list[bytes] = []
        send = lambda protocol, packet: self.sent.append(packet)  # noqa: E731
        self.ccp = CompressionCCP(self.clock, send, self, methods)
        self.ccp.resetRequested = lambda: self.told.append("send")
        self.ccp.resetAcknowledged = lambda: self.told.append("receive")
        self.ccp.open()
        self.ccp.lowerUp()

    def layerUp(self, protocol: ControlProtocol) -> None:
        self.told.append("up")

    def layerDown(self, protocol: ControlProtocol) -> None:
        self.told.append("down")

    def layerFinished(self, protocol: ControlProtocol, reason: str) -> None:
        self.told.append(reason)

    def request(self, *options: Wanted) -> tuple[int, list[Wanted]]:
        """
        Send a Configure-Request.

        @return: the code and the options of the answer.
        """
        self.sent.clear()
        self._send(ppp.CONFIGURE_REQUEST, 1, *options)
        return self._read(self.sent[0])

    def answer(self, code: int, *options: Wanted) -> None:
        """
        Answer the last Configure-Request; without options as it was.
        """
        requests = [one for one in self.sent if one[0] == ppp.CONFIGURE_REQUEST]
        given = options or self._read(requests[-1])[1]
        self._send(code, requests[-1][1], *given)

    def asked(self) -> list[Wanted]:
        """
        The options of the last Configure-Request.
        """
        return self._read([one for one in self.sent if one[0] == ppp.CONFIGURE_REQUEST][-1])[1]

    def _send(self, code: int, identifier: int, *options: Wanted) -> None:
        octets = ppp.encodeOptions((number, bytes.fromhex(value)) for number, value in options)
        self.ccp.received(ppp.encodePacket(code, identifier, octets))

    def _read(self, packet: bytes) -> tuple[int, list[Wanted]]:
        code, _, data = ppp.decodePacket(packet)
        return code, [(number, value.hex()) for number, value in ppp.decodeOptions(data)]


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ([FULL], (ACK, [FULL])),
        ([(DEFLATE, "1800")], (ACK, [(DEFLATE, "1800")])),
        # A window of 256 octets or 64 KiB, another method, another check, and wrong lengths.
        ([(DEFLATE, "0800")], (NAK, [FULL])),
        ([(DEFLATE, "8800")], (NAK, [FULL])),
        ([(DEFLATE, "7700")], (NAK, [FULL])),
        ([(DEFLATE, "7801")], (NAK, [FULL])),
        ([(DEFLATE, "78")], (NAK, [FULL])),
        ([(DEFLATE, "780000")], (NAK, [FULL])),
        # What pppd asks for.
        (
            [FULL, (DRAFT, "7800"), (BSD, "2f")],
            (REJECT, [(DRAFT, "7800"), (BSD, "2f")]),
        ),
        ([(MPPC, "01000040")], (REJECT, [(MPPC, "01000040")])),
        ([(MPPC, "00000001")], (ACK, [(MPPC, "00000001")])),
        # What Windows asks for.
        ([(MPPC, "010000e1")], (NAK, [(MPPC, "00000001")])),
        ([(MPPC, "000001")], (REJECT, [(MPPC, "000001")])),
        ([], (ACK, [])),
    ],
)
def test_judged(options: list[Wanted], answer: tuple[int, list[Wanted]]) -> None:
    """
    Deflate is acknowledged with every window that zlib has, MPPC without MPPE, and other methods
    are rejected.
    """
    assert Peer("deflate", "mppc").request(*options) == answer


def test_nothingIsPermitted() -> None:
    """
    A method that isn't permitted is neither asked for nor acknowledged.
    """
    peer = Peer()
    assert peer.asked() == []
    both = [FULL, (MPPC, "00000001")]
    assert peer.request(*both) == (REJECT, both)


@pytest.mark.parametrize(
    ("refusal", "asked"),
    [
        ((REJECT, FULL), [(MPPC, "00000001")]),
        ((NAK, (MPPC, "01000041")), [FULL, (MPPC, "00000001")]),
        ((NAK, (MPPC, "01000040")), [FULL]),
    ],
)
def test_bothMethods(refusal: tuple[int, Wanted], asked: list[Wanted]) -> None:
    """
    We ask for both methods, Deflate first, and receive by the first one that the peer grants; we
    send by the first one that it asks for.
    """
    peer = Peer("mppc", "deflate")
    assert peer.asked() == [FULL, (MPPC, "00000001")]
    peer.answer(*refusal)
    assert peer.asked() == asked
    peer.answer(ACK)
    peer.request((MPPC, "00000001"), FULL)
    receiving, sending = peer.ccp.receiving(1502), peer.ccp.sending(1502)
    assert receiving is not None and sending is not None
    assert receiving.method == ("mppc" if asked[0][0] == MPPC else "deflate")
    assert sending == CompressionParameters("mppc", 0, 1502)


@pytest.mark.parametrize(
    ("refusal", "asked"),
    [
        ((NAK, (DEFLATE, "3800")), [(DEFLATE, "3800")]),
        ((NAK, (DEFLATE, "3900")), []),
        ((REJECT, FULL), []),
    ],
)
def test_refused(refusal: tuple[int, Wanted], asked: list[Wanted]) -> None:
    """
    We take a smaller window, or do without compression of what we receive.
    """
    peer = Peer("deflate")
    assert peer.asked() == [FULL]
    peer.answer(*refusal)
    assert peer.asked() == asked
    peer.request(FULL)
    peer._send(ACK, peer.ccp._request[1] if peer.ccp._request else 0, *asked)
    assert peer.told == ["up"]
    assert peer.ccp.sending(1502) == CompressionParameters("deflate", 15, 1502)
    receiving = CompressionParameters("deflate", 11, 1502) if asked else None
    assert peer.ccp.receiving(1502) == receiving


def test_resets() -> None:
    """
    A Reset-Request is acted upon and answered, and so is a Reset-Ack, but only while CCP is open.
    """
    peer = Peer("deflate")
    reset, acknowledged = (ppp.encodePacket(code, 7) for code in (ppp.RESET_REQUEST, ppp.RESET_ACK))
    for packet in (reset, acknowledged):
        peer.ccp.received(packet)
    assert peer.told == []
    peer.answer(ACK)
    peer.request(FULL)
    peer.sent.clear()
    for packet in (reset, acknowledged):
        peer.ccp.received(packet)
    assert peer.told == ["up", "send", "receive"]
    assert peer.sent == [acknowledged]
    peer.ccp.sendResetRequest()
    assert peer.sent[1][0] == ppp.RESET_REQUEST


@pytest.mark.parametrize(
    ("changes", "isSo"),
    [
        ({}, True),
        ({"encryption": "require"}, False),
        ({"encryption": "prefer"}, False),
        ({"encrypted": True}, False),
        ({"compression": ()}, False),
    ],
)
def test_onlyWhereNothingEncrypts(changes: dict[str, object], isSo: bool) -> None:
    """
    Compression under encryption would tell of what is encrypted by its length.
    """
    settings = LinkSettings(encryption="off", compression=("deflate",))
    assert replace(settings, **changes).mayCompress is isSo  # type: ignore[arg-type]


def pair(server: tuple[str, ...], client: tuple[str, ...], encryption: str = "off") -> Pair:
    """
    Two ends with these methods, which have begun.
    """
    changes = [{"encryption": encryption, "compression": methods} for methods in (server, client)]
    made = Pair(
        replace(SERVER, **changes[0]),  # type: ignore[arg-type]
        replace(CLIENT, **changes[1]),  # type: ignore[arg-type]
    )
    made.start()
    made.run(1)
    return made


def test_bothEnds() -> None:
    """
    Both ends compress in both directions, say so, and pass Reset-Requests and Reset-Acks on.
    """
    both = pair(("deflate",), ("deflate",))
    parameters = CompressionParameters("deflate", 15, 1502)
    assert both.serverChannel.compression == both.clientChannel.compression == (parameters,) * 2
    (agreement,) = (one for one in both.server.agreements if one.control == ppp.CCP)
    (option,) = agreedOptions(agreement, WORDS.options)
    assert (option.name, option.ours, option.peers) == ("deflate", ["15"], ["15"])
    both.server.resyncNeeded()
    both.run(0.1)
    assert both.clientChannel.compressionResets == [True]
    assert both.serverChannel.compressionResets == [False]


@pytest.mark.parametrize(("server", "client"), [((), ("deflate",)), (("deflate",), ())])
def test_oneEndAlone(server: tuple[str, ...], client: tuple[str, ...]) -> None:
    """
    An end that may not compress rejects CCP, and the network opens all the same.
    """
    both = pair(server, client)
    assert both.serverChannel.compression == both.clientChannel.compression == (None, None)
    assert 0x21 in both.serverChannel.networks and 0x21 in both.clientChannel.networks
    assert (ppp.CCP in [one.control for one in both.server.agreements]) is False


@pytest.mark.parametrize("encryption", ["require", "prefer"])
def test_encryptionTakesPrecedence(encryption: str) -> None:
    """
    Where MPPE is required or preferred there is no compression.
    """
    both = pair(("deflate",), ("deflate",), encryption)
    assert both.serverChannel.compression == (None, None)
    assert both.server.encryption == "MPPE 128 bit stateless"


def test_theEnd() -> None:
    """
    Compression ends with LCP, and with a CCP that the peer terminates; the link goes on without.
    """
    both = pair(("deflate",), ("deflate",))
    network = both.client._network
    assert network is not None and network._compression is not None
    ccp = network._compression.ccp
    assert ccp is not None
    ccp.close("enough")
    both.run(1)
    assert both.serverChannel.compression == both.clientChannel.compression == (None, None)
    assert both.server.lcp.opened and 0x21 in both.serverChannel.networks
    again = pair(("deflate",), ("deflate",))
    again.client.lcp.lowerDown()
    assert again.clientChannel.compression == (None, None)
    again.client.lcp.lowerUp()
    again.run(RESTART_SECONDS)
    assert again.clientChannel.compression != (None, None)


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_whateverComes(packets: list[bytes]) -> None:
    """
    No packets raise anything, or agree on what we don't have.
    """
    peer = Peer("deflate", "mppc")
    for packet in packets:
        peer.ccp.received(packet)
        for parameters in (peer.ccp.sending(1502), peer.ccp.receiving(1502)):
            assert parameters is None or 9 <= parameters.window <= 15 or not parameters.window
