"""
Tests for several callers with IPv6 at once, on a whole gateway in memory. Scapy makes their
packets.
"""

from __future__ import annotations

from ipaddress import IPv6Network
from pathlib import Path

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    IPv6,
)
from scapy.packet import Raw

from pptpgw.datapath.checks import SPOOFED
from pptpgw.networks.ipv4.ipcp import IPCP
from tests.networks.ipv6.callers import Host, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


class TestCallers:
    """
    Tests with several encrypted calls at once.
    """

    def test_eachHasItsOwn(self, world: World) -> None:
        callers = world.call(3)
        assert [caller.prefix for caller in callers] == [
            "fc00:0:1:1::",
            "fc00:0:1:2::",
            "fc00:0:1:3::",
        ]
        assert len({caller.ipv6cp.localAddress for caller in callers}) == 3
        sessions = world.gateway.sessions
        assert {session.networks["ipv6"] for session in sessions} == {
            (IPv6Network(caller.prefix + "/64"),) for caller in callers
        }
        assert {session.encryption for session in sessions} == {"MPPE 128 bit stateless"}
        for caller in callers:
            session = world.gateway.sessions.sessionFor(caller.prefix + "7")
            assert session is not None
            assert session.networks["ipv6"] == (IPv6Network(caller.prefix + "/64"),)

    def test_linkLocal(self, world: World) -> None:
        """
        Each caller reaches the router by link-local addresses, and no other caller sees the
        packets.
        """
        callers = world.call(3)
        for caller in callers:
            here, there = str(caller.ipv6cp.localAddress), str(caller.ipv6cp.peerAddress)
            answer = caller.asks(IPv6(src=here, dst=there) / ICMPv6EchoRequest(data=b"octets"))
            assert (answer.src, answer.dst) == (there, here)
            assert answer[ICMPv6EchoReply].data == b"octets"
            solicitation = IPv6(src=here, dst="ff02::2", hlim=255) / ICMPv6ND_RS()
            answer = caller.asks(solicitation)
            assert (answer.src, answer.dst, ICMPv6ND_RA in answer) == (there, here, True)
        assert [len(caller.packets) for caller in callers] == [3, 3, 3]
        assert world.tun.written == []

    def test_betweenThem(self, world: World) -> None:
        """
        A packet from one caller to another's prefix goes through the kernel and arrives at that
        caller alone.
        """
        callers = world.call(3)
        for one, other in zip(callers, callers[1:] + callers[:1], strict=True):
            packet = IPv6(src=one.prefix + "a", dst=other.prefix + "b") / UDP() / Raw(b"octets")
            one.ipv6cp.sendPacket(bytes(packet))
            world.run(0.01)
            assert world.tun.written == [bytes(packet)]
            world.tun.receive(world.tun.written.pop())
            world.run(0.01)
            assert bytes(other.packets[-1]) == bytes(packet)
        assert [len(caller.packets) for caller in callers] == [2, 2, 2]

    def test_notFromAnothersPrefix(self, world: World) -> None:
        first, second = world.call(2)
        packet = IPv6(src=second.prefix + "a", dst="2001:db8::1") / UDP() / Raw(b"octets")
        first.ipv6cp.sendPacket(bytes(packet))
        world.run(0.01)
        assert world.tun.written == []
        discards = [session.counters.discards for session in world.gateway.sessions]
        assert {SPOOFED: 1} in discards

    def test_delegation(self, world: World) -> None:
        """
        Each caller that is a router gets a prefix of its own, and packets for that prefix arrive
        there.
        """
        callers = world.call(3)
        seen = set()
        for caller in callers:
            host = Host(str(caller.ipv6cp.localAddress))
            offer = caller.asks(host.dhcp(host.solicit()))
            reply = caller.asks(host.dhcp(host.request(offer)))
            delegated = IPv6Network(host.delegated(reply))
            address = host.leased(reply)
            assert address.startswith(caller.prefix[:-1])
            packet = bytes(IPv6(src="2001:db8::1", dst=str(delegated[-2])) / UDP())
            world.tun.receive(packet)
            world.run(0.01)
            assert bytes(caller.packets[-1]) == packet
            back = bytes(IPv6(src=str(delegated[-2]), dst="2001:db8::1") / UDP())
            caller.ipv6cp.sendPacket(back)
            world.run(0.01)
            assert world.tun.written.pop() == back
            seen.add((str(delegated), address))
        assert len(seen) == 3
        networks = [session.networks["ipv6"] for session in world.gateway.sessions]
        assert all(len(one) == 2 for one in networks)

    def test_theEndGivesAllBack(self, world: World) -> None:
        callers = world.call(3)
        prefixes = [caller.prefix for caller in callers]
        for caller in callers:
            caller.call.hangUp()
        world.run(5, 0.01)
        assert not world.gateway.sessions
        packet = bytes(IPv6(src="2001:db8::1", dst=prefixes[0] + "a") / UDP())
        world.tun.receive(packet)
        world.run(1)
        assert all(bytes(caller.packets[-1]) != packet for caller in callers)
        left = [str(call) for call in world.clock.getDelayedCalls()]
        assert all("ControlConnection" in one for one in left)

    def test_terminated(self, world: World) -> None:
        """
        IPv4 goes on when IPv6 ends.
        """
        (caller,) = world.call(1)
        caller.ipv6cp.close("no IPv6, thanks")
        world.run(10, 0.01)
        (session,) = world.gateway.sessions
        assert set(session.networks) == {"ipv4"}
        ipv4 = caller.call.protocols["ipv4"]
        assert isinstance(ipv4, IPCP) and ipv4.opened

    def test_prefixesUsedUp(self, tmp_path: Path, log: list[str]) -> None:
        """
        A caller for whom no prefix is left has IPv4 alone.
        """
        world = World(tmp_path, 'prefixes = "fc00:0:1::/63"')
        world.call(2)
        networks = sorted(sorted(one.networks) for one in world.gateway.sessions)
        assert networks == [["ipv4"], ["ipv4", "ipv6"]]
        assert any("goes without IPv6" in line for line in log)
