"""
The Ethernet switch between the callers and the TAP device: it learns which address is at which
port, and forwards frames.

The rules:

 - A frame goes to the port where its destination address was learnt. A frame to a group address or
   to an unknown one is flooded: it goes to all other ports. No frame goes back to the port that it
   came from.
 - An address is learnt from the frames that it sends, and forgotten when no frame of it has come
   for the ageing time. The source of a frame must be the address of one station.
 - An address stays at the port where it was learnt, so that no caller can draw frames for another
   one: a frame that it sends from another port is discarded. There are three exceptions. The
   address moves to the TAP device at once, because behind that is the operator's own network. It
   moves to another call of the same user after L{MOVE_SECONDS} without a frame, which is longer
   than a loop takes to bring a frame back. It moves to any other port when it would be forgotten.
 - The number of addresses is limited, for each caller and for all callers together. At a limit,
   frames of new addresses are discarded. Behind the TAP device as many addresses are learnt as all
   callers may have together; frames of further ones pass too.
 - Flooding is limited: to a number of frames a second for each caller, to L{DEVICE_SHARE} times
   that for the TAP device, which has many stations behind it, and to L{COPIES} copies a second for
   all together.
 - Frames to IEEE 802.1D's reserved addresses, which are between bridges, aren't forwarded. But
   where a spanning tree is permitted its BPDUs go to all other ports, as if the switch were one
   LAN. BPDUs have limits of their own, so that a loop that uses up the other limits doesn't keep
   them from ending the loop. No address is learnt from them.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from pptpgw.counting.bucket import Bucket
from pptpgw.counting.counters import Counters
from pptpgw.networks.ethernet.wire import SPANNING_TREE, isReserved

Send = Callable[[bytes], object]

MOVE_SECONDS = 2.0
"""
Seconds without a frame after which an address may move to another call of the same user.
"""

DEVICE_SHARE = 10
"""
The limit on flooded frames of the TAP device, as a multiple of one caller's.
"""

COPIES = 20_000
"""
The most copies of flooded frames that are sent in a second, for all ports together.
"""

BPDUS = 10
"""
The most BPDUs a second from one port.
"""

BPDU_COPIES = 2_000
"""
The most copies of BPDUs that are sent in a second, for all ports together.
"""

_SWEEP_SECONDS = 1.0

NO_STATION = "frame from no station's address"
ELSEWHERE = "frame from an address of another port"
TOO_MANY = "too many Ethernet addresses"
NOT_AWAY = "frame for its own side"
STORM = "too many frames for everybody"
RESERVED = "frame between bridges"


class Port:
    """
    One port of the switch: a caller's, or the TAP device's.

    @ivar send: sends a frame out of the port; it must not raise.
    @ivar user: the name of the caller's user; None for the TAP device.
    @ivar addresses: the addresses that were learnt at the port, and the time of the last frame of
        each.
    """

    __slots__ = ("addresses", "bpdus", "floods", "limit", "send", "swept", "user")

    def __init__(
        self, send: Send, user: str | None, limit: int, floods: Bucket, bpdus: Bucket
    ) -> None:
        self.send = send
        self.user = user
        self.limit = limit
        self.floods = floods
        self.bpdus = bpdus
        self.addresses: dict[bytes, float] = {}
        self.swept = float("-inf")


class Switch:
    """
    A learning switch: it sends a frame to the port where its destination was heard, and to all
    others if it wasn't.
    """

    def __init__(
        self,
        clock: IReactorTime,
        counters: Counters,
        addresses: int,
        addressesPerSession: int,
        floods: int,
        ageing: float,
        spanningTree: bool = False,
    ) -> None:
        """
        The other parameters are those of L{change}.
        """
        self._seconds = clock.seconds
        self._counters = counters
        self._copies = Bucket(clock.seconds, (COPIES, COPIES))
        self._bpduCopies = Bucket(clock.seconds, (BPDU_COPIES, BPDU_COPIES))
        self._ports: dict[Port, None] = {}
        self._where: dict[bytes, Port] = {}
        # The number of addresses that were learnt at callers' ports.
        self._learnt = 0
        self._swept = float("-inf")
        self.change(addresses, addressesPerSession, floods, ageing, spanningTree)

    def change(
        self,
        addresses: int,
        addressesPerSession: int,
        floods: int,
        ageing: float,
        spanningTree: bool,
    ) -> None:
        """
        Set the limits, for the ports that there are, too. Where more addresses are known than may
        be, no further ones are learnt.

        @param addresses: the most addresses of all callers together.
        @param addressesPerSession: the most addresses of one caller.
        @param floods: the most frames a second from one caller that are flooded.
        @param ageing: seconds without a frame after which an address is forgotten.
        @param spanningTree: whether BPDUs pass.
        """
        self._limit = addresses
        self._limitPerSession = addressesPerSession
        self._rate = floods
        self._ageing = ageing
        self._spanningTree = spanningTree
        for port in self._ports:
            port.limit, port.floods = self._limitsOf(port.user)

    def join(self, send: Send, user: str | None) -> Port:
        """
        Add a port and return it.

        @param send: sends a frame out of the port; it must not raise.
        @param user: the name of the caller's user; None for the TAP device.
        """
        bpdus = Bucket(self._seconds, (BPDUS, BPDUS))
        port = Port(send, user, *self._limitsOf(user), bpdus)
        self._ports[port] = None
        return port

    def _limitsOf(self, user: str | None) -> tuple[int, Bucket]:
        """
        Return the limits on the addresses and on the flooded frames of a port.
        """
        limit, rate = self._limitPerSession, self._rate
        if user is None:
            limit, rate = self._limit, rate * DEVICE_SHARE
        return limit, Bucket(self._seconds, (rate, rate))

    def leave(self, port: Port) -> None:
        """
        Remove a port and the addresses that were learnt there. Calling this again does nothing.
        """
        self._ports.pop(port, None)
        for address in list(port.addresses):
            self._forget(port, address)

    def __len__(self) -> int:
        """
        Return the number of addresses in the table.
        """
        return len(self._where)

    def forward(self, port: Port, frame: bytes) -> None:
        """
        Forward a frame that came in at C{port}.

        @param frame: at least 14 octets, without LAN FCS.
        """
        destination, source = frame[:6], frame[6:12]
        now = self._seconds()
        if destination[0] & 1 and isReserved(destination):
            if self._spanningTree and destination == SPANNING_TREE:
                self._flood(port, frame, port.bpdus, self._bpduCopies, BPDU_COPIES)
            else:
                self._counters.discard(RESERVED)
            return
        where = self._where
        if where.get(source) is port:
            port.addresses[source] = now
        elif not self._learn(port, source, now):
            return
        other = where.get(destination)
        if other is None or now - other.addresses[destination] > self._ageing:
            self._flood(port, frame, port.floods, self._copies, COPIES)
        elif other is port:
            self._counters.discard(NOT_AWAY)
        else:
            other.send(frame)

    def _flood(self, port: Port, frame: bytes, own: Bucket, all_: Bucket, most: int) -> None:
        """
        Send a frame out of every port but C{port}, within the limits.

        @param own: the limit of frames from C{port}.
        @param all_: the limit of copies from all ports.
        @param most: the most copies that this frame is charged for.
        """
        if not own.take() or not all_.take(min(len(self._ports) - 1, most)):
            self._counters.discard(STORM)
            return
        # The loop uses a copy, since a receiver may leave while it gets the frame.
        for other in tuple(self._ports):
            if other is not port:
                other.send(frame)

    def _learn(self, port: Port, source: bytes, now: float) -> bool:
        """
        Learn that C{source}, which isn't known to be at C{port}, is there, and return whether its
        frame may come in. A frame that may not is counted.
        """
        at = self._where.get(source)
        if source[0] & 1 or not any(source):
            self._counters.discard(NO_STATION)
            return False
        if at is not None:
            if not self._mayMove(at, port, now - at.addresses[source]):
                self._counters.discard(ELSEWHERE)
                return False
            self._forget(at, source)
        if not self._hasRoom(port, now):
            if port.user is not None:
                self._counters.discard(TOO_MANY)
            return port.user is None
        self._where[source] = port
        port.addresses[source] = now
        self._learnt += port.user is not None
        return True

    def _mayMove(self, at: Port, to: Port, silent: float) -> bool:
        """
        Return whether an address may move from one port to another.

        @param silent: seconds since the last frame of the address.
        """
        if to.user is None:
            return True
        return silent > (MOVE_SECONDS if at.user == to.user else self._ageing)

    def _hasRoom(self, port: Port, now: float) -> bool:
        """
        Return whether one more address may be learnt at C{port}.

        At a limit, out-of-date addresses are removed first. This is done once a second at most,
        because it looks at all addresses, and each frame of a flood would cost that much.
        """
        if len(port.addresses) >= port.limit and now - port.swept >= _SWEEP_SECONDS:
            port.swept = now
            self._sweep(port, now)
        if port.user is None:
            return len(port.addresses) < port.limit
        if self._learnt >= self._limit and now - self._swept >= _SWEEP_SECONDS:
            self._swept = now
            for other in self._ports:
                self._sweep(other, now)
        return len(port.addresses) < port.limit and self._learnt < self._limit

    def _sweep(self, port: Port, now: float) -> None:
        """
        Forget the addresses at C{port} that haven't sent a frame for the ageing time.
        """
        for address, heard in list(port.addresses.items()):
            if now - heard > self._ageing:
                self._forget(port, address)

    def _forget(self, port: Port, address: bytes) -> None:
        del port.addresses[address]
        del self._where[address]
        self._learnt -= port.user is not None
