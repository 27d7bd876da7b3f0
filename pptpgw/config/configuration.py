"""
The configuration as one typed, frozen value, L{Configuration}, made of a TOML file and of the
defaults of all keys that the file leaves out.

The keys are the attributes of the dataclasses in L{pptpgw.config.section} and, for RADIUS and
IPsec, in L{pptpgw.radius.section} and L{pptpgw.ipsec.section}. A plugin has a section of its name,
and an EAP method has C{[eap.NAME]}. A plugin that makes network protocols of declarations has the
key of its name in C{[network]}. The dataclasses of these belong to the plugins.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from pptpgw.config import discovery as plugin
from pptpgw.config.dial import DialSection
from pptpgw.config.forwarding import ForwardingSection
from pptpgw.config.kind import NoSettings
from pptpgw.config.secrecy import assertPrivate
from pptpgw.config.section import (
    AccountsSection,
    AuditSection,
    AuthSection,
    CaptureSection,
    DataPathSection,
    EAPSection,
    HooksSection,
    LimitsSection,
    LinkSection,
    ListenSection,
    ManagementSection,
    NetworkSection,
    PluginsSection,
)
from pptpgw.config.table import keysOf, known, sectionOf
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import IEAPMethod, INetworkDeclarer
from pptpgw.ipsec.section import IPsecSection
from pptpgw.radius.section import RADIUSSection
from pptpgw.radius.servers import SECRET


@dataclass(frozen=True, slots=True)
class Configuration:
    """
    Everything that can be configured; C{Configuration()} is the defaults.

    L{load} and L{fromDict} judge every value. The constructors, those of sections too, judge
    nothing: they are for values that the program itself is sure of, of the types that the
    attributes have (C{Listen(clients=(IPv4Network("192.0.2.0/24"),))}).

    @ivar sections: the sections of plugins, by L{sectionName}, of the types that the plugins have.
    """

    listen: ListenSection = field(default_factory=ListenSection)
    link: LinkSection = field(default_factory=LinkSection)
    auth: AuthSection = field(default_factory=AuthSection)
    eap: EAPSection = field(default_factory=EAPSection)
    accounts: AccountsSection = field(default_factory=AccountsSection)
    network: NetworkSection = field(default_factory=NetworkSection)
    forwarding: ForwardingSection = field(default_factory=ForwardingSection)
    dial: DialSection = field(default_factory=DialSection)
    plugins: PluginsSection = field(default_factory=PluginsSection)
    datapath: DataPathSection = field(default_factory=DataPathSection)
    capture: CaptureSection = field(default_factory=CaptureSection)
    audit: AuditSection = field(default_factory=AuditSection)
    hooks: HooksSection = field(default_factory=HooksSection)
    management: ManagementSection = field(default_factory=ManagementSection)
    limits: LimitsSection = field(default_factory=LimitsSection)
    radius: RADIUSSection = field(default_factory=RADIUSSection)
    ipsec: IPsecSection = field(default_factory=IPsecSection)
    sections: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def fromDict(cls, mapping: Mapping[str, Any]) -> Configuration:
        """
        Make a configuration of what C{tomllib} would give for a file: a dict of sections, each a
        dict from the names that keys have in the file (C{max-connections}) to text, numbers, bools,
        lists and dicts.

        @raise ConfigurationError: with a line for each thing that is wrong: where, what, and what
            is allowed.
        """
        faults: list[str] = []
        configuration = _read(mapping, faults)
        if faults:
            raise ConfigurationError("\n".join(faults))
        return configuration

    def section(self, of: Any) -> Any:
        """
        Return the section of a plugin, with the defaults if the file has none.

        @param of: the plugin, with attributes C{name} and C{settings}.
        @raise ConfigurationError: a plugin of another kind has the section of this name.
        """
        if of.settings is EAPSection:
            return self.eap
        name = sectionName(of)
        if name not in self.sections or not _hasSection(of.settings):
            return of.settings()
        found = self.sections[name]
        if not isinstance(found, of.settings):
            raise ConfigurationError(
                f"[{name}] belongs to one of two plugins that are called {name}, and both are "
                "used: only one of them can be"
            )
        return found


def sectionName(plugin: Any) -> str:
    """
    Return the name of the section of C{plugin}: the plugin's name, for an EAP method C{eap.NAME},
    for a plugin that declares network protocols C{network.NAME}.
    """
    within = (f"{name}." for name, kind in WITHIN.items() if kind.providedBy(plugin))
    return f"{next(within, '')}{plugin.name}"


def placeOf(name: str) -> str:
    """
    Return the section of the file that has the keys of the section C{name}.
    """
    section, _, _ = name.partition(".")
    return section if WITHIN.get(section) is INetworkDeclarer else name


WITHIN: Mapping[str, Any] = {"eap": IEAPMethod, "network": INetworkDeclarer}
"""
The kinds of plugin whose sections lie within another one, by the name of that.
"""


SECTIONS: Mapping[str, type] = {
    "listen": ListenSection,
    "link": LinkSection,
    "auth": AuthSection,
    "eap": EAPSection,
    "accounts": AccountsSection,
    "network": NetworkSection,
    "forwarding": ForwardingSection,
    "dial": DialSection,
    "plugins": PluginsSection,
    "datapath": DataPathSection,
    "capture": CaptureSection,
    "audit": AuditSection,
    "hooks": HooksSection,
    "limits": LimitsSection,
    "radius": RADIUSSection,
    "ipsec": IPsecSection,
    "management": ManagementSection,
}
"""
The sections that are always there, by name.
"""

LISTS = frozenset({"dial"})
"""
The sections that have nothing but a list of tables, which bears their own name.
"""

MOVED: dict[str, str] = {
    "[listen] port": "[pptp] port",
    "[listen] max-calls-per-connection": "[pptp] max-calls-per-connection",
    "[listen] handshake-timeout": "[pptp] handshake-timeout",
    "[listen] call-timeout": "[pptp] call-timeout",
    "[plugins] data-path": "[datapath] path",
}
"""
The keys that once stood in one of L{SECTIONS} and now stand elsewhere, and where, as in
C{"[listen] port": "[pptp] port"}. A file with such a key is refused, with an error that names the
new place.
"""


Kinds = tuple[Any, ...]
"""
The interfaces of some kinds of plugin.
"""

_KINDS: Kinds = tuple(kind for kind in plugin.KINDS if kind not in WITHIN.values())


def load(path: str | Path) -> Configuration:
    """
    Read the configuration in the file at C{path}.

    @raise ConfigurationError: the file can't be read, L{parse} refuses it, or it holds secrets that
        others may read.
    """
    try:
        text = Path(path).read_bytes().decode()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: TOML is UTF-8, and this isn't: {error}") from error
    configuration = parse(text, str(path))
    if holdsSecrets(configuration):
        try:
            assertPrivate(str(path))
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{error}, since it holds a secret, or name a secret-file instead"
            ) from error
    return configuration


def holdsSecrets(value: object) -> bool:
    """
    Return whether a key of the kind L{SECRET} is set in C{value}, which is a configuration, a
    section or any value in one.
    """
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, tuple):
        return any(map(holdsSecrets, value))
    if not is_dataclass(value):
        return False
    secret = (one.name for one in fields(value) if one.metadata.get("kind") is SECRET)
    others = (one.name for one in fields(value) if one.metadata.get("kind") is not SECRET)
    return any(getattr(value, name) for name in secret) or any(
        holdsSecrets(getattr(value, name)) for name in others
    )


def parse(text: str, source: str) -> Configuration:
    """
    Make the configuration that C{text}, a TOML document, describes.

    @param source: the name of the document in errors.
    @raise ConfigurationError: with a line for each thing that is wrong: where, what, and what is
        allowed.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{source}: {error}") from error
    faults: list[str] = []
    configuration = _read(document, faults)
    if faults:
        raise ConfigurationError("\n".join(f"{source}: {fault}" for fault in faults))
    return configuration


