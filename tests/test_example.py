"""
The packages of a third party's in C{tests/example}, installed by pip, in a gateway and a caller in
memory. C{tests/integration/test_example.py} has them in the whole program.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from scapy.layers import eap as scapy
from twisted.cred.checkers import (
    ICredentialsChecker,
    InMemoryUsernamePasswordDatabaseDontUse,
)
from twisted.cred.credentials import (
    IUsernameHashedPassword,
    IUsernamePassword,
    UsernamePassword,
)
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.cred.strcred import ICheckerFactory
from twisted.internet.task import Clock
from twisted.python import usage
from twisted.python.filepath import FilePath
from zope.interface.verify import verifyObject

from pptpgw.auth.authenticator import Authenticator
from pptpgw.auth.eap import EAP, EAPProtocol
from pptpgw.auth.eapmethod import MSCHAPV2 as EAP_MSCHAPV2
from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.auth.realm import SubscriberRealm
from pptpgw.config.configuration import Configuration, parse
from pptpgw.config.discovery import find, specification
from pptpgw.config.environment import Environment
from pptpgw.config.kind import NoSettings
from pptpgw.error import ConfigurationError, Unavailable
from pptpgw.gateway import Gateway
from pptpgw.interfaces import (
    IAddressPoolFactory,
    IEAPMethod,
    INetworkFactory,
    ISessionObserverFactory,
)
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.ppp.wire.eap import Method
from pptpgw.tap import Options
from pptpgw.testing import CALLER as SOMEBODY
from pptpgw.testing import MemoryDataPath, MemoryNetwork, answering, joined, resultOf
from pptpgw.tunnels.pptp.callid import CallIDs
from pptpgw.tunnels.pptp.client import ClientConnection
from pptpgw.tunnels.pptp.connection import ControlConnection
from pptpgw.tunnels.pptp.rules import Role
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from tests import distribution, test_gateway
from tests.distribution import Site
from tests.ppp.test_eap import Pipe, Scene
from tests.test_gateway import World as Gate
from tests.test_gateway import failureOf

SOURCE = Path(__file__).parent / "example"
SERVER, CALLER = "192.0.2.1", "192.0.2.7"
USERS = InMemoryUsernamePasswordDatabaseDontUse(alice=b"x", bob=b"y")

PASSWORDS = (IUsernamePassword, IUsernameHashedPassword)

site = pytest.fixture(distribution.site, name="site")
secrets = test_gateway.secrets


@pytest.fixture
def quotes(site: Site, example: Path) -> Iterator[Any]:
    """
    The module of the package C{quote}.
    """
    site.add(example)
    yield importlib.import_module("pptpgwquote")
    assert site.warnings == []


def configuration(folder: Path) -> Configuration:
    """
    One that chooses all of it.
    """
    return parse(
        f"""
        [network]
        protocols = ["ipv4", "quote"]
        [ipv4]
        allocator = "sticky:10.88.0.0/28"
        [plugins]
        observers = ["journal:{folder / "journal"}"]
        [quote]
        text = "A rolling stone gathers no moss."
        """,
        "test",
    )


class World:
    """
    A gateway of a configuration, and callers.
    """

    def __init__(self, chosen: Configuration, checker: ICredentialsChecker = USERS) -> None:
        self.clock = clock = Clock()
        self.wire = MemoryNetwork(clock)
        self.callIDs = CallIDs(clock)
        environment = Environment.of(clock, chosen)
        factories = [find(INetworkFactory, name) for name in chosen.network.protocols]
        observers = [
            (find(ISessionObserverFactory, name), argument)
            for name, argument in map(specification, chosen.plugins.observers)
        ]
        self.gateway = Gateway(
            clock,
            LinkSettings(methods=(MSCHAPV2,), name=b"gateway"),
            {
                one.name: one.makeNetwork(environment.settings(one), environment)
                for one in factories
            },
            MemoryDataPath(self.wire),
            Authenticator(Portal(SubscriberRealm(), [checker])),
            [
                factory.makeObserver(argument, environment.settings(factory), environment)
                for factory, argument in observers
            ],
        )

    def run(self, seconds: float) -> None:
        for _ in range(int(seconds / 0.001)):
            self.clock.advance(0.001)

    def dial(self, name: bytes, password: bytes, quote: Any) -> tuple[IPCP, ClientCall]:
        """
        Place a call with IPv4 and C{quote}.
        """
        caller = ClientConnection(self.clock, MemoryDataPath(self.wire), 30)
        settings, ids = ConnectionSettings(), CallIDs(self.clock)
        pns = ControlConnection(self.clock, settings, ids, caller, Role.PNS, CALLER, SERVER)
        pac = ControlConnection(
            self.clock, settings, self.callIDs, answering(self.gateway), Role.PAC, SERVER, CALLER
        )
        joined(self.clock, pns, pac)
        self.run(0.02)
        ipv4 = IPCP(IPv4Settings.client(lambda packet: None))
        placed = caller.placeCall(
            LinkSettings(identity=Identity(name, password, (MSCHAPV2,))), [ipv4, quote]
        )
        calls: list[ClientCall] = []
        placed.addCallback(calls.append)
        self.run(0.1)
        return ipv4, calls[0]


def test_theyAreSmall() -> None:
    files = list(SOURCE.rglob("*.py"))
    lines = {file.name: len(file.read_text().splitlines()) for file in files}
    assert set(lines) == {"setup.py", "pptpgwquote.py", "pptpgwgtc.py", "pptpgwjson.py"}
    assert lines["pptpgwgtc.py"] < 60
    assert lines["pptpgwjson.py"] < 70
    assert lines["pptpgwquote.py"] < 140


def test_everyPartOfIt(quotes: Any, tmp_path: Path) -> None:
    """
    Its network protocol negotiates its own options, both of which are Nakked, and carries packets
    both ways beside IPv4, whose address is its pool's; its observer hears of it all.
    """
    world = World(configuration(tmp_path))
    received: list[bytes] = []
    quote = quotes.QuoteCP(
        b"", {quotes.LONGEST: b"\x09", quotes.COUNT: b"\x09"}, receive=received.append
    )
    ipv4, call = world.dial(b"alice", b"x", quote)
    assert IPv4Address(ipv4.localAddress) in IPv4Network("10.88.0.0/28")
    assert quote.negotiator.granted == {quotes.LONGEST: b"\x10", quotes.COUNT: b"\x03"}
    assert received == []
    quote.sendPacket(b"?")
    quote.sendPacket(b"no question")
    world.run(0.01)
    assert received == [b"A rolling stone "] * 3

    call.hangUp()
    world.run(0.1)
    assert call.ended.called
    lines = [line.split(maxsplit=2) for line in (tmp_path / "journal").read_text().splitlines()]
    assert lines[0] == ["alice", "start"]
    assert sorted(lines[1:3]) == [["alice", "opened", "ipv4"], ["alice", "opened", "quote"]]
    assert sorted(lines[3:5]) == [["alice", "closed", "ipv4"], ["alice", "closed", "quote"]]
    assert lines[5][:2] == ["alice", "end"]
    assert len(lines) == 6


def test_aUserHasTheSameAddressEachTime(quotes: Any, tmp_path: Path) -> None:
    """
    And another one while it is in use.
    """
    world = World(configuration(tmp_path))
    first, call = world.dial(b"alice", b"x", quotes.QuoteCP(b""))
    other, _ = world.dial(b"bob", b"y", quotes.QuoteCP(b""))
    second, _ = world.dial(b"alice", b"x", quotes.QuoteCP(b""))
    addresses = [first.localAddress, other.localAddress, second.localAddress]
    assert len(set(addresses)) == 3
    assert all(address.startswith("10.88.0.") for address in addresses)
    call.hangUp()
    world.run(0.1)
    again, _ = world.dial(b"alice", b"x", quotes.QuoteCP(b""))
    assert again.localAddress == addresses[0]


def test_aPoolThatIsUsedUp(quotes: Any) -> None:
    pool = find(IAddressPoolFactory, "sticky").makePool(
        "10.88.0.0/30", (), NoSettings(), Environment.of(Clock(), Configuration())
    )
    subscriber = type("Subscriber", (), {"name": "alice"})()
    results: list[object] = []
    for _ in range(3):
        pool.allocate(subscriber, SOMEBODY).addBoth(results.append)
    assert sorted(map(str, results[:2])) == ["10.88.0.1", "10.88.0.2"]
    assert "every address is in use" in str(results[2])


def test_anArgumentThatIsNoNetwork(quotes: Any) -> None:
    with pytest.raises(ConfigurationError, match=r'\[ipv4\] allocator = "sticky:10\.88\.0\.1/28"'):
        find(IAddressPoolFactory, "sticky").makePool(
            "10.88.0.1/28", (), NoSettings(), Environment.of(Clock(), Configuration())
        )


def test_itsSectionIsJudgedLikeOurs(quotes: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"test: \[quote\] text = 7: must be 1 to 63 print"
    ):
        parse("[quote]\ntext = 7", "test")
    with pytest.raises(
        ConfigurationError, match=r"unknown key txt in \[quote\]: did you mean text"
    ):
        parse("[quote]\ntxt = 7", "test")


@pytest.mark.parametrize(
    ("option", "line"),
    [
        ("--help-network", "quote "),
        ("--help-plugins", "journal "),
        ("--help-plugins", "sticky "),
        ("--help-plugins", "gtc "),
        ("--help-plugins", "json "),
    ],
)
def test_itIsListed(
    quotes: Any, capsys: pytest.CaptureFixture[str], option: str, line: str
) -> None:
    with pytest.raises(SystemExit):
        usage.Options.parseOptions(Options(), [option])
    assert f"\n  {line}" in capsys.readouterr().out


GTC = Method(6)


def eap(chosen: Configuration) -> EAPProtocol:
    """
    What a configuration makes of EAP, where checkers judge passwords.
    """
    environment = Environment.of(Clock(), chosen)
    return EAP.configured(environment.settings(EAP), environment, PASSWORDS)


@pytest.fixture
def gtc(quotes: Any) -> Any:
    """
    Its EAP method, as C{[eap] methods} chooses it.
    """
    section = '[eap]\nmethods = ["gtc"]\n[eap.gtc]\nprompt = "Token?"'
    chosen = parse(f'{section}\n[link]\nencryption = "off"', "test")
    (method,) = eap(chosen).methods
    assert verifyObject(IEAPMethod, method)
    return method


class TestMethod:
    """
    Its EAP method.
    """

    def test_aCall(self, gtc: Any, secrets: FilePath[str]) -> None:
        """
        From LCP's offer to the session.
        """
        protocol = EAPProtocol((gtc,))
        world = Gate(secrets, methods=(protocol,), encryption="off")
        call = resultOf(world.call(world.connect(), methods=(protocol,), encryption="off"))
        assert call.link.encryption == "not encrypted"
        (session,) = world.gateway.sessions
        assert (session.user, session.authentication) == ("alice", "eap")

    def test_aWrongPassword(self, gtc: Any, secrets: FilePath[str]) -> None:
        protocol = EAPProtocol((gtc,))
        world = Gate(secrets, methods=(protocol,), encryption="off")
        arguments: dict[str, Any] = {"methods": (protocol,), "encryption": "off"}
        placed = world.call(world.connect(), b"alice", b"wrong", **arguments)
        world.run(10, 0.01)
        assert "does not believe us" in failureOf(placed)
        assert not world.gateway.sessions

    def test_packets(self, gtc: Any) -> None:
        """
        As scapy reads them.
        """
        pipe = Pipe([gtc], [gtc]).run()
        assert pipe.ours.told == ["granted alice", "authenticated"]
        assert pipe.theirs.told == ["proven"] and pipe.ours.keys is None
        packets = [scapy.EAP(packet) for packet in pipe.packets]
        assert [(one.code, one.type) for one in packets[:4]] == [(1, 1), (2, 1), (1, 6), (2, 6)]
        assert bytes(packets[2])[5:] == b"Token?"
        assert bytes(packets[3])[5:] == b"sesame"
        assert packets[4].code == scapy.EAP.SUCCESS

    def test_aPeerWithoutIt(self, gtc: Any) -> None:
        """
        The method that it has is taken instead.
        """
        pipe = Pipe([gtc, EAP_MSCHAPV2], [EAP_MSCHAPV2]).run()
        assert pipe.ours.told == ["granted alice", "authenticated"]
        assert pipe.methods == [1, 6, 26]

    @pytest.mark.parametrize("size", [0, 129, 1000])
    def test_aTokenThatIsNone(self, gtc: Any, size: int) -> None:
        scene = Scene(gtc)
        scene.identify()
        assert scene.asked.method == GTC
        scene.answer(bytes(size))
        assert scene.events == [
            "Failure",
            f"refused: what the peer sent can't be read: a token of {size} octets",
        ]
        assert not scene.recorder.claims

    def test_itIsNotPermittedByItsInstallation(self, quotes: Any) -> None:
        chosen = parse('[link]\nauthentication = ["eap"]\nencryption = "off"', "test")
        names = [method.name for method in eap(chosen).methods]
        assert names == ["mschapv2", "md5"]

    def test_twoOfOneType(self, quotes: Any, site: Site) -> None:
        """
        The Type alone tells methods apart, so two that have the same are an error.
        """
        text = (
            "from pptpgwgtc import GTC, Settings\n"
            "class Twin(GTC):\n    name = 'twin'\nplugin = Twin(Settings())\n"
        )
        site.install("twin", {"twin.py": text}, "twin = twin:plugin", group="pptpgw.eap")
        chosen = parse('[eap]\nmethods = ["twin", "gtc"]\n[link]\nencryption = "off"', "test")
        with pytest.raises(ConfigurationError) as caught:
            eap(chosen)
        assert str(caught.value) == (
            "[eap] methods: callers can't tell twin from gtc, so it is either"
        )

    def test_itIsNotFitWhereEncryptionIsRequired(self, quotes: Any) -> None:
        chosen = parse('[eap]\nmethods = ["gtc"]', "test")
        with pytest.raises(ConfigurationError, match='methods has "gtc": it earns no keys'):
            eap(chosen)

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("[eap.gtc]\nprompt = 7", r"test: \[eap\.gtc\] prompt = 7: must be 1 to 63 print"),
            ("[eap.gtc]\npromt = 7", r"unknown key promt in \[eap\.gtc\]: did you mean prompt"),
            ("[eap.gct]", r"unknown section \[eap\.gct\]: did you mean eap\.gtc"),
            ("[eap.md5]", r"unknown section \[eap\.md5\]"),
            ("[eap.tls]", r"unknown section \[eap\.tls\]"),
            ("[eap]\ngtc = 7", r"unknown key gtc in \[eap\]"),
            ("[eap.certificate]", r"\[eap\] certificate = .*: must be the absolute path"),
            ('["eap.gtc"]', r"unknown section \[eap\.gtc\]"),
        ],
    )
    def test_itsSectionIsJudgedLikeOurs(self, quotes: Any, text: str, fault: str) -> None:
        with pytest.raises(ConfigurationError, match=fault):
            parse(text, "test")


@pytest.fixture
def users(site: Site, example: Path, tmp_path: Path) -> Iterator[Path]:
    """
    The file of the users, with the package C{checker} installed.
    """
    site.add(example)
    path = tmp_path / "users.json"
    path.write_text(
        '{"alice": {"password": "x", "address": "10.99.0.7"}, "bob": {"password": "y"}}'
    )
    yield path
    assert site.warnings == []


def test_aUserOfTheFileCalls(users: Path, quotes: Any) -> None:
    """
    A user of the file is let in by MS-CHAPv2, with the address that the file gives.
    """
    checker = find(ICheckerFactory, "json").generateChecker(str(users))
    world = World(parse('[network]\nprotocols = ["ipv4", "quote"]', "test"), checker)
    ipv4, _ = world.dial(b"alice", b"x", quotes.QuoteCP(b""))
    assert ipv4.localAddress == "10.99.0.7"
    other, _ = world.dial(b"bob", b"y", quotes.QuoteCP(b""))
    assert other.localAddress.startswith("10.77.")


def test_whomTheCheckerRefuses(users: Path) -> None:
    """
    A wrong password, an unknown user and a file that can't be read are refused, the last as an
    outage.
    """
    checker = find(ICheckerFactory, "json").generateChecker(str(users))
    results: list[Any] = []

    def ask(name: bytes, password: bytes) -> None:
        asked = checker.requestAvatarId(UsernamePassword(name, password))
        asked.addCallbacks(results.append, lambda failure: results.append(failure.type))

    ask(b"alice", b"x")
    ask(b"alice", b"y")
    ask(b"carol", b"x")
    ask(b"\xff", b"x")
    users.write_text(json.dumps({"alice": {"password": "y"}}))
    ask(b"alice", b"y")
    users.write_text("{")
    ask(b"alice", b"y")
    users.unlink()
    ask(b"alice", b"y")
    assert results == [
        b"alice",
        *[UnauthorizedLogin] * 3,
        b"alice",
        *[Unavailable] * 2,
    ]
