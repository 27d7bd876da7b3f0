"""
Sessions as observers, plugins and programs see them, and their observers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from pptpgw.interfaces.caller import TunnelKind
from pptpgw.interfaces.network import INetworkProtocol

if TYPE_CHECKING:
    from pptpgw.counting.counters import Counters


class ISession(Interface):
    """
    A session: one authenticated caller, from the proof of who it is to the end of its call. The
    gateway keeps the attributes true.
    """

    number: int = Attribute("Its number, which no other session of this run of the gateway has.")
    identifier: str = Attribute(
        "Its identifier, which no other session has, not even one of another run. Lines of the "
        "log about the session begin with it."
    )
    user: str = Attribute("The user's name, as the account has it.")
    profile: Any = Attribute(
        "What the user's account allows it now, a L{pptpgw.sessions.profile.Profile}."
    )
    caller: str = Attribute("The address, in text, that the call came from.")
    called: str = Attribute("Our address, in text, that was called.")
    tunnel: TunnelKind = Attribute("The L{TunnelKind} of the tunnel that the call came by.")
    since: float = Attribute(
        "When it began, in seconds since 1970, for people and records; L{duration} says for how "
        "long it has gone on."
    )
    duration: float = Attribute("The seconds since it began, by a monotonic clock.")
    authentication: str = Attribute(
        "The name of the method that proved who calls, C{mschapv2} for one; C{none} if it wasn't "
        "proved."
    )
    encryption: str = Attribute("What is encrypted and how, in words.")
    networks: Mapping[str, tuple[IPv4Network | IPv6Network, ...]] = Attribute(
        "The networks of each network protocol that is open, by the name of the protocol."
    )
    counters: Counters = Attribute("The L{Counters} of its call.")

    def change(profile: Any) -> None:
        """
        Allow the session what C{profile} allows from now on; observers are told of it.

        @param profile: a L{pptpgw.sessions.profile.Profile} of the same user.
        """

    def hangUp(cause: str) -> None:
        """
        End the session. Observers are told of the end when the call is over, which may be later.

        @param cause: why; L{pptpgw.sessions.cause.codeOf} gives its code.
        """


class ISessionObserver(Interface):
    """
    An observer of sessions. Exceptions that it raises are logged and go no further.

    L{pptpgw.sessions.observer.SessionObserver} is an implementation to derive from.
    """

    def sessionStarted(session: ISession) -> None:
        """
        A caller was authenticated.
        """

    def protocolOpened(session: ISession, protocol: INetworkProtocol) -> None:
        """
        A network protocol opened.
        """

    def protocolClosed(session: ISession, protocol: INetworkProtocol) -> None:
        """
        A network protocol closed.
        """

    def networksChanged(session: ISession) -> None:
        """
        The networks of an open network protocol changed: a prefix was delegated, for example.
        """

    def sessionChanged(session: ISession) -> None:
        """
        The session has another C{profile}, since an operator or a server changed it.
        """

    def sessionEnded(session: ISession, cause: str) -> Deferred[Any] | None:
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


class ISessions(Interface):
    """
    The current sessions of a gateway: those that have begun and haven't ended.
    """

    def __len__() -> int:
        """
        The number of sessions.
        """

    def __iter__() -> Iterator[ISession]:
        """
        The sessions in the order in which they began. This goes over a copy, so that sessions may
        begin and end meanwhile.
        """

    def withIdentifier(identifier: str) -> ISession | None:
        """
        Give the session that has this L{ISession.identifier}; None if there is none.
        """

    def withNumber(number: int) -> ISession | None:
        """
        Give the session that has this L{ISession.number}; None if there is none.
        """

    def sessionFor(address: str) -> ISession | None:
        """
        Give the session that C{address}, an IPv4 or IPv6 address, leads to; None if there is none.
        A service that is reached through the tunnels learns from it who is asking.

        @raise ValueError: C{address} isn't an address.
        """

    def addObserver(observer: ISessionObserver) -> None:
        """
        Tell C{observer} of sessions from now on, after all observers that were added before it. It
        isn't told of what has happened before.

        @raise pptpgw.error.ConfigurationError: it lacks something of L{ISessionObserver}; the text
            says what.
        """

    def removeObserver(observer: ISessionObserver) -> None:
        """
        Tell C{observer} of nothing more. This does nothing if it isn't among the observers.
        """
