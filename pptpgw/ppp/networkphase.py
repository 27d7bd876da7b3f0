"""
The network phase: the network control protocols, over the encryption of the link (RFC 1661 section
3.7; L{pptpgw.ppp.encryption}).

The rules:

 - While encryption is required, or is preferred and still undecided, the network control protocols
   are held back: packets for them are kept, and none is answered or sent. Once MPPE opens they
   begin, and are given the packets that were kept.
 - Packets may be compressed where nothing encrypts (L{pptpgw.ppp.compression}). Nothing waits for
   that.
 - The account of the peer may decide whether encryption is required (L{LinkSettings.forProfile}).
 - Once encryption was on, it stays required after the peer has negotiated LCP anew.
 - A peer that has let us in may discard what comes before it is ready, as accel-ppp does. Its first
   packet of a control protocol shows that it is. If that is a Configure-Request, and ours was sent
   before it came and is unanswered, ours is sent again at once, before the peer's is answered.
   Otherwise both ends would wait for a Restart timer.
 - A packet of an unknown protocol is answered with a Protocol-Reject (RFC 1661 section 5.7).
 - Of two network protocols with the same number only the first one is used.
 - A network control protocol that finishes is removed, and the others go on; the link ends with the
   last one. A protocol that raises an exception is removed in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from pptpgw.error import NotCarried
from pptpgw.interfaces import (
    Agreement,
    Attachments,
    Grant,
    IChannel,
    IDetachable,
    IKeys,
    INegotiated,
    INetworkLink,
    INetworkProtocol,
    ISubscriber,
)
from pptpgw.log import Logger
from pptpgw.ppp.ccp import CCP
from pptpgw.ppp.control import ControlProtocol
from pptpgw.ppp.encryption import Encryption
from pptpgw.ppp.settings import LinkOwner, LinkPeer, LinkSettings, LinkWatcher
from pptpgw.ppp.wire.ppp import CONFIGURE_REQUEST
from pptpgw.sessions.cause import reworded

if TYPE_CHECKING:
    from pptpgw.ppp.compression import Compression

# The number of packets that are kept until their protocol can handle them.
KEPT_PACKETS = 16


@implementer(INetworkLink)
class NetworkPhase:
    """
    The network control protocols of a link, from the time that LCP opens until it leaves Opened.

    @ivar begun: whether authentication is done, so that negotiation is allowed.
    """

    __slots__ = (
        "_channel",
        "_close",
        "_compression",
        "_encryption",
        "_held",
        "_kept",
        "_networks",
        "_opened",
        "_owner",
        "_peer",
        "_sentFor",
        "_settings",
        "_spoken",
        "_unheard",
        "_watcher",
        "begun",
        "clock",
    )

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        settings: LinkSettings,
        peer: LinkPeer,
        channel: IChannel,
        owner: LinkOwner,
        watcher: LinkWatcher | None,
        opened: Callable[[], None],
        unheard: Callable[[], None],
        close: Callable[[str], None],
        encrypted: bool,
    ) -> None:
        """
        @param watcher: is told how far the phase has come, and shown its frames.
        @param opened: called when a network protocol opens.
        @param unheard: called when a packet is repeated, and the peer has sent no packet of this
            phase: perhaps it doesn't know that the phase has begun.
        @param close: called with a cause, to end the link.
        @param encrypted: whether encryption was on in an earlier network phase.
        """
        self.clock = clock
        self.begun = False
        self._settings = settings
        self._peer = peer
        self._channel = channel
        self._owner = owner
        self._watcher = watcher
        self._opened = opened
        self._unheard = unheard
        # The control protocols of which the peer has sent a packet.
        self._spoken: set[int] = set()
        # The protocols for which a packet was sent before the first packet of this phase came; None
        # after that.
        self._sentFor: set[int] | None = set()
        self._close = close
        self._networks: dict[int, INetworkProtocol] = {}
        self._held = True
        self._compression: Compression | None = None
        self._kept: list[tuple[int, bytes]] = []
        self._encryption = Encryption(
            clock, settings, peer, channel, watcher, self.send, self._release, close, encrypted
        )

    @property
    def encryption(self) -> str:
        """
        How the link is encrypted, in words.
        """
        return self._encryption.words

    @property
    def encrypted(self) -> bool:
        """
        Whether encryption was on at any time of the link.
        """
        return self._encryption.wasOn

    @property
    def _aboveCCP(self) -> Encryption | Compression:
        """
        What CCP is negotiated for: compression, which there is only where nothing encrypts, or else
        encryption.
        """
        return self._encryption if self._compression is None else self._compression

    @property
    def _ccp(self) -> CCP | None:
        """
        The CCP of the link, for encryption or for compression; None while there is none.
        """
        return self._aboveCCP.ccp

    # Methods for the link

    def agreements(self) -> Iterator[Agreement]:
        """
        Iterate over what CCP and the network protocols have agreed on, as far as they are open.
        """
        protocols = (self._ccp, *self._networks.values())
        for one in map(INegotiated, filter(INegotiated.providedBy, protocols)):
            if one.agreement is not None:
                yield one.agreement

    def prepare(self, networks: Sequence[INetworkProtocol], grant: Grant | None = None) -> None:
        """
        Attach the network protocols, without sending anything yet.

        @param networks: the network protocols for this peer.
        @param grant: the grant of the peer's authentication, or None if it didn't authenticate.
        """
        subscriber = ISubscriber(grant.subscriber, None) if grant is not None else None
        if subscriber is not None:
            self._settings = self._settings.forProfile(subscriber.profile)
        if self.encrypted:
            self._settings = replace(self._settings, encryption="require")
        self._networks = {}
        for network in networks:
            first = self._networks.setdefault(network.control, network)
            if first is not network:
                self._log.error(
                    "network protocol {name} is left out: {first} has its number, 0x{number:04x}",
                    name=network.name,
                    first=first.name,
                    number=network.control,
                )
        for network in tuple(self._networks.values()):
            self._tell(network, lambda one: one.attach(self))

    def begin(self, keys: IKeys | None) -> None:
        """
        Begin to negotiate, since authentication is done.

        @param keys: the MPPE keys that authentication earned, or None.
        """
        self.begun = True
        if self._settings.mayCompress:
            from pptpgw.ppp.compression import Compression

            self._compression = Compression(
                self.clock, self._settings, self._peer, self._channel, self.send
            )
            self._compression.begin()
        self._encryption.begin(self._settings, keys)
        if self._encryption.ccp is not None:
            self._deliver()

    def received(self, protocol: int, packet: bytes) -> None:
        """
        Handle a frame that belongs neither to LCP nor to an authentication protocol.
        """
        self._sentFor = None
        ccp = self._ccp
        if not self.begun:
            self._keep(protocol, packet)
        elif ccp is not None and protocol == ccp.protocol:
            self._speaks(protocol, packet, ccp)
            self._aboveCCP.received(packet)
        elif protocol in self._networks:
            if self._held:
                self._keep(protocol, packet)
            else:
                self._speaks(protocol, packet, self._networks[protocol])
                self._tell(self._networks[protocol], lambda one: one.received(packet))
        elif any(protocol in network.protocols for network in self._networks.values()):
            self._channel.counters.discard("network protocol not open")
        else:
            self._peer.sendProtocolReject(protocol, packet)

    def takeKept(self) -> list[tuple[int, bytes]]:
        """
        Return the packets that were kept, each with its protocol number, and keep them no longer.
        """
        kept, self._kept = self._kept, []
        return kept

    def rejected(self, protocol: int) -> None:
        """
        Handle a Protocol-Reject from the peer, which names C{protocol}.
        """
        ccp = self._ccp
        if ccp is not None and protocol == ccp.protocol:
            ccp.rejected()
        elif protocol in self._networks:
            self._tell(self._networks[protocol], lambda one: one.rejected())

    def resyncNeeded(self) -> None:
        """
        See L{pptpgw.interfaces.IChannelOwner.resyncNeeded}.
        """
        if self._ccp is not None:
            self._ccp.sendResetRequest()

    def end(self) -> None:
        """
        Take all protocols down, since LCP left Opened.
        """
        self._kept = []
        for network in tuple(self._networks.values()):
            self._tell(network, lambda one: one.lowerDown())
            # A protocol that failed there has been removed and detached.
            if network.control in self._networks:
                self._detach(network)
        self._networks = {}
        self._encryption.end()
        if self._compression is not None:
            self._compression.end()

    # INetworkLink

    @property
    def peerMRU(self) -> int:
        """
        The largest information field that the peer can receive, in octets.
        """
        return self._peer.peerMRU

    def send(self, protocol: int, packet: bytes) -> None:
        """
        See L{INetworkLink.send}. CCP sends its packets by this too.
        """
        if self._sentFor is not None:
            if protocol in self._sentFor:
                self._unheard()
            self._sentFor.add(protocol)
        if self._watcher is not None:
            self._watcher.frame(True, protocol, packet)
        self._channel.sendFrame(protocol, packet)

    def sendPacket(self, number: int, packet: bytes) -> None:
        """
        See L{INetworkLink.sendPacket}.
        """
        self._channel.sendPacket(number, packet)

    def networkOpened(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        See L{INetworkLink.networkOpened}.
        """
        self._opened()
        if self._carries(protocol, attachments):
            self._owner.networkOpened(protocol, attachments)

    def networkChanged(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        See L{INetworkLink.networkChanged}.
        """
        if self._carries(protocol, attachments):
            self._owner.networkChanged(protocol, attachments)

    def networkClosed(self, protocol: INetworkProtocol) -> None:
        """
        See L{INetworkLink.networkClosed}.
        """
        for number in protocol.protocols:
            self._channel.closeNetwork(number)
        self._owner.networkClosed(protocol)

    def networkFinished(self, protocol: INetworkProtocol, reason: str) -> None:
        """
        See L{INetworkLink.networkFinished}. If no network protocol is left, the link is ended.
        """
        self._networks.pop(protocol.control, None)
        self._owner.networkFinished(protocol, reason)
        self._detach(protocol)
        if not self._networks:
            text = f"no network protocol is left: {protocol.name}: {reason}"
            self._close(reworded(reason, text))

    # Internal methods

    def _carries(self, protocol: INetworkProtocol, attachments: Attachments) -> bool:
        """
        Have the channel carry the packets of C{protocol}, or close it.

        @return: whether the channel carries them.
        """
        try:
            for number, attachment in self._owner.attached(attachments).items():
                self._channel.openNetwork(number, attachment)
        except NotCarried as error:
            # The protocol is in the middle of opening.
            self.clock.callLater(0, self._closeNetwork, protocol, str(error))
            return False
        return True

    def _speaks(self, number: int, packet: bytes, protocol: object) -> None:
        """
        Have a control protocol send its outstanding request again, if the peer's first packet shows
        that it was sent too early: before the peer had let us in.
        """
        if number in self._spoken:
            return
        self._spoken.add(number)
        isRequest = packet[:1] == bytes((CONFIGURE_REQUEST,))
        letsIn = self._peer.demandedOfUs is not None
        if isRequest and letsIn and isinstance(protocol, ControlProtocol):
            protocol.askAgain()

    def _closeNetwork(self, protocol: INetworkProtocol, reason: str) -> None:
        if self._networks.get(protocol.control) is protocol:
            protocol.close(reason)

    def _tell(self, network: INetworkProtocol, call: Callable[[INetworkProtocol], object]) -> None:
        """
        Have C{call} call a method of a network protocol, unless the protocol has been removed. A
        protocol that raises an exception is removed.
        """
        if self._networks.get(network.control) is not network:
            return
        try:
            call(network)
        except Exception:
            self._log.failure("network protocol {name} failed", name=network.name)
            # A protocol that fails after it has finished has been removed already.
            if self._networks.pop(network.control, None) is not None:
                self._abandon(network)

    def _detach(self, network: INetworkProtocol) -> None:
        """
        Have a network protocol that isn't used any more drop its references to the link.
        """
        if IDetachable.providedBy(network):
            try:
                IDetachable(network).detach()
            except Exception:
                self._log.failure("network protocol {name} wasn't detached", name=network.name)

    def _abandon(self, network: INetworkProtocol) -> None:
        """
        Remove a network protocol that failed from the link.
        """
        try:
            network.lowerDown()
        except Exception:
            self._log.failure("network protocol {name} didn't end", name=network.name)
        self.networkClosed(network)
        self.networkFinished(network, "it failed, see the log")

    def _release(self) -> None:
        """
        Let the network protocols negotiate, unless they do so already, and give them the packets
        that were kept.
        """
        if not self._held:
            return
        self._held = False
        if self._watcher is not None:
            self._watcher.begins(next((one.name for one in self._networks.values()), ""))
        for network in tuple(self._networks.values()):
            self._tell(network, lambda one: one.open())
            self._tell(network, lambda one: one.lowerUp())
        self._deliver()

    def _keep(self, protocol: int, packet: bytes) -> None:
        if len(self._kept) < KEPT_PACKETS:
            self._spoken.add(protocol)
            self._kept.append((protocol, packet))
        else:
            self._channel.counters.discard("too many early packets")

    def _deliver(self) -> None:
        for protocol, packet in self.takeKept():
            self.received(protocol, packet)
