"""
Fuzzing of the whole gateway with what callers send through GRE, in each phase of their links.

Nothing may fail and no table may exceed its limit. When the call is cut everything that it had must
be given back.
"""

from __future__ import annotations

from collections.abc import Callable

from pptpgw.networks.ipv6.wire import dhcpv6, ipv6
from pptpgw.networks.wire.ip import DHCPV6_CLIENT, DHCPV6_SERVER
from pptpgw.ppp.link import Phase
from pptpgw.ppp.wire import ppp
from pptpgw.testing import DELAY
from tests.fuzz.reader import Reader, Target
from tests.hostile import packets
from tests.hostile.callers import CONTROLS, Caller, Hostile, Sending, raw
from tests.hostile.limits import assertWithinLimits, rest
from tests.hostile.world import World

STEPS = 64
"""
The most steps of a caller.
"""

CALLERS = 50_000
"""
Inputs that one gateway serves. Each caller has an address of its own.
"""

# Longer than any timer of an ended call.
_REST_SECONDS = 80
# Tables of stations, whose entries are forgotten only when a frame comes after their time.
_LAN = ("Port.addresses", "Switch._where")

_NUMBERS = (ppp.LCP, ppp.PAP, ppp.CHAP, ppp.EAP, ppp.CCP, *CONTROLS)
_PACKETS = (*(one for _, data in CONTROLS.values() for one in data), ppp.MPPE)

# RIP, SAP, NetBIOS and another type of IPX packet.
_SOCKETS = (0x453, 0x452, 0x455, 0x4000)

_worlds: dict[str, tuple[World, dict[str, int]]] = {}


def _world(encryption: str) -> tuple[World, dict[str, int]]:
    """
    The gateway for this kind of encryption, which serves one input after another, and the sizes of
    its tables without callers.
    """
    if encryption in _worlds and _worlds[encryption][0].callers > CALLERS:
        close()
    if encryption not in _worlds:
        world = World(encryption, setupTimeout=60)
        _worlds[encryption] = world, rest(world)
    return _worlds[encryption]


def close() -> None:
    """
    Stop the gateways. The next input makes new ones.
    """
    while _worlds:
        _worlds.popitem()[1][0].stop()


def link(begin: Callable[[World], Caller], encryption: str = "require") -> Target:
    """
    The target whose caller C{begin} makes.
    """

    def target(octets: bytes) -> None:
        world, before = _world(encryption)
        try:
            caller = begin(world)
            _run(world, caller, Reader(octets))
            assertWithinLimits(world, 1)
            caller.drop()
            world.wire.ports.pop(caller.address, None)
            world.run(0.01)
            assert not world.gateway.lines
            world.assertNoFailure()
            world.rest(_REST_SECONDS)
            world.assertNoFailure()
            after = rest(world) | {name: before[name] for name in _LAN if name in before}
            assert before == after, {
                name: (before.get(name), after.get(name))
                for name in before.keys() | after.keys()
                if before.get(name) != after.get(name)
            }
        except BaseException:
            # The next input must begin with a sound gateway.
            close()
            raise

    return target


def _run(world: World, caller: Caller, reader: Reader) -> None:
    for _ in range(STEPS):
        if not reader.more or not caller.isThere():
            break
        kind = reader.number()
        if kind < 0x60:
            # A control packet with the right length.
            number, code = reader.choose(_NUMBERS), reader.number()
            caller.say(number, ppp.encodePacket(code & 0x0F, reader.number(), reader.chunk()))
        elif kind < 0x80:
            caller.say(reader.choose(_NUMBERS), reader.chunk())
        elif kind < 0x90:
            caller.say(reader.number(2), reader.chunk())
        elif kind < 0xC0:
            # Encrypted, if encryption is on.
            caller.send(reader.choose(_PACKETS), reader.chunk())
        elif kind < 0xC8:
            caller.send(*_meaningful(reader))
        elif kind < 0xD0:
            caller.say(reader.choose(_PACKETS), reader.chunk())
        elif kind < 0xE0:
            # A GRE packet that isn't our own channel's.
            gateway = world.wire.ports[caller.pac.localAddress]
            gateway.arrived(caller.address, _tunnelled(caller, reader))
        elif kind < 0xE4:
            # From the LAN behind the bridge, and from the kernel.
            world.device.receive(reader.chunk().ljust(14, b"\0"))
        elif kind < 0xE8:
            world.kernel.receive(_routed(caller, reader))
        elif kind < 0xF0:
            world.run(0.004)
        else:
            world.rest(reader.number() / 8)
    world.run(0.004)


