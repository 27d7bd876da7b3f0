"""
Tests that the limits and filters of a reload apply to calls to come and, where they can, to the
current sessions.
"""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.address import IPv4Address as Address
from twisted.internet.defer import Deferred

from pptpgw.config.section import LimitsSection
from pptpgw.error import CallError
from pptpgw.ppp.wire.ppp import IPV4
from pptpgw.sessions.profile import Profile
from pptpgw.testing import resultOf
from tests.reload.world import World, shows

WEB = "permit tcp from any to any port 80"
ALL = "permit ip from any to any"


def refused(world: World, name: str, **options: Any) -> str:
    """
    Place a call that is refused, and return why.
    """
    with pytest.raises(CallError):
        resultOf(world.call(name, **options))
    return world.causes()[0]


@shows("[limits] max-sessions", "[limits] max-sessions-per-source")
@pytest.mark.parametrize("key", ["max-sessions", "max-sessions-per-source"])
def test_numbersOfSessions(key: str) -> None:
    """
    The current sessions stay, even if there are more than the new limit permits.
    """
    world = World()
    for name in ("alice", "bob"):
        resultOf(world.call(name))
    world.reload(f"[limits]\n{key} = 1")
    assert f"[limits] {key}" in refused(world, "carol")
    assert len(world.service.sessions) == 2
    world.reload()
    resultOf(world.call("carol"))


@shows("[limits] max-sessions-per-user", "[limits] per-user")
def test_sessionsOfOneUser() -> None:
    world = World()
    resultOf(world.call())
    world.reload("[limits]\nmax-sessions-per-user = 1")
    assert "may have 1" in refused(world, "alice")
    world.reload('[limits]\nmax-sessions-per-user = 1\nper-user = "replace"')
    resultOf(world.call())
    assert len(world.service.sessions) == 1


@shows("[limits] max-setups", "[limits] max-setups-per-source")
@pytest.mark.parametrize(
    ("key", "second"), [("max-setups", "192.0.2.8"), ("max-setups-per-source", "192.0.2.7")]
)
def test_callsBeingSetUp(key: str, second: str) -> None:
    """
    A second call that is being set up is refused, or displaces the first one.
    """
    world = World()
    world.reload(f"[limits]\n{key} = 1")
    world.network.lose = lambda frame: True
    for address in ("192.0.2.7", second):
        placed = world.placeCall(world.connect(address))
        placed.addErrback(lambda failure: None)
        world.run(0.1)
    assert len(world.gateway.lines) == 1
    world.reload()
    world.placeCall(world.connect(second)).addErrback(lambda failure: None)
    world.run(0.1)
    assert len(world.gateway.lines) == 2


@shows("[limits] session-timeout")
def test_sessionTimeout() -> None:
    """
    The current session ends by the new limit, as if it had begun with that.
    """
    world = World()
    resultOf(world.call())
    world.rest(100)
    world.reload("[limits]\nsession-timeout = 150")
    world.rest(40)
    assert len(world.service.sessions) == 1
    world.rest(20)
    assert len(world.service.sessions) == 0


def test_aLimitThatIsRaised() -> None:
    world = World("[limits]\nsession-timeout = 50")
    resultOf(world.call())
    world.reload("[limits]\nsession-timeout = 100")
    world.rest(80)
    assert len(world.service.sessions) == 1
    world.rest(30)
    assert len(world.service.sessions) == 0


@shows("[limits] idle-timeout")
def test_idleTimeout() -> None:
    world = World()
    resultOf(world.call())
    world.reload("[limits]\nidle-timeout = 20")
    world.rest(30)
    assert len(world.service.sessions) == 0


@shows("[limits] volume")
def test_volume() -> None:
    world = World()
    resultOf(world.call())
    (session,) = world.service.sessions
    session.counters.octetsReceived += 1000
    world.reload("[limits]\nvolume = 900")
    world.rest(5)
    assert len(world.service.sessions) == 0


@shows("[limits] max-failures", "[limits] max-failures-per-source", "[limits] lockout")
@pytest.mark.parametrize(
    ("key", "user"), [("max-failures", "alice"), ("max-failures-per-source", "bob")]
)
def test_lockouts(key: str, user: str) -> None:
    """
    One wrong password locks the user, or the source, out, for as long as the new file says.
    """
    world = World()
    world.reload(f"[limits]\n{key} = 1\nlockout = 60")
    world.call(password=b"wrong").addErrback(lambda failure: None)
    world.run(10, 0.1)
    asked = len(world.users.asked)
    world.call(user).addErrback(lambda failure: None)
    world.run(10, 0.1)
    assert len(world.users.asked) == asked
    world.rest(60)
    resultOf(world.call(user))


@shows("[limits] known-sources")
def test_knownSources() -> None:
    world = World()
    for number in (7, 8):
        placed = world.placeCall(world.connect(f"192.0.2.{number}"))
        world.run(0.5)
        resultOf(placed)
    world.reload("[limits]\nknown-sources = 1")
    known = world.gateway.context.known
    assert ("192.0.2.7" in known, "192.0.2.8" in known) == (False, True)


@shows("[limits] attempts")
def test_attempts() -> None:
    world = World()
    for name in ("alice", "bob", "carol"):
        resultOf(world.call(name)).hangUp("enough")
        world.run(5, 0.1)
    assert len(world.gateway.attempts) == 3
    world.reload("[limits]\nattempts = 1")
    assert len(world.gateway.attempts) == 1
    world.reload("[limits]\nattempts = 0")
    assert len(world.gateway.attempts) == 0


def filters(**named: str) -> str:
    """
    The tables of filters, each with one rule.
    """
    return "\n".join(
        f'[[network.filter]]\nname = "{name}"\nrules = ["{rule}"]' for name, rule in named.items()
    )


