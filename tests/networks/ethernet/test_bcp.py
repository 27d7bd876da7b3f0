"""
Tests for L{pptpgw.networks.ethernet.bcp}.
"""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import LLC, STP, Dot1AD, Dot1Q, Dot3, Ether
from zope.interface.verify import verifyObject

from pptpgw.counting.counters import Counters
from pptpgw.interfaces import INetworkProtocol
from pptpgw.networks.ethernet import wire
from pptpgw.networks.ethernet.bcp import BCP, BridgeSettings
from pptpgw.ppp.option import MAX_FAILURE, MAX_REFUSALS
from pptpgw.ppp.wire import ppp
from pptpgw.testing import DrivenLink, Options
from tests.octets import encodeFrame

ACK, NAK, REJECT = ppp.CONFIGURE_ACK, ppp.CONFIGURE_NAK, ppp.CONFIGURE_REJECT

OURS = "020000000001"
THEIRS = "020000000002"
GIVEN = "02000000000a"
NONE = "000000000000"
FRAME = bytes(
    Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    / IP(src="10.1.0.1", dst="10.1.0.2")
    / ICMP()
    / bytes(range(100))
)
SHORT = FRAME[:45].ljust(60, b"\x00")
TAGGED = FRAME[:12] + bytes.fromhex("81000007") + FRAME[12:]
HELLO = bytes(
    Dot3(src="02:00:00:00:00:01", dst="01:80:c2:00:00:00", len=38)
    / LLC(dsap=0x42, ssap=0x42, ctrl=3)
    / STP()
).ljust(60, b"\x00")
LLDP = bytes.fromhex("0180c200000e") + FRAME[6:]


class Link(DrivenLink[BCP]):
    """
    Drives a BCP by hand: plays its link and its peer.
    """

    def __init__(self, peerMRU: int = 1600, **settings: Any) -> None:
        self.frames: list[bytes] = []
        self.counters = Counters()
        given: dict[str, Any] = {
            "receive": self.frames.append,
            "peerAddress": bytes.fromhex(GIVEN),
            "mtu": 1600,
            "counters": self.counters,
        }
        self.bcp = BCP(BridgeSettings(**(given | settings)))
        super().__init__(self.bcp, peerMRU)
        self.bcp.lowerUp()

    def opened(self, *options: tuple[int, str]) -> Link:
        """
        Acknowledge our request, and send one with C{options}, which must be acknowledged.
        """
        self.agree(*options)
        assert len(self.told) == 1
        return self

    def sending(self, frame: bytes) -> tuple[int, bytes] | None:
        """
        The packet that is sent for C{frame}, or C{None}.
        """
        self.packets.clear()
        self.bcp.sendPacket(frame)
        return self.packets[0] if self.packets else None


def test_interface() -> None:
    """
    BCP provides L{INetworkProtocol} and has two protocol numbers.
    """
    bcp = Link().bcp
    assert verifyObject(INetworkProtocol, bcp)
    assert (bcp.name, bcp.control, bcp.protocols) == ("bridge", 0x8031, (0x0031, 0x0201))


