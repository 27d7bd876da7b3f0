"""
The plugin of the HDLC tunnel, which answers calls over lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IStreamServerEndpoint
from twisted.internet.protocol import ServerFactory
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface, implementer

from pptpgw.config.kind import ENDPOINTS, key, whole
from pptpgw.counting.counters import Counters
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import ITunnel, ITunnelEnvironment, ITunnelFactory
from pptpgw.log import Logger
from pptpgw.sessions.cause import SHUT_DOWN, Cause, Termination
from pptpgw.sessions.door import Door
from pptpgw.tunnels.hdlc.call import HDLC
from pptpgw.tunnels.hdlc.port import DeviceAddress
from pptpgw.tunnels.hdlc.protocol import HDLCProtocol, addressText
from pptpgw.tunnels.listening import Listening

NOT_PERMITTED = "line from a client that isn't permitted"
STOPPING = "line while the gateway stops"
DISPLACED = Cause("a newer call needs its place", Termination.PORT_PREEMPTED)


@dataclass(frozen=True, slots=True)
class HDLCSettings:
    """
    C{[hdlc]}: the lines that are answered.

    @ivar endpoints: the lines, as Twisted's server endpoint strings; C{serial:} and C{pty:} are
        possible too.
    @ivar accm: the map of control characters that callers are asked to escape (RFC 1662 section
        7.1): 0 for none, 0x000a0000 for XON and XOFF, 0xffffffff for all.
    """

    endpoints: tuple[str, ...] = key(ENDPOINTS, ())
    accm: int = key(whole(0, 0xFFFFFFFF), 0)


class HDLCFactory(ServerFactory):
    """
    The factory of the lines that are answered. Lines beyond the limits are closed at once, counted
    and logged.

    @ivar connections: the protocols that are connected.
    """

    noisy = False
    _log = Logger()

    def __init__(self, settings: HDLCSettings, environment: ITunnelEnvironment) -> None:
        listen = environment.listen
        reactor = environment.reactor
        self.connections: set[HDLCProtocol] = set()
        self._stopping = False
        self._clients = listen.clients
        self._accm = settings.accm
        self._environment = environment
        self._counters: Counters = environment.counters
        self._door: Door[HDLCProtocol] = Door(
            reactor.seconds,
            environment.known,
            lambda protocol: protocol.call.proven,
            listen.maxConnections,
            listen.maxConnectionsPerHost,
            listen.maxSilentConnections,
        )
        self._emptied: list[Deferred[None]] = []

    def buildProtocol(self, addr: IAddress | None) -> HDLCProtocol | None:
        """
        Return the protocol for a caller, or None if the caller isn't let in.
        """
        caller, leaving = addressText(addr), None
        reason = self._refusal(caller)
        if not reason:
            reason, leaving = self._door.refusal(caller)
        if reason:
            self._counters.discard(reason)
            if self._environment.quota.allows("refused lines", caller):
                self._log.warn(
                    "refused {caller}: {reason} ({count} so far)",
                    caller=caller,
                    reason=reason,
                    count=self._counters.discards[reason],
                )
            return None
        if leaving is not None:
            self._counters.discard(DISPLACED)
            leaving.call.hangUp(DISPLACED)
            leaving.abort()
        return HDLCProtocol(self._environment.reactor, caller, self._accm, self)

    # pptpgw.tunnels.hdlc.protocol.StreamOwner

    def opened(self, protocol: HDLCProtocol) -> None:
        """
        See L{pptpgw.tunnels.hdlc.protocol.StreamOwner.opened}: offer the call to the gateway.
        """
        self.connections.add(protocol)
        self._door.opened(protocol, protocol.caller)
        # The line never counts as silent, since its call begins at once.
        self._door.heard(protocol)
        self._environment.calls.callRequested(protocol.call)

    def closed(self, protocol: HDLCProtocol) -> None:
        """
        See L{pptpgw.tunnels.hdlc.protocol.StreamOwner.closed}.
        """
        self.connections.discard(protocol)
        self._door.closed(protocol)
        if not self.connections:
            emptied, self._emptied = self._emptied, []
            for deferred in emptied:
                deferred.callback(None)

    def discard(self, reason: str) -> None:
        """
        See L{pptpgw.tunnels.hdlc.protocol.StreamOwner.discard}.
        """
        self._counters.discard(reason)

    def whenEmpty(self) -> Deferred[None]:
        """
        Return a Deferred that fires when no line is connected.
        """
        if not self.connections:
            return succeed(None)
        emptied: Deferred[None] = Deferred()
        self._emptied.append(emptied)
        return emptied

    def stop(self) -> Deferred[None]:
        """
        Refuse new callers, and disconnect every line.

        @return: fires when the last line is disconnected.
        """
        self._stopping = True
        for protocol in tuple(self.connections):
            protocol.call.hangUp(SHUT_DOWN)
            protocol.close()
        return self.whenEmpty()

    def startFactory(self) -> None:
        """
        Let callers in, since a port is opened. This is called again if the tunnel starts after a
        L{stop}.
        """
        self._stopping = False

    def _refusal(self, caller: str) -> str:
        if self._stopping:
            return STOPPING
        if not self._clients:
            return ""
        try:
            address = ip_address(caller)
        except ValueError:
            # The permissions of a device, or of a socket in the file system, decide who may open
            # it.
            return ""
        return "" if any(address in network for network in self._clients) else NOT_PERMITTED


class ILines(Interface):
    """
    A tunnel that answers on every line that it is given, besides those of its configuration.
    """

    factory = Attribute("The L{HDLCFactory}, whose protocols answer, each on one line.")


@implementer(ITunnel, ILines)
class HDLCTunnel:
    """
    The tunnel that answers calls over lines.

    @ivar factory: the factory of the lines.
    """

    def __init__(self, settings: HDLCSettings, environment: ITunnelEnvironment) -> None:
        self.factory = HDLCFactory(settings, environment)
        self._reactor = environment.reactor
        self._settings = settings
        self._listening = Listening()

    @property
    def places(self) -> tuple[str, ...]:
        """
        See L{ITunnel}.
        """
        if not self._settings.endpoints:
            return ("standard input and output",)
        # The path of a pseudoterminal is known only after it has been made.
        return tuple(
            host.name if isinstance(host := port.getHost(), DeviceAddress) else text
            for text, port in zip(self._settings.endpoints, self._listening.ports, strict=False)
        )

    def start(self) -> None:
        """
        Open every line that is to be answered.

        @raise ConfigurationError: a line can't be opened; the text says why.
        """
        for text in self._settings.endpoints:
            refused = self._listening.open(self._endpoint(text), self.factory)
            if refused is not None:
                why, error = refused.getErrorMessage(), refused.value
                if isinstance(error, CannotListenError):
                    why = str(getattr(error.socketError, "strerror", "") or error.socketError)
                raise ConfigurationError(f"[hdlc] endpoints: {text}: {why}")

    def stopListening(self) -> Deferred[Any]:
        """
        See L{ITunnel.stopListening}.
        """
        return self._listening.close()

    def stop(self) -> Deferred[Any]:
        """
        See L{ITunnel.stop}.
        """
        return self.stopListening().addCallback(lambda _: self.factory.stop())

    def _endpoint(self, text: str) -> IStreamServerEndpoint:
        try:
            endpoint: IStreamServerEndpoint = serverFromString(self._reactor, text)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise ConfigurationError(f"[hdlc] endpoints: {text}: {error}") from error
        return endpoint


@implementer(IPlugin, ITunnelFactory)
class HDLCTunnelFactory:
    """
    See L{ITunnelFactory}.
    """

    name = HDLC.name
    description = "PPP over lines (RFC 1662): serial ones, pseudoterminals, TCP and Unix sockets."
    settings = HDLCSettings

    def makeTunnel(self, settings: HDLCSettings, environment: ITunnelEnvironment) -> HDLCTunnel:
        """
        See L{ITunnelFactory.makeTunnel}.
        """
        return HDLCTunnel(settings, environment)


factory = HDLCTunnelFactory()
