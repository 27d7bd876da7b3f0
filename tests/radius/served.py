"""
A gateway on the real reactor that asks real RADIUS servers, and callers of our own in the same
process. Only the wire between gateway and callers is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from ipaddress import IPv4Address
from typing import Any, ParamSpec

from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.utils import getProcessOutputAndValue

from pptpgw.auth.authenticator import Authenticator
from pptpgw.auth.chain import CheckerChain
from pptpgw.auth.protocols import MSCHAPV2
from pptpgw.auth.realm import SubscriberRealm
from pptpgw.build import makeFilters
from pptpgw.config.configuration import Configuration
from pptpgw.config.environment import Environment
from pptpgw.config.kind import NoSettings
from pptpgw.counting.counters import Counters
from pptpgw.gateway import Gateway
from pptpgw.networks.ipv4.ipcp import IPCP, IPv4Settings
from pptpgw.networks.ipv4.plugin import IPv4Section, IPv4Sessions
from pptpgw.ppp.client import ClientCall
from pptpgw.ppp.settings import Identity, LinkSettings
from pptpgw.radius.build import accounts, makeAccounting, makeClient, makeQueue
from pptpgw.radius.checker import RADIUSChecker
from pptpgw.radius.dynamic import DynamicService
from pptpgw.sessions.offers import Offers
from pptpgw.sessions.pool import AddressPool
from pptpgw.sessions.session import Session
from pptpgw.testing import MemoryDataPath, MemoryNetwork, answering, joined
from pptpgw.timing.lifecycle import Part, Stages
from pptpgw.tunnels.pptp.callid import CallIDs
from pptpgw.tunnels.pptp.client import ClientConnection
from pptpgw.tunnels.pptp.connection import ControlConnection
from pptpgw.tunnels.pptp.settings import ConnectionSettings
from pptpgw.tunnels.pptp.statetable import Side

SERVER, CALLER = "192.0.2.1", "192.0.2.7"
P = ParamSpec("P")


def onTheReactor(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, Deferred[None]]:
    """
    Make a test of a coroutine, so that it can wait for Deferreds.
    """

    @wraps(test)
    def run(*arguments: P.args, **named: P.kwargs) -> Deferred[None]:
        return Deferred.fromCoroutine(test(*arguments, **named))

    return run


class Served:
    """
    The gateway.

    @ivar client: the RADIUS client.
    @ivar pool: the callers' addresses.
    @ivar parts: the parts of RADIUS that are opened and started.
    @ivar dynamic: the dynamic authorization, if it is configured.
    """

    def __init__(self, reactor: Any, configuration: Configuration) -> None:
        self.reactor = reactor
        self.wire = MemoryNetwork(reactor)
        self.counters = Counters()
        self.client = makeClient(reactor, configuration, self.counters)
        environment = Environment(reactor, configuration, self.counters, radius=self.client)
        sessions = environment.sessions
        queue = makeQueue(reactor, configuration)
        accounting = (
            makeAccounting(reactor, configuration, self.client, self.counters, queue)
            if accounts(configuration)
            else None
        )
        self.parts = parts = Stages(reactor)
        if configuration.radius.dynamic:
            self.dynamic = DynamicService(reactor, configuration, sessions, self.counters)
            parts.addService(self.dynamic)
        if accounting is not None:
            spool = Part("spool", start=accounting.open, stop=accounting.close)
            parts.addService(spool)
        client = Part("client", start=self.client.start, stop=self.client.stop)
        parts.addService(client)
        if accounting is not None:
            told = Part("accounting", start=accounting.start, stop=accounting.stop)
            parts.addService(told)
        checker = RADIUSChecker()
        checker.configure(NoSettings(), environment)
        self.pool = AddressPool([(IPv4Address("10.77.0.10"), IPv4Address("10.77.3.250"))])
        self.gateway = Gateway(
            reactor,
            Offers(LinkSettings(methods=(MSCHAPV2,), name=b"gateway")),
            {"ipv4": IPv4Sessions(IPv4Section(), environment, self.pool)},
            MemoryDataPath(self.wire),
            Authenticator(Portal(SubscriberRealm(), [CheckerChain([checker])])),
            [accounting] if accounting is not None else (),
            self.counters,
            sessions=sessions,
            filters=makeFilters(configuration),
        )
        self.callIDs = CallIDs(reactor)
        self._ids = CallIDs(reactor)
        self._caller = ClientConnection(reactor, MemoryDataPath(self.wire), 30)
        settings = ConnectionSettings(maximumCalls=1000)
        pns = ControlConnection(
            reactor, settings, self._ids, self._caller, Side.ORIGINATOR, CALLER, SERVER
        )
        pac = ControlConnection(
            reactor, settings, self.callIDs, answering(self.gateway), Side.RECEIVER, SERVER, CALLER
        )
        joined(reactor, pns, pac)

    def start(self) -> None:
        """
        Open and start the parts of RADIUS, as the service does.
        """
        self.parts.privilegedStartService()
        self.parts.startService()

    async def stop(self) -> None:
        """
        Stop the parts in the order in which the service does.
        """
        await self.gateway.stop(5)
        await self.parts.stopService()
        await self._caller.close()

    async def dial(self, name: str, password: str) -> ClientCall:
        """
        Place a call, and wait until IPv4 is open.
        """
        await self.until(lambda: self._caller.opened.called)
        ipv4 = IPCP(IPv4Settings.client(lambda packet: None))
        identity = Identity(name.encode(), password.encode(), (MSCHAPV2,))
        call: ClientCall = await self._caller.placeCall(LinkSettings(identity=identity), [ipv4])
        await call.whenOpen(ipv4)
        return call

    def session(self, user: str) -> Session:
        """
        The only session of C{user}.
        """
        [session] = [one for one in self.gateway.sessions if one.user == user]
        return session

    async def until(self, done: Callable[[], Any], timeout: float = 20.0) -> Any:
        """
        Wait until C{done} returns something true, and return that.
        """
        for _ in range(int(timeout / 0.02)):
            value = done()
            if value:
                return value
            await deferLater(self.reactor, 0.02)
        raise AssertionError("it never came true")


def radclient(
    reactor: Any, port: int, kind: str, secret: str, attributes: str
) -> Deferred[tuple[bytes, bytes, int]]:
    """
    Send a packet with FreeRADIUS's client.

    @return: its output and its exit status.
    """
    result: Deferred[tuple[bytes, bytes, int]] = getProcessOutputAndValue(
        "/usr/bin/env",
        ["radclient", "-x", "-r", "1", "-t", "2", f"127.0.0.1:{port}", kind, secret],
        stdinBytes=attributes.encode() + b"\n",
        reactor=reactor,
        env=None,
    )
    return result
