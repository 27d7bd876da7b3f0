"""
Tests for the third party's packages in C{tests/example}, installed by pip.
C{tests/integration/test_example.py} runs them in the whole program.
"""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.cred.credentials import (
    IUsernameHashedPassword,
    IUsernamePassword,
)
from twisted.internet.task import Clock
from twisted.python import usage
from zope.interface.verify import verifyObject

from pptpgw.auth.eap import EAP, EAPProtocol
from pptpgw.config.configuration import Configuration, parse
from pptpgw.config.discovery import find
from pptpgw.config.environment import Environment
from pptpgw.config.kind import NoSettings
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import (
    IAddressPoolFactory,
    IEAPMethod,
)
from pptpgw.tap import Options
from pptpgw.testing import (
    makeEnvironment,
)
from tests import distribution
from tests.distribution import Site

SOURCE = Path(__file__).parent / "example"

PASSWORDS = (IUsernamePassword, IUsernameHashedPassword)

site = pytest.fixture(distribution.site, name="site")


@pytest.fixture
def quotes(site: Site, example: Path) -> Iterator[Any]:
    """
    The module of the package C{quote}.
    """
    site.add(example)
    yield importlib.import_module("pptpgwquote")
    assert site.warnings == []


def test_theyAreSmall() -> None:
    files = [file for file in SOURCE.rglob("*.py") if not file.name.startswith("test_")]
    lines = {file.name: len(file.read_text().splitlines()) for file in files}
    assert set(lines) == {"setup.py", "pptpgwquote.py", "pptpgwgtc.py", "pptpgwjson.py"}
    assert lines["pptpgwgtc.py"] < 60
    assert lines["pptpgwjson.py"] < 70
    assert lines["pptpgwquote.py"] < 140


def test_theirOwnTests(example: Path, tmp_path: Path) -> None:
    """
    The tests of each package pass. They need L{pptpgw.testing} alone, as its author would have
    them.
    """
    files = [str(file) for file in SOURCE.rglob("test_*.py")]
    assert len(files) == 3
    done = subprocess.run(
        [sys.executable, "-m", "twisted.trial", *files],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{example}:{SOURCE.parent.parent}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"PASSED \(successes=\d\d\)", done.stdout)


def test_anArgumentThatIsNoNetwork(quotes: Any) -> None:
    with pytest.raises(ConfigurationError, match=r'\[ipv4\] allocator = "sticky:10\.88\.0\.1/28"'):
        find(IAddressPoolFactory, "sticky").makePool(
            "10.88.0.1/28", (), NoSettings(), makeEnvironment()
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


def eap(chosen: Configuration) -> EAPProtocol:
    """
    EAP as a configuration makes it, where checkers judge passwords.
    """
    environment = Environment(Clock(), chosen)
    return EAP.configured(environment.settings(EAP), environment, PASSWORDS)


class TestMethod:
    """
    Tests for the package's EAP method.
    """

    def test_itIsConfigured(self, quotes: Any) -> None:
        section = '[eap]\nmethods = ["gtc"]\n[eap.gtc]\nprompt = "Token?"'
        method: Any
        (method,) = eap(parse(f'{section}\n[link]\nencryption = "off"', "test")).methods
        assert verifyObject(IEAPMethod, method)
        assert method.prompt == b"Token?"

    def test_itIsNotPermittedByItsInstallation(self, quotes: Any) -> None:
        chosen = parse('[link]\nauthentication = ["eap"]\nencryption = "off"', "test")
        names = [method.name for method in eap(chosen).methods]
        assert names == ["mschapv2", "md5"]

    def test_twoOfOneType(self, quotes: Any, site: Site) -> None:
        """
        Two methods of the same Type are an error, as only the Type tells methods apart.
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
