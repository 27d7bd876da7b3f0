"""
The gateway as a Twisted service, whose children are its parts.

L{GatewayService} can be attached to any C{MultiService}. Parts that need privileges are opened in
C{privilegedStartService}, so that the process may give up its privileges afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from time import time
from typing import TYPE_CHECKING, Any

from twisted.application.service import IService
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.deprecate import deprecated
from twisted.python.versions import Version
from zope.interface import implementer

from pptpgw import __version__
from pptpgw.build import build
from pptpgw.clock import steady
from pptpgw.config.configuration import Configuration, choiceOf
from pptpgw.config.environment import Plugged
from pptpgw.config.reload import NotPutBack, ReloadStep, SectionInForce, nothing
from pptpgw.config.section import ManagementSection
from pptpgw.counting.counters import Totals
from pptpgw.datapath import mppe
from pptpgw.error import ConfigurationError, PPTPGWError
from pptpgw.interfaces import (
    Drain,
    Effect,
    IGatewayService,
    ISessionFiles,
    ISessionObserver,
    ITunnel,
    Operated,
    Reloaded,
    ReloadOutcome,
)
from pptpgw.log import Logger
from pptpgw.ports.descriptors import allowDescriptors
from pptpgw.ppp import mschap
from pptpgw.ppp.settings import LinkSettings
from pptpgw.profilecheck import checkProfile
from pptpgw.sessions.draining import Draining
from pptpgw.sessions.line import Line
from pptpgw.sessions.lockout import Lockout
from pptpgw.sessions.profile import Profile
from pptpgw.store.interface import IStore
from pptpgw.timing.lifecycle import Stages

if TYPE_CHECKING:
    from pptpgw.client import PPTPClientEndpoint
    from pptpgw.management.service import ManagementService

# The number of open files other than those of connections: ports, logs, libraries.
_OTHER_FILES = 64


@implementer(IGatewayService)
class GatewayService(Stages):
    """
    The whole gateway. Its parts are its children; a program may add services of its own.

    @ivar gateway: the L{pptpgw.gateway.Gateway}, which takes calls and counts.
    @ivar started: when the gateway began to take calls, in seconds since 1970; None if it doesn't
        run.
    @ivar lastReload: the outcome of the last reload; None if there was none.
    @ivar sessions: the current sessions and their observers, an L{pptpgw.interfaces.ISessions}.
    @ivar attempts: what became of each call and of callers that were turned away, an
        L{pptpgw.interfaces.IAttempts}.
    @ivar tally: counts what became of callers, a L{pptpgw.sessions.tally.Tally}.
    @ivar dataPath: the L{pptpgw.interfaces.IDataPath}.
    @ivar networks: the L{pptpgw.interfaces.INetwork}s, by the names of the network protocols.
    @ivar tunnels: the L{pptpgw.interfaces.ITunnel}s, by the names of their plugins.
    @ivar dialling: the calls that the gateway dials, a L{pptpgw.dialling.service.Dialling}.
    @ivar management: the L{ManagementService}, by which operators see and steer the gateway; None
        as long as no configuration has had an endpoint for it.
    @ivar store: the store where each session has a row; None if there is none.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        configuration: Configuration,
        users: Portal | Iterable[ICredentialsChecker],
        observers: Iterable[ISessionObserver] = (),
        source: Callable[[], Configuration] | None = None,
    ) -> None:
        """
        @param users: the checkers that judge callers, in the order in which they are asked; or a
            portal that has one checker for each kind of credentials, and whose realm's avatars are
            L{pptpgw.interfaces.ISubscriber}s. Checkers that are
            L{pptpgw.interfaces.IConfigurable} are configured, but not those inside another one.
        @param observers: observers in addition to those that the configuration names.
        @param source: reads the configuration again, for L{reload}; then C{users} are the checkers
            that C{[auth] checkers} names, in that order. None if it comes from no file.
        @raise ConfigurationError: a plugin that the configuration names isn't installed, a plugin
            or checker can't use its configuration, or an observer lacks a method of its interface.
        """
        self._reactor = reactor = steady(reactor)
        super().__init__(reactor)
        self.started: float | None = None
        self.lastReload: ReloadOutcome | None = None
        self._source = source
        self._parts = parts = build(reactor, configuration, users, observers, source is not None)
        self.gateway = parts.gateway
        self.sessions = parts.gateway.sessions
        self.attempts = parts.gateway.attempts
        self.tally = parts.gateway.tally
        self.dataPath = parts.dataPath
        self.networks = parts.networks
        self.tunnels = parts.tunnels
        self.dialling = parts.dialling
        self.store = parts.environment.store
        self._environment = parts.environment
        self._reservation = parts.reservation
        self._preparable = parts.preparable
        self._drain = Draining(reactor, parts.gateway, parts.gateway.context.now, self._end)
        for service in parts.services:
            service.setServiceParent(self)
        self.management: ManagementService | None = None
        if configuration.management.endpoints:
            self._manage(configuration.management)

    def lacking(self) -> list[str]:
        """
        Return what is missing for a start, one line each. Nothing is opened.
        """
        return [fault for one in self._preparable for fault in one.lacking()]

    def unused(self) -> list[str]:
        """
        Return what stands in the configuration and has no effect, one line each. A section that
        sets nothing, as those of the configuration that comes with the gateway, isn't among them.
        """
        methods = (f"eap.{name}" for name in self.configuration.eap.methods)
        used = self._environment.used.keys() | set(methods)
        return [
            f"[{name}] stands in the configuration, but {choiceOf(name, section)} doesn't name "
            f"{name.removeprefix('eap.')}"
            for name, section in self.configuration.sections.items()
            if name not in used and section != type(section)()
        ]

    def privilegedStartService(self) -> None:
        """
        Open the ports of the data path, the networks and the tunnels.

        @raise pptpgw.error.PPTPGWError: a port can't be opened; the text says why and what to do.
            Those that were opened are closed again.
        """
        if lacking := mschap.selfTest():
            raise ConfigurationError(
                f"this installation lacks {', '.join(lacking)}, which MS-CHAP and MPPE need: "
                "reinstall cryptography"
            )
        super().privilegedStartService()
        # How many are needed depends on what the parts have found.
        self._allowDescriptors()

    def startService(self) -> None:
        """
        Begin to accept calls. The parts are opened first if they aren't open yet.
        """
        if not self.begun:
            self.privilegedStartService()
        # That of an earlier run, if it was stopped by one.
        self._drain.end()
        super().startService()
        self.started = time()
        # Nobody is answered before the reactor runs.
        self._reactor.callLater(0, self._announce)

    def stopService(self) -> Any:
        """
        End every call, and stop the parts. See L{Stages.stopService}.
        """
        self.started = None
        self._drain.stop()
        return super().stopService()

    # IGatewayService

    @property
    def configuration(self) -> Configuration:
        """
        See L{IGatewayService}.
        """
        return self._environment.configuration

    @property
    def sections(self) -> Sequence[SectionInForce]:
        """
        See L{IGatewayService}.
        """
        return tuple(self._parts.sections())

    @property
    def plugged(self) -> Sequence[Plugged]:
        """
        See L{IGatewayService}.
        """
        return self._environment.plugged

    @property
    def radius(self) -> Any:
        """
        See L{IGatewayService}.
        """
        return self._environment.radius

    @property
    def spool(self) -> Any:
        """
        See L{IGatewayService}.
        """
        return self._environment.spool

    @property
    def stores(self) -> Sequence[IStore]:
        """
        See L{IGatewayService}.
        """
        return self._parts.judging.stores

    @property
    def lines(self) -> Collection[Line]:
        """
        See L{IGatewayService}.
        """
        return self.gateway.lines

    @property
    def lockouts(self) -> Lockout:
        """
        See L{IGatewayService}.
        """
        return self.gateway.context.lockout

    @property
    def counters(self) -> Totals:
        """
        See L{IGatewayService}.
        """
        return self.gateway.counters

    @property
    def faults(self) -> Sequence[str]:
        """
        See L{IGatewayService}.
        """
        return self.gateway.faults

    @property
    def draining(self) -> Drain | None:
        """
        See L{IGatewayService}.
        """
        return self._drain.drain

    @property
    def drained(self) -> bool:
        """
        See L{IGatewayService}.
        """
        return self._drain.drained

    def reload(self, configuration: Configuration | None = None) -> Deferred[Reloaded]:
        """
        See L{IGatewayService.reload}. The log says what was changed, or why nothing was.
        """
        return maybeDeferred(self._reload, configuration)

    def wouldChange(self, configuration: Configuration | None = None) -> Reloaded:
        """
        See L{IGatewayService.wouldChange}.
        """
        new = self._read() if configuration is None else configuration
        return self._parts.plan(new, self._followManagement).reloaded

    def judge(self, profile: Profile) -> None:
        """
        See L{IGatewayService.judge}.
        """
        checkProfile(self.configuration, profile)

    def drain(self, deadline: float | None = None, stop: bool = False) -> Deferred[bool]:
        """
        See L{IGatewayService.drain}.
        """
        return self._drain.begin(deadline, stop)

    def undrain(self) -> None:
        """
        See L{IGatewayService.undrain}.
        """
        self._drain.end()

    def operated(self, act: Operated) -> None:
        """
        See L{IGatewayService.operated}.
        """
        self.gateway.sessions.operated(act)

    def _manage(self, section: ManagementSection) -> ManagementService:
        """
        Make the service of the management interface, and start it if the gateway runs.

        @raise ConfigurationError: an endpoint string can't be used.
        """
        from pptpgw.management.service import ManagementService

        self.management = ManagementService(self._reactor, section, self)
        IService(self.management).setServiceParent(self)
        return self.management

    def _followManagement(self, configuration: Configuration) -> ReloadStep:
        """
        Prepare to be managed as another configuration says.
        """
        management, section = self.management, configuration.management
        if management is None:
            if not section.endpoints:
                return ReloadStep("[management]", nothing)
            # Its endpoints are opened with everything else that is new.
            management = self._manage(replace(section, endpoints=()))
        return management.follow(configuration)

    def _end(self) -> None:
        """
        Stop, since the gateway is drained.
        """
        self.stopService()

    def _read(self) -> Configuration:
        if self._source is None:
            raise ConfigurationError("there is no configuration file to read again")
        return self._source()

    def _reload(self, configuration: Configuration | None) -> Reloaded:
        try:
            new = self._read() if configuration is None else configuration
            planned = self._parts.plan(new, self._followManagement)
            planned.apply()
        except PPTPGWError as error:
            lost = isinstance(error, NotPutBack)
            what = "the reload failed" if lost else "the configuration is unchanged"
            for line in str(error).splitlines():
                self._log.error("{what}: {why}", what=what, why=line)
            self._reloaded(ReloadOutcome(time(), error=str(error)))
            raise
        except Exception as error:
            self._log.failure("the configuration is unchanged: a part failed to follow it")
            self._reloaded(ReloadOutcome(time(), error=f"{type(error).__name__}: {error}"))
            raise
        self._reservation.reserve()
        self._allowDescriptors()
        reloaded = planned.reloaded
        self._log.info("the configuration was read again; {what}", what=_told(reloaded))
        for one in reloaded.kept:
            self._log.warn("{key} needs a restart: {why}", key=one.name, why=one.reason)
        for line in self.unused():
            self._log.warn("{line}", line=line)
        self._reloaded(ReloadOutcome(time(), reloaded))
        return reloaded

    def _reloaded(self, outcome: ReloadOutcome) -> None:
        self.lastReload = outcome
        self.gateway.sessions.reloaded(outcome)

    @property
    @deprecated(Version("pptpgw", "NEXT", 0, 0), "pptpgw.service.GatewayService.tunnels")
    def pptp(self) -> ITunnel:
        """
        The PPTP tunnel.

        @raise KeyError: C{[listen] tunnels} doesn't name C{pptp}.
        """
        return self.tunnels["pptp"]

    def clientEndpoint(
        self, host: str, settings: LinkSettings, networks: Sequence[str] = ("ipv4",)
    ) -> PPTPClientEndpoint:
        """
        Make an endpoint by which the gateway calls itself. It shares the gateway's GRE port, so
        that it calls from one of the gateway's addresses.

        @param settings: the settings of the link, with the identity by which it authenticates.
        @param networks: the names of the network protocols to negotiate.
        @raise ConfigurationError: C{[listen] tunnels} doesn't name C{pptp}, or that tunnel can't
            share its port.
        """
        # Imported here, as few gateways call themselves.
        from pptpgw.client import PPTPClientEndpoint
        from pptpgw.tunnels.pptp.client import ClientPorts
        from pptpgw.tunnels.pptp.tunnel import ISharedGRE

        pptp = ISharedGRE(self.tunnels.get("pptp"), None)
        if pptp is None:
            raise ConfigurationError(
                'the gateway can\'t call itself: it needs "pptp" in [listen] tunnels'
            )
        addresses = [str(one) for one in self.configuration.listen.addresses]
        return PPTPClientEndpoint(
            self._reactor,
            host,
            settings,
            networks=networks,
            port=pptp.port,
            bindAddress=host if host in addresses else next(iter(addresses), None),
            ports=ClientPorts(self.dataPath, pptp.gre.callIDs, pptp.gre.channels),
        )

    def _announce(self) -> None:
        if not self.running:
            # The gateway was stopped before the reactor ran.
            return
        listening = self.configuration.listen.tunnels
        answering = (one for name, one in self.tunnels.items() if name in listening)
        self._log.info(
            "pptpgw {version} answers on {places}; {networks}; packets pass by {path}; "
            "MPPE: {mppe}; encryption: {encryption}",
            version=__version__,
            places=", ".join(place for one in answering for place in one.places) or "nothing",
            networks=", ".join(self.networks),
            path=self.dataPath.path,
            mppe=mppe.implementation,
            encryption=self.configuration.link.encryption,
        )
        for line in self.unused():
            self._log.warn("{line}", line=line)

    def _allowDescriptors(self) -> None:
        connections = self.configuration.listen.maxConnections
        perSession = sum(
            ISessionFiles(one).filesPerSession
            for one in (self.dataPath, *self.networks.values())
            if ISessionFiles.providedBy(one)
        )
        files = connections * (1 + perSession) + _OTHER_FILES
        limit = allowDescriptors(files)
        if limit < files:
            self._log.warn(
                "at most {limit} files may be open here: fewer than max-connections = {wanted} "
                "callers can connect at a time; ulimit -n or LimitNOFILE= raises that",
                limit=limit,
                wanted=connections,
            )


def _told(reloaded: Reloaded) -> str:
    """
    Say what a reload has changed, in words for the log.
    """
    applied = {
        effect: ", ".join(one.name for one in reloaded.applied if one.effect is effect)
        for effect in (Effect.LIVE, Effect.NEW)
    }
    told = [f"for {effect.value}: {names}" for effect, names in applied.items() if names]
    return "; ".join(told) or "nothing is different"
