"""
Tests for L{pptpgw.datapath.filtered}, by way of the data path that chooses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_RS, IPv6
from twisted.internet.task import Clock

from pptpgw.counting.counters import Counters
from pptpgw.datapath.checks import OpenProtocol
from pptpgw.datapath.filtered import FILTERED, FilteredIPv4, FilteredIPv6
from pptpgw.datapath.openipv4 import OpenIPv4
from pptpgw.datapath.openipv6 import OpenIPv6
from pptpgw.datapath.python import PythonDataPath
from pptpgw.interfaces import Attachment
from pptpgw.ppp.wire.ppp import IPV4, IPV6
from pptpgw.sessions.filter import Filter
from pptpgw.sessions.gate import Gate
from pptpgw.testing import MemoryTUN

ENDS = {IPV4: ("10.77.0.10", "198.51.100.2"), IPV6: ("fc00:0:1:7::a", "2001:db8::1")}


class Fixture:
    """
    One network on a data path, with a call and a TUN device that record what they get.
    """

    isFull = False

    def __init__(self, protocol: int, gate: Gate | None) -> None:
        self.counters = Counters()
        self.sent: list[bytes] = []
        self.local: list[bytes] = []
        self.tun = MemoryTUN()
        self.path = PythonDataPath(Clock(), self.tun)
        self.attachment = Attachment(
            (ip_network(ENDS[protocol][0]),), local=self.local.append, permits=gate
        )
        self.network = self.path.networkOpened(self, protocol, self.attachment)

    def transmit(self, network: OpenProtocol, packets: Sequence[bytes]) -> None:
        self.sent += packets


@pytest.mark.parametrize("protocol", [IPV4, IPV6])
def test_bothWays(protocol: int) -> None:
    """
    A packet that the gate doesn't permit is counted and dropped, in both directions. The gate's
    filter may change.
    """
    ip = IP if protocol == IPV4 else IPv6
    user, far = ENDS[protocol]
    gate = Gate(
        Filter(["permit tcp from any to any port 80", "permit tcp from any port 80 to any"])
    )
    fixture = Fixture(protocol, gate)
    web = bytes(ip(src=user, dst=far) / TCP(dport=80))
    page = bytes(ip(src=far, dst=user) / TCP(sport=80))
    name = bytes(ip(src=user, dst=far) / UDP(dport=53))
    answer = bytes(ip(src=far, dst=user) / UDP(sport=53))
    fixture.network.received([name, web, name])
    fixture.path.packetsReceived([page])
    fixture.path.packetsReceived([answer])
    assert (len(fixture.tun.written), len(fixture.sent)) == (1, 1)
    assert fixture.tun.written[0][:40] == web[:40]
    assert fixture.counters.discards == {FILTERED: 3}
    assert fixture.counters.packetsReceived == 1
    gate.filter = None
    fixture.network.received([name])
    fixture.path.packetsReceived([answer])
    assert (fixture.tun.written[1:], fixture.sent[1:]) == ([name], [answer])
    assert fixture.counters.discards == {FILTERED: 3}
    fixture.path.networkClosed(fixture.network)
    fixture.path.packetsReceived([answer])
    assert len(fixture.sent) == 2


def test_whatConcernsTheLinkPasses() -> None:
    """
    Packets for the link itself pass any filter, since a host gets no address without Router
    Solicitations.
    """
    fixture = Fixture(IPV6, Gate(Filter([])))
    asked = bytes(IPv6(src="fe80::1", dst="ff02::2") / ICMPv6ND_RS())
    told = bytes(IPv6(src="fe80::2", dst="fe80::1") / ICMPv6ND_RS())
    fixture.network.received([asked, b"", b"\x60", asked[:39]])
    fixture.network.transmit([told])
    assert (fixture.local, fixture.sent) == ([asked], [told])
    assert fixture.counters.discards == {FILTERED: 3}


def test_unfilteredIsAsEver() -> None:
    """
    A session without a gate is handled by the unfiltered code.
    """
    assert type(Fixture(IPV4, None).network) is OpenIPv4
    assert type(Fixture(IPV6, None).network) is OpenIPv6
    assert type(Fixture(IPV4, Gate(None)).network) is FilteredIPv4
    assert type(Fixture(IPV6, Gate(None)).network) is FilteredIPv6
