"""
Session observers: how they are told, and one to derive from that hears everything and does nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import Invalid, implementer
from zope.interface.verify import verifyObject

from pptpgw.error import ConfigurationError
from pptpgw.interfaces import INetworkProtocol, ISessionObserver
from pptpgw.log import Logger, about

_log = Logger()


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

    def networksChanged(self, session: Any) -> None:
        """
        See L{ISessionObserver.networksChanged}.
        """

    def sessionChanged(self, session: Any) -> None:
        """
        See L{ISessionObserver.sessionChanged}.
        """

    def sessionEnded(self, session: Any, cause: str) -> Deferred[Any] | None:
        """
        See L{ISessionObserver.sessionEnded}.
        """
        return None

    def callerRefused(self, caller: str, name: str, method: str, reason: str) -> None:
        """
        See L{ISessionObserver.callerRefused}.
        """

    def lockedOut(self, kind: str, subject: str, failures: int, until: float) -> None:
        """
        See L{ISessionObserver.lockedOut}.
        """


def verified(observer: ISessionObserver) -> ISessionObserver:
    """
    Check that C{observer} provides all of L{ISessionObserver}, and return it.

    @raise ConfigurationError: it lacks something; the text says what.
    """
    try:
        verifyObject(ISessionObserver, observer)
    except Invalid as error:
        raise ConfigurationError(
            f"the session observer {observer!r} doesn't provide all of ISessionObserver; derive "
            f"its class from pptpgw.sessions.observer.SessionObserver: {error}"
        ) from error
    return observer


def tell(
    observers: Iterable[ISessionObserver], event: str, *arguments: object
) -> list[Deferred[object]]:
    """
    Call a method of C{observers}, one after the other. An exception is logged. Lines that an
    observer logs meanwhile have the session's identifier.

    @param event: the name of a method of L{ISessionObserver}.
    @return: a Deferred for each observer that returned one; none of them fails.
    """
    reports: list[Deferred[object]] = []
    session: str = getattr(arguments[0], "identifier", "") if arguments else ""
    with about(session):
        for observer in observers:
            try:
                told = getattr(observer, event)(*arguments)
            except Exception:
                _failed(Failure(), observer, event, session)
            else:
                if isinstance(told, Deferred):
                    done: list[object] = []
                    told.addErrback(_failed, observer, event, session).addCallback(done.append)
                    if not done:
                        reports.append(told)
    return reports


def _failed(failure: Failure, observer: ISessionObserver, event: str, session: str) -> None:
    _log.failure(
        "session observer {observer} failed in {event}",
        failure=failure,
        session=session,
        observer=observer,
        event=event,
    )
