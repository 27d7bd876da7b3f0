"""
Tests of L{pptpgw.networks.mpls.mplscp}.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pptpgw.interfaces import Attachments, INetworkLink, INetworkProtocol
from pptpgw.networks.mpls.mplscp import MPLSCP, MPLSSettings
from pptpgw.ppp.automaton import RESTART_SECONDS
from pptpgw.ppp.wire import ppp

REQUEST, ACK, NAK, REJECT = (
    ppp.CONFIGURE_REQUEST,
    ppp.CONFIGURE_ACK,
    ppp.CONFIGURE_NAK,
    ppp.CONFIGURE_REJECT,
)


@implementer(INetworkLink)
class Link:
    """
    One end: an MPLSCP and its link.

    @ivar other: the other end, where packets go.
    """

    def __init__(self, clock: Clock, peerMRU: int = 1400, mtu: int = 1400) -> None:
        self.clock = clock
        self.peerMRU = peerMRU
        self.other: Link | None = None
        self.told: list[object] = []
        self.sent: list[bytes] = []
        self.packets: list[tuple[int, bytes]] = []
        self.received: list[tuple[str, bytes]] = []
        self.attachments: Attachments = {}
        self.mplscp = MPLSCP(
            MPLSSettings(
                lambda packet: self.received.append(("unicast", packet)),
                lambda packet: self.received.append(("multicast", packet)),
                mtu,
            )
        )
        self.mplscp.attach(self)
        self.mplscp.open()

    def send(self, protocol: int, packet: bytes) -> None:
        assert protocol == 0x8281
        self.sent.append(packet)
        if self.other is not None:
            self.clock.callLater(0, self.other.mplscp.received, packet)

    def sendPacket(self, number: int, packet: bytes) -> None:
        self.packets.append((number, packet))

    def networkOpened(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        self.attachments = attachments
        self.told.append("opened")

    def networkChanged(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        raise AssertionError("nothing changes here")

    def networkClosed(self, protocol: INetworkProtocol) -> None:
        self.told.append("closed")

    def networkFinished(self, protocol: INetworkProtocol, reason: str) -> None:
        self.told.append(reason)

    def request(self, options: bytes) -> tuple[int, bytes]:
        """
        Send a Configure-Request; code and data of the answer.
        """
        self.mplscp.received(ppp.encodePacket(REQUEST, 1, options))
        code, _, data = ppp.decodePacket(self.sent[-1])
        return code, data


def joined() -> tuple[Link, Link]:
    """
    Two that talk to each other, open.
    """
    clock = Clock()
    one, other = Link(clock), Link(clock)
    one.other, other.other = other, one
    for link in (one, other):
        link.mplscp.lowerUp()
    clock.advance(0)
    clock.advance(0)
    return one, other


@pytest.fixture
def link() -> Link:
    """
    One whose peer the test is.
    """
    link = Link(Clock())
    link.mplscp.lowerUp()
    return link


def test_interface(link: Link) -> None:
    """
    It is a network protocol with two protocol numbers.
    """
    mplscp = link.mplscp
    assert verifyObject(INetworkProtocol, mplscp)
    assert (mplscp.name, mplscp.control) == ("mpls", 0x8281)
    assert mplscp.protocols == (0x0281, 0x0283)


def test_opens() -> None:
    """
    Two open, in both roles alike, with one empty Configure-Request each way.
    """
    one, other = joined()
    for link in (one, other):
        assert link.told == ["opened"]
        assert [ppp.decodePacket(packet)[::2] for packet in link.sent] == [
            (REQUEST, b""),
            (ACK, b""),
        ]


def test_twoProtocols() -> None:
    """
    Unicast and multicast are kept apart, coming and going.
    """
    link, _ = joined()
    assert sorted(link.attachments) == [0x0281, 0x0283]
    for number, packet in ((0x0281, b"one"), (0x0283, b"many")):
        receive = link.attachments[number].receive
        assert receive is not None
        receive(packet)
    assert link.received == [("unicast", b"one"), ("multicast", b"many")]
    link.mplscp.sendPacket(b"one")
    link.mplscp.sendMulticast(b"many")
    assert link.packets == [(0x0281, b"one"), (0x0283, b"many")]


@pytest.mark.parametrize(("peerMRU", "mtu", "size"), [(1400, 1400, 1400), (576, 1400, 576)])
def test_size(peerMRU: int, mtu: int, size: int) -> None:
    """
    A labelled packet is as large as the information field may be (RFC 3032 section 4.3), for both
    protocols.
    """
    link = Link(Clock(), peerMRU, mtu)
    link.mplscp.lowerUp()
    link.mplscp.received(ppp.encodePacket(ACK, link.sent[-1][1]))
    assert link.request(b"") == (ACK, b"")
    assert {attachment.mtu for attachment in link.attachments.values()} == {size}


@pytest.mark.parametrize("options", ["0306c0000201", "0102", "0304ffff810a0000000000000000"])
def test_everyOptionIsRejected(link: Link, options: str) -> None:
    """
    None is defined (RFC 3032 section 4.4).
    """
    assert link.request(bytes.fromhex(options)) == (REJECT, bytes.fromhex(options))
    assert link.request(b"") == (ACK, b"")


def test_askingForOptionsForever(link: Link) -> None:
    """
    A peer that can't do without an option is let go.
    """
    for _ in range(20):
        link.mplscp.received(ppp.encodePacket(REQUEST, 1, b"\x01\x02"))
    link.clock.pump([RESTART_SECONDS] * 12)
    assert link.told[-1] == "the peer keeps asking for what it can't have"


@pytest.mark.parametrize("code", [NAK, REJECT])
def test_refusalsOfNothing(link: Link, code: int) -> None:
    """
    A peer that refuses options of a request that has none changes nothing but is given up at last.
    """
    for _ in range(20):
        link.mplscp.received(ppp.encodePacket(code, link.sent[-1][1], b"\x01\x02"))
    assert all(ppp.decodePacket(packet)[2] == b"" for packet in link.sent if packet[0] == REQUEST)
    assert "opened" not in link.told


def test_onlySevenCodes(link: Link) -> None:
    """
    Codes above 7 get a Code-Reject (RFC 3032 section 4.2).
    """
    echo = ppp.encodePacket(ppp.ECHO_REQUEST, 9, bytes(4))
    link.mplscp.received(echo)
    code, _, data = ppp.decodePacket(link.sent[-1])
    assert (code, data) == (ppp.CODE_REJECT, echo)


def test_terminated() -> None:
    """
    Either end closes it; both stop their packets.
    """
    one, other = joined()
    one.mplscp.close("enough")
    one.clock.pump([0, 0, 0, RESTART_SECONDS, RESTART_SECONDS, RESTART_SECONDS])
    assert one.told[:2] == ["opened", "closed"]
    assert other.told[:2] == ["opened", "closed"]


def test_protocolReject(link: Link) -> None:
    """
    A peer without MPLS ends this alone.
    """
    link.mplscp.rejected()
    assert len(link.told) == 1 and "opened" not in link.told


def test_silence(link: Link) -> None:
    """
    A peer that never answers ends it, after the Restart timer's last.
    """
    link.clock.pump([RESTART_SECONDS] * 12)
    assert len(link.told) == 1 and "opened" not in link.told


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_hostile(packets: list[bytes]) -> None:
    """
    Whatever comes, nothing is raised.
    """
    link = Link(Clock())
    link.mplscp.lowerUp()
    for packet in packets:
        link.mplscp.received(packet)
