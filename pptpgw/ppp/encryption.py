"""
The encryption of a link: CCP and the keys of MPPE, from the time that authentication is done (RFC
1962, RFC 3078).

The rules:

 - CCP negotiates if a key length is allowed for which authentication earned keys. Without one, the
   link goes on in clear, or ends if encryption is required.
 - If encryption is preferred and still undecided after L{PREFERENCE_SECONDS}, the link goes on in
   clear until it is.
 - If encryption was on and ends, the link ends too, so that nothing is sent in clear text that was
   encrypted before.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.interfaces import IChannel, IKeys
from pptpgw.ppp.ccp import CCP, CCPSettings
from pptpgw.ppp.control import ControlProtocol
from pptpgw.ppp.settings import LinkPeer, LinkSettings, LinkWatcher
from pptpgw.sessions.cause import Cause, Termination, asCause
from pptpgw.sessions.remedy import Remedy
from pptpgw.timing.timer import cancelled

# Seconds after which packets are sent in clear if encryption is preferred, not required, and not
# yet decided.
PREFERENCE_SECONDS = 5.0
# Seconds that we wait for the peer's first CCP packet if several key lengths are allowed.
LISTEN_SECONDS = 0.5


def _nobody(*arguments: object) -> None:
    """
    Do nothing, in place of all functions that are called, after the end.
    """


class Encryption:
    """
    The encryption of one link, and the layer above its CCP.

    @ivar ccp: the L{CCP} of the link; None while there is none.
    @ivar wasOn: whether encryption was on at any time of the link.
    """

    __slots__ = (
        "_channel",
        "_clock",
        "_close",
        "_decided",
        "_keys",
        "_listening",
        "_peer",
        "_preference",
        "_send",
        "_settings",
        "_watcher",
        "ccp",
        "wasOn",
    )

    def __init__(
        self,
        clock: IReactorTime,
        settings: LinkSettings,
        peer: LinkPeer,
        channel: IChannel,
        watcher: LinkWatcher | None,
        send: Callable[[int, bytes], None],
        decided: Callable[[], None],
        close: Callable[[str], None],
        wasOn: bool,
    ) -> None:
        """
        @param watcher: is told how far CCP has come.
        @param send: sends a packet of CCP.
        @param decided: called when network protocols needn't wait, or no longer. It may be called
            again.
        @param close: called with a cause, to end the link.
        @param wasOn: whether encryption was on in an earlier network phase.
        """
        self.ccp: CCP | None = None
        self.wasOn = wasOn
        self._clock = clock
        self._settings = settings
        self._peer = peer
        self._channel = channel
        self._watcher = watcher
        self._send = send
        self._decided = decided
        self._close = close
        self._keys: IKeys | None = None
        self._preference: IDelayedCall | None = None
        self._listening: IDelayedCall | None = None

    @property
    def words(self) -> str:
        """
        How the link is encrypted, in words.
        """
        ccp = self.ccp
        if self._settings.encrypted:
            return "encrypted by the tunnel"
        if ccp is None or not ccp.opened or not ccp.receiveBits:
            return "not encrypted"
        return f"MPPE {ccp.receiveBits} bit {'stateful' if ccp.receiveStateful else 'stateless'}"

    # Methods for the network phase

    def begin(self, settings: LinkSettings, keys: IKeys | None) -> None:
        """
        Begin to negotiate, or decide that there is nothing to negotiate.

        @param settings: the settings of the link, given who the peer is.
        @param keys: the MPPE keys that authentication earned, or None.
        """
        self._settings = settings
        bits: tuple[int, ...] = ()
        if keys is not None and settings.encryption != "off" and not settings.encrypted:
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
                self._fail(cause)
                return
        if bits:
            self._keys = keys
            self._openCCP(bits)
        else:
            self._decided()

    def received(self, packet: bytes) -> None:
        """
        Handle a packet of CCP.
        """
        ccp = self.ccp
        assert ccp is not None
        if self._listening is not None and self._listening.active():
            self._listening = cancelled(self._listening)
            ccp.foresee(packet)
            ccp.lowerUp()
        ccp.received(packet)

    def end(self) -> None:
        """
        Take CCP down, since LCP left Opened.
        """
        self._preference = cancelled(self._preference)
        self._listening = cancelled(self._listening)
        ccp, self.ccp = self.ccp, None
        if ccp is not None:
            ccp.lowerDown()
            ccp.detach()
        # These refer to the network phase: this breaks the cycle.
        self._send = self._decided = self._close = _nobody

    # pptpgw.ppp.layer.Layer

    def layerUp(self, protocol: ControlProtocol) -> None:
        """
        Encrypt from now on, and let the network control protocols begin.
        """
        ccp, keys = self.ccp, self._keys
        assert ccp is not None and keys is not None
        if not ccp.receiveBits or not ccp.sendBits:
            self.layerFinished(ccp, "the peer agreed to no key length")
            return
        if self._watcher is not None:
            self._watcher.passed("CCP")
        self.wasOn = True
        self._channel.requireMPPE()
        self._channel.setReceiveMPPE(keys.receive(ccp.receiveBits, ccp.receiveStateful))
        self._channel.setSendMPPE(keys.send(ccp.sendBits, ccp.sendStateful))
        self._decide()

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
        ccp, self.ccp = self.ccp, None
        if ccp is not None:
            ccp.detach()
            if self._watcher is not None:
                self._watcher.failed("CCP", reason)
        if self.wasOn or self._settings.encryption == "require":
            self._fail(reason)
        else:
            self._decide()

    # Internal methods

    def _decide(self) -> None:
        self._preference = cancelled(self._preference)
        self._decided()

    def _fail(self, reason: str) -> None:
        """
        End the link, because it may not continue without encryption.
        """
        what = "encryption ended" if self.wasOn else "encryption is required"
        self._close(Cause(f"{what}: {reason}", Termination.USER_ERROR, asCause(reason).remedy))

    def _openCCP(self, bits: tuple[int, ...]) -> None:
        if self._watcher is not None:
            self._watcher.begins("CCP")
        settings = self._settings
        self.ccp = ccp = CCP(
            self._clock,
            self._send,
            self,
            CCPSettings(
                bits=bits,
                stateful=settings.stateful,
                require=settings.encryption == "require",
            ),
        )
        ccp.offered = self._offerMPPE
        ccp.resetRequested = self._channel.resetSendMPPE
        ccp.peerMRU = self._peer.peerMRU
        if settings.encryption == "prefer":
            self._preference = self._clock.callLater(PREFERENCE_SECONDS, self._decide)
        ccp.open()
        if len(bits) > 1:
            self._listening = self._clock.callLater(LISTEN_SECONDS, ccp.lowerUp)
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
