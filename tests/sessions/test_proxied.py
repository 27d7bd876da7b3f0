"""
Tests for calls that another gateway passes on to this one: what it has negotiated with the caller
is taken over where it fits, and who calls is told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from pptpgw.auth.protocols import CHAP, MSCHAP, MSCHAPV2, PAP
from pptpgw.config.section import LimitsSection
from pptpgw.error import CallError
from pptpgw.interfaces import Forward, IAuthenticationProtocol, Stations
from pptpgw.ppp.wire.ppp import CONFIGURE_REQUEST, IPV4, LCP
from pptpgw.sessions.diagnosis import explain
from pptpgw.sessions.profile import Profile
from pptpgw.testing import resultOf
from tests.reload.world import Users
from tests.sessions.legs import PassingWorld

THERE = "198.51.100.1"
PASSED = Profile("alice", forwards=(Forward("leg", THERE),))
EARLY = """
[[forwarding.destination]]
name = "isp"
tunnel = "leg"
endpoints = ["198.51.100.1"]
realms = ["isp.example"]
authenticated = false
"""


class Strict(Users):
    """
    A checker that knows nobody.
    """

    def requestAvatarId(self, credentials: Any) -> Any:
        credentials.checkPassword = lambda password: False
        return super().requestAvatarId(credentials)


def makeWorld(
    *methods: IAuthenticationProtocol,
    text: str = "",
    beyond: Users | None = None,
    **there: Any,
) -> PassingWorld:
    """
    Make a gateway that passes calls on, and one that believes it, with C{methods}.
    """
    plain = {"encryption": "off", "methods": methods} if methods else {}
    world = PassingWorld(text, [Users((PASSED,))], [beyond or Users()], {**plain, **there}, **plain)
    world.forwarder.believed = "pop"
    return world


def call(
    world: PassingWorld,
    name: bytes = b"alice",
    methods: tuple[IAuthenticationProtocol, ...] = (MSCHAPV2,),
    **options: Any,
) -> Any:
    placed = world.placeCall(world.connect(), name, methods=methods, encryption="prefer", **options)
    world.run(12)
    return resultOf(placed)


def codes(world: PassingWorld, protocol: int) -> Sequence[int]:
    """
    The codes of the packets of a protocol that the gateway beyond exchanged with the last caller.
    """
    frames = next(iter(world.beyond.gateway.attempts)).frames
    return [one.information[0] for one in frames if one.protocol == protocol]


def negotiates(world: PassingWorld) -> bool:
    """
    Whether the gateway beyond has negotiated LCP with the last caller.
    """
    return CONFIGURE_REQUEST in codes(world, LCP)


@pytest.mark.parametrize("method", [CHAP, MSCHAP, MSCHAPV2, PAP], ids=lambda one: one.name)
def test_taken(method: IAuthenticationProtocol) -> None:
    """
    The other gateway neither negotiates LCP nor asks for a password: it judges the claim that the
    caller has made here, tells it the verdict, and opens its network.
    """
    users = Users()
    world = makeWorld(method, beyond=users)
    caller = call(world, methods=(method,))
    (session,) = world.beyond.gateway.sessions
    assert (session.user, session.authentication) == ("alice", method.name)
    assert users.asked == ["alice"]
    assert not negotiates(world)
    # A Success, or an Authenticate-Ack.
    assert codes(world, method.number) == [2 if method is PAP else 3]
    (line,) = world.beyond.gateway.lines
    (own,) = world.gateway.sessions
    ours, theirs = line.link.lcp.agreement, caller.link.lcp.agreement
    assert ours is not None and (ours.ours, ours.peers) == (theirs.peers, theirs.ours)
    before = session.counters.packetsReceived
    caller.channel.sendPacket(IPV4, bytes(100))
    world.run(0.1)
    assert session.counters.packetsReceived == before + 1
    assert own.authentication == method.name
    caller.hangUp("bye")
    world.run(1)
    assert not world.gateway.lines and not world.beyond.gateway.lines


def test_withKeys() -> None:
    """
    The claim earns the keys for encryption, which begins between the caller and the other gateway.
    """
    world = makeWorld()
    call(world)
    assert not negotiates(world)
    (session,) = world.beyond.gateway.sessions
    assert "MPPE 128" in session.encryption


def test_judgedThereAlone() -> None:
    """
    A claim that nobody here has judged is judged there.
    """
    users = Users()
    world = makeWorld(text=EARLY, beyond=users)
    call(world, b"alice@isp.example")
    assert users.asked == ["alice@isp.example"] and not negotiates(world)
    assert [one.user for one in world.beyond.gateway.sessions] == ["alice@isp.example"]


@pytest.mark.parametrize("method", [CHAP, PAP], ids=lambda one: one.name)
def test_refusedThere(method: IAuthenticationProtocol) -> None:
    """
    A claim that is false there is answered as such, and counted against the number that calls and
    the user. The caller's address is nobody's.
    """
    limits = LimitsSection(maxFailures=2, maxFailuresPerSource=3)
    world = makeWorld(method, beyond=Strict(), limits=limits)
    world.forwarder.stations = Stations("030123")
    lockout = world.beyond.gateway.context.lockout
    for _ in range(2):
        with pytest.raises(CallError):
            call(world, methods=(method,))
    assert [(one.kind, one.subject) for one in lockout] == [("user", "alice")]


def test_callersOfOneConcentrator() -> None:
    """
    The callers of an access concentrator are told apart by their numbers: one who guesses locks out
    its own number, and one without a number nobody but the user whose password it guesses.
    """
    limits = LimitsSection(maxFailures=0, maxFailuresPerSource=3)
    world = makeWorld(text=EARLY, limits=limits)
    lockout = world.beyond.gateway.context.lockout
    for number in ("", "030123"):
        world.forwarder.stations = Stations(number)
        for _ in range(3):
            with pytest.raises(CallError):
                call(world, b"mallory@isp.example", password=b"guess")
    assert [one.subject for one in lockout] == ["030123@pop"]
    with pytest.raises(CallError):
        call(world, b"alice@isp.example")
    gateway = world.beyond.gateway
    states = [SimpleNamespace(kind="source", subject=one.subject, until=1e9) for one in lockout]
    found = explain("mallory@isp.example", gateway.attempts, world.clock.seconds(), lockouts=states)
    assert found[0].text.startswith("The source '030123@pop' is locked out")
    assert any("from 030123@pop by leg" in one.text for one in found)
    world.forwarder.stations = Stations("030999")
    call(world, b"alice@isp.example")


@pytest.mark.parametrize(
    "there",
    [{"methods": (CHAP,), "encryption": "off"}, {"mru": 1200}],
    ids=["method", "mru"],
)
def test_renegotiated(there: dict[str, Any]) -> None:
    """
    What doesn't satisfy the settings there is negotiated anew.
    """
    world = makeWorld(**there)
    call(world, methods=(MSCHAPV2, CHAP))
    assert negotiates(world)
    (line,) = world.beyond.gateway.lines
    assert line.link.lcp.mru <= there.get("mru", 1400)
    (session,) = world.beyond.gateway.sessions
    assert session.authentication == there.get("methods", (MSCHAPV2,))[0].name


@pytest.mark.parametrize(
    "changes",
    [
        {"claim": None},
        {"challenge": b"short"},
        {"response": b"short"},
        {"number": 0xC227},
        {"algorithm": b"\x80"},
    ],
    ids=str,
)
def test_claimsThatCannotBeTaken(changes: dict[str, Any]) -> None:
    """
    Without a claim that can be judged only the authentication is done anew.
    """
    world = makeWorld()
    place = world.forwarder.place

    def changed(forward: Any, negotiated: Any, caller: Any, owner: Any) -> Any:
        claim = None if "claim" in changes else replace(negotiated.claim, **changes)
        return place(forward, replace(negotiated, claim=claim), caller, owner)

    world.forwarder.place = changed  # type: ignore[method-assign]
    call(world)
    assert not negotiates(world)
    # A Challenge, a Response and a Success.
    assert codes(world, MSCHAPV2.number) == [1, 2, 3]


def test_aClaimThatIsRepeated() -> None:
    """
    A claim that was recorded gets nobody in: who repeats it must answer a challenge of ours.
    """
    world = makeWorld()
    place = world.forwarder.place
    recorded: list[Any] = []

    def repeated(forward: Any, negotiated: Any, caller: Any, owner: Any) -> Any:
        recorded.append(negotiated.claim)
        return place(forward, replace(negotiated, claim=recorded[0]), caller, owner)

    world.forwarder.place = repeated  # type: ignore[method-assign]
    call(world)
    assert codes(world, MSCHAPV2.number) == [3]
    call(world)
    assert not negotiates(world)
    assert codes(world, MSCHAPV2.number) == [1, 2, 3]


def test_theCallerNegotiatesAnew() -> None:
    """
    When the caller negotiates LCP anew, it must authenticate anew, too.
    """
    users = Users()
    world = makeWorld(beyond=users)
    caller = call(world)
    caller.link.lcp.askAgain()
    caller.link.lcp.received(b"\x01\x63\x00\x04")
    world.run(6)
    assert negotiates(world)
    assert users.asked == ["alice", "alice"]


def test_stations() -> None:
    """
    The session beyond has the numbers that the access concentrator tells, and its name.
    """
    world = makeWorld()
    world.forwarder.stations = Stations("030123", "0190")
    call(world)
    (session,) = world.beyond.gateway.sessions
    assert (session.stations, session.concentrator) == (Stations("030123", "0190"), "pop")
    assert session.caller == "192.0.2.1"
    (own,) = world.gateway.sessions
    assert own.stations == Stations() and own.concentrator == ""
    assert own.passedTo is not None and own.passedTo.connection == session.ends.connection == "1"
    assert session.passedTo is None
