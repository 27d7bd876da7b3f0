"""
Tests for L{pptpgw.sessions.switch}: calls whose PPP ends at another gateway.
"""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from zope.interface import classImplements, classImplementsOnly

from pptpgw.auth.protocols import CHAP, PAP
from pptpgw.error import CallError
from pptpgw.interfaces import Forward, IBridgedChannel, IChannel, Outcome
from pptpgw.ppp.automaton import State
from pptpgw.ppp.wire.ppp import DEFAULT_ACCM, IPV4, LCP
from pptpgw.sessions.answered import AnsweredLine
from pptpgw.sessions.cause import Termination, codeOf
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.remedy import Remedy
from pptpgw.sessions.switch import NOT_PASSED
from pptpgw.sessions.tally import CallResult
from pptpgw.testing import MemoryChannel, resultOf
from tests.reload.world import Users
from tests.sessions.legs import PassingWorld

THERE = "198.51.100.1"
PASSED = Profile("alice", forwards=(Forward("leg", THERE),))
DESTINATION = """
[[forwarding.destination]]
name = "isp"
tunnel = "leg"
endpoints = ["198.51.100.1"]
"""


def makeWorld(*profiles: Profile, text: str = "", **options: Any) -> PassingWorld:
    return PassingWorld(text, [Users(profiles or (PASSED,))], [Users()], **options)


def call(world: PassingWorld, name: str = "alice", **options: Any) -> Any:
    """
    Place a call, and give it time to be set up.
    """
    placed = world.placeCall(world.connect(), name.encode(), **options)
    world.run(4)
    return resultOf(placed)


def test_afterAuthentication() -> None:
    """
    The caller authenticates here and then again there, where its network opens. This gateway counts
    its packets, and gives it no address. What was negotiated is told.
    """
    world = makeWorld()
    caller = call(world)
    (session,) = world.gateway.sessions
    (beyond,) = world.beyond.gateway.sessions
    assert session.user == beyond.user == "alice"
    assert (session.authentication, session.encryption) == ("mschapv2", "passed on")
    assert session.path == f"memory; passed on by leg to {THERE}"
    assert session.networks == {} and list(beyond.networks) == ["ipv4"]
    ((endpoint, _, negotiated),) = world.forwarder.placed
    assert endpoint == THERE
    # MRU, magic number, and for us the authentication protocol.
    assert b"\x05\x06" in negotiated.firstReceived == negotiated.lastReceived
    assert b"\x03\x05\xc2\x23\x81" in negotiated.lastSent
    claim = negotiated.claim
    assert claim is not None
    assert (claim.name, claim.number, claim.algorithm) == (b"alice", 0xC223, b"\x81")
    assert len(claim.challenge) == 16 and len(claim.response) == 49
    (attempt,) = world.gateway.attempts
    assert attempt.outcome is Outcome.UP
    assert [stage.name for stage in attempt.stages][-2:] == ["limits", "forwarding"]
    assert not any(stage.failure for stage in attempt.stages)
    before = session.counters.octetsReceived, session.counters.octetsSent
    caller.channel.sendPacket(IPV4, bytes(100))
    world.run(0.01)
    assert session.counters.octetsReceived == before[0] + 100
    caller.hangUp("bye")
    world.run(1)
    assert not world.gateway.lines and not world.beyond.gateway.lines
    assert world.gateway.tally.calls["pptp", CallResult.OPENED] == 1


