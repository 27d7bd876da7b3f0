"""
BCP, the control protocol of Ethernet over PPP (RFC 3518).

The rules:

 - An option says what its sender is ready to receive, so the two ends need not agree on its value:
   MAC-Support, Tinygram-Compression, IEEE-802-Tagged-Frame, Management-Inline and
   Bridge-Control-Packet-Indicator are acknowledged or rejected, never answered with a Nak.
 - We announce MAC-Support (3) with the MAC type of Ethernet. The option is only advice, so whatever
   MAC type the peer names is acknowledged; frames of other types are discarded.
 - A frame with a VLAN tag may be sent to an end that announced IEEE-802-Tagged-Frame (8). We
   announce the option where the settings permit tagged frames, and otherwise reject it. Tagged
   frames that may not pass are counted and discarded.
 - BPDUs pass only if the settings permit a spanning tree. A peer that announces Management-Inline
   (9) gets them in the new form, as frames among the others. If a peer rejects our
   Management-Inline, we ask for the old form: Spanning-Tree-Protocol (7) with the value of IEEE
   802.1D. If the two ends name different values of option 7 the lower one counts; a peer that
   insists on another spanning tree can't be bridged to. Without a spanning tree we answer option 7
   with 0, reject it if the peer insists, and silently discard BPDUs.
 - MAC-Address (6): an address that the peer announces is acknowledged; a peer that asks for an
   address gets the one in the settings. A group address is rejected, since a Nak would be ignored.
 - Bridge-Identification (1) and Line-Identification (2) belong to source routing, which isn't
   supported, and are rejected. LAN-Identification (5), which is obsolete, is rejected unless its
   value is 'disabled'.
 - Frames are sent without compression, unless the peer announced Tinygram-Compression (4). Every
   form of frame is understood on receipt, with and without LAN FCS.
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
from pptpgw.ppp.decode.words import Words, flag, named, number
from pptpgw.ppp.option import GiveUp, Option
from pptpgw.ppp.wire import ppp

# Option types (RFC 3518 section 5), without those that are always rejected.
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

_SWITCH = {ENABLED: "on", DISABLED: "off"}
_TREES = {NO_SPANNING_TREE: "none", IEEE_8021D: "802.1D", b"\x02": "802.1G", b"\x03": "IBM"}


def _address(value: bytes) -> str:
    return f"mac {value.hex(':')}" if len(value) == 6 else ""


WORDS = Words(
    "BCP",
    {
        1: number("bridge-id"),
        2: number("line-id"),
        MAC_SUPPORT: named("mac-type", {bytes((wire.ETHERNET,)): "ethernet"}),
        TINYGRAM_COMPRESSION: named("tinygram", _SWITCH),
        LAN_IDENTIFICATION: named("lan-id", _SWITCH),
        MAC_ADDRESS: _address,
        SPANNING_TREE_PROTOCOL: named("spanning-tree", _TREES),
        TAGGED_FRAME: named("tagged", _SWITCH),
        MANAGEMENT_INLINE: flag("inline"),
        BRIDGE_CONTROL_PACKET_INDICATOR: flag("bpdu-mark"),
    },
)
"""
The words for BCP's packets.
"""

_ETHERNET = bytes((wire.ETHERNET,))
_ANY_ADDRESS = bytes(6)
# The source address of a BPDU of the old form, if the address of the peer's bridge is unknown.
_NAMELESS = bytes.fromhex("020000000000")


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """
    The settings of BCP on one link; addresses are six octets.

    @ivar receive: called with each Ethernet frame from the peer, without its LAN FCS.
    @ivar tagged: whether frames with a VLAN tag may pass.
    @ivar spanningTree: whether BPDUs may pass.
    @ivar checksum: whether to send each frame with its LAN FCS.
    @ivar localAddress: the address to announce as ours; all zeros to ask the peer for one; None to
        do neither.
    @ivar peerAddress: the address for a peer that asks for one; None to reject its request.
    @ivar mtu: the largest bridged PDU that may be sent to the peer, in octets.
    @ivar counters: counts what is discarded.
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
    MAC-Support (RFC 3518 section 5.3). Of several in one request only one is judged.
    """

    __slots__ = ()

    def wanted(self, owner: BCP) -> bytes | None:
        return _ETHERNET

    def judge(self, owner: BCP, value: bytes) -> bytes | None:
        return value if len(value) == 1 else None


class _Switched(Option["BCP"]):
    """
    An option whose value is 'enabled' or 'disabled': Tinygram-Compression (RFC 3518 section 5.4) or
    IEEE-802-Tagged-Frame (section 5.8).
    """

    __slots__ = ("_setting",)

    def __init__(self, setting: str = "") -> None:
        """
        @param setting: the attribute of L{BridgeSettings} that permits the option; empty if it is
            always permitted.
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
    LAN-Identification (RFC 3518 section 5.5). It is obsolete; only 'disabled' is acknowledged.
    """

    __slots__ = ()

    def judge(self, owner: BCP, value: bytes) -> bytes | None:
        return value if value == DISABLED else None


class _MACAddress(Option["BCP"]):
    """
    MAC-Address (RFC 3518 section 5.6): one end's Ethernet address, all zeros to ask for one.
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
    Spanning-Tree-Protocol (RFC 3518 section 5.7). The value is a list of protocol numbers in
    ascending order.
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
    Bridge-Control-Packet-Indicator (RFC 3518 section 5.10), an option without a value. We mark
    BPDUs for a peer that announces it, and don't announce it ourselves.

    Some implementations, such as Wireshark, give the option the value 'enabled', so that is
    accepted too.
    """

    __slots__ = ()

    def judge(self, owner: BCP, value: bytes) -> bytes | None:
        return value if value in (b"", ENABLED) else None


class _Inline(_Announced):
    """
    Management-Inline (RFC 3518 section 5.9). After a Configure-Reject of it we ask for
    Spanning-Tree-Protocol instead.
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
    Return whether C{address} is the address of one station: neither zero nor a group address.
    """
    return len(address) == 6 and not address[0] & 1 and address != _ANY_ADDRESS


class BCP(NetworkProtocol):
    """
    BCP on one link: negotiates the options, and sends and receives frames and BPDUs.
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

    # The result of the negotiation, valid once Opened

    @property
    def localAddress(self) -> bytes | None:
        """
        The address that we announced or that the peer gave us; None if there is neither.
        """
        granted: bytes | None = self.negotiator.granted.get(MAC_ADDRESS)
        return granted

    @property
    def peerAddress(self) -> bytes | None:
        """
        The address that the peer announced or was given; None if there is neither.
        """
        allowed: bytes | None = self.negotiator.allowed.get(MAC_ADDRESS)
        return allowed

    def agreed(self) -> None:
        """
        Compute from the negotiated options which frames may pass, and in which form.
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
        Return the attachment of bridged PDUs.
        """
        return Attachment(mtu=min(self.settings.mtu, self.peerMRU), receive=self.packetReceived)

    def attachments(self) -> Attachments:
        """
        Return the attachments of bridged PDUs and of BPDUs of the old form. The latter are attached
        even where no BPDU may pass, so that they are discarded here and not answered with a
        Protocol-Reject.
        """
        bridged = self.attachment()
        return {
            ppp.BRIDGE: bridged,
            ppp.SPANNING_TREE_8021D: Attachment(mtu=bridged.mtu, receive=self.bpduReceived),
        }

    # Frames

    def sendPacket(self, frame: bytes) -> None:
        """
        Send an Ethernet frame to the peer, if the options permit it.

        While the protocol isn't open the frame is counted and discarded.

        @param frame: at least the header of 14 octets, without LAN FCS.
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
        Send a frame whose destination is reserved for bridges (IEEE 802.1D): a BPDU is sent in the
        negotiated form, any other frame is counted and discarded.
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
        Handle a bridged PDU from the peer.
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
        Handle a BPDU of the old form from the peer.
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
