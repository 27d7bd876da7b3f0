"""
An observer of sessions for tests, which records what a gateway tells it.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from pptpgw.interfaces import Attack, IAttackObserver, INetworkProtocol, ISession
from pptpgw.sessions.cause import Termination, codeOf
from pptpgw.sessions.observer import SessionObserver


@implementer(IAttackObserver)
class SessionRecorder(SessionObserver):
    """
    An observer that records the events that it is told of.

    @ivar events: the events in order: the word that C{record} is given for each, and what the
        observer was told.
    @ivar reports: None, or Deferreds that fire when the test has accounted for the end of a
        session, in the order of the ends. A test that assigns an empty list decides how long
        accounting takes.
    """

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.reports: list[Deferred[None]] | None = None

    def record(self, event: str, *details: Any) -> None:
        """
        Record an event; a derived class may do something then.

        @param event: C{started}, C{opened}, C{closed}, C{networks}, C{changed}, C{ended},
            C{refused}, C{attacked} or C{locked}.
        """
        self.events.append((event, *details))

    def detailsOf(self, event: str) -> list[tuple[Any, ...]]:
        """
        Return what the observer was told with each C{event}.
        """
        return [one[1:] for one in self.events if one[0] == event]

    @property
    def told(self) -> list[tuple[str, str]]:
        """
        The events of sessions, each with the name of the user.
        """
        others = ("refused", "attacked", "locked")
        return [(name, details[0].user) for name, *details in self.events if name not in others]

    @property
    def ended(self) -> list[tuple[str, str, Termination]]:
        """
        The users whose sessions ended, with the cause and its code in RADIUS.
        """
        ends = self.detailsOf("ended")
        return [(session.user, str(cause), codeOf(cause)) for session, cause in ends]

    @property
    def refused(self) -> list[tuple[Any, ...]]:
        """
        The callers that were refused: addresses, names, protocols of authentication, reasons and
        tunnels.
        """
        return self.detailsOf("refused")

    @property
    def attacks(self) -> list[Attack]:
        """
        The attacks, as the observer was told of them.
        """
        return [attack for (attack,) in self.detailsOf("attacked")]

    @property
    def lockouts(self) -> list[tuple[Any, ...]]:
        """
        The lockouts: C{"user"} or C{"address"}, the user or address, failures and end.
        """
        return self.detailsOf("locked")

    def sessionStarted(self, session: ISession) -> None:
        """
        See L{SessionObserver.sessionStarted}.
        """
        self.record("started", session)

    def protocolOpened(self, session: ISession, protocol: INetworkProtocol) -> None:
        """
        See L{SessionObserver.protocolOpened}.
        """
        self.record("opened", session, protocol)

    def protocolClosed(self, session: ISession, protocol: INetworkProtocol) -> None:
        """
        See L{SessionObserver.protocolClosed}.
        """
        self.record("closed", session, protocol)

    def networksChanged(self, session: ISession) -> None:
        """
        See L{SessionObserver.networksChanged}.
        """
        self.record("networks", session)

    def sessionChanged(self, session: ISession) -> None:
        """
        See L{SessionObserver.sessionChanged}.
        """
        self.record("changed", session)

    def sessionEnded(self, session: ISession, cause: str) -> Deferred[Any] | None:
        """
        See L{SessionObserver.sessionEnded}.
        """
        self.record("ended", session, cause)
        if self.reports is None:
            return None
        self.reports.append(Deferred())
        return self.reports[-1]

    def callerRefused(self, caller: str, name: str, method: str, reason: str, tunnel: str) -> None:
        """
        See L{SessionObserver.callerRefused}.
        """
        self.record("refused", caller, name, method, reason, tunnel)

    def attacked(self, attack: Attack) -> None:
        """
        See L{pptpgw.interfaces.IAttackObserver.attacked}.
        """
        self.record("attacked", attack)

    def lockedOut(self, kind: str, subject: str, failures: int, until: float) -> None:
        """
        See L{SessionObserver.lockedOut}.
        """
        self.record("locked", kind, subject, failures, until)
