"""
Session observers.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

from pptpgw.interfaces.environment import IEnvironment
from pptpgw.interfaces.network import INetworkProtocol


class ISessionObserver(Interface):
    """
    An observer of sessions. Exceptions that it raises are logged and go no further.

    L{pptpgw.sessions.observer.SessionObserver} is an implementation to derive from.
    """

    def sessionStarted(session: Any) -> None:
        """
        A caller was authenticated.
        """

    def protocolOpened(session: Any, protocol: INetworkProtocol) -> None:
        """
        A network protocol opened.
        """

    def protocolClosed(session: Any, protocol: INetworkProtocol) -> None:
        """
        A network protocol closed.
        """

    def networksChanged(session: Any) -> None:
        """
        The networks of an open network protocol changed: a prefix was delegated, for example.
        """

    def sessionChanged(session: Any) -> None:
        """
        The session has another C{profile}, since an operator or a server changed it.
        """

    def sessionEnded(session: Any, cause: str) -> Deferred[Any] | None:
        """
        The session is over; L{pptpgw.sessions.cause.codeOf} gives the code of the cause.

        @return: None, or a Deferred that fires when the end is accounted for. The addresses of the
            session aren't given again before that, or before
            L{pptpgw.sessions.ending.REPORT_SECONDS} have passed.
        """

    def callerRefused(caller: str, name: str, method: str, reason: str) -> None:
        """
        A caller at the address C{caller} was turned away.

        @param name: the user that it claimed to be; empty if the call itself was refused.
        @param method: the authentication protocol; empty if the call itself was refused.
        """

    def lockedOut(kind: str, subject: str, failures: int, until: float) -> None:
        """
        A lockout begins: no claim for the user C{subject}, or from the address C{subject}, is
        believed until it ends.

        @param kind: C{"user"} or C{"source"}.
        @param failures: the number of false claims.
        @param until: the end of the lockout, in seconds since 1970.
        """


class ISessionObserverFactory(IPlugin):
    """
    A plugin that makes a session observer, chosen by C{[plugins] observers}.
    """

    name = Attribute("What it is chosen by.")
    description = Attribute("One line on what it is, and on its argument where it takes one.")

    settings = Attribute("The type of its section, as for L{pptpgw.interfaces.INetworkFactory}.")

    def makeObserver(argument: str, settings: Any, environment: IEnvironment) -> ISessionObserver:
        """
        Make the observer; nothing is opened yet. An observer that provides
        L{twisted.application.service.IService} is started and stopped with the gateway.

        @param argument: what stands behind C{NAME:} in the configuration.
        @param settings: an instance of L{settings}, as the configuration has it.
        @raise pptpgw.error.ConfigurationError: the argument is of no use; the text says why.
        """
