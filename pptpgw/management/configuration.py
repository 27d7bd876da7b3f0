"""
The operations of the configuration in force, and of the networks and tunnels that it has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import MISSING
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from pptpgw.config.configuration import Configuration
from pptpgw.config.masking import plainValue
from pptpgw.config.reload import SectionInForce
from pptpgw.config.section import TunnelSection
from pptpgw.config.table import Key, keysOf
from pptpgw.interfaces import IGatewayService
from pptpgw.management.operation import Operation, OperationRequest, OperatorRole
from pptpgw.management.page import Columns, Page, page

EffectWord = Literal["new", "live", "restart"]


class KeyView(Struct, frozen=True):
    """
    A key of the configuration in force.

    @ivar section: the name of its section: C{ipv4}.
    @ivar key: its name in the section: C{pool}.
    @ivar value: its value. Secrets aren't shown.
    @ivar default: its value where the file has none.
    @ivar changed: whether the value isn't the default.
    @ivar allowed: the values that are allowed, in words.
    @ivar effect: whether a reload applies a new value to calls to come, or to current sessions too,
        or needs a restart.
    @ivar reason: why it needs a restart; empty unless it does.
    """

    section: str
    key: str
    value: Any
    default: Any
    changed: bool
    allowed: str
    effect: EffectWord
    reason: str


class KeyFilter(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    The columns by which keys are chosen.

    @ivar section: the name of the section.
    @ivar key: the name in the section.
    @ivar changed: whether the value isn't the default.
    @ivar effect: what a reload applies a new value to: C{new}, C{live} or C{restart}.
    """

    section: str | None = None
    key: str | None = None
    changed: bool | None = None
    effect: str | None = None


class NetworkView(Struct, frozen=True):
    """
    A network protocol that callers are offered.

    @ivar name: the name of the protocol.
    @ivar description: what the plugin says of it.
    @ivar plugin: the Python class of the plugin that serves it.
    @ivar sessions: how many sessions have it open.
    """

    name: str
    description: str
    plugin: str
    sessions: int


class TunnelView(Struct, frozen=True):
    """
    A tunnel by which callers arrive.

    @ivar name: the name of the tunnel.
    @ivar description: what the plugin says of it.
    @ivar plugin: the Python class of the plugin that serves it.
    @ivar places: where it listens.
    @ivar authentication: the authentication protocols that its callers are permitted.
    @ivar encryption: whether MPPE must open for them, may open, or stays off.
    @ivar sessions: how many sessions have arrived by it.
    """

    name: str
    description: str
    plugin: str
    places: list[str]
    authentication: list[str]
    encryption: Literal["require", "prefer", "off"]
    sessions: int


class Networks(Struct, frozen=True):
    """
    The network protocols.

    @ivar networks: the network protocols, in the order of negotiation.
    """

    networks: list[NetworkView]


class Tunnels(Struct, frozen=True):
    """
    The answer about tunnels.

    @ivar tunnels: those that the gateway has, by C{[listen] tunnels}.
    """

    tunnels: list[TunnelView]


class _Row(NamedTuple):
    section: SectionInForce
    key: Key

    @property
    def isChanged(self) -> bool:
        return bool(getattr(self.section.values, self.key.attribute) != self.key.default)

    @property
    def effect(self) -> EffectWord:
        word: Any = self.section.applies[self.key.name].effect.name.lower()
        return word  # type: ignore[no-any-return]


_COLUMNS: Columns[_Row] = {
    "section": lambda one: one.section.name,
    "key": lambda one: one.key.name,
    "changed": lambda one: one.isChanged,
    "effect": lambda one: one.effect,
}


class ConfigurationInForce:
    """
    Answers the requests for the configuration in force.
    """

    def __init__(self, gateway: IGatewayService) -> None:
        self._gateway = gateway

    def operations(self) -> Iterator[Operation]:
        """
        Iterate over the requests that are answered here, as operations of the interface.
        """
        yield Operation(
            "GET",
            "/configuration",
            "List the keys of the configuration in force.",
            self._list,
            Page[KeyView],
            query=KeyFilter,
            paged=True,
            role=OperatorRole.OPERATOR,
        )
        yield Operation(
            "GET", "/networks", "Show the network protocols in force.", self._networks, Networks
        )
        yield Operation("GET", "/tunnels", "Show the tunnels in force.", self._tunnels, Tunnels)

    async def _list(self, request: OperationRequest) -> Page[KeyView]:
        rows = (
            _Row(section, key)
            for section in self._gateway.sections
            for key in keysOf(type(section.values)).values()
        )
        return await page(rows, request, _COLUMNS, _view)

    def _networks(self, request: OperationRequest) -> Networks:
        sessions = Counter(name for one in self._gateway.sessions for name in one.networks)
        return Networks(
            [
                NetworkView(name, *self._plugin(network), sessions[name])
                for name, network in self._gateway.networks.items()
            ]
        )

    def _tunnels(self, request: OperationRequest) -> Tunnels:
        sessions = Counter(one.tunnel.name for one in self._gateway.sessions)
        configuration: Configuration = self._gateway.configuration
        views = []
        for name, tunnel in self._gateway.tunnels.items():
            link, section = configuration.link, configuration.sections.get(name)
            if isinstance(section, TunnelSection):
                link = link.offered(section)
            offers = list(link.authentication), link.encryption
            places = list(tunnel.places)
            views.append(TunnelView(name, *self._plugin(tunnel), places, *offers, sessions[name]))
        return Tunnels(views)

    def _plugin(self, part: object) -> tuple[str, str]:
        """
        Return the description and the class of the plugin that has made C{part}.
        """
        for one in self._gateway.plugged:
            if one.part is part:
                of = type(one.factory)
                return one.factory.description, f"{of.__module__}.{of.__qualname__}"
        return "", f"{type(part).__module__}.{type(part).__qualname__}"


def _view(row: _Row) -> KeyView:
    section, key = row
    default = "" if key.default is MISSING else key.default
    return KeyView(
        section=section.name,
        key=key.name,
        value=plainValue(key, getattr(section.values, key.attribute)),
        default=plainValue(key, default),
        changed=row.isChanged,
        allowed=key.kind.allowed,
        effect=row.effect,
        reason=section.applies[key.name].reason,
    )
