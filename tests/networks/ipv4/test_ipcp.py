"""
Tests for L{pptpgw.networks.ipv4.ipcp}.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

import pytest
from scapy.layers.ppp import (
    PPP_IPCP,
    PPP_IPCP_Option_DNS1,
    PPP_IPCP_Option_DNS2,
    PPP_IPCP_Option_IPAddress,
    PPP_IPCP_Option_NBNS1,
    PPP_IPCP_Option_NBNS2,
)
from zope.interface.verify import verifyObject

from pptpgw.interfaces import Attachment, HeaderCompression, INetworkProtocol
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ppp.option import MAX_FAILURE
from pptpgw.ppp.wire import ppp
from pptpgw.testing import DrivenLink, Options

ACK, NAK, REJECT = ppp.CONFIGURE_ACK, ppp.CONFIGURE_NAK, ppp.CONFIGURE_REJECT

OURS = "0a4d0001"
PEER = "0a4d000a"
DNS = "0a4d0035"
WINS = "0a4d0036"
NONE = "00000000"

SERVER = IPv4Settings("10.77.0.1", "10.77.0.10", dns=("10.77.0.53",), wins=("10.77.0.54",))
CLIENT = IPv4Settings("0.0.0.0", None, requestDNS=True)


class Link(DrivenLink[IPCP]):
    """
    Drives an IPCP by hand: plays its link and its peer.
    """

    def __init__(self, settings: IPv4Settings = SERVER, peerMRU: int = 1400) -> None:
        self.ipcp = IPCP(settings)
        super().__init__(self.ipcp, peerMRU)
        self.ipcp.lowerUp()


def test_interface() -> None:
    """
    IPCP provides L{INetworkProtocol}.
    """
    ipcp = Link().ipcp
    assert verifyObject(INetworkProtocol, ipcp)
    assert (ipcp.name, ipcp.control, ipcp.protocol) == ("ipv4", 0x8021, 0x0021)


def test_windows() -> None:
    """
    Windows asks for an address and four name servers. Those that we don't have are rejected, the
    rest is given by a Nak, and then all is acknowledged.
    """
    link = Link()
    wish = [(3, NONE), (129, NONE), (130, NONE), (131, NONE), (132, NONE)]
    assert link.request(*wish) == (REJECT, [(131, NONE), (132, NONE)])
    given = [(3, PEER), (129, DNS), (130, WINS)]
    assert link.request(*wish[:3]) == (NAK, given)
    assert link.request(*given) == (ACK, given)
    assert link.asked() == {3: OURS}
    link.answer(ACK)
    assert link.attachments == {0x21: Attachment((IPv4Network("10.77.0.10/32"),), 1400, None)}
    assert (link.ipcp.localAddress, link.ipcp.peerAddress) == ("10.77.0.1", "10.77.0.10")


def test_fourNameServers() -> None:
    """
    Two DNS servers and two NBNS servers are given in their four options.
    """
    link = Link(
        IPv4Settings("10.77.0.1", "10.77.0.10", (), ("1.1.1.1", "2.2.2.2"), ("3.3.3.3", "4.4.4.4"))
    )
    wish = [(3, PEER), (129, NONE), (130, NONE), (131, NONE), (132, NONE)]
    assert link.request(*wish) == (
        NAK,
        [(129, "01010101"), (130, "03030303"), (131, "02020202"), (132, "04040404")],
    )


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ([(3, PEER)], (ACK, [(3, PEER)])),
        ([(3, NONE)], (NAK, [(3, PEER)])),
        ([(3, "c0000209")], (NAK, [(3, PEER)])),
        ([(3, "0a4d")], (NAK, [(3, PEER)])),
        ([], (NAK, [(3, PEER)])),
        ([(129, "08080808")], (NAK, [(129, DNS), (3, PEER)])),
        ([(3, PEER), (129, DNS)], (ACK, [(3, PEER), (129, DNS)])),
        ([(3, PEER), (131, DNS)], (REJECT, [(131, DNS)])),
        ([(3, NONE), (2, "002d0f01")], (REJECT, [(2, "002d0f01")])),
        ([(1, PEER + OURS)], (REJECT, [(1, PEER + OURS)])),
        ([(4, "00"), (144, NONE)], (REJECT, [(4, "00"), (144, NONE)])),
    ],
)
def test_judged(options: Options, answer: tuple[int, Options]) -> None:
    """
    A server acknowledges, naks or rejects each option as it should.
    """
    assert Link().request(*options) == answer


def test_foreignAddress() -> None:
    """
    A peer that insists on another address than its own is given up with that reason.
    """
    link = Link()
    for _ in range(MAX_FAILURE):
        assert link.request((3, "c0000209")) == (NAK, [(3, PEER)])
    link.ipcp.received(ppp.encodePacket(ppp.CONFIGURE_REQUEST, 1, bytes.fromhex("0306c0000209")))
    assert link.finish() == "the peer insists on address 192.0.2.9, it may have 10.77.0.10"


def test_silentAboutItsAddress() -> None:
    """
    A peer that never asks for an address has the assigned one anyway.
    """
    link = Link()
    link.answer(ACK)
    for _ in range(MAX_FAILURE):
        assert link.request() == (NAK, [(3, PEER)])
    assert link.request() == (ACK, [])
    assert link.ipcp.peerAddress == "10.77.0.10"
    assert link.attachments == {0x21: Attachment((IPv4Network("10.77.0.10/32"),), 1400, None)}


def test_ourAddressRefused() -> None:
    """
    A Nak of our own address isn't followed, and after several, or after a Reject, we stop sending
    the option.
    """
    link = Link()
    for _ in range(MAX_FAILURE):
        link.answer(NAK, (3, "c0000201"))
        assert link.asked() == {3: OURS}
    link.answer(NAK, (3, "c0000201"))
    assert link.asked() == {}
    link = Link()
    link.answer(REJECT, (3, OURS))
    assert link.asked() == {}
    link.answer(ACK)
    link.request((3, PEER))
    assert len(link.told) == 1
    assert link.ipcp.localAddress == "10.77.0.1"


VJ = "002d0f01"
COMPRESSING = replace(SERVER, compressHeaders=True)


def test_headerCompression() -> None:
    """
    We ask for Van Jacobson's compression and allow it, with as many slots as both ends have.
    """
    link = Link(COMPRESSING)
    assert link.asked() == {2: VJ, 3: OURS}
    assert link.request((3, PEER), (2, "00370f01")) == (NAK, [(2, VJ)])
    assert link.request((3, PEER), (2, "002d")) == (NAK, [(2, VJ)])
    assert link.request((3, PEER), (2, "002d0f02")) == (NAK, [(2, VJ)])
    assert link.request((3, PEER), (2, "002dff00")) == (ACK, [(3, PEER), (2, "002dff00")])
    link.answer(NAK, (2, "002d0300"))
    assert link.asked() == {2: "002d0300", 3: OURS}
    link.answer(ACK)
    assert link.attachments[0x21].headers == HeaderCompression(16, False, 4)


@pytest.mark.parametrize(
    ("refusal", "asked"),
    [
        ((REJECT, (2, VJ)), None),
        ((NAK, (2, "00370f01")), None),
        ((NAK, (2, "002dff01")), VJ),
    ],
)
def test_headersOfThePeer(refusal: tuple[int, tuple[int, str]], asked: str | None) -> None:
    """
    A peer may do without compression of what it sends, and asks for none of what we send.
    """
    link = Link(COMPRESSING)
    link.answer(*refusal)
    assert link.asked().get(2) == asked
    link.answer(ACK)
    assert link.request((3, PEER)) == (ACK, [(3, PEER)])
    headers = None if asked is None else HeaderCompression(0, False, 16)
    assert link.attachments[0x21].headers == headers


def test_client() -> None:
    """
    A client asks for an address and name servers, takes what it is given, and learns the server's
    address.
    """
    link = Link(CLIENT)
    assert link.asked() == {3: NONE, 129: NONE, 131: NONE}
    link.answer(REJECT, (131, NONE))
    link.answer(NAK, (3, PEER), (129, DNS))
    assert link.asked() == {3: PEER, 129: DNS}
    assert link.request((3, NONE)) == (REJECT, [(3, NONE)])
    assert link.request((3, OURS)) == (ACK, [(3, OURS)])
    link.answer(ACK)
    ipcp = link.ipcp
    assert (ipcp.localAddress, ipcp.peerAddress, ipcp.dns) == (
        "10.77.0.10",
        "10.77.0.1",
        ("10.77.0.53",),
    )
    assert link.attachments == {0x21: Attachment((IPv4Network("10.77.0.1/32"),), 1400, None)}


def test_clientOfANamelessServer() -> None:
    """
    A server may keep its own address to itself.
    """
    link = Link(IPv4Settings("0.0.0.0", addresses=(IPv4Network("0.0.0.0/0"),)))
    assert link.request() == (ACK, [])
    link.answer(NAK, (3, PEER))
    link.answer(ACK)
    assert link.ipcp.peerAddress is None
    assert link.attachments == {0x21: Attachment((IPv4Network("0.0.0.0/0"),), 1400, None)}


def test_clientWithAddresses() -> None:
    """
    An end that knows the peer's address may still take another one than it asked for.
    """
    link = Link(IPv4Settings("10.77.0.10", "10.77.0.1", yields=True))
    assert link.asked() == {3: PEER}
    link.answer(NAK, (3, DNS))
    assert link.asked() == {3: DNS}
    assert link.request((3, NONE)) == (NAK, [(3, OURS)])
    assert link.request((3, OURS)) == (ACK, [(3, OURS)])
    link.answer(ACK)
    assert (link.ipcp.localAddress, link.ipcp.peerAddress) == ("10.77.0.53", "10.77.0.1")


def test_clientWithoutAddress() -> None:
    """
    A client that is given no address, or 0.0.0.0, ends.
    """
    link = Link(CLIENT)
    link.answer(REJECT, (3, NONE))
    assert link.finish() == "the peer gives us no address"
    link = Link(CLIENT)
    link.request((3, OURS))
    link.answer(ACK)
    assert link.finish() == "the peer gives us no address"
    assert link.told == ["the peer gives us no address"]


def test_attachment() -> None:
    """
    The attachment has the peer's additional networks, the smaller of both ends' MRUs, and the
    callable.
    """
    received: list[bytes] = []
    network = IPv4Network("192.168.9.0/24")
    link = Link(
        IPv4Settings("10.77.0.1", "10.77.0.10", (network,), mtu=1380, receive=received.append),
        peerMRU=1300,
    )
    link.request((3, PEER))
    link.answer(ACK)
    assert link.attachments == {
        0x21: Attachment((IPv4Network("10.77.0.10/32"), network), 1300, received.append)
    }


def test_terminated() -> None:
    """
    A Terminate-Request closes the network, which finishes after a Restart timer.
    """
    link = Link()
    link.request((3, PEER))
    link.answer(ACK)
    link.ipcp.received(ppp.encodePacket(ppp.TERMINATE_REQUEST, 5, b""))
    assert link.sent[-1] == ppp.encodePacket(ppp.TERMINATE_ACK, 5)
    assert link.told[1:] == ["closed"]
    assert link.finish() == "the peer terminated ipv4"


def test_rejected() -> None:
    """
    A Protocol-Reject finishes IPCP.
    """
    link = Link()
    link.ipcp.rejected()
    assert link.told == ["the peer doesn't know ipv4"]


def test_scapyAgrees() -> None:
    """
    A request of scapy's is answered with its own octets.
    """
    wish = PPP_IPCP(
        id=1,
        options=[
            PPP_IPCP_Option_IPAddress(data="10.77.0.10"),
            PPP_IPCP_Option_DNS1(data="10.77.0.53"),
            PPP_IPCP_Option_NBNS1(data="0.0.0.0"),
            PPP_IPCP_Option_DNS2(data="0.0.0.0"),
            PPP_IPCP_Option_NBNS2(data="0.0.0.0"),
        ],
    )
    link = Link(
        IPv4Settings("10.77.0.1", "10.77.0.10", (), ("10.77.0.53",) * 2, ("10.77.0.54",) * 2)
    )
    link.ipcp.received(bytes(wish))
    answer = PPP_IPCP(link.sent[-1])
    assert (answer.code, answer.id) == (3, 1)
    assert [(option.type, option.data) for option in answer.options] == [
        (130, "10.77.0.54"),
        (131, "10.77.0.53"),
        (132, "10.77.0.54"),
    ]
    ours = PPP_IPCP(link.sent[0])
    assert [(option.type, option.data) for option in ours.options] == [(3, "10.77.0.1")]
