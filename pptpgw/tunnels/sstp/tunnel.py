"""
The plugin of the SSTP tunnel, which answers calls over TLS.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
)
from twisted.internet.protocol import ServerFactory
from twisted.plugin import IPlugin
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from pptpgw.config.kind import BOOLEAN, ENDPOINTS, FILE, NEW, key, restart, seconds
from pptpgw.config.section import TunnelSection
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import (
    Forward,
    ICall,
    ICallOwner,
    IDialler,
    IPreparable,
    IReloadable,
    ITunnel,
    ITunnelEnvironment,
    ITunnelFactory,
)
from pptpgw.log import Logger
from pptpgw.ports.listening import endpointFromString
from pptpgw.tunnels.entrance import Entrance, addressText
from pptpgw.tunnels.sstp.call import SSTP
from pptpgw.tunnels.sstp.certificate import Certificate, loaded, make
from pptpgw.tunnels.sstp.dialler import SSTPDialler
from pptpgw.tunnels.sstp.opening import Request
from pptpgw.tunnels.sstp.otherwise import OTHERWISE, Otherwise
from pptpgw.tunnels.sstp.port import thisHost
from pptpgw.tunnels.sstp.protocol import Opening, SSTPProtocol
from pptpgw.tunnels.sstp.wire import LONGEST_FRAME

CONNECTION = "SSTP connection"
"""
The word for a connection in the log and in counters, and the stage of an attempt before it asks for
a call.
"""

# Address, control and protocol.
_PPP_HEADER = 4


@dataclass(frozen=True, slots=True)
class SSTPSettings(TunnelSection):
    """
    C{[sstp]}: where SSTP is served.

    @ivar endpoints: where connections are accepted, as Twisted's server endpoint strings, without
        TLS, which is added to them.
    @ivar tls: whether TLS is served; False if a proxy before the endpoints terminates it.
    @ivar otherwise: what is served to other HTTP requests.
    @ivar openingTimeout: seconds from the TCP connection to its HTTP request.
    @ivar certificate: the PEM file with the certificate that clients are shown.
    @ivar key: the PEM file with its private key; empty if that is in the same file.
    """

    mayEncrypt: ClassVar[bool] = True

    endpoints: tuple[str, ...] = key(ENDPOINTS, ("tcp:443",), restart("the ports are open"))
    tls: bool = key(BOOLEAN, True, restart("the ports are open"))
    otherwise: str = key(OTHERWISE, "", NEW)
    openingTimeout: float = key(seconds(1, 300), 10.0, NEW)
    certificate: str = key(FILE, "/var/lib/pptpgw/sstp.pem", NEW)
    # The last row, since its name is that of the function.
    key: str = key(FILE, "", NEW)


@implementer(IOpenSSLServerConnectionCreator)
class _Creator:
    """
    Makes the TLS of each connection, with the certificate that its protocol was made with.
    """

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """
        See L{IOpenSSLServerConnectionCreator.serverConnectionForTLS}.
        """
        return SSL.Connection(tlsProtocol.wrappedProtocol.certificate.context, None)


class SSTPFactory(ServerFactory):
    """
    The factory of the connections that clients open. It is their
    L{pptpgw.tunnels.sstp.protocol.ServerOwner}.

    @ivar entrance: the entrance of the tunnel, which lets callers in.
    @ivar certificate: what clients are shown.
    @ivar otherwise: what is served to those who don't speak SSTP.
    @ivar openingTimeout: seconds from a connection to its HTTP request.
    """

    noisy = False
    _log = Logger()
    certificate: Certificate

    def __init__(self, settings: SSTPSettings, environment: ITunnelEnvironment) -> None:
        self.entrance: Entrance[SSTPProtocol] = Entrance(environment, SSTP, CONNECTION)
        self.otherwise = Otherwise(environment.reactor, settings.otherwise)
        self.openingTimeout = settings.openingTimeout
        self._environment = environment

    def buildProtocol(self, addr: IAddress | None) -> SSTPProtocol | None:
        """
        Return the protocol for a client, or None if the client isn't let in.
        """
        caller = addressText(addr)
        if not self.entrance.admits(caller):
            return None
        return SSTPProtocol(self._environment.reactor, caller, self.certificate, self)

    # pptpgw.tunnels.sstp.protocol.ServerOwner

    def opened(self, protocol: SSTPProtocol) -> None:
        """
        Count a connection.
        """
        self.entrance.opened(protocol, protocol.caller)

    def renamed(self, protocol: SSTPProtocol, caller: str) -> bool:
        """
        Note the address of a caller behind a proxy, which may not be let in.
        """
        protocol.caller = caller
        return self.entrance.renamed(protocol, caller)

    def requested(self, protocol: SSTPProtocol, request: Request) -> None:
        """
        Offer the call of a connection to the gateway.
        """
        self.entrance.heard(protocol)
        connection = protocol.connection
        assert connection is not None
        if self._environment.quota.allows("SSTP connections", protocol.caller):
            self._log.info(
                "{caller}: SSTP connection to {host!r}, correlation {correlation!r}",
                caller=protocol.caller,
                host=connection.call.stations.called,
                correlation=request.correlation,
            )
        self._environment.calls.callRequested(connection.call)

    def notOpened(self, protocol: SSTPProtocol, why: Opening) -> None:
        """
        Count a connection that isn't SSTP's.
        """
        self._environment.counters.discard(why.value)
        self._environment.attempts.turnedAway(
            protocol.caller, SSTP, CONNECTION, why.value, isRefused=False
        )

    def closed(self, protocol: SSTPProtocol) -> None:
        """
        Forget a connection.
        """
        self.entrance.closed(protocol)

    def discard(self, reason: str) -> None:
        """
        Count what belongs to no call.
        """
        self._environment.counters.discard(reason)


@implementer(ITunnel, IDialler, IReloadable, IPreparable)
class SSTPTunnel:
    """
    The tunnel that answers calls over TLS, and dials.

    @ivar factory: the factory of the connections.
    @ivar entrance: the entrance of the tunnel.
    """

    kind = SSTP
    _log = Logger()

    def __init__(self, settings: SSTPSettings, environment: ITunnelEnvironment) -> None:
        mru = environment.environment.configuration.link.mru
        if mru > LONGEST_FRAME - _PPP_HEADER:
            most = LONGEST_FRAME - _PPP_HEADER
            raise ConfigurationError(f"[link] mru = {mru}: SSTP carries at most {most} octets")
        self.factory = SSTPFactory(settings, environment)
        self.entrance = self.factory.entrance
        self._dialler = SSTPDialler(environment.reactor)
        self._listens = environment.listens
        self._settings = settings
        self._reactor = environment.reactor
        self._endpoints = [
            (f"[sstp] endpoints: {text}", endpointFromString(environment.reactor, "sstp", text))
            for text in settings.endpoints
        ]
        self._judged: Certificate | None = None
        self._otherwise: Otherwise | None = None
        if self._listens and not _isMade(settings):
            self.factory.certificate = _load(settings)

    @property
    def places(self) -> tuple[str, ...]:
        """
        See L{ITunnel}.
        """
        return self._settings.endpoints

    def lacking(self) -> Iterator[str]:
        """
        See L{IPreparable.lacking}.
        """
        folder = Path(self._settings.certificate).parent
        if self._listens and _isMade(self._settings) and not folder.is_dir():
            yield f"[sstp] certificate: there is no folder {folder} to make a certificate in"

    def start(self) -> None:
        """
        Make the certificate, if there is none, and listen.

        @raise pptpgw.error.ConfigurationError: a port can't be opened, or the certificate can't be
            made; the text says why.
        """
        if not self._listens:
            return
        settings = self._settings
        if _isMade(settings):
            make(settings.certificate, thisHost())
            self.factory.certificate = _load(settings)
            self._log.warn(
                "SSTP: a certificate that signs itself was made in {path}, with the SHA-256 "
                "fingerprint {fingerprint}",
                path=settings.certificate,
                fingerprint=self.factory.certificate.fingerprint,
            )
        factory: IProtocolFactory = self.factory
        if settings.tls:
            factory = TLSMemoryBIOFactory(_Creator(), False, self.factory, self._reactor)
        self.entrance.start(factory, self._endpoints, ". [sstp] endpoints chooses others")

    def judge(self, settings: SSTPSettings) -> dict[str, str]:
        """
        See L{IReloadable.judge}: read the certificate and the key again, which may be others in the
        same files.
        """
        self._judged = _load(settings) if self._listens else None
        self._otherwise = Otherwise(self._reactor, settings.otherwise)
        return {}

    def reload(self, settings: SSTPSettings) -> None:
        """
        See L{IReloadable.reload}.
        """
        self._settings = settings
        self.factory.openingTimeout = settings.openingTimeout
        if self._judged is not None and self._otherwise is not None:
            self.factory.certificate = self._judged
            self.factory.otherwise = self._otherwise

    def stopListening(self) -> Deferred[Any]:
        """
        See L{ITunnel.stopListening}.
        """
        return self.entrance.stopListening()

    def stop(self) -> Deferred[Any]:
        """
        See L{ITunnel.stop}.
        """
        self._dialler.stop()
        return self.entrance.stop()

    def dial(self, end: Forward, owner: ICallOwner) -> Deferred[ICall]:
        """
        See L{IDialler.dial}.
        """
        return self._dialler.dial(end, owner)


def _isMade(settings: SSTPSettings) -> bool:
    """
    Return whether the gateway makes the certificate.
    """
    return not settings.key and settings.tls and not Path(settings.certificate).exists()


def _load(settings: SSTPSettings) -> Certificate:
    return loaded(settings.certificate, settings.key, settings.tls)


@implementer(IPlugin, ITunnelFactory)
class SSTPTunnelFactory:
    """
    See L{ITunnelFactory}.
    """

    name, kind = SSTP.name, SSTP
    description = "SSTP ([MS-SSTP]): PPP over TLS, on the port of HTTPS."
    settings = SSTPSettings

    def makeTunnel(self, settings: SSTPSettings, environment: ITunnelEnvironment) -> SSTPTunnel:
        """
        See L{ITunnelFactory.makeTunnel}.
        """
        return SSTPTunnel(settings, environment)


factory = SSTPTunnelFactory()
