"""
Tests that the worked diffs of CONTRIBUTING.md work.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from twisted.cred.checkers import ICredentialsChecker, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import UsernamePassword
from twisted.cred.strcred import ICheckerFactory
from twisted.internet import reactor
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from pptpgw.config.configuration import parse
from pptpgw.config.discovery import KINDS
from pptpgw.interfaces import (
    IAuthenticationProtocol,
    INetwork,
    INetworkFactory,
    INetworkProtocol,
)
from pptpgw.networks.generic.plugin import GenericNetwork, declarer
from pptpgw.ppp.wire import ppp
from pptpgw.testing import DrivenLink, ExchangePair, makeEnvironment, makeProtocol
from tests.auth.test_authenticator import authenticator
from tests.command.test_live import live
from tests.networks.generic.ends import session

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "CONTRIBUTING.md").read_text()


def hunks(name: str) -> list[str]:
    """
    The lines that each diff of a new file adds.
    """
    found = re.findall(rf"^ {re.escape(name)}\n((?:\+.*\n)+)", GUIDE, re.MULTILINE)
    assert found, f"{name} isn't in the guide"
    return ["\n".join(line[1:] for line in hunk.splitlines()) for hunk in found]


def text(name: str) -> str:
    """
    All lines that the diffs add.
    """
    return "\n".join(hunks(name))


def added(name: str) -> dict[str, Any]:
    """
    The names that the added lines define.
    """
    # The name of this module, as dataclasses look for the module that defines them.
    names: dict[str, Any] = {"__name__": __name__}
    exec(compile(text(name), name, "exec"), names)
    return names


def test_networkProtocol() -> None:
    """
    The network protocol opens with a peer of its kind, and says where its packets go.
    """
    made = added("pptpgwquote.py")
    factory = made["QuoteFactory"]()
    verifyObject(INetworkFactory, factory)
    network = factory.makeNetwork(factory.settings(), None)
    verifyObject(INetwork, network)
    received: list[bytes] = []
    wants = {made["LONGEST"]: b"\x10", made["COUNT"]: b"\x07"}
    ends = [makeProtocol(network), made["QuoteCP"](b"", wants, received.append)]
    clock = Clock()
    links = [DrivenLink(end, clock=clock) for end in ends]
    for end in ends:
        verifyObject(INetworkProtocol, end)
    links[0].join(links[1])
    for link in links:
        assert [attachment.mtu for attachment in link.attachments.values()] == [1400]
    assert ends[1].negotiator.granted == {made["LONGEST"]: b"\x10", made["COUNT"]: b"\x03"}
    ends[1].sendPacket(b"?")
    assert received == [b"Festina lente."] * 3


@pytest.mark.parametrize(
    "name", ["setup.py", "pptpgwquote.py", "test_pptpgwquote.py", "pptpgwgtc.py"]
)
def test_theGuideWalksThroughTheExampleAsItIs(name: str) -> None:
    rest = (ROOT / "tests" / "example" / "quote" / name).read_text()
    for hunk in hunks(name):
        _, found, rest = rest.partition(hunk + "\n")
        assert found, hunk


def test_everyKindOfPluginIsNamed() -> None:
    rows = re.findall(r"^\| (.+) \| `(I\w+)` \| `(.+)` \| `(.+)` \|$", GUIDE, re.MULTILINE)
    kinds = [(kind.words, face.__name__, kind.group, kind.chosen) for face, kind in KINDS.items()]
    assert sorted(rows) == sorted(kinds)


async def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """
    The command asks the gateway that the configuration names, and prints a table.
    """
    made, (row,) = added("pptpgw/command/calls.py"), hunks("pptpgw/command/main.py")
    assert f'"calls": (f"{{_FOLDER}}.calls:calls", "{made["calls"].short_help}"),' in row
    configuration = tmp_path / "pptpgw.toml"
    configuration.write_text(
        f'[management]\nendpoints = ["unix:{tmp_path}/management.sock:mode=600"]\n'
    )
    async with live(configuration, b"alice") as gateway:
        words = ["--config", str(configuration)]
        await made["calls"].main(words, standalone_mode=False).perform(reactor)
        assert capsys.readouterr().out == "Nobody is being set up.\n"
        gateway.world.placeCall(gateway.world.connect())
        gateway.world.run(0.003)
        await made["calls"].main(words, standalone_mode=False).perform(reactor)
    head, caller = capsys.readouterr().out.splitlines()
    assert head.split() == ["CALLER", "PHASE", "AGE"]
    assert caller.split()[0] == "192.0.2.7"


def test_declaration(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The declared protocol answers options as declared, and the object gets and sends its packets.
    """
    for name in ("yourpackage", "yourpackage.controller"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    module = sys.modules["yourpackage.controller"]
    monkeypatch.setattr(sys.modules["yourpackage"], "controller", module, raising=False)
    vars(module).update(added("yourpackage/controller.py"))
    (declaration,) = parse(text("pptpgw.toml"), "pptpgw.toml").section(declarer).generic
    network = GenericNetwork(declaration, makeEnvironment())
    network.start()
    link = session(network)
    assert link.request((1, "78"), (2, "79")) == (ppp.CONFIGURE_NAK, [(1, b"gate".hex())])
    link.agree()
    link.deliver(b"hello")
    assert link.packets == [(0x00C3, b"hello")]


def test_authenticationProtocol() -> None:
    """
    The authentication protocol proves the right password to a checker of Twisted's, and no other.
    """
    method = added("yourpackage/sha256.py")["CHAP_SHA256"]
    verifyObject(IAuthenticationProtocol, method)
    judge = authenticator(InMemoryUsernamePasswordDatabaseDontUse(alice=b"open sesame"))
    right, wrong = (
        ExchangePair(method, b"alice", password, judge=judge).run()
        for password in (b"open sesame", b"wrong")
    )
    assert right.ours.told == ["granted alice", "authenticated"] and right.theirs.told == ["proven"]
    assert wrong.ours.grant is None


def test_checker() -> None:
    """
    The checker lets its one user in, with the address, and nobody else.
    """
    made = added("yourpackage/checker.py")
    factory = made["OneUserFactory"]()
    assert ICheckerFactory.providedBy(factory)
    checker = factory.generateChecker("")
    verifyObject(ICredentialsChecker, checker)
    results: list[Any] = []
    for password in (b"open sesame", b"wrong"):
        asked = checker.requestAvatarId(UsernamePassword(b"alice", password))
        asked.addCallbacks(results.append, lambda failure: results.append(failure.type.__name__))
    assert str(results[0].profile.addresses[0]) == "10.77.1.7/32"
    assert results[1] == "UnauthorizedLogin"
