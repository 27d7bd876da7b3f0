"""
Hostile peers in the other roles of PPTP (RFC 2637 section 1.1): a PNS to which the gateway, a PAC,
offers calls, and a PAC that offers calls to the gateway, a PNS.

Each may say any message at any time: what an honest one would say next, another one, one that is
mangled, the same once more, or one from long ago. Nothing fails or stays, no table grows beyond the
calls that there are, and the next honest peer is served.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from twisted.internet.defer import Deferred, succeed

from pptpgw.ppp.wire.ppp import IPV4, LCP
from pptpgw.testing import CALLER, resultOf
from pptpgw.tunnels.pptp.connection import ControlConnection
from pptpgw.tunnels.pptp.owner import ConnectionOwner
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from pptpgw.tunnels.pptp.statetable import Side
from pptpgw.tunnels.pptp.wire.framing import Framing
from pptpgw.tunnels.pptp.wire.message import (
    MESSAGES,
    CallClearRequest,
    CallDisconnectNotify,
    ControlMessage,
    EchoReply,
    EchoRequest,
    IncomingCallConnected,
    IncomingCallReply,
    IncomingCallRequest,
    StartControlConnectionReply,
    StartControlConnectionRequest,
    StopControlConnectionReply,
    StopControlConnectionRequest,
    decode,
    encode,
)
from tests.logged import loggedFailures
from tests.tunnels.pptp import test_concentrator
from tests.tunnels.pptp.test_incoming import PNS, incomingCall

CALLERS = 4
"""
The most callers of a PAC at once.
"""

SAID = 20
"""
How many messages of the hostile peer may be repeated.
"""


class Wire:
    """
    The TCP connection between the gateway and a hostile peer, which reads what comes.

    @ivar heard: the gateway's messages that the peer hasn't answered.
    @ivar isClosed: whether the gateway has closed the connection.
    """

    def __init__(self, connection: ControlConnection) -> None:
        self.connection = connection
        self.heard: list[ControlMessage] = []
        self.isClosed = self.isLost = False
        self._framing = Framing()
        connection.connectionMade(self)

    def write(self, octets: bytes, /) -> None:
        self._framing.feed(octets)
        while (message := self._framing.next()) is not None:
            self.heard.append(decode(message))

    def loseConnection(self) -> None:
        self.isClosed = True

    abortConnection = loseConnection

    def say(self, octets: bytes) -> None:
        if not self.isClosed and not self.isLost:
            self.connection.dataReceived(octets)

    def lose(self) -> None:
        """
        End the connection, at last.
        """
        if not self.isLost:
            self.isLost = True
            self.connection.connectionLost("the peer is gone")


class PAC(test_concentrator.World):
    """
    A gateway that passes every call on to a PNS, whose connections are C{wires} while C{isHostile}.
    """

    def __init__(self) -> None:
        self.wires: list[Wire] = []
        self.isHostile = True
        super().__init__()

    def _open(
        self,
        settings: ConnectionSettings,
        owner: ConnectionOwner,
        source: str,
        peer: tuple[str, int],
    ) -> Deferred[ControlConnection]:
        if not self.isHostile:
            return super()._open(settings, owner, source, peer)
        ends = Side.ORIGINATOR, CALLER.called, peer[0]
        made = ControlConnection(self.clock, settings, self.callIDs, owner, *ends)
        self.wires.append(Wire(made))
        return succeed(made)


class Hostile(RuleBasedStateMachine):
    """
    What a hostile peer does in either role.
    """

    world: Any
    wires: list[Wire]

    def __init__(self) -> None:
        super().__init__()
        self.said: list[bytes] = []

    def observe(self) -> None:
        """
        Begin to collect failures. Hypothesis makes machines, too, that it doesn't run and doesn't
        tear down.
        """
        self._logging = loggedFailures()
        self.failures = self._logging.__enter__()

    @property
    def wire(self) -> Wire:
        return self.wires[-1]

    def say(self, octets: bytes) -> None:
        self.said = [*self.said[1 - SAID :], octets]
        self.wire.say(octets)

    def answers(self, message: ControlMessage) -> list[ControlMessage]:
        """
        Return what an honest peer answers.
        """
        match message:
            case StartControlConnectionRequest():
                return [StartControlConnectionReply()]
            case EchoRequest(identifier):
                return [EchoReply(identifier)]
            case StopControlConnectionRequest():
                return [StopControlConnectionReply()]
            case IncomingCallRequest(callID=callID):
                return [IncomingCallReply(callID=callID ^ 0x1111, peerCallID=callID)]
            case IncomingCallReply(result=1, callID=callID):
                return [IncomingCallConnected(callID)]
            case CallClearRequest():
                # The PNS's id isn't the one that the PAC has to tell, but is understood, too.
                return [CallDisconnectNotify(message.callID)]
        return []

    @precondition(lambda self: self.wires)
    @rule(times=st.integers(1, 2))
    def honest(self, times: int) -> None:
        """
        Answer everything as an honest peer does, or twice.
        """
        heard, self.wire.heard = self.wire.heard, []
        for message in heard:
            for answer in self.answers(message) * times:
                self.say(encode(answer))

    @precondition(lambda self: self.wires)
    @rule(
        kind=st.sampled_from(MESSAGES),
        which=st.lists(st.integers(0, 20), min_size=2, max_size=2),
        result=st.integers(0, 8),
    )
    def message(self, kind: Any, which: list[int], result: int) -> None:
        """
        Say a message about calls that there are, or aren't.
        """
        calls = self.wire.connection.calls.values()
        ids = [one.localCallID for one in calls] + [one.peerCallID & 0xFFFF for one in calls]
        ids += [0, 1, 0xFFFF]
        values = {
            "callID": ids[which[0] % len(ids)],
            "peerCallID": ids[which[1] % len(ids)],
            "result": result,
        }
        named = {one.name for one in fields(kind)}
        chosen = {name: value for name, value in values.items() if name in named}
        self.say(encode(replace(kind(), **chosen)))

    @precondition(lambda self: self.said)
    @rule(number=st.integers(0, SAID), place=st.integers(0, 300), octet=st.integers(0, 255))
    def mangled(self, number: int, place: int, octet: int) -> None:
        """
        Say an earlier message once more, with another octet after the header.
        """
        message = bytearray(self.said[number % len(self.said)])
        if len(message) > 12:
            message[12 + place % (len(message) - 12)] = octet
        self.say(bytes(message))

    @precondition(lambda self: self.said)
    @rule(number=st.integers(0, SAID))
    def again(self, number: int) -> None:
        """
        Say an earlier message once more.
        """
        self.say(self.said[number % len(self.said)])

    @precondition(lambda self: self.wires)
    @rule(octets=st.binary(min_size=1, max_size=20))
    def octets(self, octets: bytes) -> None:
        self.wire.say(octets)

    @rule(
        protocol=st.sampled_from([LCP, IPV4, 0xC223, 0x8021, 0x00FD]),
        frame=st.binary(max_size=12),
    )
    def frame(self, protocol: int, frame: bytes) -> None:
        """
        Send a frame for every call.
        """
        for channel in self.world.dataPath.channels:
            channel.received(protocol, frame)

    @rule(seconds=st.sampled_from([0.01, 1, 6, 30, 70]))
    def wait(self, seconds: float) -> None:
        self.world.run(seconds, seconds / 20)

    @precondition(lambda self: self.wires)
    @rule()
    def lose(self) -> None:
        self.wire.lose()

    @invariant()
    def bounded(self) -> None:
        if not hasattr(self, "world"):
            return
        calls = sum(len(one.connection.calls) for one in self.wires)
        assert calls <= self.mostCalls
        assert len(self.world.gateway.sessions) <= len(self.world.gateway.lines)
        assert not self.failures, self.failures

    @property
    def mostCalls(self) -> int:
        """
        The most calls that the gateway may have with the peer.
        """
        raise NotImplementedError

    def serves(self) -> bool:
        """
        Return whether an honest peer is served.
        """
        raise NotImplementedError

    def end(self) -> None:
        """
        Have all honest callers hang up.
        """

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self._logging.__exit__(None, None, None)
            with loggedFailures() as failures:
                self._finish()
            assert not failures, failures

    def _finish(self) -> None:
        """
        Assert that nothing is left, and that an honest peer is served.
        """
        self.end()
        for wire in self.wires:
            wire.lose()
        self.world.rest(130)
        assert not self.world.gateway.lines and not self.world.gateway.sessions
        assert all(not one.connection.calls for one in self.wires)
        assert self.serves()
        self.world.stop()
        self.world.rest(130)
        assert not self.world.clock.getDelayedCalls()


class HostilePNS(Hostile):
    """
    A PNS to which the gateway offers calls.
    """

    @initialize()
    def begin(self) -> None:
        self.observe()
        self.world = PAC()
        self.wires = self.world.wires
        self.callers: list[Any] = []

    @precondition(lambda self: len(self.world.gateway.lines) < CALLERS)
    @rule()
    def ring(self) -> None:
        """
        Have somebody call the gateway, which offers the call.
        """
        connection = self.world.connect()
        self.world.placeCall(connection).addErrback(lambda failure: None)
        self.callers.append(connection)
        self.world.run(0.02)

    @precondition(lambda self: self.world.gateway.lines)
    @rule(number=st.integers(0, CALLERS))
    def hangUp(self, number: int) -> None:
        """
        Have one of the callers go.
        """
        lines = list(self.world.gateway.lines)
        lines[number % len(lines)].hangUp("enough")
        self.world.run(0.02)

    @property
    def mostCalls(self) -> int:
        # A hostile PNS may itself ask for calls, which count as callers.
        return ConnectionSettings().maximumCalls

    def end(self) -> None:
        for line in list(self.world.gateway.lines):
            line.hangUp("it is over")

    def serves(self) -> bool:
        self.world.isHostile = False
        call = resultOf(self.world.call())
        served = [one.user for one in self.world.beyond.gateway.sessions] == ["alice"]
        call.hangUp("enough")
        self.world.rest(65)
        return served


class HostilePAC(Hostile):
    """
    A PAC that offers calls to the gateway.
    """

    @initialize()
    def begin(self) -> None:
        self.observe()
        self.world = PNS()
        self.wires = []

    @precondition(lambda self: not self.wires or self.wire.isLost or self.wire.isClosed)
    @rule()
    def connect(self) -> None:
        """
        Open a control connection.
        """
        for wire in self.wires:
            wire.lose()
        self.wires.append(Wire(self.world.makeGatewaysEnd(CALLER.address)))
        self.say(encode(StartControlConnectionRequest()))

    @precondition(lambda self: self.wires)
    @rule(callID=st.integers(0, 0xFFFF))
    def offer(self, callID: int) -> None:
        """
        Offer a call.
        """
        self.say(encode(IncomingCallRequest(callID=callID)))

    @property
    def mostCalls(self) -> int:
        return ConnectionSettings().maximumCalls

    def serves(self) -> bool:
        call = incomingCall(self.world)
        self.world.run(1)
        served = resultOf(call.opened) is call
        call.hangUp("enough")
        self.world.run(5, 0.1)
        return served


TestHostilePNS = HostilePNS.TestCase
TestHostilePNS.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestHostilePAC = HostilePAC.TestCase
TestHostilePAC.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
