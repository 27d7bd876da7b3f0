"""
Tests for L{pptpgw.networks.generic.control}.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from pptpgw.interfaces import INetworkProtocol
from pptpgw.networks.generic.catalogue import shipped
from pptpgw.networks.generic.control import GenericSettings
from pptpgw.networks.generic.declaration import Rule
from pptpgw.ppp.option import MAX_FAILURE
from pptpgw.ppp.wire import ppp
from pptpgw.testing import Options
from tests.networks.generic.ends import Link, declare, up

ACK, NAK, REJECT = ppp.CONFIGURE_ACK, ppp.CONFIGURE_NAK, ppp.CONFIGURE_REJECT


class TestOptions:
    RULES = {
        1: Rule(accept=()),
        2: Rule(accept=(2, 4)),
        3: Rule(),
        4: Rule(fixed=b"gate"),
        5: Rule(assign=(b"\x00\x01", b"\x00\x09")),
    }

    @pytest.mark.parametrize(
        ("wish", "answer"),
        [
            ([], (ACK, [])),
            ([(1, "")], (ACK, [(1, "")])),
            ([(1, "00" * 253)], (ACK, [(1, "00" * 253)])),
            ([(2, "0102")], (ACK, [(2, "0102")])),
            ([(2, "01020304")], (ACK, [(2, "01020304")])),
            ([(2, "010203")], (REJECT, [(2, "010203")])),
            ([(3, "00"), (1, "00")], (REJECT, [(3, "00")])),
            ([(4, "67617465")], (ACK, [(4, "67617465")])),
            ([(4, "00000000"), (1, "01")], (NAK, [(4, "67617465")])),
            ([(4, "")], (NAK, [(4, "67617465")])),
            ([(5, "0000")], (NAK, [(5, "0007")])),
            ([(5, "0007")], (ACK, [(5, "0007")])),
            ([(5, "00000000")], (NAK, [(5, "0007")])),
            ([(6, "00")], (REJECT, [(6, "00")])),
            ([(4, ""), (3, "01"), (6, "")], (REJECT, [(3, "01"), (6, "")])),
        ],
    )
    def test_judged(self, wish: Options, answer: tuple[int, Options]) -> None:
        """
        The protocol acknowledges, naks or rejects the peer's options as each one's rule says.
        """
        assert up(declare(options=self.RULES), {5: b"\x00\x07"}).request(*wish) == answer

    def test_nothingAssigned(self) -> None:
        """
        An option whose value is assigned to each session is rejected where the session has none.
        """
        assert up(declare(options=self.RULES)).request((5, "0000")) == (REJECT, [(5, "0000")])

    def test_asksForNothing(self) -> None:
        """
        The protocol asks only for the options that its declaration says to ask for.
        """
        assert up(declare(options=self.RULES)).asked() == {}

    def test_asks(self) -> None:
        """
        A Nak changes a requested option, and a Reject removes it.
        """
        link = up(declare(options={1: Rule(ask=b"\x05"), 2: Rule(ask=b""), 3: Rule()}))
        assert link.asked() == {1: "05", 2: ""}
        link.answer(NAK, (1, "0606"))
        assert link.asked() == {1: "0606", 2: ""}
        link.answer(REJECT, (2, ""))
        assert link.asked() == {1: "0606"}
        link.agree()
        assert link.told == ["controller opens", "opened"]
        assert link.protocol.negotiator.granted == {1: b"\x06\x06"}

    def test_required(self) -> None:
        """
        The protocol ends without a required option. A Nak may change the option.
        """
        rules = {1: Rule(ask=b"\x05", required=True), 2: Rule(ask=b"")}
        link = up(declare(options=rules))
        link.answer(NAK, (1, "06"))
        link.answer(REJECT, (2, ""))
        assert link.told == []
        link.answer(REJECT, (1, "06"))
        link.finish()
        assert link.told == ["the peer won't grant option 1 of controller"]

    def test_requiredAndNakedForEver(self) -> None:
        """
        A peer that naks a required option without end ends the protocol.
        """
        link = up(declare(options={1: Rule(ask=b"\x00", required=True)}))
        for number in range(MAX_FAILURE + 1):
            link.answer(NAK, (1, f"{number + 1:02x}"))
        link.finish()
        assert link.told == ["the peer won't grant option 1 of controller"]

    def test_insistsOnAnother(self) -> None:
        """
        The protocol goes without an option if the peer insists on another value than the fixed one.
        """
        link = up(declare(options=self.RULES))
        for _ in range(MAX_FAILURE):
            assert link.request((4, "00")) == (NAK, [(4, "67617465")])
        assert link.request((4, "00")) == (REJECT, [(4, "00")])
        assert link.request() == (ACK, [])

    def test_loops(self) -> None:
        """
        A peer that keeps asking for what is refused is given up, and so is a peer that keeps
        refusing our request.
        """
        link = up(declare(options=self.RULES))
        for _ in range(20):
            link.protocol.received(ppp.encodePacket(ppp.CONFIGURE_REQUEST, 1, b"\x09\x03\0"))
        link.finish()
        assert link.told == ["the peer keeps asking for what it can't have"]
        link = up(declare(options={1: Rule(ask=b"\x00")}))
        for number in range(20):
            link.answer(NAK, (1, f"{number + 1:02x}"))
        link.finish()
        assert link.told == ["the peer keeps refusing what we ask for"]


class TestProtocol:
    def test_interface(self) -> None:
        """
        The protocol provides L{INetworkProtocol} and has the declaration's numbers.
        """
        protocol = Link(declare(0x00C3, 0x02C3)).protocol
        assert verifyObject(INetworkProtocol, protocol)
        assert (protocol.name, protocol.control) == ("controller", 0x80C3)
        assert protocol.protocols == (0x00C3, 0x02C3)

    def test_twoDeclarationsInOneProcess(self) -> None:
        """
        Protocols of different declarations in one process have their own options.
        """
        first, second = declare(options={1: Rule(accept=())}), declare(options={2: Rule(accept=())})
        assert up(first).request((1, "")) == (ACK, [(1, "")])
        assert up(second).request((1, "")) == (REJECT, [(1, "")])

    def test_packetsOfEachNumber(self) -> None:
        """
        Packets arrive with their numbers, and none is larger than either end allows.
        """
        link = Link(declare(0x00C3, 0x02C3), peerMRU=1300)
        link.protocol.lowerUp()
        link.agree()
        assert [attachment.mtu for attachment in link.attachments.values()] == [1300, 1300]
        for number in link.attachments:
            link.deliver(number.to_bytes(2, "big"), number)
        assert link.received == [(0x00C3, b"\x00\xc3"), (0x02C3, b"\x02\xc3")]
        assert link.protocol.attachment().mtu == 1300

    def test_opensAndCloses(self) -> None:
        """
        The receiver of packets is told of the opening before the first packet and of the end after
        the last.
        """
        link = up(declare())
        link.agree()
        link.terminate()
        assert link.told == ["controller opens", "opened", "closed", "controller closes"]
        assert link.sent[-1] == ppp.encodePacket(ppp.TERMINATE_ACK, 9)

    def test_peerThatDoesNotKnowIt(self) -> None:
        """
        A Protocol-Reject finishes the protocol.
        """
        link = up(declare())
        link.protocol.rejected()
        assert link.told == ["the peer doesn't know controller"]

    def test_withoutAnybodyToTell(self) -> None:
        """
        A client's settings need only a callable for packets.
        """
        received: list[tuple[int, bytes]] = []
        link = Link(declare())
        link.protocol.settings = GenericSettings(lambda *packet: received.append(packet))
        link.protocol.lowerUp()
        link.agree()
        link.deliver(b"x")
        link.protocol.close("done")
        assert received == [(0x00C3, b"x")]
        assert link.told == ["opened", "closed"]

    @given(st.lists(st.binary(max_size=40), max_size=12))
    def test_anyOctets(self, packets: list[bytes]) -> None:
        """
        No octets raise an exception, and every answer is well formed and fits the MRU.
        """
        link = up(shipped()["appletalk"], {1: bytes(4)})
        for packet in packets:
            link.protocol.received(packet)
            link.protocol.received(b"\x01\x07" + (len(packet) + 4).to_bytes(2, "big") + packet)
        for sent in link.sent:
            assert ppp.encodePacket(*ppp.decodePacket(sent)) == sent
            assert len(sent) <= link.peerMRU
