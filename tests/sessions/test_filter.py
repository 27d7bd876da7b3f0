"""
Tests for L{pptpgw.sessions.filter}. The packets are made by scapy.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers import inet
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_LSRR
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.packet import Raw

from pptpgw.sessions.filter import Filter

ANY = "permit ip from any to any"
V4: dict[str, Any] = {"src": "10.77.0.10", "dst": "10.1.2.3"}
V6: dict[str, Any] = {"src": "fc00::a", "dst": "2001:db8::1"}


def permits(packet: Any, *rules: str) -> bool:
    return Filter(rules).permits(bytes(packet))


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "permit",
        "allow ip from any to any",
        "permit ip from any",
        "permit ip from any to any established",
        "permit gre from any to any",
        "permit 256 from any to any",
        "permit ip from 10.0.0.1/8 to any",
        "permit ip from 10.0.0.0/33 to any",
        "permit ip from host to any",
        "permit ip from 10.0.0.0/8 to fc00::/7",
        "permit ip from any to any port 80",
        "permit icmp from any port 1 to any",
        "permit 47 from any to any port 1",
        "permit tcp from any to any port",
        "permit tcp from any to any port 65536",
        "permit tcp from any to any port 9-8",
        "permit tcp from any to any port 1,,2",
        "permit tcp from any to any port 1-2-3",
        "permit tcp from any to any port http",
        "permit ip from any to any\n",
    ],
)
def test_noRule(rule: str) -> None:
    with pytest.raises(ValueError):
        Filter([rule])


def test_theFirstMatchDecides() -> None:
    packet = IP(**V4) / UDP(sport=1, dport=53) / b"octets"
    assert permits(packet, ANY)
    assert not permits(packet)
    assert not permits(packet, "deny ip from any to 10.1.2.0/24", ANY)
    assert permits(packet, "permit udp from any to any", "deny ip from any to any")


@pytest.mark.parametrize(
    ("rule", "matching"),
    [
        ("ip", {"tcp", "udp", "icmp", "gre", "tcp6", "udp6", "icmp6"}),
        ("tcp", {"tcp", "tcp6"}),
        ("udp", {"udp", "udp6"}),
        ("icmp", {"icmp", "icmp6"}),
        ("1", {"icmp"}),
        ("58", {"icmp6"}),
        ("47", {"gre"}),
    ],
)
def test_protocols(rule: str, matching: set[str]) -> None:
    packets = {
        "tcp": IP(**V4) / TCP(),
        "udp": IP(**V4) / UDP(),
        "icmp": IP(**V4) / ICMP(),
        "gre": IP(**V4, proto=47) / Raw(b"octets"),
        "tcp6": IPv6(**V6) / TCP(),
        "udp6": IPv6(**V6) / UDP(),
        "icmp6": IPv6(**V6) / ICMPv6EchoRequest(),
    }
    filter = Filter([f"permit {rule} from any to any"])
    assert {name for name, one in packets.items() if filter.permits(bytes(one))} == matching


@pytest.mark.parametrize(
    ("networks", "ipv4", "ipv6"),
    [
        ("from any to 10.0.0.0/8", True, False),
        ("from 10.77.0.10 to any", True, False),
        ("from 10.77.0.11 to any", False, False),
        ("from any to 10.77.0.10", False, False),
        ("from fc00::/7 to any", False, True),
        ("from any to 2001:db8::1", False, True),
        ("from any to fc00::/7", False, False),
        ("from 0.0.0.0/0 to any", True, False),
        ("from ::/0 to any", False, True),
    ],
)
def test_networks(networks: str, ipv4: bool, ipv6: bool) -> None:
    rule = f"permit ip {networks}"
    assert permits(IP(**V4) / UDP(), rule) is ipv4
    assert permits(IPv6(**V6) / UDP(), rule) is ipv6


@pytest.mark.parametrize(
    ("port", "passes"),
    [(79, False), (80, True), (81, False), (443, True), (7999, False), (8000, True), (8100, True)],
)
def test_ports(port: int, passes: bool) -> None:
    ports = "port 80,443,8000-8100"
    for ip in (IP(**V4), IPv6(**V6), IPv6(**V6) / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt()):
        to = ip / TCP(sport=9, dport=port)
        back = ip / TCP(sport=port, dport=9)
        assert permits(to, f"permit tcp from any to any {ports}") is passes
        assert permits(back, f"permit tcp from any {ports} to any") is passes
        assert not permits(back, f"permit tcp from any to any {ports}")
        assert not permits(to, f"permit udp from any to any {ports}")


def test_laterFragmentsHaveNoPorts() -> None:
    packet = IP(**V4) / UDP(sport=1, dport=53) / (b"\0\x35" * 1000)
    fragment: Any = inet.fragment
    first, *others = fragment(packet, 800)
    rule = "permit udp from any to any port 53"
    assert permits(first, rule)
    assert others and not any(permits(one, rule) for one in others)
    assert all(permits(one, rule, "permit udp from any to any") for one in others)


def test_laterFragmentsOfIPv6HaveNoProtocol() -> None:
    ip = IPv6(**V6) / IPv6ExtHdrFragment(nh=17, offset=100)
    later = ip / Raw(bytes(UDP(sport=53, dport=53)))
    assert not permits(later, "permit udp from any to any", "permit tcp from any to any port 53")
    assert permits(later, ANY)
    first = IPv6(**V6) / IPv6ExtHdrFragment(m=1) / UDP(sport=1, dport=53) / b"octets.."
    assert permits(first, "permit udp from any to any port 53")


@pytest.mark.parametrize(
    "packet",
    [
        IP(**V4, flags="MF", proto=6) / Raw(bytes(TCP())[:8]),
        IP(**V4, frag=1, proto=6) / Raw(bytes(8)),
        IP(**V4, proto=17) / Raw(bytes(7)),
        IP(**V4, options=[IPOption_LSRR(routers=["192.0.2.9"])]) / UDP(),
        bytes(IP(**V4) / UDP())[:-1],
        bytes(IP(**V4))[:19],
        b"\x44" + bytes(IP(**V4) / UDP())[1:],
        b"\x54" + bytes(IP(**V4) / UDP())[1:],
        b"",
        bytes(IPv6(**V6) / UDP())[:-1],
        bytes(IPv6(**V6))[:39],
        IPv6(**V6) / IPv6ExtHdrFragment(m=1, nh=6) / Raw(bytes(TCP())[:8]),
        IPv6(**V6) / IPv6ExtHdrRouting(addresses=["fc00::1"]) / UDP(),
        IPv6(**V6, nh=60) / Raw(bytes((17, 200)) + bytes(20)),
        IPv6(**V6, nh=60) / Raw(bytes((60, 0, 0, 0, 0, 0, 0, 0)) * 20),
        IPv6(**V6, nh=0) / Raw(b"\x11"),
        IPv6(**V6, nh=6) / Raw(bytes(4)),
    ],
    ids=repr,
)
def test_deniedWhateverTheRules(packet: Any) -> None:
    """
    A packet is denied by any rules if it is malformed, hides its ports (RFC 1858) or has options
    that redirect it.
    """
    assert not permits(packet, ANY)


def test_aHeaderBehindTheEndIsNone() -> None:
    """
    Octets beyond the length in the header don't count as another header.
    """
    assert not permits(bytes(IP(**V4, proto=17)) + bytes(UDP()), ANY)
    assert not permits(bytes(IPv6(**V6, nh=17, plen=0)) + bytes(UDP()), ANY)


@given(st.binary(max_size=90), st.sampled_from([b"", b"\x45", b"\x4f", b"\x60"]))
def test_anyOctets(octets: bytes, begin: bytes) -> None:
    ports = "permit tcp from any to any port 80"
    assert Filter([ports, ANY]).permits(begin + octets) in (True, False)
    assert Filter([]).permits(begin + octets) is False


@given(
    st.lists(st.sampled_from([0, 6, 17, 43, 44, 58, 60]), min_size=1, max_size=9),
    st.binary(max_size=60),
)
def test_anyHeadersOfIPv6(numbers: list[int], rest: bytes) -> None:
    headers = b"".join(bytes((number, 0)) + rest[:6].ljust(6, b"\0") for number in numbers[1:])
    packet = bytes(IPv6(**V6, nh=numbers[0]) / Raw(headers + rest))
    assert Filter([ANY]).permits(packet) in (True, False)
