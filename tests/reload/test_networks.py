"""
Tests that sessions after a reload get what the sections of networks and tunnels say then.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pptpgw.config.configuration import parse
from pptpgw.error import CallError, ConfigurationError
from pptpgw.interfaces import Effect
from pptpgw.networks.ipv6.routed import RoutedIPV6CP
from pptpgw.sessions.profile import Profile
from pptpgw.testing import CALLER, makeProtocol, resultOf
from pptpgw.tunnels.hdlc.call import HDLC
from pptpgw.tunnels.sstp.certificate import make
from tests.reload.world import World, shows


def settings(world: World, number: int = -1) -> Any:
    """
    What one of the sessions has of IPv4.
    """
    line: Any = world.line(number)
    (protocol,) = (protocol for _, protocol in line._made)
    return protocol.settings


@shows("[ipv4] pool", "[ipv4] pools", "[ipv4] unknown-pool", "[ipv4] dns", "[ipv4] wins")
def test_ipv4() -> None:
    world = World(profiles=[Profile("bob", pool="other"), Profile("carol", pool="none")])
    resultOf(world.call())
    with pytest.raises(CallError):
        resultOf(world.call("bob"))
    text = """
    [ipv4]
    pool = ["10.78.0.10"]
    unknown-pool = "default"
    dns = ["192.0.2.53"]
    wins = ["192.0.2.42"]
    [[ipv4.pools]]
    name = "other"
    ranges = ["10.79.0.10"]
    """
    world.reload(text)
    resultOf(world.call("bob"))
    resultOf(world.call("carol"))
    found = [settings(world, number) for number in range(3)]
    assert [one.peerAddress for one in found] == ["10.77.0.10", "10.79.0.10", "10.78.0.10"]
    assert [(one.dns, one.wins) for one in found[1:]] == [(("192.0.2.53",), ("192.0.2.42",))] * 2
    assert (found[0].dns, found[0].wins) == ((), ())


@shows("[ipv4] header-compression")
def test_headerCompression() -> None:
    """
    The headers of lines to come. (Those of PPTP are never compressed.)
    """
    world = World()
    (network,) = world.service.networks.values()
    line = replace(CALLER, tunnel=HDLC)
    for value in ("no", "vj"):
        world.reload(f'[ipv4]\nheader-compression = "{value}"\n')
        protocol = makeProtocol(network, Profile(value), line)
        assert protocol.settings.compressHeaders is (value == "vj")


@shows(
    "[ipv6] dhcp",
    "[ipv6] managed",
    "[ipv6] dns",
    "[ipv6] search",
    "[ipv6] preferred-lifetime",
    "[ipv6] valid-lifetime",
)
def test_ipv6() -> None:
    """
    The advertisements of sessions to come, and whether they have a DHCPv6 server.
    """
    text = '[network]\nprotocols = ["ipv6"]\n'
    world = World(text)
    (network,) = world.service.networks.values()
    old: RoutedIPV6CP = makeProtocol(network, Profile("alice"), CALLER)
    world.reload(
        text + '[ipv6]\nmanaged = true\ndns = ["2001:db8::53"]\nsearch = ["example.com"]\n'
        "preferred-lifetime = 2000\nvalid-lifetime = 3000\n"
    )
    new: RoutedIPV6CP = makeProtocol(network, Profile("bob"), CALLER)
    before, after = old._advertisement, new._advertisement
    assert (before.managed, before.dns, before.search) == (False, (), ())
    assert (after.managed, after.search) == (True, ("example.com",))
    assert [str(one) for one in after.dns] == ["2001:db8::53"]
    (prefix,) = after.prefixes
    assert (prefix.preferred, prefix.valid) == (2000, 3000)
    assert old.dhcp is not None and new.dhcp is not None
    world.reload(text + "[ipv6]\ndhcp = false\n")
    assert makeProtocol(network, Profile("carol"), CALLER).dhcp is None


def test_ipv6NeedsItsMRU() -> None:
    """
    What the plugins object to isn't applied, whatever section it is in.
    """
    text = '[network]\nprotocols = ["ipv6"]\n'
    world = World(text)
    with pytest.raises(Exception, match=r"\[link\] mru = 1000: IPv6 needs 1284"):
        world.reload(text + "[link]\nmru = 1000")


def test_anMRUThatADeviceHas() -> None:
    """
    A network with a device that all sessions share keeps the MRU of all.
    """
    text = '[network]\nprotocols = ["ipv4", "bridge"]\n'
    world = World(text)
    (change,) = world.service.wouldChange(parse(text + "[link]\nmru = 1200", "x")).changes
    assert (change.name, change.effect) == ("[link] mru", Effect.RESTART)
    assert change.reason == "bridge is made for packets of one size"


@shows("[hdlc] accm", "[hdlc] chat")
def test_lines() -> None:
    text = '[listen]\ntunnels = ["hdlc"]\n[hdlc]\nendpoints = ["tcp:2000"]\n'
    world = World(text)
    tunnel: Any = world.service.tunnels["hdlc"]

    def accm() -> int:
        number: int = tunnel.factory.buildProtocol(None)._accm
        return number

    assert accm() == 0
    world.reload(text + "accm = 0xa0000\nchat = \"'' ATD CONNECT\"\n")
    assert accm() == tunnel._dialler.accm == 0xA0000
    assert tunnel._dialler.chat == "'' ATD CONNECT"


@shows(*(f"[sstp] {key}" for key in ("certificate", "key", "otherwise", "opening-timeout")))
def test_SSTP(tmp_path: Path) -> None:
    """
    Connections to come have another certificate, time and answer.
    """
    made = [tmp_path / name for name in ("old.pem", "new.pem")]
    for path in made:
        make(str(path), "vpn.example.org")
    text = '[listen]\ntunnels = ["sstp"]\n[sstp]\n'
    world = World(f'{text}certificate = "{made[0]}"\n')
    tunnel: Any = world.service.tunnels["sstp"]
    factory = tunnel.factory
    old = factory.buildProtocol(None)
    world.reload(
        f'{text}certificate = "{made[1]}"\nkey = "{made[1]}"\nopening-timeout = 5\n'
        'otherwise = "https://www.example.org/"\n'
    )
    new = factory.buildProtocol(None)
    assert old.certificate.der != new.certificate.der
    assert (factory.openingTimeout, b"www.example.org" in factory.otherwise.answer) == (5, True)
    with pytest.raises(ConfigurationError, match=r"\[sstp\] key"):
        world.reload(f'{text}certificate = "{made[0]}"\nkey = "{made[1]}"\n')
