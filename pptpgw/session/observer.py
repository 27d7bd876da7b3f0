"""
A session observer to derive from, that hears everything and does nothing.
"""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from pptpgw.interfaces import INetworkProtocol, ISessionObserver


@implementer(ISessionObserver)
class SessionObserver:
    """
    See L{ISessionObserver}, which says what each method is told.
    """

    def sessionStarted(self, session: Any) -> None:
        """
        See L{ISessionObserver.sessionStarted}.
        """

    def protocolOpened(self, session: Any, protocol: INetworkProtocol) -> None:
        """
        See L{ISessionObserver.protocolOpened}.
        """

    def protocolClosed(self, session: Any, protocol: INetworkProtocol) -> None:
        """
        See L{ISessionObserver.protocolClosed}.
        """

    def sessionChanged(self, session: Any) -> None:
        """
        See L{ISessionObserver.sessionChanged}.
        """

    def sessionEnded(self, session: Any, cause: str) -> None:
        """
        See L{ISessionObserver.sessionEnded}.
        """

    def callerRefused(self, caller: str, name: str, method: str, reason: str) -> None:
        """
        See L{ISessionObserver.callerRefused}.
        """
