"""
A gateway and its callers in one process, without sockets, on a clock that the test advances.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from pptpgw.auth.authenticator import Authenticator
from pptpgw.auth.chain import judgesOf
from pptpgw.auth.judging import configureCheckers, offersOf
from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.build import (
    makeFilters,
    makeNetworks,
    makeObservers,
)
from pptpgw.config.section import LimitsSection
from pptpgw.gateway import Gateway
from pptpgw.interfaces import (
    IAuthenticationProtocol,
    INetwork,
    INetworkProtocol,
    ISessionObserver,
)
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.sessions.gate import Filters
from pptpgw.sessions.offers import Offers
from pptpgw.testing.exchange import PASSWORD
from pptpgw.testing.makers import CALLER, makeEnvironment, resultOf
from pptpgw.testing.memory import DELAY, MemoryDataPath, MemoryNetwork, answering, joined
from pptpgw.tunnels.pptp.call import Channels
from pptpgw.tunnels.pptp.callid import CallIDs
from pptpgw.tunnels.pptp.client import ClientConnection
from pptpgw.tunnels.pptp.connection import ControlConnection
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from pptpgw.tunnels.pptp.statetable import Side


class World:
    """
    A gateway that is made from a configuration, and as many callers as a test needs.

    @cvar connectionSettings: the settings of both ends of control connections.
    @cvar concentrators: the networks of the PACs that may offer incoming calls.
    @ivar network: the L{MemoryNetwork} that carries frames; a test may let it lose some.
    @ivar dataPath: the gateway's data path.
    @ivar environment: the environment that plugins are given.
    @ivar networks: the gateway's networks, by the names of their protocols.
    """

    connectionSettings = ConnectionSettings()
    concentrators: Sequence[IPv4Network] = ()

    def __init__(
        self,
        text: str = "",
        checkers: Sequence[ICredentialsChecker] = (),
        observers: Iterable[ISessionObserver] = (),
        clock: Any = None,
        limits: LimitsSection | None = None,
        **options: Any,
    ) -> None:
        """
        @param text: the content of the gateway's configuration file. Only the sections of links,
            limits, networks, observers and their plugins are used.
        @param checkers: the checkers that judge callers, in the order in which they are asked.
        @param observers: observers in addition to those that C{text} names.
        @param clock: a reactor; None for a new L{twisted.internet.task.Clock}, which L{run}
            advances.
        @param limits: the limits; None for those of C{text}.
        @param options: attributes of the gateway's L{LinkSettings} that replace those of C{text}.
        """
        self.clock = clock or Clock()
        self.network = MemoryNetwork(self.clock)
        self.dataPath = self.makeDataPath()
        self.callIDs = self.makeCallIDs()
        self.environment = makeEnvironment(text, self.clock)
        self.networks = self.makeNetworks()
        configureCheckers(checkers, self.environment)
        portal, _ = judgesOf(checkers)
        offers = offersOf(self.environment, portal.listCredentialsInterfaces())
        self.gateway = Gateway(
            self.clock,
            Offers(replace(offers.general, **options), offers.tunnels),
            self.networks,
            self.dataPath,
            Authenticator(portal),
            [*makeObservers(self.environment), *observers],
            limits=limits or self.environment.configuration.limits,
            now=self.clock.seconds,
            sessions=self.environment.sessions,
            filters=self.makeFilters(),
            forwarding=self.environment.configuration.forwarding,
        )
        for network in self.networks.values():
            network.start()

    def makeNetworks(self) -> dict[str, INetwork]:
        """
        Make the networks, by the names of their protocols. These are the networks that the
        configuration chooses; a derived class may make others.
        """
        return makeNetworks(self.environment)

    def makeFilters(self) -> Filters:
        """
        Make the filters that accounts may name: those of the configuration.
        """
        return makeFilters(self.environment.configuration)

    def makeDataPath(self) -> Any:
        """
        Make the gateway's data path: in memory, unless a derived class says otherwise.
        """
        return MemoryDataPath(self.network)

    def makeCallersDataPath(self) -> Any:
        """
        Make the data path of one caller: in memory, unless a derived class says otherwise.
        """
        return MemoryDataPath(self.network)

    def makeCallIDs(self) -> CallIDs:
        """
        Make the call ids of one host; a derived class may let them rest for another time.
        """
        return CallIDs(self.clock)

    def channelsOf(self, address: str) -> Channels | None:
        """
        Give what opens the channels of the host at C{address}; None where the data path does.
        """
        return None

    def run(self, seconds: float, step: float = DELAY) -> None:
        """
        Advance the clock by C{seconds}, in steps of C{step} seconds.
        """
        for _ in range(max(1, round(seconds / step))):
            self.clock.advance(step)

    def rest(self, seconds: float) -> None:
        """
        Advance the clock by C{seconds} in larger steps, for times in which nothing is urgent.
        """
        self.run(seconds, 0.1)

    def makeCallersEnd(self, address: str, owner: ClientConnection) -> ControlConnection:
        """
        Make the caller's end of a control connection.

        @param address: the caller's address.
        """
        return ControlConnection(
            self.clock,
            self.connectionSettings,
            self.makeCallIDs(),
            owner,
            Side.ORIGINATOR,
            address,
            CALLER.called,
            channels=self.channelsOf(address),
        )

    def makeGatewaysEnd(self, address: str) -> ControlConnection:
        """
        Make the gateway's end of a control connection, whose calls are offered to the gateway.

        @param address: the caller's address.
        """
        return ControlConnection(
            self.clock,
            self.connectionSettings,
            self.callIDs,
            answering(self.gateway, self.concentrators),
            Side.RECEIVER,
            CALLER.called,
            address,
            channels=self.channelsOf(CALLER.called),
        )

    def dial(self, address: str = CALLER.address, timeout: float = 120.0) -> ClientConnection:
        """
        Make a control connection to the gateway.

        @param address: the caller's address.
        @param timeout: the time in seconds that each call on the connection may take to be set up.
        """
        caller = ClientConnection(self.clock, self.makeCallersDataPath(), timeout)
        joined(self.clock, self.makeCallersEnd(address, caller), self.makeGatewaysEnd(address))
        return caller

    def connect(self, address: str = CALLER.address, timeout: float = 120.0) -> ClientConnection:
        """
        Make a control connection, as L{dial}, and give it time to be established.
        """
        caller = self.dial(address, timeout)
        self.run(0.02)
        return caller

    def placeCall(
        self,
        connection: ClientConnection,
        name: bytes = b"alice",
        password: bytes = PASSWORD,
        protocols: Sequence[INetworkProtocol] | None = None,
        methods: tuple[IAuthenticationProtocol, ...] = (MSCHAPV2,),
        **options: Any,
    ) -> Deferred[ClientCall]:
        """
        Place a call on a control connection.

        @param protocols: the caller's ends of network protocols; None for IPv4 alone.
        @param methods: the authentication protocols that the caller has.
        @param options: attributes of the caller's L{LinkSettings}.
        @return: fires when the call is set up.
        """
        if protocols is None:
            protocols = [IPCP(IPv4Settings.client(lambda packet: None))]
        settings = LinkSettings(identity=Identity(name, password, methods), **options)
        return connection.placeCall(settings, protocols)

    def setUpCall(
        self,
        name: bytes = b"alice",
        password: bytes = PASSWORD,
        *protocols: INetworkProtocol,
        **options: Any,
    ) -> ClientCall:
        """
        Place a call on a control connection of its own, and give it time to be set up.

        @param protocols: the caller's ends of network protocols; none for IPv4 alone.
        @param options: further attributes of the L{LinkSettings}.
        """
        placed = self.placeCall(self.connect(), name, password, protocols or None, **options)
        self.run(0.2)
        return resultOf(placed)

    def stop(self) -> None:
        """
        Stop the gateway, which ends every call within a second, and its networks.
        """
        stopped = self.gateway.stop(1.0)
        self.run(1.1, 0.01)
        resultOf(stopped)
        for network in self.networks.values():
            network.stop()
