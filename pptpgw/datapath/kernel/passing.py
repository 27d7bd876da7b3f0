"""
What passes by the device of one call, before its filter is asked (L{judging}): a program that ends
for packets that are dropped, or that concern the link alone, and goes on for others.

Received packets must have been encrypted, if that is required. The source of each must be in one of
the peer's networks, as L{pptpgw.datapath.source} demands in Python. IPv6 packets that concern the
link alone pass whatever their source is, if they are messages of ICMPv6 that hosts send to routers
and to each other, or DHCPv6 for a server. Others don't: nothing else on this machine is to be
reached by a link-local address, no Router Advertisement of the peer's is believed, and what
programs of this machine send to all neighbours isn't for the peer. Where the peer is the router of
the link (C{isHost} of L{Attachment}), it is the other way round. There the kernel tells nobody that
a port is closed: it doesn't know that DHCPv6's is open here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network

from pptpgw.datapath.kernel.judging import PACKET, PROTOCOL, within
from pptpgw.interfaces import Attachment
from pptpgw.networks.wire.ip import (
    DHCPV6_CLIENT,
    DHCPV6_SERVER,
    ICMPV6,
    IPV6_HEADER,
    ROUTER_ADVERTISEMENT,
    ROUTER_SOLICITATION,
    UDP,
)
from pptpgw.ports import bpf
from pptpgw.ports.bpf import Instruction, Program
from pptpgw.ppp.wire.ppp import IPV4, IPV6

_SENT = 1
_NEXT_HEADER, _IPV4_SOURCE, _IPV6_SOURCE, _IPV6_DESTINATION = 6, 12, 8, 24
_SOURCE_PORT, _DESTINATION_PORT = IPV6_HEADER, IPV6_HEADER + 2
# The types of ICMPv6 messages that the peer may send on the link: errors, echo, Router
# Solicitation, and Neighbor Solicitation and Advertisement.
_MESSAGES = (1, 2, 3, 4, 128, 129, ROUTER_SOLICITATION, 135, 136)
# Those that a peer may send that is the router, and those that this end may send to it.
_OF_ROUTERS = (1, 2, 3, 4, 128, 129, ROUTER_ADVERTISEMENT, 135, 136)
_OF_HOSTS = (2, 3, 4, 128, 129, ROUTER_SOLICITATION, 135, 136)


def passing(attachments: Mapping[int, Attachment], onlyDecrypted: bool = False) -> Program:
    """
    Return the program for the networks that are open.

    @param attachments: the attachments by their protocol numbers.
    @param onlyDecrypted: whether received packets must have been encrypted.
    """
    return tuple(_passing(attachments, onlyDecrypted))


def _passing(attachments: Mapping[int, Attachment], onlyDecrypted: bool) -> Iterator[Instruction]:
    isHost = IPV6 in attachments and attachments[IPV6].isHost
    port = DHCPV6_CLIENT if isHost else DHCPV6_SERVER
    yield bpf.byte(0)
    yield bpf.equal(_SENT, no="received")
    if IPV6 in attachments:
        yield bpf.half(PROTOCOL)
        yield bpf.equal(IPV6, no=bpf.END)
        yield from _local("sent")
        yield bpf.word(PACKET + _IPV6_SOURCE)
        yield bpf.both(0xFFC00000)
        yield bpf.equal(0xFE800000, yes="sent local", no=bpf.END)
        yield bpf.here("sent local")
        yield from _message("sent", _OF_HOSTS if isHost else (), _SOURCE_PORT, port)
    else:
        yield bpf.goTo(bpf.END)
    yield bpf.here("received")
    if onlyDecrypted:
        yield bpf.etherType()
        yield bpf.equal(0, no="drop")
    yield bpf.half(PROTOCOL)
    yield bpf.equal(IPV4, yes="ipv4")
    yield bpf.equal(IPV6, yes="ipv6", no="drop")
    yield bpf.here("ipv4")
    yield from _from(attachments.get(IPV4), IPv4Network, _IPV4_SOURCE)
    yield bpf.here("ipv6")
    if IPV6 in attachments:
        yield from _local("received")
        yield from _from(attachments[IPV6], IPv6Network, _IPV6_SOURCE)
        yield bpf.here("received local")
        messages = _OF_ROUTERS if isHost else _MESSAGES
        yield from _message("received", messages, _DESTINATION_PORT, port)
    yield bpf.here("drop")
    yield bpf.result(bpf.DROP)


def _local(way: str) -> Iterator[Instruction]:
    """
    Go to the label C{"WAY local"} if the destination of an IPv6 packet is multicast or link-local.
    """
    yield bpf.byte(PACKET + _IPV6_DESTINATION)
    yield bpf.equal(0xFF, yes=f"{way} local")
    yield bpf.half(PACKET + _IPV6_DESTINATION)
    yield bpf.both(0xFFC0)
    yield bpf.equal(0xFE80, yes=f"{way} local")


def _message(way: str, types: Iterable[int], place: int, port: int) -> Iterator[Instruction]:
    """
    Keep an IPv6 packet if it is one of the messages of the link, and drop it otherwise.

    @param types: the types of ICMPv6 messages; empty for all.
    @param place: where the port is that must be C{port}, one of DHCPv6's.
    """
    yield bpf.byte(PACKET + _NEXT_HEADER)
    yield bpf.equal(ICMPV6, yes=f"{way} ICMPv6")
    yield bpf.equal(UDP, no="drop")
    yield bpf.half(PACKET + place)
    yield bpf.equal(port, yes=f"{way} kept", no="drop")
    yield bpf.here(f"{way} ICMPv6")
    if types:
        yield bpf.byte(PACKET + IPV6_HEADER)
        for number in types:
            yield bpf.equal(number, yes=f"{way} kept")
        yield bpf.result(bpf.DROP)
    yield bpf.here(f"{way} kept")
    yield bpf.result(bpf.KEEP)


def _from(
    attachment: Attachment | None, family: type[IPv4Network | IPv6Network], at: int
) -> Iterator[Instruction]:
    """
    Go to the end for packets from the networks of C{attachment}, and drop others.

    @param at: where the source is in the packet.
    """
    addresses = () if attachment is None else attachment.addresses
    for place, network in enumerate(addresses):
        if isinstance(network, family):
            no = f"{at} {place + 1}"
            address, mask = int(network.network_address), int(network.netmask)
            yield from within(address, mask, network.max_prefixlen, at, no)
            yield bpf.goTo(bpf.END)
            yield bpf.here(no)
    yield bpf.result(bpf.DROP)
