"""
Clients of gateways in the shape of Twisted endpoints, by any tunnel. Each connects a protocol that
hears packets, instead of one that hears a stream, and
L{twisted.application.internet.ClientService} keeps it connected.

This program prints the IPv4 packets that a gateway sends, and dials again when the call ends::

    from twisted.application.internet import ClientService
    from twisted.internet import reactor
    from twisted.internet.endpoints import clientFromString
    from twisted.internet.protocol import Factory

    from pptpgw.client import PacketProtocol


    class Printer(PacketProtocol):
        def networkOpened(self, network):
            print("open:", self.transport.networks[network].localAddress)

        def packetReceived(self, network, packet):
            print(network, packet.hex())


    where = "pptp:192.0.2.1:user=alice:password-file=alice.password"
    service = ClientService(clientFromString(reactor, where), Factory.forProtocol(Printer))
    service.startService()
    reactor.run()

The packets come over raw sockets, for which the process needs CAP_NET_RAW as long as it runs. SSTP
and L2TP, as in C{sstp:192.0.2.1} and C{l2tp:192.0.2.1}, need no privilege.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import BaseProtocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.error import CallError, ConfigurationError
from pptpgw.interfaces import (
    Attachments,
    IClientConnection,
    INetworkProtocol,
    IPacketProtocol,
    IPacketTransport,
    ITunnelClient,
)
from pptpgw.networks.ethernet.bcp import BCP, BridgeSettings
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.networks.ipv6.ipv6cp import IPV6CP, IPv6Settings
from pptpgw.networks.ipx.ipxcp import IPXCP, IPXSettings
from pptpgw.networks.mpls.mplscp import MPLSCP, MPLSSettings
from pptpgw.networks.protocol import NetworkProtocol
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.settings import LinkSettings
from pptpgw.sessions.cause import Termination, codeOf
from pptpgw.tunnels.pptp.client import PORT, ClientPorts, ControlClient
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from pptpgw.tunnels.telling import tell

TIMEOUT = 30.0
"""
Seconds that a connection may take from its beginning to its first network protocol.
"""

Receive = Callable[[bytes], None]
Maker = Callable[[Receive, int], NetworkProtocol]

NETWORKS: Mapping[str, Maker] = {
    "ipv4": lambda receive, mtu: IPCP(IPv4Settings.client(receive, mtu)),
    "ipv6": lambda receive, mtu: IPV6CP(IPv6Settings.client(receive, mtu)),
    "bridge": lambda receive, mtu: BCP(
        BridgeSettings(receive, tagged=True, spanningTree=True, mtu=mtu)
    ),
    "mpls": lambda receive, mtu: MPLSCP(MPLSSettings(receive, receive, mtu)),
    "ipx": lambda receive, mtu: IPXCP(IPXSettings(mtu=mtu, receive=receive)),
}
"""
The makers of this end of network protocols, by name. A maker is given a callable, which is called
with each packet that arrives, and the size of the largest packet in octets.
"""


@implementer(IPacketProtocol)
class PacketProtocol(BaseProtocol):
    """
    A base class of protocols for L{CallEndpoint}, all of whose methods do nothing.

    @ivar transport: its L{IPacketTransport}.
    """

    transport: PacketTransport  # type: ignore[assignment]

    def networkOpened(self, network: str) -> None:
        """
        See L{IPacketProtocol.networkOpened}.
        """

    def networkClosed(self, network: str) -> None:
        """
        See L{IPacketProtocol.networkClosed}.
        """

    def packetReceived(self, network: str, packet: bytes) -> None:
        """
        See L{IPacketProtocol.packetReceived}.
        """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        See L{IPacketProtocol.connectionLost}.
        """