@pytest.mark.parametrize(
    ("own", "otherwise", "bridged"), [(None, 0, True), (0, 600, True), (None, 600, False)]
)
def test_outsideOfThisProcess(
    own: float | None, otherwise: float, bridged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Frames pass outside of this process where that is possible and idle time isn't limited, until it
    is.
    """
    asked: list[tuple[str, object]] = []
    implements: Any = classImplements
    monkeypatch.setattr(
        MemoryChannel, "bridge", lambda self, other: asked.append(("bridge", other)), raising=False
    )
    monkeypatch.setattr(
        MemoryChannel, "unbridge", lambda self: asked.append(("unbridge", self)), raising=False
    )
    implements(MemoryChannel, IBridgedChannel)
    try:
        text = f"[limits]\nidle-timeout = {otherwise}\n"
        world = makeWorld(Profile("alice", forwards=PASSED.forwards, idleTimeout=own), text=text)
        call(world)
        (session,) = world.gateway.sessions
        (line,) = world.gateway.lines
        assert isinstance(line, AnsweredLine) and line._switch is not None
        other = line._switch._channel
        assert asked == ([("bridge", other)] if bridged else [])
        session.change(Profile("alice", idleTimeout=30))
        assert asked[-1] == ("unbridge", other)
    finally:
        classImplementsOnly(MemoryChannel, IChannel)


def test_accounts() -> None:
    """
    The account names a destination of the configuration, or nothing: then PPP ends here.
    """
    world = makeWorld(Profile("alice", forward="isp"), text=DESTINATION)
    call(world, "bob")
    assert world.forwarder.placed == []
    call(world)
    assert len(world.legs) == 1
    assert {one.user for one in world.beyond.gateway.sessions} == {"alice"}


def test_aDestinationThatIsNot() -> None:
    """
    A caller whose account names a destination that there isn't is refused.
    """
    world = makeWorld(Profile("alice", forward="nowhere"), text=DESTINATION)
    with pytest.raises(CallError):
        call(world)
    (attempt,) = world.gateway.attempts
    assert attempt.cause == "there is no destination 'nowhere'"
    assert attempt.cause.remedy is Remedy.DESTINATION  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("restriction", "word"),
    [
        ({"receiveRate": 1000}, "rate"),
        ({"sendRate": 1000}, "rate"),
        ({"encryption": "require"}, "encryption"),
    ],
)
def test_whatRestricts(restriction: dict[str, Any], word: str) -> None:
    """
    A caller isn't passed on whose account restricts it in a way that only the end of PPP can apply;
    a session that comes to be restricted so ends.
    """
    profile = Profile("alice", forwards=PASSED.forwards, **restriction)
    world = makeWorld(profile, Profile("bob", forwards=PASSED.forwards))
    with pytest.raises(CallError):
        call(world)
    assert world.forwarder.placed == []
    (attempt,) = world.gateway.attempts
    assert f"the {word} of alice can't be applied" in attempt.cause
    call(world, "bob")
    (session,) = world.gateway.sessions
    session.change(Profile("bob", **restriction))
    world.run(1)
    assert len(world.gateway.sessions) == 0 and len(world.beyond.gateway.sessions) == 0


def test_aFilter() -> None:
    """
    The same goes for a filter, whether it exists or not.
    """
    rules = '[[network.filter]]\nname = "web"\nrules = ["permit ip from any to any"]\n'
    world = makeWorld(Profile("alice", forwards=PASSED.forwards, filter="web"), text=rules)
    with pytest.raises(CallError):
        call(world)
    assert world.forwarder.placed == []


def test_byRealmUnjudged() -> None:
    """
    A caller of a realm is passed on as soon as it has given its name. Nobody here judges it: it is
    nobody's session, its address isn't known, and it displaces no session of the user's.
    """
    text = DESTINATION + 'realms = ["ISP.example"]\nauthenticated = false\n'
    text += '[limits]\nmax-sessions-per-user = 1\nper-user = "replace"\n'
    world = makeWorld(text=text)
    users = world.gateway.context.authenticate
    assert users is not None
    for _ in range(2):
        call(world, "alice@isp.example")
    sessions = list(world.gateway.sessions)
    assert [one.user for one in sessions] == ["alice@isp.example"] * 2
    assert [one.authentication for one in sessions] == ["none"] * 2
    assert "192.0.2.7" not in world.gateway.context.known
    claims = [negotiated.claim for _, _, negotiated in world.forwarder.placed]
    assert [claim.name for claim in claims if claim] == [b"alice@isp.example"] * 2
    call(world, "alice@other.example")
    assert len(world.forwarder.placed) == 2


def test_byRealmJudged() -> None:
    """
    Callers of a realm are passed on when they have authenticated; a wrong password is refused here.
    """
    world = makeWorld(text=DESTINATION + 'realms = ["isp.example"]\n')
    with pytest.raises(CallError):
        call(world, "alice@isp.example", password=b"wrong")
    assert world.forwarder.placed == []
    call(world, "alice@isp.example")
    assert len(world.legs) == 1
    assert [one.authentication for one in world.gateway.sessions] == ["mschapv2"]


def test_atOnce() -> None:
    """
    Calls to an address are passed on before LCP: the caller meets the other end alone.
    """
    world = makeWorld(text=DESTINATION + 'called = ["192.0.2.1"]\nauthenticated = false\n')
    call(world)
    ((_, _, negotiated),) = world.forwarder.placed
    assert negotiated.claim is None and negotiated.lastSent == b""
    (session,) = world.gateway.sessions
    assert (session.user, session.authentication) == ("192.0.2.7", "none")
    assert [one.user for one in world.beyond.gateway.sessions] == ["alice"]
    (line,) = world.gateway.lines
    assert line.link.lcp.state is State.INITIAL
    session.hangUp("enough")
    world.run(1)
    assert not world.gateway.lines and not world.beyond.gateway.lines


def test_atOnceToNobody() -> None:
    world = makeWorld(text=DESTINATION + 'called = ["192.0.2.1"]\nauthenticated = false\n')
    del world.forwarder.peers[THERE]
    with pytest.raises(CallError):
        call(world)
    (attempt,) = world.gateway.attempts
    assert attempt.outcome is Outcome.FAILED
    assert "refused by the other end" in attempt.stages[-1].failure
    assert attempt.cause == NOT_PASSED
    assert not world.gateway.lines


@pytest.mark.parametrize("method", [CHAP, PAP], ids=["chap", "pap"])
def test_claims(method: Any) -> None:
    """
    Claims by CHAP and PAP are told as they were made.
    """
    world = makeWorld(encryption="off", methods=(method,))
    world.placeCall(world.connect(), methods=(method,), encryption="off").addErrback(
        lambda failure: None
    )
    world.run(2)
    ((_, _, negotiated),) = world.forwarder.placed
    claim = negotiated.claim
    assert claim is not None and claim.name == b"alice"
    assert (claim.number, claim.algorithm) == (method.number, method.algorithm)
    assert bool(claim.challenge) is (method is CHAP) and claim.response


def test_controlCharacters() -> None:
    """
    What the other end has agreed on with the caller is escaped on the caller's line, whose call it
    is told of.
    """
    world = makeWorld()
    call(world)
    (line,) = world.gateway.lines
    assert world.legs[0].joinedTo is line.call
    channel: Any = line.channel
    assert channel.framing == (False, False, DEFAULT_ACCM, 0)
    world.legs[0].setACCM(0xA0000, 0x1)
    assert channel.framing == (False, False, 0xA0000, 0x1)


def test_failover() -> None:
    """
    The ends are tried in the order of their preference: one that refuses costs no time, one that
    never answers as much as C{timeout}, and is given up.
    """
    ends = (
        Forward("leg", THERE, preference=3),
        Forward("leg", "203.0.113.1", preference=1),
        Forward("leg", "203.0.113.2", preference=2),
    )
    world = makeWorld(Profile("alice", forwards=ends), text="[forwarding]\ntimeout = 2")
    world.forwarder.silent.add("203.0.113.2")
    placed = world.placeCall(world.connect())
    world.run(1.5)
    assert world.forwarder.tried == ["203.0.113.1", "203.0.113.2"]
    assert len(world.gateway.sessions) == 0
    world.run(4.5)
    resultOf(placed)
    assert world.forwarder.tried == ["203.0.113.1", "203.0.113.2", THERE]
    assert world.forwarder.cancelled == ["203.0.113.2"]
    assert len(world.gateway.sessions) == 1


def test_noEndAnswers() -> None:
    """
    A caller whose call no end takes is told to dial again, and not that its password is wrong; the
    log says what each end did.
    """
    ends = (Forward("leg", "203.0.113.1"), Forward("leg", "203.0.113.2", preference=1))
    world = makeWorld(Profile("alice", forwards=ends))
    world.forwarder.silent.add("203.0.113.2")
    placed = world.placeCall(world.connect())
    world.run(8)
    with pytest.raises(CallError, match="dial again later"):
        resultOf(placed)
    (attempt,) = world.gateway.attempts
    failed = [stage for stage in attempt.stages if stage.failure]
    assert [(stage.name, stage.failure) for stage in failed] == [
        (
            "forwarding",
            "no end takes the call; 203.0.113.1: refused by the other end; "
            "203.0.113.2: no answer in time",
        )
    ]
    assert codeOf(attempt.cause) is Termination.SERVICE_UNAVAILABLE
    assert attempt.cause.remedy is Remedy.NOT_PASSED  # type: ignore[attr-defined]
    assert not world.gateway.lines and world.forwarder.cancelled == ["203.0.113.2"]


def test_theCallerHangsUpMeanwhile() -> None:
    """
    A call that ends while another is placed for it gives that one up.
    """
    world = makeWorld(Profile("alice", forwards=(Forward("leg", "203.0.113.2"),)))
    world.forwarder.silent.add("203.0.113.2")
    connection = world.connect()
    world.placeCall(connection).addErrback(lambda failure: None)
    world.run(1)
    assert world.forwarder.tried == ["203.0.113.2"] and world.forwarder.cancelled == []
    (line,) = world.gateway.lines
    line.callEnded(line.call, "the caller is gone")
    assert world.forwarder.cancelled == ["203.0.113.2"]
    assert not world.gateway.lines


def test_theOtherEndHangsUp() -> None:
    """
    When the other end ends its call, that of the caller ends, with that cause.
    """
    world = makeWorld()
    call(world)
    (session,) = world.beyond.gateway.sessions
    session.hangUp("go away")
    world.run(2)
    assert not world.gateway.lines and not world.beyond.gateway.lines
    (attempt,) = world.gateway.attempts
    assert attempt.cause == "the end that the call passed to: the other end hung up: go away"


def test_limits() -> None:
    """
    The limits on a session's time, idleness and volume hold, and end both calls.
    """
    world = makeWorld(
        Profile("alice", forwards=PASSED.forwards, sessionTimeout=60.0),
        Profile("bob", forwards=PASSED.forwards, idleTimeout=100.0),
        Profile("carol", forwards=PASSED.forwards, volume=5000),
    )
    for name in ("alice", "bob"):
        call(world, name)
    carol = call(world, "carol")
    for _ in range(6):
        carol.channel.sendPacket(IPV4, bytes(1000))
    world.rest(4)
    users = {one.user for one in world.gateway.sessions}
    assert users == {"alice", "bob"} == {one.user for one in world.beyond.gateway.sessions}
    world.rest(60)
    assert {one.user for one in world.gateway.sessions} == {"bob"}
    world.rest(80)
    assert len(world.gateway.sessions) == len(world.beyond.gateway.sessions) == 0
    causes = {one.user: codeOf(one.cause) for one in world.gateway.attempts}
    assert causes == {
        "alice": Termination.SESSION_TIMEOUT,
        "bob": Termination.IDLE_TIMEOUT,
        "carol": Termination.NAS_REQUEST,
    }


def test_anEndThatFloods() -> None:
    """
    What the other end sends goes to the caller and nowhere else: no frame is answered or kept here,
    whatever its protocol.
    """
    world = makeWorld()
    world.forwarder.peers[THERE] = None
    world.placeCall(world.connect()).addErrback(lambda failure: None)
    world.run(1)
    (leg,) = [one for one in world.dataPath.channels if one.ends.peerAddress == THERE]
    (line,) = world.gateway.lines
    channel: Any = line.channel
    channel.sent.clear()
    leg.sent.clear()
    world.network.lose = lambda frame: True
    before = line.link.lcp.discarded
    for protocol in (LCP, IPV4, 0x8021, 0xC223, 0x00FD, 0x1235):
        for number in range(500):
            leg.received(protocol, number.to_bytes(2, "big"))
    assert len(channel.sent) == 3000 and leg.sent == []
    assert len(line.attempt.frames) <= 64
    for number in range(500):
        channel.received(LCP, number.to_bytes(2, "big"))
    assert len(leg.sent) == 500 and len(channel.sent) == 3000
    assert line.link.lcp.discarded == before


def test_aProbe() -> None:
    """
    A caller whose PPP ends elsewhere counts as alive: a newer call of its user is refused where
    users may have one session.
    """
    world = makeWorld(text="[limits]\nmax-sessions-per-user = 1")
    call(world)
    with pytest.raises(CallError):
        call(world)
    assert len(world.gateway.sessions) == 1
    (line,) = world.gateway.lines
    assert resultOf(line.probe()) is True


def test_stop() -> None:
    """
    When the gateway stops, both calls end.
    """
    world = makeWorld()
    call(world)
    world.stop()
    assert len(world.legs[0].causes) == 1 and not world.beyond.gateway.lines


def test_freed() -> None:
    """
    Nothing of a call that was passed on is left for the garbage collector.
    """
    world = makeWorld()
    caller = call(world)
    (line,) = world.gateway.lines
    assert isinstance(line, AnsweredLine)
    switch, link, session = line._switch, line.link, line.session
    caller.hangUp("bye")
    world.run(1)
    assert line._switch is None and line.session is None
    assert switch is not None and switch._line is None and switch._channel is None
    references = list(map(weakref.ref, world.dataPath.channels))
    world.dataPath.channels.clear()
    gc.disable()
    try:
        del line, switch, link, session, caller
        assert [reference() for reference in references] == [None, None]
    finally:
        gc.enable()
