"""
Streams: answers whose octets are sent as they come, until their source has no more or the client
hangs up.

A stream buffers nothing. It takes octets from its source only while the connection has room for
more, so a source must bound what waits in it, and count what is lost on a client that reads slowly.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.web.http import Request
from zope.interface import implementer

from pptpgw.log import Logger
from pptpgw.timing.timer import cancelled

STREAMS = 64
"""
The most streams that are open at a time.
"""

SHARE = 16
"""
The most streams that one operator has open at a time.
"""

HEARTBEAT = 15.0
"""
Seconds after which a stream that has nothing to send sends its source's heartbeat.
"""

STALLED = 60.0
"""
Seconds after which a connection is closed whose client reads nothing.
"""

DELAY = 0.02
"""
Seconds that octets wait for others, so that they are sent together.
"""


class StreamSource(Protocol):
    """
    The source of a stream.

    @ivar heartbeat: what is sent when nothing else was for L{HEARTBEAT} seconds; empty for nothing.
    """

    heartbeat: bytes

    def begin(self, ready: Callable[[], object]) -> None:
        """
        Begin. Nothing is held before this is called.

        @param ready: called whenever there may be something to take after there was nothing.
        """

    def take(self) -> bytes | None:
        """
        Return the next octets: empty if there are none at present, and None if there will be none
        any more.
        """

    def close(self) -> None:
        """
        Give back what is held, since nobody takes any more. Calling this again does nothing.
        """


Still = Callable[[], Coroutine[Any, Any, None]]
"""
Checks that whoever reads a stream still may. It raises an exception if that isn't so, or can't be
found out.
"""


@implementer(IPushProducer)
class Stream:
    """
    The answer to one request that goes on for as long as the client reads it, or until its source
    ends. While the connection has no room, nothing is taken from the source.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        request: Request,
        source: StreamSource,
        over: Callable[[Stream], object],
        still: Still,
    ) -> None:
        """
        @param request: the request that is answered, whose status and headers are set.
        @param over: called once, when the stream is over.
        """
        self._still = still
        self._checking: Deferred[None] | None = None
        self.octets = 0
        self._clock = clock
        self._request = request
        self._source = source
        self._over = over
        self._isOver = False
        self._isPaused = False
        # When something was sent last or, while the stream is paused, when that began.
        self._last = clock.seconds()
        self._soon: IDelayedCall | None = None
        self._beat: IDelayedCall | None = None

    def begin(self) -> None:
        """
        Send the headers, and begin to take from the source.
        """
        self._request.notifyFinish().addBoth(lambda _: self._end())
        self._request.registerProducer(self, True)
        # This sends the headers.
        self._request.write(b"")
        self._beat = self._clock.callLater(HEARTBEAT, self._check)
        try:
            self._source.begin(self._ready)
        except Exception:
            self._log.failure("a stream failed to begin")
            self.finish()
        else:
            self._ready()

    def finish(self) -> None:
        """
        End the stream in order. Calling this again does nothing.
        """
        if not self._isOver:
            self._end()
            self._request.unregisterProducer()
            self._request.finish()

    # IPushProducer

    def pauseProducing(self) -> None:
        """
        Take nothing, since the connection has no room.
        """
        self._isPaused = True
        self._last = self._clock.seconds()

    def resumeProducing(self) -> None:
        """
        Go on.
        """
        self._isPaused = False
        self._ready()

    def stopProducing(self) -> None:
        """
        End the stream, since the connection is lost.
        """
        self._end()

    def _ready(self) -> None:
        if self._soon is None and not self._isOver and not self._isPaused:
            self._soon = self._clock.callLater(DELAY, self._send)

    def _send(self) -> None:
        """
        Send what the source has, as far as there is room.
        """
        self._soon = None
        while not self._isPaused and not self._isOver:
            try:
                octets = self._source.take()
            except Exception:
                self._log.failure("a stream failed")
                octets = None
            if octets is None:
                self.finish()
                return
            if not octets:
                return
            self._write(octets)

    def _write(self, octets: bytes) -> None:
        self._last = self._clock.seconds()
        self.octets += len(octets)
        self._request.write(octets)

    def _check(self) -> None:
        """
        Send a heartbeat if nothing was sent, close a connection whose client doesn't read, and end
        the stream if its reader may not read it any more.
        """
        self._beat = self._clock.callLater(HEARTBEAT, self._check)
        quiet = self._clock.seconds() - self._last
        if self._isPaused:
            if quiet >= STALLED and self._request.channel is not None:
                self._request.channel.forceAbortClient()
        elif quiet >= HEARTBEAT and self._source.heartbeat:
            self._write(self._source.heartbeat)
        if self._checking is None:
            self._checking = Deferred.fromCoroutine(self._still())
            self._checking.addCallbacks(self._checked, lambda _: self.finish())

    def _checked(self, _: None) -> None:
        self._checking = None

    def _end(self) -> None:
        if self._isOver:
            return
        self._isOver = True
        self._soon = cancelled(self._soon)
        self._beat = cancelled(self._beat)
        checking, self._checking = self._checking, None
        if checking is not None:
            checking.cancel()
        self._source.close()
        self._over(self)


class Streams:
    """
    The streams of a server.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        # The streams that are open, with the operators who have asked for them.
        self._open: dict[Stream, str] = {}

    def __len__(self) -> int:
        return len(self._open)

    def lacking(self, operator: str) -> str:
        """
        Return why the operator with this name may open no more streams; empty if that is possible.
        """
        if len(self._open) >= STREAMS:
            return f"{STREAMS} streams are open already"
        if list(self._open.values()).count(operator) >= SHARE:
            return f"{operator} has {SHARE} streams open already"
        return ""

    def open(
        self,
        operator: str,
        request: Request,
        source: StreamSource,
        over: Callable[[int], object],
        still: Still,
    ) -> None:
        """
        Answer C{request} with the octets of C{source}.

        @param operator: the name of the operator who asks.
        @param over: called with the number of octets that were sent, when the stream is over.
        @param still: called every L{HEARTBEAT} seconds.
        """

        def ended(stream: Stream) -> None:
            del self._open[stream]
            over(stream.octets)

        stream = Stream(self._clock, request, source, ended, still)
        self._open[stream] = operator
        stream.begin()

    def stop(self) -> None:
        """
        End all streams in order.
        """
        for stream in tuple(self._open):
            stream.finish()
