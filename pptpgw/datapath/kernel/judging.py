"""
Filters as programs for the kernel: a packet is kept if the filter permits it
(L{pptpgw.sessions.filter}), whatever octets it consists of. The one difference: the PPP protocol
number says whether a packet is IPv4 or IPv6, and one with the version of the other is dropped.

A program first reads what rules look at into memory, and then has the rules one after the other.
It has no loops, so the extension headers of IPv6 are read by as many repetitions as headers are
looked into.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from pptpgw.networks.wire.ip import (
    EXTENSION_LIMIT,
    EXTENSIONS,
    FRAGMENT,
    IPV4_HEADER,
    IPV6_HEADER,
    ROUTING,
    TCP,
)
from pptpgw.ports import bpf
from pptpgw.ports.bpf import Instruction
from pptpgw.ppp.wire.ppp import IPV4, IPV6
from pptpgw.sessions.filter import ANY, LEAST, SOURCE_ROUTES, UNKNOWN, FamilyRule, Filter, Ports

PROTOCOL, PACKET = 2, 4
"""
Where the protocol number and the packet are in what a PPP filter sees.
"""

# Places in memory: the number of the packet's protocol, where it ends, and its ports. Ports that a
# packet doesn't have are a number that is in no range.
_NUMBER, _END, _SOURCE_PORT, _DESTINATION_PORT = range(4)
_NO_PORT = 0xFFFFFFFF
_WORD = 0xFFFFFFFF
_LARGEST_IPV4_HEADER = 60


@lru_cache(256)
def judging(filter: Filter | None) -> bytes:
    """
    Return the program that keeps the packets that C{filter} permits, IPv4 and IPv6.

    @param filter: None permits every packet.
    @raise pptpgw.ports.bpf.TooLarge: the kernel takes no program of this size.
    """
    if filter is None:
        return bpf.assemble([bpf.result(bpf.KEEP)])
    return bpf.assemble(tuple(_judging(filter)))


def within(network: int, mask: int, bits: int, at: int, no: str) -> Iterator[Instruction]:
    """
    Go to the label C{no} unless an address is in a network.

    @param bits: the length of addresses.
    @param at: where the address is in the packet.
    """
    for shift in range(bits - 32, -1, -32):
        part = mask >> shift & _WORD
        if part:
            yield bpf.word(PACKET + at + (bits - 32 - shift) // 8)
            if part != _WORD:
                yield bpf.both(part)
            yield bpf.equal(network >> shift & _WORD, no=no)


def _judging(filter: Filter) -> Iterator[Instruction]:
    yield bpf.half(PROTOCOL)
    yield bpf.equal(IPV4, yes="ipv4")
    yield bpf.equal(IPV6, yes="ipv6", no="drop")
    yield bpf.here("ipv4")
    yield from _ipv4()
    yield from _ports("ipv4")
    yield from _rules(filter.ipv4, "ipv4", 32, 12, 16)
    yield bpf.here("ipv6")
    yield from _ipv6()
    yield from _ports("ipv6")
    yield from _rules(filter.ipv6, "ipv6", 128, 8, 24)
    yield bpf.here("drop")
    yield bpf.result(bpf.DROP)


def _version(number: int) -> Iterator[Instruction]:
    yield bpf.byte(PACKET)
    yield bpf.both(0xF0)
    yield bpf.equal(number << 4, no="drop")


def _ends() -> Iterator[Instruction]:
    """
    Note A as the end of the packet, of which all octets before must be there.
    """
    yield bpf.store(_END)
    yield bpf.toX()
    yield bpf.length()
    yield bpf.subtract(PACKET)
    yield bpf.leastX(no="drop")


def _room(octets: int) -> Iterator[Instruction]:
    """
    Drop the packet unless it has so many octets from X on.
    """
    yield bpf.recall(_END)
    yield bpf.subtract(octets)
    yield bpf.leastX(no="drop")


def _ipv4() -> Iterator[Instruction]:
    """
    Read the header of an IPv4 packet. X is where the next header begins.
    """
    yield from _version(4)
    yield bpf.byte(PACKET)
    yield bpf.both(0x0F)
    yield bpf.left(2)
    yield bpf.least(IPV4_HEADER, no="drop")
    yield bpf.toX()
    yield bpf.half(PACKET + 2)
    yield bpf.leastX(no="drop")
    yield from _ends()
    # The options, from the end of the header that the packet has.
    yield bpf.byte(PACKET)
    yield bpf.both(0x0F)
    for words in range(_LARGEST_IPV4_HEADER // 4, IPV4_HEADER // 4, -1):
        yield bpf.equal(words, yes=f"options {words}")
    yield bpf.goTo("no options")
    for words in range(_LARGEST_IPV4_HEADER // 4, IPV4_HEADER // 4, -1):
        yield bpf.here(f"options {words}")
        for place in range(words * 4 - 4, words * 4):
            yield bpf.byte(PACKET + place)
            for route in SOURCE_ROUTES:
                yield bpf.equal(route, yes="drop")
    yield bpf.here("no options")
    yield bpf.headerToX(PACKET)
    yield bpf.byte(PACKET + 9)
    yield bpf.store(_NUMBER)
    yield bpf.half(PACKET + 6)
    yield bpf.both(0x1FFF)
    yield bpf.equal(0, yes="ipv4 ports")
    yield bpf.equal(1, no="ipv4 no ports")
    yield bpf.recall(_NUMBER)
    yield bpf.equal(TCP, yes="drop", no="ipv4 no ports")


def _ipv6() -> Iterator[Instruction]:
    """
    Read the headers of an IPv6 packet. X is where the one after the extension headers begins.
    """
    yield from _version(6)
    yield bpf.half(PACKET + 4)
    yield bpf.add(IPV6_HEADER)
    yield from _ends()
    yield bpf.setX(IPV6_HEADER)
    yield bpf.byte(PACKET + 6)
    yield bpf.store(_NUMBER)
    for place in range(EXTENSION_LIMIT):
        others, fragment, following = f"others {place}", f"fragment {place}", f"header {place + 1}"
        yield bpf.recall(_NUMBER)
        yield bpf.equal(FRAGMENT, yes=fragment)
        for number in EXTENSIONS - {FRAGMENT, ROUTING}:
            yield bpf.equal(number, yes=others)
        yield bpf.equal(ROUTING, no="headers")
        # No segments may be left.
        yield bpf.byteAtX(PACKET + 3)
        yield bpf.equal(0, no="drop")
        yield bpf.here(others)
        yield from _room(8)
        yield bpf.byteAtX(PACKET)
        yield bpf.store(_NUMBER)
        yield bpf.byteAtX(PACKET + 1)
        yield bpf.add(1)
        yield bpf.left(3)
        yield bpf.addX()
        yield bpf.toX()
        yield bpf.goTo(following)
        yield bpf.here(fragment)
        yield from _room(8)
        yield bpf.halfAtX(PACKET + 2)
        yield bpf.anyOf(0xFFF8, yes="later")
        yield bpf.byteAtX(PACKET)
        yield bpf.store(_NUMBER)
        yield bpf.fromX()
        yield bpf.add(8)
        yield bpf.toX()
        yield bpf.here(following)
    yield bpf.recall(_NUMBER)
    for number in EXTENSIONS:
        yield bpf.equal(number, yes="drop")
    yield bpf.here("headers")
    yield from _room(0)
    yield bpf.goTo("ipv6 ports")
    yield bpf.here("later")
    yield bpf.immediate(UNKNOWN)
    yield bpf.store(_NUMBER)
    yield bpf.goTo("ipv6 no ports")


def _ports(family: str) -> Iterator[Instruction]:
    """
    Read the ports of the header at X, or note that there are none.
    """
    yield bpf.here(f"{family} ports")
    yield bpf.recall(_NUMBER)
    for number in LEAST:
        yield bpf.equal(number, yes=f"{family} {number}")
    yield bpf.goTo(f"{family} no ports")
    for number, octets in LEAST.items():
        yield bpf.here(f"{family} {number}")
        yield from _room(octets)
        yield bpf.goTo(f"{family} read")
    yield bpf.here(f"{family} read")
    yield bpf.halfAtX(PACKET)
    yield bpf.store(_SOURCE_PORT)
    yield bpf.halfAtX(PACKET + 2)
    yield bpf.store(_DESTINATION_PORT)
    yield bpf.goTo(f"{family} rules")
    yield bpf.here(f"{family} no ports")
    yield bpf.immediate(_NO_PORT)
    yield bpf.store(_SOURCE_PORT)
    yield bpf.store(_DESTINATION_PORT)
    yield bpf.here(f"{family} rules")


def _rules(
    rules: Sequence[FamilyRule], family: str, bits: int, source: int, destination: int
) -> Iterator[Instruction]:
    """
    End with the action of the first rule that matches.

    @param source: where the source address is in the packet, and likewise C{destination}.
    """
    for place, rule in enumerate(rules):
        no = f"{family} rule {place + 1}"
        if rule.protocol != ANY:
            yield bpf.recall(_NUMBER)
            yield bpf.equal(rule.protocol, no=no)
        yield from within(rule.source, rule.sourceMask, bits, source, no)
        yield from within(rule.destination, rule.destinationMask, bits, destination, no)
        yield from _among(rule.sourcePorts, _SOURCE_PORT, f"{family} {place} from", no)
        yield from _among(rule.destinationPorts, _DESTINATION_PORT, f"{family} {place} to", no)
        yield bpf.result(bpf.KEEP if rule.permit else bpf.DROP)
        yield bpf.here(no)
    yield bpf.result(bpf.DROP)


def _among(ranges: Ports, memory: int, name: str, no: str) -> Iterator[Instruction]:
    """
    Go to the label C{no} unless a port is in one of C{ranges}, if there are any.

    @param memory: where the port is.
    @param name: a beginning for labels.
    """
    if not ranges:
        return
    yield bpf.recall(memory)
    for place, (first, last) in enumerate(ranges):
        following = f"{name} {place}" if place + 1 < len(ranges) else no
        yield bpf.least(first, no=following)
        yield bpf.least(last + 1, no=f"{name} found")
        yield bpf.goTo(following)
        if following != no:
            yield bpf.here(following)
    yield bpf.here(f"{name} found")
