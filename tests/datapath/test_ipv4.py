"""
Tests for L{pptpgw.datapath.ipv4}, compared with scapy.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption
from scapy.packet import Raw

from pptpgw.datapath.ipv4 import clampMSS, fragment, mayFragment, tooBig
from pptpgw.networks.wire.checksum import checksum


def ip(**fields: Any) -> Any:
    return IP(src="10.1.1.1", dst="10.77.0.10", **fields)


def syn(options: list[Any], ipOptions: list[Any] | None = None, payload: bytes = b"") -> bytes:
    segment = TCP(sport=1, dport=2, seq=3, flags="S", options=options) / Raw(payload)
    return bytes(ip(options=ipOptions or []) / segment)


class TestClamp:
    """
    Tests for the MSS of a SYN.
    """

    @settings(max_examples=60, deadline=None)
    @given(
        st.integers(0, 0xFFFF),
        st.integers(0, 0xFFFF),
        st.integers(0, 3),
        st.booleans(),
        st.binary(max_size=5),
    )
    def test_againstScapy(
        self, mss: int, limit: int, before: int, withIPOptions: bool, payload: bytes
    ) -> None:
        # An odd number of octets before the option puts its value across two words of the checksum.
        ahead: list[Any] = [("NOP", None)] * before
        behind: list[Any] = [("SAckOK", b""), ("WScale", 7)]
        options = [IPOption(b"\x94\x04\x00\x00")] if withIPOptions else []
        packet = syn([*ahead, ("MSS", mss), *behind], options, payload)
        expected = syn([*ahead, ("MSS", min(mss, limit)), *behind], options, payload)
        assert clampMSS(packet, limit) == expected

    @pytest.mark.parametrize(
        "packet",
        [
            bytes(ip() / TCP(flags="A", options=[("MSS", 1460)])),
            bytes(ip(frag=3) / TCP(flags="S", options=[("MSS", 1460)])),
            bytes(ip() / UDP() / Raw(bytes(40))),
            syn([("WScale", 7)]),
            syn([("EOL", None), ("MSS", 1460)]),
        ],
        ids=["no SYN", "a later fragment", "no TCP", "no MSS", "past the end of the options"],
    )
    def test_unchanged(self, packet: bytes) -> None:
        assert clampMSS(packet, 100) == packet

    @settings(max_examples=300, deadline=None)
    @given(st.integers(0, 255), st.integers(0, 255), st.binary(max_size=50), st.integers(0, 60))
    def test_hostile(self, first: int, offset: int, options: bytes, cut: int) -> None:
        packet = bytearray(syn([("MSS", 1460)]) + options)
        packet[0] = first
        packet[32] = offset
        octets = bytes(packet[: max(1, len(packet) - cut)])
        assert len(clampMSS(octets, 100)) == len(octets)

    @given(st.binary(max_size=40))
    def test_hostileOptions(self, options: bytes) -> None:
        packet = bytearray(syn([])[:40] + options)
        packet[32] = 0xF0
        clampMSS(bytes(packet), 100)


class TestFragment:
    """
    Tests for fragmentation (RFC 791).
    """

    @settings(max_examples=60, deadline=None)
    @given(
        st.integers(1, 3000),
        st.integers(68, 1500),
        st.integers(0, 100),
        st.booleans(),
        st.sampled_from(
            [[], [IPOption(b"\x94\x04\x00\x00")], [IPOption(b"\x07\x07\x04" + bytes(4))]]
        ),
    )
    def test_putTogetherAgain(
        self, size: int, mtu: int, offset: int, more: bool, options: list[Any]
    ) -> None:
        payload = bytes(number * 7 % 251 for number in range(size))
        packet = bytes(
            ip(
                id=77,
                ttl=9,
                tos=4,
                frag=offset,
                flags="MF" if more else 0,
                options=options,
                proto=17,
            )
            / Raw(payload)
        )
        pieces = fragment(packet, mtu)
        joined = bytearray(size)
        for number, octets in enumerate(pieces):
            piece = IP(octets)
            assert len(octets) <= mtu
            assert piece.len == len(octets)
            assert checksum(octets[: piece.ihl * 4]) == 0
            assert (piece.id, piece.ttl, piece.tos, piece.proto) == (77, 9, 4, 17)
            last = number == len(pieces) - 1
            assert ("MF" in piece.flags) == (more or not last)
            assert last or (len(octets) - piece.ihl * 4) % 8 == 0
            at = (piece.frag - offset) * 8
            joined[at : at + len(octets) - piece.ihl * 4] = octets[piece.ihl * 4 :]
            # Router alert is copied into each fragment, record route is not.
            kept = options if number == 0 or (options and options[0].copy_flag) else []
            assert piece.ihl == 5 + (len(b"".join(map(bytes, kept))) + 3) // 4
        assert bytes(joined) == payload

    @settings(max_examples=300, deadline=None)
    @given(st.binary(min_size=20, max_size=120), st.integers(0, 100))
    def test_hostile(self, packet: bytes, mtu: int) -> None:
        for piece in fragment(packet, mtu):
            assert len(piece) <= mtu

    def test_dontFragment(self) -> None:
        assert not mayFragment(bytes(ip(flags="DF")))
        assert mayFragment(bytes(ip(flags="MF")))
        assert mayFragment(bytes(ip(flags=0, frag=0x1FFF)))


class TestTooBig:
    """
    Tests for ICMP's 'fragmentation needed'.
    """

    def test_asScapyReadsIt(self) -> None:
        packet = bytes(ip(flags="DF", id=5) / UDP() / Raw(bytes(1000)))
        octets = tooBig(packet, 576)
        assert octets is not None
        assert len(octets) == 576
        answer = IP(octets)
        assert (answer.src, answer.dst) == ("10.77.0.10", "10.1.1.1")
        assert (answer[ICMP].type, answer[ICMP].code, answer[ICMP].nexthopmtu) == (3, 4, 576)
        assert octets[28:] == packet[:548]
        del answer.chksum, answer[ICMP].chksum
        assert bytes(answer) == octets

    @pytest.mark.parametrize(
        "packet",
        [
            ip(frag=1) / Raw(bytes(40)),
            ip() / ICMP(type=3) / Raw(bytes(40)),
            ip() / ICMP(type=11) / Raw(bytes(40)),
            IP(src="0.0.0.0", dst="10.77.0.10") / UDP(),
            IP(src="127.0.0.1", dst="10.77.0.10") / UDP(),
            IP(src="224.0.0.1", dst="10.77.0.10") / UDP(),
            IP(src="255.255.255.255", dst="10.77.0.10") / UDP(),
            IP(src="10.1.1.1", dst="224.0.0.1") / UDP(),
            ip() / Raw(bytes(7)),
        ],
    )
    def test_notAbout(self, packet: Any) -> None:
        assert tooBig(bytes(packet), 576) is None

    def test_aboutAnEcho(self) -> None:
        assert tooBig(bytes(ip() / ICMP(type=8) / Raw(bytes(40))), 576) is not None

    @settings(max_examples=300, deadline=None)
    @given(st.binary(min_size=20, max_size=80))
    def test_hostile(self, packet: bytes) -> None:
        tooBig(packet, 576)
