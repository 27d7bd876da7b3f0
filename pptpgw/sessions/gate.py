"""
The gates of sessions, which let those packets pass that the filter of the account permits.

The rules:

 - A session whose account names no filter is unfiltered. A caller whose account names a filter that
   doesn't exist is refused, because access was granted on a condition that can't be met (RFC 2865
   section 1.1).
 - The filter may change while the session lasts, and applies from the next packet on. If it changes
   to one that doesn't exist, nothing passes any more.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from twisted.internet.defer import Deferred

from pptpgw.error import Refused
from pptpgw.interfaces import INetworkProtocol
from pptpgw.log import Logger
from pptpgw.sessions.filter import Filter
from pptpgw.sessions.observer import SessionObserver
from pptpgw.sessions.profile import Profile

_NOTHING = Filter(())


class Gate:
    """
    The filter of one session, which its network protocols ask about each packet.

    @ivar filter: the filter; None if every packet may pass.
    """

    __slots__ = ("filter",)

    def __init__(self, filter: Filter | None) -> None:
        self.filter = filter

    def __call__(self, packet: bytes) -> bool:
        return self.filter is None or self.filter.permits(packet)


class Filters(SessionObserver):
    """
    The configured filters, and the gates of all sessions.
    """

    _log = Logger()

    def __init__(self, rules: Mapping[str, tuple[str, ...]] | None = None) -> None:
        """
        @param rules: the rules of each filter, by the filter's name.
        @raise ValueError: a rule isn't L{pptpgw.sessions.filter.ALLOWED}.
        """
        self._filters = {name: Filter(one) for name, one in (rules or {}).items()}
        self._gates: dict[Any, set[Gate]] = {}

    @property
    def names(self) -> Container[str]:
        """
        The names of the configured filters.
        """
        return self._filters.keys()

    def gate(self, profile: Profile) -> Gate | None:
        """
        Return the gate for a network protocol of a session that is about to begin; None if no
        filters are configured.

        @raise Refused: the profile names a filter that doesn't exist.
        """
        if profile.filter and profile.filter not in self._filters:
            raise Refused(f"there is no filter {profile.filter!a}", retry=False)
        return Gate(self._filters.get(profile.filter)) if self._filters else None

    def protocolOpened(self, session: Any, protocol: INetworkProtocol) -> None:
        """
        See L{ISessionObserver.protocolOpened}: remember the protocol's gate, and set its filter, as
        the profile may have changed since the gate was made.
        """
        gate = getattr(getattr(protocol, "settings", None), "permits", None)
        if isinstance(gate, Gate):
            self._gates.setdefault(session, set()).add(gate)
            self._set(session)

    def sessionChanged(self, session: Any) -> None:
        """
        See L{ISessionObserver.sessionChanged}: set the filter that the profile names now.
        """
        self._set(session)

    def sessionEnded(self, session: Any, cause: str) -> Deferred[Any] | None:
        """
        See L{ISessionObserver.sessionEnded}: forget the gates of the session.
        """
        self._gates.pop(session, None)
        return None

    def _set(self, session: Any) -> None:
        gates = self._gates.get(session)
        if not gates:
            return
        profile: Profile = session.profile
        chosen = self._filters.get(profile.filter)
        if profile.filter and chosen is None:
            chosen = _NOTHING
            self._log.error(
                "there is no filter {filter!a}: nothing passes for {user} any more",
                filter=profile.filter,
                user=profile.name,
            )
        for gate in gates:
            gate.filter = chosen
