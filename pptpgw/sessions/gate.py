"""
Which packets of a session pass, by the filter that its account names.

The rules:

 - A session whose account names none is unfiltered. A caller whose account names one that isn't
   there is turned away: what was granted on a condition that can't be kept isn't granted (RFC 2865
   section 1.1).
 - The filter may change while the session lasts, and holds for the next packet. Should it change to
   one that isn't there nothing passes any more.
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
    What a network protocol of one session asks of each packet.

    @ivar filter: the filter; None: every packet may pass.
    """

    __slots__ = ("filter",)

    def __init__(self, filter: Filter | None) -> None:
        self.filter = filter

    def __call__(self, packet: bytes) -> bool:
        return self.filter is None or self.filter.permits(packet)


class Filters(SessionObserver):
    """
    The filters that there are, and the gates of all sessions.
    """

    _log = Logger()

    def __init__(self, rules: Mapping[str, tuple[str, ...]] | None = None) -> None:
        """
        @param rules: those of each filter, by its name.
        @raise ValueError: one isn't L{pptpgw.sessions.filter.ALLOWED}.
        """
        self._filters = {name: Filter(one) for name, one in (rules or {}).items()}
        self._gates: dict[Any, set[Gate]] = {}

    @property
    def names(self) -> Container[str]:
        """
        What there are, by name.
        """
        return self._filters.keys()

    def gate(self, profile: Profile) -> Gate | None:
        """
        The gate for a network protocol of a session to be; None where there are no filters at all.

        @raise Refused: there is no such filter.
        """
        if profile.filter and profile.filter not in self._filters:
            raise Refused(f"there is no filter {profile.filter!a}", retry=False)
        return Gate(self._filters.get(profile.filter)) if self._filters else None

    def protocolOpened(self, session: Any, protocol: INetworkProtocol) -> None:
        """
        Remember the gate; the profile may have changed since it was made.
        """
        gate = getattr(getattr(protocol, "settings", None), "permits", None)
        if isinstance(gate, Gate):
            self._gates.setdefault(session, set()).add(gate)
            self._set(session)

    def sessionChanged(self, session: Any) -> None:
        """
        Let pass what the profile's filter lets pass now.
        """
        self._set(session)

    def sessionEnded(self, session: Any, cause: str) -> Deferred[Any] | None:
        """
        Forget its gates.
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
