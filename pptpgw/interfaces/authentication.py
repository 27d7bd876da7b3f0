"""
Authentication protocols of PPP, their exchanges, and the claims and verdicts that these produce.
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
from pptpgw.sessions.username import accountName, folded, nameOf


class ISubscriber(Interface):
    """
    The avatar of a caller who has been authenticated (twisted.cred).
    """

    name = Attribute("The user's name, str.")
    addresses = Attribute(
        "The networks that the user may have an address of, a tuple of IPv4Network in order of "
        "preference; None for any address of the pool."
    )
    profile = Attribute(
        "Everything that the user's account allows, a L{pptpgw.sessions.profile.Profile}."
    )


@dataclass(frozen=True, slots=True)
class Claim:
    """
    A peer's claim to be the user C{name}. A protocol whose claims carry more data derives a class
    from this one.

    @ivar method: the protocol that carried the claim.
    @ivar identifier: the identifier of the exchange's packet.
    @ivar challenge: the challenge that we sent; empty if the protocol has none, such as PAP.
    @ivar response: the peer's answer: a password, or the value field of a CHAP Response.
    @ivar caller: the caller, if known. Exchanges leave it None; L{pptpgw.sessions.line.Line} adds
        it.
    @cvar domain: whether a Windows domain may stand before a name.
    @cvar relayed: whether a server converses with the peer through us. C{name} is then only the
        name that the peer gave first, and the time that judging takes depends on the peer.
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
        The user's name without the Windows domain that may stand before it.
        """
        return accountName(self.name) if self.domain else self.name

    def identity(self, name: str | None = None) -> str:
        """
        Return the identity of the user, which is the same for all spellings of one user's name.

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
    @ivar message: the text that is sent to the peer with the Success; for MS-CHAPv2 it begins with
        C{S=...}.
    @ivar keys: the MPPE keys that the authentication earned, or None.
    @ivar subscriber: the user's avatar, an L{ISubscriber}.
    """

    name: str
    message: bytes
    keys: IKeys | None
    subscriber: object


class IVerdicts(Interface):
    """
    The owner of the authenticator's end of an exchange, which is told the verdicts.
    """

    def granted(grant: Grant) -> None:
        """
        Prepare the peer's session, since its claim is true. The peer hasn't been told yet.

        @raise pptpgw.error.Refused: the peer is refused all the same, and may not try again.
        """

    def authenticated(grant: Grant) -> None:
        """
        The peer has been told that its claim is true. This is called once, for the first success.
        """

    def refused(reason: str) -> None:
        """
        The exchange failed for good: the peer has been told so, or it didn't answer, or nobody can
        judge its claim at present. In the last case the exchange tells the peer nothing.
        """


class IPeerResults(Interface):
    """
    The owner of the peer's end of an exchange, which is told the results.
    """

    def proven(keys: IKeys | None) -> None:
        """
        The authenticator has accepted us. This is called once, with the keys that were earned.
        """

    def refused(reason: str) -> None:
        """
        The authenticator has refused us, doesn't answer, or failed to authenticate itself.
        """


class IExchange(Interface):
    """
    One end of an authentication protocol on one link, for as long as LCP stays open. If both ends
    authenticate by the same protocol, the link has two exchanges, and each of them is given every
    packet.
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
        Cancel everything and tell nobody, because the link needs no authentication any more.
        """


class IChangingExchange(IExchange):
    """
    The peer's end of an exchange that may be able to change a password that has expired.
    """

    def mayChange(password: bytes, changed: Callable[[], None] | None) -> None:
        """
        Change the password to C{password} if the authenticator says that it has expired. This is
        called before L{IExchange.start}.

        @param changed: called when the authenticator has taken the new password, before
            L{IPeerResults.proven}; None if nobody is told.
        """


class IAuthenticatorExchange(IExchange):
    """
    The authenticator's end of an exchange.
    """

    def repeat() -> None:
        """
        Send the peer's success once more, since the peer seems not to have received it. Do nothing
        if peers of this protocol ask again by themselves.
        """


class IResumableExchange(IAuthenticatorExchange):
    """
    The authenticator's end of an exchange that another end may have begun, which has passed the
    peer's call on before the peer was told a verdict.
    """

    def resume(identifier: int, name: bytes, challenge: bytes, response: bytes) -> None:
        """
        Judge the claim that the peer has made to the other end, in place of L{IExchange.start}. The
        arguments are those of a L{Claim}.

        @raise pptpgw.error.Malformed: the exchange can't judge it, and nothing has begun.
        """


class IAuthenticationProtocol(IPlugin):
    """
    A plugin that authenticates peers, chosen by C{[link] authentication}: a PPP authentication
    protocol, or one of the algorithms of such a protocol. It has no state. The state of a link is
    in its exchanges; L{pptpgw.ppp.exchange} has base classes for them.

    A protocol of several round trips, such as EAP (RFC 3748), is such a plugin as well. Its
    exchange may call C{authenticate} for several claims, one after the other. It calls
    L{IVerdicts.granted} at the first success that the peer is to be told, and
    L{IVerdicts.authenticated} once the peer knows, which may be several packets later. If the
    checker must ask the peer for more (a RADIUS server's Access-Challenge), the protocol derives
    its own class of claims, and L{credentials} makes credentials by which the checker can send
    requests to the peer and wait for the responses, all within one login. Such a claim has
    L{Claim.relayed} set, and judging it may take longer than
    L{pptpgw.sessions.lockout.JUDGING_SECONDS}, which is for claims that a checker judges alone.
    """

    name = Attribute("The name by which the configuration chooses the protocol: C{mschapv2}.")
    description = Attribute("One line that says what the protocol is, with its RFC.")
    number = Attribute("The PPP protocol number of its packets: 0xC223 for every CHAP.")
    algorithm = Attribute(
        "The data of the LCP Authentication-Protocol option that follow the number (RFC 1661 "
        "section 6.2): b'\\x81' for MS-CHAPv2, empty for PAP."
    )
    earnsKeys = Attribute("Whether success earns keys for MPPE.")
    strength = Attribute(
        "A number; protocols with a larger one are offered first. A protocol that sends the "
        "password in clear has 100, one that sends a hash 200, MS-CHAP 300, and MS-CHAPv2, where "
        "both ends authenticate, 400."
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
        @param authenticate: judges a claim. The Deferred fails with L{pptpgw.error.Refused} if the
            claim is false, and with L{pptpgw.error.Unavailable} if it can't be judged at present.
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
        Make the twisted.cred credentials for a claim of this protocol, for any checker of their
        kind.

        @param username: the account to check against: C{claim.name}, with or without its Windows
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
        @param judged: the kinds of credentials that the gateway has a checker for.
        @raise pptpgw.error.ConfigurationError: the protocol can't be used; the text says why.
        """
