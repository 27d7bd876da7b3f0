"""
The construction of the gateway: functions that make its parts from a configuration and the checkers
of callers. Nothing is opened here; L{pptpgw.service.GatewayService} holds the parts.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from twisted.application.service import IService
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.portal import Portal
from zope.interface import Interface

from pptpgw import plugin
from pptpgw.auth.authenticator import Authenticator
from pptpgw.auth.chain import checkersOf, portalOf
from pptpgw.config import Configuration
from pptpgw.counters import Counters
from pptpgw.declared import shipped
from pptpgw.error import ConfigurationError
from pptpgw.gateway import Gateway
from pptpgw.interfaces import (
    IConfigurable,
    IConfiguredProtocol,
    IDataPath,
    IDataPathFactory,
    IHealth,
    INetwork,
    INetworkEnvironment,
    INetworkFactory,
    IPreparable,
    ISessionObserver,
    ISessionObserverFactory,
    ITunnel,
    ITunnelFactory,
)
from pptpgw.lifecycle import STOP_SECONDS, Part, Stages
from pptpgw.network.environment import Environment
from pptpgw.network.generic.network import GenericFactory
from pptpgw.ports.clockwatch import ClockWatch
from pptpgw.ports.hooks import Hooks
from pptpgw.ports.masquerading import Masquerading
from pptpgw.ports.nftables import Masquerade
from pptpgw.ports.shaper import Shaper
from pptpgw.ppp.settings import LinkSettings
from pptpgw.radius.checker import RADIUSChecker
from pptpgw.radius.client import RADIUSClient
from pptpgw.radius.services import AccountingSpool, DynamicService, makeAccounting
from pptpgw.radius.setup import makeClient
from pptpgw.records import AuditFile
from pptpgw.section import strongestFirst
from pptpgw.session.current import Sessions
from pptpgw.session.gate import Filters
from pptpgw.session.ledger import Ledger
from pptpgw.store.interface import IStore
from pptpgw.tunnels.environment import TunnelEnvironment


@dataclass(frozen=True, slots=True)
class GatewayParts:
    """
    The parts of a gateway.

    @ivar portal: judges callers.
    @ivar radius: asks the RADIUS servers; None if the configuration names none.
    @ivar networks: the networks by the names of their protocols.
    @ivar tunnels: the tunnels by the names of their plugins.
    @ivar services: everything that is opened or started, in this order.
    @ivar preparable: the parts that can say what they lack for a start.
    """

    gateway: Gateway
    portal: Portal
    radius: RADIUSClient | None
    dataPath: IDataPath
    networks: Mapping[str, INetwork]
    tunnels: Mapping[str, ITunnel]
    services: Sequence[IService]
    preparable: Sequence[IPreparable]


@dataclass(frozen=True, slots=True)
class _Reporting:
    """
    Observers that keep records of sessions, or send them.

    @ivar observers: these observers.
    @ivar files: services that the observers need as long as there are sessions.
    @ivar reports: services that stop after the last session, once its end is accounted for.
    """

    observers: list[ISessionObserver] = field(default_factory=list)
    files: list[IService] = field(default_factory=list)
    reports: list[IService] = field(default_factory=list)


def build(
    reactor: Any,
    configuration: Configuration,
    users: Portal | Iterable[ICredentialsChecker],
    observers: Iterable[ISessionObserver] = (),
) -> GatewayParts:
    """
    Make the gateway that C{configuration} describes.

    @param users: as for L{pptpgw.service.GatewayService}.
    @param observers: observers besides those that the configuration names.
    @raise ConfigurationError: see L{pptpgw.service.GatewayService}.
    """
    portal = portalOf(users)
    listen, counters, sessions = configuration.listen, Counters(), Sessions()
    dataPath = makeDataPath(reactor, configuration)
    radius = makeClient(reactor, configuration, counters) if configuration.radius.server else None
    for checker in checkersOf(portal):
        if IConfigurable.providedBy(checker):
            IConfigurable(checker).configure(configuration)
        if isinstance(checker, RADIUSChecker):
            checker.client = radius
    filters = Filters({one.name: one.rules for one in configuration.network.filter})
    environment = Environment(
        reactor,
        configuration.link.mru,
        dataPath.interface,
        counters,
        filters,
        listen.addresses,
    )
    networks = makeNetworks(configuration, environment)
    shaper = Shaper(reactor, dataPath.interface)
    reporting = _Reporting()
    _addAccounting(reporting, reactor, configuration, radius, counters)
    _addRecords(reporting, reactor, configuration, _store(reactor, configuration, portal))
    gateway = Gateway(
        reactor,
        linkSettings(configuration, portal.listCredentialsInterfaces()),
        networks,
        dataPath,
        Authenticator(portal),
        [
            sessions,
            filters,
            shaper,
            *observers,
            *reporting.observers,
            *makeObservers(reactor, configuration),
        ],
        counters,
        configuration.limits,
    )
    if configuration.network.masquerade:
        masquerade = Masquerade(reactor, configuration.network.interface)
        gateway.health.append(masquerade)
        reporting.reports.append(Masquerading(masquerade))
    if configuration.radius.dynamic:
        reporting.files.append(DynamicService(reactor, configuration, sessions, counters))
    tunnels = makeTunnels(reactor, configuration, gateway)
    gateway.health += [IHealth(one) for one in tunnels.values() if IHealth.providedBy(one)]
    clockWatch = ClockWatch(reactor)
    # Each of these may take most of its time to stop.
    reports = Stages(reactor, "reports of ended sessions", together=True)
    for report in reporting.reports:
        report.setServiceParent(reports)
    services = [
        Part("the watch of the clock", clockWatch.start, stop=clockWatch.stop),
        Part("the data path", dataPath.start, stop=dataPath.stop),
        # Before the spool, which sends what an earlier run left as soon as it is open.
        *([Part("RADIUS", radius.start, stop=radius.stop)] if radius is not None else ()),
        *reporting.files,
        *(
            Part(f"network {name}", network.start, stop=network.stop)
            for name, network in networks.items()
        ),
        Part("traffic shaping", stop=shaper.stop),
        Part("reports of callers", stop=gateway.refusals.stop),
        reports,
        # No more calls come, then the calls end, and at last the tunnels do.
        *(
            Part(f"tunnel {name}", tunnel.start, stop=tunnel.stop)
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
    parts = (*tunnels.values(), dataPath, *networks.values(), *gateway.observers, *services)
    preparable = [one for one in dict.fromkeys(parts) if IPreparable.providedBy(one)]
    return GatewayParts(gateway, portal, radius, dataPath, networks, tunnels, services, preparable)


def linkSettings(
    configuration: Configuration, judged: Container[type[Interface]] = ()
) -> LinkSettings:
    """
    Make what C{configuration} wants of each link.

    @param judged: the kinds of credentials that there is a checker for.
    @raise ConfigurationError: as L{pptpgw.section.LinkSection.methods} does, and
        L{IConfiguredProtocol.configured}.
    """
    link = configuration.link
    # What it is configured to may be of another strength.
    methods = strongestFirst(
        one.configured(configuration, judged) if IConfiguredProtocol.providedBy(one) else one
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


def makeDataPath(reactor: Any, configuration: Configuration) -> IDataPath:
    """
    Make the data path that C{configuration} names.
    """
    name, argument = plugin.specification(configuration.plugins.dataPath)
    factory = plugin.find(IDataPathFactory, name)
    return factory.makeDataPath(argument, reactor, configuration)


def networkFactories(configuration: Configuration) -> dict[str, INetworkFactory]:
    """
    Find what makes the networks that C{configuration} names and declares, by name.

    @raise ConfigurationError: a plugin isn't there, or is what a declaration is called.
    """
    network = configuration.network
    factories = plugin.choose(INetworkFactory, network.protocols)
    # Looking for plugins takes its time.
    installed = plugin.installed(INetworkFactory) if network.generic else {}
    for declaration in network.generic:
        name = declaration.name
        if name not in shipped() and name in installed:
            raise ConfigurationError(
                f'[[network.generic]] name = "{name}": must not be that of a network protocol '
                "that is installed"
            )
        factories[name] = GenericFactory(declaration)
    return factories


def makeNetworks(
    configuration: Configuration, environment: INetworkEnvironment
) -> dict[str, INetwork]:
    """
    Make the networks that C{configuration} names and declares, by name.
    """
    return {
        name: factory.makeNetwork(configuration.section(factory), environment)
        for name, factory in networkFactories(configuration).items()
    }


def makeObservers(reactor: Any, configuration: Configuration) -> Iterator[ISessionObserver]:
    """
    Make the observers that C{configuration} names.
    """
    chosen = [plugin.specification(one) for one in configuration.plugins.observers]
    factories = plugin.choose(ISessionObserverFactory, [name for name, _ in chosen], 0)
    for name, argument in chosen:
        if name in factories:
            yield factories[name].makeObserver(argument, reactor)


def makeTunnels(reactor: Any, configuration: Configuration, gateway: Gateway) -> dict[str, ITunnel]:
    """
    Make the tunnels that C{configuration} names, whose calls C{gateway} takes, by name.

    @raise ConfigurationError: a plugin isn't installed, or its section can't be used.
    """
    listen = configuration.listen
    environment = TunnelEnvironment(
        reactor, listen, gateway, gateway.counters.own, gateway.quota, gateway.known
    )
    return {
        name: factory.makeTunnel(configuration.section(factory), environment)
        for name, factory in plugin.choose(ITunnelFactory, listen.tunnels).items()
    }


def _addAccounting(
    reporting: _Reporting,
    reactor: Any,
    configuration: Configuration,
    radius: RADIUSClient | None,
    counters: Counters,
) -> None:
    accounting = makeAccounting(reactor, configuration, radius, counters)
    if accounting is not None:
        reporting.observers.append(accounting)
        reporting.files.append(AccountingSpool(accounting, configuration.radius.spool))
        reporting.reports.append(
            Part("RADIUS accounting", start=accounting.start, stop=accounting.stop)
        )


def _addRecords(
    reporting: _Reporting, reactor: Any, configuration: Configuration, store: IStore | None
) -> None:
    audit, hooks = configuration.audit, configuration.hooks
    file = AuditFile(reactor, audit.file, store is not None) if audit.file else None
    if file is not None:
        reporting.observers.append(file.audit)
        reporting.files.append(file)
    if store is not None:
        ledger = Ledger(
            reactor,
            store,
            configuration.link.name,
            audit.interim,
            brokenOff=file.endEarlier if file is not None else lambda records: None,
        )
        reporting.observers.append(ledger)
        reporting.reports.append(
            Part("sessions in the store", start=ledger.start, stop=ledger.stop)
        )
    scripts = {
        "auth-up": hooks.authUp,
        "auth-down": hooks.authDown,
        "ip-up": hooks.ipUp,
        "ip-down": hooks.ipDown,
        "ipv6-up": hooks.ipv6Up,
        "ipv6-down": hooks.ipv6Down,
    }
    if any(scripts.values()):
        interface = configuration.network.interface
        runner = Hooks(reactor, scripts, interface, hooks.deadline, hooks.processes)
        reporting.observers.append(runner)
        reporting.reports.append(
            Part(
                "scripts", runner.start, stop=runner.stop, stopSeconds=hooks.deadline + STOP_SECONDS
            )
        )


def _store(reactor: Any, configuration: Configuration, portal: Portal) -> IStore | None:
    if configuration.audit.store:
        # A gateway without it doesn't need SQL.
        from pptpgw.store.store import Store

        accounts = configuration.accounts
        return IStore(Store(reactor, configuration.audit.store, accounts.key, create=True))
    for checker in checkersOf(portal):
        store = getattr(checker, "store", None)
        if IStore.providedBy(store):
            return IStore(store)
    return None
