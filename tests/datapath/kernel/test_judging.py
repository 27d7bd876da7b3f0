"""
Tests for L{pptpgw.datapath.kernel.judging}: this machine's kernel runs the programs, and must judge
like L{Filter.permits}. The packets are made by scapy, and by mutation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_LSRR, IPOption_NOP, IPOption_SSRR
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.packet import Raw

from pptpgw.datapath.kernel.judging import judging
from pptpgw.ports.bpf import Assembled, TooLarge
from pptpgw.sessions.filter import Filter
from tests.ports.bpfkernel import kept

V4: dict[str, Any] = {"src": "10.77.0.10", "dst": "10.1.2.3"}
V6: dict[str, Any] = {"src": "fc00::a", "dst": "2001:db8::1"}
CRAFTED = [
    bytes(one)
    for one in (
        IP(**V4) / TCP(sport=80, dport=8000),
        IP(**V4) / UDP(sport=5, dport=53) / b"octets",
        IP(**V4) / ICMP(),
        IP(**V4, proto=47) / Raw(b"octets"),
        IP(**V4, frag=1) / TCP(),
        IP(**V4, frag=1, proto=17) / Raw(b"octetsoctets"),
        IP(**V4, frag=2, proto=6) / Raw(b"octets"),
        IP(**V4, flags="MF") / TCP(dport=53),
        IP(**V4, flags="MF", proto=6) / Raw(bytes(15)),
        IP(**V4, proto=17) / Raw(bytes(7)),
        IP(**V4, options=[IPOption_NOP()]) / UDP(dport=53),
        IP(**V4, options=[IPOption_NOP()] * 40) / UDP(dport=53),
        IP(**V4, options=[IPOption_NOP(), IPOption_LSRR(routers=["10.9.9.9"])]) / UDP(dport=53),
        IP(**V4, options=[IPOption_NOP()] * 36 + [IPOption_SSRR(routers=[])]) / UDP(),
        IP(**V4, len=21) / UDP(),
        IP(**V4, len=19) / UDP(),
        IP(**V4, len=400) / UDP(),
        IP(**V4, ihl=4) / UDP(),
        IP(**V4) / UDP(dport=53) / b"octets" / Raw(b"behind"),
        IPv6(**V6) / TCP(sport=80, dport=8000),
        IPv6(**V6) / UDP(sport=5, dport=53),
        IPv6(**V6) / ICMPv6EchoRequest(),
        IPv6(**V6, nh=59),
        IPv6(**V6, plen=400) / UDP(),
        IPv6(**V6) / IPv6ExtHdrFragment(offset=0, m=1) / UDP(dport=53),
        IPv6(**V6) / IPv6ExtHdrFragment(offset=1) / UDP(dport=53),
        IPv6(**V6) / IPv6ExtHdrFragment(offset=3) / UDP(dport=53),
        IPv6(**V6) / IPv6ExtHdrRouting(segleft=0) / UDP(dport=53),
        IPv6(**V6) / IPv6ExtHdrRouting(segleft=1) / UDP(dport=53),
        IPv6(**V6)
        / IPv6ExtHdrHopByHop()
        / IPv6ExtHdrDestOpt()
        / IPv6ExtHdrRouting()
        / IPv6ExtHdrFragment()
        / IPv6ExtHdrDestOpt()
        / TCP(dport=53),
        IPv6(**V6) / IPv6ExtHdrHopByHop(len=200) / UDP(dport=53),
        IPv6(**V6) / IPv6ExtHdrHopByHop(len=200, nh=58) / ICMPv6EchoRequest(),
        IPv6(**V6) / IPv6ExtHdrFragment(),
        *(
            IPv6(**V6) / Raw(b"\x3c\0\1\4\0\0\0\0" * (count - 1) + b"\x11\0\1\4\0\0\0\0") / UDP()
            for count in (5, 6, 7)
        ),
    )
]
# scapy doesn't know that the raw octets are extension headers.
CRAFTED += [one[:6] + b"\x3c" + one[7:] for one in CRAFTED[-3:]]

NETWORKS = {
    4: ("any", "any", "10.0.0.0/8", "10.77.0.10", "10.1.2.0/23", "0.0.0.0/0"),
    6: ("any", "any", "fc00::/7", "2001:db8::1", "fc00::/65", "2001:db8::/33", "::/0"),
}
PORTS = ("53", "0", "65535", "0-65535", "80,8000-8100", "1,3,5,53-54", "8000-8000,5")


def rules() -> st.SearchStrategy[str]:
    """
    Rules that packets of L{CRAFTED} often match.
    """

    def rule(family: int, protocol: str) -> st.SearchStrategy[str]:
        ports: st.SearchStrategy[str | None] = st.none()
        if protocol in ("tcp", "udp"):
            ports = st.none() | st.sampled_from(PORTS)
        network = st.sampled_from(NETWORKS[family])
        return st.builds(
            lambda action, one, some, other, more: (
                f"{action} {protocol} from {one}{f' port {some}' if some else ''}"
                f" to {other}{f' port {more}' if more else ''}"
            ),
            st.sampled_from(("permit", "permit", "deny")),
            network,
            ports,
            network,
            ports,
        )

    return st.tuples(
        st.sampled_from((4, 6)), st.sampled_from(("ip", "tcp", "udp", "icmp", "47", "59", "0"))
    ).flatmap(lambda both: rule(*both))


def packets() -> st.SearchStrategy[bytes]:
    """
    Crafted packets, some of them with other octets, longer or shorter; and arbitrary octets.
    """
    crafted = st.sampled_from(CRAFTED)
    octets = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=2)

    def changed(packet: bytes, changes: list[tuple[int, int]], size: int) -> bytes:
        made = bytearray(packet)
        for place, octet in changes:
            if place < len(made):
                made[place] = octet
        return bytes(made[: len(made) + size] if size < 0 else made + bytes(size))

    return (
        crafted | st.builds(changed, crafted, octets, st.integers(-20, 9)) | st.binary(max_size=80)
    )


def framed(packet: bytes) -> bytes:
    """
    The packet as a PPP filter sees it, with the protocol number of its version.
    """
    version = packet[0] >> 4 if packet else 0
    return b"\0\0" + {4: b"\0\x21", 6: b"\0\x57"}.get(version, b"\0\x2b") + packet


def judged(filter: Filter | None, packets: Sequence[bytes]) -> list[bool]:
    """
    Whether the kernel keeps each of C{packets}.
    """
    return list(kept(Assembled((), judging(filter)), [framed(one) for one in packets]))


@settings(deadline=None, max_examples=60)
@given(st.lists(rules(), max_size=5), st.lists(packets(), min_size=1, max_size=40))
def test_theKernelJudgesAsPythonDoes(rules: list[str], packets: list[bytes]) -> None:
    filter = Filter(rules)
    for packet, isKept in zip(packets, judged(filter, packets), strict=True):
        assert isKept is filter.permits(packet), packet.hex()


@pytest.mark.parametrize(
    "rule",
    [
        "permit ip from any to any",
        "permit udp from any to any",
        "permit tcp from any to any port 53,8000",
        "permit udp from any port 5 to any",
        "permit 6 from any to any",
    ],
)
def test_eachCraftedPacket(rule: str) -> None:
    """
    Each rule permits some of the crafted packets and not others, here and in the kernel alike.
    """
    filter = Filter([rule])
    found = judged(filter, CRAFTED)
    assert found == [filter.permits(one) for one in CRAFTED]
    assert 0 < sum(found) < len(found)


def test_theProtocolNumberTellsTheVersion() -> None:
    """
    A packet of one version with the PPP protocol number of the other is dropped.
    """
    program = Assembled((), judging(Filter(["permit ip from any to any"])))
    for packet, right in ((CRAFTED[0], 0x21), (CRAFTED[20], 0x57)):
        for number in (0x21, 0x57, 0x2B):
            (isKept,) = kept(program, [bytes((0, 0, 0, number)) + packet])
            assert isKept is (number == right)
        # The same headers, but with the other version.
        lying = bytes((packet[0] ^ 0x20,)) + packet[1:]
        assert list(kept(program, [bytes((0, 0, 0, right)) + lying])) == [False]


def test_noFilter() -> None:
    assert judged(None, CRAFTED) == [True] * len(CRAFTED)


def test_tooLarge() -> None:
    """
    A filter with more instructions than the kernel takes has no program.
    """
    many = [f"permit tcp from 10.0.{one}.0/24 to any" for one in range(200)]
    judging(Filter(many))
    with pytest.raises(TooLarge, match=r"of \d+ instructions; the kernel takes 4096"):
        judging(Filter(many * 6))


def test_manyPorts() -> None:
    """
    Comparisons reach labels that are farther than 255 instructions away.
    """
    ports = ",".join(str(one) for one in range(1, 400, 2))
    filter = Filter([f"permit udp from any to any port {ports}", "deny udp from any to any"])
    numbers = (0, 1, 2, 199, 200, 399, 400)
    packets = [bytes(IP(**V4) / UDP(dport=port)) for port in numbers]
    assert judged(filter, packets) == [port % 2 == 1 for port in numbers]
