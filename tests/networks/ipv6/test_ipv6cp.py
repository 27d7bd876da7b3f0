"""
Tests for L{pptpgw.networks.ipv6.ipv6cp}.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from pptpgw.interfaces import Attachment, INetworkProtocol
from pptpgw.networks.ipv6.ipv6cp import IPV6CP, IPv6Settings, randomIdentifier
from pptpgw.ppp.option import MAX_FAILURE, MAX_REFUSALS
from pptpgw.ppp.wire import ppp
from pptpgw.testing import DrivenLink, Options

ACK, NAK, REJECT = ppp.CONFIGURE_ACK, ppp.CONFIGURE_NAK, ppp.CONFIGURE_REJECT

OURS = "0000000000000001"
PEER = "021122fffe334455"
OTHER = "a1a2a3a4a5a6a7a8"
NONE = "0000000000000000"
PREFIX = IPv6Network("fc00:0:1:7::/64")


class Link(DrivenLink[IPV6CP]):
    """
    Drives an IPV6CP by hand: plays its link and its peer.
    """

    def __init__(
        self,
        identifier: str | None = OURS,
        peerIdentifier: str | None = None,
        peerMRU: int = 1400,
        addresses: tuple[IPv6Network, ...] = (PREFIX,),
    ) -> None:
        self.ipv6cp = IPV6CP(
            IPv6Settings(
                None if identifier is None else bytes.fromhex(identifier),
                None if peerIdentifier is None else bytes.fromhex(peerIdentifier),
                addresses,
            )
        )
        super().__init__(self.ipv6cp, peerMRU)
        self.ipv6cp.lowerUp()

    def suggested(self, *options: tuple[int, str]) -> str:
        """
        The identifier that the Nak of this Configure-Request suggests, which must be valid and
        free.
        """
        code, answer = self.request(*options)
        assert (code, len(answer)) == (NAK, 1)
        ((number, value),) = answer
        assert (number, len(value)) == (1, 16)
        assert value not in (NONE, self.asked().get(1))
        # The universal/local bit must be clear.
        assert not int(value[:2], 16) & 2
        return value


def test_interface() -> None:
    """
    IPV6CP provides L{INetworkProtocol}.
    """
    ipv6cp = Link().ipv6cp
    assert verifyObject(INetworkProtocol, ipv6cp)
    assert (ipv6cp.name, ipv6cp.control, ipv6cp.protocols) == ("ipv6", 0x8057, (0x0057,))


@pytest.mark.parametrize("peer", [PEER, OTHER])
def test_opens(peer: str) -> None:
    """
    IPV6CP opens with Windows, Apple and pppd, whose identifiers are random or made from a hardware
    address.
    """
    link = Link()
    assert link.asked() == {1: OURS}
    assert link.request((1, peer)) == (ACK, [(1, peer)])
    link.answer(ACK)
    assert link.attachments == {0x57: Attachment((PREFIX,), 1400, None)}
    assert link.ipv6cp.localAddress == IPv6Address("fe80::1")
    assert link.ipv6cp.peerAddress == IPv6Address(bytes.fromhex("fe80000000000000" + peer))


def test_ourOwnIsRandom() -> None:
    """
    Our own identifier is never zero, and its universal/local bit is clear.
    """
    asked = [Link(None).asked()[1] for _ in range(20)]
    assert len(set(asked)) == 20
    for identifier in map(bytes.fromhex, asked):
        assert len(identifier) == 8
        assert any(identifier)
        assert not identifier[0] & 2


def test_randomIdentifiers() -> None:
    """
    Every bit of a random identifier takes both values, except the universal/local bit and the last
    bit, which keeps the identifier from being zero.
    """
    ones = [int.from_bytes(randomIdentifier()) for _ in range(200)]
    changing = 0
    for one in ones:
        changing |= one ^ ones[0]
    assert changing == 0xFDFFFFFFFFFFFFFE


def test_zeros() -> None:
    """
    A peer without an identifier is given one.
    """
    link = Link()
    given = link.suggested((1, NONE))
    assert link.request((1, given)) == (ACK, [(1, given)])


@pytest.mark.parametrize("value", ["", "01", OTHER[2:], OTHER + "00"])
def test_length(value: str) -> None:
    """
    An identifier whose length isn't eight octets gets a Nak.
    """
    Link().suggested((1, value))


def test_collision() -> None:
    """
    A peer that asks for our identifier is given another one, and we keep ours.
    """
    link = Link()
    given = link.suggested((1, OURS))
    assert link.asked() == {1: OURS}
    assert link.request((1, given)) == (ACK, [(1, given)])
    link.answer(ACK)
    assert link.ipv6cp.localAddress == IPv6Address("fe80::1")


def test_collisionBothWays() -> None:
    """
    Each end chooses a new identifier when both suggest the same one.
    """
    link = Link()
    given = link.suggested((1, OURS))
    link.answer(NAK, (1, given))
    assert link.asked()[1] not in (OURS, given, NONE)


def test_aNakIsFollowed() -> None:
    """
    We take the identifier that the peer suggests.
    """
    link = Link()
    link.answer(NAK, (1, OTHER))
    assert link.asked() == {1: OTHER}
    link.answer(ACK)
    link.request((1, PEER))
    assert link.ipv6cp.localAddress == IPv6Address("fe80::a1a2:a3a4:a5a6:a7a8")


@pytest.mark.parametrize("suggestion", [NONE, "", OTHER[2:], OTHER + "00", PEER])
def test_aNakThatCantBeFollowed(suggestion: str) -> None:
    """
    We choose another identifier when the suggested one is zero, has a wrong length or is the peer's
    own.
    """
    link = Link()
    link.request((1, PEER))
    link.answer(NAK, (1, suggestion))
    chosen = link.asked()[1]
    assert len(chosen) == 16
    assert chosen not in (OURS, PEER, NONE)


def test_aLoopedBackLink() -> None:
    """
    A link that returns all that is sent is given up.
    """
    link = Link()
    for sent in range(10 * MAX_REFUSALS):
        if sent >= len(link.sent):
            break
        link.ipv6cp.received(link.sent[sent])
    assert len(link.sent) < 10 * MAX_REFUSALS


def test_clientWithoutIdentifier() -> None:
    """
    A client asks for its identifier with zeros.
    """
    link = Link(NONE)
    assert link.asked() == {1: NONE}
    link.answer(NAK, (1, OTHER))
    assert link.asked() == {1: OTHER}
    link.answer(ACK)
    assert link.request((1, PEER)) == (ACK, [(1, PEER)])
    assert len(link.told) == 1


def test_bothZero() -> None:
    """
    Two ends that both ask with zeros end (RFC 5072 section 4.1).
    """
    link = Link(NONE)
    assert link.request((1, NONE)) == (REJECT, [(1, NONE)])
    link.answer(REJECT, (1, NONE))
    assert link.finish() == "the peer gives us no interface identifier"


def test_zerosAcknowledged() -> None:
    """
    An acknowledged identifier of zeros ends the protocol.
    """
    link = Link(NONE)
    link.answer(ACK)
    link.ipv6cp.received(ppp.encodePacket(ppp.CONFIGURE_REQUEST, 1, bytes.fromhex("010a" + PEER)))
    assert link.finish() == "the peer gives us no interface identifier"
    assert link.told == ["the peer gives us no interface identifier"]


def test_ourIdentifierRejected() -> None:
    """
    We keep our identifier, without asking for it, when the peer rejects the option.
    """
    link = Link()
    link.answer(REJECT, (1, OURS))
    assert link.asked() == {}
    link.answer(ACK)
    assert link.request() == (ACK, [])
    assert len(link.told) == 1
    assert link.ipv6cp.localAddress == IPv6Address("fe80::1")
    assert link.ipv6cp.peerAddress is None


def test_ourIdentifierNakedForEver() -> None:
    """
    We stop asking and keep our latest identifier when the peer sends Naks without end.
    """
    link = Link()
    for _ in range(MAX_FAILURE):
        link.answer(NAK, (1, OTHER))
    assert link.asked() == {1: OTHER}
    link.answer(NAK, (1, PEER))
    assert link.asked() == {}
    link.answer(ACK)
    link.request((1, PEER))
    assert link.ipv6cp.localAddress == IPv6Address("fe80::a1a2:a3a4:a5a6:a7a8")


def test_zerosForEver() -> None:
    """
    A peer that keeps asking with zeros gets a Reject and can go on without the option.
    """
    link = Link()
    for _ in range(MAX_FAILURE):
        link.suggested((1, NONE))
    assert link.request((1, NONE)) == (REJECT, [(1, NONE)])
    assert link.request() == (ACK, [])


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ([(2, "004f")], (REJECT, [(2, "004f")])),
        ([(1, PEER), (2, "0061" + "00" * 10)], (REJECT, [(2, "0061" + "00" * 10)])),
        ([(1, NONE), (3, "00")], (REJECT, [(3, "00")])),
        ([(1, PEER), (1, NONE)], (ACK, [(1, PEER), (1, NONE)])),
    ],
    ids=["compression", "header compression", "unknown", "twice"],
)
def test_otherOptions(options: Options, answer: tuple[int, Options]) -> None:
    """
    IPv6-Compression-Protocol and unknown options are rejected.
    """
    assert Link().request(*options) == answer


class TestDemanded:
    """
    Tests for accounts that demand an identifier of the peer.
    """

    @pytest.mark.parametrize("value", [PEER, NONE, OURS, "00"])
    def test_given(self, value: str) -> None:
        link = Link(peerIdentifier=OTHER)
        assert link.request((1, value)) == (NAK, [(1, OTHER)])
        assert link.request((1, OTHER)) == (ACK, [(1, OTHER)])

    def test_insists(self) -> None:
        link = Link(peerIdentifier=OTHER)
        for _ in range(MAX_FAILURE):
            assert link.request((1, PEER)) == (NAK, [(1, OTHER)])
        link.ipv6cp.received(
            ppp.encodePacket(ppp.CONFIGURE_REQUEST, 1, bytes.fromhex("010a" + PEER))
        )
        assert link.finish() == (
            f"the peer insists on interface identifier {PEER}, it may have {OTHER}"
        )

    def test_neverAsked(self) -> None:
        """
        A peer that doesn't ask for its identifier gets one Nak with it, and has it anyway.
        """
        link = Link(peerIdentifier=OTHER)
        assert link.request() == (NAK, [(1, OTHER)])
        assert link.request() == (ACK, [])
        assert link.ipv6cp.peerAddress == IPv6Address("fe80::a1a2:a3a4:a5a6:a7a8")

    def test_neverOurs(self) -> None:
        """
        We never take the identifier that the peer must have.
        """
        link = Link(peerIdentifier=OTHER)
        link.request((1, OTHER))
        link.answer(NAK, (1, OTHER))
        assert link.asked()[1] != OTHER


def test_attachment() -> None:
    """
    The attachment has the smaller of both ends' MRUs and, for a client, its callable.
    """
    link = Link(peerMRU=1300)
    link.request((1, PEER))
    link.answer(ACK)
    assert link.attachments == {0x57: Attachment((PREFIX,), 1300, None)}
    received: list[bytes] = []
    ipv6cp = IPV6CP(IPv6Settings.client(received.append, 1380))
    ipv6cp.attach(link)
    assert ipv6cp.attachment() == Attachment((), 1380, received.append)


@pytest.mark.parametrize(("peerMRU", "opens"), [(1284, True), (1283, False)])
def test_narrowLink(peerMRU: int, opens: bool) -> None:
    """
    IPv6 needs an MTU of 1280 octets besides what MPPE takes.
    """
    link = Link(peerMRU=peerMRU)
    link.request((1, PEER))
    link.answer(ACK)
    expected = Attachment((PREFIX,), 1284) if opens else "the peer receives 1283 octets, and IPv6"
    told = link.attachments[0x57] if opens else link.finish()[: len(str(expected))]
    assert told == expected


def test_terminated() -> None:
    """
    A Terminate-Request closes the network, which finishes after a Restart timer.
    """
    link = Link()
    link.request((1, PEER))
    link.answer(ACK)
    link.ipv6cp.received(ppp.encodePacket(ppp.TERMINATE_REQUEST, 5, b""))
    assert link.sent[-1] == ppp.encodePacket(ppp.TERMINATE_ACK, 5)
    assert link.told[1:] == ["closed"]
    assert link.finish() == "the peer terminated ipv6"


def test_rejected() -> None:
    """
    A Protocol-Reject finishes IPV6CP.
    """
    link = Link()
    link.ipv6cp.rejected()
    assert link.told == ["the peer doesn't know ipv6"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from((1, 1, 2, 3, 4, 5)), st.binary(max_size=24)), max_size=8))
def test_hostile(packets: list[tuple[int, bytes]]) -> None:
    """
    No packets raise an exception, and our identifier stays valid.
    """
    link = Link()
    for code, octets in packets:
        link.ipv6cp.received(ppp.encodePacket(code, 1, octets))
    assert len(link.ipv6cp.identifier) == 8
    assert link.ipv6cp.identifier != bytes(8)


def test_twoOfThem() -> None:
    """
    A gateway and a client agree in one round.
    """
    gateway, client = Link(None), Link(None, addresses=())
    for index in range(4):
        for one, other in ((gateway, client), (client, gateway)):
            for packet in one.sent[index : index + 1]:
                other.ipv6cp.received(packet)
    assert gateway.ipv6cp.opened and client.ipv6cp.opened
    assert gateway.ipv6cp.peerAddress == client.ipv6cp.localAddress
    assert client.ipv6cp.peerAddress == gateway.ipv6cp.localAddress
    assert len(gateway.sent) == len(client.sent) == 2
