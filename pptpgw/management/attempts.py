"""
The operations of attempts: what became of each call, and why a user can't call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from msgspec import Struct

from pptpgw.interfaces import Frame, IAttempt, IAttempts, IGatewayService, Outcome
from pptpgw.management.accounts import endSetups
from pptpgw.management.lockouts import Lockouts
from pptpgw.management.operation import Operation, OperationRequest, OperatorRole
from pptpgw.management.page import Columns, Page, page
from pptpgw.management.problem import notFound
from pptpgw.management.sessions import Disconnected, disconnectedBy
from pptpgw.sessions.diagnosis import AccountState, adviceOn, explain

Word = Literal["setting-up", "up", "ended", "failed", "refused"]

_WORDS: dict[Outcome, Word] = {
    Outcome.SETTING_UP: "setting-up",
    Outcome.UP: "up",
    Outcome.ENDED: "ended",
    Outcome.FAILED: "failed",
    Outcome.REFUSED: "refused",
}


class StageView(Struct, frozen=True):
    """
    A stage that an attempt has passed, or in which it has failed.

    @ivar name: TCP, GRE, LCP, authentication, limits, addresses, CCP, the name of a network
        protocol, or another one that a tunnel gives.
    @ivar seconds: when that was, in seconds since the attempt began.
    @ivar failure: why it failed, in words; empty if it was passed.
    """

    name: str
    seconds: float
    failure: str


class FrameView(Struct, frozen=True):
    """
    A control frame.

    @ivar seconds: when it was sent or received, in seconds since the attempt began.
    @ivar direction: who sent it: the gateway, or the caller.
    @ivar text: what pppd would log of it. Passwords and what they could be guessed with are hidden.
    """

    seconds: float
    direction: Literal["sent", "received"]
    text: str


class AttemptView(Struct, frozen=True):
    """
    An attempt to call.

    @ivar attempt_id: the identifier, which is that of its session if it had one.
    @ivar user: the name that the caller gave, or that its account has; empty if it gave none.
    @ivar caller: the address that the call came from.
    @ivar tunnel: the kind of tunnel.
    @ivar outcome: what became of it.
    @ivar started: when it began, in seconds since 1970.
    @ivar duration_seconds: how long it has lasted.
    @ivar stage: the stage that goes on, or that it failed in; empty once it is up.
    @ivar cause: why it ended or was refused, in words; empty while it goes on.
    @ivar repeats: how often the caller was turned away since, for the same reason.
    @ivar stages: the stages that it has passed, and those that failed, in the order of time.
    """

    attempt_id: str
    user: str
    caller: str
    tunnel: str
    outcome: Word
    started: float
    duration_seconds: float
    stage: str
    cause: str
    repeats: int
    stages: list[StageView]


class AttemptDetails(AttemptView, frozen=True):
    """
    An attempt with its frames.

    @ivar advice: what to do about it if it failed; empty if nothing is known.
    @ivar frames: the last control frames, the oldest first. A call that is up loses those of its
        set-up when as many others as are kept came up after it.
    """

    advice: str
    frames: list[FrameView]


class AttemptFilter(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    The columns by which attempts are chosen.

    @ivar user: the name of the user.
    @ivar caller: the address that the call came from.
    @ivar tunnel: the kind of tunnel.
    @ivar outcome: what became of it: setting-up, up, ended, failed or refused.
    @ivar since: the time after which it began, in seconds since 1970.
    """

    user: str | None = None
    caller: str | None = None
    tunnel: str | None = None
    outcome: str | None = None
    since: float | None = None


