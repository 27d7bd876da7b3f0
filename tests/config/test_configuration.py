"""
Tests for L{pptpgw.config.configuration} and L{pptpgw.config.kind}.
"""

import re
import tomllib
from dataclasses import FrozenInstanceError, fields
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from pptpgw.build import networkFactories
from pptpgw.config import discovery
from pptpgw.config.configuration import MOVED, SECTIONS, Configuration, load, parse
from pptpgw.config.environment import Environment
from pptpgw.config.reload import Plan
from pptpgw.config.section import LinkSection, NamedFilter
from pptpgw.config.table import keysOf
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import INetworkDeclarer, INetworkFactory, ITunnelFactory
from pptpgw.networks.generic.declaration import Declaration
from pptpgw.networks.generic.plugin import declarer
from pptpgw.networks.ipv4.plugin import IPv4Factory
from pptpgw.sessions.filter import ALLOWED
from pptpgw.tunnels.pptp.tunnel import PPTPTunnelFactory
from tests import distribution
from tests.distribution import Site

ROOT = Path(__file__).parents[2]


site = pytest.fixture(distribution.site, name="site")

FACTORIES: dict[str, Any] = {
    **discovery.installed(ITunnelFactory),
    **discovery.installed(INetworkFactory),
}
"""
The plugins that have sections, by name.
"""

DECLARER = """
from dataclasses import dataclass

from twisted.plugin import IPlugin
from zope.interface import implementer

from pptpgw.config.kind import key, whole
from pptpgw.interfaces import INetworkDeclarer
from pptpgw.networks.generic.declaration import Declaration
from pptpgw.networks.generic.plugin import GenericFactory


@dataclass(frozen=True)
class Cups:
    cups: int = key(whole(0, 8), 0)


@implementer(INetworkDeclarer, IPlugin)
class Declarer:
    name = "cups"
    description = "Tin cups, as many as are wanted."
    settings = Cups

    def factories(self, settings):
        return {
            f"cup{number}": GenericFactory(Declaration(f"cup{number}", 0x80C3, (0x00C3,)))
            for number in range(settings.cups)
        }


plugin = Declarer()
"""
"""
A plugin that makes network protocols of a number.
"""

KEYS = {
    section: keysOf(type_)
    for section, type_ in {
        **SECTIONS,
        **{name: one.settings for name, one in FACTORIES.items()},
    }.items()
    if fields(type_)
}
KEYS["network"] |= keysOf(declarer.settings)
"""
Every section and key by its name in the file.
"""


def fault(text: str) -> str:
    """
    The error with which L{parse} refuses C{text}.
    """
    with pytest.raises(ConfigurationError) as caught:
        parse(text, "x.toml")
    return str(caught.value)


def address(text: str) -> IPv4Address:
    return IPv4Address(text)


class TestDefaults:
    def test_anEmptyFileIsTheDefaults(self) -> None:
        assert parse("", "x.toml") == Configuration()
        configuration = parse("[link]\n[ipv4]", "x.toml")
        assert configuration.link == Configuration().link
        assert configuration.section(IPv4Factory()) == Configuration().section(IPv4Factory())

    def test_everyDefaultIsAllowed(self) -> None:
        """
        Each default passes the judgement of its own key unchanged.
        """
        for section, keys in KEYS.items():
            for key in keys.values():
                assert key.kind.convert(_asTOML(key.default)) == key.default, (section, key.name)

    def test_encryptionIsRequiredWithTheStrongestKeyAndNothingWeaker(self) -> None:
        link = Configuration().link
        assert (link.encryption, link.encryptionBits) == ("require", (128,))
        assert link.encryptionStateful is False
        assert link.compression == ()
        assert link.encryptionRelaxable is False

    def test_theValueIsFrozen(self) -> None:
        with pytest.raises(FrozenInstanceError):
            setattr(Configuration().listen, "drainTimeout", 1)


def _asTOML(value: object) -> object:
    """
    A typed value as the TOML file has it.
    """
    if isinstance(value, IPv4Address | IPv4Network | IPv6Address | IPv6Network):
        return str(value)
    if isinstance(value, tuple):
        if value and isinstance(value[0], tuple):
            return [f"{first}-{last}" for first, last in value]
        return [_asTOML(one) for one in value]
    return value


