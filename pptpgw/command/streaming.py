"""
The body of an answer as it comes, and the events in it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import TimeoutError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss

from pptpgw.timing.timer import cancelled


class Streamed(Protocol):
    """
    Takes the body of an answer.

    @ivar over: fires when the body is over; fails with L{ResponseFailed} if it isn't whole, with
        L{TimeoutError} after silence, and with what C{took} raised. Cancelling it hangs up.
    """

    def __init__(self, reactor: Any, took: Callable[[bytes], object], silence: float = 0.0) -> None:
        """
        @param took: called with octets.
        @param silence: the most seconds without an octet; 0 for any time.
        """
        self.over: Deferred[None] = Deferred(lambda _: self._hangUp())
        self._reactor = reactor
        self._took = took
        self._silence = silence
        self._timer: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """
        Begin to measure the silence.
        """
        self._wait()

    def dataReceived(self, data: bytes) -> None:
        """
        Pass octets on. An exception that this raises hangs up, and is what C{over} fails with.
        """
        if self.over.called:
            return
        self._wait()
        try:
            self._took(data)
        except Exception:
            self._fail(Failure())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        Fire C{over}: with None if the body is whole, or with C{ResponseFailed}.
        """
        self._timer = cancelled(self._timer)
        if self.over.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.over.callback(None)
        else:
            self.over.errback(Failure(ResponseFailed([reason])))

    def _wait(self) -> None:
        self._timer = cancelled(self._timer)
        if self._silence:
            self._timer = self._reactor.callLater(
                self._silence, lambda: self._fail(Failure(TimeoutError()))
            )

    def _fail(self, why: Failure) -> None:
        self._hangUp()
        self.over.errback(why)

    def _hangUp(self) -> None:
        self._timer = cancelled(self._timer)
        if self.transport is not None:
            self.transport.loseConnection()


class EventDecoder:
    """
    Decodes Server-Sent Events (WHATWG HTML, section 9.2) whose data is JSON, as the gateway sends
    them.
    """

    def __init__(self, told: Callable[[str, Any], object]) -> None:
        """
        @param told: called with the name and the data of each event.
        """
        self._told = told
        self._rest = b""

    def add(self, octets: bytes) -> None:
        """
        Decode the events that end in these octets; the rest is kept until more octets come.
        """
        *parts, self._rest = (self._rest + octets).split(b"\n\n")
        for part in parts:
            fields = dict(line.split(b": ", 1) for line in part.split(b"\n") if b": " in line)
            if b"event" in fields:
                self._told(fields[b"event"].decode(), json.loads(fields[b"data"]))


class BlockDecoder:
    """
    Finds the ends of the blocks of a pcapng file (draft-ietf-opsawg-pcapng, section 3.1), so that
    what is written always ends with a whole one.

    @ivar last: the type of the last block.
    """

    def __init__(self, told: Callable[[bytes], object]) -> None:
        """
        @param told: called with one or several whole blocks.
        """
        self._told = told
        self._rest = b""
        self.last = 0

    def add(self, octets: bytes) -> None:
        """
        Pass on the blocks that end in these octets; the rest is kept until more octets come.
        """
        octets, end = self._rest + octets, 0
        while len(octets) >= end + 8:
            length = int.from_bytes(octets[end + 4 : end + 8], "little")
            if len(octets) < end + max(length, 12):
                break
            self.last = int.from_bytes(octets[end : end + 4], "little")
            end += max(length, 12)
        self._rest = octets[end:]
        if end:
            self._told(octets[:end])
