"""
The Compression Control Protocol, for MPPE alone (RFC 1962, RFC 3078).

The rules, in addition to those of every control protocol:

 - We ask for one key length, stateless, and accept exactly one from the peer, because peers
   disagree about the meaning of several. Both directions use the same length, or there is no
   encryption.
 - If several lengths are allowed and the peer's request comes first (L{CCP.foresee}), we ask for
   the lengths in it: some peers end the link over a length that they don't have.
 - Stateful MPPE is accepted if the settings allow it, and if the peer asks for it again after a
   Configure-Nak that suggested stateless.
 - A Configure-Request in state Opened with the same options as the acknowledged one is taken for a
   late or repeated packet: it is acknowledged again, and the state and the keys stay. By RFC 1661
   negotiation would begin anew, and clients that send their request twice would lose their
   encryption. After C{MAX_FAILURE} such requests the RFC is followed, since the peer must have
   lost its state.
 - A Reset-Request is answered by a Reset-Ack, unless the peer has rejected that code. RFC 3078
   section 4.2 has no Reset-Ack: the next packet is flagged instead. But after an error Linux
   decrypts nothing until it receives one. A Reset-Ack that we receive is silently discarded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from twisted.internet.interfaces import IReactorTime

from pptpgw.error import Malformed
from pptpgw.ppp.automaton import State
from pptpgw.ppp.control import ControlProtocol
from pptpgw.ppp.layer import Layer
from pptpgw.ppp.option import MAX_FAILURE, GiveUp, Option
from pptpgw.ppp.wire import ppp
from pptpgw.sessions.remedy import Remedy

# The option type of MPPE and MPPC, and its bits (RFC 3078 section 2.1).
MPPE = 18
STATELESS = 0x01000000
KEY_BITS = {128: 0x40, 56: 0x80, 40: 0x20}


@dataclass(frozen=True, slots=True)
class CCPSettings:
    """
    The encryption that this end allows.

    @ivar bits: the allowed key lengths in bits, of 40, 56 and 128; empty for no encryption.
    @ivar stateful: whether a peer that insists on stateful MPPE gets it.
    @ivar require: whether negotiation fails unless it ends with MPPE.
    """

    bits: tuple[int, ...] = (128,)
    stateful: bool = False
    require: bool = True


def mppeOption(bits: int, stateful: bool) -> bytes:
    """
    Return the value of the MPPE option that asks for one key length, in bits.
    """
    return (KEY_BITS[bits] | (0 if stateful else STATELESS)).to_bytes(4, "big")


@lru_cache(maxsize=64)
def keyLengths(value: bytes) -> tuple[int, ...]:
    """
    Return the key lengths in bits that the value of an MPPE option names, longest first.
    """
    flags = int.from_bytes(value, "big") if len(value) == 4 else 0
    return tuple(length for length, flag in KEY_BITS.items() if flags & flag)


def isStateful(value: bytes) -> bool:
    """
    Return whether the value of an MPPE option asks for stateful MPPE.
    """
    return len(value) == 4 and not int.from_bytes(value, "big") & STATELESS


def _words(lengths: tuple[int, ...]) -> str:
    return " or ".join(map(str, sorted(lengths, reverse=True))) or "none"


class _MPPE(Option["CCP"]):
    __slots__ = ()

    def wanted(self, owner: CCP) -> bytes | None:
        bits = owner.foreseen or owner.settings.bits
        return mppeOption(max(bits), stateful=False) if bits else None

    def naked(self, owner: CCP, current: bytes, suggested: bytes) -> bytes | None:
        offered, possible = keyLengths(suggested), owner.askable
        stateful = owner.settings.stateful and isStateful(suggested)
        for length in offered:
            if length in possible:
                return mppeOption(length, stateful)
        weaker = [length for length in possible if length < keyLengths(current)[0]]
        if offered and weaker:
            # The peer suggests one length, but it may accept others.
            return mppeOption(max(weaker), stateful)
        if not owner.settings.require:
            return None
        if offered:
            raise self._disagreement(owner, offered)
        return current

    def rejected(self, owner: CCP, current: bytes) -> None:
        if owner.settings.require:
            raise GiveUp("MPPE: the peer rejects it")

    def judge(self, owner: CCP, value: bytes) -> bytes | None:
        preferred = owner.preferred
        if preferred is None:
            return None
        offered = keyLengths(value)
        if preferred not in offered:
            common = [length for length in offered if length in owner.answerable]
            preferred = common[0] if common else preferred
        insists = isStateful(value) and owner.negotiator.naks > 0
        return mppeOption(preferred, owner.settings.stateful and insists)

    def missing(self, owner: CCP) -> bytes | None:
        preferred = owner.preferred
        if preferred is not None and (owner.settings.require or not owner.negotiator.naks):
            return mppeOption(preferred, stateful=False)
        return None

    def stalled(self, owner: CCP, value: bytes) -> None:
        offered = keyLengths(value)
        if any(length in owner.answerable for length in offered) and isStateful(value):
            raise GiveUp(
                "MPPE: the peer insists on stateful, we allow stateless only", Remedy.STATEFUL
            )
        raise self._disagreement(owner, offered)

    def _disagreement(self, owner: CCP, offered: tuple[int, ...]) -> GiveUp:
        return GiveUp(
            f"MPPE: no common key length: peer offers {_words(offered)}, "
            f"we allow {_words(owner.settings.bits)}",
            Remedy.BITS,
        )


class CCP(ControlProtocol):
    """
    The Compression Control Protocol on one link.

    @ivar foreseen: the allowed key lengths that the peer is known to want; empty if unknown.
    @ivar offered: called before a Configure-Request or Configure-Ack with an MPPE option is sent,
        with the key length in bits, whether MPPE would be stateful, and whether the option is for
        what we send.
    @ivar resetRequested: called when the peer sent a Reset-Request, so that encryption of what we
        send begins anew.
    """

    __slots__ = (
        "_knowsResetAck",
        "_repeats",
        "foreseen",
        "offered",
        "resetRequested",
        "settings",
    )

    control = protocol = ppp.CCP
    name = "CCP"
    kinds: ClassVar[Mapping[int, Option[Any]]] = {MPPE: _MPPE()}
    codes: ClassVar[Mapping[int, str]] = {
        **ControlProtocol.codes,
        ppp.RESET_REQUEST: "packet_RESET_REQUEST",
        ppp.RESET_ACK: "packet_RESET_ACK",
    }

    def __init__(
        self,
        clock: IReactorTime,
        send: Callable[[int, bytes], None],
        layer: Layer,
        settings: CCPSettings,
    ) -> None:
        super().__init__(clock, send, layer)
        self.settings = settings
        self.foreseen: tuple[int, ...] = ()
        # How often the options that we acknowledged last have come again in state Opened.
        self._repeats = 0
        self.offered: Callable[[int, bool, bool], None] | None = None
        self.resetRequested: Callable[[], None] | None = None
        self._knowsResetAck = True

    # The agreement, in state Opened

    @property
    def sendBits(self) -> int:
        """
        The key length in bits for what we send, which the peer asked for; 0 for none.
        """
        return self._bits(self.negotiator.allowed)

    @property
    def receiveBits(self) -> int:
        """
        The key length in bits for what we receive, which we asked for; 0 for none.
        """
        return self._bits(self.negotiator.granted)

    @property
    def sendStateful(self) -> bool:
        """
        Whether what we send is encrypted in stateful mode.
        """
        return isStateful(self.negotiator.allowed.get(MPPE, b""))

    @property
    def receiveStateful(self) -> bool:
        """
        Whether what we receive is encrypted in stateful mode.
        """
        return isStateful(self.negotiator.granted.get(MPPE, b""))

    def _bits(self, options: Mapping[int, bytes]) -> int:
        return next(iter(keyLengths(options.get(MPPE, b""))), 0)

    # The lengths still possible, so that both directions get the same one

    @property
    def preferred(self) -> int | None:
        """
        The key length in bits that we ask for, or have been granted; None after the peer rejected
        MPPE.
        """
        return next(iter(keyLengths(self.negotiator.wanted.get(MPPE, b""))), None)

    @property
    def askable(self) -> tuple[int, ...]:
        """
        The key lengths that we may ask for. After we have acknowledged a length to the peer, only
        that one.
        """
        if self.state is State.ACK_SENT:
            return keyLengths(self.negotiator.allowed.get(MPPE, b""))
        return self.settings.bits

    @property
    def answerable(self) -> tuple[int, ...]:
        """
        The key lengths that the peer may ask for. After the peer has granted a length to us, only
        that one.
        """
        if self.state is State.ACK_RCVD:
            return keyLengths(self.negotiator.granted.get(MPPE, b""))
        return self.settings.bits

    def agreed(self) -> None:
        """
        See L{ControlProtocol.agreed}.

        @raise GiveUp: MPPE is required and missing, or the two directions have different key
            lengths.
        """
        self._repeats = 0
        if self.settings.require and not self.sendBits:
            raise GiveUp("MPPE: the peer doesn't ask for it")
        if self.sendBits != self.receiveBits:
            raise GiveUp(
                f"MPPE: {self.sendBits} bits to the peer and {self.receiveBits} from it don't match"
            )

    # Packets

    def foresee(self, packet: bytes) -> None:
        """
        Note which key lengths the peer's first packet asks for. This is called before anything was
        sent; the packet is passed to C{received} afterwards.
        """
        try:
            code, _, data = ppp.decodePacket(packet)
            options = dict(ppp.decodeOptions(data)) if code == ppp.CONFIGURE_REQUEST else {}
        except Malformed:
            return
        lengths = keyLengths(options.get(MPPE, b""))
        self.foreseen = tuple(length for length in lengths if length in self.settings.bits)

    def sendResetRequest(self) -> None:
        """
        Send a Reset-Request, which asks the peer to begin its encryption anew. Do nothing unless
        Opened.
        """
        if self.opened:
            self._transmit(ppp.encodePacket(ppp.RESET_REQUEST, self._nextIdentifier()))

    def _makeRequest(self) -> bytes:
        request = super()._makeRequest()
        self._offer(self.negotiator.wanted, send=False)
        return request

    def _acknowledge(self) -> None:
        super()._acknowledge()
        self._offer(self.negotiator.allowed, send=True)

    def _offer(self, options: Mapping[int, bytes], send: bool) -> None:
        lengths = keyLengths(options.get(MPPE, b""))
        if self.offered is not None and lengths:
            self.offered(lengths[0], isStateful(options[MPPE]), send)

    def packet_CONFIGURE_REQUEST(self, identifier: int, data: bytes) -> None:
        """
        Judge the peer's options. Options that were acknowledged before are only acknowledged again.
        """
        isRepeated = data == self._acknowledged[ppp.HEADER_OCTETS :]
        if self.opened and isRepeated and self._repeats < MAX_FAILURE:
            self._repeats += 1
            self._transmit(ppp.encodePacket(ppp.CONFIGURE_ACK, identifier, data))
        else:
            super().packet_CONFIGURE_REQUEST(identifier, data)

    def packet_RESET_REQUEST(self, identifier: int, data: bytes) -> None:
        """
        Begin the encryption of what we send anew, since the peer can't decrypt it any more, and
        answer with a Reset-Ack.
        """
        if self.opened and self.resetRequested is not None:
            self.resetRequested()
            if self._knowsResetAck:
                self._transmit(ppp.encodePacket(ppp.RESET_ACK, identifier))

    def codeRejected(self, code: int) -> None:
        """
        Send no Reset-Ack to a peer that doesn't know it.
        """
        if code == ppp.RESET_ACK:
            self._knowsResetAck = False

    def packet_RESET_ACK(self, identifier: int, data: bytes) -> None:
        """
        Ignore the packet: with MPPE the flushed bit of the next data packet takes its place.
        """
        self.discarded += 1
