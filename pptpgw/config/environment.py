"""
The environment that the gateway gives its plugins.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from zope.interface import implementer

from pptpgw.config.configuration import Configuration, sectionName
from pptpgw.counting.counters import Counters
from pptpgw.interfaces import IEnvironment, IKernelInterface
from pptpgw.sessions.registry import Registry
from pptpgw.store.interface import IStore


@implementer(IEnvironment)
@dataclass(slots=True)
class Environment:
    """
    See L{IEnvironment}.

    @ivar sessions: the registry of sessions, which the gateway is given too.
    @ivar used: the names of the sections that plugins were given.
    """

    reactor: Any
    mru: int
    interface: IKernelInterface | None
    counters: Counters
    addresses: tuple[IPv4Address, ...] = ()
    configuration: Configuration = field(default_factory=Configuration)
    sessions: Registry = field(init=False)
    radius: Any = None
    store: IStore | None = None
    used: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.sessions = Registry(self.reactor)

    @classmethod
    def of(
        cls,
        reactor: Any,
        configuration: Configuration,
        counters: Counters | None = None,
        radius: Any = None,
    ) -> Environment:
        """
        Make the environment that C{configuration} describes, still without the interface of a data
        path and without a store.
        """
        return cls(
            reactor,
            configuration.link.mru,
            None,
            Counters() if counters is None else counters,
            configuration.listen.addresses,
            configuration,
            radius=radius,
        )

    def settings(self, plugin: Any) -> Any:
        """
        See L{IEnvironment.settings}.
        """
        self.used.add(sectionName(plugin))
        return self.configuration.section(plugin)
