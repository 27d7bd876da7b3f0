"""
Tests for L{pptpgw.tunnels.sstp.records}.
"""

from __future__ import annotations

from twisted.internet.task import Clock

from pptpgw.tunnels.sstp.records import Records


class Sent:
    """
    A transport that keeps what is written.
    """

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.write = self.written.append


def test_theLastOneOfATurnGoesAlone() -> None:
    """
    The packets of a turn are sent in two records, the last packet in the second one, and a single
    packet in one.
    """
    clock, sent = Clock(), Sent()
    records = Records(clock, sent)
    for packet in (b"one", b"two", b"three"):
        records.write(packet)
    assert not sent.written
    clock.advance(0)
    assert sent.written == [b"onetwo", b"three"]
    records.write(b"four")
    clock.advance(0)
    assert sent.written[2:] == [b"four"]


def test_aFullRecord() -> None:
    """
    What fills a record is sent at once, so that the transport can tell that it is full.
    """
    clock, sent = Clock(), Sent()
    records = Records(clock, sent)
    for _ in range(7):
        records.write(bytes(4000))
    assert list(map(len, sent.written)) == [16000]
    clock.advance(0)
    assert list(map(len, sent.written)) == [16000, 8000, 4000]


def test_theEnd() -> None:
    """
    What waits can be sent before its turn, or dropped. No timer is left.
    """
    clock, sent = Clock(), Sent()
    records = Records(clock, sent)
    records.write(b"one")
    records.flush()
    records.flush()
    assert sent.written == [b"one"]
    records.write(b"two")
    records.drop()
    assert not clock.getDelayedCalls()
    clock.advance(0)
    assert sent.written == [b"one"]
