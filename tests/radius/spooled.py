"""
A spool whose files are in memory, and whose servers a test plays.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from pptpgw.counting.counters import Counters
from pptpgw.radius.journal import Journal
from pptpgw.radius.spool import Spool
from pptpgw.radius.transport import Unanswered

LIMIT = 1 << 20


class MemoryFiles:
    """
    Files in memory, that a crash can stop at any octet.
    """

    isSafe = True

    def __init__(self) -> None:
        self.files: dict[int, bytes] = {}
        self.stopped = 0

    def start(self) -> list[tuple[int, bytes]]:
        return sorted(self.files.items())

    def append(self, number: int, octets: bytes) -> None:
        self.files[number] = self.files.get(number, b"") + octets

    def remove(self, number: int) -> None:
        self.files.pop(number, None)

    def stop(self) -> Deferred[None]:
        self.stopped += 1
        return succeed(None)

    @property
    def size(self) -> int:
        return sum(map(len, self.files.values()))


class Run:
    """
    One run of the gateway's spool, and the servers that it sends to.

    @ivar sent: every record that was sent; C{open} those that wait for an answer.
    """

    def __init__(self, files: MemoryFiles | None = None, limit: int = LIMIT) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.files = MemoryFiles() if files is None else files
        self.sent: list[bytes] = []
        self.open: dict[bytes, Deferred[None]] = {}
        self.journal = Journal(self.files, limit, self.counters)
        self.spool = Spool(self.clock, self.journal, self.send, self.counters)
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
