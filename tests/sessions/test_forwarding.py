"""
Tests for L{pptpgw.sessions.forwarding}: where calls are passed on to, and in which order.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from zope.interface import alsoProvides

from pptpgw.auth.protocols import CHAP
from pptpgw.config.configuration import Configuration, holdsSecrets, parse
from pptpgw.config.forwarding import Destination, ForwardingSection
from pptpgw.counting.counters import Counters
from pptpgw.error import ConfigurationError, Refused
from pptpgw.interfaces import (
    Forward,
    IBoundCall,
    IDiallingCall,
    IStationCall,
    Negotiated,
    Stations,
)
from pptpgw.log import Quota
from pptpgw.sessions.forwarding import MOST, SECONDS, Forwarding, NotPassed, unapplied
from pptpgw.sessions.profile import Profile
from pptpgw.testing import makeClaim, resultOf
from pptpgw.tunnels.pptp.owner import Ends
from tests.sessions.legs import Forwarder, LegCall

TABLE = '[[forwarding.destination]]\nname = "isp"\ntunnel = "leg"\n'
ENDS = 'endpoints = ["lns1.example", "192.0.2.9"]\n'


class World:
    """
    A gateway's destinations and its one tunnel.
    """

    def __init__(self, *destinations: Destination, timeout: float = 5.0) -> None:
        self.clock = Clock()
        self.section = ForwardingSection(timeout, destinations)
        self.forwarding = Forwarding(
            self.clock, Quota(self.clock, Counters()), self.section, list.reverse
        )
        self.forwarder = Forwarder(self.clock)
        self.forwarding.forwarders = {"leg": self.forwarder}
        self.call: Any = LegCall(self.clock, Ends("192.0.2.1", "192.0.2.7", 1, 2))

    def place(self, ends: Sequence[Forward]) -> Deferred[Any]:
        return self.forwarding.place(ends, Negotiated(), self.call, self.call)


def test_order() -> None:
    """
    Lower preferences come first, and those of the same preference in the order that the shuffle
    gives. No more than L{MOST} are tried.
    """
    world = World()
    ends = [Forward("leg", f"end{number}", preference=number // 2) for number in (4, 0, 1, 2, 5)]
    with pytest.raises(NotPassed):
        resultOf(world.place(ends))
    assert world.forwarder.tried == ["end1", "end0", "end2", "end5", "end4"]
    world.forwarder.placed.clear()
    with pytest.raises(NotPassed):
        resultOf(world.place([Forward("leg", str(number)) for number in range(100)]))
    assert len(world.forwarder.tried) == MOST


def test_time() -> None:
    """
    Each end has its time, and all together have L{SECONDS}.
    """
    world = World(timeout=8.0)
    ends = [Forward("leg", str(number), preference=number) for number in range(5)]
    world.forwarder.silent.update("01234")
    placed = world.place(ends)
    for _ in range(200):
        if not placed.called:
            world.clock.advance(0.125)
    assert world.clock.seconds() == SECONDS
    with pytest.raises(NotPassed, match="2: no answer in time; 3: not tried"):
        resultOf(placed)
    assert world.forwarder.cancelled == ["0", "1", "2"]


def test_cancelled() -> None:
    """
    To cancel it gives up the end that is being tried, and tries no other.
    """
    world = World()
    world.forwarder.silent.add("0")
    placed = world.place([Forward("leg", "0"), Forward("leg", "1", preference=1)])
    placed.cancel()
    with pytest.raises(CancelledError):
        resultOf(placed)
    assert world.forwarder.tried == ["0"] == world.forwarder.cancelled
    assert world.clock.getDelayedCalls() == []


def test_tunnels() -> None:
    """
    A tunnel is named as its plugin is, or by RADIUS's number. If no tunnel leads to any end, the
    caller is refused, as RFC 2868 section 3.1 has it.
    """
    world = World()
    world.forwarder.peers["1"] = None
    passed = resultOf(world.place([Forward(3, "0"), Forward(99, "1", preference=1)]))
    assert passed.forward.endpoint == "1" and passed.call is world.forwarder.calls[0]
    with pytest.raises(Refused, match="0: no tunnel here is 3; 1: no tunnel here is other"):
        resultOf(world.place([Forward(3, "0"), Forward("other", "1", preference=1)]))


def test_destinations() -> None:
    """
    An account's destination is taken first, then that of the realm, whatever its case, and then
    that of what was called.
    """
    world = World(
        Destination("account", "leg", ("a",)),
        Destination("realm", "leg", ("r",), realms=("Isp.Example",)),
        Destination("called", "leg", ("c",), called=("192.0.2.1",)),
        Destination("early", "leg", ("e",), realms=("early.example",), authenticated=False),
    )

    def judged(name: bytes, profile: Profile) -> list[str]:
        claim = makeClaim(CHAP, name)
        assert world.forwarding.unjudged(claim, world.call) == ()
        return [one.endpoint for one in world.forwarding.judged(claim, profile, world.call)]

    claim = makeClaim(CHAP, b"bob@early.example")
    assert world.call.called == "192.0.2.1"
    assert judged(b"x@iSP.example", Profile("x", forward="account")) == ["a"]
    assert judged(b"x@iSP.example", Profile("x")) == ["r"]
    assert judged(b"isp.example", Profile("x")) == judged(b"x@y", Profile("x")) == ["c"]
    assert judged(b"x", Profile("x", forward="account", forwards=(Forward(3, "z"),))) == ["z"]
    assert [one.endpoint for one in world.forwarding.unjudged(claim, world.call)] == ["e"]
    assert world.forwarding.judged(claim, Profile("x"), world.call) == ()
    assert world.forwarding.atOnce(world.call) == ()
    with pytest.raises(Refused, match="no destination 'gone'"):
        judged(b"x", Profile("x", forward="gone"))


def test_whatWasCalled() -> None:
    """
    The number that is to be dialled comes before the one that was called, and both before the
    address.
    """
    world = World(
        *(
            Destination(name, "leg", (name,), called=(called,), authenticated=False)
            for name, called in (("dialled", "555"), ("station", "77"), ("address", "192.0.2.1"))
        )
    )

    def found() -> list[str]:
        return [one.endpoint for one in world.forwarding.atOnce(world.call)]

    assert found() == ["address"]
    world.call.stations = Stations(called="77")
    alsoProvides(world.call, IStationCall)
    assert found() == ["station"]
    world.call.number = "555"
    alsoProvides(world.call, IDiallingCall)
    assert found() == ["dialled"]
    world.call.number = "556"
    assert found() == ["station"]


def test_aBoundCall() -> None:
    """
    A call whose tunnel is bound to its authentication doesn't pass before that. Its caller is
    refused where others would pass then, and passes where its account says so.
    """
    world = World(
        Destination("realm", "leg", ("r",), realms=("isp.example",), authenticated=False),
        Destination("called", "leg", ("c",), called=("192.0.2.1",), authenticated=False),
    )
    alsoProvides(world.call, IBoundCall)
    claim = makeClaim(CHAP, b"x@isp.example")
    assert world.forwarding.atOnce(world.call) == ()
    assert world.forwarding.unjudged(claim, world.call) == ()
    for name, found in ((b"x@isp.example", "realm"), (b"x", "called")):
        claim = makeClaim(CHAP, name)
        with pytest.raises(Refused, match=f"a call by Leg is bound to .* callers of '{found}'"):
            world.forwarding.judged(claim, Profile("x"), world.call)
    ends = (Forward(3, "z"),)
    assert world.forwarding.judged(claim, Profile("x", forwards=ends), world.call) == ends
    restricted = Profile("x", forwards=ends, filter="web")
    with pytest.raises(Refused, match="the filter of x can't be applied"):
        world.forwarding.judged(claim, restricted, world.call)


@pytest.mark.parametrize(
    ("profile", "word"),
    [
        (Profile("x", filter="web"), "filter"),
        (Profile("x", receiveRate=1), "rate"),
        (Profile("x", sendRate=1, encryption="require"), "rate and encryption"),
        (Profile("x", encryption="prefer", sessionTimeout=1.0, volume=1, pool="p"), ""),
    ],
)
def test_unapplied(profile: Profile, word: str) -> None:
    assert (f"the {word} of x can't" in unapplied(profile)) if word else not unapplied(profile)


def test_configuration(tmp_path: Path) -> None:
    """
    A secret stands in the file, which then must be private, or in another one. No text shows it.
    """
    text = TABLE + ENDS + 'secret = "hush"\nhost-name = "pop1"\npeer-name = "lns"\n'
    configuration = parse(text, "test")
    assert holdsSecrets(configuration) and "hush" not in repr(configuration)
    (destination,) = configuration.forwarding.destination
    first, second = destination.forwards()
    assert first == Forward("leg", "lns1.example", b"hush", "pop1", "lns")
    assert (second.endpoint, second.preference) == ("192.0.2.9", 1)
    assert "hush" not in repr(first)
    path = tmp_path / "secret"
    path.write_bytes(b"hush\n")
    path.chmod(0o600)
    text = TABLE + ENDS + f'secret-file = "{path}"\nbalanced = true\n'
    (destination,) = parse(text, "test").forwarding.destination
    assert [one.secret for one in destination.forwards()] == [b"hush"] * 2
    assert [one.preference for one in destination.forwards()] == [0, 0]
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match=r"destination.. isp: .*chmod 600"):
        destination.forwards()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (TABLE, "endpoints"),
        (TABLE + "endpoints = []", "at least one"),
        (TABLE + 'endpoints = ["a b"]', "host names"),
        (TABLE + ENDS + 'secret = ""', "not shown"),
        (TABLE + ENDS + TABLE + ENDS, "name is another entry's"),
        ("[forwarding]\ntimeout = 0.5", "timeout"),
    ],
)
def test_faults(text: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        parse(text, "test")


def test_whatCantBeUsed() -> None:
    """
    Two destinations can't have the same realm, and the tunnel must be one that places calls.
    """
    ends = ("a",)
    with pytest.raises(ConfigurationError, match=r"two: x\.y is that of one, too"):
        World(
            Destination("one", "leg", ends, realms=("X.y",)),
            Destination("two", "leg", ends, realms=("x.Y",)),
        )
    world = World(Destination("one", "arm", ends))
    with pytest.raises(ConfigurationError, match=r"'arm' is none of .* places calls: leg"):
        world.forwarding.assertPlaced(world.section)
    world.forwarding.assertPlaced(Configuration().forwarding)
