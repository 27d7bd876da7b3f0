"""
Tests for the command line: the plugins that it finds and lists, and its errors.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.testing import MemoryReactorClock
from twisted.python import usage

from pptpgw.service import GatewayService
from pptpgw.tap import Options
from tests import distribution
from tests.distribution import Site, observer

site = pytest.fixture(distribution.site, name="site")

CHECKER = """
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse as Users
from twisted.cred.credentials import IAnonymous
from twisted.cred.strcred import ICheckerFactory, InvalidAuthArgumentString
from zope.interface import implementer

from pptpgw.interfaces import ICertifiedName, IEAPCredentials


@implementer(ICheckerFactory)
class Factory:
    authHelp = "Knows one user."
    argStringFormat = "NAME:PASSWORD"

    def __init__(self, authType, credentialInterfaces):
        self.authType = authType
        self.credentialInterfaces = credentialInterfaces

    def generateChecker(self, argstring):
        name, colon, password = argstring.partition(":")
        if not colon:
            raise InvalidAuthArgumentString("a password is missing")
        return Users(**{name: password.encode()})


class Other:
    def __init__(self, *interfaces):
        self.credentialInterfaces = interfaces


class OtherFactory(Factory):
    def generateChecker(self, argstring):
        return Other(*self.credentialInterfaces)


certificates = OtherFactory("certificates", (ICertifiedName,))
eap = OtherFactory("eap", (IEAPCredentials,))
one = Factory("one", Users.credentialInterfaces)
nobody = Factory("nobody", (IAnonymous,))
"""

NETWORK = """
from dataclasses import dataclass

from zope.interface import implementer

from pptpgw.interfaces import INetworkFactory


@dataclass(frozen=True)
class Settings:
    pass


@implementer(INetworkFactory)
class Factory:
    name = "carrier-pigeon"
    description = "Packets on paper (RFC 1149)"
    settings = Settings

    def makeNetwork(self, settings, environment):
        return None


plugin = Factory()
"""


def options(*arguments: str) -> Options:
    """
    The options that a command line makes.
    """
    made = Options()
    usage.Options.parseOptions(made, ["--auth", "memory:alice:x", *arguments])
    return made


def complaint(*arguments: str) -> str:
    """
    The error about a wrong command line.
    """
    with pytest.raises(usage.UsageError) as error:
        options(*arguments)
    return str(error.value)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[list[list[str]], str]:
    """
    The output of a command line that succeeds: the words of each line, and the standard error.
    """
    with pytest.raises(SystemExit) as ended:
        usage.Options.parseOptions(Options(), arguments)
    assert ended.value.code == 0
    out, error = capsys.readouterr()
    return [line.split(maxsplit=1) for line in out.splitlines()], error


def pigeon(site: Site) -> None:
    """
    Install a network protocol of a third party's.
    """
    site.install("rfc1149", {"pigeon.py": NETWORK}, "carrier-pigeon = pigeon:plugin", NETWORKS)


NETWORKS = "pptpgw.network"


class TestNetwork:
    def test_namesReplaceThoseOfTheConfiguration(self, site: Site, tmp_path: Path) -> None:
        pigeon(site)
        path = tmp_path / "pptpgw.toml"
        path.write_text('[network]\nprotocols = ["ipv4"]\ninterface = "mine0"\n')
        made = options("--network", "carrier-pigeon,ipv4", "--config", str(path))
        assert made.configuration.network.protocols == ("carrier-pigeon", "ipv4")
        assert made.configuration.network.interface == "mine0"

    def test_withoutItTheConfigurationCounts(self) -> None:
        assert options().configuration.network.protocols == ("ipv4",)

    def test_aTypingError(self, site: Site) -> None:
        pigeon(site)
        said = complaint("--network", "ipv4,carrier-pigeons")
        assert said == (
            '--network: no network protocol is called "carrier-pigeons": did you mean '
            "carrier-pigeon?"
        )
        assert ", carrier-pigeon, " in complaint("--network", "xyzzy")

    @pytest.mark.parametrize("text", ["", ",", "ipv4,", "ipv4,ipv4", "IPv4", "ipv4 ipv6"])
    def test_whatIsNoListOfNames(self, text: str) -> None:
        assert f"--network {text}: must be a list of one or more" in complaint("--network", text)

    def test_oneThatIsBroken(self, site: Site) -> None:
        site.install("bad", {"bad.py": "import nothing"}, "carrier-pigeon = bad:x", NETWORKS)
        said = complaint("--network", "carrier-pigeon")
        assert 'the network protocol "carrier-pigeon" of bad 1.0 can\'t be used' in said


class TestCapture:
    def test_itReplacesTheConfigurations(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        C{--pcap} replaces the configuration's file alone. A relative path is relative to the
        folder of the command.
        """
        monkeypatch.chdir(tmp_path)
        configuration = tmp_path / "pptpgw.toml"
        configuration.write_text('[capture]\nfile = "/other"\nsize = 7\n')
        made = options("--config", str(configuration), "--pcap", "calls.pcapng")
        capture = made.configuration.capture
        assert (capture.file, capture.size) == (str(tmp_path / "calls.pcapng"), 7)

    def test_withoutItTheConfigurationCounts(self) -> None:
        assert options().configuration.capture.file == ""

    @pytest.mark.parametrize("text", ["", "/", "a\0b"])
    def test_whatIsNoFile(self, text: str) -> None:
        assert "--pcap" in complaint("--pcap", text)


