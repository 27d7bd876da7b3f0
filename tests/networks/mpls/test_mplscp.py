"""
Tests for L{pptpgw.networks.mpls.mplscp}.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from pptpgw.interfaces import INetworkProtocol
from pptpgw.networks.mpls.mplscp import MPLSCP, MPLSSettings
from pptpgw.ppp.automaton import RESTART_SECONDS
from pptpgw.ppp.wire import ppp
from pptpgw.testing import DELAY, DrivenLink, Options

REQUEST, ACK, NAK, REJECT = (
    ppp.CONFIGURE_REQUEST,
    ppp.CONFIGURE_ACK,
    ppp.CONFIGURE_NAK,
    ppp.CONFIGURE_REJECT,
)


class Link(DrivenLink[MPLSCP]):
    """
    One end: an MPLSCP and its link.
    """

    def __init__(self, clock: Clock | None = None, peerMRU: int = 1400, mtu: int = 1400) -> None:
        self.received: list[tuple[str, bytes]] = []
        self.mplscp = MPLSCP(
            MPLSSettings(
                lambda packet: self.received.append(("unicast", packet)),
                lambda packet: self.received.append(("multicast", packet)),
                mtu,
            )
        )
        super().__init__(self.mplscp, peerMRU, clock)


def joined() -> tuple[Link, Link]:
    """
    Two ends that are open with each other.
    """
    clock = Clock()
    one, other = Link(clock), Link(clock)
    one.join(other)
    return one, other


@pytest.fixture
def link() -> Link:
    """
    An end whose peer the test plays.
    """
    link = Link()
    link.mplscp.lowerUp()
    return link


def test_interface(link: Link) -> None:
    """
    MPLSCP provides L{INetworkProtocol} and has two protocol numbers.
    """
    mplscp = link.mplscp
    assert verifyObject(INetworkProtocol, mplscp)
    assert (mplscp.name, mplscp.control) == ("mpls", 0x8281)
    assert mplscp.protocols == (0x0281, 0x0283)


def test_opens() -> None:
    """
    Two ends open with one empty Configure-Request each way.
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
    Unicast and multicast packets keep their protocol numbers in both directions.
    """
    link, _ = joined()
    assert sorted(link.attachments) == [0x0281, 0x0283]
    for number, packet in ((0x0281, b"one"), (0x0283, b"many")):
        link.deliver(packet, number)
    assert link.received == [("unicast", b"one"), ("multicast", b"many")]
    link.mplscp.sendPacket(b"one")
    link.mplscp.sendMulticast(b"many")
    assert link.packets == [(0x0281, b"one"), (0x0283, b"many")]


@pytest.mark.parametrize(("peerMRU", "mtu", "size"), [(1400, 1400, 1400), (576, 1400, 576)])
def test_size(peerMRU: int, mtu: int, size: int) -> None:
    """
    A labelled packet of either protocol is as large as the information field may be (RFC 3032
    section 4.3).
    """
    link = Link(None, peerMRU, mtu)
    link.mplscp.lowerUp()
    link.agree()
    assert {attachment.mtu for attachment in link.attachments.values()} == {size}


@pytest.mark.parametrize("wish", [[(3, "c0000201")], [(1, "")], [(3, "ffff"), (129, "00" * 8)]])
def test_everyOptionIsRejected(link: Link, wish: Options) -> None:
    """
    Every option is rejected, as none is defined (RFC 3032 section 4.4).
    """
    assert link.request(*wish) == (REJECT, wish)
    assert link.request() == (ACK, [])


def test_askingForOptionsForever(link: Link) -> None:
    """
    A peer that keeps asking for options is given up.
    """
    for _ in range(20):
        link.mplscp.received(ppp.encodePacket(REQUEST, 1, b"\x01\x02"))
    link.clock.pump([RESTART_SECONDS] * 12)
    assert link.told[-1] == "the peer keeps asking for what it can't have"


@pytest.mark.parametrize("code", [NAK, REJECT])
def test_refusalsOfNothing(link: Link, code: int) -> None:
    """
    A peer that refuses options of an empty request is given up after a while.
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
    Both ends stop when either is closed.
    """
    one, other = joined()
    one.mplscp.close("enough")
    one.clock.pump([DELAY] * 3 + [RESTART_SECONDS] * 3)
    assert one.told[:2] == ["opened", "closed"]
    assert other.told[:2] == ["opened", "closed"]


def test_protocolReject(link: Link) -> None:
    """
    A Protocol-Reject ends MPLSCP alone.
    """
    link.mplscp.rejected()
    assert len(link.told) == 1 and "opened" not in link.told


def test_silence(link: Link) -> None:
    """
    A peer that never answers ends MPLSCP when the Restart timers are over.
    """
    link.clock.pump([RESTART_SECONDS] * 12)
    assert len(link.told) == 1 and "opened" not in link.told


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_hostile(packets: list[bytes]) -> None:
    """
    No packets raise an exception.
    """
    link = Link()
    link.mplscp.lowerUp()
    for packet in packets:
        link.mplscp.received(packet)
