"""
Callers for hostile tests: honest ones, and callers that authenticate and then send anything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import ensureDeferred
from zope.interface import implementer

from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.config.configuration import parse
from pptpgw.counting.bucket import Bucket
from pptpgw.datapath.checks import FAILURE_LIMIT, OpenProtocol
from pptpgw.demo.probe import PROBES, GenericProbe, NetworkProbe
from pptpgw.demo.probe import Receive as Take
from pptpgw.interfaces import (
    Attachment,
    INetworkLink,
    INetworkProtocol,
)
from pptpgw.networks.generic.catalogue import shipped
from pptpgw.networks.generic.control import GenericSettings, protocolFor
from pptpgw.networks.generic.declaration import Declaration
from pptpgw.networks.generic.plugin import declarer
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.ppp.wire import ppp
from pptpgw.sessions.line import Line
from pptpgw.sessions.session import Session
from pptpgw.testing import joined
from pptpgw.tunnels.pptp.client import ClientConnection
from tests.hostile.world import CONFIGURATION, MRU, USERS, World


class Caller:
    """
    A call of our own client.

    @ivar call: its L{ClientCall}, once it is set up.
    """

    call: ClientCall

    def __init__(self, world: World, user: bytes, protocols: Sequence[INetworkProtocol]) -> None:
        self.world = world
        self.address = address = world.address()
        owner = ClientConnection(world.clock, world.makeCallersDataPath(), 3600)
        self.pns = world.makeCallersEnd(address, owner)
        self.pac = world.makeGatewaysEnd(address)
        joined(world.clock, self.pns, self.pac)
        world.run(0.004)
        identity = Identity(user, USERS[user], (MSCHAPV2,))
        link = LinkSettings(
            identity=identity,
            encryption=world.encryption,
            mru=MRU,
            echoFailures=0,
            setupTimeout=1e6,
        )
        # Nobody waits for this Deferred. Without a callback it would keep its result.
        owner.opened.addBoth(lambda result: None)
        owner.placeCall(link, protocols).addBoth(lambda result: None)
        (call,) = self.pns.calls.values()
        placed: Any = call.owner
        assert isinstance(placed, ClientCall)
        self.call = placed

    @property
    def line(self) -> Line:
        """
        The gateway's line of this call. It fails if there is none any more.
        """
        for line in self.world.gateway.lines:
            if line.caller.address == self.address:
                return line
        raise AssertionError("the call is over")

    @property
    def session(self) -> Session:
        """
        The gateway's session of this call.
        """
        session = self.line.session
        assert session is not None
        return session

    def protocol(self, name: str) -> Any:
        """
        Return the gateway's end of the network protocol C{name}.
        """
        phase = self.line.link._network
        assert phase is not None
        (found,) = [one for one in phase._networks.values() if one.name == name]
        return found

    def isThere(self) -> bool:
        """
        Whether the gateway still has the call.
        """
        return any(line.caller.address == self.address for line in self.world.gateway.lines)

    def say(self, protocol: int, information: bytes) -> None:
        """
        Send a frame in clear.
        """
        if self.call.channel is not None:
            self.call.channel.sendFrame(protocol, information)

    def send(self, number: int, packet: bytes) -> None:
        """
        Send a packet under any protocol number, open or not, encrypted if MPPE is open.
        """
        channel: Any = self.call.channel
        if channel is not None:
            failures = Bucket(lambda: 0.0, FAILURE_LIMIT)
            network = OpenProtocol(
                number, Attachment(), channel, lambda packet: None, None, failures
            )
            network.prefix = b"\xff\x03" + network.field
            channel.transmit(network, [packet])

    def hangUp(self) -> None:
        """
        End the call in order.
        """
        self.call.hangUp()

    def drop(self) -> None:
        """
        Break the TCP connection.
        """
        for end in (self.pns, self.pac):
            end.connectionLost("cut")


def declaredProbe(declaration: Declaration) -> type[NetworkProbe]:
    """
    Return a probe of a declared protocol.
    """

    class DeclaredProbe(GenericProbe):
        title = declaration.name

        def protocol(self, receive: Take) -> Any:
            return protocolFor(replace(declaration, options={}))(
                GenericSettings(lambda number, packet: receive(packet))
            )

    return DeclaredProbe


CONTROLLER = parse(CONFIGURATION, "x.toml").section(declarer).generic[0]
KINDS: tuple[type[NetworkProbe], ...] = (
    *PROBES,
    *(declaredProbe(shipped()[name]) for name in ("netbios", "osi", "decnet", "vines", "xns")),
    declaredProbe(CONTROLLER),
)
"""
A probe of each protocol that L{World} serves.
"""


class Honest:
    """
    Two callers that exchange packets by every protocol.
    """

    def __init__(self, world: World, names: Sequence[bytes] = (b"alice", b"bob")) -> None:
        self.world = world
        self.probes = [kind(world.clock) for kind in KINDS]
        self.callers = [
            Caller(world, name, [probe.ends[end] for probe in self.probes])
            for end, name in enumerate(names)
        ]
        world.run(0.1)

    def assertServed(self) -> None:
        """
        Check that packets of every protocol pass between the two.
        """
        world = self.world
        for probe in self.probes:
            failures: list[Any] = []
            done: list[None] = []
            running = ensureDeferred(probe.run())
            running.addCallbacks(done.append, failures.append)
            world.run(0.06)
            for _ in range(30):
                if done or failures:
                    break
                world.rest(0.1)
            assert done, f"{probe.title}: {probe.ends[0].state} {failures}"


@implementer(INetworkProtocol)
class Raw:
    """
    The caller's end of a network protocol that sends nothing by itself.

    @ivar heard: the packets that arrived.
    """

    def __init__(self, name: str, control: int, protocols: tuple[int, ...]) -> None:
        self.name, self.control, self.protocols = name, control, protocols
        self.heard: deque[bytes] = deque(maxlen=50)
        self.link: INetworkLink | None = None

    def attach(self, link: INetworkLink) -> None:
        self.link = link

    def lowerUp(self) -> None: ...

    def lowerDown(self) -> None: ...

    def open(self) -> None: ...

    def close(self, reason: str) -> None: ...

    def received(self, packet: bytes) -> None:
        self.heard.append(packet)

    def rejected(self) -> None: ...


CONTROLS: dict[int, tuple[str, tuple[int, ...]]] = {
    ppp.IPCP: ("ipv4", (ppp.IPV4,)),
    ppp.IPV6CP: ("ipv6", (ppp.IPV6,)),
    ppp.BCP: ("bridge", (ppp.BRIDGE, ppp.SPANNING_TREE_8021D)),
    ppp.MPLSCP: ("mpls", (ppp.MPLS, ppp.MPLS_MULTICAST)),
    ppp.IPXCP: ("ipx", (ppp.IPX,)),
    CONTROLLER.control: ("controller", CONTROLLER.data),
    **{one.control: (name, one.data) for name, one in shipped().items()},
}
"""
The name and the packets' numbers of each control protocol.
"""


def raw() -> list[Raw]:
    """
    Return one L{Raw} for each protocol.
    """
    return [Raw(name, control, numbers) for control, (name, numbers) in CONTROLS.items()]


class Hostile:
    """
    A caller that sends what the test chooses.
    """

    def __init__(self, world: World, user: bytes = b"mallory") -> None:
        self.world = world
        self._identifier = 0
        self.protocols: dict[int, Raw] = {one.control: one for one in raw()}
        self.caller: Caller = Caller(world, user, list(self.protocols.values()))
        world.run(0.05)

    def do(self, action: tuple[Any, ...]) -> None:
        """
        Do one of the actions.
        """
        kind, *arguments = action
        getattr(self, f"do_{kind}")(*arguments)
        self.world.run(0.004)

    def do_packet(
        self, control: int, code: int, identifier: int, body: bytes, length: int | None
    ) -> None:
        packet = ppp.encodePacket(code, identifier, body)
        if length is not None:
            packet = packet[:2] + length.to_bytes(2, "big") + packet[4:]
        self.caller.say(control, packet)

    def do_answer(self, control: int, code: int, body: bytes) -> None:
        """
        Answer the latest Configure-Request with a Nak, a Reject, or an Ack of something else.
        """
        request = self.latest(control, ppp.CONFIGURE_REQUEST)
        if request is not None:
            self.caller.say(control, ppp.encodePacket(code, request[1], body))

    def do_agree(self, control: int) -> None:
        """
        Acknowledge the gateway's latest Configure-Request.
        """
        request = self.latest(control, ppp.CONFIGURE_REQUEST)
        if request is not None:
            self.caller.say(control, b"\x02" + request[1:])

    def do_follow(self, control: int) -> None:
        """
        Request the values that the gateway suggests, until it acknowledges them.
        """
        body = b""
        self.do_agree(control)
        for _ in range(3):
            self._identifier = self._identifier + 1 & 0xFF
            request = ppp.encodePacket(ppp.CONFIGURE_REQUEST, self._identifier, body)
            self.caller.say(control, request)
            self.world.run(0.004)
            nak = self.latest(control, ppp.CONFIGURE_NAK)
            if nak is None or nak[1] != self._identifier:
                break
            body = nak[4:]
        self.do_agree(control)
        self.world.run(0.004)

    def do_send(self, packet: tuple[int, bytes], count: int) -> None:
        """
        Send packets, encrypted if MPPE is open.
        """
        for _ in range(count):
            self.caller.send(*packet)
        self.world.run(0.004)

    def do_say(self, packet: tuple[int, bytes], count: int) -> None:
        """
        Send packets in clear.
        """
        for _ in range(count):
            self.caller.say(*packet)
        self.world.run(0.004)

    def do_octets(self, control: int, packet: bytes) -> None:
        self.caller.say(control, packet)

    def do_reject(self, protocol: int) -> None:
        data = protocol.to_bytes(2, "big")
        self.caller.say(ppp.LCP, ppp.encodePacket(ppp.PROTOCOL_REJECT, 1, data + b"what"))

    def do_ccp(self, code: int, identifier: int, body: bytes) -> None:
        self.caller.say(ppp.CCP, ppp.encodePacket(code, identifier, body))

    def do_lcp(self, code: int, identifier: int, body: bytes) -> None:
        self.caller.say(ppp.LCP, ppp.encodePacket(code, identifier, body))

    def do_every(self, code: int, body: bytes) -> None:
        for control in CONTROLS:
            self.caller.say(control, ppp.encodePacket(code, 7, body))

    def do_time(self, seconds: float) -> None:
        if seconds < 1:
            self.world.run(seconds)
        else:
            self.world.run(seconds, 0.5)

    def latest(self, control: int, code: int) -> bytes | None:
        """
        Return the latest packet with this code; None if there is none.
        """
        heard = self.protocols[control].heard
        return next((one for one in reversed(heard) if one[:1] == bytes((code,))), None)


class Sending(Hostile):
    """
    A hostile caller that has opened every protocol.
    """

    def __init__(self, world: World, user: bytes = b"mallory") -> None:
        super().__init__(world, user)
        for control in CONTROLS:
            self.do_follow(control)
        assert len(self.caller.session.networks) == len(CONTROLS)
