"""
Tests for L{pptpgw.sessions.offers}, and for what the sections of tunnels say of them.
"""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.task import Clock

from pptpgw.auth.judging import offersOf
from pptpgw.auth.protocols import CHAP, MSCHAPV2, PAP
from pptpgw.config import discovery
from pptpgw.config.configuration import parse
from pptpgw.config.environment import Environment
from pptpgw.config.section import TunnelSection
from pptpgw.error import Category, ConfigurationError, Refused
from pptpgw.interfaces import ITunnelFactory, TunnelKind
from pptpgw.ppp.settings import LinkSettings
from pptpgw.sessions.offers import Offers
from pptpgw.sessions.remedy import Remedy

TUNNELS: dict[str, Any] = discovery.installed(ITunnelFactory)


def call(tunnel: str, encrypted: bool = False, accm: int | None = None) -> Any:
    """
    What the offers look at of a call.
    """
    return SimpleNamespace(tunnel=TunnelKind(tunnel, tunnel), encrypted=encrypted, accm=accm)


def offers(text: str) -> Offers:
    """
    What a configuration offers.
    """
    return offersOf(Environment(Clock(), parse(text, "x.toml")))


def names(settings: LinkSettings) -> list[str]:
    """
    The names of the protocols that a link offers.
    """
    return [one.name for one in settings.usableMethods]


@pytest.mark.parametrize("name", TUNNELS)
def test_everyTunnel(name: str) -> None:
    """
    The section of each tunnel has the keys, and they count for no other tunnel.
    """
    assert issubclass(TUNNELS[name].settings, TunnelSection)
    assert {one.name for one in fields(TunnelSection)} == {"authentication", "encryption"}
    made = offers(f'[{name}]\nauthentication = ["pap", "mschapv2"]\nencryption = "off"')
    own = made.settingsFor(call(name), True)
    assert (names(own), own.encryption) == (["mschapv2", "pap"], "off")
    other = made.settingsFor(call("other"), True)
    assert (names(other), other.encryption) == (["mschapv2"], "require")
    assert {one.name for one in made.methods()} == {"mschapv2", "pap"}


def test_oneKeyAlone() -> None:
    """
    What a section doesn't say is as in C{[link]}.
    """
    link = '[link]\nauthentication = ["pap", "mschapv2"]\nencryption = "prefer"\nmru = 1300\n'
    own = offers(link + '[pptp]\nencryption = "require"').settingsFor(call("pptp"), True)
    assert (names(own), own.encryption, own.mru) == (["mschapv2"], "require", 1300)
    own = offers(link + '[pptp]\nauthentication = ["pap"]').settingsFor(call("pptp"), True)
    assert (names(own), own.encryption, own.mru) == (["pap"], "prefer", 1300)


def test_aProtocolIsConfiguredOnce() -> None:
    """
    EAP, which may be a service, is the same object for all tunnels.
    """
    text = '[link]\nencryption = "off"\nauthentication = ["eap", "mschapv2"]\n'
    environment = Environment(
        Clock(), parse(f'{text}[eap]\nmethods = ["md5"]\n[pptp]\nauthentication = ["eap"]', "x")
    )
    from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword

    made = offersOf(environment, (IUsernamePassword, IUsernameHashedPassword))
    (own,) = made.tunnels["pptp"].methods
    assert own in made.general.methods


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[pptp]\nauthentication = ["pap"]',
            'calls by pptp: [pptp] authentication = ["pap"]: encryption = "require" needs one that '
            "earns MPPE keys: eap, mschap, mschapv2",
        ),
        (
            '[link]\nauthentication = ["pap"]\nencryption = "off"\n[hdlc]\nencryption = "require"',
            'calls by hdlc: [link] authentication = ["pap"]: encryption = "require" needs one that '
            "earns MPPE keys: eap, mschap, mschapv2",
        ),
        (
            '[pptp]\nauthentication = ["mschapv3"]',
            'calls by pptp: [pptp] authentication: no authentication protocol is called "mschapv3":'
            " did you mean mschapv2?",
        ),
    ],
)
def test_whatCantBeOffered(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        offers(text)
    assert str(caught.value) == message


def test_aCallThatTheTunnelEncrypts() -> None:
    """
    It needs no keys for MPPE, so it is offered what others aren't.
    """
    made = Offers(LinkSettings(), {"safe": LinkSettings(methods=(MSCHAPV2, CHAP, PAP))})
    assert names(made.settingsFor(call("safe", True), True)) == ["mschapv2", "chap", "pap"]
    assert names(made.settingsFor(call("safe", True), False)) == ["mschapv2", "chap"]
    assert names(made.settingsFor(call("safe", False), True)) == ["mschapv2"]


def test_nobodyIsLetInWithoutAMethod() -> None:
    """
    If the only methods earn no keys, a call that must be encrypted by MPPE is refused, and so is
    one that may have only PAP and not from there.
    """
    made = Offers(LinkSettings(), {"safe": LinkSettings(methods=(PAP,))})
    assert names(made.settingsFor(call("safe", True), True)) == ["pap"]
    for encrypted, permitsPAP, remedy in (
        (False, True, Remedy.NO_KEYS),
        (False, False, Remedy.NO_KEYS),
        (True, False, Remedy.PAP_CLIENTS),
    ):
        with pytest.raises(Refused) as caught:
            made.settingsFor(call("safe", encrypted), permitsPAP)
        assert (caught.value.category, caught.value.remedy) == (Category.FORBIDDEN, remedy)


def test_theyAreShared() -> None:
    """
    Links of equal calls share one value, and the map of control characters tells calls apart.
    """
    made = Offers(LinkSettings(methods=(MSCHAPV2,)))
    first = made.settingsFor(call("pptp"), True)
    assert made.settingsFor(call("hdlc"), True) is first
    assert made.settingsFor(call("hdlc", accm=0), True).accm == 0
    assert first.accm is None and not first.encrypted


def test_theTunnelEncryptsByItsSection() -> None:
    """
    A tunnel whose settings say that it may encrypt can permit methods without keys.
    """

    class Safe(TunnelSection):
        mayEncrypt = True

    link = parse("", "x").link.offered(Safe(authentication=("pap",)))
    assert [one.name for one in link.methods("safe", Safe.mayEncrypt)] == ["pap"]
    with pytest.raises(ConfigurationError):
        link.methods("safe")
