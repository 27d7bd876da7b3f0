"""
Makes distributions for a test, and puts them where Python looks for them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import twisted.plugins
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer

from pptpgw.config import discovery

OBSERVER = """
from zope.interface import implementer

from pptpgw.interfaces import ISessionObserverFactory
from pptpgw.config.kind import NoSettings


@implementer(ISessionObserverFactory)
class Factory:
    description = "For a test."
    settings = NoSettings

    def __init__(self, name: str) -> None:
        self.name = name

    def makeObserver(self, argument, settings, environment):
        return None
"""


CHECKER = """
from twisted.cred.strcred import ICheckerFactory
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(ICheckerFactory, IPlugin)
class Factory:
    authHelp = argStringFormat = "For a test."
    credentialInterfaces = ()

    def __init__(self, name: str) -> None:
        self.authType = name

    def generateChecker(self, argstring):
        return None
"""


def checker(name: str) -> str:
    """
    Return the text of a module whose C{plugin} is a factory of credentials checkers of this name.
    """
    return f'{CHECKER}\n\nplugin = Factory("{name}")\n'


def observer(name: str) -> str:
    """
    Return the text of a module whose C{plugin} is an observer factory of this name.
    """
    return f'{OBSERVER}\n\nplugin = Factory("{name}")\n'


@implementer(ILogObserver)
class Site:
    """
    Where a test installs distributions, each in a folder of its own on C{sys.path}.

    @ivar warnings: what was logged by L{pptpgw.config.discovery}.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.monkeypatch = monkeypatch
        self.places: list[Path] = []
        self.warnings: list[str] = []

    def install(
        self,
        name: str,
        modules: Mapping[str, str],
        entryPoints: str = "",
        group: str = "pptpgw.observer",
        record: bool = True,
        version: str = "1.0",
    ) -> Path:
        """
        Install the distribution C{name}, and return its folder.

        @param modules: the text of each file by its path, such as C{"twisted/plugins/x.py"} for a
            drop-in.
        @param entryPoints: lines of C{entry_points.txt} below C{group}.
        @param record: whether to write the distribution's metadata, and not only its files.
        """
        place = self.folder / f"{name}-{version}"
        for path, text in modules.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_text(text)
        if record:
            information = place / f"{name.replace('-', '_')}-{version}.dist-info"
            information.mkdir(parents=True)
            (information / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            )
            (information / "RECORD").write_text("".join(f"{path},,\n" for path in modules))
            (information / "entry_points.txt").write_text(f"[{group}]\n{entryPoints}\n")
        self.add(place)
        return place

    def add(self, place: Path) -> None:
        """
        Let Python import from C{place}, drop-ins included.
        """
        self.places.append(place)
        self.monkeypatch.syspath_prepend(str(place))
        dropIns = place / "twisted" / "plugins"
        if dropIns.exists():
            paths = [*twisted.plugins.__path__, str(dropIns)]
            self.monkeypatch.setattr(twisted.plugins, "__path__", paths)
        importlib.invalidate_caches()

    def __call__(self, event: LogEvent) -> None:
        if event["log_namespace"] == "pptpgw.config.discovery":
            self.warnings.append(formatEvent(event))


def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """
    The generator from which a module of tests makes a fixture of its own.
    """
    monkeypatch.setattr(discovery, "faults", [])
    before = set(sys.modules)
    made = Site(tmp_path, monkeypatch)
    globalLogPublisher.addObserver(made)
    yield made
    globalLogPublisher.removeObserver(made)
    for name in set(sys.modules) - before:
        file = Path(getattr(sys.modules[name], "__file__", None) or "/")
        if any(file.is_relative_to(place) for place in made.places):
            del sys.modules[name]
            if name.startswith("twisted.plugins."):
                vars(twisted.plugins).pop(name.rpartition(".")[2], None)
