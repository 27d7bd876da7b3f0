"""
The plan of a call of C{[[dial]]}: all that is needed to place it, with the files read and the
plugins found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse

from pptpgw.auth.authenticator import Authenticator
from pptpgw.auth.chain import judgesOf
from pptpgw.auth.identity import Certificate, makeIdentity
from pptpgw.auth.judging import settingsOf
from pptpgw.config.configuration import Configuration
from pptpgw.config.dial import Dial
from pptpgw.config.section import strongestFirst
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import Forward, IAskingNetwork, IDialler, INetwork, ITunnel
from pptpgw.ppp.exchange import Authenticate
from pptpgw.ppp.settings import LinkSettings
from pptpgw.sessions.profile import Profile

Tunnels = Mapping[str, ITunnel]
Networks = Mapping[str, INetwork]


@dataclass(frozen=True, slots=True)
class DialPlan:
    """
    All that is needed to place a call of one C{[[dial]]}.

    @ivar dial: the row of the configuration.
    @ivar ends: where to, in the order in which that is tried.
    @ivar settings: the settings of the link.
    @ivar judge: judges what the other end claims; None if it needn't authenticate itself.
    @ivar networks: the networks that are asked for.
    """

    dial: Dial
    ends: tuple[Forward, ...]
    settings: LinkSettings
    judge: Authenticate | None
    networks: tuple[IAskingNetwork, ...]

    @property
    def profile(self) -> Profile:
        """
        What the session of the call may do.
        """
        return self.dial.profile

    def watched(self, changed: Callable[[], None]) -> DialPlan:
        """
        Return this plan for a call that tells when the other end has taken our new password.
        """
        identity = self.settings.identity
        assert identity is not None
        settings = replace(self.settings, identity=replace(identity, changed=changed))
        return replace(self, settings=settings)

    def renewed(self) -> DialPlan:
        """
        Return this plan for calls after the other end has taken our new password.
        """
        identity = self.settings.identity
        assert identity is not None
        identity = replace(identity, password=identity.newPassword, newPassword=b"")
        return replace(self, settings=replace(self.settings, identity=identity))


def planOf(
    configuration: Configuration, dial: Dial, tunnels: Tunnels, networks: Networks
) -> DialPlan:
    """
    Read the files that C{dial} names, and find its plugins.

    @raise ConfigurationError: it can't be used; the text says why.
    """
    place = f"[[dial]] {dial.name}"
    if not IDialler.providedBy(tunnels.get(dial.tunnel)):
        why = "can't dial" if dial.tunnel in tunnels else "wasn't there at the start"
        raise ConfigurationError(f"{place}: tunnel = {dial.tunnel!a} {why}")
    asked = []
    for name in dial.networks:
        network = networks.get(name)
        if network is None:
            raise ConfigurationError(f"{place}: [network] protocols has no {name!a}")
        if not IAskingNetwork.providedBy(network):
            raise ConfigurationError(f"{place}: {name} isn't asked for by this gateway")
        asked.append(IAskingNetwork(network))
    if dial.filter and dial.filter not in {one.name for one in configuration.network.filter}:
        raise ConfigurationError(f"{place}: there is no [[network.filter]] {dial.filter!a}")
    judge = None
    if password := dial.peerPassword():
        checker = InMemoryUsernamePasswordDatabaseDontUse()
        checker.addUser(dial.peerName.encode(), password)
        portal, _ = judgesOf([checker])
        judge = Authenticator(portal)
    files = dial.certificate, dial.certificateKey, dial.authorities
    certificate = None
    if any(files):
        if not all(files):
            raise ConfigurationError(
                f"{place}: certificate, certificate-key and authorities need each other"
            )
        certificate = Certificate(*files, dial.certificateName)
    password, newPassword = dial.passwords()
    try:
        identity = makeIdentity(
            dial.user, password, dial.authentication(), certificate, newPassword
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"{place}: {error}") from error
    link = configuration.link
    settings = replace(
        settingsOf(link),
        methods=() if judge is None else strongestFirst(dial.authentication()),
        rechallenge=0.0,
        encryption=dial.encryption,
        bits=dial.encryptionBits,
        stateful=dial.encryptionStateful,
        relaxable=False,
        echoInterval=dial.echoInterval,
        setupTimeout=dial.timeout,
        identity=identity,
        dials=True,
    )
    return DialPlan(dial, dial.ends(), settings, judge, tuple(asked))
