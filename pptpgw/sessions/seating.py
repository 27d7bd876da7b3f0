"""
Seats: which authenticated callers may have a session, and which sessions end for a newer call.

A session may keep a newer call out: its user may have no more sessions, or it has the address that
the newer call's account owns. Then its caller is probed first (L{pptpgw.ppp.probe}), and the
session ends if there is no answer. So a caller that has lost its line and dials again isn't kept
out by its own session, which would take minutes to notice the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Generic, TypeVar
from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred

from pptpgw.error import Category, Refused
from pptpgw.interfaces import Caller
from pptpgw.sessions.admission import Admission, permit
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.registry import Registry
from pptpgw.sessions.remedy import Remedy
from pptpgw.sessions.session import Session


class Seated(TypingProtocol):
    """
    A call that may take a seat, and that may have to leave it.

    L{pptpgw.sessions.line.Line} is one.
    """

    caller: Caller
    identity: str
    session: Session | None

    def probe(self) -> Deferred[bool]: ...
    def drop(self, cause: str) -> None: ...


L = TypeVar("L", bound=Seated)


class Seating(Generic[L]):
    """
    Gives authenticated callers their seats.
    """

    def __init__(self, lines: Admission[L], sessions: Registry, now: Callable[[], float]) -> None:
        """
        @param lines: counts the current calls and their seats.
        @param now: gives the time of day, in seconds since 1970.
        """
        self._lines = lines
        self._sessions = sessions
        self._now = now

    def admit(self, line: L, profile: Profile) -> Deferred[None]:
        """
        Let the user of C{profile} have a session on C{line}.

        @return: fires when the addresses of the sessions that end for it are free; fails with
            L{Refused}, or L{pptpgw.error.Exhausted}.
        @raise Refused: the user may not have a session.
        """
        permit(profile, line.caller.address, self._now())
        rivals = self._rivals(line, profile)
        if not rivals:
            return self._seat(line, profile)
        return Deferred.fromCoroutine(self._displace(line, profile, rivals))

    def _rivals(self, line: L, profile: Profile) -> list[L]:
        """
        The callers that keep C{line} from a session, without those that must go anyhow.
        """
        rivals, leaving = self._lines.rivals(line, line.identity, profile)
        own = [one.network_address for one in profile.addresses or () if one.prefixlen == 32]
        holders = [self._sessions.addresses.exact.get(one.packed) for one in own]
        if None in holders or len(own) < len(profile.addresses or ()):
            # An address of the account's is left.
            holders = []
        if profile.prefix is not None:
            holders.append(self._sessions.addresses.lookup(profile.prefix.network_address.packed))
        sessions = [one for one in holders if one is not None]
        if sessions:
            known = {line, *rivals, *leaving}
            rivals += [one for one in self._lines if one.session in sessions and one not in known]
        return rivals

    async def _displace(self, line: L, profile: Profile, rivals: list[L]) -> None:
        asked = [(one, one.probe()) for one in rivals]
        gone = set()
        for one, lives in asked:
            if not await lives:
                source = line.caller.address
                text = f"its caller doesn't answer; a newer call, from {source}, takes its place"
                one.drop(Cause(text, Termination.LOST_CARRIER, Remedy.REPLACED))
                gone.add(one.identity)
        if line not in self._lines:
            raise Refused("the call ended meanwhile", retry=False, category=Category.GONE)
        await self._seat(line, profile, gone)

    def _seat(self, line: L, profile: Profile, gone: Collection[str] = ()) -> Deferred[None]:
        """
        @param gone: the users whose sessions have ended for it.
        """
        for other in self._lines.seat(line, line.identity, profile):
            text = f"a newer call of the same user, from {line.caller.address}, takes its place"
            other.drop(Cause(text, Termination.PORT_PREEMPTED, Remedy.REPLACED))
        return self._sessions.endings.over({line.identity, *gone})
