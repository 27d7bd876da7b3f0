"""
Tests for L{pptpgw.ncp.generic}, and of each declaration that comes with the gateway.
"""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from pptpgw.declaration import Declaration, Rule
from pptpgw.declared import shipped
from pptpgw.interfaces import Attachments, INetworkLink, INetworkProtocol
from pptpgw.ncp.generic import GenericSettings, protocolFor
from pptpgw.ppp.automaton import RESTART_SECONDS
from pptpgw.ppp.option import MAX_FAILURE
from pptpgw.wire import ppp

REQUEST, ACK, NAK, REJECT = (
    ppp.CONFIGURE_REQUEST,
    ppp.CONFIGURE_ACK,
    ppp.CONFIGURE_NAK,
    ppp.CONFIGURE_REJECT,
)

Options = list[tuple[int, str]]


def options(*pairs: tuple[int, str]) -> bytes:
    """
    The octets of options, values in hexadecimal.
    """
    return ppp.encodeOptions((number, bytes.fromhex(value)) for number, value in pairs)


@implementer(INetworkLink)
class Link:
    """
    One end: a declared protocol and its link.

    @ivar other: the other end, where packets go.
    """

    def __init__(
        self,
        declaration: Declaration,
        assigned: dict[int, bytes] | None = None,
        clock: Clock | None = None,
        peerMRU: int = 1400,
    ) -> None:
        self.clock = clock or Clock()
        self.peerMRU = peerMRU
        self.other: Link | None = None
        self.told: list[object] = []
        self.sent: list[bytes] = []
        self.received: list[tuple[int, bytes]] = []
        self.attachments: Attachments = {}
        self.protocol = protocolFor(declaration)(
            GenericSettings(
                receive=lambda number, packet: self.received.append((number, packet)),
                opened=lambda protocol: self.told.append(f"{protocol.name} opens"),
                closed=lambda protocol: self.told.append(f"{protocol.name} closes"),
                assigned=assigned or {},
            )
        )
        self.protocol.attach(self)
        self.protocol.open()

    def send(self, protocol: int, packet: bytes) -> None:
        assert protocol == self.protocol.control
        self.sent.append(packet)
        if self.other is not None:
            self.clock.callLater(0.001, self.other.protocol.received, packet)

    def sendPacket(self, number: int, packet: bytes) -> None:
        raise AssertionError("nobody sends here")

    def networkOpened(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        self.attachments = attachments
        self.told.append("opened")

    def networkChanged(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        raise AssertionError("nothing changes here")

    def networkClosed(self, protocol: INetworkProtocol) -> None:
        self.told.append("closed")

    def networkFinished(self, protocol: INetworkProtocol, reason: str) -> None:
        self.told.append(reason)

    def request(self, *wish: tuple[int, str]) -> tuple[int, Options]:
        """
        Send a Configure-Request; code and options of the answer.
        """
        self.protocol.received(ppp.encodePacket(REQUEST, 1, options(*wish)))
        code, _, data = ppp.decodePacket(self.sent[-1])
        return code, [(number, value.hex()) for number, value in ppp.decodeOptions(data)]

    def answer(self, code: int, *suggested: tuple[int, str]) -> None:
        """
        Answer the latest Configure-Request; an Ack repeats it.
        """
        request = [packet for packet in self.sent if packet[0] == REQUEST][-1]
        octets = request[4:] if code == ACK else options(*suggested)
        self.protocol.received(ppp.encodePacket(code, request[1], octets))

    def asked(self) -> Options:
        """
        What we ask for.
        """
        request = [packet for packet in self.sent if packet[0] == REQUEST][-1]
        return [(number, value.hex()) for number, value in ppp.decodeOptions(request[4:])]


def up(declaration: Declaration, assigned: dict[int, bytes] | None = None) -> Link:
    """
    One end whose link is ready.
    """
    link = Link(declaration, assigned)
    link.protocol.lowerUp()
    return link


def pair(
    gateway: Declaration, client: Declaration, assigned: dict[int, bytes] | None = None
) -> tuple[Link, Link]:
    """
    Two ends, after they had time to agree.
    """
    clock = Clock()
    ends = Link(gateway, assigned, clock), Link(client, None, clock)
    ends[0].other, ends[1].other = ends[1], ends[0]
    for end in ends:
        end.protocol.lowerUp()
    clock.pump([0.001] * 40)
    return ends


def declare(rules: dict[int, Rule], *data: int) -> Declaration:
    """
    A protocol with these options.
    """
    return Declaration("controller", 0x80C3, data or (0x00C3,), options=rules)


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
        Each way to treat an option of the peer's.
        """
        assert up(declare(self.RULES), {5: b"\x00\x07"}).request(*wish) == answer

    def test_nothingAssigned(self) -> None:
        """
        An option that has one value a session, where this one has none, is rejected.
        """
        assert up(declare(self.RULES)).request((5, "0000")) == (REJECT, [(5, "0000")])

    def test_asksForNothing(self) -> None:
        """
        Nothing is asked for that the declaration doesn't say to ask for.
        """
        assert up(declare(self.RULES)).asked() == []

    def test_asks(self) -> None:
        """
        What is asked for is changed by a Nak, and given up after a Reject.
        """
        link = up(declare({1: Rule(ask=b"\x05"), 2: Rule(ask=b""), 3: Rule()}))
        assert link.asked() == [(1, "05"), (2, "")]
        link.answer(NAK, (1, "0606"))
        assert link.asked() == [(1, "0606"), (2, "")]
        link.answer(REJECT, (2, ""))
        assert link.asked() == [(1, "0606")]
        link.request()
        link.answer(ACK)
        assert link.told == ["controller opens", "opened"]
        assert link.protocol.negotiator.granted == {1: b"\x06\x06"}

    def test_required(self) -> None:
        """
        Without a required option there is no protocol; a Nak of it may change it.
        """
        rules = {1: Rule(ask=b"\x05", required=True), 2: Rule(ask=b"")}
        link = up(declare(rules))
        link.answer(NAK, (1, "06"))
        link.answer(REJECT, (2, ""))
        assert link.told == []
        link.answer(REJECT, (1, "06"))
        link.clock.pump([RESTART_SECONDS] * 3)
        assert link.told == ["the peer won't grant option 1 of controller"]

    def test_requiredAndNakedForEver(self) -> None:
        """
        A peer that Naks a required option for ever refuses it.
        """
        link = up(declare({1: Rule(ask=b"\x00", required=True)}))
        for number in range(MAX_FAILURE + 1):
            link.answer(NAK, (1, f"{number + 1:02x}"))
        link.clock.pump([RESTART_SECONDS] * 3)
        assert link.told == ["the peer won't grant option 1 of controller"]

    def test_insistsOnAnother(self) -> None:
        """
        A peer that insists on another value than the fixed one goes without the option.
        """
        link = up(declare(self.RULES))
        for _ in range(MAX_FAILURE):
            assert link.request((4, "00")) == (NAK, [(4, "67617465")])
        assert link.request((4, "00")) == (REJECT, [(4, "00")])
        assert link.request() == (ACK, [])

    def test_loops(self) -> None:
        """
        A peer that goes on asking for what it can't have is let go, and so is one that goes on
        refusing what we ask for.
        """
        link = up(declare(self.RULES))
        for _ in range(20):
            link.protocol.received(ppp.encodePacket(REQUEST, 1, options((9, "00"))))
        link.clock.pump([RESTART_SECONDS] * 3)
        assert link.told == ["the peer keeps asking for what it can't have"]
        link = up(declare({1: Rule(ask=b"\x00")}))
        for number in range(20):
            link.answer(NAK, (1, f"{number + 1:02x}"))
        link.clock.pump([RESTART_SECONDS] * 3)
        assert link.told == ["the peer keeps refusing what we ask for"]


class TestProtocol:
    def test_interface(self) -> None:
        """
        It is a network protocol of the declaration's numbers.
        """
        protocol = Link(declare({}, 0x00C3, 0x02C3)).protocol
        assert verifyObject(INetworkProtocol, protocol)
        assert (protocol.name, protocol.control) == ("controller", 0x80C3)
        assert protocol.protocols == (0x00C3, 0x02C3)

    def test_twoDeclarationsInOneProcess(self) -> None:
        """
        One declaration's options are none of another's.
        """
        first, second = declare({1: Rule(accept=())}), declare({2: Rule(accept=())})
        assert up(first).request((1, "")) == (ACK, [(1, "")])
        assert up(second).request((1, "")) == (REJECT, [(1, "")])

    def test_packetsOfEachNumber(self) -> None:
        """
        Packets come with the number that they had; none is larger than either end allows.
        """
        link = Link(declare({}, 0x00C3, 0x02C3), peerMRU=1300)
        link.protocol.lowerUp()
        link.request()
        link.answer(ACK)
        assert [attachment.mtu for attachment in link.attachments.values()] == [1300, 1300]
        for number, attachment in link.attachments.items():
            assert attachment.receive is not None
            attachment.receive(number.to_bytes(2, "big"))
        assert link.received == [(0x00C3, b"\x00\xc3"), (0x02C3, b"\x02\xc3")]
        assert link.protocol.attachment().mtu == 1300

    def test_opensAndCloses(self) -> None:
        """
        Whoever takes the packets hears of it before the first can come, and after the last.
        """
        link = up(declare({}))
        link.request()
        link.answer(ACK)
        link.protocol.received(ppp.encodePacket(ppp.TERMINATE_REQUEST, 5))
        assert link.told == ["controller opens", "opened", "closed", "controller closes"]
        assert link.sent[-1] == ppp.encodePacket(ppp.TERMINATE_ACK, 5)

    def test_peerThatDoesNotKnowIt(self) -> None:
        """
        A Protocol-Reject finishes it.
        """
        link = up(declare({}))
        link.protocol.rejected()
        assert link.told == ["the peer doesn't know controller"]

    def test_withoutAnybodyToTell(self) -> None:
        """
        A client needs nothing but a callable for its packets.
        """
        received: list[tuple[int, bytes]] = []
        link = Link(declare({}))
        link.protocol.settings = GenericSettings(lambda *packet: received.append(packet))
        link.protocol.lowerUp()
        link.request()
        link.answer(ACK)
        (attachment,) = link.attachments.values()
        assert attachment.receive is not None
        attachment.receive(b"x")
        link.protocol.close("done")
        assert received == [(0x00C3, b"x")]
        assert link.told == ["opened", "closed"]

    @given(st.lists(st.binary(max_size=40), max_size=12))
    def test_anyOctets(self, packets: list[bytes]) -> None:
        """
        Whatever comes, nothing is raised, and what is answered is in form and fits.
        """
        link = up(shipped()["appletalk"], {1: bytes(4)})
        for packet in packets:
            link.protocol.received(packet)
            link.protocol.received(b"\x01\x07" + (len(packet) + 4).to_bytes(2, "big") + packet)
        for sent in link.sent:
            assert ppp.encodePacket(*ppp.decodePacket(sent)) == sent
            assert len(sent) <= link.peerMRU


APPLETALK = {1: bytes.fromhex("00ff0007")}
NAME = b"WORKSTATION    \x00\x01".hex()
PEER = (b"\x00\x08\x00\x01\x00\x00" + b"WORKSTATION").hex()


class TestShipped:
    """
    Options of the RFCs, by the names that they have there.
    """

    @pytest.mark.parametrize(
        ("name", "wish", "answer"),
        [
            # AppleTalk-Address (RFC 1378 section 3.1): none, ours, another, and too long a one.
            ("appletalk", [(1, "00000000")], (NAK, [(1, "00ff0007")])),
            ("appletalk", [(1, "00ff0007")], (ACK, [(1, "00ff0007")])),
            ("appletalk", [(1, "00123456")], (NAK, [(1, "00ff0007")])),
            ("appletalk", [(1, "00ff000700")], (NAK, [(1, "00ff0007")])),
            # Routing-Protocol: none, RTMP; Suppress-Broadcasts: all, of some types.
            ("appletalk", [(2, "0000")], (REJECT, [(2, "0000")])),
            ("appletalk", [(2, "0001")], (REJECT, [(2, "0001")])),
            ("appletalk", [(3, "")], (REJECT, [(3, "")])),
            ("appletalk", [(3, "0105")], (REJECT, [(3, "0105")])),
            # AT-Compression-Protocol, Server-Information, Zone-Information, Default-Router-Address.
            ("appletalk", [(4, "002d")], (REJECT, [(4, "002d")])),
            ("appletalk", [(6, "")], (REJECT, [(6, "")])),
            ("appletalk", [(7, "")], (REJECT, [(7, "")])),
            ("appletalk", [(8, "00000000")], (REJECT, [(8, "00000000")])),
            # An end system that asks for everything gets an address in the second round.
            (
                "appletalk",
                [(1, "00000000"), (2, "0000"), (6, ""), (7, ""), (8, "00000000")],
                (REJECT, [(2, "0000"), (6, ""), (7, ""), (8, "00000000")]),
            ),
            ("appletalk", [], (ACK, [])),
            # Name-Projection (RFC 2097 section 3.1): none, one, fourteen, and a part of one.
            ("netbios", [(1, "")], (ACK, [(1, "")])),
            ("netbios", [(1, NAME)], (ACK, [(1, NAME)])),
            ("netbios", [(1, NAME * 14)], (ACK, [(1, NAME * 14)])),
            ("netbios", [(1, NAME[:-2])], (REJECT, [(1, NAME[:-2])])),
            # Peer-Information, Multicast-Filtering, IEEE-MAC-Address-Required.
            ("netbios", [(2, PEER)], (ACK, [(2, PEER)])),
            ("netbios", [(3, "ffff00")], (REJECT, [(3, "ffff00")])),
            ("netbios", [(4, "")], (REJECT, [(4, "")])),
            ("netbios", [(1, NAME), (2, PEER)], (ACK, [(1, NAME), (2, PEER)])),
            # Align-NPDU (RFC 1377 section 3.1).
            ("osi", [(1, "01")], (REJECT, [(1, "01")])),
            ("osi", [], (ACK, [])),
            # DNCP and XNSCP have no options.
            ("decnet", [], (ACK, [])),
            ("decnet", [(1, "00")], (REJECT, [(1, "00")])),
            ("xns", [], (ACK, [])),
            ("xns", [(1, "00")], (REJECT, [(1, "00")])),
            # BV-NS-RTP-Link-Type, BV-FRP, BV-RTP, BV-Suppress-Broadcast (RFC 1763 section 3).
            ("vines", [(1, "")], (REJECT, [(1, "")])),
            ("vines", [(2, "")], (REJECT, [(2, "")])),
            ("vines", [(3, "")], (REJECT, [(3, "")])),
            ("vines", [(4, "")], (REJECT, [(4, "")])),
            ("vines", [], (ACK, [])),
        ],
    )
    def test_judged(self, name: str, wish: Options, answer: tuple[int, Options]) -> None:
        """
        Each option's answer.
        """
        assert up(shipped()[name], APPLETALK).request(*wish) == answer

    def test_severalNameProjections(self) -> None:
        """
        A peer with more than fourteen names has Name-Projection twice (RFC 2097 section 3.1), and
        the Ack repeats both.
        """
        wish = [(1, NAME * 14), (1, NAME * 2)]
        assert up(shipped()["netbios"]).request(*wish) == (ACK, wish)

    @pytest.mark.parametrize("name", sorted(shipped()))
    def test_asksForNothing(self, name: str) -> None:
        """
        We ask for nothing of a peer, which so may have any view of its options.
        """
        assert up(shipped()[name], APPLETALK).asked() == []

    @pytest.mark.parametrize("name", sorted(shipped()))
    def test_opens(self, name: str) -> None:
        """
        Each opens with a client of the same declaration, which asks for what there is to ask.
        """
        declaration = shipped()[name]
        wishes = {type_: Rule(ask=bytes(4)) for type_ in declaration.options}
        client = Declaration(name, declaration.control, declaration.data, options=wishes)
        ends = pair(declaration, client, APPLETALK)
        for end in ends:
            assert end.told == [f"{name} opens", "opened"]
            assert list(end.attachments) == list(declaration.data)
        granted = ends[1].protocol.negotiator.granted
        accepted = {1: APPLETALK[1]} if name == "appletalk" else {}
        if name == "netbios":
            accepted = {2: bytes(4)}
        assert granted == ends[0].protocol.negotiator.allowed == accepted


def tshark(frames: list[bytes], folder: Path, *fields: str) -> list[list[str]]:
    """
    What tshark finds in the fields of PPP frames.
    """
    path = folder / "frames.pcap"
    records = b"".join(
        struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame for frame in frames
    )
    path.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 9) + records)
    command = ["tshark", "-r", str(path), "-T", "fields", "-E", "separator=|"]
    for name in fields:
        command += ["-e", name]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line.split("|") for line in shown.splitlines()]


class TestTshark:
    """
    An independent opinion on the frames of each negotiation.
    """

    NAMES = {
        "appletalk": "AppleTalk Control Protocol",
        "netbios": "NETBIOS Framing Control Protocol",
        "osi": "OSI Network Layer Control Protocol",
        "decnet": "DECnet Phase IV Control Protocol",
        "vines": "Banyan Vines Control Protocol",
        "xns": "Xerox NS IDP Control Protocol",
    }

    def test_names(self, tmp_path: Path) -> None:
        """
        Tshark knows each control protocol by its number, and each packet for a Configure packet.
        """
        frames, names = [], []
        for name in self.NAMES:
            end = up(shipped()[name], APPLETALK)
            end.request((1, "00000000"))
            end.request()
            end.answer(ACK)
            frames += [ppp.encodeFrame(end.protocol.control, packet) for packet in end.sent]
            names += [self.NAMES[name]] * len(end.sent)
        shown = tshark(frames, tmp_path, "_ws.col.Protocol", "_ws.col.Info", "ppp.protocol")
        assert len(shown) == len(frames)
        for line, frame, name in zip(shown, frames, names, strict=True):
            assert int(line[2], 16) == int.from_bytes(frame[2:4], "big")
            assert name in str(line) or frame[2:4] == b"\x80\x23", line

    def test_alignNPDU(self, tmp_path: Path) -> None:
        """
        The one of these whose options it dissects: a request for an alignment, and our Reject.
        """
        osi = shipped()["osi"]
        client = Declaration("osi", osi.control, osi.data, options={1: Rule(ask=b"\x02")})
        ends = pair(osi, client)
        frames = [ppp.encodeFrame(0x8023, one) for end in reversed(ends) for one in end.sent]
        shown = tshark(
            frames,
            tmp_path,
            "_ws.col.Protocol",
            "ppp.code",
            "osinlcp.opt.type",
            "osinlcp.opt.alignment",
        )
        assert [line[0] for line in shown] == ["PPP OSINLCP"] * len(frames)
        assert ["PPP OSINLCP", "1", "1", "2"] in shown
        assert ["PPP OSINLCP", "4", "1", "2"] in shown
        assert shown[-1][1] == "2"
