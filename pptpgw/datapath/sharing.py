"""
Channels whose packets threads outside of the interpreter carry (L{pptpgw.datapath.threaded}).

The threads have a session for the call. Either a thread or the channel owns it, with its sequence
numbers and the states of MPPE. The channel takes it for everything that it does, and gives it back
if nothing keeps the threads from carrying what comes next. When a thread meets a packet that it
doesn't handle, it gives the session up, and leaves that packet and those after it to the tunnel's
port. So what is done about control frames, packets that aren't surely the peer's, and the rest is
done by the tunnel's own class of channels alone.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from pptpgw.datapath.channel import Channel
from pptpgw.datapath.checks import OpenProtocol
from pptpgw.datapath.engine import LARGEST, NATIVE, SOURCES, LiveCounters
from pptpgw.datapath.openipv4 import OpenIPv4
from pptpgw.datapath.openipv6 import OpenIPv6
from pptpgw.interfaces import Attachment, IGate

if TYPE_CHECKING:
    from pptpgw.datapath._native import Session

Held = tuple[int, int, bytes, float]
"""
A packet that a thread held until its turn came: its sequence number, its protocol number, its
information field, and how many seconds ago it came.
"""

_Method = TypeVar("_Method", bound=Callable[..., Any])


def _owned(method: _Method) -> _Method:
    """
    Return the method of a channel that has the name of C{method} and owns the session while the
    tunnel's class of channels does what it does.
    """
    name = method.__name__

    @wraps(method)
    def owned(self: SharedChannel, *arguments: Any) -> Any:
        self.take()
        try:
            return getattr(super(SharedChannel, self), name)(*arguments)
        finally:
            self.give()

    return cast(_Method, owned)


class SharedChannel(Channel):
    """
    The channel of one call on the native data path. A tunnel combines this class with its own class
    of channels, which comes after it.

    @ivar session: the session of the threads; None once the channel is closed.
    """

    makeCounters = LiveCounters

    session: Session | None
    _changed: bool
    _gate: IGate | None
    _given: bool
    _reason: str
    _uses: int
    _why: str

    def _begin(self, session: Session) -> None:
        """
        Have the channel share C{session}. This comes before anything else is done with the channel.
        """
        self.session = session
        # Whether a thread may own the session.
        self._given = False
        # How many methods are running that need to own it.
        self._uses = 0
        # Whether the threads don't know all settings, and why they can't carry the packets.
        self._changed = True
        self._why = ""
        # Why the kernel doesn't carry them, if it might.
        self._reason = ""
        self._gate = None

    # What the tunnel adds

    @property
    def _isSettled(self) -> bool:
        """
        Whether the state of the tunnel is one that a thread can go on from.
        """
        return True

    @abstractmethod
    def _suspend(self) -> tuple[tuple[int, ...], bool]:
        """
        Return the numbers of the tunnel, which are counted elsewhere from now on, and whether
        packets that aren't ordinary by their numbers are to be left to the channel.
        """

    @abstractmethod
    def _resume(self, numbers: tuple[int, ...], held: list[Held]) -> None:
        """
        Go on from numbers that were counted elsewhere, with the packets that were held there.
        """

    # Owning the session

    def take(self) -> None:
        """
        Own the session, until L{give} was called as often as this.
        """
        self._uses += 1
        if not self._given or self.session is None:
            return
        self._given = False
        numbers, held, sending, receiving, former = self.session.take()
        self._resume(numbers, held)
        if self._encryptor is not None:
            cast(Any, self._encryptor).restore(sending)
        decryptor = self._decryptor
        if decryptor is not None:
            given = decryptor.count, decryptor.rekeys
            cast(Any, decryptor).restore(receiving)
            if self._recovery is not None and given != (decryptor.count, decryptor.rekeys):
                before = decryptor.copy() if former else None
                if former:
                    cast(Any, before).restore(former)
                self._recovery.wentOn(decryptor, before)

    def give(self) -> None:
        """
        Let the threads own the session, unless another method needs it, or they can't handle what
        comes next.
        """
        self._uses -= 1
        session = self.session
        if self._uses or session is None or not self._isSettled or not self._isCarried():
            return
        numbers, doubted = self._suspend()
        states = [
            b"" if one is None else cast(Any, one).state()
            for one in (self._encryptor, self._decryptor)
        ]
        self._given = True
        session.give(numbers, doubted, states[0], states[1])

    def _isCarried(self) -> bool:
        """
        Return whether the thread can carry packets now, and tell it the settings if they changed.
        """
        if self._why or not self._networks or self._early is not None:
            return False
        if self._encryptor is None and self._required:
            return False
        recovery, decryptor = self._recovery, self._decryptor
        if recovery is not None and decryptor is not None and recovery.isBehind(decryptor):
            return False
        if self._changed:
            self._changed = False
            self._tell()
        return True

    def _hindrance(self) -> str:
        """
        Return why the thread can't carry the packets of this call; empty if it can.
        """
        if self.recorders:
            return "its frames are recorded"
        if self._passages is not None:
            return "its frames pass to another call"
        if self._compressed is not None:
            return "its packets are compressed"
        for protocol, network in self._networks.items():
            if network.attachment.receive is not None or not _families(network):
                return f"it carries protocol 0x{protocol:04x}"
            permits = network.attachment.permits
            if permits is not None and not _isOpen(permits):
                return "it has a filter"
            if network.mtu > LARGEST:
                return f"its MTU is larger than {LARGEST}"
            if len(_sources(network)) > SOURCES * 32:
                return f"it has more than {SOURCES} networks"
        ciphers = (self._encryptor, self._decryptor)
        if any(one is not None and not hasattr(one, "state") for one in ciphers):
            return "MPPE isn't compiled"
        return ""

    def _tell(self) -> None:
        """
        Tell the thread the settings.
        """
        assert self.session is not None
        self.session.frame(self._mppePrefix, self._inClear is self._networks)
        for network in self._networks.values():
            isIPv6 = isinstance(network, OpenIPv6)
            assert isinstance(network, OpenIPv4 | OpenIPv6)
            sure = network.sources.half() != b"" if isIPv6 else bool(network.sources.single())
            self.session.network(
                isIPv6, network.mtu, network.clamp, sure, network.prefix, _sources(network)
            )

    # What changes the settings

    def _recompute(self) -> None:
        """
        See L{Channel._recompute}.
        """
        super()._recompute()
        self._changed = True
        self._why = self._hindrance()
        self._setPath()

    def _setPath(self) -> None:
        why = "; ".join(one for one in (self._reason, self._why) if one)
        self.path = ("python" if self._why else NATIVE) + (f": {why}" if why else "")

    def carriedHere(self, why: str) -> None:
        """
        See L{Channel.carriedHere}.
        """
        self._reason = why
        self._setPath()

    def openNetwork(self, protocol: int, attachment: Attachment) -> None:
        """
        See L{pptpgw.interfaces.IChannel.openNetwork}.
        """
        self.take()
        gate = IGate(attachment.permits, None)
        if gate is not None:
            self._gate = gate
            gate.watch(self._filterChanged)
        super().openNetwork(protocol, attachment)
        self.give()

    def _filterChanged(self) -> None:
        """
        Judge by the filter from now on, or have the thread carry packets if there is none any more.
        """
        self.take()
        self._recompute()
        self.give()

    def closeNetwork(self, protocol: int) -> None:
        """
        See L{pptpgw.interfaces.IChannel.closeNetwork}.
        """
        self.take()
        super().closeNetwork(protocol)
        self._recompute()
        self.give()

    def close(self) -> None:
        """
        See L{pptpgw.interfaces.IChannel.close}.
        """
        self.take()
        super().close()
        if self._gate is not None:
            self._gate.watch(None)
        session, self.session = self.session, None
        if session is not None:
            cast(LiveCounters, self.counters).follow(None)
            session.close()
        self.give()

    transmit = _owned(Channel.transmit)
    sendFrame = _owned(Channel.sendFrame)
    rebind = _owned(Channel.rebind)
    setFraming = _owned(Channel.setFraming)
    setSendMPPE = _owned(Channel.setSendMPPE)
    setReceiveMPPE = _owned(Channel.setReceiveMPPE)
    resetSendMPPE = _owned(Channel.resetSendMPPE)
    requireMPPE = _owned(Channel.requireMPPE)
    setCompression = _owned(Channel.setCompression)
    passFrames = _owned(Channel.passFrames)
    joinBundle = _owned(Channel.joinBundle)
    leaveBundle = _owned(Channel.leaveBundle)


def _isOpen(permits: Callable[[bytes], bool]) -> bool:
    """
    Return whether C{permits} of an attachment is a gate that permits every packet now.
    """
    gate = IGate(permits, None)
    return gate is not None and gate.filter is None


def _families(network: OpenProtocol) -> bool:
    """
    Return whether C{network} is IPv4 or IPv6.
    """
    return isinstance(network, OpenIPv4 | OpenIPv6)


def _sources(network: OpenProtocol) -> bytes:
    """
    Return the networks that the peer may send from, as the thread takes them: the first address and
    the mask of each, of 16 octets.
    """
    assert isinstance(network, OpenIPv4 | OpenIPv6)
    size = 16 if isinstance(network, OpenIPv6) else 4
    return b"".join(
        number.to_bytes(size, "big").ljust(16, b"\0")
        for one in network.sources.networks or ()
        for number in one
    )
