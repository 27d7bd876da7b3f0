"""
The environment that the gateway gives its plugins.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from zope.interface import implementer

from pptpgw.config.configuration import Configuration, sectionName
from pptpgw.counting.counters import Counters
from pptpgw.interfaces import IEnvironment, IKernelInterface
from pptpgw.sessions.registry import Registry
from pptpgw.store.interface import IStore


@dataclass(frozen=True, slots=True)
class Plugged:
    """
    A plugin's object in the gateway.

    @ivar factory: has the attributes C{name} and C{settings} of the plugin's section.
    @ivar part: the object. It follows the configuration if it provides
        L{pptpgw.interfaces.IReloadable}.
    """

    factory: Any
    part: object


@implementer(IEnvironment)
@dataclass(slots=True)
class Environment:
    """
    See L{IEnvironment}.

    @ivar sessions: the registry of sessions, which the gateway is given too.
    @ivar spool: the L{pptpgw.radius.spool.Spool} of accounting records; None if there is none.
    @ivar used: the types of the sections that plugins were given, by the names of the sections.
    @ivar plugged: the objects of plugins.
    """

    reactor: Any
    configuration: Configuration = field(default_factory=Configuration)
    counters: Counters = field(default_factory=Counters)
    interface: IKernelInterface | None = None
    sessions: Registry = field(init=False)
    radius: Any = None
    spool: Any = None
    store: IStore | None = None
    used: dict[str, type] = field(default_factory=dict)
    plugged: list[Plugged] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sessions = Registry(self.reactor)

    @property
    def mru(self) -> int:
        """
        See L{IEnvironment}.
        """
        return self.configuration.link.largest

    @property
    def addresses(self) -> tuple[IPv4Address, ...]:
        """
        See L{IEnvironment}.
        """
        return self.configuration.listen.addresses

    def settings(self, plugin: Any) -> Any:
        """
        See L{IEnvironment.settings}.
        """
        section = self.configuration.section(plugin)
        self.used[sectionName(plugin)] = type(section)
        return section

    def plug(self, factory: Any, part: object) -> None:
        """
        Note that the plugin C{factory} has made C{part}.
        """
        self.plugged.append(Plugged(factory, part))

    @contextmanager
    def having(self, configuration: Configuration) -> Iterator[Configuration]:
        """
        Have another configuration for a while, to try it. Nothing else runs meanwhile.
        """
        before, self.configuration = self.configuration, configuration
        try:
            yield configuration
        finally:
            self.configuration = before