def _read(document: Mapping[str, Any], faults: list[str]) -> Configuration:
    """
    Make the configuration that C{document} describes, which has the form that C{tomllib} gives. A
    line is added to C{faults} for each thing that is wrong; the configuration can be used only if
    there is none.
    """
    own: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for kinds, prefix, name, table in _tables(document):
        if not kinds:
            own[name] = SECTIONS[name](**sectionOf(name, SECTIONS[name], table, faults, MOVED))
        else:
            section = _pluginSection(kinds, prefix, name, faults)
            name = prefix + name
            if section is not None:
                others[name] = section(**sectionOf(placeOf(name), section, table, faults))
    configuration = Configuration(**own, sections=others)
    if faults:
        return configuration
    if configuration.eap != EAPSection() and "authentication" not in document.get("link", {}):
        # A file with a section for EAP permits EAP, even if the authentication methods aren't
        # named.
        link = configuration.link
        link = replace(link, authentication=("eap", *link.authentication))
        configuration = replace(configuration, link=link)
    return configuration


def _tables(document: Mapping[str, Any]) -> Iterator[tuple[Kinds, str, str, object]]:
    """
    Return the sections in C{document}. Each is a tuple of the kinds of plugin that it may belong to
    (empty for one of L{SECTIONS}), the part of its name before the plugin's, the plugin's name, and
    the table.
    """
    for name, table in document.items():
        within: dict[str, object] = {}
        if isinstance(table, list) and name in LISTS:
            # C{[[dial]]} is a list of tables without a section around it.
            table = {name: table}
        kind = WITHIN.get(name)
        if kind is not None and isinstance(table, dict):
            keys = keysOf(SECTIONS[name])
            within = {
                key: value
                for key, value in table.items()
                if key not in keys and (_isTables(value) or _isDeclared(kind, key))
            }
            table = {key: value for key, value in table.items() if key not in within}
        yield () if name in SECTIONS else _KINDS, "", name, table
        for key, value in within.items():
            # What is declared is the value of a key of the section itself.
            yield (kind,), f"{name}.", key, {key: value} if kind is INetworkDeclarer else value


