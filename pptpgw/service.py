"""
The gateway as a Twisted service: opens every port, and closes them in order.

L{GatewayService} can be attached to any C{MultiService}. What needs privileges is opened in
C{privilegedStartService}, so that the process may give them up afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from functools import partial
from typing import Any

from twisted.application.service import Service
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks, succeed
from twisted.internet.error import CannotListenError
from twisted.python.failure import Failure
from zope.interface import Interface

from pptpgw import __version__, plugin
from pptpgw.auth.authenticator import Authenticator
from pptpgw.auth.chain import checkersOf, portalOf
from pptpgw.client import PPTPClientEndpoint
from pptpgw.clock import steady
from pptpgw.config import Configuration
from pptpgw.counters import Counters
from pptpgw.datapath import mppe
from pptpgw.declared import shipped
from pptpgw.error import ConfigurationError
from pptpgw.gateway import Gateway
from pptpgw.interfaces import (
    IAddressPools,
    IConfigurable,
    IConfiguredProtocol,
    IDataPath,
    IDataPathFactory,
    INetwork,
    INetworkFactory,
    IPreparable,
    ISessionObserver,
    ISessionObserverFactory,
)
from pptpgw.log import Logger
from pptpgw.network.environment import Environment
from pptpgw.network.generic.network import GenericFactory
from pptpgw.network.ipv4 import IPv4Network
from pptpgw.ports.clockwatch import ClockWatch
from pptpgw.ports.control import ControlFactory
from pptpgw.ports.descriptors import allowDescriptors
from pptpgw.ports.nftables import Masquerade
from pptpgw.ports.shaper import Shaper
from pptpgw.ppp import mschap
from pptpgw.ppp.settings import LinkSettings
from pptpgw.pptp.callid import CallIDs
from pptpgw.pptp.settings import ConnectionSettings
from pptpgw.radius.checker import RADIUSChecker
from pptpgw.radius.services import RADIUSServices
from pptpgw.radius.setup import makeClient
from pptpgw.records import Records
from pptpgw.reload import reload
from pptpgw.reservation import reserve
from pptpgw.section import strongestFirst
from pptpgw.session.gate import Filters
from pptpgw.stopping import STOP_SECONDS, stopPart

_EVERY_ADDRESS = ""
# Files that are open besides those of control connections: ports, logs, libraries.
_OTHER_FILES = 64
# How many callers may wait to be accepted.  Where more call at once than fit the kernel drops what
# completes their connections: they believe to be connected, and wait for answers.
_BACKLOG = 4096


def linkSettings(
    configuration: Configuration, judged: Container[type[Interface]] = ()
) -> LinkSettings:
    """
    What C{configuration} wants of each link.

    @param judged: the kinds of credentials that there is a checker for.
    @raise ConfigurationError: as L{pptpgw.section.Link.methods} does, and
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


