"""
The plugin of the L2TP tunnel, an LNS (RFC 2661 section 1.2) that LACs and clients call.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.plugin import IPlugin
from zope.interface import implementer

from pptpgw.config.kind import BOOLEAN, FILE, NAME, NEW, choice, key, restart, seconds, whole
from pptpgw.config.section import TunnelSection
from pptpgw.error import CallError, ConfigurationError
from pptpgw.interfaces import (
    Forward,
    ICall,
    ICallOwner,
    IDialler,
    IForwarder,
    IHealth,
    IKernelTunnelFactory,
    IPreparable,
    IReloadable,
    ITunnel,
    ITunnelEnvironment,
    Negotiated,
)
from pptpgw.ports.machine import lackingAddress
from pptpgw.ports.nftables import nameFor
from pptpgw.ports.pppox import L2TP as PPPOX
from pptpgw.ports.pppox import lackingPPPoX
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.sessions.remedy import Remedy
from pptpgw.tunnels.l2tp.call import L2TP
from pptpgw.tunnels.l2tp.carriage import Address
from pptpgw.tunnels.l2tp.concentrator import L2TPConcentrator
from pptpgw.tunnels.l2tp.connection import L2TPConnection
from pptpgw.tunnels.l2tp.connections import ControlConnections
from pptpgw.tunnels.l2tp.networkserver import NetworkServer
from pptpgw.tunnels.l2tp.owner import L2TPOwner
from pptpgw.tunnels.l2tp.port.udp import L2TPPort
from pptpgw.tunnels.l2tp.port.withheld import Withholding
from pptpgw.tunnels.l2tp.protection import Protection
from pptpgw.tunnels.l2tp.secrets import TunnelSecrets, nobody
from pptpgw.tunnels.l2tp.settings import ControlSettings
from pptpgw.tunnels.l2tp.wire.header import PORT

EVERY_ADDRESS = "0.0.0.0"
UNPROTECTED = Cause("the IPsec beneath it has ended", Termination.LOST_CARRIER, Remedy.VANISHED)
"""
The cause of calls whose IPsec has ended before them.
"""


@dataclass(frozen=True, slots=True)
class L2TPSettings(TunnelSection):
    """
    C{[l2tp]}.

    @ivar clear: what becomes of datagrams that IPsec doesn't protect: C{refuse} or C{accept}.
    @ivar port: the UDP port at each of C{[listen] addresses}.
    @ivar name: our Host Name.
    @ivar secrets: the file of the peers' secrets; empty if nobody needs one.
    @ivar permissive: whether errors of peers are overlooked.
    @ivar maxCallsPerConnection: calls at a time on one control connection.
    @ivar handshakeTimeout: seconds until a control connection is established.
    @ivar idleTimeout: seconds that a control connection is kept without a call.
    @ivar helloInterval: seconds of silence before a HELLO.
    """

    clear: str = key(
        choice("refuse", "accept"), "refuse", restart("it is so before the port is opened")
    )
    port: int = key(whole(1, 65535), PORT, restart("the port is open"))
    name: str = key(NAME, "pptpgw", NEW)
    secrets: str = key(FILE, "", NEW)
    permissive: bool = key(BOOLEAN, False, NEW)
    maxCallsPerConnection: int = key(whole(1, 16384), 64, NEW)
    handshakeTimeout: float = key(seconds(1, 300), 10.0, NEW)
    idleTimeout: float = key(seconds(1, 86400), 10.0, NEW)
    helloInterval: float = key(seconds(1, 3600), 60.0, NEW)

    def ofConnections(self) -> ControlSettings:
        """
        Return the settings of control connections.

        @raise ConfigurationError: the file of secrets can't be used; the text says why.
        """
        trust = nobody
        if self.secrets:
            try:
                trust = TunnelSecrets(self.secrets).trust
            except ConfigurationError as error:
                raise ConfigurationError(f"[l2tp] secrets: {error}") from error
        return ControlSettings(
            name=self.name.encode(),
            trust=trust,
            permissive=self.permissive,
            maximumCalls=self.maxCallsPerConnection,
            handshakeTimeout=self.handshakeTimeout,
            idleTimeout=self.idleTimeout,
            helloInterval=self.helloInterval,
        )


@implementer(ITunnel, IForwarder, IDialler, IPreparable, IReloadable, IHealth)
class L2TPTunnel:
    """
    The L2TP tunnel: an LNS and, for calls that are passed on or dialled, a LAC.

    @ivar entrance: the entrance of the tunnel.
    @ivar ports: the UDP ports.
    """

    kind = L2TP

    def __init__(self, settings: L2TPSettings, environment: ITunnelEnvironment) -> None:
        self._settings = settings
        self._listens = environment.listens
        self._server = NetworkServer(environment)
        self.entrance = self._server.entrance
        refuses = settings.clear == "refuse"
        self._protection = Protection(environment, settings.port, refuses, self._unprotected)
        self._environment = environment.environment
        configuration = self._environment.configuration
        table = f"{nameFor(configuration.network.interface)}_l2tp"
        self._withholding = Withholding(environment.reactor, table, settings.port)
        self._withholds = configuration.datapath.mayBeKernel and not refuses
        # The settings of connections: those in force, and those that the next reload applies.
        self._own = self._judged = own = self._ofConnections(settings)
        addresses = [str(one) for one in environment.listen.addresses] or [EVERY_ADDRESS]
        self._addresses = addresses
        self.ports: list[L2TPPort] = []
        self._connections: list[ControlConnections] = []
        for address in addresses:
            port = L2TPPort(environment.reactor, address, settings.port, environment.counters)
            port.withholds = lambda: self._withholding.works
            port.mayEncrypt = lambda: self._encryption != "off"
            port.connections = connections = ControlConnections(
                environment.reactor, own, environment.counters, port, self._server
            )
            self.ports.append(port)
            self._connections.append(connections)
        self._concentrator = L2TPConcentrator(environment.reactor, own, self._open)

    @property
    def places(self) -> tuple[str, ...]:
        """
        See L{ITunnel}.
        """
        every = self._addresses == [EVERY_ADDRESS]
        where = "every address" if every else ", ".join(self._addresses)
        return (f"{where}, UDP port {self._settings.port}",)

    @property
    def fault(self) -> str:
        """
        See L{IHealth}.
        """
        faults = [self._protection.fault, self._withholding.fault]
        return next(filter(None, (*faults, *(port.fault for port in self.ports))), "")

    def lacking(self) -> Iterator[str]:
        """
        See L{IPreparable.lacking}.
        """
        for port in self.ports:
            if fault := lackingAddress(port.address):
                yield f"[listen] addresses: {fault}"
        if fault := self._protection.lacking():
            yield fault

    def start(self) -> None:
        """
        Open the ports.

        @raise ConfigurationError: a port can't be opened; the text says why and what to do.
        @raise pptpgw.error.NotPermitted: datagrams in clear can't be refused.
        """
        self._protection.start()
        if self._withholds and not lackingPPPoX(PPPOX):
            self._withholding.start()
        for port in self.ports:
            try:
                port.startListening()
            except OSError as error:
                place = f"{port.address or 'every address'}, UDP port {port.number}"
                raise ConfigurationError(
                    f"can't listen on {place}: {error.strerror}. Is another L2TP server running "
                    f"(ss -lunp sport = {port.number} shows it)? [listen] addresses and "
                    "[l2tp] port choose others"
                ) from error
        if self._listens:
            self.entrance.begin()
            self._server.accepts = True

    def judge(self, settings: L2TPSettings) -> dict[str, str]:
        """
        See L{IReloadable.judge}: the file of secrets must be readable, and is read.
        """
        self._judged = self._ofConnections(settings)
        return {}

    def reload(self, settings: L2TPSettings) -> None:
        """
        See L{IReloadable.reload}: apply other settings to control connections to come. Calling this
        again goes back to those before.
        """
        self._settings = settings
        self._own, self._judged = self._judged, self._own
        for connections in self._connections:
            connections.settings = self._own
        self._concentrator.settings = self._own

    def place(
        self, forward: Forward, negotiated: Negotiated, caller: ICall, owner: ICallOwner
    ) -> Deferred[ICall]:
        """
        See L{IForwarder.place}.
        """
        return self._concentrator.place(forward, negotiated, caller, owner)

    def dial(self, end: Forward, owner: ICallOwner) -> Deferred[ICall]:
        """
        See L{IDialler.dial}.
        """
        return self._concentrator.dial(end, owner)

    def _open(
        self, settings: ControlSettings, owner: L2TPOwner, localAddress: str, peer: Address
    ) -> L2TPConnection:
        """
        Open a control connection to an LNS.

        @raise CallError: we have no port at C{localAddress}.
        """
        for address, connections in zip(self._addresses, self._connections, strict=True):
            if address == EVERY_ADDRESS or localAddress in ("", address):
                source = localAddress if address == EVERY_ADDRESS else address
                return connections.open(owner, source, peer, settings)
        raise CallError(f"[listen] addresses doesn't have {localAddress}")

    def stopListening(self) -> Deferred[Any]:
        """
        See L{ITunnel.stopListening}. The ports stay open for the calls that remain.
        """
        self._server.accepts = False
        return succeed(None)

    def stop(self) -> Deferred[Any]:
        """
        See L{ITunnel.stop}.
        """
        self._server.accepts = False
        stopped = self._concentrator.stop()
        return stopped.addCallback(lambda _: self.entrance.stop()).addBoth(self._close)

    def _close(self, result: Any) -> Any:
        for port in self.ports:
            port.stopListening()
        self._protection.stop()
        return self._withholding.stop().addBoth(lambda _: result)

    @property
    def _encryption(self) -> str:
        """
        Whether callers must have MPPE, may have it or not, as C{[link]} has it.
        """
        own: str = self._settings.encryption
        general: str = self._environment.configuration.link.encryption
        return own or general

    def _ofConnections(self, settings: L2TPSettings) -> ControlSettings:
        return replace(settings.ofConnections(), protection=self._protection.words)

    def _unprotected(self, host: str) -> None:
        """
        Close the connections of an address that were protected and have no association any more.
        """
        for connections in self._connections:
            for connection in connections.of(host):
                was = any(call.encrypted for call in connection.calls.values())
                if was and not self._protection.find(connection.peer):
                    connection.end(UNPROTECTED)


@implementer(IPlugin, IKernelTunnelFactory)
class L2TPTunnelFactory:
    """
    See L{IKernelTunnelFactory}.
    """

    name, kind = L2TP.name, L2TP
    description = "L2TP (RFC 2661): control messages and packets over UDP."
    settings = L2TPSettings
    pppox = PPPOX

    def makeTunnel(self, settings: L2TPSettings, environment: ITunnelEnvironment) -> L2TPTunnel:
        """
        See L{pptpgw.interfaces.ITunnelFactory.makeTunnel}.
        """
        return L2TPTunnel(settings, environment)


factory = L2TPTunnelFactory()
