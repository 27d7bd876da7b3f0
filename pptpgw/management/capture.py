"""
The operations of captures: the packets of one call, decrypted, as they pass.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from msgspec import Meta, Struct, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw import __version__
from pptpgw.datapath.capture import LEFT_OUT
from pptpgw.datapath.channel import Channel
from pptpgw.datapath.recording import startRecording, stopRecording
from pptpgw.datapath.wire.pcapng import (
    RECEIVED,
    SENT,
    enhancedPacket,
    interfaceDescription,
    interfaceStatistics,
    sectionHeader,
)
from pptpgw.error import NotCarried
from pptpgw.interfaces import IAttempt, ICall, IGatewayService, IPathChoice, Outcome
from pptpgw.management.operation import Operation, OperationRequest, OperatorRole
from pptpgw.management.problem import Problem, notFound
from pptpgw.management.stream import StreamSource
from pptpgw.management.trace import Lasting
from pptpgw.ppp.wire.ppp import ADDRESS_CONTROL
from pptpgw.sessions.line import Line
from pptpgw.timing.timer import cancelled

MEDIA_TYPE = "application/x-pcapng"

BUFFER = 4 << 20
"""
The octets that wait for a client that reads slowly; frames beyond that are left out, and counted.
"""

CHUNK = 1 << 16
"""
The octets that are sent at once; the last frame may exceed them.
"""

# The room for the block at the end.
_STATISTICS = len(interfaceStatistics(0, 0, 0, 0))

Octets = Annotated[
    int,
    Meta(ge=4096, le=1 << 32, description="How large the capture becomes, in octets, at most."),
]


class CaptureBounds(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    When a capture ends, besides at the end of the call.
    """

    seconds: Lasting = field(default=300.0, name="for")
    size: Octets = 100 << 20