@implementer(IPacketTransport)
class PacketTransport:
    """
    The transport of one call, which has a connection of its own.

    @ivar networks: see L{IPacketTransport}.
    @ivar connected: whether the protocol was told that it is connected.
    """

    def __init__(
        self,
        connection: IClientConnection,
        protocol: Any,
        makers: Mapping[str, Maker],
        settings: LinkSettings,
        lost: Callable[[], None],
    ) -> None:
        """
        @param protocol: the L{IPacketProtocol}.
        @param makers: what makes the network protocols, by name.
        @param lost: called when the call has ended and its connections are closed.
        @raise pptpgw.error.PPTPGWError: the call can't be placed.
        """
        self.networks: dict[str, Any] = {}
        self.connected = False
        self._attachments: dict[str, Attachments] = {}
        self._connection = connection
        self._protocol = protocol
        self._lost = lost
        self._ended: type[Exception] | None = None
        ends = {
            name: make(partial(protocol.packetReceived, name), settings.mru)
            for name, make in makers.items()
        }
        self._senders = {name: end.sendPacket for name, end in ends.items()}
        self.call: ClientCall = connection.call(settings, list(ends.values()), self)
        self.call.ended.addCallback(self._callEnded)

    # IPacketTransport

    @property
    def authentication(self) -> str:
        """
        See L{IPacketTransport}.
        """
        method = self.call.link.method
        return method.name if method is not None else "none"

    @property
    def encryption(self) -> str:
        """
        See L{IPacketTransport}.
        """
        return self.call.link.encryption

    def mtu(self, network: str) -> int:
        """
        See L{IPacketTransport.mtu}.
        """
        return min(one.mtu for one in self._attachments[network].values())

    def sendPacket(self, network: str, packet: bytes) -> None:
        """
        See L{IPacketTransport.sendPacket}.
        """
        self._senders[network](packet)

    def getHost(self) -> Any:
        """
        See L{IPacketTransport.getHost}.
        """
        return self._connection.getHost()

    def getPeer(self) -> Any:
        """
        See L{IPacketTransport.getPeer}.
        """
        return self._connection.getPeer()

    def loseConnection(self) -> None:
        """
        See L{IPacketTransport.loseConnection}.
        """
        self._ended = self._ended or error.ConnectionDone
        self.call.hangUp()

    def abortConnection(self) -> None:
        """
        See L{IPacketTransport.abortConnection}.
        """
        self._ended = self._ended or error.ConnectionAborted
        self.abandon("aborted")

    def abandon(self, reason: str) -> None:
        """
        End the call and its connection, without waiting for what the peer says.
        """
        self.call.link.lowerDown(reason)
        self._connection.abort(reason)

    # pptpgw.ppp.client.NetworkListener

    def networkOpened(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        Tell the protocol that a network protocol opened. With the first one it is connected.
        """
        name = protocol.name
        self.networks[name] = protocol
        self._attachments[name] = attachments
        if not self.connected:
            self.connected = True
            tell(self._protocol.makeConnection, self)
        tell(self._protocol.networkOpened, name)

    def networkClosed(self, protocol: INetworkProtocol) -> None:
        """
        Tell the protocol that a network protocol closed.
        """
        if self.networks.pop(protocol.name, None) is not None:
            tell(self._protocol.networkClosed, protocol.name)

    # What is private

    def _callEnded(self, cause: str) -> None:
        """
        Close the connection too, and tell the protocol when that is done.
        """
        if self._ended is not None:
            reason: Exception = self._ended()
        elif codeOf(cause) is Termination.LOST_CARRIER:
            reason = error.ConnectionLost(cause)
        else:
            reason = CallError(cause)
        self._connection.gone.addCallback(lambda _: self._gone(reason))
        self._connection.close()

    def _gone(self, reason: Exception) -> None:
        if self.connected:
            tell(self._protocol.connectionLost, Failure(reason))
        self._lost()


class _Attempt:
    """
    One attempt of an endpoint to connect, which also knows how far it got.
    """

    def __init__(self, endpoint: CallEndpoint, factory: Any) -> None:
        self._endpoint = endpoint
        self._factory = factory
        self._transport: PacketTransport | None = None
        self._stage = "the connection wasn't open"

    def timedOut(self, result: Any, seconds: float) -> Any:
        """
        Return the failure of an attempt that took too long. It names the stage that it was in.
        """
        return Failure(error.TimeoutError(f"{self._stage} after {seconds:g} s"))

    async def connect(self) -> Any:
        """
        Open a connection, and place the call on it.

        @return: the protocol, when its first network protocol is open.
        """
        self._factory.doStart()
        try:
            connection = await self._endpoint.client.connect()
            try:
                return await self._call(connection)
            except BaseException:
                connection.close()
                raise
        except BaseException as reason:
            if self._transport is None:
                self._factory.doStop()
            if isinstance(reason, CancelledError):
                raise error.ConnectingCancelledError(self._endpoint.client.address) from reason
            raise

    async def _call(self, connection: IClientConnection) -> Any:
        protocol = self._factory.buildProtocol(self._endpoint.client.address)
        if protocol is None:
            raise error.NoProtocol
        endpoint = self._endpoint
        self._transport = transport = PacketTransport(
            connection, protocol, endpoint.makers, endpoint.settings, self._factory.doStop
        )
        try:
            await transport.call.opened
        except CallError:
            # One that opened, and was closed by the protocol at once, tells it so itself.
            if not transport.connected:
                raise
        except CancelledError:
            phase = transport.call.link.phase.value
            self._stage = f"no network protocol was open, the link was in its {phase} phase,"
            transport.abandon("cancelled")
            raise
        return protocol


@implementer(IStreamClientEndpoint)
class CallEndpoint:
    """
    A gateway, reached by any tunnel, and an account there. Each connection is one call, which has a
    connection to the gateway of its own.

    @ivar client: opens the connections to the gateway.
    @ivar settings: what the link wants.
    @ivar makers: what makes the network protocols that are negotiated, by name.
    """

    def __init__(
        self,
        client: ITunnelClient,
        settings: LinkSettings,
        *,
        networks: Sequence[str] = ("ipv4",),
        makers: Mapping[str, Maker] = NETWORKS,
        timeout: float = TIMEOUT,
    ) -> None:
        """
        @param client: a L{pptpgw.tunnels.sstp.client.SSTPClient}, for example.
        @param settings: what the link wants; its identity is who we are.
        @param networks: the names of the network protocols to negotiate.
        @param makers: what makes this end of network protocols, by name: see L{NETWORKS}.
        @param timeout: seconds until the first of them must be open.
        """
        for name in networks:
            if name not in makers:
                names = ", ".join(makers)
                raise ConfigurationError(f'no network protocol is called "{name}": {names}')
        self.client = client
        self.settings = settings
        self.makers = {name: makers[name] for name in networks}
        self._timeout = timeout

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """
        See L{IStreamClientEndpoint.connect}. The Deferred fires with the protocol when the first of
        the network protocols is open.

        It fails with L{CallError} where the gateway doesn't take the call or us,
        L{pptpgw.error.NotPermitted} where raw sockets aren't permitted,
        L{twisted.internet.error.TimeoutError}, or with what connections fail with. Cancelling it,
        and the timeout, close everything that was opened.

        @param protocolFactory: makes L{IPacketProtocol}s.
        """
        attempt = _Attempt(self, protocolFactory)
        connecting = Deferred.fromCoroutine(attempt.connect())
        return connecting.addTimeout(self._timeout, self.client.clock, attempt.timedOut)


class PPTPClientEndpoint(CallEndpoint):
    """
    A PPTP gateway and an account there. Each connection is one call, on a control connection of its
    own.
    """

    def __init__(
        self,
        reactor: Any,
        host: str,
        settings: LinkSettings,
        *,
        port: int = PORT,
        timeout: float = TIMEOUT,
        bindAddress: str | None = None,
        ports: ClientPorts | None = None,
        **options: Any,
    ) -> None:
        """
        @param settings: what the link wants; its identity is who we are.
        @param bindAddress: the local IPv4 address to call from; None: any.
        @param ports: what carries packets; None: raw sockets that all endpoints on this reactor
            share, which are open while there is a connection.
        @param options: the other keyword arguments of L{CallEndpoint}.
        """
        client = ControlClient(
            reactor,
            host,
            port,
            ports=ports,
            settings=ConnectionSettings(maximumCalls=1),
            bindAddress=bindAddress,
            # Covered by that of the endpoint.
            timeout=timeout + 1,
        )
        super().__init__(client, settings, timeout=timeout, **options)
