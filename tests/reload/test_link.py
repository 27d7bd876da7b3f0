"""
Tests that calls after a reload are served by the new settings of links, and those before it aren't.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pptpgw.auth.protocols import MSCHAPV2, PAP
from pptpgw.config import discovery
from pptpgw.error import CallError
from pptpgw.interfaces import ITunnelFactory, TunnelKind
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.wire.ppp import IPV4, LCP
from pptpgw.sessions.profile import Profile
from pptpgw.testing import resultOf
from tests.reload.world import World, shows

ECHO_REQUEST = 9

TUNNELS = tuple(discovery.installed(ITunnelFactory))


@shows("[link] authentication", "[link] encryption")
def test_authenticationAndEncryption() -> None:
    world = World()
    with pytest.raises(CallError):
        resultOf(world.call(methods=(PAP,), encryption="off"))
    old = resultOf(world.call())
    assert world.line().link.encryption == "MPPE 128 bit stateless"
    world.reload('[link]\nauthentication = ["pap"]\nencryption = "off"')
    resultOf(world.call("bob", methods=(PAP,), encryption="off"))
    assert world.line().authentication == "pap"
    assert world.line().link.encryption == "not encrypted"
    assert (world.line(0).authentication, old.link.encryption) == (
        "mschapv2",
        "MPPE 128 bit stateless",
    )


@shows("[link] mru")
def test_mru() -> None:
    """
    The gateway asks for the new MRU, and sends no larger packets.
    """
    world = World()
    old = resultOf(world.call())
    world.reload("[link]\nmru = 1200")
    new = resultOf(world.call("bob"))
    channels: list[Any] = [world.line(number).channel for number in (0, 1)]
    mtus = [one.networks[IPV4].mtu for one in channels]
    assert mtus == [1400, 1200]
    assert [peerMRU(one) for one in (old, new)] == [1400, 1200]


def peerMRU(call: ClientCall) -> int:
    """
    The MRU that the gateway has asked the caller to keep to.
    """
    return call.link.lcp.peerMRU


@shows("[link] echo-interval")
def test_echoes() -> None:
    world = World()
    resultOf(world.call())
    world.reload("[link]\necho-interval = 5")
    resultOf(world.call("bob"))
    world.run(12, 0.01)
    old, new = (echoes(world.line(number)) for number in (0, 1))
    assert old == 0 < new


def echoes(line: Any) -> int:
    """
    The number of Echo-Requests that a line has sent.
    """
    return sum(
        protocol == LCP and information[0] == ECHO_REQUEST
        for protocol, information in line.channel.sent
    )


@shows("[link] echo-failures")
def test_echoFailures() -> None:
    """
    With 5 s and one failure a silent peer is noticed in ten seconds.
    """
    world = World("[link]\necho-interval = 5\necho-failures = 0")
    resultOf(world.call())
    world.reload("[link]\necho-interval = 5\necho-failures = 1")
    resultOf(world.call("bob"))
    world.network.lose = lambda frame: True
    world.run(20, 0.1)
    assert [one.user for one in world.service.sessions] == ["alice"]


@shows("[link] quality-reports")
def test_qualityReports() -> None:
    world = World()
    resultOf(world.call(qualityReports=1))
    world.reload("[link]\nquality-reports = 2")
    resultOf(world.call("bob", qualityReports=1))
    world.run(5, 0.01)
    found = [one.quality() for one in world.service.sessions]
    assert found[0] is None and found[1] is not None
    assert [world.line(number).link.lcp.reportedEvery for number in (0, 1)] == [0, 2]


@shows("[link] quality-loss")
def test_qualityLoss() -> None:
    """
    Where everything gets lost, a session with such a limit ends before one without.
    """
    world = World("[link]\nquality-reports = 1")
    resultOf(world.call(qualityReports=1))
    world.reload("[link]\nquality-reports = 1\nquality-loss = 20")
    resultOf(world.call("bob", qualityReports=1))
    world.network.lose = lambda frame: True
    world.run(20, 0.1)
    assert [one.user for one in world.service.sessions] == ["alice"]


@shows("[link] compression")
def test_compression() -> None:
    world = World('[link]\nencryption = "off"\n')
    resultOf(world.call(encryption="off", compression=("deflate",)))
    world.reload('[link]\nencryption = "off"\ncompression = ["deflate"]\n')
    resultOf(world.call("bob", encryption="off", compression=("deflate",)))
    channels: list[Any] = [world.line(number).channel for number in (0, 1)]
    assert [bool(one.compression[0]) for one in channels] == [False, True]


@shows("[link] multilink", "[link] mrru", "[link] short-sequence-numbers")
def test_multilink() -> None:
    """
    Links to come are asked for bundles, if their data path can carry them.
    """
    world = World()
    resultOf(world.call())
    world.reload("[link]\nmultilink = true\nmrru = 2000\nshort-sequence-numbers = true")
    resultOf(world.call("bob"))
    old, new = (world.line(number).link.settings for number in (0, 1))
    assert (old.mrru, old.shortNumbers) == (0, False)
    assert (new.mrru, new.shortNumbers) == (2000, True)
    assert world.service._environment.mru == 2000


@shows("[limits] max-links")
def test_maxLinks() -> None:
    world = World()
    world.reload("[limits]\nmax-links = 3")
    assert world.gateway.lines.limits.maxLinks == 3


@shows("[link] setup-timeout")
def test_setupTimeout() -> None:
    world = World()
    world.reload("[link]\nsetup-timeout = 5")
    world.network.lose = lambda frame: True
    world.placeCall(world.connect()).addErrback(lambda failure: None)
    world.run(4, 0.1)
    assert len(world.gateway.lines) == 1
    world.run(8, 0.1)
    assert not world.gateway.lines


@shows("[link] rechallenge")
def test_rechallenge() -> None:
    world = World()
    resultOf(world.call())
    world.reload("[link]\nrechallenge = 30")
    resultOf(world.call("bob"))
    world.run(40, 0.01)
    assert world.users.asked == ["alice", "bob", "bob"]


@shows("[link] name")
def test_name() -> None:
    """
    Callers see it in the challenge.
    """
    world = World()
    resultOf(world.call())
    world.reload('[link]\nname = "gate"')
    resultOf(world.call("bob"))
    channels: list[Any] = [world.line(number).channel for number in (0, 1)]
    names = [any(information.endswith(b"gate") for _, information in one.sent) for one in channels]
    assert names == [False, True]


@shows("[link] user", "[link] password-file")
def test_identity(tmp_path: Path) -> None:
    """
    The gateway authenticates itself to callers to come that demand it.
    """
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text("north wind")
    world = World()
    resultOf(world.call())
    world.reload(f'[link]\nuser = "north"\npassword-file = "{password}"')
    resultOf(world.call("bob"))
    before, after = (world.line(number).link.settings.identity for number in (0, 1))
    assert before is None and after is not None
    assert (after.name, after.password) == (b"north", b"north wind")


@shows("[link] encryption-bits", "[link] encryption-stateful")
@pytest.mark.parametrize(
    ("keys", "options", "text"),
    [
        ("encryption-bits = [40]", {"bits": (128, 40)}, "MPPE 40 bit stateless"),
        ("encryption-stateful = true", {"stateful": True}, "MPPE 128 bit stateless"),
    ],
)
def test_mppe(keys: str, options: dict[str, Any], text: str) -> None:
    world = World()
    resultOf(world.call(**options))
    before = world.line().link.settings
    world.reload(f"[link]\n{keys}")
    resultOf(world.call("bob", **options))
    assert world.line().link.encryption == text
    assert world.line(0).link.settings == before
    assert (before.bits, before.stateful) == ((128,), False)
    after = world.line().link.settings
    assert (after.bits, after.stateful) != (before.bits, before.stateful)


@shows("[link] encryption-relaxable")
def test_relaxable() -> None:
    """
    An account may do without encryption that is required, from then on.
    """
    world = World(profiles=[Profile("carol", encryption="off")])
    resultOf(world.call("carol"))
    world.reload("[link]\nencryption-relaxable = true")
    resultOf(world.call("carol", encryption="off"))
    assert [one.link.encryption for one in world.gateway.lines] == [
        "MPPE 128 bit stateless",
        "not encrypted",
    ]


@shows("[limits] pap-clients")
def test_papClients() -> None:
    text = '[link]\nauthentication = ["pap"]\nencryption = "off"\n'
    world = World(text)
    resultOf(world.call(methods=(PAP,), encryption="off"))
    world.reload(text + '[limits]\npap-clients = ["198.51.100.0/24"]')
    with pytest.raises(CallError):
        resultOf(world.call("bob", methods=(PAP, MSCHAPV2), encryption="off"))


@shows(*(f"[{name}] {key}" for name in TUNNELS for key in ("authentication", "encryption")))
@pytest.mark.parametrize("name", TUNNELS)
def test_whatATunnelOffers(name: str) -> None:
    """
    Calls to come are offered what the section of their tunnel says now.
    """
    world = World()
    call: Any = SimpleNamespace(
        tunnel=TunnelKind(name, name), encrypted=False, accm=None, caller="192.0.2.1"
    )
    assert world.gateway.settingsFor(call).encryption == "require"
    world.reload(f'[{name}]\nauthentication = ["pap"]\nencryption = "off"')
    settings = world.gateway.settingsFor(call)
    assert [one.name for one in settings.methods] == ["pap"]
    assert settings.encryption == "off"


def test_aTunnelOffersPAP() -> None:
    """
    A call by PPTP is offered what C{[pptp]} permits, and what it hasn't is refused before that.
    """
    world = World()
    with pytest.raises(CallError):
        resultOf(world.call(methods=(PAP,), encryption="off"))
    world.reload('[pptp]\nauthentication = ["pap"]\nencryption = "off"')
    resultOf(world.call("bob", methods=(PAP,), encryption="off"))
    assert world.line().authentication == "pap"