def test_ourRequest(tmp_path: Path) -> None:
    """
    tshark reads our largest request as we mean it, apart from option 9, which tshark takes to have
    a value.
    """
    link = Link(tagged=True, spanningTree=True, localAddress=bytes.fromhex(OURS))
    assert link.asked() == {3: "01", 4: "01", 6: OURS, 8: "01", 9: ""}
    link.answer(REJECT, (9, ""))
    assert link.asked() == {3: "01", 4: "01", 6: OURS, 8: "01", 7: "01"}
    frame = encodeFrame(ppp.BCP, link.sent[-1])
    capture = tmp_path / "request.pcap"
    capture.write_bytes(
        struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 9)
        + struct.pack("<IIII", 0, 0, len(frame), len(frame))
        + frame
    )
    command = ["tshark", "-r", str(capture), "-V"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for line in (
        "MAC Type: IEEE 802.3/Ethernet (1)",
        "Tinygram-Compression: Enabled",
        "MAC Address: 02:00:00:00:00:01",
        "IEEE-802-Tagged-Frame: Enabled",
        "Protocol: IEEE 802.1D spanning tree (1)",
    ):
        assert line in done.stdout
    assert "Malformed" not in done.stdout
    assert "Expert Info" not in done.stdout


def test_ourSmallestRequest() -> None:
    """
    Without VLANs and a spanning tree, the request asks for Ethernet and offers to restore
    compressed frames.
    """
    assert Link().asked() == {3: "01", 4: "01"}


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ([], (ACK, [])),
        # Source routing: half bridges, and the line as a LAN.
        ([(1, "0021")], (REJECT, [(1, "0021")])),
        ([(2, "0021")], (REJECT, [(2, "0021")])),
        # MAC-Support is advice. It is never answered with a Nak and may occur several times.
        ([(3, "01")], (ACK, [(3, "01")])),
        ([(3, "0b")], (ACK, [(3, "0b")])),
        ([(3, "03"), (3, "01")], (ACK, [(3, "03"), (3, "01")])),
        ([(3, "")], (REJECT, [(3, "")])),
        ([(3, "0101")], (REJECT, [(3, "0101")])),
        # Tinygram-Compression has two valid values.
        ([(4, "01")], (ACK, [(4, "01")])),
        ([(4, "02")], (ACK, [(4, "02")])),
        ([(4, "00")], (REJECT, [(4, "00")])),
        ([(4, "03")], (REJECT, [(4, "03")])),
        ([(4, "")], (REJECT, [(4, "")])),
        # LAN-Identification is obsolete.
        ([(5, "01")], (REJECT, [(5, "01")])),
        ([(5, "02")], (ACK, [(5, "02")])),
        # MAC-Address: announced, asked for, a group's, and of another size.
        ([(6, THEIRS)], (ACK, [(6, THEIRS)])),
        ([(6, NONE)], (NAK, [(6, GIVEN)])),
        ([(6, "0180c2000000")], (REJECT, [(6, "0180c2000000")])),
        ([(6, "0200")], (REJECT, [(6, "0200")])),
        ([(6, THEIRS + "00")], (REJECT, [(6, THEIRS + "00")])),
        # Spanning-Tree-Protocol where BPDUs aren't permitted: ours is the lower one.
        ([(7, "00")], (ACK, [(7, "00")])),
        ([(7, "01")], (NAK, [(7, "00")])),
        ([(7, "0103")], (NAK, [(7, "00")])),
        ([(7, "")], (NAK, [(7, "00")])),
        # Tagged frames where they aren't permitted.
        ([(8, "01")], (REJECT, [(8, "01")])),
        ([(8, "02")], (ACK, [(8, "02")])),
        # Capabilities that the peer announces do no harm.
        ([(9, "")], (ACK, [(9, "")])),
        ([(9, "01")], (ACK, [(9, "01")])),
        ([(9, "02")], (REJECT, [(9, "02")])),
        ([(10, "")], (ACK, [(10, "")])),
        ([(10, "01")], (ACK, [(10, "01")])),
        ([(10, "0101")], (REJECT, [(10, "0101")])),
        # Options that BCP doesn't have.
        ([(0, ""), (11, "00"), (255, "")], (REJECT, [(0, ""), (11, "00"), (255, "")])),
    ],
)
def test_judged(options: Options, answer: tuple[int, Options]) -> None:
    """
    A gateway with default settings acknowledges, naks or rejects each option as it should.
    """
    assert Link().request(*options) == answer


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        ([(8, "01")], (ACK, [(8, "01")])),
        ([(8, "00")], (REJECT, [(8, "00")])),
        ([(7, "00")], (ACK, [(7, "00")])),
        ([(7, "01")], (ACK, [(7, "01")])),
        ([(7, "02")], (NAK, [(7, "01")])),
        ([(7, "0103")], (NAK, [(7, "01")])),
        ([(7, "04")], (NAK, [(7, "01")])),
        ([(7, "")], (NAK, [(7, "01")])),
        ([(9, "")], (ACK, [(9, "")])),
    ],
)
def test_judgedWithEverythingPermitted(options: Options, answer: tuple[int, Options]) -> None:
    """
    With VLANs and a spanning tree, the lower-numbered of the two ends' spanning tree protocols is
    suggested.
    """
    assert Link(tagged=True, spanningTree=True).request(*options) == answer


