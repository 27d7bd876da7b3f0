"""
Ethernet and its control protocol, BCP (RFC 3518).

The rules:

 - An option says what its sender is ready to receive, so the two ends need not agree on its value:
   MAC-Support, Tinygram-Compression, IEEE-802-Tagged-Frame, Management-Inline and
   Bridge-Control-Packet-Indicator are acknowledged or rejected, never answered with a Nak.
 - MAC-Support (3) is Ethernet for us. It is advice alone, so whatever the peer names is
   acknowledged; frames of another LAN are discarded.
 - Tagged frames pass in a direction whose receiver announced IEEE-802-Tagged-Frame (8): we do
   where they are permitted, and else reject the option. All others are counted and discarded.
 - BPDUs pass where a spanning tree may take part. The new form, in line with the other frames,
   goes to a peer that announces Management-Inline (9). One that rejects ours is asked for the old
   form, Spanning-Tree-Protocol (7) with IEEE 802.1D; of two different answers the lower counts,
   and a peer that has another spanning tree can't be bridged to. Where none may take part our
   answer is 0, BPDUs are discarded in silence, and a peer that insists hears a Reject.
 - MAC-Address (6): one that the peer announces is acknowledged; one that asks for an address gets
   the one that we have for it. A group address is rejected, since a Nak would be ignored.
 - Bridge-Identification (1) and Line-Identification (2) are for source routing, which isn't done
   here, and are rejected. So is LAN-Identification (5), obsolete, unless it says 'disabled'.
 - A frame is sent plain, or compressed to a peer that announced Tinygram-Compression (4); every
   form that may be received is understood, with and without LAN FCS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pptpgw.counting.counters import Counters
from pptpgw.error import Malformed
from pptpgw.interfaces import Attachment, Attachments
from pptpgw.networks.ethernet import wire
from pptpgw.networks.protocol import NetworkProtocol
from pptpgw.ppp.option import GiveUp, Option
from pptpgw.ppp.wire import ppp

# Option types (RFC 3518 section 5), those that we know how to answer.
MAC_SUPPORT = 3
TINYGRAM_COMPRESSION = 4
LAN_IDENTIFICATION = 5
MAC_ADDRESS = 6
SPANNING_TREE_PROTOCOL = 7
TAGGED_FRAME = 8
MANAGEMENT_INLINE = 9
BRIDGE_CONTROL_PACKET_INDICATOR = 10

# Values of options 4, 5 and 8.
ENABLED = b"\x01"
DISABLED = b"\x02"
# Values of option 7.
NO_SPANNING_TREE = b"\x00"
IEEE_8021D = b"\x01"

MALFORMED = "malformed bridged PDU"
GIANT = "frame longer than Ethernet's"
TAGGED = "tagged frame"
NO_TREE = "BPDU without a spanning tree"
RESERVED = "frame between bridges"

_ETHERNET = bytes((wire.ETHERNET,))
_ANY_ADDRESS = bytes(6)
# What a BPDU of the old form is sent from, where the peer's bridge has no address that we know.
_NAMELESS = bytes.fromhex("020000000000")


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """
    What this end has and permits; addresses are six octets.

    @ivar receive: called with each Ethernet frame from the peer, without its LAN FCS.
    @ivar tagged: whether frames with a VLAN tag may pass.
    @ivar spanningTree: whether BPDUs may pass.
    @ivar checksum: whether to send each frame with its LAN FCS.
    @ivar localAddress: our own, to announce; all zero: ask the peer for one; None: neither.
    @ivar peerAddress: what a peer that asks for an address is given; None: nothing.
    @ivar mtu: the largest bridged PDU that may be sent to the peer, in octets.
    @ivar counters: where what is discarded is counted.
    """

    receive: Callable[[bytes], object]
    tagged: bool = False
    spanningTree: bool = False
    checksum: bool = False
    localAddress: bytes | None = None
    peerAddress: bytes | None = None
    mtu: int = 1400
    counters: Counters = field(default_factory=Counters)


class _MACSupport(Option["BCP"]):
    """
    MAC-Support (RFC 3518 section 5.3). It may stand several times, of which one is judged.
    """

    __slots__ = ()

    def wanted(self, owner: BCP) -> bytes | None:
        return _ETHERNET

    def judge(self, owner: BCP, value: bytes) -> bytes | None:
        return value if len(value) == 1 else None


class _Switched(Option["BCP"]):
    """
    An option that is enabled or disabled: Tinygram-Compression, IEEE-802-Tagged-Frame.
    """

    __slots__ = ("_setting",)

    def __init__(self, setting: str = "") -> None:
        """
        @param setting: which of L{BridgeSettings} permits it; empty: it always is.
        """
        self._setting = setting

    def _permitted(self, owner: BCP) -> bool:
        return not self._setting or getattr(owner.settings, self._setting)

    def wanted(self, owner: BCP) -> bytes | None:
        return ENABLED if self._permitted(owner) else None

    def judge(self, owner: BCP, value: bytes) -> bytes | None:
        permitted = value == DISABLED or (value == ENABLED and self._permitted(owner))
        return value if permitted else None


class _Disabled(Option["BCP"]):
    """
    LAN-Identification (RFC 3518 section 5.5), obsolete.
    """

    __slots__ = ()

    def judge(self, owner: BCP, value: bytes) -> bytes | None:
        return value if value == DISABLED else None


class _MACAddress(Option["BCP"]):
    """
    MAC-Address (RFC 3518 section 5.6).
    """

    __slots__ = ()

    def wanted(self, owner: BCP) -> bytes | None:
        return owner.settings.localAddress

    def naked(self, owner: BCP, current: bytes, suggested: bytes) -> bytes | None:
        return suggested if current == _ANY_ADDRESS and _isStation(suggested) else current

    def judge(self, owner: BCP, value: bytes) -> bytes | None:
        if value == _ANY_ADDRESS:
            return owner.settings.peerAddress
        return value if _isStation(value) else None


class _SpanningTree(Option["BCP"]):
    """
    Spanning-Tree-Protocol (RFC 3518 section 5.7): numbers of protocols, ascending.
    """

    __slots__ = ()

    def judge(self, owner: BCP, value: bytes) -> bytes | None:
        if not owner.settings.spanningTree:
            return NO_SPANNING_TREE
        return value if value == NO_SPANNING_TREE else IEEE_8021D

    def stalled(self, owner: BCP, value: bytes) -> None:
        if owner.settings.spanningTree:
            raise GiveUp(f"the peer insists on spanning tree protocol 0x{value.hex()}")

    def naked(self, owner: BCP, current: bytes, suggested: bytes) -> bytes | None:
        return NO_SPANNING_TREE if suggested == NO_SPANNING_TREE else current


class _Announced(Option["BCP"]):
    """
    An option without a value: Bridge-Control-Packet-Indicator (RFC 3518 section 5.10). We mark what
    the peer wants marked, and need no marks ourselves.

    Some take it for one like L{_Switched}'s (Wireshark does), so that is understood as well.
    """

    __slots__ = ()

    def judge(self, owner: BCP, value: bytes) -> bytes | None:
        return value if value in (b"", ENABLED) else None


class _Inline(_Announced):
    """
    Management-Inline (RFC 3518 section 5.9).
    """

    __slots__ = ()

    def wanted(self, owner: BCP) -> bytes | None:
        return b"" if owner.settings.spanningTree else None

    def naked(self, owner: BCP, current: bytes, suggested: bytes) -> bytes | None:
        return current

    def rejected(self, owner: BCP, current: bytes) -> None:
        owner.negotiator.wanted[SPANNING_TREE_PROTOCOL] = IEEE_8021D


def _isStation(address: bytes) -> bool:
    """
    Whether this is the address of one station.
    """
    return len(address) == 6 and not address[0] & 1 and address != _ANY_ADDRESS


class BCP(NetworkProtocol):
    """
    Ethernet on one link.
    """

    __slots__ = (
        "_compress",
        "_inline",
        "_mark",
        "_old",
        "_receiveInline",
        "_receiveTags",
        "_sendTags",
        "settings",
    )

    name = "bridge"
    control = ppp.BCP
    protocol = ppp.BRIDGE
    protocols = (ppp.BRIDGE, ppp.SPANNING_TREE_8021D)
    kinds: ClassVar[Mapping[int, Option[Any]]] = {
        MAC_SUPPORT: _MACSupport(),
        TINYGRAM_COMPRESSION: _Switched(),
        LAN_IDENTIFICATION: _Disabled(),
        MAC_ADDRESS: _MACAddress(),
        SPANNING_TREE_PROTOCOL: _SpanningTree(),
        TAGGED_FRAME: _Switched("tagged"),
        MANAGEMENT_INLINE: _Inline(),
        BRIDGE_CONTROL_PACKET_INDICATOR: _Announced(),
    }

    def __init__(self, settings: BridgeSettings) -> None:
        super().__init__()
        self.settings = settings
        self._compress = self._mark = self._inline = self._receiveInline = self._old = False
        self._sendTags = self._receiveTags = False

    # What was agreed, once Opened

    @property
    def localAddress(self) -> bytes | None:
        """
        The address that we announced, or that the peer gave us.
        """
        granted: bytes | None = self.negotiator.granted.get(MAC_ADDRESS)
        return granted

    @property
    def peerAddress(self) -> bytes | None:
        """
        The address that the peer announced, or was given.
        """
        allowed: bytes | None = self.negotiator.allowed.get(MAC_ADDRESS)
        return allowed

    def agreed(self) -> None:
        """
        Find out what may pass, and in which form.
        """
        granted, allowed = self.negotiator.granted, self.negotiator.allowed
        self._compress = allowed.get(TINYGRAM_COMPRESSION) == ENABLED
        self._mark = BRIDGE_CONTROL_PACKET_INDICATOR in allowed
        self._sendTags = self.settings.tagged and allowed.get(TAGGED_FRAME) == ENABLED
        self._receiveTags = granted.get(TAGGED_FRAME) == ENABLED
        self._inline = self.settings.spanningTree and MANAGEMENT_INLINE in allowed
        self._receiveInline = MANAGEMENT_INLINE in granted
        answers = (granted.get(SPANNING_TREE_PROTOCOL), allowed.get(SPANNING_TREE_PROTOCOL))
        self._old = IEEE_8021D in answers and NO_SPANNING_TREE not in answers

    def attachment(self) -> Attachment:
        """
        That of bridged PDUs.
        """
        return Attachment(mtu=min(self.settings.mtu, self.peerMRU), receive=self.packetReceived)

    def attachments(self) -> Attachments:
        """
        Bridged PDUs and BPDUs of the old form; the latter even where none may pass, since nobody
        is to hear of it.
        """
        bridged = self.attachment()
        return {
            ppp.BRIDGE: bridged,
            ppp.SPANNING_TREE_8021D: Attachment(mtu=bridged.mtu, receive=self.bpduReceived),
        }

    # Frames

    def sendFrame(self, frame: bytes) -> None:
        """
        Send an Ethernet frame, of at least its header of 14 octets and without LAN FCS, to the
        peer, where it may have it. While this isn't open the frame is counted and discarded.
        """
        if frame[0] & 1 and wire.isReserved(frame[:6]):
            self._sendReserved(frame)
        elif frame[12:14] in wire.TAGS and not self._sendTags:
            self.settings.counters.discard(TAGGED)
        else:
            checksum = self.settings.checksum
            packet = wire.encode(frame, compress=self._compress, checksum=checksum)
            self.link.sendPacket(ppp.BRIDGE, packet)

    def _sendReserved(self, frame: bytes) -> None:
        """
        Send a frame to an address that bridges keep for themselves: a BPDU, or none.
        """
        counters = self.settings.counters
        if frame[:6] != wire.SPANNING_TREE:
            counters.discard(RESERVED)
        elif self._inline:
            packet = wire.encode(frame, self._mark, self._compress, self.settings.checksum)
            self.link.sendPacket(ppp.BRIDGE, packet)
        elif self._old:
            try:
                packet = wire.encodeBPDU(frame)
            except Malformed:
                counters.discard(RESERVED)
            else:
                self.link.sendPacket(ppp.SPANNING_TREE_8021D, packet)
        else:
            counters.discard(NO_TREE)

    def packetReceived(self, packet: bytes) -> None:
        """
        Take a bridged PDU from the peer.
        """
        settings = self.settings
        try:
            frame = wire.decode(packet)
        except Malformed:
            settings.counters.discard(MALFORMED)
            return
        longest = wire.LONGEST
        if frame[12:14] in wire.TAGS:
            if not self._receiveTags:
                settings.counters.discard(TAGGED)
                return
            longest += wire.TAG_OCTETS
        if len(frame) > longest:
            settings.counters.discard(GIANT)
        elif frame[0] & 1 and wire.isReserved(frame[:6]) and not self._receiveInline:
            settings.counters.discard(RESERVED)
        else:
            settings.receive(frame)

    def bpduReceived(self, packet: bytes) -> None:
        """
        Take a BPDU of the old form from the peer.
        """
        settings = self.settings
        if not self._old:
            settings.counters.discard(NO_TREE)
            return
        try:
            source = self.peerAddress or settings.peerAddress or _NAMELESS
            frame = wire.decodeBPDU(packet, source)
        except Malformed:
            settings.counters.discard(MALFORMED)
        else:
            settings.receive(frame)
