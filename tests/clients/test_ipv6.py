"""
Clients with IPv6, at a gateway with IPv6.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

from pptpgw.networks.ipv6.wire import ipv6
from pptpgw.networks.ipv6.wire.neighbor import NEIGHBOR_SOLICITATION, solicitedNode
from pptpgw.networks.wire.ip import ROUTER_ADVERTISEMENT, ROUTER_SOLICITATION
from pptpgw.ppp.wire.ppp import IPV6
from tests.clients.conftest import StartGateway
from tests.clients.script import ACK, CCP, IPCP, IPV6CP, NAK, REQUEST
from tests.clients.test_windows import H_ALONE, MPPE_128, connect, dial, hangUp, openLCP

LINK_LOCAL = bytes.fromhex("fe80000000000000")


def test_windows(start: StartGateway) -> None:
    """
    Windows asks for an interface identifier with zeros, before CCP and IPCP, and is given one when
    CCP is open. It checks its own address on the link, solicits a router, and makes an address from
    the prefix.
    """
    world = start(ipv6=True)
    connection = connect(world)
    tunnel = dial(connection)
    openLCP(tunnel)
    keys = tunnel.hearMSCHAPV2("alice")
    tunnel.say(IPV6CP, REQUEST, 5, "010a 0000000000000000")
    tunnel.say(CCP, REQUEST, 6, H_ALONE)
    tunnel.say(IPCP, REQUEST, 7, "0306 00000000")
    asked = tunnel.hear(CCP, REQUEST, 1, MPPE_128)
    tunnel.hear(CCP, NAK, 6, MPPE_128)
    tunnel.answer(CCP, ACK, asked)
    tunnel.say(CCP, REQUEST, 8, MPPE_128)
    tunnel.hear(CCP, ACK, 8, MPPE_128)
    tunnel.encrypt(keys)
    askedAddress = tunnel.hear(IPCP, REQUEST, 1, "0306 0a4d0001")
    asked = tunnel.hear(IPV6CP, REQUEST, 1, "010a (.{16})")
    given = tunnel.hear(IPV6CP, NAK, 5, "010a (.{16})")
    tunnel.hear(IPCP, NAK, 7, "0306 0a4d000a")
    tunnel.answer(IPV6CP, ACK, asked)
    tunnel.say(IPV6CP, REQUEST, 9, given.octets)
    tunnel.hear(IPV6CP, ACK, 9, "010a " + given.groups[0].hex())
    advertisement = tunnel.hearPacket(IPV6)
    tunnel.answer(IPCP, ACK, askedAddress)
    tunnel.say(IPCP, REQUEST, 10, "0306 0a4d000a")
    tunnel.hear(IPCP, ACK, 10, "0306 0a4d000a")

    gateway, windows = (IPv6Address(LINK_LOCAL + heard.groups[0]) for heard in (asked, given))
    assert gateway != windows
    told = ipv6.decode(advertisement)
    assert (told.source, told.destination, told.hopLimit) == (gateway, ipv6.ALL_NODES, 255)
    message = ipv6.decodeMessage(told)
    assert message.type == ROUTER_ADVERTISEMENT
    prefix = IPv6Network("fc00:0:1:1::/64")
    assert prefix.network_address.packed in message.body
    looking = ipv6.ICMPv6Message(NEIGHBOR_SOLICITATION, 0, bytes(4) + windows.packed)
    tunnel.sayPacket(ipv6.encodeMessage(ipv6.UNSPECIFIED, solicitedNode(windows), looking), IPV6)
    tunnel.assertSilent()
    solicitation = ipv6.ICMPv6Message(ROUTER_SOLICITATION, 0, bytes(4))
    tunnel.sayPacket(ipv6.encodeMessage(windows, ipv6.ALL_ROUTERS, solicitation), IPV6)
    answer = ipv6.decode(tunnel.hearPacket(IPV6))
    assert (answer.destination, ipv6.decodeMessage(answer)) == (windows, message)
    up = ipv6.encodeDatagram(prefix[10], IPv6Address("2001:db8::1"), ipv6.Datagram(1, 2, b"up"))
    down = ipv6.encodeDatagram(IPv6Address("2001:db8::1"), prefix[10], ipv6.Datagram(2, 1, b"down"))
    tunnel.sayPacket(up, IPV6)
    assert world.tun.written.pop() == up
    world.tun.receive(down)
    assert tunnel.hearPacket(IPV6) == down
    tunnel.exchangePackets()
    hangUp(connection, tunnel)
