"""
The gates of sessions, which let those packets pass that the filter of the account permits.

The rules:

 - A session whose account names no filter is unfiltered. A caller whose account names a filter that
   doesn't exist is refused, because access was granted on a condition that can't be met (RFC 2865
   section 1.1).
 - The filter may change while the session lasts, and applies from the next packet on. If it changes
   to one that doesn't exist, nothing passes any more.
 - The configured filters may change too, and apply from the next packet on. A session that began
   when no filter was configured has no gate, since that would cost time; it ends if its account
   comes to name a filter.
 - A gate applies to IPv4 and IPv6, whatever plugin makes their network protocols.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import replace
from typing import Any

from zope.interface import implementer

from pptpgw.error import Category, Refused
from pptpgw.interfaces import Attachments, IGate
from pptpgw.log import Logger
from pptpgw.ppp.wire.ppp import IPV4, IPV6
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.sessions.filter import Filter
from pptpgw.sessions.observer import SessionObserver
from pptpgw.sessions.profile import Profile
from pptpgw.sessions.remedy import Remedy

_NOTHING = Filter(())

_UNGATED = Cause(
    "its packets can't be filtered: it began when no filter was configured", Termination.NAS_REQUEST
)


@implementer(IGate)
class Gate:
    """
    The filter of one session, which is asked about each packet.
    """

    __slots__ = ("_changed", "_filter")

    def __init__(self, filter: Filter | None) -> None:
        self._filter = filter
        self._changed: Callable[[], object] | None = None

    def __call__(self, packet: bytes) -> bool:
        return self._filter is None or self._filter.permits(packet)

    @property
    def filter(self) -> Filter | None:
        """
        See L{IGate.filter}.
        """
        return self._filter

    @filter.setter
    def filter(self, filter: Filter | None) -> None:
        if filter != self._filter:
            self._filter = filter
            if self._changed is not None:
                self._changed()

    def watch(self, changed: Callable[[], object] | None) -> None:
        """
        See L{IGate.watch}.
        """
        self._changed = changed

    def before(self, attachments: Attachments) -> Attachments:
        """
        Return C{attachments} with this gate before those of IPv4 and IPv6. Packets must also be
        permitted by what an attachment has itself.
        """
        return {
            number: replace(one, permits=self if one.permits is None else _both(self, one.permits))
            if number in (IPV4, IPV6)
            else one
            for number, one in attachments.items()
        }


def _both(one: Callable[[bytes], bool], other: Callable[[bytes], bool]) -> Callable[[bytes], bool]:
    return lambda packet: one(packet) and other(packet)


def _made(rules: Mapping[str, tuple[str, ...]]) -> dict[str, Filter]:
    return {name: Filter(one) for name, one in rules.items()}


class Filters(SessionObserver):
    """
    The configured filters, which make the gates of sessions and change them.
    """

    _log = Logger()

    def __init__(self, rules: Mapping[str, tuple[str, ...]] | None = None) -> None:
        """
        @param rules: the rules of each filter, by the filter's name.
        @raise ValueError: a rule isn't L{pptpgw.sessions.filter.ALLOWED}.
        """
        self._filters = _made(rules or {})

    @property
    def names(self) -> Container[str]:
        """
        The names of the configured filters.
        """
        return self._filters.keys()

    def gate(self, profile: Profile) -> Gate | None:
        """
        Return the gate for a session that is about to begin; None if no filters are configured.

        @raise Refused: the profile names a filter that doesn't exist.
        """
        if profile.filter and profile.filter not in self._filters:
            raise Refused(
                f"there is no filter {profile.filter!a}",
                retry=False,
                category=Category.FORBIDDEN,
                remedy=Remedy.FILTER,
            )
        return Gate(self._filters.get(profile.filter)) if self._filters else None

    def change(self, rules: Mapping[str, tuple[str, ...]], sessions: Iterable[Any]) -> None:
        """
        Replace the filters, those of C{sessions} too.

        @param rules: as for the constructor.
        """
        self._filters = _made(rules)
        missing = Counter(session.profile.filter for session in sessions if not self._set(session))
        for name, count in missing.items():
            self._log.error(
                "there is no filter {filter!a} any more: nothing passes for {count} sessions",
                filter=name,
                count=count,
            )

    def sessionStarted(self, session: Any) -> None:
        """
        See L{ISessionObserver.sessionStarted}: the filters may have changed since the gate of the
        session was made.
        """
        self.sessionChanged(session)

    def sessionChanged(self, session: Any) -> None:
        """
        See L{ISessionObserver.sessionChanged}: set the filter that the profile names now.
        """
        if not self._set(session):
            self._log.error(
                "there is no filter {filter!a}: nothing passes for {user} any more",
                filter=session.profile.filter,
                user=session.profile.name,
            )

    def _set(self, session: Any) -> bool:
        """
        Set the filter of a session.

        @return: whether there is one, if the profile names any.
        """
        gate: Gate | None = session.gate
        profile: Profile = session.profile
        if gate is None:
            if profile.filter:
                session.hangUp(_UNGATED)
            return True
        filter = self._filters.get(profile.filter)
        isMissing = bool(profile.filter) and filter is None
        gate.filter = _NOTHING if isMissing else filter
        return not isMissing
