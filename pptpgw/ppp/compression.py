"""
The compression of a link's packets: CCP where nothing encrypts (RFC 1962), with Deflate (RFC 1979)
and MPPC (RFC 2118).

The rules:

 - It is negotiated if the settings have a method, encryption is off, and the tunnel doesn't encrypt
   either (L{LinkSettings.mayCompress}): lengths of compressed packets tell of what they contain.
 - Each direction is agreed on by itself, and may do without. The network protocols don't wait for
   it: until it opens, and after it has ended, packets go as they are.
 - A peer that asks for MPPC and for MPPE, as Windows does, gets a Nak with MPPC alone.
 - BSD-Compress, Predictor and the draft of Deflate (option 24) are rejected.
 - A Reset-Request is answered by a Reset-Ack, and a Reset-Ack has us begin anew: both ends do so at
   the same place between two frames. With MPPC a Reset-Ack has no effect: the next frame is marked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

from twisted.internet.interfaces import IReactorTime

from pptpgw.interfaces import CompressionParameters, IChannel
from pptpgw.ppp.ccp import CCP, CCPSettings
from pptpgw.ppp.control import DEFAULT_MRU, ControlProtocol
from pptpgw.ppp.layer import Layer
from pptpgw.ppp.option import Option
from pptpgw.ppp.settings import LinkPeer, LinkSettings

DEFLATE = 26
"""
The option type of Deflate (RFC 1979 section 3).
"""

MPPC = 18
"""
The option type of MPPC (RFC 2118 section 2), which is that of MPPE, too.
"""

METHODS = {DEFLATE: "deflate", MPPC: "mppc"}
"""
The methods by their option types, in the order in which they are asked for.
"""

LARGEST_WINDOW = 15
"""
The logarithm of the largest window of Deflate, in octets.
"""

# Method 8, by sequence numbers.
_DEFLATE = bytes((LARGEST_WINDOW - 8 << 4 | 8, 0))
# The bit of MPPC alone, and none of MPPE's.
_MPPC = b"\x00\x00\x00\x01"
# The octets of a protocol number.
_PROTOCOL = 2


def _window(value: bytes) -> int:
    """
    Return the logarithm of the window that the value of a Deflate option names; 0 if it is none
    that we know.
    """
    known = len(value) == 2 and value[0] & 0x0F == 8 and value[0] >> 4 in range(1, 8)
    return (value[0] >> 4) + 8 if known and not value[1] else 0


class _Deflate(Option["CompressionCCP"]):
    __slots__ = ()

    def wanted(self, owner: CompressionCCP) -> bytes | None:
        return _DEFLATE if METHODS[DEFLATE] in owner.methods else None

    def naked(self, owner: CompressionCCP, current: bytes, suggested: bytes) -> bytes | None:
        return suggested if _window(suggested) else None

    def judge(self, owner: CompressionCCP, value: bytes) -> bytes | None:
        if METHODS[DEFLATE] not in owner.methods:
            return None
        return value if _window(value) else _DEFLATE


class _Microsoft(Option["CompressionCCP"]):
    __slots__ = ()

    def wanted(self, owner: CompressionCCP) -> bytes | None:
        return _MPPC if METHODS[MPPC] in owner.methods else None

    def naked(self, owner: CompressionCCP, current: bytes, suggested: bytes) -> bytes | None:
        return _MPPC if _hasMPPC(suggested) else None

    def judge(self, owner: CompressionCCP, value: bytes) -> bytes | None:
        return _MPPC if METHODS[MPPC] in owner.methods and _hasMPPC(value) else None


def _hasMPPC(value: bytes) -> bool:
    """
    Return whether the value of an option of MPPC and MPPE asks for MPPC.
    """
    return len(value) == 4 and bool(value[3] & 1)


class CompressionCCP(CCP):
    """
    CCP for compression alone.

    @ivar methods: the methods that are permitted, by their names in L{METHODS}.
    @ivar resetAcknowledged: called when the peer sent a Reset-Ack, so that what it sends begins
        anew.
    """

    __slots__ = ("methods", "resetAcknowledged")

    kinds: ClassVar[Mapping[int, Option[Any]]] = {DEFLATE: _Deflate(), MPPC: _Microsoft()}

    def __init__(
        self,
        clock: IReactorTime,
        send: Callable[[int, bytes], None],
        layer: Layer,
        methods: tuple[str, ...],
    ) -> None:
        self.methods = methods
        self.resetAcknowledged: Callable[[], None] | None = None
        super().__init__(clock, send, layer, CCPSettings(bits=(), require=False))

    def sending(self, longest: int) -> CompressionParameters | None:
        """
        Return how what we send is compressed, which the peer asked for; None if it isn't.

        @param longest: how many octets may come of a frame at most.
        """
        return _parameters(self.negotiator.allowed, longest)

    def receiving(self, longest: int) -> CompressionParameters | None:
        """
        Return how what we receive is compressed, which we asked for; None if it isn't.

        @param longest: how many octets may come of a frame at most.
        """
        return _parameters(self.negotiator.granted, longest)

    def packet_RESET_ACK(self, identifier: int, data: bytes) -> None:
        """
        Begin anew with what comes after the packet.
        """
        if self.opened and self.resetAcknowledged is not None:
            self.resetAcknowledged()


def _parameters(options: Mapping[int, bytes], longest: int) -> CompressionParameters | None:
    """
    Return the compression of one direction. Of several methods the first one is used (RFC 1962
    section 4).
    """
    for number, value in options.items():
        return CompressionParameters(METHODS[number], _window(value), longest)
    return None


class Compression:
    """
    The compression of one link, and the layer above its CCP.

    @ivar ccp: the L{CompressionCCP} of the link; None after it has ended.
    """

    __slots__ = ("_channel", "_longest", "ccp")

    def __init__(
        self,
        clock: IReactorTime,
        settings: LinkSettings,
        peer: LinkPeer,
        channel: IChannel,
        send: Callable[[int, bytes], None],
    ) -> None:
        """
        @param send: sends a packet of CCP.
        """
        self._channel = channel
        # A peer may send as much as LCP's default whatever it has agreed on.
        self._longest = max(settings.mru, settings.mrru, DEFAULT_MRU) + _PROTOCOL
        self.ccp: CompressionCCP | None = CompressionCCP(clock, send, self, settings.compression)
        self.ccp.peerMRU = peer.peerMRU
        self.ccp.resetRequested = partial(channel.resetCompression, True)
        self.ccp.resetAcknowledged = partial(channel.resetCompression, False)

    def begin(self) -> None:
        """
        Begin to negotiate.
        """
        if self.ccp is not None:
            self.ccp.open()
            self.ccp.lowerUp()

    def received(self, packet: bytes) -> None:
        """
        Handle a packet of CCP.
        """
        if self.ccp is not None:
            self.ccp.received(packet)

    def end(self) -> None:
        """
        Take CCP down, since LCP left Opened.
        """
        ccp, self.ccp = self.ccp, None
        if ccp is not None:
            ccp.lowerDown()
            ccp.detach()

    # pptpgw.ppp.layer.Layer

    def layerUp(self, protocol: ControlProtocol) -> None:
        """
        Compress from now on.
        """
        if self.ccp is not None:
            longest = self._longest
            self._channel.setCompression(self.ccp.sending(longest), self.ccp.receiving(longest))

    def layerDown(self, protocol: ControlProtocol) -> None:
        """
        Compress no more, since CCP negotiates anew or ends.
        """
        self._channel.setCompression(None, None)

    def layerFinished(self, protocol: ControlProtocol, reason: str) -> None:
        """
        Go on without compression: CCP gave up, was rejected or terminated.
        """
        ccp, self.ccp = self.ccp, None
        if ccp is not None:
            ccp.detach()