def test_knownPeers() -> None:
    """
    freeRtr, and pppd with the BCP of access points, get what they ask for: tagged frames, in-line
    management and the LAN indicator.
    """
    wish = [(8, "01"), (9, ""), (10, "")]
    assert Link(tagged=True).request(*wish) == (ACK, wish)
    link = Link()
    assert link.request(*wish) == (REJECT, wish[:1])
    assert link.request(*wish[1:]) == (ACK, wish[1:])


def test_noAddressToGive() -> None:
    """
    A client has no MAC address to give, and rejects the peer's request for one (RFC 3518 section
    5.6).
    """
    link = Link(peerAddress=None)
    assert link.request((6, NONE)) == (REJECT, [(6, NONE)])
    assert link.request((6, THEIRS)) == (ACK, [(6, THEIRS)])


def test_addressAsked() -> None:
    """
    A client may have its MAC address assigned, but takes no group address.
    """
    link = Link(localAddress=bytes(6))
    assert link.asked()[6] == NONE
    link.answer(NAK, (6, "03" + GIVEN[2:]))
    assert link.asked()[6] == NONE
    link.answer(NAK, (6, GIVEN[:4]))
    assert link.asked()[6] == NONE
    link.answer(NAK, (6, GIVEN))
    assert link.asked()[6] == GIVEN
    link.opened((6, OURS))
    assert link.bcp.localAddress == bytes.fromhex(GIVEN)
    assert link.bcp.peerAddress == bytes.fromhex(OURS)


def test_announcedAddressStays() -> None:
    """
    A client that announced its MAC address ignores a Nak that would change it.
    """
    link = Link(localAddress=bytes.fromhex(OURS))
    link.answer(NAK, (6, GIVEN))
    assert link.asked()[6] == OURS
    link.answer(REJECT, (6, OURS))
    assert 6 not in link.asked()
    assert link.opened().bcp.localAddress is None


def test_attachments() -> None:
    """
    The attachments are for bridged PDUs and, even without a spanning tree, for BPDUs of the old
    form. Their MTU is what both ends take.
    """
    for peerMRU, mtu in ((1600, 1520), (1400, 1400)):
        link = Link(peerMRU=peerMRU, mtu=1520).opened()
        attachments = link.attachments
        assert {number: one.mtu for number, one in attachments.items()} == {0x31: mtu, 0x201: mtu}
        assert all(one.receive is not None and not one.addresses for one in attachments.values())