def _meaningful(reader: Reader) -> tuple[int, bytes]:
    """
    A packet with right checksums, and its protocol number.
    """
    kind = reader.number() % 4
    if kind == 0:
        return ppp.IPV6, packets.icmp(reader.number(), reader.chunk())
    if kind == 1:
        datagram = ipv6.Datagram(DHCPV6_CLIENT, DHCPV6_SERVER, reader.chunk())
        return ppp.IPV6, ipv6.encodeDatagram(packets.HERE, dhcpv6.ALL_SERVERS, datagram)
    if kind == 2:
        kind, socket = reader.number() & 0x15, reader.choose(_SOCKETS)
        return ppp.IPX, packets.ipxPacket(kind, socket=socket, data=reader.chunk())
    source, body = reader.take(4).ljust(4, b"\0"), reader.chunk()
    return ppp.IPV4, packets.ipv4(source, size=max(20, len(body)))[:20] + body[20:]


def _routed(caller: Caller, reader: Reader) -> bytes:
    """
    A packet that is routed to the caller. The input decides the rest of its header.
    """
    session = caller.line.session
    networks = [one for each in session.networks.values() for one in each] if session else []
    if not networks:
        return b"\x45" + reader.chunk().ljust(19, b"\0")
    destination = reader.choose(networks).network_address.packed
    body = reader.chunk()
    if len(destination) == 4:
        return (b"\x45" + body[:15].ljust(15, b"\0")) + destination + body[15:]
    return (b"\x60" + body[:23].ljust(23, b"\0")) + destination + body[23:]


def _tunnelled(caller: Caller, reader: Reader) -> bytes:
    """
    A GRE packet for the call, with the input's numbers and octets.
    """
    flags = reader.choose((0x3001880B, 0x3081880B, 0x2081880B))
    numbers = reader.number(4).to_bytes(4, "big")
    if flags == 0x3081880B:
        numbers += reader.take(4).ljust(4, b"\0")
    payload = b"" if flags == 0x2081880B else reader.chunk()
    callID = next(iter(caller.pac.calls), 0)
    head = flags.to_bytes(4, "big") + len(payload).to_bytes(2, "big") + callID.to_bytes(2, "big")
    return head + numbers + payload


def _deaf(world: World, phase: Phase) -> Caller:
    """
    A call whose client gets no more packets, and so doesn't answer, from this phase on.
    """
    caller = Caller(world, b"mallory", raw())
    while not caller.isThere() or caller.line.link.phase is not phase:
        world.run(DELAY)
    del world.wire.ports[caller.address]
    return caller


def _established(world: World) -> Caller:
    """
    A call on which nothing was sent yet.
    """
    return _deaf(world, Phase.ESTABLISH)


def _authenticating(world: World) -> Caller:
    """
    A call whose client is being challenged.
    """
    return _deaf(world, Phase.AUTHENTICATE)


def _network(world: World) -> Caller:
    """
    An authenticated call whose network protocols the input negotiates.
    """
    return Hostile(world).caller


def _open(world: World) -> Caller:
    """
    A call with every network protocol open.
    """
    return Sending(world).caller


def _terminating(world: World) -> Caller:
    """
    A call that the gateway hangs up.
    """
    caller = Hostile(world).caller
    caller.session.hangUp("enough")
    assert caller.line.link.phase is Phase.TERMINATE
    return caller


TARGETS: dict[str, Target] = {
    "establish": link(_established),
    "authenticate": link(_authenticating),
    "network": link(_network),
    "network-prefer": link(_network, "prefer"),
    "open": link(_open),
    "open-clear": link(_open, "off"),
    "terminate": link(_terminating),
}
"""
Targets by name.
"""
