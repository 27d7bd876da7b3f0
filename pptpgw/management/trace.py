"""
The operation of a trace: what callers negotiate, as it happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Annotated, Literal

from msgspec import Meta, Struct, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.interfaces import AttemptEvent, Ending, Frame, IAttempt, IAttempts, IFollowing, Stage
from pptpgw.management.encoding import toJSON
from pptpgw.management.eventlog import Gap
from pptpgw.management.operation import Operation, OperationRequest, OperatorRole
from pptpgw.management.problem import Problem
from pptpgw.management.serversent import HEARTBEAT, MEDIA_TYPE, encodeEvent
from pptpgw.timing.timer import cancelled

LONGEST = 3600.0
"""
The most seconds that a trace or a capture lasts.
"""

Lasting = Annotated[
    float,
    Meta(gt=0, le=LONGEST, description="The seconds that it lasts, at most."),
]


class TraceLine(Struct, frozen=True, tag_field="kind"):
    """
    A line of a trace.

    @ivar time: when that was, in seconds since 1970.
    @ivar session_id: the identifier of the session, or of the attempt if there was none.
    @ivar caller: the address that the call came from.
    @ivar tunnel: the name of the tunnel that the call came by.
    @ivar user: the name that the caller has given until now; empty if none.
    @ivar text: the line, in pppd's words for a frame.
    """

    time: float
    session_id: str
    caller: str
    tunnel: str
    user: str
    text: str


class TracedFrame(TraceLine, frozen=True, tag="frame"):
    """
    A control frame was sent or received.

    @ivar direction: who sent it: the gateway, or the caller.
    """

    direction: Literal["sent", "received"]


class TracedStage(TraceLine, frozen=True, tag="stage"):
    """
    The call has passed a stage, or has failed in it.

    @ivar stage: its name.
    @ivar failure: why it failed; empty if it was passed.
    """

    stage: str
    failure: str


class TracedEnd(TraceLine, frozen=True, tag="end"):
    """
    The call is over.

    @ivar cause: why.
    """

    cause: str


class TraceQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    Whom a trace follows; a user, an address or a session is needed.

    @ivar user: a user, however the name is spelled.
    @ivar address: the address that calls come from.
    @ivar session: the identifier of a session or an attempt.
    @ivar tunnel: the name of the tunnel that calls come by; any by default.
    """

    user: str | None = None
    address: str | None = None
    session: str | None = None
    tunnel: str | None = None
    seconds: Lasting = field(default=300.0, name="for")


class TraceSource:
    """
    The source of a trace. It is a L{pptpgw.management.stream.StreamSource}.
    """

    heartbeat = HEARTBEAT

    def __init__(
        self,
        clock: IReactorTime,
        attempts: IAttempts,
        predicate: Callable[[IAttempt], bool],
        seconds: float,
    ) -> None:
        """
        @param predicate: whether an attempt is followed.
        @param seconds: how long the trace lasts.
        """
        self._clock = clock
        self._attempts = attempts
        self._predicate = predicate
        self._seconds = seconds
        self._following: IFollowing | None = None
        self._timer: IDelayedCall | None = None
        self._lost = 0
        self._isOver = False

    def begin(self, ready: Callable[[], object]) -> None:
        """
        See L{pptpgw.management.stream.StreamSource.begin}.
        """
        self._timer = self._clock.callLater(self._seconds, self._end, ready)
        self._following = self._attempts.follow(self._predicate, lambda _: ready())

    def take(self) -> bytes | None:
        """
        See L{pptpgw.management.stream.StreamSource.take}.
        """
        following = self._following
        if following is None:
            return None
        parts = []
        for event in following.take():
            line = _line(self._attempts, event)
            parts.append(encodeEvent(str(line.__struct_config__.tag), toJSON(line)))
        if following.lost > self._lost:
            parts.append(encodeEvent("gap", toJSON(Gap(following.lost - self._lost))))
            self._lost = following.lost
        if not parts and self._isOver:
            return None
        return b"".join(parts)

    def close(self) -> None:
        """
        See L{pptpgw.management.stream.StreamSource.close}.
        """
        self._timer = cancelled(self._timer)
        following, self._following = self._following, None
        if following is not None:
            following.stop()

    def _end(self, ready: Callable[[], object]) -> None:
        self._isOver = True
        ready()


class Trace:
    """
    Answers the requests for traces.
    """

    def __init__(self, attempts: IAttempts) -> None:
        self._attempts = attempts

    def operations(self) -> Iterator[Operation]:
        """
        Iterate over the requests that are answered here, as operations of the interface.
        """
        yield Operation(
            "GET",
            "/trace",
            "Follow what callers negotiate, those that aren't there yet too.",
            self._trace,
            TracedFrame | TracedStage | TracedEnd | Gap,
            query=TraceQuery,
            role=OperatorRole.OPERATOR,
            stream=MEDIA_TYPE,
        )

    def _trace(self, request: OperationRequest) -> TraceSource:
        query: TraceQuery = request.query
        if (query.user, query.address, query.session).count(None) != 2:
            raise Problem(HTTPStatus.BAD_REQUEST, "name a user, an address or a session")

        def wanted(attempt: IAttempt) -> bool:
            if query.tunnel not in (None, attempt.tunnel.name):
                return False
            if query.user is not None:
                return attempt.isOf(query.user)
            return query.address == attempt.source or query.session == attempt.identifier

        return TraceSource(request.clock, self._attempts, wanted, query.seconds)


def _line(attempts: IAttempts, event: AttemptEvent) -> TracedFrame | TracedStage | TracedEnd:
    attempt, what = event
    own = (
        attempt.since + what.seconds,
        attempt.identifier,
        attempt.source,
        attempt.tunnel.name,
        attempt.user,
    )
    if isinstance(what, Frame):
        direction: Literal["sent", "received"] = "sent" if what.isSent else "received"
        return TracedFrame(*own, attempts.text(what), direction)
    if isinstance(what, Stage):
        text = f"{what.name}: failed: {what.failure}" if what.failure else f"{what.name}: passed"
        return TracedStage(*own, text, what.name, what.failure)
    assert isinstance(what, Ending)
    return TracedEnd(*own, f"ended: {what.cause}", str(what.cause))
