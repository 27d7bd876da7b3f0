"""
A tunnel of the tests that places calls, in memory, to another gateway of the tests or to nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from pptpgw.error import CallError
from pptpgw.interfaces import (
    Forward,
    Grant,
    ICall,
    ICallOwner,
    ICarriedCall,
    IChannelOwner,
    IConcentratedCall,
    IForwarder,
    IJoinedCall,
    IProxiedCall,
    Negotiated,
    Refusal,
    Stations,
    TunnelEnds,
    TunnelKind,
)
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.testing import DELAY, MemoryChannel, MemoryDataPath, MemoryNetwork, World
from pptpgw.tunnels.pptp.owner import Ends

LEG = TunnelKind("leg", "Leg", type=99, medium=1)


@implementer(IProxiedCall, IConcentratedCall, ICarriedCall, IJoinedCall)
class LegCall:
    """
    One end of a call that was placed.

    @ivar other: the other end; None if nobody is there.
    @ivar causes: why it was hung up.
    @ivar joinedTo: the call that it was joined to.
    """

    tunnel = LEG
    headStart = 0.0
    encrypted = False
    accm = None
    silence = ""

    def __init__(self, clock: Clock, ends: Ends, owner: ICallOwner | None = None) -> None:
        self.ends = ends
        self.caller = ends.peerAddress
        self.called = ends.localAddress
        self.other: LegCall | None = None
        self.causes: list[str] = []
        self.refusals: list[Refusal] = []
        self.owner = owner
        self.negotiated: Negotiated | None = None
        self.setACCM: Any = None
        self.joinedTo: ICall | None = None
        self.stations = Stations()
        self.concentrator = ""
        self.tunnelEnds = TunnelEnds(LEG, self.caller, self.called)
        self._clock = clock

    def accept(self, owner: ICallOwner) -> None:
        self.owner = owner
        owner.callEstablished(self)

    def refuse(self, reason: Refusal) -> None:
        self.refusals.append(reason)

    def hangUp(self, cause: str) -> None:
        self.causes.append(cause)
        self.owner = self.setACCM = None
        if self.other is not None:
            self._clock.callLater(DELAY, self.other.ended, f"the other end hung up: {cause}")

    def ended(self, why: str) -> None:
        owner, self.owner = self.owner, None
        self.setACCM = None
        if owner is not None:
            owner.callEnded(self, Cause(why, Termination.LOST_CARRIER))

    def authenticated(self, grant: Grant) -> None:
        pass

    def joined(self, other: ICall) -> None:
        self.joinedTo = other

    def openChannel(self, owner: IChannelOwner, dataPath: Any) -> Any:
        raise AssertionError("its data path is in memory")


class LegDataPath(MemoryDataPath):
    """
    A data path that carries calls of any kind that have C{ends}.
    """

    def openChannel(self, call: Any, owner: IChannelOwner, number: int = 0) -> MemoryChannel:
        channel = MemoryChannel(self._network, call.ends, owner)
        self.channels.append(channel)
        return channel


@implementer(IForwarder)
class Forwarder:
    """
    A tunnel that places calls.

    @ivar peers: the gateways that answer, by their addresses.
    @ivar silent: the addresses that don't answer at once.
    @ivar waiting: what has been asked of them.
    @ivar placed: what was asked for.
    @ivar calls: our ends of the calls that were placed.
    @ivar cancelled: the endpoints that were given up.
    @ivar believed: the name by which the other gateways believe us; empty if they don't.
    @ivar stations: the numbers that we tell.
    """

    kind = LEG

    def __init__(self, clock: Clock) -> None:
        self.peers: dict[str, Any] = {}
        self.silent: set[str] = set()
        self.waiting: list[Any] = []
        self.placed: list[tuple[str, Forward, Negotiated]] = []
        self.calls: list[LegCall] = []
        self.cancelled: list[str] = []
        self.believed = ""
        self.stations = Stations()
        self._clock = clock

    def place(
        self, forward: Forward, negotiated: Negotiated, caller: ICall, owner: ICallOwner
    ) -> Deferred[Any]:
        endpoint = forward.endpoint
        self.placed.append((endpoint, forward, negotiated))
        if endpoint in self.silent:
            waiting: Deferred[Any] = Deferred(lambda _: self.cancelled.append(endpoint))
            self.waiting.append((waiting, endpoint, negotiated, owner))
            return waiting
        if endpoint not in self.peers:
            return fail(CallError("refused by the other end"))
        return succeed(self._made(endpoint, negotiated, owner))

    def answer(self) -> None:
        """
        Have the end answer that has been silent for longest.
        """
        waiting, *asked = self.waiting.pop(0)
        waiting.callback(self._made(*asked))

    def _made(self, endpoint: str, negotiated: Negotiated, owner: ICallOwner) -> LegCall:
        number = len(self.calls) + 1
        here = LegCall(self._clock, Ends("192.0.2.1", endpoint, number, 1000 + number), owner)
        self.calls.append(here)
        gateway = self.peers[endpoint]
        if gateway is not None:
            there = LegCall(self._clock, Ends(endpoint, "192.0.2.1", 1000 + number, number))
            here.other, there.other = there, here
            here.tunnelEnds = there.tunnelEnds = TunnelEnds(
                LEG, "192.0.2.1", endpoint, "pop", "core", str(number)
            )
            if self.believed:
                there.negotiated, there.concentrator = negotiated, self.believed
                there.stations = self.stations
            self._clock.callLater(DELAY, gateway.callRequested, there)
        return here

    @property
    def tried(self) -> list[str]:
        """
        The endpoints that were tried, in order.
        """
        return [endpoint for endpoint, _, _ in self.placed]


class PassingWorld(World):
    """
    A gateway that passes calls on, and a second one at 198.51.100.1 to which it may pass them.

    @ivar forwarder: the tunnel that places calls.
    @ivar beyond: the second gateway.
    """

    def __init__(
        self,
        text: str = "",
        checkers: Sequence[ICredentialsChecker] = (),
        beyond: Sequence[ICredentialsChecker] = (),
        there: Mapping[str, Any] = {},
        **options: Any,
    ) -> None:
        """
        @param there: options of the second gateway.
        """
        super().__init__(text, checkers, **options)
        self.forwarder = Forwarder(self.clock)
        self.gateway.context.forwarding.forwarders = {"leg": self.forwarder}
        self.beyond = Beyond(self.clock, self.network, beyond, **there)
        self.forwarder.peers["198.51.100.1"] = self.beyond.gateway

    def makeDataPath(self) -> LegDataPath:
        return LegDataPath(self.network)

    @property
    def legs(self) -> list[LegCall]:
        """
        Our ends of the calls that were placed.
        """
        return self.forwarder.calls


class Beyond(World):
    """
    The gateway to which calls are passed.
    """

    def __init__(
        self,
        clock: Clock,
        network: MemoryNetwork,
        checkers: Sequence[ICredentialsChecker],
        **options: Any,
    ) -> None:
        self._shared = network
        super().__init__("", checkers, clock=clock, **options)

    def makeDataPath(self) -> LegDataPath:
        return LegDataPath(self._shared)