class TestParse:
    def test_everyKey(self) -> None:
        configuration = parse(
            """
            [listen]
            addresses = ["192.0.2.1", "192.0.2.2"]
            clients = ["192.0.2.0/24", "198.51.100.7"]
            max-connections = 5
            max-connections-per-host = 4
            drain-timeout = 0
            [pptp]
            port = 0
            max-calls-per-connection = 3
            handshake-timeout = 2.5
            endpoints = ["systemd:domain=INET:index=0"]
            [link]
            authentication = ["pap", "chap", "mschapv2"]
            name = "gate way"
            rechallenge = 300
            encryption = "prefer"
            encryption-relaxable = true
            encryption-bits = [40, 128, 56]
            encryption-stateful = true
            mru = 1500
            echo-interval = 5
            echo-failures = 0
            setup-timeout = 30
            [ipv4]
            local = "192.0.2.9"
            pool = ["198.51.100.1 - 198.51.100.9", "203.0.113.0/30", "203.0.113.9"]
            dns = ["192.0.2.53"]
            wins = ["192.0.2.54", "192.0.2.55"]
            [network]
            interface = "vpn-1"
            masquerade = true
            mss-clamp = false
            [[network.generic]]
            name = "controller"
            control = 0x80c3
            data = 0x00c3
            """,
            "x.toml",
        )
        listen, link = configuration.listen, configuration.link
        ipv4 = configuration.section(IPv4Factory())
        assert listen.addresses == (address("192.0.2.1"), address("192.0.2.2"))
        assert listen.clients == (IPv4Network("192.0.2.0/24"), IPv4Network("198.51.100.7/32"))
        assert (listen.maxConnections, listen.maxConnectionsPerHost) == (5, 4)
        assert listen.drainTimeout == 0.0
        pptp = configuration.section(PPTPTunnelFactory())
        assert (pptp.port, pptp.maxCallsPerConnection, pptp.handshakeTimeout) == (0, 3, 2.5)
        assert pptp.endpoints == ("systemd:domain=INET:index=0",)
        assert link.authentication == ("pap", "chap", "mschapv2")
        assert (link.name, link.rechallenge) == ("gate way", 300.0)
        assert (link.encryption, link.encryptionBits) == ("prefer", (128, 56, 40))
        assert link.encryptionStateful is True
        assert link.encryptionRelaxable is True
        assert (link.mru, link.echoInterval, link.echoFailures) == (1500, 5.0, 0)
        assert link.setupTimeout == 30.0
        assert ipv4.local == address("192.0.2.9")
        assert ipv4.pool == (
            (address("198.51.100.1"), address("198.51.100.9")),
            (address("203.0.113.1"), address("203.0.113.2")),
            (address("203.0.113.9"), address("203.0.113.9")),
        )
        assert ipv4.dns == (address("192.0.2.53"),)
        assert ipv4.wins == (address("192.0.2.54"), address("192.0.2.55"))
        assert configuration.network.interface == "vpn-1"
        assert configuration.network.masquerade is True
        assert configuration.network.mssClamp is False
        assert configuration.section(declarer).generic == (
            Declaration("controller", 0x80C3, (0x00C3,)),
        )

    def test_prefixes(self) -> None:
        """
        The key takes one prefix or a list.
        """
        one, other = IPv6Network("2001:db8::/48"), IPv6Network("fc00::/64")
        for text, prefixes in (
            (f'"{one}"', (one,)),
            (f'["{one}", "{other}"]', (one, other)),
            ("[]", ()),
        ):
            assert KEYS["ipv6"]["prefixes"].kind.convert(tomllib.loads(f"a = {text}")["a"]) == (
                prefixes
            )

    @given(st.text(max_size=60))
    def test_anyTextMakesAConfigurationOrOneError(self, text: str) -> None:
        try:
            assert isinstance(parse(text, "x.toml"), Configuration)
        except ConfigurationError as error:
            assert str(error).startswith("x.toml: ")

    @given(
        st.sampled_from([(section, key) for section in KEYS for key in KEYS[section]]),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text(max_size=20)
            | st.ip_addresses().map(str),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2)
            ),
            max_leaves=5,
        ),
    )
    def test_aKeyRefusesWithValueErrorOrTypeErrorAlone(
        self, where: tuple[str, str], value: object
    ) -> None:
        section, name = where
        try:
            KEYS[section][name].kind.convert(value)
        except (ValueError, TypeError):
            pass