class SetupsOf(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """
    The calls that are ended.

    @ivar user: the name of the user.
    """

    user: str


class FindingView(Struct, frozen=True):
    """
    One thing that was found.

    @ivar text: what it is, a sentence.
    @ivar advice: what to do about it; empty if nothing is to be done, or nothing is known.
    @ivar problem: whether it keeps the user from calling, or did the last time.
    """

    text: str
    advice: str
    problem: bool


class Why(Struct, frozen=True):
    """
    Why a user can't call.

    @ivar findings: what was found, the most important first.
    @ivar last: the user's last attempt; null if none is remembered.
    """

    findings: list[FindingView]
    last: AttemptView | None


class AttemptList:
    """
    Answers the requests for attempts.
    """

    def __init__(self, gateway: IGatewayService, now: Callable[[], float]) -> None:
        """
        @param now: gives the time of day, in seconds since 1970.
        """
        self._gateway = gateway
        self._now = now
        self._lockouts = Lockouts(gateway, now)
        self._columns: Columns[IAttempt] = {
            "attempt_id": lambda one: one.identifier,
            "user": lambda one: one.user,
            "caller": lambda one: one.source,
            "tunnel": lambda one: one.tunnel.name,
            "outcome": lambda one: _WORDS[one.outcome],
            "started": lambda one: one.since,
            "duration_seconds": lambda one: one.duration,
            "stage": lambda one: one.going,
        }

    def operations(self) -> Iterator[Operation]:
        """
        Iterate over the requests that are answered here, as operations of the interface.
        """
        yield Operation(
            "GET",
            "/attempts",
            "List what became of the last calls and callers, the newest first.",
            self._list,
            Page[AttemptView],
            query=AttemptFilter,
            paged=True,
        )
        yield Operation(
            "GET",
            "/attempts/{attempt_id}",
            "Show an attempt with its control frames.",
            self._show,
            AttemptDetails,
        )
        yield Operation(
            "DELETE",
            "/attempts",
            "End the calls of a user that are being set up.",
            self._endSetups,
            Disconnected,
            query=SetupsOf,
            role=OperatorRole.OPERATOR,
        )
        yield Operation("GET", "/why/{user}", "Say why a user can't call.", self._why, Why)

    async def _list(self, request: OperationRequest) -> Page[AttemptView]:
        since = request.query.since
        attempts = (one for one in self._gateway.attempts if since is None or one.since >= since)
        return await page(attempts, request, self._columns, _view)

    def _show(self, request: OperationRequest) -> AttemptDetails:
        identifier = request.names["attempt_id"]
        attempts = self._gateway.attempts
        attempt = attempts.withIdentifier(identifier)
        if attempt is None:
            raise notFound(f"attempt {identifier}")
        failed = attempt.outcome in (Outcome.FAILED, Outcome.REFUSED)
        return AttemptDetails(
            *_valuesOf(attempt),
            adviceOn(attempt) if failed else "",
            [_frame(attempts, one) for one in attempt.frames],
        )

    def _endSetups(self, request: OperationRequest) -> Disconnected:
        cause = disconnectedBy(request)
        return Disconnected(endSetups(self._gateway, {request.query.user}, cause))

    async def _why(self, request: OperationRequest) -> Why:
        user, state = request.names["user"], None
        for store in self._gateway.stores:
            state = AccountState(await store.account(user))
            if state.account is not None:
                break
        lockouts = list(self._lockouts.current())
        found = explain(user, self._gateway.attempts, self._now(), state, lockouts)
        own = (one for one in self._gateway.attempts if one.isOf(user))
        last = max(own, key=lambda one: one.since, default=None)
        return Why(
            [FindingView(one.text, one.advice, one.isProblem) for one in found],
            None if last is None else _view(last),
        )


def _valuesOf(
    one: IAttempt,
) -> tuple[str, str, str, str, Word, float, float, str, str, int, list[StageView]]:
    return (
        one.identifier,
        one.user,
        one.source,
        one.tunnel.name,
        _WORDS[one.outcome],
        one.since,
        one.duration,
        one.going,
        one.cause,
        one.repeats,
        [StageView(stage.name, stage.seconds, str(stage.failure)) for stage in one.stages],
    )


def _view(one: IAttempt) -> AttemptView:
    return AttemptView(*_valuesOf(one))


def _frame(attempts: IAttempts, one: Frame) -> FrameView:
    return FrameView(one.seconds, "sent" if one.isSent else "received", attempts.text(one))
