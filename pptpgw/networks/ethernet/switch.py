"""
The Ethernet switch between the callers and the TAP device: who sits where, and who gets a frame.

The rules:

 - A frame goes to the port where its destination was heard, and to no other; a frame to a group, or
   to nobody known, goes to all ports but the one that it came from. None ever goes back there.
 - An address is learnt from the frames that it sends, and forgotten when it hasn't been heard for
   the ageing time. The source of a frame must be the address of one station.
 - An address stays at the port where it was heard; a frame of its elsewhere is discarded, or any
   caller could have what is another's. It moves at once to the TAP device, behind which is the
   operator's own network; to another call of the same user after L{MOVE_SECONDS} of silence, which
   a frame that a loop brings back doesn't wait for; and to anybody else when it is forgotten.
 - A caller may have so many addresses, and all callers together so many, or frames of new ones are
   discarded. Behind the TAP device as many are learnt again as callers may have together; frames of
   those that aren't pass as well.
 - A caller may have so many frames a second go to all, the TAP device, behind which are many,
   L{DEVICE_SHARE} times that, and all together make L{COPIES} copies a second.
 - Frames between bridges (IEEE 802.1D's reserved addresses) end here, but where a spanning tree may
   take part its BPDUs go to all: to it the switch is one LAN. They have limits of their own, for a
   loop that uses up the others mustn't keep them from ending it. Nothing is learnt from them.
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
How long an address must be silent to move to another call of the same user.
"""

DEVICE_SHARE = 10
"""
How many callers' worth of frames that go to all the TAP device may have.
"""

COPIES = 20_000
"""
How many copies a second of frames that go to all ports, by all of them.
"""

BPDUS = 10
"""
How many BPDUs a second, by one port.
"""

BPDU_COPIES = 2_000
"""
How many copies of BPDUs a second, by all ports.
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
    One side of the switch: a caller's, or the TAP device.

    @ivar send: takes each frame that is to leave there; it must not raise.
    @ivar user: whose it is; None: the TAP device.
    @ivar addresses: those that are there, and when each was heard.
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
    All ports, and the address table.
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
        @param addresses: how many the callers may have together.
        @param addressesPerSession: how many one of them may have.
        @param floods: how many frames a second a caller may have go to all.
        @param ageing: seconds after which a silent address is forgotten.
        @param spanningTree: whether BPDUs pass.
        """
        self._seconds = clock.seconds
        self._counters = counters
        self._limit = addresses
        self._limitPerSession = addressesPerSession
        self._rate = floods
        self._ageing = ageing
        self._spanningTree = spanningTree
        self._copies = Bucket(clock.seconds, (COPIES, COPIES))
        self._bpduCopies = Bucket(clock.seconds, (BPDU_COPIES, BPDU_COPIES))
        self._ports: dict[Port, None] = {}
        self._where: dict[bytes, Port] = {}
        # How many of these are callers'.
        self._learnt = 0
        self._swept = float("-inf")

    def join(self, send: Send, user: str | None) -> Port:
        """
        A new port.

        @param send: see L{Port}; so C{user}.
        """
        limit, rate = self._limitPerSession, self._rate
        if user is None:
            limit, rate = self._limit, rate * DEVICE_SHARE
        floods = Bucket(self._seconds, (rate, rate))
        port = Port(send, user, limit, floods, Bucket(self._seconds, (BPDUS, BPDUS)))
        self._ports[port] = None
        return port

    def leave(self, port: Port) -> None:
        """
        Remove a port with what is there. Calling this again does nothing.
        """
        self._ports.pop(port, None)
        for address in list(port.addresses):
            self._forget(port, address)

    def located(self, address: bytes) -> Port | None:
        """
        The port where an address is, or None: unknown.
        """
        port = self._where.get(address)
        if port is None or self._seconds() - port.addresses[address] > self._ageing:
            return None
        return port

    def __len__(self) -> int:
        """
        How many addresses are kept.
        """
        return len(self._where)

    def forward(self, port: Port, frame: bytes) -> None:
        """
        A frame, of at least 14 octets, came in at C{port}: send it where it belongs.
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
        Send a frame everywhere but to C{port}.
        """
        if not own.take() or not all_.take(min(len(self._ports) - 1, most)):
            self._counters.discard(STORM)
            return
        # A copy, since a receiver may leave while it gets the frame.
        for other in tuple(self._ports):
            if other is not port:
                other.send(frame)

    def _learn(self, port: Port, source: bytes, now: float) -> bool:
        """
        Whether a frame of C{source}, which isn't known to be at C{port}, may come in there. It is
        there from now on.
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
        Whether an address may move, that has been silent for so many seconds.
        """
        if to.user is None:
            return True
        return silent > (MOVE_SECONDS if at.user == to.user else self._ageing)

    def _hasRoom(self, port: Port, now: float) -> bool:
        """
        Whether one more address may be learnt, once those to be forgotten are; which is looked into
        once a second, since each frame of a flood would else cost a look at them all.
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
        Forget what hasn't been heard at C{port} for long.
        """
        for address, heard in list(port.addresses.items()):
            if now - heard > self._ageing:
                self._forget(port, address)

    def _forget(self, port: Port, address: bytes) -> None:
        del port.addresses[address]
        del self._where[address]
        self._learnt -= port.user is not None
