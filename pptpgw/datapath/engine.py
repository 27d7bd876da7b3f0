"""
The threads of the native data path, as Python sees them: their sockets, their commands, and what
they count. L{pptpgw.datapath.threaded} says what it does.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any

from pptpgw.counting.counters import DUPLICATE, LATE, LOST, Counters
from pptpgw.datapath.channel import NOT_SENT
from pptpgw.datapath.checks import NOT_DELIVERED, SPOOFED
from pptpgw.datapath.fair import FULL
from pptpgw.datapath.interface import Watcher
from pptpgw.datapath.python import NO_ROUTE
from pptpgw.error import ConfigurationError
from pptpgw.ports.buffers import enlarge
from pptpgw.ports.compiled import fits
from pptpgw.ports.tun import MALFORMED

if TYPE_CHECKING:
    from pptpgw.datapath._native import Engine as Threads
    from pptpgw.datapath._native import Session

NATIVE = "native"
"""
The name of the plugin.
"""

LARGEST = 4096
"""
The largest MTU of a session, in octets, that the thread has room for.
"""

SOURCES = 16
"""
The most networks of one family that a peer of the thread may send from.
"""

NOT_LEFT = "too many for the interpreter"

BUFFER = 4 << 20
"""
Octets that may wait for a port to read what the thread left to it, by the kernel's count, which is
more than the packets have. A session may have 256 packets there (C{message.c}).
"""

_CARRIERS = ("GRE", "L2TP")
"""
What the packets of tunnels are called that the thread knows, in the order of the C source.
"""

# The events that the thread counts, in the order of the C source: errors, the first of which are of
# the sockets of each tunnel, and others.
_ERRORS = (*(f"{carrier} not read" for carrier in _CARRIERS), "GRE not sent", "TUN not read")
_EVENTS = (MALFORMED, NO_ROUTE, NOT_LEFT)
# The errors of a socket that is of no use any more.
_LOST = (errno.EBADF, errno.ENOTSOCK, errno.ECONNABORTED, errno.EIO)

makeThreads: Callable[[int], Threads] | None = None

try:
    from pptpgw.datapath import _native
except ImportError:
    pass
else:
    if fits(_native):
        makeThreads = _native.Engine


def lacking() -> str:
    """
    Return why packets can't be carried natively; empty if they can.
    """
    return "" if makeThreads is not None else "the thread in C isn't compiled"


DISCARDS = (SPOOFED, NOT_DELIVERED, NOT_SENT, FULL, LOST, LATE, DUPLICATE)
"""
The reasons for which the thread discards packets of sessions, in the order of the C source.
"""


class LiveCounters(Counters):
    """
    The counters of a session of the thread. Whenever one is read, what the thread has counted since
    the last time is added first.
    """

    __slots__ = ("_session",)

    def __init__(self) -> None:
        self._session: Session | None = None
        super().__init__()

    def follow(self, session: Session | None) -> None:
        """
        Count what C{session} does from now on.
        """
        self.update()
        self._session = session

    def update(self) -> None:
        """
        Add what the thread has counted.
        """
        figures = None if self._session is None else self._session.figures()
        if figures is None:
            return
        self.framesReceived += figures[0]
        self.packetsReceived += figures[1]
        self.octetsReceived += figures[2]
        self.framesSent += figures[3]
        self.packetsSent += figures[4]
        self.octetsSent += figures[5]
        for reason, count in zip(DISCARDS, figures[6:], strict=True):
            if count:
                self.discard(reason, count)


def _live(slot: Any) -> property:
    """
    Return a property that reads and sets C{slot} of L{Counters}.
    """

    def read(counters: LiveCounters) -> Any:
        counters.update()
        return slot.__get__(counters, LiveCounters)

    return property(read, slot.__set__)


for _name in Counters.__slots__:
    setattr(LiveCounters, _name, _live(getattr(Counters, _name)))


class Engine:
    """
    The threads, and the sockets by which they leave packets to ports.

    @ivar readers: how many threads there are.
    @ivar threads: the threads while they are there; None before L{open} and after L{close}.
    """

    def __init__(self, readers: int = 1) -> None:
        self.readers = readers
        self.threads: Threads | None = None
        self._watchers: dict[int, Watcher] = {}
        self._sockets: dict[int, socket.socket] = {}

    def open(self) -> None:
        """
        Make the threads, which run once L{start} is called.

        @raise ConfigurationError: they aren't compiled.
        @raise OSError: the system refuses.
        """
        if makeThreads is None:
            raise ConfigurationError(f'[datapath] path = "{NATIVE}": {lacking()}')
        self.threads = makeThreads(self.readers)

    def start(self) -> None:
        """
        Start the threads.

        @raise OSError: the system refuses.
        """
        if self.threads is not None:
            self.threads.start()

    def close(self) -> None:
        """
        End the threads. Calling this again does nothing.
        """
        threads, self.threads = self.threads, None
        if threads is not None:
            threads.stop()

    def tun(self, descriptors: tuple[int, ...], offload: bool) -> socket.socket:
        """
        Have threads read the queues of a TUN device, and not Python.

        @return: the socket from which Python reads what the threads leave.
        """
        assert self.threads is not None
        ours, other = _pair()
        self.threads.tun(descriptors, offload, other.fileno())
        self._sockets[-1] = other
        return ours

    def changeTUN(self, descriptors: tuple[int, ...], offload: bool) -> None:
        """
        Have the threads read a device that was made again.
        """
        if self.threads is not None and -1 in self._sockets:
            self.threads.tun(descriptors, offload, self._sockets[-1].fileno())

    def forgetTUN(self) -> None:
        """
        Have the threads read no TUN device any more.
        """
        other = self._sockets.pop(-1, None)
        if other is not None:
            if self.threads is not None:
                self.threads.tun((), False, -1)
            other.close()

    def watch(self, descriptors: tuple[int, ...], watcher: Watcher) -> tuple[int, socket.socket]:
        """
        Have threads read the sockets of a tunnel's port, one each, and not Python.

        @return: the place of these sockets among those that the threads read, and the socket from
            which Python reads what the threads leave.
        @raise OSError: the threads have no place for them.
        """
        if self.threads is None:
            raise OSError(errno.ESHUTDOWN, "the native data path doesn't run")
        ours, other = _pair()
        try:
            tunnel = _CARRIERS.index(watcher.carrier)
            place = self.threads.watch(tunnel, descriptors, other.fileno())
        except OSError:
            ours.close()
            other.close()
            raise
        self._watchers[place] = watcher
        self._sockets[place] = other
        return place, ours

    def forget(self, place: int) -> None:
        """
        Have the threads read a port's sockets no more. When this returns, they may be closed.
        """
        if self.threads is not None:
            self.threads.forget(place)
        del self._watchers[place]
        self._sockets.pop(place).close()

    def sync(self) -> None:
        """
        Wait until the threads have noticed that descriptors were replaced.
        """
        if self.threads is not None:
            self.threads.sync()

    def session(
        self, place: int, localAddress: str, localIDs: int, peer: tuple[str, int], peerIDs: int
    ) -> Session:
        """
        Make a session, which Python owns.

        @param place: the place of the sockets of its port.
        @param localIDs: what is in the packets that we receive: a call id, or the ids of control
            connection and call as one number.
        @param peer: the peer's address and UDP port; 0 if the tunnel has no ports.
        @param peerIDs: what is in the packets that we send.
        @raise OSError: the threads don't run.
        """
        if self.threads is None:
            raise OSError(errno.ESHUTDOWN, "the native data path doesn't run")
        far, near = IPv4Address(peer[0]).packed, IPv4Address(localAddress).packed
        return self.threads.session(place, far, peer[1], near, localIDs, peerIDs)

    def lead(self, network: IPv4Network | IPv6Network, session: Session | None) -> None:
        """
        Have packets for C{network} go to C{session}; None: to Python.
        """
        if self.threads is not None:
            unused = network.max_prefixlen - network.prefixlen
            self.threads.route(unused, network.network_address.packed, session)

    def leadNowhere(self, network: IPv4Network | IPv6Network) -> None:
        """
        Have packets for C{network} go nowhere.
        """
        if self.threads is not None:
            unused = network.max_prefixlen - network.prefixlen
            self.threads.unroute(unused, network.network_address.packed)

    def count(self, counters: Counters) -> None:
        """
        Add what the threads have counted for no session to C{counters}, and tell ports of errors.
        """
        for event, error, count in [] if self.threads is None else self.threads.events():
            if event >= len(_ERRORS):
                counters.discard(_EVENTS[event - len(_ERRORS)], count)
                continue
            counters.discard(f"{_ERRORS[event]}: {errno.errorcode.get(error, 'unknown')}", count)
            for watcher in list(self._watchers.values()) if error in _LOST else ():
                if _CARRIERS.index(watcher.carrier) == event:
                    watcher.readFailed(error)


def _pair() -> tuple[socket.socket, socket.socket]:
    """
    Return two sockets, the second of which sends packets to the first one.
    """
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for one in pair:
        one.setblocking(False)
        enlarge(one, BUFFER)
    return pair
