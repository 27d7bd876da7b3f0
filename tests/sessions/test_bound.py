"""
Tests for calls whose tunnel is bound to the authentication on it, which are passed on: calls by
SSTP. See also L{pptpgw.sessions.guard}.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from pptpgw.auth.eap import EAPProtocol
from pptpgw.auth.eapmethod import MSCHAPV2 as EAP_MSCHAPV2
from pptpgw.auth.protocols import CHAP, MSCHAPV2
from pptpgw.datapath.python import PythonDataPath
from pptpgw.interfaces import Forward, IAuthenticationProtocol, IChannelOwner, Outcome
from pptpgw.ppp.wire import ppp
from pptpgw.sessions.answered import AnsweredLine
from pptpgw.sessions.diagnosis import adviceOn
from pptpgw.sessions.guard import REPEATED
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.remedy import Remedy
from pptpgw.sessions.switch import NOT_PASSED
from pptpgw.testing import MemoryChannel, MemoryTUN, SessionRecorder
from pptpgw.testing.exchange import PASSWORD
from pptpgw.tunnels.sstp import machine
from pptpgw.tunnels.sstp.binding import Hash, callConnected
from pptpgw.tunnels.sstp.wire import encodeFrame
from tests.reload.world import Users
from tests.sessions.legs import Beyond, Forwarder, LegCall
from tests.tunnels.sstp.joined import REQUEST, Peer, SSTPGateway

THERE = "198.51.100.1"
PASSED = Profile("alice", forwards=(Forward("leg", THERE),))


class DataPath(PythonDataPath):
    """
    A data path that carries calls by SSTP, and the legs in memory.

    @ivar legs: the channels of the legs.
    """

    network: Any
    legs: list[MemoryChannel]

    def openChannel(self, call: Any, owner: IChannelOwner, number: int = 0) -> Any:
        if not isinstance(call, LegCall):
            return super().openChannel(call, owner, number)
        channel = MemoryChannel(self.network, call.ends, owner)
        self.legs.append(channel)
        return channel


class BoundWorld(SSTPGateway):
    """
    A gateway that serves SSTP and passes calls on, and another one to which it may pass them.
    """

    def __init__(
        self, *profiles: Profile, text: str = "", believed: str = "pop", **options: Any
    ) -> None:
        self.recorder = SessionRecorder()
        super().__init__(Users(profiles or (PASSED,)), text, [self.recorder])
        self.forwarder = Forwarder(self.clock)
        self.forwarder.believed = believed
        self.gateway.context.forwarding.forwarders = {"leg": self.forwarder}
        options = {"encryption": "off", **options}
        self.beyond = Beyond(self.clock, self.network, [Users()], **options)
        self.forwarder.peers[THERE] = self.beyond.gateway

    def makeDataPath(self) -> Any:
        self.tun = MemoryTUN()
        made = DataPath(self.clock, self.tun)
        made.network, made.legs = self.network, []
        return made

    def reach(self, **options: Any) -> tuple[Any, Any]:
        return self.call(password=PASSWORD, **options)

    @property
    def attempt(self) -> Any:
        """
        The newest attempt.
        """
        return next(iter(self.gateway.attempts))


def opens(call: Any) -> bool:
    return call.opened.called and call.opened.result is call


@pytest.mark.parametrize("method", [MSCHAPV2, CHAP], ids=lambda one: one.name)
def test_passedOn(method: IAuthenticationProtocol) -> None:
    """
    The caller authenticates once, and the tunnel is bound to that. The other end takes the claim;
    its verdict doesn't reach the caller, who has one. This gateway counts packets.
    """
    text = f'[link]\nauthentication = ["{method.name}"]\nencryption = "prefer"\n'
    world = BoundWorld(text=text, methods=(method,))
    peer, call = world.reach(methods=(method,))
    assert opens(call)
    (session,) = world.gateway.sessions
    (beyond,) = world.beyond.gateway.sessions
    assert session.user == beyond.user == "alice"
    assert (session.authentication, session.encryption) == (method.name, "passed on")
    assert session.path == f"python; passed on by leg to {THERE}"
    assert session.networks == {} and list(beyond.networks) == ["ipv4"]
    ((_, _, negotiated),) = world.forwarder.placed
    assert negotiated.claim is not None and negotiated.claim.name == b"alice"
    (theirs,) = world.beyond.gateway.attempts
    assert not any(one.protocol == ppp.LCP for one in theirs.frames if one.information[0] == 1)
    assert session.counters.discards == {REPEATED: 1}
    assert peer.connection.machine.state is machine.State.CONNECTED
    names = [one.name for one in world.attempt.stages]
    assert names[-3:] == ["limits", "binding", "forwarding"]
    assert world.attempt.outcome is Outcome.UP
    before = beyond.counters.packetsReceived, session.counters.packetsReceived
    call.channel.sendPacket(ppp.IPV4, bytes(100))
    world.run(0.1)
    after = beyond.counters.packetsReceived, session.counters.packetsReceived
    assert after == (before[0] + 1, before[1] + 1)
    call.hangUp("bye")
    world.run(10, 0.1)
    assert not world.gateway.lines and not world.beyond.gateway.lines
    assert "the caller hung up" not in world.attempt.cause


def test_aWrongPassword() -> None:
    world = BoundWorld()
    _, call = world.call(password=b"a wrong one")
    assert call.ended.called and world.forwarder.placed == []


def test_somebodyBetween() -> None:
    """
    A call whose binding doesn't hold never reaches the other end, though the password is right, and
    is told as an attack on its user.
    """
    world = BoundWorld()
    _, call = world.reach(certificate=b"that of somebody between")
    assert "VALUE_NOT_SUPPORTED" in str(call.ended.result)
    assert world.forwarder.placed == []
    (attack,) = world.recorder.attacks
    assert (attack.user, attack.tunnel) == ("alice", "sstp")
    assert world.recorder.ended == [] and not world.gateway.lines
    assert "binding doesn't hold" in world.attempt.cause
    assert world.attempt.stages[-1].name == "binding"


def intercept(world: BoundWorld, send: Callable[[Callable[[bytes], None], bytes], None]) -> None:
    """
    Have C{send} called with what peers send, and with what sends it.
    """
    original = world.meet

    def meet(*octets: bytes, peer: Peer | None = None, source: str = "192.0.2.7") -> Peer:
        met = original(*octets, peer=peer, source=source)
        transport: Any = met.transport
        transport.write = partial(send, transport.write)
        return met

    world.meet = meet  # type: ignore[method-assign]


class Silent:
    """
    A world with a caller that has authenticated, and whose Call Connected is held back.

    @ivar write: sends octets in the caller's name.
    """

    write: Callable[[bytes], None]

    def __init__(self, *profiles: Profile, **options: Any) -> None:
        self.world = BoundWorld(*profiles, **options)
        self.held: list[bytes] = []
        self.isMute = False
        intercept(self.world, self._send)
        self.peer, self.call = self.world.reach()

    def _send(self, write: Callable[[bytes], None], octets: bytes) -> None:
        self.write = write
        if octets[:2] == b"\x10\x01" and octets[4:6] == b"\0\x04":
            self.held.append(octets)
        elif not self.isMute:
            write(octets)

    def mute(self) -> None:
        """
        Have the caller do nothing more by itself.
        """
        self.peer.caller = None
        self.isMute = True
        transport: Any = self.peer.transport
        transport.loseConnection = transport.abortConnection = lambda: None

    def bind(self) -> None:
        """
        Send the Call Connected.
        """
        self.write(self.held.pop(0))


def test_theBindingIsAwaited() -> None:
    """
    Until the binding holds nothing is passed on. What the caller sends meanwhile is kept for the
    other end, and isn't answered here.
    """
    silent = Silent()
    world = silent.world
    assert len(silent.held) == 1
    assert world.forwarder.placed == [] and not world.gateway.sessions
    assert world.attempt.going == "binding"
    silent.bind()
    world.run(0.5, 0.01)
    assert opens(silent.call)
    (theirs,) = world.beyond.gateway.attempts
    asked = [one for one in theirs.frames if one.protocol == ppp.IPCP and not one.isSent]
    assert asked[0].information[0] == ppp.CONFIGURE_REQUEST


def test_theBindingNeverComes() -> None:
    """
    A call whose caller never binds it ends in the time of SSTP.
    """
    silent = Silent()
    world = silent.world
    silent.mute()
    world.run(machine.NEGOTIATION_SECONDS + machine.ABORT_SECONDS + 1, 0.1)
    assert world.forwarder.placed == [] and not world.gateway.lines
    assert "within 60 s" in world.attempt.cause


def test_LCPIsNegotiatedAnewMeanwhile() -> None:
    """
    The call ends whose caller negotiates LCP anew before it is passed on, so that nobody is passed
    on for whom the binding says nothing.
    """
    silent = Silent()
    world = silent.world
    request = b"\xff\x03\xc0\x21\x01\x77\0\x04"
    silent.mute()
    silent.write(encodeFrame(request))
    world.run(0.1, 0.01)
    silent.bind()
    world.run(30, 0.1)
    assert world.forwarder.placed == [] and not world.gateway.lines
    assert world.attempt.cause == "LCP was negotiated anew while the call was to be passed on"


def test_theCallerTerminatesMeanwhile() -> None:
    silent = Silent()
    world = silent.world
    silent.call.hangUp("enough")
    world.run(10, 0.1)
    assert world.forwarder.placed == [] and not world.gateway.lines
    assert world.attempt.cause == "the peer terminated LCP: enough"


def test_theOtherEndTakesItsTime() -> None:
    """
    What the caller sends while an end is asked is kept for it, up to 16 frames. Echoes of LCP are
    answered here.
    """
    world = BoundWorld()
    world.forwarder.silent.add(THERE)
    world.forwarder.peers[THERE] = None
    peer, call = world.reach()
    assert world.forwarder.tried == [THERE] and not opens(call)
    heard = len(peer.heard)
    for number in range(20):
        peer.write(encodeFrame(b"\xff\x03\x80\x57" + bytes((1, number, 0, 4))))
    peer.write(encodeFrame(b"\xff\x03\xc0\x21\x09\x01\0\x08" + bytes(4)))
    world.run(0.1, 0.01)
    assert peer.heard[heard:].count(b"\xff\x03\xc0\x21\x0a\x01") == 1
    world.forwarder.answer()
    (leg,) = world.dataPath.legs
    assert [protocol for protocol, _ in leg.sent] == [ppp.IPCP] + [0x8057] * 15
    assert [frame[1] for _, frame in leg.sent][1:] == list(range(15))
    (session,) = world.gateway.sessions
    assert session.counters.discards["too many early packets"] == 5


def test_nobodyTakesIt() -> None:
    """
    The caller has been told that it is let in, and is told why its call ends then.
    """
    world = BoundWorld()
    del world.forwarder.peers[THERE]
    _, call = world.reach()
    assert NOT_PASSED in str(call.ended.result)
    assert not world.gateway.lines and not world.recorder.ended
    attempt = world.attempt
    assert "198.51.100.1: refused by the other end" in attempt.stages[-1].failure
    assert [one.name for one in attempt.stages].count("forwarding") == 1
    assert attempt.cause.remedy is Remedy.NOT_PASSED


def test_theCallerGoesMeanwhile() -> None:
    """
    A call that ends while another one is placed for it gives that up.
    """
    world = BoundWorld()
    world.forwarder.silent.add(THERE)
    peer, _ = world.reach()
    peer.transport.loseConnection()
    world.run(0.1, 0.01)
    assert world.forwarder.cancelled == [THERE]
    assert not world.gateway.lines


def joined() -> tuple[BoundWorld, Peer, Any, MemoryChannel]:
    """
    Return a world, a caller that was passed on to nobody, its call, and the channel to nobody.
    """
    world = BoundWorld()
    world.forwarder.peers[THERE] = None
    peer, call = world.reach()
    (leg,) = world.dataPath.legs
    leg.sent.clear()
    return world, peer, call, leg


@pytest.mark.parametrize(
    ("protocol", "frame", "why"),
    [
        (ppp.LCP, b"\x01\x01\0\x04", "the end that the call passed to negotiates LCP anew"),
        (ppp.CHAP, b"\x01\x01\0\x04", "asks its caller anew who it is"),
        (ppp.CHAP, b"\x04\x01\0\x04", "refuses its caller"),
        (ppp.EAP, b"\x01\x01\0\x05\x01", "asks its caller anew who it is"),
        (ppp.PAP, b"\x03\x01\0\x05\0", "refuses its caller"),
        (ppp.SHIVA, b"\x01", "asks its caller anew who it is"),
        (ppp.CHAP, b"", "asks its caller anew who it is"),
    ],
)
def test_authenticationAnew(protocol: int, frame: bytes, why: str) -> None:
    """
    An end that refuses the caller, or would authenticate it anew, ends the call, and the caller
    sees nothing of that.
    """
    world, peer, _, leg = joined()
    heard = len(peer.heard)
    leg.received(protocol, frame)
    world.run(5, 0.1)
    assert protocol.to_bytes(2, "big") not in peer.heard[heard:]
    assert why in world.attempt.cause
    assert adviceOn(world.attempt) == Remedy.BOUND.value
    assert not world.gateway.lines


def test_theCallerNegotiatesAnew() -> None:
    """
    The same goes for the caller. Its authentication is over, and isn't repeated to another end.
    """
    world, peer, _, leg = joined()
    peer.write(encodeFrame(b"\xff\x03\xc2\x23\x02\x01\0\x04"))
    peer.write(encodeFrame(b"\xff\x03\xc0\x21\x09\x01\0\x08" + bytes(4)))
    world.run(0.1, 0.01)
    assert [protocol for protocol, _ in leg.sent] == [ppp.LCP]
    peer.write(encodeFrame(b"\xff\x03\xc0\x21\x01\x01\0\x04"))
    world.run(5, 0.1)
    assert len(leg.sent) == 1 and not world.gateway.lines
    assert "the caller negotiates LCP anew" in world.attempt.cause


def test_anEndThatAuthenticatesAnew() -> None:
    """
    The call ends if the other end doesn't believe this gateway, and negotiates anew.
    """
    world = BoundWorld(believed="")
    world.reach()
    world.run(10, 0.1)
    assert not world.gateway.lines and not world.beyond.gateway.lines
    assert "negotiates LCP anew" in world.attempt.cause


def test_EAP() -> None:
    """
    A log-in by EAP can't be handed over: the other end would ask anew, which ends the call.
    """
    text = '[link]\nauthentication = ["eap"]\n[eap]\nmethods = ["mschapv2"]\n'
    eap = (EAPProtocol((EAP_MSCHAPV2,)),)
    world = BoundWorld(text=text, methods=eap)
    world.reach(methods=eap)
    world.run(5, 0.1)
    assert len(world.forwarder.placed) == 1 and not world.gateway.lines
    assert "the end that the call passed to asks its caller anew who it is" in world.attempt.cause
    assert adviceOn(world.attempt) == Remedy.BOUND.value


def test_callersOfADestinationBeforeTheyAuthenticate() -> None:
    """
    A call that others would have passed on before they authenticate is refused after it.
    """
    text = """