PACKET = bytes.fromhex("4500001c00000000401100000a4d000a08080808 0035003500080000")
"""
A datagram to a name server.
"""


def passes(world: World) -> bool:
    """
    Whether the current session may send a packet.
    """
    channel: Any = world.line().channel
    permits = channel.networks[IPV4].permits
    return permits is None or permits(PACKET)


@shows("[network] filter")
def test_filters() -> None:
    """
    A filter with other rules applies to current sessions from the next packet on. One that is gone
    lets nothing pass, and nobody in.
    """
    world = World(filters(office=ALL), profiles=[Profile("alice", filter="office")])
    resultOf(world.call())
    assert passes(world)
    world.reload(filters(office=WEB))
    assert not passes(world)
    world.reload(filters(office=ALL))
    assert passes(world)
    world.reload()
    assert not passes(world)
    assert "there is no filter" in refused(world, "alice")
    world.reload(filters(office=ALL))
    assert passes(world)


def test_aFilterThatChangesWhileACallerIsLetIn() -> None:
    """
    The session has the rules of the last reload, even if the user had been judged before it.
    """
    world = World(filters(office=ALL), profiles=[Profile("alice", filter="office")])
    network: Any = world.service.networks["ipv4"]
    make, waiting = network.makeProtocol, list[Deferred[Any]]()

    def later(*arguments: Any) -> Deferred[Any]:
        waiting.append(Deferred())
        return waiting[0].addCallback(lambda _: make(*arguments))

    network.makeProtocol = later
    placed = world.call()
    assert (len(waiting), len(world.service.sessions)) == (1, 0)
    world.reload(filters(office=WEB))
    waiting[0].callback(None)
    world.run(2)
    resultOf(placed)
    assert not passes(world)


def test_theSessionsOfAFilterThatIsGone(log: list[str]) -> None:
    """
    They are counted, not named one by one.
    """
    names = ("alice", "bob")
    world = World(filters(office=ALL), profiles=[Profile(name, filter="office") for name in names])
    for name in names:
        resultOf(world.call(name))
    world.reload()
    assert "there is no filter 'office' any more: nothing passes for 2 sessions" in log


def test_aSessionWithoutAGateThatComesToNeedOne() -> None:
    """
    It can't be filtered, so it ends, and has a gate when it calls again.
    """
    world = World()
    resultOf(world.call())
    world.reload(filters(office=WEB))
    (session,) = world.service.sessions
    session.change(Profile("alice", filter="office"))
    world.run(5, 0.1)
    assert len(world.service.sessions) == 0


@shows(
    "[listen] clients",
    "[listen] max-connections",
    "[listen] max-connections-per-host",
    "[listen] max-silent-connections",
)
@pytest.mark.parametrize(
    "text",
    [
        'clients = ["198.51.100.0/24"]',
        "max-connections = 1",
        "max-connections-per-host = 1",
        "max-silent-connections = 1",
    ],
)
def test_connections(text: str) -> None:
    """
    New connections are judged by the new limits.
    """
    world = World()
    tunnel: Any = world.service.tunnels["pptp"]

    def connect() -> bool:
        protocol = tunnel._control.buildProtocol(Address("TCP", "192.0.2.7", 1024))
        if protocol is not None:
            tunnel._entrance.opened(protocol, "192.0.2.7")
        return protocol is not None

    assert connect()
    world.reload(f"[listen]\n{text}")
    assert not connect()
    world.reload()
    assert connect()


@shows("[pptp] max-calls-per-connection", "[pptp] handshake-timeout", "[pptp] call-timeout")
def test_controlConnections() -> None:
    world = World()
    tunnel: Any = world.service.tunnels["pptp"]
    old = tunnel._control.buildConnection("192.0.2.1", "192.0.2.7")
    world.reload("[pptp]\nmax-calls-per-connection = 2\nhandshake-timeout = 3\ncall-timeout = 4")
    new = tunnel._control.buildConnection("192.0.2.1", "192.0.2.7")
    assert (new.settings.maximumCalls, old.settings.maximumCalls) == (2, 64)
    assert (new.settings.handshakeTimeout, new.settings.firstCallTimeout) == (3, 4)


@shows("[pptp] access-concentrators")
def test_accessConcentrators() -> None:
    """
    A PAC that is named may offer calls from now on, and one that isn't any more may not.
    """
    world = World()
    tunnel: Any = world.service.tunnels["pptp"]
    answering = tunnel._answering
    assert not answering.mayOffer("192.0.2.7")
    world.reload('[pptp]\naccess-concentrators = ["192.0.2.0/29"]')
    assert answering.mayOffer("192.0.2.7") and not answering.mayOffer("192.0.2.8")
    world.reload()
    assert not answering.mayOffer("192.0.2.7")


@shows("[listen] drain-timeout")
def test_drainTimeout() -> None:
    """
    When the gateway stops, a call that doesn't end is given the new time.
    """
    world = World()
    resultOf(world.call())
    world.reload("[listen]\ndrain-timeout = 20")
    world.network.lose = lambda frame: True
    (calls,) = (one for one in world.service.services if one.name == "calls")
    calls.startService()
    assert calls.stopSeconds > 20
    stopped: list[object] = []
    calls.stopService().addCallback(stopped.append)
    # By default it would be abandoned after 5 s.
    world.rest(5.5)
    assert stopped == []
    world.rest(20)
    assert stopped == [None]


def test_theDefaultsOfTheSection() -> None:
    """
    Nothing stays of limits that the file doesn't have any more.
    """
    world = World("[limits]\nmax-sessions = 1\nsession-timeout = 50")
    world.reload()
    assert world.gateway.lines.limits == LimitsSection()
