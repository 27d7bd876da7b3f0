"""
The network plugin for a declared protocol: makes the destination of its packets, and assigns values
to sessions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from pptpgw.config import discovery
from pptpgw.config.kind import key, restart
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import (
    Caller,
    IEnvironment,
    INetwork,
    INetworkDeclarer,
    INetworkFactory,
    ISessionFiles,
    ISubscriber,
)
from pptpgw.log import Logger
from pptpgw.networks.generic.catalogue import GENERIC, shipped
from pptpgw.networks.generic.control import GenericProtocol, GenericSettings, protocolFor
from pptpgw.networks.generic.datagram import udpService, unixService
from pptpgw.networks.generic.declaration import Declaration
from pptpgw.networks.generic.hub import Hub
from pptpgw.networks.generic.outlet import Outlets
from pptpgw.networks.generic.packetservice import ServiceObject


@dataclass(frozen=True, slots=True)
class GenericSection:
    """
    C{[[network.generic]]}: declared network protocols.

    @ivar generic: the network protocols, which are served besides C{[network] protocols}.
    """

    generic: tuple[Declaration, ...] = key(GENERIC, (), restart("networks are opened at the start"))


@dataclass(frozen=True, slots=True)
class Generic:
    """
    The section of a declared protocol. It has no keys, since the declaration says everything.
    """


class Values:
    """
    The values of one option, of which each session gets one that no other session has, in turn.
    """

    def __init__(self, first: bytes, last: bytes) -> None:
        self._octets = len(first)
        self._first = int.from_bytes(first, "big")
        self._count = int.from_bytes(last, "big") - self._first + 1
        self._next = 0
        self._used: set[int] = set()

    def allocate(self) -> bytes | None:
        """
        Return a value that is free; None if all are in use.
        """
        used = self._used
        if len(used) == self._count:
            return None
        while self._next in used:
            self._next = (self._next + 1) % self._count
        used.add(self._next)
        value = (self._first + self._next).to_bytes(self._octets, "big")
        self._next = (self._next + 1) % self._count
        return value

    def release(self, value: bytes) -> None:
        """
        Make C{value} free again.
        """
        self._used.discard(int.from_bytes(value, "big") - self._first)


@implementer(INetwork, ISessionFiles)
class GenericNetwork:
    """
    The network of one declared protocol. See L{INetwork}.

    @ivar filesPerSession: see L{ISessionFiles}.
    """

    _log = Logger()

    def __init__(self, declaration: Declaration, environment: IEnvironment) -> None:
        self.declaration = declaration
        self._environment = environment
        self.filesPerSession = int(declaration.to.scheme in ("unix", "udp"))
        self._protocol = protocolFor(declaration)
        self._outlets = _outlets(declaration, environment)
        self._values = {
            type_: Values(*rule.assign)
            for type_, rule in declaration.options.items()
            if rule.assign is not None
        }

    def start(self) -> None:
        """
        Open what all sessions share.
        """
        self._outlets.start()

    def stop(self) -> None:
        """
        Do nothing: only sessions open sockets, and they have ended.
        """

    def makeProtocol(
        self, subscriber: ISubscriber, caller: Caller
    ) -> Deferred[GenericProtocol | None]:
        """
        Make the protocol for one session. The session goes without it if there is no value left to
        assign. See L{INetwork.makeProtocol}.
        """
        assigned: dict[int, bytes] = {}
        for type_, values in self._values.items():
            value = values.allocate()
            if value is None:
                self._release(assigned)
                self._log.warn(
                    "{name}: no value is left to assign for option {type}, so {user} goes without",
                    name=self.declaration.name,
                    type=type_,
                    user=subscriber.name,
                )
                return succeed(None)
            assigned[type_] = value
        outlet = self._outlets.outlet(subscriber)
        settings = GenericSettings(
            receive=outlet.received,
            opened=outlet.opened,
            closed=outlet.closed,
            assigned=assigned,
            mtu=self._environment.mru,
        )
        return succeed(self._protocol(settings))

    def release(self, protocol: GenericProtocol) -> None:
        """
        Make the session's assigned values free again.
        """
        self._release(protocol.settings.assigned)

    def _release(self, assigned: Mapping[int, bytes]) -> None:
        for type_, value in assigned.items():
            self._values[type_].release(value)


def _outlets(declaration: Declaration, environment: IEnvironment) -> Outlets:
    reactor, counters = environment.reactor, environment.counters
    match declaration.to.scheme:
        case "unix":
            return unixService(declaration, reactor, counters)
        case "udp":
            return udpService(declaration, reactor, counters)
        case "object":
            return ServiceObject(declaration, reactor, counters)
        case _:
            return Hub(reactor, counters)


@implementer(INetworkFactory)
class GenericFactory:
    """
    The plugin for one declaration. See L{INetworkFactory}.
    """

    settings = Generic

    def __init__(self, declaration: Declaration) -> None:
        self.name = declaration.name
        self.description = declaration.description or f"declared, to {declaration.to}"
        self._declaration = declaration

    def makeNetwork(self, settings: Generic, environment: IEnvironment) -> GenericNetwork:
        """
        See L{INetworkFactory.makeNetwork}.
        """
        return GenericNetwork(self._declaration, environment)


@implementer(INetworkDeclarer)
class GenericDeclarer:
    """
    The plugin C{generic}. See L{INetworkDeclarer}.
    """

    name = "generic"
    description = "Control protocol, options and destination of packets (CONTRIBUTING.md)"
    settings = GenericSection

    def factories(self, settings: GenericSection) -> Mapping[str, INetworkFactory]:
        """
        See L{INetworkDeclarer.factories}.

        @raise ConfigurationError: a declaration has the name of a network protocol that isn't
            declared itself.
        """
        # Looking for plugins takes time, so it is done only if needed.
        installed = discovery.installed(INetworkFactory) if settings.generic else {}
        for name in (one.name for one in settings.generic):
            if name not in shipped() and name in installed:
                raise ConfigurationError(
                    f'[[network.generic]] name = "{name}": must not be that of a network protocol '
                    "that is installed"
                )
        return {one.name: GenericFactory(one) for one in settings.generic}


declarer = GenericDeclarer()
