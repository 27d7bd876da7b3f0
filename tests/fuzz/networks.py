"""
Fuzzing of servers within networks: DHCPv6 for a session, and IPX for DOSBox over UDP.

What they lend, and the clients that they let in, must stay within the limits, and everything must
be given back at their end. Every answer of DHCPv6 must be readable and not too long.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

from pptpgw.networks.ipv6.dhcpv6 import MAX_ANSWER_OCTETS
from pptpgw.networks.ipv6.lease import MAX_PREFIXES
from pptpgw.networks.ipv6.wire.dhcpv6 import (
    Address,
    AddressAssociation,
    DHCPv6Message,
    DHCPv6MessageType,
    Prefix,
    PrefixAssociation,
    TemporaryAssociation,
    decode,
)
from pptpgw.networks.ipv6.wire.dhcpv6option import (
    ClientID,
    DHCPv6Option,
    ElapsedTime,
    OptionRequest,
    RapidCommit,
    ServerID,
)
from pptpgw.networks.ipx import wire
from pptpgw.networks.ipx.dosbox import CLIENTS
from tests.fuzz.reader import Reader, Target
from tests.fuzz.state import runOut, unfailing
from tests.networks.ipv6.test_dhcpv6 import DELEGATE, LINK, OURS, PEER, Link
from tests.networks.ipx import test_dosbox as dosbox

MESSAGES = 32
"""
The most messages of an input.
"""

_NETWORKS = (0, 0x77000000, 0x12345678)
_PLACES = tuple(
    wire.IPXAddress(network, node, socket)
    for network in _NETWORKS
    for node in (wire.BROADCAST_NODE, bytes.fromhex(dosbox.CALLER), bytes.fromhex(dosbox.GATEWAY))
    for socket in (0x453, 0x452, 0x455, 0x869B, wire.ECHO_SOCKET)
)


def _message(reader: Reader) -> bytes:
    """
    A message of a client: of any octets, or with valid options.
    """
    kind = reader.number()
    if kind >= 0xE0:
        return reader.chunk()
    options: list[DHCPv6Option] = []
    form = reader.number()
    if not form & 1:
        options.append(ClientID(b"\0\3\0\1" + bytes((reader.number() & 3,)) * 6))
    if form & 2:
        options.append(ServerID(OURS))
    if form & 4:
        options.append(RapidCommit())
    if form & 8:
        options.append(OptionRequest((23, 24, 32, 82)))
    if form & 16:
        options.append(ElapsedTime(reader.number(2)))
    for _ in range(form >> 5):
        options.append(_association(reader))
    types = tuple(DHCPv6MessageType)
    encoded = DHCPv6Message(types[kind % len(types)], reader.number(3), tuple(options)).encode()
    return encoded + (reader.chunk() if form & 1 else b"")


def _association(reader: Reader) -> DHCPv6Option:
    """
    An association, of which each kind may have leases that the server has lent or never would.
    """
    kind = reader.number()
    number, times = reader.number() & 7, (reader.number(4), reader.number(4))
    leases: list[Address | Prefix] = []
    for _ in range(kind >> 6):
        host, preferred, valid = reader.number(2), reader.number(4), reader.number(4)
        if kind & 1:
            prefix = IPv6Network((int(DELEGATE.network_address) | host << 64, 56 + host % 9), False)
            leases.append(Prefix(prefix, preferred, valid))
        else:
            leases.append(Address(IPv6Address(int(LINK.network_address) | host), preferred, valid))
    if kind & 1:
        return PrefixAssociation(number, tuple(leases), None, *times)
    if kind & 2:
        return TemporaryAssociation(number, tuple(leases))
    return AddressAssociation(number, tuple(leases), None, *times)


def _dhcpv6(octets: bytes) -> None:
    reader, link = Reader(octets), Link()
    with unfailing():
        for _ in range(MESSAGES):
            if not reader.more:
                break
            kind = reader.number()
            if kind < 0x20:
                link.clock.advance(reader.number(2))
                continue
            answer = link.server.received(_message(reader), PEER, bool(kind & 1))
            assert len(link.server.prefixes) <= link.pool.used <= MAX_PREFIXES
            if answer is not None:
                assert len(answer) <= MAX_ANSWER_OCTETS
                assert decode(answer).first(ServerID) == ServerID(OURS)
        link.server.close()
    assert link.pool.used == 0
    runOut(link.clock)


def _dosbox(octets: bytes) -> None:
    reader = Reader(octets)
    world = dosbox.World()
    world.refuses = reader.number() >= 0xF0
    rest = len(world.getDelayedCalls())
    with unfailing():
        world.port.start()
        for _ in range(MESSAGES):
            if not reader.more:
                break
            kind = reader.number()
            host = f"192.0.2.{kind & 3}", 213
            if kind < 0x20:
                world.advance(reader.number() / 4)
            elif kind < 0x60:
                world.port.datagramReceived(bytes.fromhex(dosbox.REGISTRATION), host)
            elif kind < 0xC0:
                data = reader.chunk()
                destination = reader.choose(_PLACES)
                source = wire.IPXAddress(reader.choose(_NETWORKS), world.port._nodeOf(host), 0x453)
                packet = wire.encodePacket(reader.number() & 0x15, destination, source, data)
                world.port.datagramReceived(packet, host)
            else:
                world.port.datagramReceived(reader.chunk(), host)
            assert len(world.port._clients) <= CLIENTS
        world.port.stop()
    assert not world.port._clients and len(world.getDelayedCalls()) == rest


TARGETS: dict[str, Target] = {"dhcpv6": _dhcpv6, "dosbox": _dosbox}
"""
Targets by name.
"""