class TestFrames:
    def test_bothWays(self) -> None:
        link = Link().opened()
        assert link.sending(FRAME) == (0x31, b"\x00\x01" + FRAME)
        link.bcp.packetReceived(b"\x00\x01" + FRAME)
        assert link.frames == [FRAME]
        assert link.counters.discards == {}

    def test_toTwoOfOurs(self) -> None:
        """
        Two ends of ours with everything switched on agree at once and understand each other's
        frames.
        """
        on = {"tagged": True, "spanningTree": True, "checksum": True}
        one, other = Link(**on), Link(**on)
        for here, there in ((one, other), (other, one)):
            assert there.request(*here.asked().items())[0] == ACK
            here.answer(ACK)
        for frame in (FRAME, SHORT, TAGGED, HELLO):
            packet = one.sending(frame)
            assert packet is not None
            other.bcp.packetReceived(packet[1])
            assert other.frames.pop() == frame

    def test_tinygram(self) -> None:
        """
        Zeros are left out only for a peer that announced that it restores them. Zeros that the peer
        left out are always restored.
        """
        compressed = b"\x20\x01" + SHORT.rstrip(b"\x00")
        assert Link().opened((4, "01")).sending(SHORT) == (0x31, compressed)
        for options in ([(4, "02")], []):
            assert Link().opened(*options).sending(SHORT) == (0x31, b"\x00\x01" + SHORT)
        link = Link().opened()
        link.bcp.packetReceived(compressed)
        assert link.frames == [SHORT]

    def test_checksum(self) -> None:
        """
        A frame is sent with its LAN FCS only where the peer wants it. A received LAN FCS must be
        right.
        """
        packet = b"\x80\x01" + FRAME + wire.fcs(FRAME)
        assert Link(checksum=True).opened().sending(FRAME) == (0x31, packet)
        link = Link().opened()
        link.bcp.packetReceived(packet)
        assert link.frames == [FRAME]
        link.bcp.packetReceived(packet[:-1] + bytes((packet[-1] ^ 1,)))
        assert link.frames == [FRAME]
        assert link.counters.discards == {"malformed bridged PDU": 1}

    def test_tags(self) -> None:
        """
        A tagged frame passes to a peer that announced tags, and from a peer to which we announced
        them.
        """
        double = bytes(Ether(FRAME[:12] + bytes(2)) / Dot1AD(vlan=3) / Dot1Q(vlan=7) / FRAME[14:])
        for tagged in (TAGGED, double):
            link = Link(tagged=True).opened((8, "01"))
            assert link.sending(tagged) == (0x31, b"\x00\x01" + tagged)
            link.bcp.packetReceived(b"\x00\x01" + tagged)
            assert link.frames == [tagged]
            assert link.counters.discards == {}

    def test_tagsThatWereNotAgreedTo(self) -> None:
        """
        A tagged frame is discarded in each direction in which tags weren't agreed.
        """
        link = Link().opened()
        assert link.sending(TAGGED) is None
        link.bcp.packetReceived(b"\x00\x01" + TAGGED)
        assert link.counters.discards == {"tagged frame": 2}
        for options in ([(8, "02")], []):
            link = Link(tagged=True).opened(*options)
            assert link.sending(TAGGED) is None
        link = Link(tagged=True)
        link.answer(REJECT, (8, "01"))
        link.opened((8, "01"))
        assert link.sending(TAGGED) is not None
        link.bcp.packetReceived(b"\x00\x01" + TAGGED)
        assert link.frames == []

    @pytest.mark.parametrize(
        ("frame", "passes"),
        [
            (FRAME.ljust(1514, b"\x01"), True),
            (FRAME.ljust(1515, b"\x01"), False),
            (TAGGED.ljust(1518, b"\x01"), True),
            (TAGGED.ljust(1519, b"\x01"), False),
        ],
    )
    def test_giants(self, frame: bytes, passes: bool) -> None:
        """
        A frame longer than Ethernet allows is discarded. A tag allows four octets more.
        """
        link = Link(tagged=True).opened()
        link.bcp.packetReceived(b"\x00\x01" + frame)
        assert link.frames == [frame] * passes
        assert link.counters.discards == ({} if passes else {"frame longer than Ethernet's": 1})

    @pytest.mark.parametrize(
        "packet",
        [b"", b"\x00", b"\x00\x01" + FRAME[:13], b"\x40\x01" + FRAME, b"\x00\x03\x00" + FRAME],
    )
    def test_malformed(self, packet: bytes) -> None:
        """
        Runts, frames with a LAN ID and frames of other LANs are discarded and counted.
        """
        link = Link().opened()
        link.bcp.packetReceived(packet)
        assert link.frames == []
        assert link.counters.discards == {"malformed bridged PDU": 1}

    @given(st.binary(max_size=200))
    def test_arbitraryOctets(self, octets: bytes) -> None:
        """
        No octets raise an exception.
        """
        link = Link(tagged=True, spanningTree=True).opened((7, "01"))
        link.bcp.packetReceived(octets)
        link.bcp.packetReceived(b"\x00\x01" + octets)
        link.bcp.bpduReceived(octets)


