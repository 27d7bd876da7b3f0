"""
Tests for L{pptpgw.networks.ipx.ipxcp}.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from pptpgw.interfaces import Attachment, INetworkProtocol
from pptpgw.networks.ipx.ipxcp import IPXCP, ROUTER_NAME, IPXSettings
from pptpgw.ppp.automaton import State
from pptpgw.ppp.option import MAX_FAILURE, MAX_REFUSALS
from pptpgw.ppp.wire import ppp
from pptpgw.testing import DrivenLink, Options

ACK, NAK, REJECT = ppp.CONFIGURE_ACK, ppp.CONFIGURE_NAK, ppp.CONFIGURE_REJECT

NETWORK = "77000000"
LOWER = "00000011"
HIGHER = "88000000"
ZERO = "00000000"
OURS = "f20000000001"
PEER = "f20000000002"
NONE = "000000000000"
ONE = "000000000001"
NAME = "50505450475f31"  # PPTPG_1

SERVER = IPXSettings(
    0x77000000, True, bytes.fromhex(OURS), bytes.fromhex(PEER), name="PPTPG_1", mtu=1400
)
CLIENT = IPXSettings()
ROUTER = IPXSettings(0x77000000, False, bytes.fromhex("00000000a001"))


class Link(DrivenLink[IPXCP]):
    """
    Drives an IPXCP by hand: plays its link and its peer.
    """

    def __init__(self, settings: IPXSettings = SERVER, peerMRU: int = 1400) -> None:
        self.ipxcp = IPXCP(settings)
        super().__init__(self.ipxcp, peerMRU)
        self.ipxcp.lowerUp()


def test_interface() -> None:
    """
    IPXCP provides L{INetworkProtocol}.
    """
    ipxcp = Link().ipxcp
    assert verifyObject(INetworkProtocol, ipxcp)
    assert (ipxcp.name, ipxcp.control, ipxcp.protocols) == ("ipx", 0x802B, (0x002B,))


def test_windows() -> None:
    """
    Windows asks for a network and a node, is given both by a Nak, and has them acknowledged. Our
    request tells it our own.
    """
    link = Link()
    wish = [(1, ZERO), (2, NONE), (6, "")]
    assert link.request(*wish) == (NAK, [(1, NETWORK), (2, PEER)])
    given = [(1, NETWORK), (2, PEER), (6, "")]
    assert link.request(*given) == (ACK, given)
    assert link.asked() == {1: NETWORK, 2: OURS, 5: NAME, 6: ""}
    link.answer(ACK)
    assert link.attachments == {0x2B: Attachment((), 1400, None)}
    ipxcp = link.ipxcp
    assert (ipxcp.network, ipxcp.node.hex()) == (0x77000000, OURS)
    assert ipxcp.peerNode is not None
    assert ipxcp.peerNode.hex() == PEER


def test_windowsWithoutRouting() -> None:
    """
    Windows may also ask for compression, which is rejected, and say that it is no router.
    """
    link = Link()
    wish = [(1, ZERO), (2, ONE), (3, "0235"), (4, "0000"), (6, "")]
    assert link.request(*wish) == (REJECT, [(3, "0235")])
    wish = [(1, ZERO), (2, ONE), (4, "0000"), (6, "")]
    assert link.request(*wish) == (NAK, [(1, NETWORK)])
    wish[0] = (1, NETWORK)
    assert link.request(*wish) == (ACK, wish)
    link.answer(REJECT, (5, NAME), (6, ""))
    assert link.asked() == {1: NETWORK, 2: OURS}
    link.answer(ACK)
    assert link.ipxcp.peerNode == bytes.fromhex(ONE)


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        # IPX-Network-Number (section 3.1).
        ([(1, NETWORK), (2, PEER)], (ACK, [(1, NETWORK), (2, PEER)])),
        ([(1, ZERO), (2, PEER)], (NAK, [(1, NETWORK)])),
        ([(1, LOWER), (2, PEER)], (NAK, [(1, NETWORK)])),
        ([(1, HIGHER), (2, PEER)], (NAK, [(1, NETWORK)])),
        ([(1, "ffffffff"), (2, PEER)], (NAK, [(1, NETWORK)])),
        ([(1, "770000"), (2, PEER)], (NAK, [(1, NETWORK)])),
        ([(1, ""), (2, PEER)], (NAK, [(1, NETWORK)])),
        # IPX-Node-Number (section 3.2).
        ([(2, PEER)], (ACK, [(2, PEER)])),
        ([(2, ONE)], (ACK, [(2, ONE)])),
        ([(2, NONE)], (NAK, [(2, PEER)])),
        ([(2, OURS)], (NAK, [(2, PEER)])),
        ([(2, "ffffffffffff")], (NAK, [(2, PEER)])),
        ([(2, "01005e000001")], (NAK, [(2, PEER)])),
        ([(2, "f20000")], (NAK, [(2, PEER)])),
        ([(2, PEER + "00")], (NAK, [(2, PEER)])),
        ([], (NAK, [(2, PEER)])),
        ([(1, ZERO)], (NAK, [(1, NETWORK), (2, PEER)])),
        # IPX-Compression-Protocol (section 3.3).
        ([(1, ZERO), (3, "0002")], (REJECT, [(3, "0002")])),
        ([(3, "02350f")], (REJECT, [(3, "02350f")])),
        # IPX-Routing-Protocol (section 3.4).
        ([(2, PEER), (4, "0002")], (ACK, [(2, PEER), (4, "0002")])),
        ([(2, PEER), (4, "0000")], (ACK, [(2, PEER), (4, "0000")])),
        ([(4, "0004")], (REJECT, [(4, "0004")])),
        ([(2, PEER), (4, "0002"), (4, "0004")], (REJECT, [(4, "0004")])),
        ([(4, "0004"), (4, "0005"), (4, "0002")], (REJECT, [(4, "0004"), (4, "0005")])),
        ([(4, "")], (REJECT, [(4, "")])),
        ([(4, "02")], (REJECT, [(4, "02")])),
        # IPX-Router-Name (section 3.5).
        ([(2, PEER), (5, "41")], (ACK, [(2, PEER), (5, "41")])),
        ([(2, PEER), (5, "ff00")], (ACK, [(2, PEER), (5, "ff00")])),
        ([(5, "")], (REJECT, [(5, "")])),
        ([(5, "41" * 48)], (REJECT, [(5, "41" * 48)])),
        # IPX-Configuration-Complete (section 3.6).
        ([(2, PEER), (6, "")], (ACK, [(2, PEER), (6, "")])),
        ([(6, "")], (NAK, [(2, PEER)])),
        ([(6, "00")], (REJECT, [(6, "00")])),
        # Unknown options, and an option that occurs twice.
        ([(7, ""), (2, NONE), (0, "01")], (REJECT, [(7, ""), (0, "01")])),
        ([(2, PEER), (2, NONE)], (ACK, [(2, PEER), (2, NONE)])),
    ],
)
def test_judged(options: Options, answer: tuple[int, Options]) -> None:
    """
    A server acknowledges, naks or rejects each option as it should.
    """
    assert Link().request(*options) == answer


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ([(1, NETWORK), (2, OURS)], (ACK, [(1, NETWORK), (2, OURS)])),
        ([(1, ZERO)], (REJECT, [(1, ZERO)])),
        ([(1, "ffffffff")], (REJECT, [(1, "ffffffff")])),
        ([(1, "77")], (REJECT, [(1, "77")])),
        ([(2, NONE)], (REJECT, [(2, NONE)])),
        ([(2, "ffffffffffff")], (REJECT, [(2, "ffffffffffff")])),
        ([(5, NAME), (6, "")], (ACK, [(5, NAME), (6, "")])),
        ([], (ACK, [])),
    ],
)
def test_judgedByAClient(options: Options, answer: tuple[int, Options]) -> None:
    """
    A client rejects a request for numbers, as it has none to give.
    """
    assert Link(CLIENT).request(*options) == answer


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ([(1, LOWER)], (NAK, [(1, NETWORK)])),
        ([(1, NETWORK)], (ACK, [(1, NETWORK)])),
        ([(1, HIGHER)], (ACK, [(1, HIGHER)])),
        ([(1, ZERO)], (NAK, [(1, NETWORK)])),
    ],
)
def test_higherNetworkWins(options: Options, answer: tuple[int, Options]) -> None:
    """
    The higher network number is right for a link that has its own network.
    """
    assert Link(ROUTER).request(*options) == answer


def test_higherNetworkIsUsed() -> None:
    """
    The link uses the higher network number, whichever end had it.
    """
    link = Link(ROUTER)
    link.request((1, HIGHER))
    link.answer(NAK, (1, HIGHER))
    assert link.asked()[1] == HIGHER
    link.answer(ACK)
    assert link.ipxcp.network == 0x88000000
    link = Link(ROUTER)
    link.answer(NAK, (1, LOWER))
    assert link.asked()[1] == NETWORK
    link.answer(NAK, (1, "ffffffff"))
    assert link.asked()[1] == NETWORK
    link.answer(NAK, (1, HIGHER))
    assert link.request((1, NETWORK)) == (NAK, [(1, HIGHER)])
    # Ours was acknowledged, and the peer's is higher.
    link = Link(ROUTER)
    link.answer(ACK)
    link.request((1, HIGHER))
    assert link.ipxcp.network == 0x88000000


def test_sharedNetworkStays() -> None:
    """
    A network that other links share has its number whatever one peer wants.
    """
    link = Link()
    link.answer(NAK, (1, HIGHER), (2, "0000000000aa"))
    assert link.asked() == {1: NETWORK, 2: OURS, 5: NAME, 6: ""}
    link.answer(REJECT, (1, NETWORK), (2, OURS))
    assert link.asked() == {5: NAME, 6: ""}
    link.answer(ACK)
    link.request((2, PEER))
    assert (link.ipxcp.network, link.ipxcp.node.hex()) == (0x77000000, OURS)
    assert link.attachments == {0x2B: Attachment((), 1400, None)}


def test_foreignNetwork() -> None:
    """
    A peer that insists on another network is given up with that reason.
    """
    link = Link()
    for _ in range(MAX_FAILURE):
        assert link.request((1, HIGHER), (2, PEER)) == (NAK, [(1, NETWORK)])
    link.ipxcp.received(ppp.encodePacket(ppp.CONFIGURE_REQUEST, 1, bytes.fromhex("0106" + HIGHER)))
    assert link.finish() == "the peer insists on network 88000000, it may have 77000000"


def test_foreignNode() -> None:
    """
    A peer that insists on our node is given up with that reason.
    """
    link = Link()
    for _ in range(MAX_FAILURE):
        assert link.request((2, OURS)) == (NAK, [(2, PEER)])
    link.ipxcp.received(ppp.encodePacket(ppp.CONFIGURE_REQUEST, 1, bytes.fromhex("0208" + OURS)))
    assert link.finish() == f"the peer insists on node {OURS}, which it can't have"


def test_silentAboutItsNode() -> None:
    """
    A peer that never asks for a node has the one that is meant for it anyway.
    """
    link = Link()
    link.answer(ACK)
    for _ in range(MAX_FAILURE):
        assert link.request() == (NAK, [(2, PEER)])
    assert link.request() == (ACK, [])
    assert link.ipxcp.peerNode == bytes.fromhex(PEER)
    assert link.attachments == {0x2B: Attachment((), 1400, None)}


def test_routerName() -> None:
    """
    The peer's name is kept, whatever octets it has.
    """
    link = Link()
    link.request((2, PEER), (5, b"NW312\x00\x1b[2J".hex()))
    assert link.ipxcp.negotiator.allowed[ROUTER_NAME] == b"NW312\x00\x1b[2J"
    assert ROUTER_NAME not in Link().ipxcp.negotiator.allowed


def test_completeIsNotInsistedOn() -> None:
    """
    A Nak of IPX-Configuration-Complete removes the option.
    """
    link = Link()
    link.answer(NAK, (6, ""))
    assert link.asked() == {1: NETWORK, 2: OURS, 5: NAME}


def test_client() -> None:
    """
    A client asks for both numbers, takes what it is given, and doesn't say that it is complete.
    """
    link = Link(CLIENT)
    assert link.asked() == {1: ZERO, 2: NONE}
    link.answer(NAK, (1, NETWORK), (2, PEER))
    assert link.asked() == {1: NETWORK, 2: PEER}
    link.request((1, NETWORK), (2, OURS), (5, NAME), (6, ""))
    link.answer(ACK)
    ipxcp = link.ipxcp
    assert ipxcp.peerNode is not None
    assert (ipxcp.network, ipxcp.node.hex(), ipxcp.peerNode.hex()) == (0x77000000, PEER, OURS)
    assert ipxcp.negotiator.allowed[ROUTER_NAME] == b"PPTPG_1"
    assert link.attachments == {0x2B: Attachment((), 1400, None)}


def test_clientHearsTheNetwork() -> None:
    """
    A client whose zeros are acknowledged takes the network number from the server's request.
    """
    link = Link(IPXSettings(node=bytes.fromhex(PEER)))
    link.request((1, NETWORK))
    link.answer(ACK)
    assert link.ipxcp.network == 0x77000000
    assert link.attachments == {0x2B: Attachment((), 1400, None)}


def test_clientDoesNotTakeEverything() -> None:
    """
    A client doesn't take numbers that nobody can have.
    """
    link = Link(CLIENT)
    link.answer(NAK, (1, "ffffffff"), (2, "ffffffffffff"))
    assert link.asked() == {1: ZERO, 2: NONE}
    link.answer(NAK, (1, "77"), (2, "f2"))
    assert link.asked() == {1: ZERO, 2: NONE}


@pytest.mark.parametrize(
    ("code", "options", "reason"),
    [
        (REJECT, [(1, ZERO)], "the peer gives us no network number"),
        (REJECT, [(2, NONE)], "the peer gives us no node number"),
        (ACK, [], "the peer gives us no network number"),
    ],
)
def test_clientWithoutNumbers(code: int, options: Options, reason: str) -> None:
    """
    A client that is given no numbers ends.
    """
    link = Link(CLIENT)
    link.request()
    link.answer(code, *options)
    assert link.finish() == reason
    assert link.told == [reason]


def test_clientWithoutNode() -> None:
    link = Link(CLIENT)
    link.request((1, NETWORK))
    link.answer(ACK)
    assert link.finish() == "the peer gives us no node number"


def test_bothClients() -> None:
    """
    Two clients end, each with a reason, as neither has numbers to give.
    """
    one, other = Link(CLIENT), Link(CLIENT)
    converse(one, other)
    assert one.finish() == other.finish() == "the peer gives us no network number"


def converse(one: Link, other: Link) -> None:
    """
    Carry packets in both directions until there are none.
    """
    carried = [0, 0]
    for _ in range(50):
        for index, (here, there) in enumerate(((one, other), (other, one))):
            while carried[index] < len(here.sent):
                packet = here.sent[carried[index]]
                carried[index] += 1
                there.ipxcp.received(packet)


@pytest.mark.parametrize(
    ("settings", "agreed"),
    [
        (CLIENT, (0x77000000, PEER)),
        (IPXSettings(node=bytes.fromhex(ONE)), (0x77000000, ONE)),
        (IPXSettings(node=bytes.fromhex(OURS)), (0x77000000, PEER)),
        (IPXSettings(network=0x11), (0x77000000, PEER)),
    ],
)
def test_clientAndServer(settings: IPXSettings, agreed: tuple[int, str]) -> None:
    """
    A client and a server of ours agree on their numbers.
    """
    server, client = Link(), Link(settings)
    converse(server, client)
    assert server.ipxcp.state is client.ipxcp.state is State.OPENED
    assert (client.ipxcp.network, client.ipxcp.node.hex()) == agreed
    assert server.ipxcp.peerNode == client.ipxcp.node
    assert client.ipxcp.peerNode == server.ipxcp.node
    assert server.ipxcp.network == client.ipxcp.network


def test_routers() -> None:
    """
    Two routers, each with its own numbers, use the higher network number.
    """
    one = Link(ROUTER)
    other = Link(IPXSettings(0x88000000, False, bytes.fromhex("00000000b001")))
    converse(one, other)
    assert one.ipxcp.network == other.ipxcp.network == 0x88000000
    assert one.ipxcp.state is other.ipxcp.state is State.OPENED


def test_attachment() -> None:
    """
    The attachment has the smaller of both ends' MRUs, and the callable.
    """
    received: list[bytes] = []
    link = Link(
        IPXSettings(1, node=bytes.fromhex(ONE), mtu=1380, receive=received.append), peerMRU=1300
    )
    link.request()
    link.answer(ACK)
    assert link.attachments == {0x2B: Attachment((), 1300, received.append)}


def test_terminated() -> None:
    """
    A Terminate-Request closes the network, which finishes after a Restart timer.
    """
    link = Link()
    link.request((2, PEER))
    link.answer(ACK)
    link.ipxcp.received(ppp.encodePacket(ppp.TERMINATE_REQUEST, 5, b""))
    assert link.sent[-1] == ppp.encodePacket(ppp.TERMINATE_ACK, 5)
    assert link.told[1:] == ["closed"]
    assert link.finish() == "the peer terminated ipx"


def test_rejected() -> None:
    """
    A Protocol-Reject finishes IPXCP.
    """
    link = Link()
    link.ipxcp.rejected()
    assert link.told == ["the peer doesn't know ipx"]


def test_loopingRequests() -> None:
    """
    A peer that asks for something else each time is given up.
    """
    link = Link()
    for index in range(MAX_REFUSALS):
        link.request((2, PEER), (3, f"{index:04x}"))
    link.ipxcp.received(
        ppp.encodePacket(ppp.CONFIGURE_REQUEST, 1, bytes.fromhex("0208" + PEER + "0304ffff"))
    )
    assert link.finish() == "the peer keeps asking for what it can't have"


def test_loopingNaks() -> None:
    """
    A peer that suggests another number each time is given up.
    """
    link = Link(CLIENT)
    for index in range(1, MAX_REFUSALS + 2):
        link.answer(NAK, (1, f"{index:08x}"), (2, f"{index:012x}"))
        assert link.told == []
    assert link.finish() == "the peer keeps refusing what we ask for"


@given(st.binary(max_size=40), st.integers(0, 8), st.sampled_from([SERVER, CLIENT, ROUTER]))
def test_anyOctets(octets: bytes, code: int, settings: IPXSettings) -> None:
    """
    No octets raise an exception.
    """
    link = Link(settings)
    identifier = link.sent[-1][1]
    link.ipxcp.received(octets)
    link.ipxcp.received(ppp.encodePacket(code, identifier, octets))
    link.ipxcp.received(ppp.encodePacket(code, identifier, b"\x01\x06" + octets))
    link.ipxcp.received(ppp.encodePacket(code, identifier, b"\x02\x08" + octets))
