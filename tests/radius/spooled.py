"""
A spool whose queue is in memory and whose servers the test plays.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pptpgw.counting.counters import Counters
from pptpgw.radius.spool import Spool
from pptpgw.radius.transport import Unanswered
from tests.ports.queued import MemoryQueue


class Run:
    """
    One run of the gateway's spool, and the servers to which it sends.

    @ivar sent: every record that was sent.
    @ivar open: the sent records that wait for an answer.
    """

    def __init__(self, queue: MemoryQueue | None = None) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.queue = MemoryQueue() if queue is None else queue
        self.sent: list[bytes] = []
        self.open: dict[bytes, Deferred[None]] = {}
        self.spool = Spool(self.clock, self.queue, self.send, self.counters)
        self.spool.start()

    def send(self, octets: bytes) -> Deferred[None]:
        self.sent.append(octets)
        self.open[octets] = Deferred()
        return self.open[octets]

    def answer(self, *records: bytes) -> None:
        for record in records:
            self.open.pop(record).callback(None)

    def leave(self, *records: bytes) -> None:
        for record in records:
            self.open.pop(record).errback(Failure(Unanswered("nobody answers")))

    def put(self, *records: tuple[bytes, bytes]) -> None:
        for session, octets in records:
            assert self.spool.put(session, octets)

    def answerAll(self) -> None:
        while self.open:
            self.answer(next(iter(self.open)))


def many(count: int) -> list[tuple[bytes, bytes]]:
    return [(b"s%d" % number, b"r%d" % number) for number in range(count)]
