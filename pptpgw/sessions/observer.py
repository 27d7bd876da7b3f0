"""
A session observer to derive from, which is told everything and does nothing.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from pptpgw.interfaces import INetworkProtocol, ISession, ISessionObserver


@implementer(ISessionObserver)
class SessionObserver:
    """
    See L{ISessionObserver}, which says what each method is told.
    """

    def sessionStarted(self, session: ISession) -> None:
        """
        See L{ISessionObserver.sessionStarted}.
        """

    def protocolOpened(self, session: ISession, protocol: INetworkProtocol) -> None:
        """
        See L{ISessionObserver.protocolOpened}.
        """

    def protocolClosed(self, session: ISession, protocol: INetworkProtocol) -> None:
        """
        See L{ISessionObserver.protocolClosed}.
        """

    def networksChanged(self, session: ISession) -> None:
        """
        See L{ISessionObserver.networksChanged}.
        """

    def sessionChanged(self, session: ISession) -> None:
        """
        See L{ISessionObserver.sessionChanged}.
        """

    def sessionEnded(self, session: ISession, cause: str) -> Deferred[Any] | None:
        """
        See L{ISessionObserver.sessionEnded}.
        """
        return None

    def callerRefused(self, caller: str, name: str, method: str, reason: str, tunnel: str) -> None:
        """
        See L{ISessionObserver.callerRefused}.
        """

    def lockedOut(self, kind: str, subject: str, failures: int, until: float) -> None:
        """
        See L{ISessionObserver.lockedOut}.
        """