class CaptureQuery(CaptureBounds, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    Whose call is captured; a user or an address is needed. It is the newest call that goes on or,
    if there is none, the next one. While the capture waits for that, the packets of all calls that
    begin pass through the gateway's process: with C{address} of those from there, with C{tunnel} of
    those by it.

    @ivar user: the name that the caller gives.
    @ivar address: the address that the call comes from.
    @ivar tunnel: the name of the tunnel that the call comes by; any by default.
    """

    user: str | None = None
    address: str | None = None
    tunnel: str | None = None


class CaptureSource:
    """
    The source of a capture. It is a L{pptpgw.management.stream.StreamSource}, and a
    L{pptpgw.datapath.recording.FrameRecorder} of the one call that it finds.
    """

    heartbeat = b""

    def __init__(
        self,
        clock: IReactorTime,
        gateway: IGatewayService,
        now: Callable[[], float],
        wanted: Callable[[IAttempt], bool],
        query: CaptureBounds,
        keeping: Sequence[Callable[[], Callable[[], object]]] = (),
    ) -> None:
        """
        @param now: gives the time of day, in seconds since 1970.
        @param wanted: whether the call of an attempt is captured.
        @param keeping: functions that begin to keep the packets of calls in this process, while a
            call is waited for; what they return ends that.
        """
        self._clock = clock
        self._gateway = gateway
        self._now = now
        self._wanted = wanted
        self._query = query
        self._ready: Callable[[], object] = lambda: None
        self._keeping = keeping
        # What ends the waiting.
        self._waits: list[Callable[[], object]] = []
        self._soon: IDelayedCall | None = None
        self._timer: IDelayedCall | None = None
        self._channel: Channel | None = None
        self._blocks: deque[bytes] = deque()
        # The octets of the whole capture until now, and of those that wait.
        self._size = self._waiting = 0
        self._captured = self._dropped = 0
        self._isOver = False

    # pptpgw.management.stream.StreamSource

    def begin(self, ready: Callable[[], object]) -> None:
        """
        See L{pptpgw.management.stream.StreamSource.begin}.
        """
        self._ready = ready
        self._timer = self._clock.callLater(self._query.seconds, self._end)
        self._add(sectionHeader(f"pptpgw {__version__}"))
        for attempt in self._gateway.attempts:
            if self._wanted(attempt) and self._attach(attempt):
                return
        following = self._gateway.attempts.follow(self._consider, lambda _: None)
        self._waits = [following.stop, *(keep() for keep in self._keeping)]

    def take(self) -> bytes | None:
        """
        See L{pptpgw.management.stream.StreamSource.take}.
        """
        taken, size = [], 0
        while self._blocks and size < CHUNK:
            taken.append(self._blocks.popleft())
            size += len(taken[-1])
        self._waiting -= size
        if not taken and self._isOver:
            return None
        return b"".join(taken)

    def close(self) -> None:
        """
        See L{pptpgw.management.stream.StreamSource.close}.
        """
        self._end()
        self._blocks.clear()

    # pptpgw.datapath.recording.FrameRecorder

    def record(self, direction: int, frame: bytes) -> None:
        """
        See L{pptpgw.datapath.recording.FrameRecorder.record}.
        """
        self._keep(self._microseconds(), direction, frame)

    def closed(self) -> None:
        """
        See L{pptpgw.datapath.recording.FrameRecorder.closed}.
        """
        self._end()

    def _consider(self, attempt: IAttempt) -> bool:
        """
        Capture the call of an attempt that begins, or whose caller gives a name, if it is wanted.

        @return: False, since the events of attempts aren't wanted.
        """
        if self._soon is None and self._wanted(attempt):
            # A call that begins has no channel yet. Until then the attempt keeps its frames.
            self._soon = self._clock.callLater(0, self._found, attempt)
        return False

    def _found(self, attempt: IAttempt) -> None:
        self._soon = None
        if self._attach(attempt):
            self._stopWaiting()

    def _stopWaiting(self) -> None:
        waits, self._waits = self._waits, []
        for stop in waits:
            stop()

    def _attach(self, attempt: IAttempt) -> bool:
        """
        Capture the call of C{attempt}, from the first frame that the attempt has kept.

        @return: whether it goes on.
        """
        line = lineOf(self._gateway, attempt.identifier)
        if line is None or not isinstance(line.channel, Channel):
            return False
        name = f"{attempt.user}@{attempt.source}" if attempt.user else attempt.source
        self._add(interfaceDescription(name, attempt.tunnel.name))
        self._channel = line.channel
        startRecording(line.channel, self)
        for frame in attempt.frames:
            octets = b"%b%b%b" % (
                ADDRESS_CONTROL,
                frame.protocol.to_bytes(2, "big"),
                frame.information,
            )
            when = int((attempt.since + frame.seconds) * 1_000_000)
            missing = frame.size - len(frame.information)
            self._keep(when, SENT if frame.isSent else RECEIVED, octets, missing)
        return True

    def _keep(self, when: int, direction: int, frame: bytes, missing: int = 0) -> None:
        """
        Keep a frame until it is taken, unless there is no room for it.
        """
        if self._isOver:
            return
        if self._waiting >= BUFFER:
            self._dropped += 1
            self._gateway.counters.own.discard(LEFT_OUT)
            return
        block = enhancedPacket(0, when, direction, frame, missing)
        if self._size + len(block) + _STATISTICS > self._query.size:
            self._end()
            return
        self._captured += 1
        self._add(block)

    def _add(self, block: bytes) -> None:
        self._size += len(block)
        self._waiting += len(block)
        self._blocks.append(block)
        if len(self._blocks) == 1:
            self._ready()

    def _end(self) -> None:
        """
        Capture no more. Calling this again does nothing.
        """
        if self._isOver:
            return
        self._isOver = True
        self._timer = cancelled(self._timer)
        self._soon = cancelled(self._soon)
        self._stopWaiting()
        channel, self._channel = self._channel, None
        if channel is not None:
            stopRecording(channel, self)
            when = self._microseconds()
            self._add(interfaceStatistics(0, when, self._captured, self._dropped))
        self._ready()

    def _microseconds(self) -> int:
        return int(self._now() * 1_000_000)


class Captures:
    """
    Answers the requests for captures.
    """

    def __init__(self, gateway: IGatewayService, now: Callable[[], float]) -> None:
        """
        @param now: gives the time of day, in seconds since 1970.
        """
        self._gateway = gateway
        self._now = now

    def operations(self) -> Iterator[Operation]:
        """
        Iterate over the requests that are answered here, as operations of the interface.
        """
        common: dict[str, Any] = {
            "role": OperatorRole.OPERATOR,
            "stream": MEDIA_TYPE,
            "problems": {HTTPStatus.CONFLICT: "The packets don't pass through this process."},
        }
        yield Operation(
            "GET",
            "/sessions/{session_id}/capture",
            "Capture the packets of a session, decrypted.",
            self._ofSession,
            query=CaptureBounds,
            **common,
        )
        yield Operation(
            "GET",
            "/capture",
            "Capture the packets of one call, decrypted, of a caller that isn't there yet too.",
            self._ofCaller,
            query=CaptureQuery,
            **common,
        )

    def _ofSession(self, request: OperationRequest) -> StreamSource:
        identifier = request.names["session_id"]
        line = lineOf(self._gateway, identifier)
        if line is None:
            raise notFound(f"session {identifier}")
        _assertPasses(line)
        return self._source(request, lambda attempt: attempt.identifier == identifier)

    def _ofCaller(self, request: OperationRequest) -> StreamSource:
        query: CaptureQuery = request.query
        if (query.user is None) == (query.address is None):
            raise Problem(HTTPStatus.BAD_REQUEST, "name a user or an address")

        def wanted(attempt: IAttempt) -> bool:
            if attempt.outcome not in (Outcome.UP, Outcome.SETTING_UP):
                return False
            if query.tunnel not in (None, attempt.tunnel.name):
                return False
            if query.user is not None:
                return attempt.isOf(query.user)
            return attempt.source == query.address

        for attempt in filter(wanted, self._gateway.attempts):
            if (line := lineOf(self._gateway, attempt.identifier)) is not None:
                _assertPasses(line)

        def mayBe(call: ICall) -> bool:
            isByTunnel = query.tunnel in (None, call.tunnel.name)
            return isByTunnel and query.address in (None, call.caller)

        paths = (one.part for one in self._gateway.plugged if IPathChoice.providedBy(one.part))
        keeping = [partial(IPathChoice(one).keepHere, mayBe) for one in paths]
        try:
            for keep in keeping:
                keep()()
        except NotCarried as error:
            raise Problem(HTTPStatus.CONFLICT, str(error)) from error
        return self._source(request, wanted, keeping)

    def _source(
        self,
        request: OperationRequest,
        wanted: Callable[[IAttempt], bool],
        keeping: Sequence[Callable[[], Callable[[], object]]] = (),
    ) -> CaptureSource:
        return CaptureSource(
            request.clock, self._gateway, self._now, wanted, request.query, keeping
        )


def lineOf(gateway: IGatewayService, identifier: str) -> Line | None:
    """
    Return the call that has, or will have, the session with this identifier; None if there is none.
    """
    for line in gateway.lines:
        if line.caller.session == identifier:
            found: Line = line
            return found
    return None


def _assertPasses(line: Line) -> None:
    """
    Check that the packets of C{line} pass through this process.

    @raise Problem: they don't.
    """
    if not isinstance(line.channel, Channel):
        interface = line.channel.interface or "the session's interface"
        raise Problem(
            HTTPStatus.CONFLICT,
            "the packets of this session don't pass through the gateway's process: capture them "
            f'with tcpdump -i {interface}, or set [datapath] path = "python"',
        )
