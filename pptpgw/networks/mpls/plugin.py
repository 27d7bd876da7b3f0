"""
The MPLS network plugin: labelled packets between callers and the kernel's MPLS router.

The rules:

 - Callers' packets go to the kernel through a TAP device; the kernel's own table (C{ip -f mpls
   route}) decides what becomes of them. If C{routes} are configured, the gateway switches labels
   itself instead (L{pptpgw.networks.mpls.labelswitch}).
 - To the kernel every session is a neighbour on that device, with the session's IPv4 address as the
   next hop: C{ip -f mpls route add 100 as 200 via inet 10.77.0.10 dev pptpmpls0}. The gateway
   answers ARP for it. The neighbour's link address is made from the IPv4 address (L{linkAddress}),
   so what the kernel has learnt is still true when the caller dials again.
 - So a session's labelled packets pass only while it has both MPLS and IPv4; otherwise they are
   counted and silently discarded.
 - A frame to a group address goes to every session.
 - A caller's packet must have a valid label stack, with a label on top that callers may use. The
   labels under it aren't checked: the kernel's table decides about them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from pptpgw.config.kind import INTERFACE, LIVE, key, restart
from pptpgw.counting.counters import Counters
from pptpgw.datapath.interface import DeliverPacket
from pptpgw.error import Malformed
from pptpgw.interfaces import (
    Caller,
    IEnvironment,
    IHealth,
    INetworkFactory,
    INetworkProtocol,
    IReadableNetwork,
    IReloadable,
    ISession,
    ISized,
    ISubscriber,
)
from pptpgw.networks.mpls.kind import LABEL_ROUTES, LABELS, LabelRange, LabelRoute
from pptpgw.networks.mpls.labelswitch import LabelSwitch
from pptpgw.networks.mpls.mplscp import MPLSCP, WORDS, MPLSSettings
from pptpgw.networks.mpls.port import MPLSPort
from pptpgw.networks.mpls.wire import arp, mpls
from pptpgw.ppp.mppe import MPPE_OVERHEAD
from pptpgw.ppp.wire import ppp
from pptpgw.sessions.observer import SessionObserver

ETHERTYPES = {ppp.MPLS: b"\x88\x47", ppp.MPLS_MULTICAST: b"\x88\x48"}
"""
The Ethernet types of labelled packets (RFC 3032 section 5), by their PPP protocol numbers.
"""

UNPLACED = "labelled packet of a session without IPv4"
BAD_STACK = "malformed label stack"
FORBIDDEN = "label not for callers"
NOT_TAKEN = "labelled packet not taken by the kernel"
NO_NEIGHBOUR = "labelled packet for no session"
OTHER = "not MPLS"

_NUMBERS = {ethertype: number for number, ethertype in ETHERTYPES.items()}
_ARP = b"\x08\x06"
_IPV4 = "ipv4"


@dataclass(frozen=True, slots=True)
class MPLSSection:
    """
    C{[mpls]}: labelled packets to and from the kernel.

    @ivar interface: the name of the TAP device.
    @ivar labels: the ranges of labels that callers may put on top, first and last.
    @ivar routes: the routes by which the gateway switches labels itself, without a device and the
        kernel's MPLS; empty to use the kernel's.
    """

    interface: str = key(
        INTERFACE,
        "pptpmpls0",
        restart("all callers share this device, which is made at the start"),
    )
    labels: tuple[LabelRange, ...] = key(LABELS, ((mpls.UNRESERVED, mpls.LARGEST),), LIVE)
    routes: tuple[LabelRoute, ...] = key(LABEL_ROUTES, (), LIVE)


def linkAddress(address: bytes) -> bytes:
    """
    Return the Ethernet address, locally administered, of the session with this IPv4 address.
    """
    return b"\x02\x00" + address


class MPLSDevice(Protocol):
    """
    The TAP device, as L{MPLSNetwork} uses it; L{MPLSPort} and L{LabelSwitch} are implementations.

    @ivar receive: called with each Ethernet frame that the kernel sends.
    """

    receive: DeliverPacket

    @property
    def fault(self) -> str:
        """
        See L{pptpgw.interfaces.IHealth}.
        """

    @property
    def write(self) -> DeliverPacket:
        """
        The function that sends a frame into the kernel; it raises OSError.
        """

    @property
    def address(self) -> bytes:
        """
        The kernel's Ethernet address on the device, valid once the device is open.
        """

    def start(self) -> None:
        """
        Open the device.

        @raise pptpgw.error.PPTPGWError: the device can't be opened or configured.
        """

    def stop(self) -> object:
        """
        Close the device. Calling this again does nothing.
        """


class Neighbour:
    """
    One session as the kernel sees it.

    @ivar address: the link address of the session; empty while it has none.
    @ivar protocol: MPLSCP of the session.
    """

    __slots__ = ("_network", "address", "protocol")

    def __init__(self, network: MPLSNetwork, mtu: int) -> None:
        self._network = network
        self.address = b""
        self.protocol = MPLSCP(MPLSSettings(self.unicast, self.multicast, mtu))

    def unicast(self, packet: bytes) -> None:
        """
        Pass a labelled packet from the caller to the kernel.
        """
        self._network.packetReceived(self, ppp.MPLS, packet)

    def multicast(self, packet: bytes) -> None:
        """
        Pass a labelled multicast packet from the caller to the kernel.
        """
        self._network.packetReceived(self, ppp.MPLS_MULTICAST, packet)


@implementer(IReadableNetwork, IReloadable, ISized, IHealth)
class MPLSNetwork(SessionObserver):
    """
    The MPLS network of the gateway. See L{IReadableNetwork}.

    @ivar device: the device that leads to the kernel.
    """

    control, words = MPLSCP.control, WORDS

    def __init__(
        self, settings: MPLSSection, environment: IEnvironment, device: MPLSDevice
    ) -> None:
        self._labels = settings.labels
        self._mtu: int = environment.mru
        self._counters: Counters = environment.counters
        self.device = device
        device.receive = self.frameReceived
        self._neighbours: dict[INetworkProtocol, Neighbour] = {}
        # The neighbours whose MPLSCP is open, by their sessions; and those with a link address, by
        # that.
        self._open: dict[object, Neighbour] = {}
        self._placed: dict[bytes, Neighbour] = {}

    @property
    def fault(self) -> str:
        """
        See L{IHealth}.
        """
        return self.device.fault

    @property
    def sessions(self) -> int:
        """
        The number of entries in the tables of sessions; 0 when every session has been released.
        """
        return len(self._neighbours) + len(self._open) + len(self._placed)

    def start(self) -> None:
        """
        See L{INetwork.start}.
        """
        self.device.start()

    def stop(self) -> None:
        """
        See L{INetwork.stop}.
        """
        self.device.stop()

    def judge(self, settings: MPLSSection) -> dict[str, str]:
        """
        See L{IReloadable.judge}. Whether the kernel or the gateway switches labels is decided at
        the start.
        """
        if bool(settings.routes) is isinstance(self.device, LabelSwitch):
            return {}
        return {"routes": "whether there are routes decides whether there is a device"}

    def reload(self, settings: MPLSSection) -> None:
        """
        See L{IReloadable.reload}. The next packet of each session meets the new labels and routes.
        """
        self._labels = settings.labels
        if isinstance(self.device, LabelSwitch):
            self.device.change(_switched(settings.routes))

    def makeProtocol(self, subscriber: ISubscriber, caller: Caller) -> Deferred[MPLSCP]:
        """
        See L{INetwork.makeProtocol}.
        """
        neighbour = Neighbour(self, self._mtu)
        self._neighbours[neighbour.protocol] = neighbour
        return succeed(neighbour.protocol)

    def release(self, protocol: MPLSCP) -> None:
        """
        See L{INetwork.release}.
        """
        neighbour = self._neighbours.pop(protocol)
        # The protocol refers to the neighbour: this breaks the cycle.
        del neighbour.protocol

    # ISessionObserver

    def protocolOpened(self, session: ISession, protocol: INetworkProtocol) -> None:
        """
        Give the session a link address, once both MPLS and IPv4 are open on it.
        """
        neighbour = self._neighbours.get(protocol)
        if neighbour is not None:
            self._open[session] = neighbour
        self._place(session)

    def protocolClosed(self, session: ISession, protocol: INetworkProtocol) -> None:
        """
        Take the link address from the session, unless both MPLS and IPv4 are still open on it.
        """
        if protocol not in self._neighbours:
            self._place(session)
        elif session in self._open:
            self._remove(self._open.pop(session))

    # Packets

    def packetReceived(self, neighbour: Neighbour, number: int, packet: bytes) -> None:
        """
        Pass a labelled packet from a caller to the kernel.

        @param number: the PPP protocol number of the packet.
        """
        try:
            label = mpls.topLabel(packet)
        except Malformed:
            self._counters.discard(BAD_STACK)
            return
        for first, last in self._labels:
            if first <= label <= last:
                break
        else:
            self._counters.discard(FORBIDDEN)
            return
        if neighbour.address:
            self._write(neighbour, ETHERTYPES[number], packet)
        else:
            self._counters.discard(UNPLACED)

    def frameReceived(self, frame: bytes) -> None:
        """
        Pass a frame from the kernel to the sessions that it is for, or answer its ARP request.
        """
        ethertype, packet = frame[12 : mpls.ETHERNET_HEADER], frame[mpls.ETHERNET_HEADER :]
        number = _NUMBERS.get(ethertype)
        if number is not None:
            if frame[0] & 1:
                for neighbour in tuple(self._placed.values()):
                    neighbour.protocol.link.sendPacket(number, packet)
                return
            destination = self._placed.get(frame[:6])
            if destination is None:
                self._counters.discard(NO_NEIGHBOUR)
            else:
                destination.protocol.link.sendPacket(number, packet)
        elif ethertype == _ARP:
            self._answer(packet)
        else:
            # The kernel sends IPv6 Neighbor Discovery on every Ethernet device, for example.
            self._counters.discard(OTHER)

    def _answer(self, packet: bytes) -> None:
        """
        Answer the kernel's ARP request for the IPv4 address of a session.
        """
        try:
            question = arp.decode(packet)
        except Malformed:
            self._counters.discard(OTHER)
            return
        neighbour = self._placed.get(linkAddress(question.targetAddress))
        if neighbour is not None and question.operation == arp.REQUEST:
            answer = arp.ARP(
                arp.REPLY,
                neighbour.address,
                question.targetAddress,
                question.sender,
                question.senderAddress,
            )
            self._write(neighbour, _ARP, answer.encode())

    def _write(self, neighbour: Neighbour, ethertype: bytes, packet: bytes) -> None:
        """
        Send a packet to the kernel, from the link address of C{neighbour}.
        """
        device = self.device
        try:
            device.write(device.address + neighbour.address + ethertype + packet)
        except OSError:
            self._counters.discard(NOT_TAKEN)

    def _place(self, session: ISession) -> None:
        """
        Give a session the link address that belongs to its present IPv4 address.
        """
        neighbour = self._open.get(session)
        if neighbour is None:
            return
        self._remove(neighbour)
        networks = session.networks.get(_IPV4)
        if networks:
            neighbour.address = linkAddress(networks[0].network_address.packed)
            self._placed[neighbour.address] = neighbour

    def _remove(self, neighbour: Neighbour) -> None:
        """
        Take its link address from a neighbour.
        """
        if self._placed.get(neighbour.address) is neighbour:
            del self._placed[neighbour.address]
        neighbour.address = b""


def _switched(routes: Iterable[LabelRoute]) -> dict[int, tuple[int, bytes]]:
    """
    Return what L{LabelSwitch} needs of routes.
    """
    return {label: (following, linkAddress(address.packed)) for label, following, address in routes}


@implementer(INetworkFactory)
class MPLSFactory:
    """
    The plugin C{mpls}. See L{INetworkFactory}.
    """

    name = "mpls"
    description = "labelled packets to and from the kernel's MPLS router (MPLSCP, RFC 3032)"
    settings = MPLSSection

    def makeNetwork(self, settings: MPLSSection, environment: IEnvironment) -> MPLSNetwork:
        """
        See L{INetworkFactory.makeNetwork}.
        """
        device: MPLSDevice
        if settings.routes:
            device = LabelSwitch(_switched(settings.routes), environment.counters)
        else:
            device = MPLSPort(
                environment.reactor,
                settings.interface,
                environment.mru - MPPE_OVERHEAD,
                environment.counters,
            )
        return MPLSNetwork(settings, environment, device)


factory = MPLSFactory()
