"""
Tests for L{pptpgw.datapath.kernel.passing} with what hosts and routers say on a link, and with
filters. This machine's kernel runs the programs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import pytest
from scapy.layers.dhcp6 import DHCP6_Solicit
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6MLReport,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6ND_RS,
    IPv6,
    IPv6ExtHdrHopByHop,
)
from scapy.packet import Packet

from pptpgw.datapath.kernel.judging import judging
from pptpgw.datapath.kernel.passing import passing
from pptpgw.interfaces import Attachment
from pptpgw.ports.bpf import Assembled
from pptpgw.ppp.wire.ppp import IPV4, IPV6
from pptpgw.sessions.filter import Filter
from tests.ports.bpfkernel import kept

OURS, PEERS = "fe80::1", "fe80::2"
OUTSIDE, OUTSIDE6 = "198.51.100.2", "2001:db8::1"
BOTH = {
    IPV4: Attachment(addresses=(IPv4Network("10.77.0.10/32"), IPv4Network("192.168.6.0/23"))),
    IPV6: Attachment(addresses=(IPv6Network("fc00:0:1:1::/64"), IPv6Network("fc00:1:100::/41"))),
}
TO_ROUTERS: dict[str, Any] = {"src": PEERS, "dst": "ff02::2"}


def framed(packet: Packet, sent: bool = False) -> bytes:
    """
    The packet as a PPP filter sees it.
    """
    number = 0x57 if isinstance(packet, IPv6) else 0x21
    return bytes((sent, 0, 0, number)) + bytes(packet)


def judged(
    packets: Sequence[bytes],
    attachments: Mapping[int, Attachment] = BOTH,
    filter: Filter | None = None,
) -> list[bool]:
    """
    Whether the kernel keeps each of C{packets}.
    """
    return list(kept(Assembled(passing(attachments), judging(filter)), packets))


@pytest.mark.parametrize("protocol", [IPV4, IPV6])
def test_aFamilyThatIsClosed(protocol: int) -> None:
    """
    Nothing of a family without an attachment is received.
    """
    open4, open6 = protocol == IPV4, protocol == IPV6
    for packet, isOpen in (
        (IP(src="10.77.0.10") / UDP(), open4),
        (IPv6(src="fc00:0:1:1::7") / UDP(), open6),
        (IPv6(**TO_ROUTERS) / ICMPv6ND_RS(), open6),
    ):
        assert judged([framed(packet)], {protocol: BOTH[protocol]}) == [isOpen]
    assert judged([b"\0\0\0\x2b" + bytes(40)], {protocol: BOTH[protocol]}) == [False]


@pytest.mark.parametrize("filter", [None, Filter(())])
def test_whatHostsSayOnTheLink(filter: Filter | None) -> None:
    """
    What hosts say to their router on the link passes from the peer, whatever the filter is, and
    nothing else on the link.
    """
    toUs: dict[str, Any] = {"src": PEERS, "dst": OURS}
    good = (
        IPv6(**TO_ROUTERS) / ICMPv6ND_RS(),
        IPv6(src="::", dst="ff02::1:ff00:1") / ICMPv6ND_NS(tgt=OURS),
        IPv6(**toUs) / ICMPv6ND_NS(tgt=OURS),
        IPv6(**toUs) / ICMPv6ND_NA(tgt=PEERS),
        IPv6(**toUs) / ICMPv6EchoRequest(),
        IPv6(**toUs) / ICMPv6EchoReply(),
        IPv6(src="fc00:0:1:1::7", dst=OURS) / ICMPv6EchoRequest(),
        IPv6(src=PEERS, dst="ff02::1:2") / UDP(sport=546, dport=547) / DHCP6_Solicit(),
    )
    bad = (
        IPv6(src=PEERS, dst="ff02::1") / ICMPv6ND_RA(),
        IPv6(**toUs) / ICMPv6ND_RA(),
        IPv6(**toUs) / ICMPv6ND_Redirect(),
        IPv6(**toUs) / TCP(dport=22),
        IPv6(**toUs) / UDP(dport=53),
        IPv6(src="fc00:0:1:1::7", dst=OURS) / TCP(dport=22),
        IPv6(src=PEERS, dst="ff02::fb") / UDP(dport=5353),
        IPv6(src=PEERS, dst="ff02::16") / IPv6ExtHdrHopByHop() / ICMPv6MLReport(),
    )
    packets = [framed(one) for one in (*good, *bad)]
    assert judged(packets, filter=filter) == [True] * len(good) + [False] * len(bad)


@pytest.mark.parametrize("filter", [None, Filter(())])
def test_whatTheRouterSaysOnTheLink(filter: Filter | None) -> None:
    """
    What the router and the kernel say on the link passes to the peer, and nothing that programs of
    this machine say to all.
    """
    good = (
        IPv6(src=OURS, dst="ff02::1") / ICMPv6ND_RA(),
        IPv6(src=OURS, dst=PEERS) / ICMPv6ND_NA(tgt=OURS),
        IPv6(src=OURS, dst=PEERS) / ICMPv6EchoReply(),
        IPv6(src=OURS, dst="fc00:0:1:1::7") / ICMPv6EchoReply(),
        IPv6(src=OURS, dst=PEERS) / UDP(sport=547, dport=546),
    )
    bad = (
        IPv6(src=OURS, dst="ff02::fb") / UDP(sport=5353, dport=5353),
        IPv6(src=OURS, dst=PEERS) / TCP(dport=22),
        IPv6(src=OURS, dst="ff02::16") / IPv6ExtHdrHopByHop() / ICMPv6MLReport(),
    )
    packets = [framed(one, sent=True) for one in (*good, *bad)]
    assert judged(packets, filter=filter) == [True] * len(good) + [False] * len(bad)


def test_theFilterJudgesBothDirections() -> None:
    """
    The filter is asked about packets of both directions, and after the source.
    """
    filter = Filter(["permit udp from any to any port 53"])
    packets = [
        framed((IPv6 if ":" in source else IP)(src=source, dst=to) / UDP(dport=port), sent)
        for sent in (False, True)
        for source, to in (("10.77.0.10", OUTSIDE), ("fc00:0:1:1::7", OUTSIDE6))
        for port in (53, 54)
    ]
    assert judged(packets, filter=filter) == [True, False] * 4
    spoofed = framed(IP(src="10.77.0.11", dst=OUTSIDE) / UDP(dport=53))
    assert judged([spoofed], filter=filter) == [False]
