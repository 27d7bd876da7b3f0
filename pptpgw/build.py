"""
The construction of the gateway: functions that make its parts from a configuration and the checkers
of callers. They open nothing. L{pptpgw.service.GatewayService} holds the parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from twisted.application.service import IService
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.portal import Portal

from pptpgw.auth.judging import Judging
from pptpgw.config import discovery as plugin
from pptpgw.config.configuration import SECTIONS, Configuration, sectionName
from pptpgw.config.environment import Environment
from pptpgw.config.reload import Follow, Plan, SectionInForce, sectionsInForce
from pptpgw.counting.counters import Counters
from pptpgw.dialling.service import Dialling
from pptpgw.error import ConfigurationError
from pptpgw.gateway import Gateway
from pptpgw.interfaces import (
    IDataPath,
    IDataPathFactory,
    IForwarder,
    IHealth,
    INetwork,
    INetworkDeclarer,
    INetworkFactory,
    IPreparable,
    IReloadable,
    ISessionObserver,
    ISessionObserverFactory,
    ISized,
    ITunnel,
    ITunnelFactory,
)
from pptpgw.ports.clockwatch import ClockWatch
from pptpgw.ports.shaper import Shaper
from pptpgw.reporting import Reporting
from pptpgw.sessions.gate import Filters
from pptpgw.sessions.reservation import Reservation
from pptpgw.store.interface import IStore
from pptpgw.timing.lifecycle import STOP_SECONDS, Part, Stages, lives, withLife
from pptpgw.tunnels.environment import TunnelEnvironment


@dataclass(frozen=True, slots=True)
class GatewayParts:
    """
    The parts of a gateway.

    @ivar environment: the environment that plugins are given.
    @ivar judging: has callers judged.
    @ivar networks: the networks by the names of their protocols.
    @ivar reservation: reserves the addresses that accounts own.
    @ivar tunnels: the tunnels by the names of their plugins.
    @ivar dialling: the calls of C{[[dial]]}.
    @ivar services: everything that is opened or started, in this order.
    @ivar preparable: the parts that can say what they lack for a start.
    @ivar followers: prepare the parts, in this order, to follow another configuration.
    """

    gateway: Gateway
    environment: Environment
    judging: Judging
    dataPath: IDataPath
    networks: Mapping[str, INetwork]
    reservation: Reservation
    tunnels: Mapping[str, ITunnel]
    dialling: Dialling
    services: Sequence[IService]
    preparable: Sequence[IPreparable]
    followers: Sequence[Follow]

    def plan(self, configuration: Configuration, *others: Follow) -> Plan:
        """
        Find out how to put C{configuration} in force.

        @param others: prepare parts that aren't among these.
        @raise pptpgw.error.PPTPGWError: it can't be used.
        """
        return Plan(
            self.environment,
            configuration,
            (*self.followers, *others),
            (*self.environment.plugged, *self.judging.plugged(configuration)),
            self._held(),
        )

    def sections(self) -> Iterator[SectionInForce]:
        """
        Iterate over the sections of the configuration in force.
        """
        environment = self.environment
        plugged = (*environment.plugged, *self.judging.plugged(environment.configuration))
        return sectionsInForce(environment, plugged, self._held())

    def _held(self) -> dict[str, str]:
        """
        Return the keys and sections that need a restart although their rows say otherwise, because
        of the plugins that read them, each with the reason.
        """
        environment = self.environment
        held = dict(self.judging.held)
        # Sections of plugins that other plugins have chosen, such as address pools.
        known = {sectionName(one.factory) for one in environment.plugged}
        known |= self.judging.sections | SECTIONS.keys()
        for section in environment.used.keys() - known:
            held[f"[{section}]"] = f"{section} reads its section at the start only"
        for one in environment.plugged:
            name, follows = one.factory.name, IReloadable.providedBy(one.part)
            if INetwork.providedBy(one.part) and (not follows or ISized.providedBy(one.part)):
                held["[link] mru"] = f"{name} is made for packets of one size"
            if follows:
                continue
            if IDataPath.providedBy(one.part):
                why = f"the data path {name} reads it at the start only"
                held |= dict.fromkeys(("[link] mru", "[capture]", "[network] mss-clamp"), why)
        return held


def build(
    reactor: Any,
    configuration: Configuration,
    users: Portal | Iterable[ICredentialsChecker],
    observers: Iterable[ISessionObserver] = (),
    areNamed: bool = False,
) -> GatewayParts:
    """
    Make the gateway that C{configuration} describes.

    @param users: as for L{pptpgw.service.GatewayService}.
    @param observers: observers in addition to those that the configuration names.
    @param areNamed: whether C{users} are the checkers that C{[auth] checkers} names.
    @raise ConfigurationError: see L{pptpgw.service.GatewayService}.
    """
    counters = Counters()
    environment = Environment(reactor, configuration, counters)
    reporting = Reporting(environment)
    reporting.addRADIUS()
    judging = Judging(environment, users, areNamed)
    environment.store = _store(reactor, configuration) or next(iter(judging.stores), None)
    dataPath = makeDataPath(environment)
    environment.interface = dataPath.interface
    networks = makeNetworks(environment)
    observers, chosen = tuple(observers), tuple(makeObservers(environment))
    shaper = Shaper(reactor, dataPath.interface)
    reporting.addRecords()
    reporting.addScripts()
    gateway = Gateway(
        reactor,
        judging.offers,
        networks,
        dataPath,
        judging.authenticator,
        [shaper, *observers, *reporting.observers, *chosen],
        counters,
        configuration.limits,
        sessions=environment.sessions,
        filters=makeFilters(configuration),
        forwarding=configuration.forwarding,
    )
    judging.inUse = lambda: (line.link.settings for line in gateway.lines)
    if configuration.network.masquerade:
        # Imported here, as few gateways need these.
        from pptpgw.datapath.kernel.path import GROUP
        from pptpgw.ports.masquerading import Masquerading
        from pptpgw.ports.nftables import Masquerade

        masquerade = Masquerade(reactor, configuration.network.interface, GROUP)
        gateway.health.append(masquerade)
        reporting.reports.append(Masquerading(masquerade))
    tunnels = makeTunnels(environment, gateway)
    forwarding = gateway.context.forwarding
    placing = {name: one for name, one in tunnels.items() if IForwarder.providedBy(one)}
    forwarding.forwarders = {name: IForwarder(one) for name, one in placing.items()}
    forwarding.assertPlaced(configuration.forwarding)
    dialling = Dialling(gateway.context, tunnels, networks, configuration)
    gateway.health += [IHealth(one) for one in tunnels.values() if IHealth.providedBy(one)]
    clockWatch = ClockWatch(reactor)
    reservation = Reservation(reactor, lambda: judging.stores, networks.values())
    # These are stopped together, since each may take most of its time to stop.
    reports = Stages(reactor, "reports of ended sessions", together=True)
    for report in reporting.reports:
        report.setServiceParent(reports)
    services = [
        Part("the watch of the clock", clockWatch.start, stop=clockWatch.stop),
        judging.services,
        withLife(Part("the data path", dataPath.start, stop=dataPath.stop), reactor, dataPath),
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
            stop=lambda: gateway.stop(environment.configuration.listen.drainTimeout),
            stopSeconds=lambda: environment.configuration.listen.drainTimeout + STOP_SECONDS,
        ),
        *(
            Part(f"the ports of tunnel {name}", stop=tunnel.stopListening)
            for name, tunnel in tunnels.items()
        ),
        dialling,
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
        judging,
        dataPath,
        networks,
        reservation,
        tunnels,
        dialling,
        services,
        preparable,
        (
            *reporting.followers,
            gateway.follow,
            dialling.follow,
            lambda configuration: judging.follow(configuration, gateway.use),
        ),
    )


def makeFilters(configuration: Configuration) -> Filters:
    """
    Make the filters that accounts may name.
    """
    return Filters({one.name: one.rules for one in configuration.network.filter})


def makeDataPath(environment: Environment) -> IDataPath:
    """
    Make the data path that the configuration names.
    """
    name, argument = plugin.specification(environment.configuration.datapath.path)
    factory = plugin.find(IDataPathFactory, name)
    dataPath = factory.makeDataPath(argument, environment.settings(factory), environment)
    environment.plug(factory, dataPath)
    return dataPath


def networkFactories(environment: Environment) -> dict[str, INetworkFactory]:
    """
    Find the factories of the networks that the configuration names and declares, by name.

    @raise ConfigurationError: a plugin isn't installed, or a declaration can't be used.
    """
    configuration = environment.configuration
    factories = plugin.choose(INetworkFactory, configuration.network.protocols)
    declaring = [
        name.removeprefix("network.")
        for name in configuration.sections
        if name.startswith("network.")
    ]
    for declarer in plugin.choose(INetworkDeclarer, declaring, 0).values():
        factories.update(declarer.factories(environment.settings(declarer)))
    return factories


def makeNetworks(environment: Environment) -> dict[str, INetwork]:
    """
    Make the networks that the configuration names and declares, by name.
    """
    networks = {}
    for name, factory in networkFactories(environment).items():
        networks[name] = factory.makeNetwork(environment.settings(factory), environment)
        environment.plug(factory, networks[name])
    return networks


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
            observer = factory.makeObserver(argument, environment.settings(factory), environment)
            environment.plug(factory, observer)
            yield observer


def makeTunnels(environment: Environment, gateway: Gateway) -> dict[str, ITunnel]:
    """
    Make the tunnels that the configuration names, by name. They offer their calls to C{gateway}.
    Those that only C{[[dial]]} names don't listen.

    @raise ConfigurationError: a plugin isn't installed, or its section can't be used.
    """
    configuration = environment.configuration
    listening = configuration.listen.tunnels
    dialling = dict.fromkeys(one.tunnel for one in configuration.dial.dial)
    given = TunnelEnvironment(
        environment.reactor,
        gateway,
        gateway.counters.own,
        gateway.quota,
        gateway.attempts,
        gateway.tally,
        gateway.context.known,
        environment,
    )
    tunnels: dict[str, ITunnel] = {}
    named = dict.fromkeys((*listening, *dialling))
    if not named:
        raise ConfigurationError("[listen] tunnels names no tunnel, and there is no [[dial]]")
    for name, factory in plugin.choose(ITunnelFactory, tuple(named)).items():
        given = replace(given, listens=name in listening)
        tunnels[name] = factory.makeTunnel(environment.settings(factory), given)
        environment.plug(factory, tunnels[name])
    return tunnels


def _store(reactor: Any, configuration: Configuration) -> IStore | None:
    if configuration.audit.store:
        # Imported here, so that a gateway without a store doesn't load SQL.
        from pptpgw.store.store import Store

        accounts = configuration.accounts
        return IStore(Store(reactor, configuration.audit.store, accounts.key, create=True))
    return None