[[forwarding.destination]]
name = "isp"
tunnel = "leg"
endpoints = ["198.51.100.1"]
called = ["vpn.example.org"]
authenticated = false
"""
    world = BoundWorld(Profile("alice"), text=text)
    _, call = world.reach()
    assert call.ended.called and world.forwarder.placed == []
    assert "callers of 'isp' authenticate there alone" in world.attempt.cause
    assert adviceOn(world.attempt) == Remedy.BOUND.value


def test_aBindingThatComesTooEarly() -> None:
    """
    A binding that came before the authentication is verified with it. The call ends if it doesn't
    hold, and leaves no session.
    """
    early = callConnected(Hash.SHA256, bytes(32), b"another certificate", bytes(32))

    def send(write: Callable[[bytes], None], octets: bytes) -> None:
        write(octets)
        if octets == REQUEST:
            write(early)

    for profile in (PASSED, Profile("alice")):
        world = BoundWorld(profile)
        intercept(world, send)
        _, call = world.reach()
        world.run(10, 0.1)
        assert "binding doesn't hold" in world.attempt.cause
        assert call.ended.called and world.forwarder.placed == []
        assert not world.gateway.lines and not world.gateway.sessions
        assert world.recorder.ended == []
        assert [one.user for one in world.recorder.attacks] == ["alice"]


def test_freed() -> None:
    """
    Nothing of such a call is left for the garbage collector.
    """
    world = BoundWorld()
    _, call = world.reach()
    (line,) = world.gateway.lines
    references = [weakref.ref(one) for one in world.dataPath.legs]
    call.hangUp("bye")
    world.run(10, 0.1)
    assert isinstance(line, AnsweredLine) and line._switch is None
    world.dataPath.legs.clear()
    world.forwarder.calls.clear()
    gc.disable()
    try:
        del line, call
        assert [one() for one in references] == [None] * len(references)
    finally:
        gc.enable()