class TestLists:
    def test_networkProtocols(self, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
        pigeon(site)
        lines, error = shown(capsys, "--help-network")
        assert ["carrier-pigeon", "Packets on paper (RFC 1149)"] in lines
        assert [line[1][:12] for line in lines if line[:1] == ["ipv4"]] == ["IPv4 (IPCP, "]
        assert error == ""

    def test_whatIsBrokenIsSaid(self, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
        site.install("bad", {"bad.py": "import nothing"}, "carrier-pigeon = bad:x", NETWORKS)
        lines, error = shown(capsys, "--help-network")
        assert "carrier-pigeon" not in [line[0] for line in lines if line]
        assert error.startswith('the network protocol "carrier-pigeon" of bad 1.0 can\'t be used')
        assert error.count("\n") == 1

    def test_everything(self, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
        site.install("quote", {"quote.py": observer("quote")}, "quote = quote:plugin")
        lines, _ = shown(capsys, "--help-plugins")
        places = [lines.index(heading) for heading in HEADINGS]
        assert places == sorted(places)
        assert ["quote", "For a test."] in lines[places[3] : places[4]]
        assert ["python"] in [line[:1] for line in lines[places[4] :]]

    def test_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        lines, _ = shown(capsys, "--help-plugins")
        assert lines[lines.index(HEADINGS[3]) + 1] == ["none", "is installed"]


HEADINGS = [
    ["Network", "protocol: [network] protocols"],
    ["Authentication", "protocol: [link] authentication"],
    ["Address", "pool: [ipv4] allocator"],
    ["Session", "observer: [plugins] observers"],
    ["Data", "path: [datapath] path"],
]


class TestCheckers:
    def install(self, site: Site) -> None:
        points = "\n".join(
            f"{name} = users:{name}" for name in ("one", "nobody", "certificates", "eap")
        )
        site.install("users", {"users.py": CHECKER}, points, "pptpgw.checker")

    def test_anEntryPoint(self, site: Site) -> None:
        self.install(site)
        made = options("--auth", "one:bob:secret")
        checker = made["credCheckers"][1]
        assert checker.users == {b"bob": b"secret"}

    def test_anArgumentOfNoUse(self, site: Site) -> None:
        self.install(site)
        with pytest.raises(SystemExit, match=r"^--auth one:bob: a password is missing$"):
            options("--auth", "one:bob")

    @pytest.mark.parametrize("kind", ["certificates", "eap"])
    def test_oneForCertificatesOrEAPAlone(self, site: Site, kind: str) -> None:
        self.install(site)
        made = options("--auth", kind)
        assert type(made["credCheckers"][1]).__name__ == "Other"

    def test_oneThatJudgesNothingOfOurs(self, site: Site) -> None:
        self.install(site)
        with pytest.raises(SystemExit, match=r"^--auth anonymous: it can't judge the credentials"):
            options("--auth", "anonymous")

    def test_aTypingError(self, site: Site, tmp_path: Path) -> None:
        """
        The error about a wrong checker's name says where the name stands, and nothing else.
        """
        self.install(site)
        assert complaint("--auth", "chap-secret:x") == (
            '--auth: no credentials checker is called "chap-secret": did you mean chap-secrets?'
        )
        known = '"xyzzy": there are accounts, anonymous, certificates, chap-secrets, '
        assert complaint("--auth", "xyzzy").startswith(
            f"--auth: no credentials checker is called {known}"
        )
        with pytest.raises(SystemExit) as ended:
            self.configured(tmp_path, '["xyzzy"]')
        assert str(ended.value.code).startswith(
            f"[auth] checkers: no credentials checker is called {known}"
        )

    def configured(self, folder: Path, checkers: str, *arguments: str) -> Options:
        """
        The options with a file that has these checkers, with or without C{--auth}.
        """
        path = folder / "pptpgw.toml"
        path.write_text(f"[auth]\ncheckers = {checkers}\n")
        made = Options()
        usage.Options.parseOptions(made, ["--config", str(path), *arguments])
        return made

    def test_theConfigurations(self, site: Site, tmp_path: Path) -> None:
        """
        Without C{--auth} the checkers are those of the file, in order, each with its argument.
        """
        self.install(site)
        made = self.configured(tmp_path, '["one:bob:secret", "eap", "memory:a:b"]')
        first, second, third = made["credCheckers"]
        assert (first.users, third.users) == ({b"bob": b"secret"}, {"a": "b"})
        assert type(second).__name__ == "Other"

    def test_theCommandLineReplacesThem(self, site: Site, tmp_path: Path) -> None:
        """
        With C{--auth} the file's checkers aren't made, and a reload doesn't name them as changed.
        """
        self.install(site)
        made = self.configured(tmp_path, '["one:bob"]', "--auth", "memory:a:b", "--auth", "eap")
        assert [type(one).__name__ for one in made["credCheckers"]] == [
            "InMemoryUsernamePasswordDatabaseDontUse",
            "Other",
        ]
        assert (
            made.load().auth.checkers == made.configuration.auth.checkers == ("memory:a:b", "eap")
        )

    @pytest.mark.parametrize("more", [(), ("--check-config",)])
    @pytest.mark.parametrize(
        ("checkers", "said"),
        [
            (
                '["chap-secret:x"]',
                '[auth] checkers: no credentials checker is called "chap-secret": did you mean '
                "chap-secrets?",
            ),
            ('["memory:a:b", "one:bob"]', "[auth] checkers: one:bob: a password is missing"),
            (
                '["anonymous"]',
                "[auth] checkers: anonymous: it can't judge the credentials of callers; "
                "--help-auth lists those that can",
            ),
        ],
    )
    def test_aFaultOfTheConfigurations(
        self, site: Site, tmp_path: Path, checkers: str, said: str, more: tuple[str, ...]
    ) -> None:
        self.install(site)
        with pytest.raises(SystemExit) as ended:
            self.configured(tmp_path, checkers, *more)
        assert ended.value.code == said

    def test_theConfigurationsAreConfigured(self, tmp_path: Path) -> None:
        """
        C{--check-config} finds a configuration that isn't sufficient for one of its checkers.
        """
        with pytest.raises(SystemExit, match="the configuration names no server"):
            self.configured(tmp_path, '["radius"]', "--check-config")

    def test_noneAtAll(self, tmp_path: Path) -> None:
        """
        An empty list of checkers is an error.
        """
        with pytest.raises(usage.UsageError, match=r"nobody could log in: .* or \[auth\] checkers"):
            self.configured(tmp_path, "[]")

    def test_theyHadAnotherName(self, site: Site) -> None:
        """
        C{portal()} still gives what services are made of, under its earlier name.
        """
        self.install(site)
        made = options("--auth", "one:bob:secret", "--auth", "eap")
        with pytest.warns(DeprecationWarning, match=r"use pptpgw\.tap\.Options\.checkers"):
            given = made.portal()
        assert given == made.checkers == made["credCheckers"]
        GatewayService(MemoryReactorClock(), made.configuration, given)
        assert made["credCheckers"][0].users == {b"alice": b"x"}

    @pytest.mark.parametrize("checkers", ['"eap"', '["eap", "eap"]', "[1]", '[":x"]'])
    def test_whatIsNoListOfCheckers(self, tmp_path: Path, checkers: str) -> None:
        with pytest.raises(SystemExit, match=r"\[auth\] checkers = .*: must be a list of distinct"):
            self.configured(tmp_path, checkers)

    def test_theList(self, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
        self.install(site)
        lines, _ = shown(capsys, "--help-auth")
        assert ["one", "NAME:PASSWORD"] in lines
        assert ["chap-secrets", "The path of the file."] in lines
        assert ["certificates", "NAME:PASSWORD"] in lines
        assert not {"nobody", "anonymous"} & {line[0] for line in lines if line}

    def test_more(self, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
        self.install(site)
        lines, _ = shown(capsys, "--help-auth-type", "one")
        assert ["Knows", "one user."] in lines
        assert ["Argument:", "NAME:PASSWORD"] in lines
        assert "WARNING:" not in [line[0] for line in lines if line]
        lines, _ = shown(capsys, "--help-auth-type", "nobody")
        assert "WARNING:" in [line[0] for line in lines if line]
        assert complaint("--help-auth-type", "onee") == (
            '--help-auth-type: no credentials checker is called "onee": did you mean one?'
        )


class TestConfiguration:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ('[network]\nprotocols = ["ipv9"]', "[network] protocols: no network protocol is"),
            ('[plugins]\nobservers = ["x:y"]', "[plugins] observers: no session observer is"),
            ('[datapath]\npath = "x"', '[datapath] path: no data path is called "x"'),
            ('[ipv4]\nallocator = "range"', 'address pool is called "range": did you mean ranges'),
        ],
    )
    def test_aPluginThatIsNotThere(self, tmp_path: Path, text: str, said: str) -> None:
        """
        C{--check-config} reports a missing plugin, as a start does.
        """
        path = tmp_path / "pptpgw.toml"
        path.write_text(text)
        with pytest.raises(SystemExit) as ended:
            options("--config", str(path), "--check-config")
        assert said in str(ended.value.code)