class TestSpanningTree:
    def test_inline(self) -> None:
        """
        BPDUs pass in line to a peer that announces Management-Inline, and from a peer that granted
        ours.
        """
        link = Link(spanningTree=True).opened((9, ""))
        assert link.sending(HELLO) == (0x31, b"\x00\x01" + HELLO)
        link.bcp.packetReceived(b"\x00\x01" + HELLO)
        assert link.frames == [HELLO]

    def test_marked(self) -> None:
        """
        BPDUs to a peer that asks for marked BPDUs are marked, and other frames aren't. BPDUs from
        the peer are taken with or without the mark.
        """
        link = Link(spanningTree=True).opened((9, ""), (10, ""))
        assert link.sending(HELLO) == (0x31, b"\x10\x01" + HELLO)
        assert link.sending(FRAME) == (0x31, b"\x00\x01" + FRAME)
        link.bcp.packetReceived(b"\x10\x01" + HELLO)
        assert link.frames == [HELLO]

    def test_oldForm(self) -> None:
        """
        A peer that rejects Management-Inline is asked for BPDUs of the old form, and gets them.
        """
        link = Link(spanningTree=True)
        link.answer(REJECT, (9, ""))
        assert link.asked()[7] == "01"
        assert 9 not in link.asked()
        link.opened((7, "01"))
        hello = bytes(STP())
        assert link.sending(HELLO) == (0x201, hello)
        link.bcp.bpduReceived(hello)
        expected = HELLO[:6] + bytes.fromhex(GIVEN) + HELLO[12:]
        assert link.frames == [expected]
        link.bcp.packetReceived(b"\x00\x01" + HELLO)
        assert link.frames == [expected]
        assert link.counters.discards == {"frame between bridges": 1}

    def test_oldFormFromAnAnnouncedAddress(self) -> None:
        """
        BPDUs of the old form have the source address that the peer announced, or a locally
        administered one if it announced none.
        """
        link = Link(spanningTree=True).opened((6, THEIRS), (7, "01"))
        link.bcp.bpduReceived(bytes(STP()))
        assert link.frames[0][6:12].hex() == THEIRS
        link = Link(spanningTree=True, peerAddress=None).opened((7, "01"))
        link.bcp.bpduReceived(bytes(STP()))
        assert link.frames[0][6:12].hex() == "020000000000"

    def test_peerWithoutOne(self) -> None:
        """
        Frames are bridged to a peer without a spanning tree, but no BPDU passes.
        """
        for answers in ([(7, "00")], []):
            link = Link(spanningTree=True)
            link.answer(REJECT, (9, ""))
            link.answer(NAK, (7, "00"))
            assert link.asked()[7] == "00"
            link.opened(*answers)
            assert link.sending(HELLO) is None
            link.bcp.bpduReceived(bytes(STP()))
            assert link.frames == []
            assert link.counters.discards == {"BPDU without a spanning tree": 2}

    def test_peerThatRejectsAll(self) -> None:
        link = Link(spanningTree=True)
        link.answer(REJECT, (9, ""))
        link.answer(REJECT, (7, "01"))
        assert link.asked() == {3: "01", 4: "01"}
        link.opened()
        assert link.sending(HELLO) is None

    def test_higherSuggestion(self) -> None:
        """
        A Nak that suggests a higher-numbered spanning tree protocol changes nothing, as the lower
        one counts.
        """
        link = Link(spanningTree=True)
        link.answer(REJECT, (9, ""))
        link.answer(NAK, (7, "03"))
        assert link.asked()[7] == "01"

    def test_disagreement(self) -> None:
        """
        A peer that insists on another spanning tree protocol ends BCP (RFC 3518 section 5.7).
        """
        link = Link(spanningTree=True)
        for _ in range(MAX_FAILURE):
            assert link.request((7, "04")) == (NAK, [(7, "01")])
        link.bcp.received(ppp.encodePacket(ppp.CONFIGURE_REQUEST, 1, bytes.fromhex("070304")))
        assert link.finish() == "the peer insists on spanning tree protocol 0x04"

    def test_insistedOnWhereNoneMayTakePart(self) -> None:
        """
        A peer that insists on a spanning tree where BPDUs aren't permitted has it rejected, and is
        still bridged to.
        """
        link = Link()
        for _ in range(MAX_FAILURE):
            assert link.request((7, "01")) == (NAK, [(7, "00")])
        assert link.request((7, "01")) == (REJECT, [(7, "01")])
        link.opened()

    def test_silentlyDiscarded(self) -> None:
        """
        By default every BPDU is silently discarded and counted, in both forms and directions,
        whatever the peer announces.
        """
        link = Link().opened((9, ""), (10, ""))
        sent = len(link.sent)
        assert link.sending(HELLO) is None
        link.bcp.packetReceived(b"\x10\x01" + HELLO)
        link.bcp.bpduReceived(bytes(STP()))
        assert link.frames == []
        assert len(link.sent) == sent
        assert link.counters.discards == {
            "BPDU without a spanning tree": 2,
            "frame between bridges": 1,
        }

    def test_noBPDU(self) -> None:
        """
        A frame to the spanning tree's address that isn't a BPDU has no old form, and one whose size
        isn't a BPDU's passes in neither form.
        """
        link = Link(spanningTree=True)
        link.answer(REJECT, (9, ""))
        link.opened((7, "01"))
        assert link.sending(HELLO[:14] + FRAME[14:]) is None
        link.bcp.bpduReceived(b"\x00\x00")
        assert link.frames == []
        assert link.counters.discards == {"frame between bridges": 1, "malformed bridged PDU": 1}

    def test_otherReservedAddresses(self) -> None:
        """
        LLDP and other frames to reserved addresses are never sent.
        """
        for link in (Link(spanningTree=True).opened((9, "")), Link().opened()):
            assert link.sending(LLDP) is None
            assert link.counters.discards == {"frame between bridges": 1}


