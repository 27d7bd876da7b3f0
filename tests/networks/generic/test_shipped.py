"""
Tests for the declarations that come with the gateway (C{protocols.toml}), with options of their
RFCs.
"""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from pptpgw.networks.generic.catalogue import shipped
from pptpgw.networks.generic.declaration import Declaration, Rule
from pptpgw.ppp.wire import ppp
from pptpgw.testing import Options
from tests.networks.generic.ends import pair, up
from tests.octets import encodeFrame

ACK, NAK, REJECT = ppp.CONFIGURE_ACK, ppp.CONFIGURE_NAK, ppp.CONFIGURE_REJECT

APPLETALK = {1: bytes.fromhex("00ff0007")}
NAME = b"WORKSTATION    \x00\x01".hex()
PEER = (b"\x00\x08\x00\x01\x00\x00" + b"WORKSTATION").hex()


class TestShipped:
    """
    Tests with the options of the RFCs, by their names.
    """

    @pytest.mark.parametrize(
        ("name", "wish", "answer"),
        [
            # AppleTalk-Address (RFC 1378 section 3.1): no value, ours, another, and one that is too
            # long.
            ("appletalk", [(1, "00000000")], (NAK, [(1, "00ff0007")])),
            ("appletalk", [(1, "00ff0007")], (ACK, [(1, "00ff0007")])),
            ("appletalk", [(1, "00123456")], (NAK, [(1, "00ff0007")])),
            ("appletalk", [(1, "00ff000700")], (NAK, [(1, "00ff0007")])),
            # Routing-Protocol with no protocol and with RTMP; Suppress-Broadcasts for all types and
            # for some.
            ("appletalk", [(2, "0000")], (REJECT, [(2, "0000")])),
            ("appletalk", [(2, "0001")], (REJECT, [(2, "0001")])),
            ("appletalk", [(3, "")], (REJECT, [(3, "")])),
            ("appletalk", [(3, "0105")], (REJECT, [(3, "0105")])),
            # AT-Compression-Protocol, Server-Information, Zone-Information, Default-Router-Address.
            ("appletalk", [(4, "002d")], (REJECT, [(4, "002d")])),
            ("appletalk", [(6, "")], (REJECT, [(6, "")])),
            ("appletalk", [(7, "")], (REJECT, [(7, "")])),
            ("appletalk", [(8, "00000000")], (REJECT, [(8, "00000000")])),
            # An end system that asks for everything gets its address in the second round.
            (
                "appletalk",
                [(1, "00000000"), (2, "0000"), (6, ""), (7, ""), (8, "00000000")],
                (REJECT, [(2, "0000"), (6, ""), (7, ""), (8, "00000000")]),
            ),
            ("appletalk", [], (ACK, [])),
            # Name-Projection (RFC 2097 section 3.1) with no name, one, fourteen, and a part of one.
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
        Each shipped protocol answers each option as it should.
        """
        assert up(shipped()[name], APPLETALK).request(*wish) == answer

    def test_severalNameProjections(self) -> None:
        """
        A peer with more than fourteen names sends Name-Projection twice (RFC 2097 section 3.1).
        Each is judged by itself, and the Ack repeats both.
        """
        wish = [(1, NAME * 14), (1, NAME * 2)]
        assert up(shipped()["netbios"]).request(*wish) == (ACK, wish)
        torn = (1, NAME[:-2])
        assert up(shipped()["netbios"]).request(*wish, torn) == (REJECT, [torn])

    @pytest.mark.parametrize("name", sorted(shipped()))
    def test_asksForNothing(self, name: str) -> None:
        """
        Shipped declarations ask the peer for nothing, so they work with a peer whatever it thinks
        of the options.
        """
        assert up(shipped()[name], APPLETALK).asked() == {}

    @pytest.mark.parametrize("name", sorted(shipped()))
    def test_opens(self, name: str) -> None:
        """
        Each shipped protocol opens with a client of the same declaration that asks for every
        option.
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
    The values that tshark finds for these fields of PPP frames.
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
    Tests that decode the frames of each negotiation with tshark.
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
        tshark knows each control protocol by its number, and reads each packet as a Configure
        packet.
        """
        frames, names = [], []
        for name in self.NAMES:
            end = up(shipped()[name], APPLETALK)
            end.request((1, "00000000"))
            end.request()
            end.answer(ACK)
            frames += [encodeFrame(end.protocol.control, packet) for packet in end.sent]
            names += [self.NAMES[name]] * len(end.sent)
        shown = tshark(frames, tmp_path, "_ws.col.Protocol", "_ws.col.Info", "ppp.protocol")
        assert len(shown) == len(frames)
        for line, frame, name in zip(shown, frames, names, strict=True):
            assert int(line[2], 16) == int.from_bytes(frame[2:4], "big")
            assert name in str(line) or frame[2:4] == b"\x80\x23", line

    def test_alignNPDU(self, tmp_path: Path) -> None:
        """
        tshark reads a request for OSI's alignment option, the only one of these options that it
        decodes, and our Reject of it.
        """
        osi = shipped()["osi"]
        client = Declaration("osi", osi.control, osi.data, options={1: Rule(ask=b"\x02")})
        ends = pair(osi, client)
        frames = [encodeFrame(0x8023, one) for end in reversed(ends) for one in end.sent]
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