def _isDeclared(kind: Any, name: str) -> bool:
    """
    Return whether C{name} is a plugin of C{kind} whose key can have any value, tables or not.
    """
    return kind is INetworkDeclarer and name in plugin.installed(kind)


def _isTables(value: object) -> bool:
    """
    Return whether C{value} is a table, or a list of tables.
    """
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)
    )


def _pluginSection(kinds: Kinds, prefix: str, name: str, faults: list[str]) -> type | None:
    """
    Find the type of the section of the plugin of this name and of one of C{kinds}. It is None if
    there is no such section, which is added to C{faults}, and if the plugin can't be used, which is
    an error only if the plugin is chosen.
    """
    for kind in kinds:
        try:
            section = _settingsOf(plugin.find(kind, name))
        except plugin.Outdated as error:
            faults.append(str(error))
            return None
        except plugin.NotInstalled:
            pass
        except ConfigurationError:
            return None
        else:
            if _hasSection(section):
                return section
    others = dict(SECTIONS)
    for kind in kinds:
        installed: Mapping[str, object] = plugin.installed(kind)
        for other, one in installed.items():
            if _hasSection(_settingsOf(one)):
                others[prefix + other] = _settingsOf(one)
    name = prefix + name
    known(f"section [{name}]", name, others, faults)
    return None


def choiceOf(name: str, section: object) -> str:
    """
    Return where the plugin with this section is chosen, as in C{[network] protocols}.
    """
    section_, _, within = name.partition(".")
    for kind in (WITHIN[section_],) if within else _KINDS:
        one: Any = plugin.installed(kind).get(within or name)
        if one is not None and isinstance(section, _settingsOf(one)):
            return plugin.KINDS[kind].chosen
    return "the configuration"


def _settingsOf(plugin: Any) -> type:
    # Factories of checkers and authentication protocols without a section need no such attribute.
    settings: type = getattr(plugin, "settings", NoSettings)
    return settings


def _hasSection(settings: type) -> bool:
    """
    Return whether a plugin with these settings has a section of its own.
    """
    return bool(fields(settings)) and settings is not EAPSection
