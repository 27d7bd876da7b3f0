"""
Who judges callers, and how links authenticate them: the checkers, and the settings of links, as the
configuration asks for them and as a reload changes them.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count

from twisted.application.service import IService
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.portal import Portal
from twisted.internet.interfaces import IDelayedCall
from zope.interface import Interface

from pptpgw.auth.authenticator import Authenticator
from pptpgw.auth.chain import judgesOf, makeNamed
from pptpgw.config.configuration import Configuration
from pptpgw.config.environment import Environment, Plugged
from pptpgw.config.reload import ReloadStep
from pptpgw.config.secrecy import readSecret
from pptpgw.config.section import LinkSection, TunnelSection, strongestFirst
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import (
    IAuthenticationProtocol,
    IConfigurable,
    IConfiguredProtocol,
    IReloadable,
)
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.ppp.wire.ppp import PAP
from pptpgw.sessions.lockout import JUDGING_SECONDS
from pptpgw.sessions.offers import Offers
from pptpgw.store.interface import IStore, IStoreOwner
from pptpgw.timing.lifecycle import Part, Stages, lives
from pptpgw.timing.timer import cancelled


class Judging:
    """
    The checkers of one gateway, and the settings of its links.

    @ivar checkers: the checkers, in the order in which they are asked.
    @ivar authenticator: judges claims by them.
    @ivar offers: what callers to come are offered.
    @ivar sections: the names of the sections that checkers and links have been given.
    @ivar services: the checkers, authentication protocols and EAP methods that are services.
    @ivar inUse: returns the settings of the current links.
    """

    def __init__(
        self,
        environment: Environment,
        users: Portal | Iterable[ICredentialsChecker],
        areNamed: bool,
    ) -> None:
        """
        @param users: as for L{pptpgw.service.GatewayService}.
        @param areNamed: whether C{users} are the checkers that C{[auth] checkers} names.
        @raise ConfigurationError: a checker or an authentication protocol can't be used.
        """
        self._environment = environment
        portal, self.checkers = judgesOf(users)
        # The names of the checkers in the configuration; None if a program has chosen them.
        names = environment.configuration.auth.checkers
        self._names = names if areNamed and len(names) == len(self.checkers) else None
        before = set(environment.used)
        configureCheckers(self.checkers, environment)
        self.authenticator = Authenticator(portal)
        self.offers = offersOf(environment, portal.listCredentialsInterfaces())
        self.sections = environment.used.keys() - before
        self.services = Stages(environment.reactor, "who judges callers")
        self._numbers = count(1)
        self._alive = self._services(self.checkers, self.offers.methods())
        for _, service in self._alive.values():
            self.services.addService(service)
        self.inUse: Callable[[], Iterable[LinkSettings]] = tuple
        # The services that were replaced, each with the timer that stops it.
        self._retired: dict[IService, IDelayedCall] = {}
        self.services.addService(Part("replaced checkers", stop=self._stop))

    @property
    def stores(self) -> tuple[IStore, ...]:
        """
        The stores of the checkers' accounts.
        """
        owners = (one for one in self.checkers if IStoreOwner.providedBy(one))
        return tuple(IStore(IStoreOwner(one).store) for one in owners)

    @property
    def held(self) -> dict[str, str]:
        """
        The keys that can't change, as in C{[auth] checkers}, each with the reason.
        """
        if self._names is None:
            return {"[auth] checkers": "the program that runs the gateway has chosen the checkers"}
        return {}

    def plugged(self, configuration: Configuration) -> Iterator[Plugged]:
        """
        Iterate over the checkers that stay when C{configuration} is in force.
        """
        named = zip(self._names or [""] * len(self.checkers), self.checkers, strict=True)
        for name, checker in named:
            configurable = IConfigurable(checker, None)
            if configurable is not None and (not name or name in configuration.auth.checkers):
                yield Plugged(configurable, checker)

    def follow(self, configuration: Configuration, use: Callable[[Offers], object]) -> ReloadStep:
        """
        Prepare to judge callers, and to give links their settings, as C{configuration} says. Files
        with certificates and keys are read again. Checkers that it names too stay as they are.

        @param use: called with what callers to come are offered.
        @raise ConfigurationError: it can't be used.
        """
        environment = self._environment
        names, checkers, portal = self._names, self.checkers, self.authenticator.portal
        if names is not None and names != configuration.auth.checkers:
            names = configuration.auth.checkers
            checkers = tuple(self._chosen(names))
            portal, _ = judgesOf(checkers)
        fresh = [one for one in checkers if one not in self.checkers]
        configureCheckers(fresh, environment)
        offers = offersOf(environment, portal.listCredentialsInterfaces())
        alive: dict[int, tuple[object, IService]] = {}

        def open() -> None:
            alive.update(self._services(checkers, offers.methods()))
            for _, service in alive.values():
                self.services.addService(service)

        def close() -> None:
            for _, service in alive.values():
                if service in self.services.services:
                    self.services.removeService(service)

        def apply() -> None:
            used = {id(one) for one in _plugins(checkers, offers.methods())}
            for key in [key for key in self._alive if key not in used]:
                self._retire(*self._alive.pop(key))
            self._alive |= alive
            self._names, self.checkers, self.offers = names, checkers, offers
            self.authenticator.portal = portal
            use(offers)
            for one in fresh:
                if IReloadable.providedBy(one):
                    IReloadable(one).reload(environment.settings(IConfigurable(one)))

        return ReloadStep("authentication", apply, open, close)

    def _services(
        self,
        checkers: Iterable[ICredentialsChecker],
        protocols: Iterable[IAuthenticationProtocol],
    ) -> dict[int, tuple[object, IService]]:
        """
        Return those of the checkers, authentication protocols and methods that are services and
        have no parent yet, each with the service that starts and stops it, by the identity of the
        plugin.
        """
        found = {}
        for one in _plugins(checkers, protocols):
            what = f"{type(one).__name__} {next(self._numbers)}"
            for service in lives(self._environment.reactor, what, (one,)):
                found[id(one)] = one, service
        return found

    def _chosen(self, names: tuple[str, ...]) -> Iterator[ICredentialsChecker]:
        """
        Iterate over the checkers of these names, old ones and new ones.

        @raise ConfigurationError: one can't be used, or there is none.
        """
        if not names:
            raise ConfigurationError("[auth] checkers: nobody could log in: name at least one")
        old = dict(zip(self._names or (), self.checkers, strict=True))
        for name in names:
            yield old.get(name) or makeNamed(name)

    def _retire(self, plugin: object, service: IService) -> None:
        """
        Stop C{service} when every claim that C{plugin} may be judging has a verdict, and no link
        that is left authenticates by it.
        """
        reactor = self._environment.reactor
        self._retired[service] = reactor.callLater(JUDGING_SECONDS, self._look, plugin, service)

    def _look(self, plugin: object, service: IService) -> None:
        if any(
            one is plugin for settings in self.inUse() for one in _plugins((), settings.methods)
        ):
            self._retire(plugin, service)
        else:
            self._remove(service)

    def _remove(self, service: IService) -> None:
        cancelled(self._retired.pop(service))
        self.services.removeService(service)

    def _stop(self) -> None:
        for service in tuple(self._retired):
            self._remove(service)


def configureCheckers(checkers: Iterable[ICredentialsChecker], environment: Environment) -> None:
    """
    Configure the checkers that provide L{IConfigurable}, or have an adapter to it.
    """
    for checker in checkers:
        configurable = IConfigurable(checker, None)
        if configurable is not None:
            configurable.configure(environment.settings(configurable), environment)


def offersOf(environment: Environment, judged: Container[type[Interface]] = ()) -> Offers:
    """
    Make what callers are offered from the configuration: by C{[link]}, and by the sections of the
    tunnels.

    @param judged: the kinds of credentials that the gateway has a checker for.
    @raise ConfigurationError: see L{LinkSection.methods} and L{IConfiguredProtocol.configured}.
    """
    configuration = environment.configuration
    # A protocol is configured once, since it may be a service.
    configured: dict[str, IAuthenticationProtocol] = {}

    def make(link: LinkSection, permitted: Sequence[IAuthenticationProtocol]) -> LinkSettings:
        for one in permitted:
            if one.name not in configured:
                configured[one.name] = (
                    one.configured(environment.settings(one), environment, judged)
                    if IConfiguredProtocol.providedBy(one)
                    else one
                )
        # Configuration may change the strength of a protocol.
        methods = strongestFirst(configured[one.name] for one in permitted)
        # Who answers by PAP shows the password.
        ours = tuple(one for one in methods if one.number != PAP)
        proof = None if identity is None else replace(identity, methods=ours)
        return replace(settingsOf(link), methods=methods, identity=proof)

    link = configuration.link
    identity = _identity(link)
    general = make(link, link.methods())
    tunnels = {}
    for name, section in configuration.sections.items():
        if isinstance(section, TunnelSection) and (section.authentication or section.encryption):
            offered, place = link.offered(section), name if section.authentication else "link"
            try:
                tunnels[name] = make(offered, offered.methods(place, section.mayEncrypt))
            except ConfigurationError as error:
                raise ConfigurationError(f"calls by {name}: {error}") from error
    return Offers(general, tunnels)


def settingsOf(link: LinkSection) -> LinkSettings:
    """
    Make the settings that C{[link]} has for a link, whichever end this is: all but who proves
    what.
    """
    return LinkSettings(
        name=link.name.encode(),
        rechallenge=link.rechallenge,
        encryption=link.encryption,
        relaxable=link.encryptionRelaxable,
        bits=link.encryptionBits,
        stateful=link.encryptionStateful,
        compression=link.compression,
        mru=link.mru,
        echoInterval=link.echoInterval,
        echoFailures=link.echoFailures,
        setupTimeout=link.setupTimeout,
        qualityReports=link.qualityReports,
        qualityLoss=link.qualityLoss / 100,
        mrru=link.mrru if link.multilink else 0,
        shortNumbers=link.shortSequenceNumbers,
    )


def _identity(link: LinkSection) -> Identity | None:
    """
    Return what the gateway authenticates with, without the methods; None if it doesn't.

    @raise ConfigurationError: the file can't be used, or there is only one of name and file.
    """
    if bool(link.user) != bool(link.passwordFile):
        raise ConfigurationError("[link] user and password-file need each other")
    if not link.user:
        return None
    try:
        return Identity(link.user.encode(), readSecret(link.passwordFile), ())
    except ConfigurationError as error:
        raise ConfigurationError(f"[link] password-file: {error}") from error


def _plugins(
    checkers: Iterable[ICredentialsChecker], protocols: Iterable[IAuthenticationProtocol]
) -> list[object]:
    """
    Return the checkers, the authentication protocols, and their methods.
    """
    protocols = tuple(protocols)
    methods = [
        method for one in protocols if IConfiguredProtocol.providedBy(one) for method in one.methods
    ]
    return [*checkers, *protocols, *methods]
