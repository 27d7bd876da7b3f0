"""
Sessions that have ended and whose end isn't accounted for yet. Their addresses stay reserved until
every observer has accounted for the end.

Accounting may be slow, or never finish; L{REPORT_SECONDS} is the limit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.timing.slices import inSlices
from pptpgw.timing.timer import cancelled

REPORT_SECONDS = 5.0
"""
Seconds for which the addresses of an ended session stay reserved at most.
"""


class _Ending:
    """
    An ended session.

    @ivar user: the identity of its user.
    @ivar release: gives back what the session had.
    @ivar late: ends the wait for its observers.
    @ivar waiting: fire when what the session had has been given back.
    """

    __slots__ = ("late", "release", "user", "waiting")

    def __init__(self, user: str, release: Callable[[], None]) -> None:
        self.user = user
        self.release = release
        self.late: IDelayedCall | None = None
        self.waiting: list[Deferred[None]] = []


class Endings:
    """
    The sessions that are over, but whose addresses aren't free yet, since their ends are still
    being accounted for.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        # In the order in which they came.
        self._endings: dict[_Ending, None] = {}
        # The same by user.
        self._users: dict[str, dict[_Ending, None]] = {}

    def __len__(self) -> int:
        return len(self._endings)

    def begin(
        self, user: str, reports: Sequence[Deferred[object]], release: Callable[[], None]
    ) -> None:
        """
        Call C{release} for a session that is over, once all C{reports} have fired, or after
        L{REPORT_SECONDS}.

        @param user: the identity of the session's user.
        @param reports: never fail.
        """
        ending = _Ending(user, release)
        self._endings[ending] = None
        self._users.setdefault(user, {})[ending] = None
        ending.late = self._clock.callLater(REPORT_SECONDS, self._over, ending)
        DeferredList(reports).addCallback(lambda _: self._over(ending))

    def over(self, users: Collection[str]) -> Deferred[None]:
        """
        Fires when the addresses of sessions of C{users} that are over by now have been released.

        @param users: identities.
        """
        free: Deferred[None] = succeed(None)
        for user in users:
            for ending in self._users.get(user, ()):
                one: Deferred[None] = Deferred()
                ending.waiting.append(one)
                free.addCallback(_then, one)
        return free

    def finish(self) -> Deferred[None]:
        """
        Wait for no observer any longer.

        @return: fires when everything has been given back, which is done in slices.
        """
        return inSlices(self._clock, self._each())

    def _each(self) -> Iterator[None]:
        # Each is let go of at once: to free thousands in one go takes too long.
        left = deque(self._endings)
        while left:
            self._over(left.popleft())
            yield

    def _over(self, ending: _Ending) -> None:
        if ending not in self._endings:
            return
        del self._endings[ending]
        others = self._users[ending.user]
        del others[ending]
        if not others:
            del self._users[ending.user]
        ending.late = cancelled(ending.late)
        ending.release()
        for one in ending.waiting:
            one.callback(None)


def _then(_: None, one: Deferred[None]) -> Deferred[None]:
    """
    Wait for C{one} as well.
    """
    return one
