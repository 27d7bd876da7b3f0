"""
The plugin of the PPTP tunnel, which accepts control connections over TCP and receives GRE.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface, implementer

from pptpgw.config.kind import ENDPOINTS, NETWORKS, NEW, key, restart, seconds, whole
from pptpgw.config.section import TunnelSection
from pptpgw.counting.counters import Counters
from pptpgw.error import ConfigurationError
from pptpgw.interfaces import (
    Forward,
    ICall,
    ICallOwner,
    ICallTaker,
    IDialler,
    IForwarder,
    IHealth,
    IKernelTunnelFactory,
    IPreparable,
    IReloadable,
    ITunnel,
    ITunnelEnvironment,
    Negotiated,
    Refusal,
)
from pptpgw.log import Logger, Quota
from pptpgw.ports.listening import endpointFromString
from pptpgw.ports.machine import lackingAddress
from pptpgw.ports.pppox import PPTP as PPPOX
from pptpgw.ports.prompt import sendAtOnce
from pptpgw.sessions.attempts import Attempts
from pptpgw.sessions.cause import Cause
from pptpgw.sessions.remedy import Remedy
from pptpgw.tunnels.pptp.asked import AskedCall
from pptpgw.tunnels.pptp.call import CONTROL, PPTP
from pptpgw.tunnels.pptp.callid import CallIDs
from pptpgw.tunnels.pptp.channels import GREChannels
from pptpgw.tunnels.pptp.concentrator import PPTPConcentrator
from pptpgw.tunnels.pptp.connection import ControlConnection
from pptpgw.tunnels.pptp.owner import ConnectionOwner
from pptpgw.tunnels.pptp.port.control import ControlClientFactory, ControlFactory
from pptpgw.tunnels.pptp.port.gre import GREPort
from pptpgw.tunnels.pptp.port.pppox import PPPoXSocket
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from pptpgw.tunnels.pptp.statetable import Role

EVERY_ADDRESS = ""

INCOMING_CALL = "incoming call"
NOT_A_CONCENTRATOR = Cause(
    "its address isn't among [pptp] access-concentrators", remedy=Remedy.NOT_A_CONCENTRATOR
)
"""
The stage of an attempt that ends with an incoming call of somebody who may offer none, and why.
"""

BACKLOG = 4096
"""
The number of TCP connections that may wait to be accepted. If more callers come at once, the kernel
drops the last packet of their handshake: they believe that they are connected, and wait for
answers.
"""


@dataclass(frozen=True, slots=True)
class PPTPSettings(TunnelSection):
    """
    C{[pptp]}: where PPTP is served, and the limits of a control connection.

    @ivar port: the TCP port; 0 for any free one, in tests.
    @ivar endpoints: where control connections are accepted, as Twisted's server endpoint strings;
        empty for C{port} of each of C{[listen] addresses}.
    @ivar maxCallsPerConnection: the largest number of calls on one control connection.
    @ivar handshakeTimeout: seconds from the TCP connection to its Start-Control-Connection-Request.
    @ivar callTimeout: seconds from that request to the first call.
    @ivar accessConcentrators: the networks of the PACs that may offer incoming calls.
    """

    port: int = key(whole(0, 65535), 1723, restart("the port is open"))
    endpoints: tuple[str, ...] = key(ENDPOINTS, (), restart("the ports are open"))
    maxCallsPerConnection: int = key(whole(1, 65535), 64, NEW)
    handshakeTimeout: float = key(seconds(1, 300), 10.0, NEW)
    callTimeout: float = key(seconds(1, 300), 10.0, NEW)
    accessConcentrators: tuple[IPv4Network, ...] = key(NETWORKS, (), NEW)

    def ofConnections(self) -> ConnectionSettings:
        """
        Return the settings of control connections.
        """
        return ConnectionSettings(
            maximumCalls=self.maxCallsPerConnection,
            handshakeTimeout=self.handshakeTimeout,
            firstCallTimeout=self.callTimeout,
        )


class Answering:
    """
    The owner of the control connections that callers open, which offers their calls to the gateway.
    It implements L{pptpgw.tunnels.pptp.owner.ConnectionOwner}.

    @ivar concentrators: the networks of the PACs that may offer incoming calls.
    """

    _log = Logger()

    def __init__(self, calls: ICallTaker, quota: Quota, attempts: Attempts) -> None:
        """
        @param calls: the gateway, which calls are offered to.
        @param quota: limits the lines of the log.
        @param attempts: where connections are noted that end without a call.
        """
        self.concentrators: tuple[IPv4Network, ...] = ()
        self._calls = calls
        self._quota = quota
        self._attempts = attempts

    def connectionOpened(self, connection: ControlConnection) -> None:
        """
        Log that a control connection is established.
        """
        if self._quota.allows("control connections", connection.peerAddress):
            self._log.info(
                "{peer}: control connection from {host!r}, {vendor!r}",
                peer=connection.peerAddress,
                host=connection.peerName,
                vendor=connection.peerVendorName,
            )

    def callRequested(self, call: AskedCall) -> None:
        """
        Offer C{call} to the gateway, unless it is an incoming call of somebody who may offer none.
        """
        if call.role is Role.PAC or self.mayOffer(call.peerAddress):
            self._calls.callRequested(call)
            return
        call.refuse(Refusal.FORBIDDEN)
        self._attempts.turnedAway(
            call.peerAddress, PPTP, INCOMING_CALL, NOT_A_CONCENTRATOR, isRefused=True
        )
        if self._quota.allows("incoming calls", call.peerAddress):
            self._log.warn(
                "{peer} offers an incoming call: {reason}",
                peer=call.peerAddress,
                reason=NOT_A_CONCENTRATOR,
            )

    def mayOffer(self, address: str) -> bool:
        """
        Return whether the PAC at C{address}, dotted, may offer incoming calls.
        """
        host = IPv4Address(address)
        return any(host in network for network in self.concentrators)

    def connectionClosed(self, connection: ControlConnection, reason: str) -> None:
        """
        Log that a control connection has ended.
        """
        if not connection.hadCall:
            self._attempts.turnedAway(
                connection.peerAddress, PPTP, CONTROL, reason, isRefused=False
            )
        if self._quota.allows("control connections", connection.peerAddress):
            self._log.info(
                "{peer}: control connection closed: {reason}",
                peer=connection.peerAddress,
                reason=reason,
            )


@implementer(IHealth)
class GREPorts:
    """
    The GRE ports of some local addresses, and the call ids that are in use on them.

    @ivar callIDs: the call ids in use.
    @ivar channels: opens the channels of calls on these ports.
    """

    def __init__(self, reactor: Any, addresses: Sequence[str], counters: Counters) -> None:
        """
        @param addresses: the local addresses, dotted; empty for every address.
        @param counters: counts stray packets and errors.
        """
        self._ports = {
            address: GREPort(reactor, address, counters)
            for address in addresses or (EVERY_ADDRESS,)
        }
        self.callIDs = CallIDs(reactor)
        self.channels = GREChannels(self._portFor, PPPoXSocket)

    def lacking(self) -> Iterator[str]:
        """
        See L{IPreparable.lacking}.
        """
        for address in self._ports:
            if fault := lackingAddress(address):
                yield f"[listen] addresses: {fault}"

    def start(self) -> None:
        """
        Open the ports.

        @raise pptpgw.error.PPTPGWError: a port can't be opened; the text says why and what to do.
        """
        for address, port in self._ports.items():
            try:
                port.startListening()
            except OSError as error:
                raise ConfigurationError(
                    f"can't receive GRE at {address}: {error.strerror}; [listen] addresses are "
                    "addresses of this machine"
                ) from error

    @property
    def fault(self) -> str:
        """
        See L{IHealth}.
        """
        return next(filter(None, (port.fault for port in self._ports.values())), "")

    def stop(self) -> None:
        """
        Close the ports. Calling this again does nothing.
        """
        for port in self._ports.values():
            port.stopListening()

    def _portFor(self, localAddress: str) -> GREPort:
        port = self._ports.get(localAddress) or self._ports.get(EVERY_ADDRESS)
        if port is None:
            raise ConfigurationError(
                f"no GRE is received at {localAddress}, which isn't among [listen] addresses"
            )
        return port


class ISharedGRE(Interface):
    """
    A PPTP tunnel whose GRE ports a client in the same process can use too, since a machine has only
    one GRE.
    """

    gre = Attribute("The L{GREPorts}.")
    port = Attribute("The TCP port on which the tunnel listens.")


@implementer(ITunnel, IForwarder, IDialler, IPreparable, IReloadable, IHealth, ISharedGRE)
class PPTPTunnel:
    """
    The PPTP tunnel. It is a PPTP Access Concentrator for clients, the PNS of concentrators that
    offer calls, and a concentrator again for calls that are passed on (RFC 2637 section 1.1). Calls
    that it dials make it a client.

    @ivar gre: the GRE ports of the tunnel.
    """

    kind = PPTP

    def __init__(self, settings: PPTPSettings, environment: ITunnelEnvironment) -> None:
        self._reactor = environment.reactor
        self._listens = environment.listens
        self._settings = settings
        self._addresses = [str(one) for one in environment.listen.addresses]
        counters: Counters = environment.counters
        self.gre = GREPorts(self._reactor, self._addresses, counters)
        self._answering = Answering(environment.calls, environment.quota, environment.attempts)
        self._answering.concentrators = settings.accessConcentrators
        self._control = ControlFactory(
            environment,
            settings.ofConnections(),
            self.gre.callIDs,
            self._answering,
            self.gre.channels,
        )
        self._entrance = self._control.entrance
        self._counters = counters
        self._concentrator = PPTPConcentrator(self._reactor, settings.ofConnections(), self._open)
        self._endpoints = list(self._makeEndpoints())

    @property
    def places(self) -> tuple[str, ...]:
        """
        See L{ITunnel}.
        """
        if self._settings.endpoints:
            return self._settings.endpoints
        return (f"{', '.join(self._addresses) or 'every address'}, port {self.port}",)

    @property
    def port(self) -> int:
        """
        See L{ISharedGRE}.
        """
        if not self._entrance.ports:
            return self._settings.port
        host: Any = self._entrance.ports[0].getHost()
        port: int = host.port
        return port

    @property
    def fault(self) -> str:
        """
        See L{IHealth}.
        """
        return self.gre.fault

    def lacking(self) -> Iterator[str]:
        """
        See L{IPreparable.lacking}.
        """
        return self.gre.lacking()

    def start(self) -> None:
        """
        Open the GRE ports, and listen on the TCP ports.

        @raise pptpgw.error.PPTPGWError: a port can't be opened; the text says why and what to do.
        """
        self.gre.start()
        if not self._listens:
            return
        self._entrance.start(self._control, self._endpoints, self._advice)
        for port in self._entrance.ports:
            sendAtOnce(port)

    def judge(self, settings: PPTPSettings) -> dict[str, str]:
        """
        See L{IReloadable.judge}: there is nothing to object to.
        """
        return {}

    def reload(self, settings: PPTPSettings) -> None:
        """
        See L{IReloadable.reload}: apply other settings to control connections to come.
        """
        self._settings = settings
        self._control.settings = settings.ofConnections()
        self._answering.concentrators = settings.accessConcentrators
        self._concentrator.settings = settings.ofConnections()

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
        self,
        settings: ConnectionSettings,
        owner: ConnectionOwner,
        localAddress: str,
        peer: tuple[str, int],
    ) -> Deferred[ControlConnection]:
        """
        Open a control connection.
        """
        source = localAddress or next(iter(self._addresses), "")
        endpoint = TCP4ClientEndpoint(
            self._reactor,
            *peer,
            timeout=settings.handshakeTimeout,
            bindAddress=(source, 0) if source else None,
        )
        factory = ControlClientFactory(
            self._reactor, settings, self.gre.callIDs, owner, self._counters, self.gre.channels
        )
        connecting: Deferred[Any] = endpoint.connect(factory)
        return connecting.addCallback(lambda protocol: protocol.connection)

    def stopListening(self) -> Deferred[Any]:
        """
        See L{ITunnel.stopListening}.
        """
        return self._entrance.stopListening()

    def stop(self) -> Deferred[Any]:
        """
        See L{ITunnel.stop}.
        """
        stopped = self._concentrator.stop()
        return stopped.addCallback(lambda _: self._entrance.stop()).addBoth(self._close)

    def _close(self, result: Any) -> Any:
        self.gre.stop()
        return result

    def _makeEndpoints(self) -> Iterator[tuple[str, IStreamServerEndpoint]]:
        """
        Iterate over the endpoints to listen on, each behind the beginning of an error's text.

        @raise ConfigurationError: an endpoint can't be used.
        """
        port = self._settings.port
        for text in self._settings.endpoints:
            yield f"can't listen on {text}", endpointFromString(self._reactor, "pptp", text)
        for address in () if self._settings.endpoints else self._addresses or [EVERY_ADDRESS]:
            place = f"can't listen on {address or 'any address'}, TCP port {port}"
            yield place, TCP4ServerEndpoint(self._reactor, port, BACKLOG, address)

    @property
    def _advice(self) -> str:
        """
        Return what to do if a port can't be opened, as the end of an error's text.
        """
        if self._settings.endpoints:
            return ". [pptp] endpoints chooses others"
        port = self._settings.port
        return (
            f". Is another PPTP server running (ss -ltnp sport = {port} shows it)? "
            "[listen] addresses and [pptp] port choose others"
        )


@implementer(IPlugin, IKernelTunnelFactory)
class PPTPTunnelFactory:
    """
    See L{IKernelTunnelFactory}.
    """

    name, kind = PPTP.name, PPTP
    description = "PPTP (RFC 2637): control connections over TCP, packets over GRE."
    settings = PPTPSettings
    pppox = PPPOX

    def makeTunnel(self, settings: PPTPSettings, environment: ITunnelEnvironment) -> PPTPTunnel:
        """
        See L{pptpgw.interfaces.ITunnelFactory.makeTunnel}.
        """
        return PPTPTunnel(settings, environment)


factory = PPTPTunnelFactory()
