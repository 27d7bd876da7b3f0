"""
Sessions that are over and whose end is being accounted for: what they had is nobody else's so long.

Accounting may be slow, or never finish; L{REPORT_SECONDS} is the limit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from pptpgw.timing.timer import cancelled

REPORT_SECONDS = 5.0
"""
How long what a session had may wait for its end to be accounted for.
"""


class _Ending:
    """
    One of them.

    @ivar release: gives back what it had.
    @ivar late: the end of the wait.
    @ivar waiting: who waits for what it had.
    """

    __slots__ = ("late", "release", "user", "waiting")

    def __init__(self, user: str, release: Callable[[], None]) -> None:
        self.user = user
        self.release = release
        self.late: IDelayedCall | None = None
        self.waiting: list[Deferred[None]] = []


class Endings:
    """
    Those of a gateway.
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

    def finish(self) -> None:
        """
        Wait no longer.
        """
        for ending in tuple(self._endings):
            self._over(ending)

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