class TestErrors:
    @pytest.mark.parametrize(
        ("section", "line", "allowed"),
        [
            ("pptp", "port = 65536", "a whole number from 0 to 65535"),
            ("pptp", "port = true", "a whole number from 0 to 65535"),
            ("listen", "max-connections = 0", "a whole number from 1 to 65535"),
            ("listen", 'addresses = ["0.0.0.0"]', "distinct IPv4 addresses"),
            ("listen", 'addresses = ["::1"]', "distinct IPv4 addresses"),
            ("listen", 'addresses = ["192.0.2.1", "192.0.2.1"]', "distinct IPv4 addresses"),
            ("listen", 'clients = ["192.0.2.1/24"]', "networks without host bits"),
            ("pptp", "handshake-timeout = nan", "a number of seconds from 1 to 300"),
            ("pptp", 'endpoints = ["1723"]', "endpoint strings"),
            ("link", "authentication = []", "one or more distinct names of authentication"),
            ("link", 'authentication = ["pap", "pap"]', "one or more distinct names"),
            ("link", 'authentication = "pap"', "a list of one or more"),
            ("link", 'name = ""', "1 to 63 printable"),
            ("link", "name = 7", "1 to 63 printable"),
            ("link", 'encryption = "yes"', '"require", "prefer", "off"'),
            ("link", "encryption-bits = [64]", "128, 56, 40"),
            ("link", "encryption-bits = 128", "128, 56, 40"),
            ("link", "encryption-stateful = 1", "true or false"),
            ("link", 'compression = ["bsd"]', 'a list of any of "deflate", "mppc"'),
            ("link", "mru = 575", "a whole number from 576 to 4000"),
            ("link", "rechallenge = 0.001", "0, or a number of seconds from 1 to 86400"),
            ("link", "rechallenge = -1", "0, or a number of seconds from 1 to 86400"),
            ("link", "rechallenge = false", "0, or a number of seconds from 1 to 86400"),
            ("limits", "idle-timeout = 0.0001", "0, or a number of seconds from 1 to 31536000"),
            ("limits", "session-timeout = 0.5", "0, or a number of seconds from 1 to 31536000"),
            ("radius", "interim = 5", "0, or a number of seconds from 60 to 86400"),
            ("ipv4", 'local = "10.0.0.256"', "an IPv4 address of one host"),
            ("ipv4", 'local = "127.0.0.1"', "none of 0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/4 and"),
            ("ipv4", 'pool = ["127.0.0.1-127.0.0.9"]', "none of 0.0.0.0/8, 127.0.0.0/8"),
            ("ipv4", 'pool = ["240.0.0.0/24"]', "none of 0.0.0.0/8, 127.0.0.0/8"),
            ("ipv4", 'pool = ["10.0.0.9-10.0.0.1"]', "FIRST-LAST"),
            ("ipv4", 'pool = ["10.0.0.1-10.0.0.5", "10.0.0.5"]', "none overlapping"),
            ("ipv4", 'pool = "10.0.0.1-10.0.0.5"', "FIRST-LAST"),
            ("ipv4", 'dns = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]', "at most two"),
            ("ipv4", 'dns = ["127.0.0.53"]', "addresses of hosts"),
            ("listen", 'addresses = ["240.0.0.1"]', "distinct IPv4 addresses"),
            ("ipv6", 'prefixes = "fc00::1/48"', "of at most 64 bits without host bits"),
            ("ipv6", 'prefixes = ["fc00::/65"]', "an IPv6 network of at most 64 bits"),
            ("ipv6", 'prefixes = ["fc00::/64", "fc00::/64"]', "a list of distinct ones"),
            ("ipv6", 'delegate = "fe80::/64"', "an IPv6 network"),
            ("ipv6", 'delegate = "::/0"', "an IPv6 network"),
            ("ipv6", 'dns = ["fe80::1"]', "distinct IPv6 addresses, not link-local"),
            ("ipv6", 'dns = ["192.0.2.1"]', "distinct IPv6 addresses"),
            ("ipv6", 'dns = ["fc00::1%eth0"]', "distinct IPv6 addresses"),
            ("ipv6", 'search = ["a..b"]', "distinct domain names"),
            ("ipv6", "delegate-length = 65", "a whole number from 16 to 64"),
            ("network", 'interface = "sixteenletters16"', "1 to 15 letters"),
            ("network", 'interface = ".."', "1 to 15 letters"),
            ("network", 'interface = "a\'b"', "1 to 15 letters"),
            ("network", 'generic = "appletalk"', "tables, [[network.generic]], each of which"),
        ],
    )
    def test_aBadValueIsNamedWithWhatIsAllowed(self, section: str, line: str, allowed: str) -> None:
        text = fault(f"[{section}]\n{line}")
        name, _, found = line.partition(" = ")
        assert text.startswith(f"x.toml: [{section}] {name} = ")
        if found != "nan":
            assert tomllib.loads(f"a = {found}") == tomllib.loads(
                "a = " + text.split(" = ", 1)[1].split(": must be ")[0]
            )
        assert allowed in text.split(": must be ")[1]

    @pytest.mark.parametrize("zero", ["0", "0.0"])
    def test_zeroMayStandForNone(self, zero: str) -> None:
        made = parse(f"[link]\nrechallenge = {zero}\n[limits]\nidle-timeout = {zero}", "x.toml")
        assert made.link.rechallenge == made.limits.idleTimeout == 0.0

    def test_anUnknownKeyIsNamedWithItsNearestNeighbour(self) -> None:
        assert fault("[listen]\nmax-conections = 1") == (
            "x.toml: unknown key max-conections in [listen]: did you mean max-connections?"
        )

    def test_anUnknownKeyLikeNoneIsNamedWithAllThatThereAre(self) -> None:
        text = fault("[ipv4]\nzzz = 1")
        assert (
            text == "x.toml: unknown key zzz in [ipv4]: there are local, pool, pools, "
            "unknown-pool, allocator, dns, wins, header-compression"
        )

    def test_aKeyThatMovedIsNamedWithItsNewPlace(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The error about a key that has moved names its new place, whatever its value is, even if the
        old section has a key of that name.
        """
        monkeypatch.setitem(MOVED, "[listen] socket", "[link] name")
        monkeypatch.setitem(MOVED, "[listen] clients", "[pptp] clients")
        text = fault("[listen]\nsocket = 1723\nclients = -1\naddresses = []")
        assert text == (
            "x.toml: [listen] socket is now [link] name\n"
            "x.toml: [listen] clients is now [pptp] clients"
        )

    def test_everyKeyThatMovedIsThere(self) -> None:
        """
        Every key that has moved is refused, and exists where the error says.
        """
        for old, new in MOVED.items():
            section, _, key = old.partition(" ")
            assert fault(f"{section}\n{key} = 1") == f"x.toml: {old} is now {new}"
            section, _, key = new.partition(" ")
            assert "unknown" not in fault(f"{section}\n{key} = []")

    def test_aDeclarationIsNamedByItsPlace(self) -> None:
        text = fault('[[network.generic]]\nname = "xns"\n[[network.generic]]\nname = "x"\nto = 1')
        place = 'x.toml: [[network.generic]] entry 2, "x": '
        assert text.splitlines()[0] == (
            f'{place}to = 1: must be "hub", "unix:/PATH", '
            '"udp:ADDRESS:PORT" (an IPv6 address in brackets) or "object:DOTTED.NAME"'
        )
        assert [line.partition(" is missing")[0] for line in text.splitlines()[1:]] == [
            f"{place}control",
            f"{place}data",
        ]

    def test_declarationsOfNoPlugin(self) -> None:
        text = fault("[network]\nprotocols = ['ipv4']\n[[network.generc]]\nname = 'xns'")
        assert text == "x.toml: unknown section [network.generc]: did you mean network.generic?"

    def test_declarationsOfAnotherPlugin(self, site: Site) -> None:
        """
        A plugin that declares networks has a key in [network] beside ours, and its networks are
        served.
        """
        site.install("cups", {"cups.py": DECLARER}, "cups = cups:plugin", "pptpgw.declaration")
        configuration = parse("[network]\ncups = 2\n[[network.generic]]\nname = 'xns'", "x.toml")
        plugin = discovery.find(INetworkDeclarer, "cups")
        assert configuration.section(plugin).cups == 2
        assert [one.name for one in configuration.section(declarer).generic] == ["xns"]
        environment = Environment(Clock(), configuration)
        assert list(networkFactories(environment)) == ["ipv4", "cup0", "cup1", "xns"]
        assert fault("[network]\ncups = 9").startswith(
            "x.toml: [network] cups = 9: must be a whole"
        )
        new = parse("[network]\ncups = 1\n[[network.generic]]\nname = 'xns'", "x.toml")
        planned = Plan(environment, new, (), (), {})
        (change,) = planned.reloaded.changes
        assert (change.section, change.key) == ("network", "cups")

    def test_filters(self) -> None:
        """
        Valid filters are parsed, and each error names the entry and the rule.
        """
        rule = "permit ip from any to any"
        text = f'[[network.filter]]\nname = "office"\nrules = ["{rule}"'
        assert parse(f"{text}]", "x.toml").network.filter == (NamedFilter("office", (rule,)),)
        found = fault(f'{text}, "permit all"]\n{text}]')
        assert found == (
            'x.toml: [[network.filter]] entry 1, "office": rule 2, "permit all": must be '
            f'{ALLOWED}\nx.toml: [[network.filter]] entry 2, "office": name is another entry\'s'
        )
        assert 'entry 1, "office": rules is missing' in fault('[[network.filter]]\nname = "office"')
        nameless = fault("[[network.filter]]\nrules = []\n" * 2)
        assert [line.partition(": must")[0] for line in nameless.splitlines()] == [
            f"x.toml: [[network.filter]] entry {index}: name is missing" for index in (1, 2)
        ]
        assert "a list of texts" in fault('[[network.filter]]\nname = "a"\nrules = [1]')

    def test_anUnknownSection(self) -> None:
        assert fault("[networks]") == "x.toml: unknown section [networks]: did you mean network?"

    def test_aKeyWhereASectionBelongs(self) -> None:
        assert fault("link = 3") == "x.toml: link = 3: must be a section, [link]"

    def test_allFaultsAreReportedTogether(self) -> None:
        text = fault('[pptp]\nport = -1\nprt = 2\n[link]\nmru = "x"\n[what]')
        assert [line.split(":")[1].strip() for line in text.splitlines()] == [
            "[pptp] port = -1",
            "unknown key prt in [pptp]",
            '[link] mru = "x"',
            "unknown section [what]",
        ]

    def test_whatIsNoTOMLIsNamedWithItsPlace(self) -> None:
        assert "line 2" in fault("[pptp]\nport = = 3")


class TestDictionary:
    def test_itMakesWhatTheFileMakes(self) -> None:
        text = """
        listen = { clients = ["192.0.2.0/24"], drain-timeout = 2 }
        eap = { methods = ["md5"] }
        ipv4 = { dns = ["192.0.2.53"] }
        radius = { server = [{ host = "192.0.2.1", secret = "x" }] }
        """
        made = Configuration.fromDict(tomllib.loads(text))
        assert made == parse(text, "x.toml")
        assert made.listen.drainTimeout == 2.0
        assert made.link.authentication == ("eap", "mschapv2")
        assert Configuration.fromDict({}) == Configuration()

    def test_itsErrorsAreThoseOfTheFileWithoutIt(self) -> None:
        text = 'listen = { port = -1, prt = 2 }\nwhat = {}\nlink = 3\neap = { methods = ["md5"] }'
        with pytest.raises(ConfigurationError) as caught:
            Configuration.fromDict(tomllib.loads(text))
        lines = [f"x.toml: {line}" for line in str(caught.value).splitlines()]
        assert lines == fault(text).splitlines()
        assert len(lines) == 4


class TestMethods:
    """
    Tests for the methods that the names in C{[link] authentication} stand for.
    """

    @pytest.mark.parametrize("names", list(permutations(["pap", "chap", "mschap", "mschapv2"])))
    def test_strongestFirst(self, names: tuple[str, ...]) -> None:
        methods = LinkSection(authentication=names).methods()
        assert [method.name for method in methods] == ["mschapv2", "mschap", "chap", "pap"]

    def test_oneThatIsNotInstalledIsNamedWithThoseThatAre(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            LinkSection(authentication=("mschapv2", "zzz")).methods()
        assert str(caught.value) == (
            '[link] authentication: no authentication protocol is called "zzz": '
            "there are chap, eap, mschap, mschapv2, pap"
        )

    def test_requiredEncryptionNeedsOneThatEarnsKeys(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            LinkSection(authentication=("pap", "chap")).methods()
        assert str(caught.value) == (
            '[link] authentication = ["pap", "chap"]: encryption = "require" needs one that earns '
            "MPPE keys: eap, mschap, mschapv2"
        )
        for encryption in ("prefer", "off"):
            text = f'[link]\nauthentication = ["pap"]\nencryption = "{encryption}"'
            assert [one.name for one in parse(text, "x.toml").link.methods()] == ["pap"]


class TestLoad:
    def test_aFile(self, tmp_path: Path) -> None:
        path = tmp_path / "x.toml"
        path.write_text("[listen]\nmax-connections = 2000\n")
        assert load(path).listen.maxConnections == 2000
        assert load(str(path)) == load(path)

    def test_aFileThatIsMissing(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"/none\.toml: No such file"):
            load(tmp_path / "none.toml")

    def test_aFileThatIsNotUTF8(self, tmp_path: Path) -> None:
        path = tmp_path / "x.toml"
        path.write_bytes(b"[link]\nname = '\xff'\n")
        with pytest.raises(ConfigurationError, match=r"/x\.toml: TOML is UTF-8"):
            load(path)


class TestExample:
    """
    Tests that C{tap/pptpgw.toml} has every key with its default, commented out.
    """

    text = (ROOT / "tap/pptpgw.toml").read_text()

    def test_asItStandsItIsTheDefaults(self) -> None:
        configuration = parse(self.text, "tap/pptpgw.toml")
        for section in SECTIONS:
            assert getattr(configuration, section) == getattr(Configuration(), section)
        assert {*configuration.sections, *SECTIONS} == set(KEYS)

    def test_itNamesEveryKeyWithItsDefault(self) -> None:
        uncommented = re.sub(r"(?m)^#(?=\S)", "", self.text)
        document = tomllib.loads(uncommented)
        assert {section: list(keys) for section, keys in document.items()} == {
            section: list(keys) for section, keys in KEYS.items()
        }
        configuration = parse(uncommented, "tap/pptpgw.toml")
        for section in SECTIONS:
            assert getattr(configuration, section) == getattr(Configuration(), section)
        for factory in (*FACTORIES.values(), declarer):
            assert configuration.section(factory) == Configuration().section(factory)


def test_everyKeyIsDocumented() -> None:
    """
    The docstring of each section explains each of its attributes.
    """
    plugins = (one.settings for one in (*FACTORIES.values(), declarer))
    for class_ in (*SECTIONS.values(), *plugins):
        for one in fields(class_):
            documented = "".join(base.__doc__ or "" for base in class_.__mro__)
            assert f"@ivar {one.name}: " in documented, one.name


def test_everyKeyIsRead() -> None:
    """
    Every key is used: some module besides the configuration's own reads its attribute.
    """
    sources = [
        path.read_text()
        for path in (ROOT / "pptpgw").rglob("*.py")
        if path.name not in ("config.py", "section.py")
    ]
    unread = [
        f"{section}.{key.attribute}"
        for section, keys in KEYS.items()
        for key in keys.values()
        if not any(re.search(rf"\.{key.attribute}\b", source) for source in sources)
    ]
    assert unread == []
