from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from pptpgw.config.configuration import Configuration, holdsSecrets, load, parse
from pptpgw.config.kind import key
from pptpgw.counting.counters import Counters
from pptpgw.error import ConfigurationError
from pptpgw.radius.build import makeClient
from pptpgw.radius.servers import SECRET, Server, secretIn
from pptpgw.radius.transport import RADIUSService
from tests.radius.wire import Wire


def configured(table: str, more: str = "") -> tuple[Server, ...]:
    return parse(f"[radius]\n{more}\n[[radius.server]]\n{table}", "test").radius.server


class TestTable:
    def test_theLeast(self) -> None:
        [server] = configured('host = "192.0.2.1"\nsecret = "x"')
        assert (server.authPort, server.acctPort, server.weight) == (1812, 1813, 1)
        assert server.requireMessageAuthenticator and server.statusServer
        assert server.sharedSecret() == b"x"

    def test_severalInTheirOrder(self) -> None:
        more = 'host = "192.0.2.1"\n[[radius.server]]\nhost = "2001:db8::1"\nauth-port = 0'
        first, second = configured(more)
        assert (first.host, second.host) == ("192.0.2.1", "2001:db8::1")
        assert second.serves(accounting=True) and not second.serves(accounting=False)

    @pytest.mark.parametrize(
        ("table", "complaint"),
        [
            ('secret = "x"', "entry 1: host is missing"),
            ('host = "radius.example"', "must be an IPv4 or IPv6 address"),
            ('host = "0.0.0.0"', "must be an IPv4 or IPv6 address"),
            ('host = "192.0.2.1"\nauthport = 1', "did you mean auth-port"),
            ('host = "192.0.2.1"\nweight = -1', "a whole number from 0 to 1000"),
            ('host = "192.0.2.1"\nsecret-file = "relative"', "absolute path"),
            ('host = "192.0.2.1"\ntransport = "tcp"', '"udp", "tls"'),
        ],
    )
    def test_whatIsWrongIsSaid(self, table: str, complaint: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            configured(table)
        assert complaint in str(caught.value)

    @pytest.mark.parametrize("secret", ['""', f'"hush{"x" * 1024}"', '["hush"]'])
    def test_aSecretIsntShownWhateverIsWrongWithIt(self, secret: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            configured(f'host = "192.0.2.1"\nsecret = {secret}')
        assert str(caught.value) == (
            'test: [[radius.server]] entry 1, "192.0.2.1": secret = (not shown): must be a text of '
            "1 to 1024 octets"
        )


class TestSecret:
    def file(self, folder: Path, content: bytes, mode: int = 0o600) -> str:
        path = folder / "secret"
        path.write_bytes(content)
        path.chmod(mode)
        return str(path)

    def test_theFirstLine(self, tmp_path: Path) -> None:
        assert secretIn(self.file(tmp_path, b"open sesame\r\nmore\n")) == b"open sesame"

    @pytest.mark.parametrize("content", [b"", b"\n", b"x" * 1025])
    def test_whatIsNone(self, tmp_path: Path, content: bytes) -> None:
        with pytest.raises(ConfigurationError, match="first line"):
            secretIn(self.file(tmp_path, content))

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
    def test_oneThatOthersCanReadOrWrite(self, tmp_path: Path, mode: int) -> None:
        with pytest.raises(ConfigurationError, match="chmod 600"):
            secretIn(self.file(tmp_path, b"x", mode))

    def test_aFileThatIsNotThere(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="No such file"):
            secretIn(str(tmp_path / "none"))

    def test_aServerWithoutOne(self) -> None:
        [server] = configured('host = "192.0.2.1"')
        with pytest.raises(ConfigurationError, match=r"192\.0\.2\.1: secret or secret-file"):
            server.sharedSecret()

    @pytest.mark.parametrize("mode", [0o644, 0o620])
    @pytest.mark.parametrize("table", ["server", "client"])
    def test_aConfigurationThatHoldsOneIsItsOwnersAlone(
        self, tmp_path: Path, mode: int, table: Literal["server", "client"]
    ) -> None:
        path = tmp_path / "pptpgw.toml"
        path.write_text(f'[[radius.{table}]]\nhost = "192.0.2.1"\nsecret = "hush"\n')
        path.chmod(mode)
        with pytest.raises(ConfigurationError, match="chmod 600") as caught:
            load(path)
        assert "hush" not in str(caught.value)
        path.chmod(0o600)
        assert getattr(load(path).radius, table)[0].secret == "hush"

    def test_aPluginsSectionMayHoldOneToo(self) -> None:
        """
        A secret in a plugin's section is recognised by its kind.
        """

        @dataclass(frozen=True)
        class Section:
            password: str = key(SECRET, "")

        for password in ("", "hush"):
            configuration = Configuration(sections={"quote": Section(password)})
            assert holdsSecrets(configuration) == bool(password)


class TestDynamicClients:
    @pytest.mark.parametrize(
        ("tables", "complaint"),
        [
            ('[[radius.client]]\nsecret = "hush"', "entry 1: host is missing"),
            (
                '[[radius.client]]\nhost = "192.0.2.1"\n' * 2,
                'entry 2, "192.0.2.1": host is another entry\'s',
            ),
        ],
    )
    def test_whatIsWrongIsSaid(self, tables: str, complaint: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            parse(tables, "test")
        assert complaint in str(caught.value)
        assert "hush" not in str(caught.value)


class TestClient:
    def test_aTimeoutThatLeavesNoTimeForAnotherServer(self) -> None:
        configuration = parse("[radius]\ntimeout = 10\ndeadline = 10", "test")
        with pytest.raises(ConfigurationError, match="deadline"):
            makeClient(Wire(), configuration, Counters())

    def test_itIsMade(self) -> None:
        text = '[[radius.server]]\nhost = "192.0.2.1"\nsecret = "x"\nacct-port = 0'
        wire = Wire()
        client = makeClient(wire, parse(text, "test"), Counters())
        assert client.serves(RADIUSService.AUTHENTICATION)
        assert not client.serves(RADIUSService.ACCOUNTING)
        assert not wire.ports
