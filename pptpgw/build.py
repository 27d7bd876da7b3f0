"""
The construction of the gateway: functions that make its parts from a configuration and the checkers
of callers. They open nothing. L{pptpgw.service.GatewayService} holds the parts.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from twisted.application.service import IService
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.portal import Portal
from zope.interface import Interface

from pptpgw.auth.authenticator import Authenticator
from pptpgw.auth.chain import judgesOf
from pptpgw.config import discovery as plugin
from pptpgw.config.configuration import Configuration
from pptpgw.config.environment import Environment
from pptpgw.config.section import strongestFirst
from pptpgw.counting.counters import Counters
from pptpgw.gateway import Gateway
from pptpgw.interfaces import (
    IConfigurable,
    IConfiguredProtocol,
    IDataPath,
    IDataPathFactory,
    IHealth,
    INetwork,
    INetworkDeclarer,
    INetworkFactory,
    IPreparable,
    ISessionObserver,
    ISessionObserverFactory,
    ITunnel,
    ITunnelFactory,
)
from pptpgw.ports.clockwatch import ClockWatch
from pptpgw.ports.masquerading import Masquerading
from pptpgw.ports.nftables import Masquerade
from pptpgw.ports.shaper import Shaper
from pptpgw.ppp.settings import LinkSettings
from pptpgw.radius.build import makeClient
from pptpgw.radius.client import RADIUSClient
from pptpgw.radius.dynamic import DynamicService
from pptpgw.reporting import Reporting
from pptpgw.sessions.gate import Filters
from pptpgw.sessions.reservation import Reservation
from pptpgw.store.interface import IStore, IStoreOwner
from pptpgw.timing.lifecycle import STOP_SECONDS, Part, Stages, lives, withLife
from pptpgw.tunnels.environment import TunnelEnvironment


@dataclass(frozen=True, slots=True)
class GatewayParts:
    """
    The parts of a gateway.

    @ivar environment: the environment that plugins are given.
    @ivar radius: the client that asks the RADIUS servers; None if the configuration names none.
    @ivar networks: the networks by the names of their protocols.
    @ivar stores: the stores of accounts that the checkers ask.
    @ivar reservation: reserves the addresses that accounts own.
    @ivar tunnels: the tunnels by the names of their plugins.
    @ivar services: everything that is opened or started, in this order.
    @ivar preparable: the parts that can say what they lack for a start.
    """

    gateway: Gateway
    environment: Environment
    radius: RADIUSClient | None
    dataPath: IDataPath
    networks: Mapping[str, INetwork]
    stores: Sequence[IStore]
    reservation: Reservation
    tunnels: Mapping[str, ITunnel]
    services: Sequence[IService]
    preparable: Sequence[IPreparable]


def build(
    reactor: Any,
    configuration: Configuration,
    users: Portal | Iterable[ICredentialsChecker],
    observers: Iterable[ISessionObserver] = (),
) -> GatewayParts:
    """
    Make the gateway that C{configuration} describes.

    @param users: as for L{pptpgw.service.GatewayService}.
    @param observers: observers in addition to those that the configuration names.
    @raise ConfigurationError: see L{pptpgw.service.GatewayService}.
    """
    portal, checkers = judgesOf(users)
    listen, counters = configuration.listen, Counters()
    radius = makeClient(reactor, configuration, counters) if configuration.radius.server else None
    environment = Environment.of(reactor, configuration, counters, radius)
    stores = configureCheckers(checkers, environment)
    environment.store = _store(reactor, configuration) or next(iter(stores), None)
    dataPath = makeDataPath(environment)
    environment.interface = dataPath.interface
    networks = makeNetworks(environment)
    observers, chosen = tuple(observers), tuple(makeObservers(environment))
    shaper = Shaper(reactor, dataPath.interface)
    reporting = Reporting(reactor, configuration)
    reporting.addAccounting(radius, counters)
    reporting.addRecords(environment.store)
    reporting.addScripts()
    settings = linkSettings(environment, portal.listCredentialsInterfaces())
    gateway = Gateway(
        reactor,
        settings,
        networks,
        dataPath,
        Authenticator(portal),
        [shaper, *observers, *reporting.observers, *chosen],
        counters,
        configuration.limits,
        sessions=environment.sessions,
        filters=makeFilters(configuration),
    )
    if configuration.network.masquerade:
        masquerade = Masquerade(reactor, configuration.network.interface)
        gateway.health.append(masquerade)
        reporting.reports.append(Masquerading(masquerade))
    if configuration.radius.dynamic:
        sessions = environment.sessions
        reporting.files.append(DynamicService(reactor, configuration, sessions, counters))
    tunnels = makeTunnels(environment, gateway)
    gateway.health += [IHealth(one) for one in tunnels.values() if IHealth.providedBy(one)]
    clockWatch = ClockWatch(reactor)
    reservation = Reservation(reactor, stores, networks.values())
    # These are stopped together, since each may take most of its time to stop.
    reports = Stages(reactor, "reports of ended sessions", together=True)
    for report in reporting.reports:
        report.setServiceParent(reports)
    services = [
        Part("the watch of the clock", clockWatch.start, stop=clockWatch.stop),
        *lives(reactor, "checker", checkers),
        *lives(reactor, "authentication protocol", settings.methods),
        *(
            service
            for one in settings.methods
            if IConfiguredProtocol.providedBy(one)
            for service in lives(reactor, f"method of {one.name}", one.methods)
        ),
        withLife(Part("the data path", dataPath.start, stop=dataPath.stop), reactor, dataPath),
        # RADIUS comes before the queue of its records, which begins to send those of an earlier run
        # when it is opened.
        *([Part("RADIUS", radius.start, stop=radius.stop)] if radius is not None else ()),
        *reporting.files,
        *(
            withLife(Part(f"network {name}", network.start, stop=network.stop), reactor, network)
            for name, network in networks.items()
        ),
        *lives(reactor, "observer", (*observers, *chosen)),
        reservation,
        Part("traffic shaping", stop=shaper.stop),
        Part("reports of callers", stop=gateway.context.refusals.stop),
        reports,
        # In reverse order: first no more calls are accepted, then the calls end, and last the
        # tunnels stop.
        *(
            withLife(Part(f"tunnel {name}", tunnel.start, stop=tunnel.stop), reactor, tunnel)
            for name, tunnel in tunnels.items()
        ),
        Part(
            "calls",
            start=gateway.start,
            stop=partial(gateway.stop, listen.drainTimeout),
            stopSeconds=listen.drainTimeout + STOP_SECONDS,
        ),
        *(
            Part(f"the ports of tunnel {name}", stop=tunnel.stopListening)
            for name, tunnel in tunnels.items()
        ),
    ]
    parts = (
        *tunnels.values(),
        dataPath,
        *networks.values(),
        *gateway.sessions.observers,
        *reporting.queues,
        *services,
    )
    preparable = [one for one in dict.fromkeys(parts) if IPreparable.providedBy(one)]
    return GatewayParts(
        gateway,
        environment,
        radius,
        dataPath,
        networks,
        stores,
        reservation,
        tunnels,
        services,
        preparable,
    )


def configureCheckers(
    checkers: Iterable[ICredentialsChecker], environment: Environment
) -> tuple[IStore, ...]:
    """
    Configure the checkers that provide L{IConfigurable}, or have an adapter to it.

    @return: the stores of the checkers' accounts.
    """
    stores = []
    for checker in checkers:
        configurable = IConfigurable(checker, None)
        if configurable is not None:
            configurable.configure(environment.settings(configurable), environment)
        if IStoreOwner.providedBy(checker):
            stores.append(IStore(IStoreOwner(checker).store))
    return tuple(stores)


def makeFilters(configuration: Configuration) -> Filters:
    """
    Make the filters that accounts may name.
    """
    return Filters({one.name: one.rules for one in configuration.network.filter})


def linkSettings(environment: Environment, judged: Container[type[Interface]] = ()) -> LinkSettings:
    """
    Make the settings of every link from the configuration.

    @param judged: the kinds of credentials that the gateway has a checker for.
    @raise ConfigurationError: see L{pptpgw.config.section.LinkSection.methods} and
        L{IConfiguredProtocol.configured}.
    """
    link = environment.configuration.link
    # Configuration may change the strength of a protocol.
    methods = strongestFirst(
        one.configured(environment.settings(one), environment, judged)
        if IConfiguredProtocol.providedBy(one)
        else one
        for one in link.methods()
    )
    return LinkSettings(
        methods=methods,
        name=link.name.encode(),
        rechallenge=link.rechallenge,
        encryption=link.encryption,
        relaxable=link.encryptionRelaxable,
        bits=link.encryptionBits,
        stateful=link.encryptionStateful,
        mru=link.mru,
        echoInterval=link.echoInterval,
        echoFailures=link.echoFailures,
        setupTimeout=link.setupTimeout,
    )


def makeDataPath(environment: Environment) -> IDataPath:
    """
    Make the data path that the configuration names.
    """
    name, argument = plugin.specification(environment.configuration.plugins.dataPath)
    factory = plugin.find(IDataPathFactory, name)
    return factory.makeDataPath(argument, environment.settings(factory), environment)


def networkFactories(environment: Environment) -> dict[str, INetworkFactory]:
    """
    Find the factories of the networks that the configuration names and declares, by name.

    @raise ConfigurationError: a plugin isn't installed, or a declaration can't be used.
    """
    factories = plugin.choose(INetworkFactory, environment.configuration.network.protocols)
    for declarer in plugin.installed(INetworkDeclarer).values():
        factories.update(declarer.factories(environment.settings(declarer)))
    return factories


def makeNetworks(environment: Environment) -> dict[str, INetwork]:
    """
    Make the networks that the configuration names and declares, by name.
    """
    return {
        name: factory.makeNetwork(environment.settings(factory), environment)
        for name, factory in networkFactories(environment).items()
    }


def makeObservers(environment: Environment) -> Iterator[ISessionObserver]:
    """
    Make the observers that the configuration names.
    """
    named = environment.configuration.plugins.observers
    chosen = [plugin.specification(one) for one in named]
    factories = plugin.choose(ISessionObserverFactory, [name for name, _ in chosen], 0)
    for name, argument in chosen:
        if name in factories:
            factory = factories[name]
            yield factory.makeObserver(argument, environment.settings(factory), environment)


def makeTunnels(environment: Environment, gateway: Gateway) -> dict[str, ITunnel]:
    """
    Make the tunnels that the configuration names, by name. They offer their calls to C{gateway}.

    @raise ConfigurationError: a plugin isn't installed, or its section can't be used.
    """
    listen = environment.configuration.listen
    given = TunnelEnvironment(
        environment.reactor,
        listen,
        gateway,
        gateway.counters.own,
        gateway.quota,
        gateway.attempts,
        gateway.context.known,
        environment,
    )
    return {
        name: factory.makeTunnel(environment.settings(factory), given)
        for name, factory in plugin.choose(ITunnelFactory, listen.tunnels).items()
    }


def _store(reactor: Any, configuration: Configuration) -> IStore | None:
    if configuration.audit.store:
        # Imported here, so that a gateway without a store doesn't load SQL.
        from pptpgw.store.store import Store

        accounts = configuration.accounts
        return IStore(Store(reactor, configuration.audit.store, accounts.key, create=True))
    return None
