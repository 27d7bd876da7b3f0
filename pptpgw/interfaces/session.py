"""
Sessions, as observers, plugins and programs see them, and the observers of sessions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from pptpgw.interfaces.caller import Direction, Stations, TunnelEnds, TunnelKind
from pptpgw.interfaces.network import INetworkProtocol

if TYPE_CHECKING:
    from pptpgw.counting.counters import Counters


class AgreedOption(NamedTuple):
    """
    An option that a control protocol has agreed on. Values are in pppd's words; a value is empty if
    the option has none.

    @ivar type: the type of the option.
    @ivar name: the name of the option in pppd's words, such as C{mru}.
    @ivar ours: the values in our request, which the peer acknowledged. They apply to what the peer
        sends. There are none if we didn't ask for the option, and rarely several.
    @ivar peers: the values in the peer's request, which we acknowledged. They apply to what we
        send.
    """

    type: int
    name: str
    ours: Sequence[str]
    peers: Sequence[str]


class AgreedProtocol(NamedTuple):
    """
    What a control protocol has agreed on.

    @ivar name: the name of the control protocol, such as C{IPCP}.
    @ivar control: its PPP protocol number.
    @ivar options: the options, in the order of the requests, ours first.
    """

    name: str
    control: int
    options: Sequence[AgreedOption]


class LinkQuality(NamedTuple):
    """
    What the Link-Quality-Reports of a peer have shown (RFC 1989).

    @ivar lossFromPeer: the part of the packets from the peer, from 0 to 1, that was lost between
        its last two reports.
    @ivar lossToPeer: the same of the packets to the peer.
    @ivar lostFromPeer: the packets from the peer that were lost between its first and its last
        report.
    @ivar lostToPeer: the same of the packets to the peer.
    @ivar fromPeer: the packets that the peer has sent between these reports.
    @ivar toPeer: the packets that were sent to it.
    """

    lossFromPeer: float = 0.0
    lossToPeer: float = 0.0
    lostFromPeer: int = 0
    lostToPeer: int = 0
    fromPeer: int = 0
    toPeer: int = 0


class ISession(Interface):
    """
    One authenticated caller, from its authentication to the end of its call, or a call that this
    gateway dialled, from the moment that both ends are sure of each other. The gateway keeps the
    attributes up to date.
    """

    number: int = Attribute(
        "The number of the session, which no other session of this run of the gateway has."
    )
    identifier: str = Attribute(
        "The identifier of the session, which no other session has, not even one of another run. "
        "Lines of the log about the session begin with it."
    )
    user: str = Attribute(
        "The user's name, as the account has it; the name of the [[dial]], if this gateway dialled."
    )
    direction: Direction = Attribute("Who placed the call, a L{Direction}.")
    other: str = Attribute(
        "Where the other end is, in words for the log: 'from' its address if it called, 'to' its "
        "address if this gateway dialled."
    )
    profile: Any = Attribute(
        "What the user's account allows the session now, a L{pptpgw.sessions.profile.Profile}."
    )
    caller: str = Attribute("The address that the call came from, in text.")
    called: str = Attribute("The address of ours that was called, in text.")
    stations: Stations = Attribute("See L{pptpgw.interfaces.Caller.stations}.")
    ends: TunnelEnds = Attribute("The L{TunnelEnds} of the tunnel that carries the call.")
    passedTo: TunnelEnds | None = Attribute(
        "The L{TunnelEnds} of the tunnel by which the call is passed on; None if its PPP ends here."
    )
    concentrator: str = Attribute("See L{pptpgw.interfaces.Caller.concentrator}.")
    tunnel: TunnelKind = Attribute("The L{TunnelKind} of the tunnel that carries the call.")
    since: float = Attribute(
        "The time when the session began, in seconds since 1970, for people and records. Use "
        "L{duration} to measure how long it has lasted."
    )
    duration: float = Attribute("The seconds since the session began, by a monotonic clock.")
    authentication: str = Attribute(
        "The name of the protocol by which the caller authenticated, such as C{mschapv2}; C{none} "
        "if it didn't."
    )
    encryption: str = Attribute(
        "How the link is encrypted, in words, since a network protocol opened. If the tunnel "
        "encrypts, those of L{pptpgw.interfaces.IProtectedCall.protection}."
    )
    interface: str = Attribute(
        "The network interface that the session has for itself; see "
        "L{pptpgw.interfaces.IChannel.interface}."
    )
    path: str = Attribute(
        "What carries the packets, and why; see L{pptpgw.interfaces.IChannel.path}."
    )
    networks: Mapping[str, tuple[IPv4Network | IPv6Network, ...]] = Attribute(
        "The networks of each network protocol that is open, by the name of the protocol."
    )
    counters: Counters = Attribute("The L{Counters} of the session's call.")

    def agreed() -> Sequence[AgreedProtocol]:
        """
        Return what each control protocol that is open has agreed on: LCP, CCP and those of the
        networks. It is put into words when this is called.
        """

    def quality() -> LinkQuality | None:
        """
        Return what Link-Quality-Reports have shown; None if there are none, or not enough yet.
        """

    def change(profile: Any) -> None:
        """
        Replace L{profile}, which applies to the session at once, and tell the observers.

        @param profile: a L{pptpgw.sessions.profile.Profile} of the same user.
        """

    def hangUp(cause: str) -> None:
        """
        End the session. Observers are told of the end when the call is over, which may be later.

        @param cause: why; L{pptpgw.sessions.cause.codeOf} gives its code.
        """


class ISessionObserver(Interface):
    """
    An object that is told what becomes of sessions and callers. Exceptions that it raises are
    logged and go no further.

    L{pptpgw.sessions.observer.SessionObserver} is an implementation to derive from.
    """

    def sessionStarted(session: ISession) -> None:
        """
        A caller was authenticated, and C{session} begins.
        """

    def protocolOpened(session: ISession, protocol: INetworkProtocol) -> None:
        """
        The network protocol C{protocol} opened on C{session}: packets pass.
        """

    def protocolClosed(session: ISession, protocol: INetworkProtocol) -> None:
        """
        The network protocol C{protocol} closed on C{session}.
        """

    def networksChanged(session: ISession) -> None:
        """
        The attribute C{networks} of C{session} changed while a network protocol is open: a prefix
        was delegated, for example.
        """

    def sessionChanged(session: ISession) -> None:
        """
        The attribute C{profile} of C{session} was replaced, because an operator or a server changed
        it.
        """

    def sessionEnded(session: ISession, cause: str) -> Deferred[Any] | None:
        """
        C{session} is over.

        @param cause: why; L{pptpgw.sessions.cause.codeOf} gives its code.
        @return: None, or a Deferred that fires when the end is accounted for. The addresses of the
            session aren't given again before that, or before
            L{pptpgw.sessions.ending.REPORT_SECONDS} have passed.
        """

    def callerRefused(caller: str, name: str, method: str, reason: str, tunnel: str) -> None:
        """
        A caller was turned away.

        @param caller: the caller's address, in text.
        @param name: the user that the caller claimed to be; empty if the call itself was refused.
        @param method: the authentication protocol; empty if the call itself was refused.
        @param reason: why, in words.
        @param tunnel: the name of the tunnel that the call came by.
        """

    def lockedOut(kind: str, subject: str, failures: int, until: float) -> None:
        """
        A lockout begins: until it ends, every claim for one user, or from one address, is refused.

        @param kind: C{"user"} or C{"source"}.
        @param subject: the user's name or the address.
        @param failures: the number of false claims.
        @param until: the end of the lockout, in seconds since 1970.
        """


@dataclass(frozen=True, slots=True)
class Attack:
    """
    Signs of an attack on a call.

    @ivar session: the identifier of the call's session, which it may not have had yet.
    @ivar user: the name of its user; empty if none is known.
    @ivar source: the address that the call comes from.
    @ivar tunnel: the name of the tunnel.
    @ivar reason: the signs, in words.
    """

    session: str
    user: str
    source: str
    tunnel: str
    reason: str


class IAttackObserver(Interface):
    """
    A session observer that is also told of attacks. An observer (L{ISessionObserver}) may provide
    this too.
    """

    def attacked(attack: Attack) -> None:
        """
        A call shows signs of an attack. It is ended.
        """


class ISessions(Interface):
    """
    The current sessions of a gateway, which have begun and haven't ended.
    """

    def __len__() -> int:
        """
        Return the number of sessions.
        """

    def __iter__() -> Iterator[ISession]:
        """
        Iterate over the sessions in the order in which they began. This uses a copy, so that
        sessions may begin and end meanwhile.
        """

    def withIdentifier(identifier: str) -> ISession | None:
        """
        Return the session that has this L{ISession.identifier}; None if there is none.
        """

    def withNumber(number: int) -> ISession | None:
        """
        Return the session that has this L{ISession.number}; None if there is none.
        """

    def sessionFor(address: str) -> ISession | None:
        """
        Return the session to which C{address}, an IPv4 or IPv6 address, is routed; None if there is
        none. By this a service that callers use can find out which user sends a request.

        @raise ValueError: C{address} isn't an address.
        """

    def addObserver(observer: ISessionObserver) -> None:
        """
        Tell C{observer} of sessions from now on, after all observers that were added before it. It
        isn't told of what has happened before.

        @raise pptpgw.error.ConfigurationError: the observer lacks a method of L{ISessionObserver};
            the text says which.
        """

    def removeObserver(observer: ISessionObserver) -> None:
        """
        Tell C{observer} of nothing more. Do nothing if it isn't among the observers.
        """
