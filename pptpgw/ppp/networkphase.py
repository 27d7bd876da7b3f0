"""
The network phase: the network control protocols and the encryption under them (RFC 1661 section
3.7, RFC 1962, RFC 3078).

The rules:

 - While encryption is required, or is preferred and still undecided, the network control protocols
   are held back: packets for them are kept, and none is answered or sent. Once MPPE opens they
   begin, and are given the packets that were kept.
 - The account of the peer may decide whether encryption is required (L{LinkSettings.forProfile}).
 - If encryption was on and ends, the link ends too, so that nothing is sent in clear text that was
   encrypted before. Encryption stays required after the peer has negotiated LCP anew.
 - A packet of an unknown protocol is answered with a Protocol-Reject (RFC 1661 section 5.7).
 - Of two network protocols with the same number only the first one is used.
 - A network control protocol that finishes is removed, and the others go on; the link ends with the
   last one. A protocol that raises an exception is removed in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from twisted.internet.interfaces import IDelayedCall, IReactorTime
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
from pptpgw.ppp.ccp import CCP, CCPSettings
from pptpgw.ppp.control import ControlProtocol
from pptpgw.ppp.lcp import LCP
from pptpgw.ppp.settings import LinkOwner, LinkSettings, LinkWatcher
from pptpgw.sessions.cause import Cause, Termination, asCause, reworded
from pptpgw.sessions.remedy import Remedy
from pptpgw.timing.timer import cancelled

# The number of packets that are kept until their protocol can handle them.
KEPT_PACKETS = 16
# Seconds after which packets are sent in clear if encryption is preferred, not required, and not
# yet decided.
PREFERENCE_SECONDS = 5.0
# Seconds that we wait for the peer's first CCP packet if several key lengths are allowed.
LISTEN_SECONDS = 0.5


@implementer(INetworkLink)
class NetworkPhase:
    """
    The network control protocols and CCP of a link, from the time that LCP opens until it leaves
    Opened.

    @ivar begun: whether authentication is done, so that negotiation is allowed.
    @ivar encrypted: whether encryption was on at any time of the link.
    """

    __slots__ = (
        "_ccp",
        "_channel",
        "_close",
        "_held",
        "_kept",
        "_keys",
        "_lcp",
        "_listening",
        "_networks",
        "_opened",
        "_owner",
        "_preference",
        "_sentFor",
        "_settings",
        "_unheard",
        "_watcher",
        "begun",
        "clock",
        "encrypted",
    )

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        settings: LinkSettings,
        lcp: LCP,
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
        self.encrypted = encrypted
        self._settings = settings
        self._lcp = lcp
        self._channel = channel
        self._owner = owner
        self._watcher = watcher
        self._opened = opened
        self._unheard = unheard
        # The protocols for which a packet was sent before the first packet of this phase came; None
        # after that.
        self._sentFor: set[int] | None = set()
        self._close = close
        self._ccp: CCP | None = None
        self._keys: IKeys | None = None
        self._networks: dict[int, INetworkProtocol] = {}
        self._held = True
        self._kept: list[tuple[int, bytes]] = []
        self._preference: IDelayedCall | None = None
        self._listening: IDelayedCall | None = None

    @property
    def encryption(self) -> str:
        """
        How the link is encrypted, in words.
        """
        ccp = self._ccp
        if self._settings.encrypted:
            return "encrypted by the tunnel"
        if ccp is None or not ccp.opened or not ccp.receiveBits:
            return "not encrypted"
        return f"MPPE {ccp.receiveBits} bit {'stateful' if ccp.receiveStateful else 'stateless'}"

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
        settings = self._settings
        self.begun = True
        bits: tuple[int, ...] = ()
        if settings.encrypted:
            keys = None
        if keys is not None and settings.encryption != "off":
            bits = tuple(one for one in settings.bits if one in keys.bits)
        if settings.encryption == "require" and not settings.encrypted:
            self._channel.requireMPPE()
            if not bits:
                cause = Cause("this authentication earns no keys for it", remedy=Remedy.NO_KEYS)
                if not settings.bits:
                    text = "the account allows no key length of ours"
                    cause = Cause(text, remedy=Remedy.NO_BITS)
                if self._watcher is not None:
                    self._watcher.begins("CCP")
                    self._watcher.failed("CCP", cause)
                self._failEncryption(cause)
                return
        if bits:
            self._keys = keys
            self._openCCP(bits)
            self._deliver()
        else:
            self._release()

    def received(self, protocol: int, packet: bytes) -> None:
        """
        Handle a frame that belongs neither to LCP nor to an authentication protocol.
        """
        self._sentFor = None
        if not self.begun:
            self._keep(protocol, packet)
        elif self._ccp is not None and protocol == self._ccp.protocol:
            self._ccpReceived(self._ccp, packet)
        elif protocol in self._networks:
            if self._held:
                self._keep(protocol, packet)
            else:
                self._tell(self._networks[protocol], lambda one: one.received(packet))
        elif any(protocol in network.protocols for network in self._networks.values()):
            self._channel.counters.discard("network protocol not open")
        else:
            self._lcp.sendProtocolReject(protocol, packet)

    def rejected(self, protocol: int) -> None:
        """
        Handle a Protocol-Reject from the peer, which names C{protocol}.
        """
        if self._ccp is not None and protocol == self._ccp.protocol:
            self._ccp.rejected()
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
        self._preference = cancelled(self._preference)
        self._listening = cancelled(self._listening)
        self._kept = []
        for network in tuple(self._networks.values()):
            self._tell(network, lambda one: one.lowerDown())
            # A protocol that failed there has been removed and detached.
            if network.control in self._networks:
                self._detach(network)
        self._networks = {}
        ccp, self._ccp = self._ccp, None
        if ccp is not None:
            ccp.lowerDown()
            ccp.detach()

    # INetworkLink

    @property
    def peerMRU(self) -> int:
        """
        The largest information field that the peer can receive, in octets.
        """
        return self._lcp.peerMRU

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

    # pptpgw.ppp.control.Layer, for CCP

    def layerUp(self, protocol: ControlProtocol) -> None:
        """
        Encrypt from now on, and let the network control protocols begin.
        """
        ccp, keys = self._ccp, self._keys
        assert ccp is not None and keys is not None
        if not ccp.receiveBits or not ccp.sendBits:
            self.layerFinished(ccp, "the peer agreed to no key length")
            return
        if self._watcher is not None:
            self._watcher.passed("CCP")
        self.encrypted = True
        self._channel.requireMPPE()
        self._channel.setReceiveMPPE(keys.receive(ccp.receiveBits, ccp.receiveStateful))
        self._channel.setSendMPPE(keys.send(ccp.sendBits, ccp.sendStateful))
        if self._held:
            self._release()

    def layerDown(self, protocol: ControlProtocol) -> None:
        """
        Stop encryption, since CCP negotiates anew or ends. No network packet passes meanwhile.
        """
        self._channel.setSendMPPE(None)
        self._channel.setReceiveMPPE(None)

    def layerFinished(self, protocol: ControlProtocol, reason: str) -> None:
        """
        Go on without encryption, or end the link if it may not: CCP gave up, was rejected or
        terminated.
        """
        ccp, self._ccp = self._ccp, None
        if ccp is not None:
            ccp.detach()
            if self._watcher is not None:
                self._watcher.failed("CCP", reason)
        if self.encrypted or self._settings.encryption == "require":
            self._failEncryption(reason)
        elif self._held:
            self._release()

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

    def _closeNetwork(self, protocol: INetworkProtocol, reason: str) -> None:
        if self._networks.get(protocol.control) is protocol:
            protocol.close(reason)

    def _failEncryption(self, reason: str) -> None:
        """
        End the link, because it may not continue without encryption.
        """
        what = "encryption ended" if self.encrypted else "encryption is required"
        self._close(Cause(f"{what}: {reason}", Termination.USER_ERROR, asCause(reason).remedy))

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

    def _openCCP(self, bits: tuple[int, ...]) -> None:
        if self._watcher is not None:
            self._watcher.begins("CCP")
        settings = self._settings
        self._ccp = ccp = CCP(
            self.clock,
            self.send,
            self,
            CCPSettings(
                bits=bits,
                stateful=settings.stateful,
                require=settings.encryption == "require",
            ),
        )
        ccp.offered = self._offerMPPE
        ccp.resetRequested = self._channel.resetSendMPPE
        ccp.peerMRU = self._lcp.peerMRU
        if settings.encryption == "prefer":
            self._preference = self.clock.callLater(PREFERENCE_SECONDS, self._release)
        ccp.open()
        if len(bits) > 1:
            self._listening = self.clock.callLater(LISTEN_SECONDS, ccp.lowerUp)
        else:
            ccp.lowerUp()

    def _offerMPPE(self, bits: int, stateful: bool, send: bool) -> None:
        """
        Prepare the channel for the keys of one direction, which may be used after the next
        Configure-Ack.
        """
        assert self._keys is not None
        make = self._keys.send if send else self._keys.receive
        self._channel.offerMPPE(make(bits, stateful), send)

    def _ccpReceived(self, ccp: CCP, packet: bytes) -> None:
        if self._listening is not None and self._listening.active():
            self._listening = cancelled(self._listening)
            ccp.foresee(packet)
            ccp.lowerUp()
        ccp.received(packet)

    def _release(self) -> None:
        """
        Let the network protocols negotiate, and give them the packets that were kept.
        """
        self._preference = cancelled(self._preference)
        self._held = False
        if self._watcher is not None:
            self._watcher.begins(next((one.name for one in self._networks.values()), ""))
        for network in tuple(self._networks.values()):
            self._tell(network, lambda one: one.open())
            self._tell(network, lambda one: one.lowerUp())
        self._deliver()

    def _keep(self, protocol: int, packet: bytes) -> None:
        if len(self._kept) < KEPT_PACKETS:
            self._kept.append((protocol, packet))
        else:
            self._channel.counters.discard("too many early packets")

    def _deliver(self) -> None:
        kept, self._kept = self._kept, []
        for protocol, packet in kept:
            self.received(protocol, packet)
