"""
The reliable delivery of control messages over datagrams (RFC 2661 section 5.8 and appendix A).

The rules:

 - Messages are numbered by Ns, and Nr acknowledges all before it. A message that isn't acknowledged
   is sent again after L{LEAST} seconds, or as many as the round trips so far suggest, and each time
   after twice as many, but L{MOST} at most. After L{TRIES} repetitions the peer is gone, unless the
   owner knows better.
 - As many messages are under way as the peer's window and slow start allow: one at the beginning
   and after a loss, one more with each acknowledgement, and from half of what was under way at the
   last loss on one more with each round trip.
 - Messages that arrive in order are delivered at once. Those that skip numbers within our own
   window wait. Duplicates are acknowledged again. What needs to be acknowledged is, by what is sent
   meanwhile or by a zero-length body (ZLB) message.
 - To a peer that hasn't shown that it reads what we send, nothing is repeated unless it repeats its
   own message, since its address may be somebody else's: each datagram from there is answered by
   one.

The module has no timers of its own and no I/O but what it is given.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol as TypingProtocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.timing.timer import cancelled
from pptpgw.tunnels.l2tp.wire.header import ControlHeader, encodeControl

LEAST, MOST, TRIES = 1.0, 8.0, 5
"""
The least and the most seconds until a message is repeated, and how often it is.
"""

CYCLE = sum(min(LEAST * 2**number, MOST) for number in range(TRIES + 1))
"""
The seconds in which all repetitions of a message come if nothing is acknowledged.
"""

WINDOW = 8
"""
Our receive window in messages. Those within it are kept if one before them is missing.
"""

PEER_WINDOW = 4
"""
The peer's window where it tells none (RFC 2661 section 4.4.3).
"""

QUEUE = 512
"""
The most messages that wait for their acknowledgement. A peer that causes more is given up.
"""

_NUMBERS = 0x10000
_HALF = _NUMBERS // 2


class DeliveryOwner(TypingProtocol):
    """
    The control connection whose messages a L{Delivery} exchanges.
    """

    def transmit(self, octets: bytes) -> None:
        """
        Send a datagram with a control message to the peer. It may be lost.
        """

    def delivered(self, sessionID: int, body: bytes) -> None:
        """
        Handle a message of the peer. Each comes once, in the order in which the peer sent them.

        @param sessionID: our id of the call that it is about; 0 for the connection.
        @param body: its AVPs, which aren't decoded yet.
        """

    def emptied(self) -> None:
        """
        Note that everything that was sent is acknowledged.
        """

    def undelivered(self) -> bool:
        """
        Decide what a message means that was repeated often enough: return whether it is to be
        repeated further, because the peer is there. Otherwise the delivery has ended.
        """

    def discard(self, reason: str) -> None:
        """
        Count a message that is silently discarded.
        """


class _Outgoing:
    """
    A message that isn't acknowledged yet.

    @ivar tries: how often it was sent.
    @ivar since: when it was sent last.
    """

    __slots__ = ("body", "sessionID", "since", "tries")

    def __init__(self, sessionID: int, body: bytes) -> None:
        self.sessionID = sessionID
        self.body = body
        self.tries = 0
        self.since = 0.0


class Delivery:
    """
    The messages of one control connection, both ways.

    @ivar peerID: the id that the peer assigned to the connection; 0 while it is unknown.
    @ivar peerWindow: the peer's receive window in messages.
    @ivar proven: whether the peer has shown that it reads what we send.
    """

    __slots__ = (
        "_acknowledging",
        "_base",
        "_clock",
        "_deviation",
        "_expected",
        "_flight",
        "_held",
        "_owner",
        "_queue",
        "_roundTrip",
        "_threshold",
        "_timer",
        "_window",
        "peerID",
        "peerWindow",
        "proven",
    )

    def __init__(self, clock: IReactorTime, owner: DeliveryOwner, proven: bool) -> None:
        self.peerID = 0
        self.peerWindow = PEER_WINDOW
        self.proven = proven
        self._clock = clock
        self._owner: DeliveryOwner | None = owner
        self._queue: deque[_Outgoing] = deque()
        # The number of the first message in the queue, and how many of them are under way.
        self._base = self._flight = 0
        self._expected = 0
        self._held: dict[int, tuple[int, bytes]] = {}
        # Whether something that arrived must be acknowledged.
        self._acknowledging = False
        self._window, self._threshold = 1.0, float(_NUMBERS)
        self._roundTrip, self._deviation = -1.0, 0.0
        self._timer: IDelayedCall | None = None

    @property
    def isEmpty(self) -> bool:
        """
        Whether everything that was sent is acknowledged.
        """
        return not self._queue

    @property
    def numbers(self) -> tuple[int, int]:
        """
        The numbers of a message that is sent now: Ns, its own, and Nr, that of the next message
        that is expected of the peer (RFC 2661 section 5.8).
        """
        return (self._base + len(self._queue)) % _NUMBERS, self._expected

    @property
    def timeout(self) -> float:
        """
        The seconds after which a message is repeated the first time.
        """
        if self._roundTrip < 0:
            return LEAST
        return min(max(self._roundTrip + 4 * self._deviation, LEAST), MOST)

    def send(self, sessionID: int, body: bytes) -> None:
        """
        Send a message, once the window allows it.

        @param sessionID: the id that the peer assigned to the call; 0 for the connection.
        """
        if self._owner is None:
            return
        if len(self._queue) >= QUEUE:
            self._owner.discard("control message not sent: too many wait")
            return
        self._queue.append(_Outgoing(sessionID, body))
        self._pump()

    def received(self, header: ControlHeader, body: bytes) -> None:
        """
        Handle a control message of the peer: it acknowledges some of ours, and is delivered when
        its turn comes.

        @param body: its AVPs; empty for a message that only acknowledges.
        """
        self._acknowledged((header.expected - self._base) % _NUMBERS)
        if not body or self._owner is None:
            return
        ahead = (header.sent - self._expected) % _NUMBERS
        if ahead >= _HALF:
            self._repeated()
        elif ahead >= WINDOW:
            self._owner.discard("control message beyond the window")
        else:
            self._held.setdefault(header.sent, (header.sessionID, body))
            if ahead:
                self._owner.discard("control message out of order")
            else:
                self._deliver()
        self.acknowledge()

    def acknowledge(self) -> None:
        """
        Send an empty message at once, if something has arrived that no other message has
        acknowledged.
        """
        if self._acknowledging:
            self._transmit(self.numbers[0], 0, b"")

    def close(self) -> None:
        """
        End the delivery: nothing is sent, repeated or delivered any more. Calling this again does
        nothing.
        """
        self._owner = None
        self._queue.clear()
        self._held.clear()
        self._flight = 0
        self._timer = cancelled(self._timer)

    def _repeated(self) -> None:
        """
        Acknowledge a message that was delivered before. To a peer that may not have seen the answer
        send it again.
        """
        self._acknowledging = True
        if not self.proven:
            for place in range(self._flight):
                self._sendAt(place)

    def _deliver(self) -> None:
        while self._owner is not None:
            following = self._held.pop(self._expected, None)
            if following is None:
                break
            self._expected = (self._expected + 1) % _NUMBERS
            self._acknowledging = True
            self._owner.delivered(*following)

    def _acknowledged(self, count: int) -> None:
        """
        Note that the first C{count} messages that wait have arrived. Nothing is noted if there
        aren't as many.
        """
        if not 0 < count <= len(self._queue):
            return
        for _ in range(count):
            message = self._queue.popleft()
            if message.tries == 1:
                self._measure(self._clock.seconds() - message.since)
            if self._window < self._threshold:
                self._window += 1
            else:
                self._window += 1 / self._window
        self._window = min(self._window, float(self.peerWindow))
        self._base = (self._base + count) % _NUMBERS
        self._flight = max(0, self._flight - count)
        self._timer = cancelled(self._timer)
        self._pump()
        self._watch()
        if not self._queue and self._owner is not None:
            self._owner.emptied()

    def _measure(self, seconds: float) -> None:
        """
        Note how long a round trip took, as TCP does (RFC 2661 appendix A, RFC 6298).
        """
        if self._roundTrip < 0:
            self._roundTrip, self._deviation = seconds, seconds / 2
        else:
            self._deviation += (abs(self._roundTrip - seconds) - self._deviation) / 4
            self._roundTrip += (seconds - self._roundTrip) / 8

    def _pump(self) -> None:
        """
        Send messages that wait, as many as the peer's window and the congestion window allow.
        """
        most = min(int(self._window), max(1, self.peerWindow))
        while self._flight < min(most, len(self._queue)):
            self._flight += 1
            self._sendAt(self._flight - 1)
        self._watch()

    def _sendAt(self, place: int) -> None:
        message = self._queue[place]
        message.tries += 1
        message.since = self._clock.seconds()
        self._transmit((self._base + place) % _NUMBERS, message.sessionID, message.body)

    def _transmit(self, number: int, sessionID: int, body: bytes) -> None:
        if self._owner is not None:
            self._acknowledging = False
            header = ControlHeader(self.peerID, sessionID, number, self._expected)
            self._owner.transmit(encodeControl(header, body))

    def _watch(self) -> None:
        if self._timer is None and self._flight and self.proven:
            tries = self._queue[0].tries - 1
            seconds = min(self.timeout * 2 ** min(tries, TRIES), MOST)
            self._timer = self._clock.callLater(seconds, self._late)

    def _late(self) -> None:
        """
        Repeat the first message, since its acknowledgement is late. Those after it follow as the
        window opens again.
        """
        self._timer = None
        if self._owner is None:
            return
        if self._queue[0].tries > TRIES and not self._owner.undelivered():
            self.close()
            return
        self._threshold = max(self._window / 2, 1.0)
        self._window = 1.0
        self._flight = 0
        self._pump()