class TestEnds:
    def test_terminated(self) -> None:
        link = Link().opened()
        link.bcp.received(ppp.encodePacket(ppp.TERMINATE_REQUEST, 5))
        assert link.sent[-1] == ppp.encodePacket(ppp.TERMINATE_ACK, 5)
        assert link.told[1:] == ["closed"]
        assert link.finish() == "the peer terminated bridge"

    def test_rejected(self) -> None:
        link = Link()
        link.bcp.rejected()
        assert link.told == ["the peer doesn't know bridge"]

    def test_negotiatedAnew(self) -> None:
        """
        A new negotiation forgets what was agreed before.
        """
        link = Link(tagged=True, spanningTree=True).opened((4, "01"), (8, "01"), (9, ""))
        assert link.request((4, "02"))[0] == ACK
        link.answer(ACK)
        assert len(link.told) == 3
        assert link.sending(SHORT) == (0x31, b"\x00\x01" + SHORT)
        assert link.sending(TAGGED) is None
        assert link.sending(HELLO) is None

    def test_loop(self) -> None:
        """
        A peer that asks for a refused option again and again is given up.
        """
        link = Link()
        for _ in range(MAX_REFUSALS):
            assert link.request((5, "01"))[0] == REJECT
        link.bcp.received(ppp.encodePacket(ppp.CONFIGURE_REQUEST, 1, bytes.fromhex("050301")))
        assert link.finish() == "the peer keeps asking for what it can't have"

    def test_loopOfRefusals(self) -> None:
        """
        A client stops asking for an address when the peer keeps suggesting group addresses.
        """
        link = Link(localAddress=bytes(6))
        for _ in range(MAX_FAILURE):
            link.answer(NAK, (6, "01" + GIVEN[2:]))
        link.answer(NAK, (6, "01" + GIVEN[2:]))
        assert 6 not in link.asked()

    @given(st.lists(st.tuples(st.integers(0, 12), st.binary(max_size=8)), max_size=8))
    def test_arbitraryOptions(self, options: list[tuple[int, bytes]]) -> None:
        """
        Every request is answered with an Ack, a Nak or a Reject.
        """
        link = Link(tagged=True, spanningTree=True)
        code, _ = link.request(*((number, value.hex()) for number, value in options))
        assert code in (ACK, NAK, REJECT)

    @given(st.binary(max_size=60))
    def test_arbitraryPackets(self, octets: bytes) -> None:
        """
        No packets raise an exception.
        """
        link = Link(tagged=True, spanningTree=True, localAddress=bytes(6))
        for code in range(1, 9):
            link.bcp.received(ppp.encodePacket(code, link.sent[-1][1], octets))
            link.bcp.received(octets)