def networkFactories(configuration: Configuration) -> dict[str, INetworkFactory]:
    """
    What makes the networks that C{configuration} names and declares, by name.

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


class GatewayService(Service):
    """
    The whole gateway.

    @ivar gateway: the L{Gateway}: callers, sessions, counters.
    @ivar dataPath: its L{IDataPath}.
    @ivar networks: its L{INetwork}s, by the names of the network protocols.
    @ivar callIDs: the call ids in use on that.
    @ivar radius: the L{RADIUSClient}; None where the configuration names no server.
    @ivar radiusServices: accounting and dynamic authorization, as far as there are any.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        configuration: Configuration,
        users: Portal | Iterable[ICredentialsChecker],
        observers: Iterable[ISessionObserver] = (),
    ) -> None:
        """
        @param users: the checkers that judge callers, in the order in which they are asked; or a
            portal to a realm that gives an L{pptpgw.interfaces.ISubscriber}, which has one checker
            for each kind of credentials. Checkers that are L{IConfigurable} are configured.
        @param observers: observers besides those that the configuration names.
        @raise ConfigurationError: a plugin that the configuration names isn't installed, a plugin
            or checker can't use its configuration, or an observer lacks something.
        """
        self._reactor = reactor = steady(reactor)
        self._clockWatch = ClockWatch(reactor)
        self._stop = partial(stopPart, reactor)
        self._configuration = configuration
        self._portal = portal = portalOf(users)
        listen, network = configuration.listen, configuration.network
        self._addresses = [str(one) for one in listen.addresses] or [_EVERY_ADDRESS]
        self._opened = False
        self._listening: list[Any] = []
        self.callIDs = CallIDs(reactor)
        self._masquerade = Masquerade(reactor, network.interface)
        self._masqueraded: Deferred[None] = succeed(None)
        counters = Counters()
        name, argument = plugin.specification(configuration.plugins.dataPath)
        self.dataPath: IDataPath = plugin.find(IDataPathFactory, name).makeDataPath(
            argument, reactor, configuration
        )
        self.radius = (
            makeClient(reactor, configuration, counters) if configuration.radius.server else None
        )
        for checker in checkersOf(portal):
            if IConfigurable.providedBy(checker):
                IConfigurable(checker).configure(configuration)
            if isinstance(checker, RADIUSChecker):
                checker.client = self.radius
        self.radiusServices = RADIUSServices(
            reactor, configuration, self.radius, lambda: self.gateway.sessions, counters
        )
        self._records = Records(reactor, configuration, portal)
        filters = Filters({one.name: one.rules for one in configuration.network.filter})
        environment = Environment(
            reactor,
            configuration.link.mru,
            self.dataPath.interface,
            counters,
            filters,
            listen.addresses,
        )
        self.networks: dict[str, INetwork] = {
            name: factory.makeNetwork(configuration.section(factory), environment)
            for name, factory in networkFactories(configuration).items()
        }
        self._shaper = Shaper(reactor, self.dataPath.interface)
        self.gateway = Gateway(
            reactor,
            linkSettings(configuration, portal.listCredentialsInterfaces()),
            tuple(self.networks.values()),
            self.dataPath,
            Authenticator(portal),
            [
                filters,
                self._shaper,
                *observers,
                *self.radiusServices.observers,
                *self._records.observers,
                *self._observers(configuration.plugins.observers),
            ],
            counters,
            configuration.limits,
            tuple(self.networks),
        )
        self.gateway.health.append(self._masquerade)
        self._control = ControlFactory(
            reactor,
            ConnectionSettings(
                maximumCalls=listen.maxCallsPerConnection,
                handshakeTimeout=listen.handshakeTimeout,
                firstCallTimeout=listen.callTimeout,
            ),
            self.callIDs,
            self.gateway,
            listen.clients,
            listen.maxConnections,
            listen.maxConnectionsPerHost,
            counters,
            self.gateway.quota,
            listen.maxSilentConnections,
            self.gateway.known,
        )

    def lacking(self) -> list[str]:
        """
        Say what is missing for a start, one line each. Nothing is opened.
        """
        parts = (self.dataPath, *self.networks.values(), *self.gateway.observers)
        preparable = dict.fromkeys(one for one in parts if IPreparable.providedBy(one))
        lacking = [fault for one in preparable for fault in one.lacking()]
        return [*lacking, *self.radiusServices.lacking(), *self._records.lacking()]

    def privilegedStartService(self) -> None:
        """
        Open the ports: the TUN device, GRE, TCP.

        @raise pptpgw.error.PPTPGWError: one can't be opened; the text says why and what to do, and
            what was opened is closed again.
        """
        Service.privilegedStartService(self)
        try:
            self._open()
        except BaseException:
            self._stopListening()
            self._close()
            raise

    def startService(self) -> None:
        """
        Serve.
        """
        Service.startService(self)
        if not self._opened:
            self.privilegedStartService()
        self.gateway.start()
        if self.radius is not None:
            self.radius.start()
        self.radiusServices.start()
        self._records.start()
        self._reserve()
        # Until the reactor runs nobody is answered.
        self._reactor.callLater(0, self._announce)

    @inlineCallbacks
    def stopService(self) -> Any:
        """
        Hang up every call, within the time that the configuration gives, and close the ports.
        """
        yield Service.stopService(self)
        drain = self._configuration.listen.drainTimeout
        yield self._stopListening()
        yield self._stop("calls", lambda: self.gateway.stop(drain), drain + STOP_SECONDS)
        yield self._stop("control connections", self._control.stop)
        yield DeferredList(
            [
                self._stop(
                    "masquerading",
                    lambda: self._masqueraded.addCallback(lambda _: self._masquerade.stop()),
                ),
                self._records.stop(),
                self._stop("RADIUS services", self.radiusServices.stop),
            ]
        )
        yield self._close()

    def reload(self, configuration: Configuration) -> None:
        """
        Apply C{configuration}, as far as that is possible without a restart; the log says which
        parts were applied. Sessions stay as they are.

        @raise pptpgw.error.ConfigurationError: it can't be used; nothing was changed.
        """
        reloaded = reload(self._configuration, configuration, self.networks)
        self._configuration = reloaded.configuration
        self._reserve()
        self._log.info(
            "the configuration was read again; new for sessions from now on: {done}",
            done=", ".join(reloaded.done) or "nothing is different",
        )
        if reloaded.kept:
            self._log.warn("these changes need a restart: {kept}", kept=", ".join(reloaded.kept))

    @property
    def port(self) -> int:
        """
        The TCP port that is listened on.
        """
        port: int = self._listening[0].getHost().port
        return port

    def clientEndpoint(self, host: str) -> PPTPClientEndpoint:
        """
        An endpoint by which the gateway calls itself. It shares the gateway's GRE port, and so
        calls from one of its addresses.
        """
        ours = host if host in self._addresses else self._addresses[0]
        return PPTPClientEndpoint(
            self._reactor,
            host,
            self.port,
            dataPath=self.dataPath,
            callIDs=self.callIDs,
            bindAddress=ours or None,
        )

    def _reserve(self) -> None:
        for network in self.networks.values():
            if isinstance(network, IPv4Network) and IAddressPools.providedBy(network.pool):
                reserve(self._reactor, self._portal, network.pool)

    def _announce(self) -> None:
        if not self._opened:
            # Stopped before it came to that.
            return
        self._log.info(
            "pptpgw {version} answers on {addresses}, port {port}; {networks}; MPPE: {mppe}; "
            "encryption: {encryption}",
            version=__version__,
            addresses=", ".join(one or "every address" for one in self._addresses),
            port=self.port,
            networks=", ".join(self.networks),
            mppe=mppe.implementation,
            encryption=self._configuration.link.encryption,
        )
        named = {*self.networks, *(f"eap.{name}" for name in self._configuration.eap.methods)}
        for name in self._configuration.sections:
            if name not in named:
                self._log.warn(
                    "[{name}] stands in the configuration, but {choice} doesn't name {plugin}",
                    name=name,
                    choice="[eap] methods" if "." in name else "[network] protocols",
                    plugin=name.removeprefix("eap."),
                )

    def _open(self) -> None:
        configuration, reactor = self._configuration, self._reactor
        listen = configuration.listen
        if lacking := mschap.selfTest():
            raise ConfigurationError(
                f"this installation lacks {', '.join(lacking)}, which PPTP's authentication and "
                "encryption need: reinstall pycryptodome and cryptography"
            )
        sockets = sum(one.to.scheme in ("unix", "udp") for one in configuration.network.generic)
        files = listen.maxConnections * (1 + sockets) + _OTHER_FILES
        limit = allowDescriptors(files)
        if limit < files:
            self._log.warn(
                "at most {limit} files may be open here: fewer than max-connections = {wanted} "
                "callers can connect at a time; ulimit -n or LimitNOFILE= raises that",
                limit=limit,
                wanted=listen.maxConnections,
            )
        self._clockWatch.start()
        self.dataPath.start()
        self.radiusServices.open()
        self._records.open()
        for network in self.networks.values():
            network.start()
        for address in self._addresses:
            try:
                listening = reactor.listenTCP(
                    listen.port, self._control, _BACKLOG, interface=address
                )
            except CannotListenError as error:
                raise ConfigurationError(
                    f"can't listen on {address or 'any address'}, TCP port {listen.port}: "
                    f"{error.socketError.strerror}. Is another PPTP server running "
                    f"(ss -ltnp sport = {listen.port} shows it)? "
                    "[listen] addresses and port choose others"
                ) from error
            self._listening.append(listening)
        if configuration.network.masquerade:
            refused: list[Failure] = []
            self._masqueraded = self._masquerade.start()
            self._masqueraded.addErrback(self._notMasqueraded, refused)
            if refused:
                refused[0].raiseException()
        self._opened = True

    def _stopListening(self) -> Deferred[Any]:
        listening, self._listening = self._listening, []
        return DeferredList(
            [self._stop(f"TCP port {one.getHost().port}", one.stopListening) for one in listening]
        )

    def _close(self) -> Deferred[Any]:
        """
        Close everything that is open, in the reverse order of opening.
        """
        self._opened = False
        parts: list[tuple[str, Callable[[], object]]] = [
            ("reports of callers", self.gateway.refusals.stop),
            *([("RADIUS", self.radius.stop)] if self.radius is not None else ()),
            ("records of sessions", self._records.close),
            ("traffic shaping", self._shaper.stop),
            *((f"network {name}", one.stop) for name, one in reversed(self.networks.items())),
            ("the data path", self.dataPath.stop),
            ("RADIUS services", self.radiusServices.close),
            ("the watch of the clock", self._clockWatch.stop),
        ]
        return DeferredList([self._stop(name, stop) for name, stop in parts])

    def _notMasqueraded(self, failure: Failure, refused: list[Failure]) -> None:
        """
        While the ports are being opened the failure is C{refused}'s; later nobody waits for it.
        """
        if not self._opened:
            refused.append(failure)
            return
        self._log.error(
            "callers' packets are not masqueraded: {why}", why=failure.getErrorMessage()
        )

    def _observers(self, specifications: Iterable[str]) -> Iterator[ISessionObserver]:
        chosen = [plugin.specification(one) for one in specifications]
        factories = plugin.choose(ISessionObserverFactory, [name for name, _ in chosen], 0)
        for name, argument in chosen:
            if name in factories:
                yield factories[name].makeObserver(argument, self._reactor)
