"""
The IPX network plugin: one network for all callers, with the gateway's own router, and optionally a
port for DOSBox.

The rules:

 - Each caller is offered a node number that nobody has; it may choose another one that is free. The
   numbers that we give begin with the octet L{CALLER}. DOSBox servers make node numbers from IPv4
   addresses, and no IPv4 address of a host begins with that octet, so the two can't be the same.
 - A caller is on the network while its IPXCP is open.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from secrets import token_bytes

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from pptpgw import interfaces
from pptpgw.config.kind import BOOLEAN, LIVE, NEW, ROUTER_NAME, UDP_ADDRESS, key, restart, whole
from pptpgw.interfaces import (
    Attachment,
    IEnvironment,
    INetworkFactory,
    IPreparable,
    IReadableNetwork,
    IReloadable,
    ISubscriber,
)
from pptpgw.networks.ipx.dosbox import DOSBoxPort
from pptpgw.networks.ipx.ipxcp import IPXCP, WORDS, IPXSettings
from pptpgw.networks.ipx.router import IPXRouter
from pptpgw.networks.ipx.routing import UPDATE_SECONDS, Station
from pptpgw.networks.ipx.wire import DEFAULT_NETWORK, NODE_OCTETS
from pptpgw.ports.machine import lackingAddress
from pptpgw.ppp.control import ControlProtocol
from pptpgw.ppp.option import GiveUp

CALLER = b"\xf2"
"""
The first octet of the node numbers that callers are given: locally administered, and of one node.
"""


@dataclass(frozen=True, slots=True)
class IPXSection:
    """
    C{[ipx]}: IPX among callers.

    @ivar network: the number of the network that all callers are on.
    @ivar name: the gateway's name as a router; empty for none.
    @ivar announcements: whether routes and servers are learnt from callers.
    @ivar dosbox: C{ADDRESS:PORT} to listen at for DOSBox; empty to not listen.
    """

    network: int = key(
        whole(1, DEFAULT_NETWORK - 1),
        0x77000000,
        restart("current callers are on the network with this number"),
    )
    name: str = key(ROUTER_NAME, "PPTPGW", NEW)
    announcements: bool = key(BOOLEAN, True, LIVE)
    dosbox: str = key(
        UDP_ADDRESS, "", restart("the port is opened at the start, and players are connected to it")
    )


class CallerIPXCP(IPXCP):
    """
    IPXCP of one caller, which is a station at the router while the protocol is open.
    """

    __slots__ = ("_router", "_station")

    def __init__(self, settings: IPXSettings, router: IPXRouter) -> None:
        super().__init__(settings)
        self._router = router
        self._station: Station | None = None

    def mayBe(self, node: bytes) -> bool:
        """
        See L{IPXCP.mayBe}.
        """
        own = self._station is not None and self._station.node == node
        return super().mayBe(node) and (own or self._router.isFree(node))

    def agreed(self) -> None:
        """
        Give up if another caller has got the node number in the meantime.
        """
        super().agreed()
        node = self.peerNode
        assert node is not None
        if not self._router.isFree(node):
            raise GiveUp(f"another caller has node {node.hex()}")

    def attachment(self) -> Attachment:
        """
        Return the attachment; packets are passed to the router.
        """
        return Attachment(mtu=super().attachment().mtu, receive=self._received)

    def layerUp(self, protocol: ControlProtocol) -> None:
        """
        Open the data path for packets, and join the network.
        """
        super().layerUp(protocol)
        node = self.peerNode
        assert node is not None
        self._station = self._router.join(node, self.sendPacket)

    def layerDown(self, protocol: ControlProtocol) -> None:
        """
        Leave the network, and close the data path.
        """
        if self._station is not None:
            self._router.leave(self._station)
            self._station = None
        super().layerDown(protocol)

    def _received(self, packet: bytes) -> None:
        if self._station is not None:
            self._router.received(self._station, packet)


@implementer(IReadableNetwork, IReloadable, IPreparable)
class IPXNetwork:
    """
    The IPX network of the gateway. See L{IReadableNetwork}.

    @ivar router: the router that all callers are stations of.
    """

    control, words = IPXCP.control, WORDS

    def __init__(self, settings: IPXSection, environment: IEnvironment) -> None:
        self._settings = settings
        self._environment = environment
        self.router = IPXRouter(
            environment.reactor,
            settings.network,
            self._node(),
            settings.announcements,
            environment.counters,
        )
        self._updates = LoopingCall(self.router.update)
        self._updates.clock = environment.reactor
        self._listens = settings.dosbox
        self._dosbox: DOSBoxPort | None = None
        if settings.dosbox:
            host, _, port = settings.dosbox.rpartition(":")
            self._dosbox = DOSBoxPort(
                environment.reactor, self.router, (host, int(port)), environment.counters
            )

    def lacking(self) -> Iterator[str]:
        """
        See L{IPreparable.lacking}.
        """
        if self._listens and (fault := lackingAddress(self._listens.rpartition(":")[0])):
            yield f"[ipx] dosbox = {fault}"

    def start(self) -> None:
        """
        See L{INetwork.start}.
        """
        if self._dosbox is not None:
            self._dosbox.start()
        self._updates.start(UPDATE_SECONDS, now=False)

    def stop(self) -> None:
        """
        See L{INetwork.stop}.
        """
        if self._updates.running:
            self._updates.stop()
        if self._dosbox is not None:
            self._dosbox.stop()

    def judge(self, settings: IPXSection) -> dict[str, str]:
        """
        See L{IReloadable.judge}: there is nothing to object to.
        """
        return {}

    def reload(self, settings: IPXSection) -> None:
        """
        See L{IReloadable.reload}. Whether routes are learnt applies to current sessions too.
        """
        self._settings = settings
        self.router.learn(settings.announcements)

    def makeProtocol(self, subscriber: ISubscriber, caller: interfaces.Caller) -> Deferred[IPXCP]:
        """
        See L{INetwork.makeProtocol}.
        """
        settings = IPXSettings(
            network=self._settings.network,
            shared=True,
            node=self.router.node,
            peerNode=self._node(),
            name=self._settings.name,
            mtu=self._environment.mru,
        )
        return succeed(CallerIPXCP(settings, self.router))

    def release(self, protocol: IPXCP) -> None:
        """
        Do nothing: the protocol has left the router when it closed. See L{INetwork.release}.
        """

    def _node(self) -> bytes:
        """
        Return a random node number. It needn't be compared with others, as there are 2 ** 40.
        """
        return CALLER + token_bytes(NODE_OCTETS - 1)


@implementer(INetworkFactory)
class IPXFactory:
    """
    The plugin C{ipx}. See L{INetworkFactory}.
    """

    name = "ipx"
    description = "IPX among callers, and DOSBox, with RIP, SAP and NetBIOS (IPXCP, RFC 1552)"
    settings = IPXSection

    def makeNetwork(self, settings: IPXSection, environment: IEnvironment) -> IPXNetwork:
        """
        See L{INetworkFactory.makeNetwork}.
        """
        return IPXNetwork(settings, environment)


factory = IPXFactory()
