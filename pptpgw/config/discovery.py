"""
Finding plugins of every kind by their entry points.

The rules:

    - A package makes its plugin known by an entry point with the plugin's name, in the group of its
      kind (L{KINDS}).
    - Credentials checkers may also be drop-ins: attributes of modules in C{twisted/plugins}, where
      C{--auth} of other programs finds them by L{twisted.plugin.getPlugins}.
    - L{find} imports the plugin that is asked for. Where drop-ins count, it imports all of them,
      since only importing shows what they hold. L{installed} imports all plugins of one kind.
    - The order of installation or of imports makes no difference.
    - Plugins are verified: each provides the interface of its kind completely, and has the name by
      which it was found.
    - A broken plugin is left out, and logged once with its distribution. So are two plugins with
      one name, unless one of them is pptpgw's or Twisted's own, which then is used. A plugin that
      is both a drop-in and an entry point counts once.
    - What is installed is read again when a folder has changed in which Python looks for modules.
    - Nothing is cached in files. The C{dropin.cache} of C{getPlugins} would be out of date if a
      package keeps the times of its files, and would cause lines of the log if it can't be written.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import twisted.plugins
from twisted.cred.strcred import ICheckerFactory
from twisted.plugin import IPlugin
from twisted.python.modules import PythonModule, getModule
from zope.interface.verify import verifyObject

from pptpgw.error import ConfigurationError
from pptpgw.interfaces import (
    IAddressPoolFactory,
    IAuthenticationProtocol,
    IDataPathFactory,
    IEAPMethod,
    INetworkDeclarer,
    INetworkFactory,
    ISessionObserverFactory,
    ITunnelClientFactory,
    ITunnelFactory,
)
from pptpgw.log import Logger

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PluginKind:
    """
    A kind of plugin.

    @ivar words: the name of the kind in messages.
    @ivar chosen: the configuration key that chooses plugins of the kind.
    @ivar group: the group of its entry points.
    @ivar label: the attribute that holds a plugin's name.
    @ivar line: the attribute that holds a plugin's description, one line.
    @ivar dropIns: whether a plugin of the kind may be a drop-in of Twisted.
    """

    words: str
    chosen: str
    group: str
    label: str = "name"
    line: str = "description"
    dropIns: bool = False


KINDS: dict[type, PluginKind] = {
    ITunnelFactory: PluginKind("tunnel", "[listen] tunnels", "pptpgw.tunnel"),
    INetworkFactory: PluginKind("network protocol", "[network] protocols", "pptpgw.network"),
    INetworkDeclarer: PluginKind(
        "declaration of network protocols", "[[network.NAME]]", "pptpgw.declaration"
    ),
    IAuthenticationProtocol: PluginKind(
        "authentication protocol", "[link] authentication", "pptpgw.authentication"
    ),
    IEAPMethod: PluginKind("EAP method", "[eap] methods", "pptpgw.eap"),
    IAddressPoolFactory: PluginKind("address pool", "[ipv4] allocator", "pptpgw.pool"),
    ISessionObserverFactory: PluginKind(
        "session observer", "[plugins] observers", "pptpgw.observer"
    ),
    IDataPathFactory: PluginKind("data path", "[datapath] path", "pptpgw.datapath"),
    ICheckerFactory: PluginKind(
        "credentials checker",
        "[auth] checkers",
        "pptpgw.checker",
        "authType",
        "argStringFormat",
        True,
    ),
    ITunnelClientFactory: PluginKind(
        "client of a tunnel", "the beginning of an endpoint string", "pptpgw.client"
    ),
}
"""
Every kind of plugin, by the interface that its plugins provide.
"""

_GROUPS = "[pptpgw."
_EVERY_GROUP = frozenset(kind.group for kind in KINDS.values())

_BUILT_IN = "twisted.plugins.pptpgw_plugin"

_PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
"""
The file that declares pptpgw's entry points, if pptpgw runs from its source. It may have some that
were added after the installation.
"""


def installed(kind: type[T]) -> dict[str, T]:
    """
    Return every plugin of C{kind} that can be used, by name, in the order of the names.
    """
    plugins = {}
    for name, found in sorted(_found(kind).items()):
        try:
            plugins[name] = _chosen(kind, name, found)
        except ConfigurationError as error:
            _tell(str(error))
    return plugins


class NotInstalled(ConfigurationError):
    """
    There is no plugin of the given name; the text says which plugins there are.

    @ivar why: the text without the configuration key that chooses plugins of the kind, for a name
        that doesn't come from the configuration.
    """

    def __init__(self, why: str, chosen: str = "") -> None:
        """
        @param chosen: the configuration key; empty to leave it out.
        """
        super().__init__(f"{chosen}: {why}" if chosen else why)
        self.why = why


class Outdated(NotInstalled):
    """
    The source has a plugin that it didn't have when pptpgw was installed from it.
    """


def find(kind: type[T], name: str) -> T:
    """
    Return the plugin of C{kind} that has the name C{name}.

    @raise NotInstalled: there is no such plugin.
    @raise ConfigurationError: the plugin can't be used; the text says why.
    """
    found, words, chosen = _found(kind), KINDS[kind].words, KINDS[kind].chosen
    if name not in found:
        if _PROJECT.is_file() and name in _ownEntryPoints(KINDS[kind].group):
            raise Outdated(
                f"the {words} \"{name}\" can't be used: the installation of pptpgw doesn't name it "
                f'yet; run "pip install -e ." in {_PROJECT.parent}'
            )
        from difflib import get_close_matches

        near = get_close_matches(name, found, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(found))}"
        hint = hint if found else "none is installed"
        raise NotInstalled(f'no {words} is called "{name}": {hint}', chosen)
    return _chosen(kind, name, found[name])


def _ownEntryPoints(group: str) -> Container[str]:
    """
    Return the names of the entry points of C{group} that pyproject.toml declares.
    """
    project = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]
    found: Container[str] = project["entry-points"].get(group, {})
    return found


def choose(kind: type[T], names: Iterable[str], least: int = 1) -> dict[str, T]:
    """
    Return the plugins of C{kind} with these names, in their order. A plugin that can't be used is
    logged and left out.

    @raise NotInstalled: there is no plugin with one of the names.
    @raise ConfigurationError: fewer than C{least} can be used; the text says why.
    """
    plugins: dict[str, T] = {}
    broken = []
    for name in names:
        try:
            plugins[name] = find(kind, name)
        except NotInstalled:
            raise
        except ConfigurationError as error:
            broken.append(str(error))
    if len(plugins) < least:
        raise ConfigurationError("; ".join(broken))
    for fault in broken:
        _tell(fault)
    return plugins


def specification(text: str) -> tuple[str, str]:
    """
    Return name and argument of C{NAME:ARGUMENT}, or of C{NAME}, whose argument is empty.
    """
    name, _, argument = text.partition(":")
    return name, argument


@dataclass(frozen=True, slots=True)
class _Found:
    """
    A place from which a plugin can be loaded.

    @ivar load: returns the plugin; it may raise any exception.
    @ivar origin: returns the name of the distribution that the plugin belongs to. That of a drop-in
        must be searched for.
    @ivar builtIn: whether the plugin is one of pptpgw's own.
    """

    load: Callable[[], object]
    origin: Callable[[], str]
    builtIn: bool = False


def _found(kind: type) -> dict[str, list[_Found]]:
    """
    Return the places of all plugins of C{kind}, by name.
    """
    found: dict[str, list[_Found]] = {}
    dropIns = _dropIns(kind) if KINDS[kind].dropIns else ()
    for name, one in (*dropIns, *_entryPoints(KINDS[kind].group)):
        found.setdefault(name, []).append(one)
    return found


def _chosen(kind: type[T], name: str, found: list[_Found]) -> T:
    """
    Return the one plugin among C{found}, all of which have the name C{name}.

    @raise ConfigurationError: there isn't exactly one that can be used.
    """
    what = f'{KINDS[kind].words} "{name}"'
    if len(found) > 1:
        first = [one for one in found if one.builtIn or one.origin().startswith("Twisted ")]
        for one in found if first else ():
            if one not in first:
                _tell(f"the {what} of {one.origin()} is left out: {first[0].origin()} has one")
        found = first or found
    plugins: dict[int, T] = {}
    origins = []
    broken = []
    for one in found:
        try:
            plugin: Any = one.load()
            verifyObject(kind, plugin)
            label = KINDS[kind].label
            if getattr(plugin, label) != name:
                raise ValueError(f"its {label} is {getattr(plugin, label)!r}")
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            broken.append(f"the {what} of {one.origin()} can't be used: {_reason(error)}")
        else:
            if id(plugin) not in plugins:
                plugins[id(plugin)] = plugin
                origins.append(one.origin)
    if not plugins:
        raise ConfigurationError("; ".join(broken))
    for fault in broken:
        _tell(fault)
    if len(plugins) > 1:
        owners = " and ".join(sorted(origin() for origin in origins))
        raise ConfigurationError(f"the {what} can't be used: {owners} each have one; uninstall one")
    return plugins.popitem()[1]


def _dropIns(kind: Any) -> Iterator[tuple[str, _Found]]:
    """
    Return names and places of the plugins of C{kind} that are attributes of modules in
    C{twisted.plugins}.
    """
    for module in getModule(twisted.plugins.__name__).iterModules():
        try:
            plugins = [
                plugin
                for plugin in vars(module.load()).values()
                if IPlugin.providedBy(plugin) and kind.providedBy(plugin)
            ]
            names = [str(getattr(plugin, KINDS[kind].label)) for plugin in plugins]
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            _tell(f"the drop-in {module.name} of {_owner(module)} is left out: {_reason(error)}")
        else:
            for name, plugin in zip(names, plugins, strict=True):
                yield name, _dropIn(module, plugin)


def _dropIn(module: PythonModule, plugin: object) -> _Found:
    return _Found(lambda: plugin, lambda: _owner(module), module.name == _BUILT_IN)


def _entryPoints(group: str) -> Iterator[tuple[str, _Found]]:
    """
    Return names and places of the plugins that are entry points in C{group}.
    """
    for owner, distribution, points in _distributions(tuple(map(_place, sys.path))):
        for point in points:
            if point.group == group:
                found = _Found(point.load, partial(_title, distribution), owner == "pptpgw")
                yield point.name, found


def _place(folder: str) -> tuple[str, int]:
    """
    Return a folder in which Python looks for modules, and when something in it was installed last.
    """
    try:
        return folder, Path(folder).stat().st_mtime_ns
    except OSError:
        return folder, 0


@lru_cache(maxsize=1)
def _distributions(
    places: tuple[tuple[str, int], ...],
) -> Sequence[tuple[str, Distribution, Sequence[EntryPoint]]]:
    """
    Return the distributions in C{places} that have plugins, each with its name and its entry
    points. Of several versions of one, only the first on the path is returned, from which Python
    imports.
    """
    from importlib import metadata

    found = {}
    for distribution in metadata.distributions():
        try:
            # Few have any. The others aren't parsed, which takes time at every start.
            if _GROUPS not in (distribution.read_text("entry_points.txt") or ""):
                continue
            if any(one.group in _EVERY_GROUP for one in distribution.entry_points):
                name = distribution.metadata["Name"]
                first = metadata.distribution(name)
                found[name] = name, first, tuple(first.entry_points)
        except Exception as error:
            _tell(f"the entry points of {_title(distribution)} are left out: {_reason(error)}")
    return tuple(found.values())


def _title(distribution: Distribution) -> str:
    try:
        name = distribution.metadata["Name"]
    except Exception:
        name = None
    if not name:
        # A distribution without a name is what a deinstallation left behind.
        return f"a distribution in {distribution.locate_file('')}"
    return f"{name} {distribution.version}"


def _owner(module: PythonModule) -> str:
    """
    Return the name of the distribution that installed a drop-in, or the drop-in's path if none did.
    """
    from importlib import metadata

    path = module.filePath.path
    for distribution in metadata.distributions():
        for file in distribution.files or ():
            if file.name == module.filePath.basename() and str(file.locate()) == path:
                return _title(distribution)
    return path


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


_log = Logger()

faults: list[str] = []
"""
The faults of plugins that were found so far. Each is logged once.
"""


def _tell(fault: str) -> None:
    if fault not in faults:
        faults.append(fault)
        _log.warn("{fault}", fault=fault)
