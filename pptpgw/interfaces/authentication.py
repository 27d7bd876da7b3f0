"""
Authentication: protocols, their exchanges, claims and verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.plugin import IPlugin
from zope.interface import Attribute, Interface

from pptpgw.interfaces.caller import Caller
from pptpgw.interfaces.checker import IClaimCredentials
from pptpgw.interfaces.environment import IEnvironment
from pptpgw.interfaces.keys import IKeys
from pptpgw.sessions.naming import accountName, folded, nameOf


class ISubscriber(Interface):
    """
    The avatar of a caller who has been authenticated (twisted.cred).
    """

    name = Attribute("The user's name, str.")
    addresses = Attribute(
        "The addresses that the user may have, a tuple of IPv4Network, the first one meant for it; "
        "None: any from the pool."
    )
    profile = Attribute(
        "The whole of what its account allows, a L{pptpgw.sessions.profile.Profile}."
    )


@dataclass(frozen=True, slots=True)
class Claim:
    """
    A peer's claim to be the user C{name}. A protocol whose claims need more derives a class from
    this one.

    @ivar method: the protocol that carried it.
    @ivar identifier: the identifier of the exchange's packet.
    @ivar challenge: the challenge that we sent; empty if the peer begins.
    @ivar response: the peer's answer: a password, or the value field of a CHAP Response.
    @ivar caller: the caller, if known. Exchanges leave it out, and the line adds it.
    @cvar domain: whether a Windows domain may stand before a name.
    @cvar relayed: whether a server converses with the peer through us. C{name} is then only the
        name that the peer gave first, and judging the claim takes as long as the peer does.
    """

    domain: ClassVar[bool] = True
    relayed: ClassVar[bool] = False

    method: IAuthenticationProtocol
    name: bytes
    identifier: int
    challenge: bytes = field(repr=False)
    response: bytes = field(repr=False)
    caller: Caller | None = field(default=None, kw_only=True)

    @property
    def account(self) -> bytes:
        """
        C{name} without the Windows domain that may stand before it.
        """
        return accountName(self.name) if self.domain else self.name

    def identity(self, name: str | None = None) -> str:
        """
        The identity of the user, which is the same for all names of one user.

        @param name: the name that the checker found the claim true for; None for C{self.name}.
        """
        octets = self.name
        if name is not None and name not in (nameOf(octets), nameOf(self.account)):
            octets = name.encode("utf-8", "surrogateescape")
        return folded(octets, self.domain)


@dataclass(frozen=True, slots=True)
class Grant:
    """
    The verdict that a claim is true.

    @ivar name: the user's name as the authenticator knows it.
    @ivar message: what the peer is told with its success; C{S=...} of MS-CHAPv2 begins it.
    @ivar keys: the keys earned, or None.
    @ivar subscriber: the L{ISubscriber}.
    """

    name: str
    message: bytes
    keys: IKeys | None
    subscriber: object


class IVerdicts(Interface):
    """
    The owner of the authenticator's side of an exchange, which is told the results.
    """

    def granted(grant: Grant) -> None:
        """
        The peer's claim is true, but the peer hasn't been told yet: prepare its session. Raising
        L{pptpgw.error.Refused} refuses the peer after all, and for good.
        """

    def authenticated(grant: Grant) -> None:
        """
        The peer has been told, for the first time.
        """

    def refused(reason: str) -> None:
        """
        The exchange failed for good. The peer has been told; or it didn't answer; or nobody can
        judge its claim now, which the exchange doesn't tell it.
        """


class IPeerResults(Interface):
    """
    The owner of the peer's side of an exchange, which is told the results.
    """

    def proven(keys: IKeys | None) -> None:
        """
        The authenticator has accepted us. This is called once, with the keys that were earned.
        """

    def refused(reason: str) -> None:
        """
        The authenticator has refused us, is silent, or failed to authenticate itself.
        """


class IExchange(Interface):
    """
    One end of an authentication protocol on one link, for as long as LCP stays open. Where both
    ends prove themselves by one protocol there are two on a link, and each gets every packet.
    """

    def start() -> None:
        """
        LCP is open: send the first packet, or wait for the peer's.
        """

    def received(packet: bytes) -> None:
        """
        Handle the information field of a frame with the protocol's number. No input raises an
        exception; unexpected packets are silently discarded.
        """

    def stop() -> None:
        """
        The link needs no authentication any more: cancel everything, tell nobody.
        """


class IAuthenticatorExchange(IExchange):
    """
    The authenticator's end.
    """

    def repeat() -> None:
        """
        Tell the peer its success once more, since it seems not to have heard of it; unless peers of
        this protocol ask again by themselves.
        """


class IAuthenticationProtocol(IPlugin):
    """
    A plugin that authenticates peers, chosen by C{[link] authentication}: a PPP authentication
    protocol, or one of the algorithms of such a protocol. It has no state; a link's is in its
    exchanges, for which L{pptpgw.ppp.exchange} has classes to derive from.

    A protocol of several round trips, such as EAP (RFC 3748), is one of these as well. Its exchange
    may call C{authenticate} as often as something has to be judged, each claim by itself; it tells
    C{granted} at the first success that the peer is to hear of, and C{authenticated} however many
    packets later the peer knows. If the checker must ask the peer for more (a RADIUS server's
    Access-Challenge), the protocol's claims are of a class of its own, whose L{credentials} let the
    checker send a request to the peer and wait for the response, all within one login. Such a claim
    is L{Claim.relayed}, and may take longer than L{pptpgw.sessions.lockout.JUDGING_SECONDS}, which
    is for claims that a checker judges alone.
    """

    name = Attribute("What it is chosen by: C{mschapv2}.")
    description = Attribute("One line on what it is, with its RFC.")
    number = Attribute("The PPP protocol number of its packets: 0xC223 for every CHAP.")
    algorithm = Attribute(
        "The data of the LCP Authentication-Protocol option, behind the number (RFC 1661 section "
        "6.2): b'\\x81' for MS-CHAPv2, empty for PAP."
    )
    earnsKeys = Attribute("Whether success earns keys for MPPE.")
    strength = Attribute(
        "Stronger protocols are offered first: a password in clear has 100, a hash 200, MS-CHAP "
        "300, and MS-CHAPv2, where both ends authenticate, 400."
    )

    def makeAuthenticator(
        clock: IReactorTime,
        send: Callable[[bytes], None],
        name: bytes,
        authenticate: Callable[[Claim], Deferred[Grant]],
        verdicts: IVerdicts,
        rechallenge: float,
    ) -> IAuthenticatorExchange:
        """
        Make the exchange by which the peer authenticates to us.

        @param send: sends a packet of L{number}, at most 1020 octets (RFC 3748 section 3.1).
        @param name: our name, never empty.
        @param authenticate: judges a claim; fails with L{pptpgw.error.Refused}, or with
            L{pptpgw.error.Unavailable} if that can't be done.
        @param rechallenge: seconds until an authenticated peer is challenged again, if the protocol
            can do that; 0 for never.
        """

    def makePeer(
        clock: IReactorTime,
        send: Callable[[bytes], None],
        name: bytes,
        password: bytes,
        results: IPeerResults,
    ) -> IExchange:
        """
        Make the exchange by which we authenticate to the peer.

        @param send: as for L{makeAuthenticator}.
        """

    def credentials(claim: Claim, username: bytes) -> IClaimCredentials:
        """
        Make credentials of a claim of this protocol's, for any checker that judges their kind.

        @param username: the account to check against; C{claim.name}, or that without its Windows
            domain.
        """


class IConfiguredProtocol(IAuthenticationProtocol):
    """
    An authentication protocol with a section of the configuration.
    """

    settings = Attribute("The type of its section, as for L{pptpgw.interfaces.INetworkFactory}.")
    methods = Attribute(
        "The plugins that the protocol consists of, such as EAP's methods; those that are services "
        "are started and stopped with the gateway."
    )

    def configured(
        settings: Any, environment: IEnvironment, judged: Container[type[Interface]]
    ) -> IAuthenticationProtocol:
        """
        Make the protocol with C{settings}, and read the files that they name. A protocol that
        provides L{twisted.application.service.IService} is started and stopped with the gateway.

        @param settings: an instance of L{settings}, as the configuration has it.
        @param judged: the kinds of credentials that there is a checker for.
        @raise pptpgw.error.ConfigurationError: it can't be used; the text says why.
        """
