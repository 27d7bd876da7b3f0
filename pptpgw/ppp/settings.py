"""
What a link wants, and whom it asks and tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal
from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred

from pptpgw.interfaces import (
    Attachments,
    Claim,
    Grant,
    IAuthenticationProtocol,
    INetworkProtocol,
)
from pptpgw.ppp.wire import ppp
from pptpgw.sessions.profile import Profile


@dataclass(frozen=True, slots=True)
class Identity:
    """
    What this end proves itself with when the peer demands it.

    @ivar methods: by which protocols, the best liked first.
    """

    name: bytes
    password: bytes = field(repr=False)
    methods: tuple[IAuthenticationProtocol, ...]


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """
    What a link wants; times in seconds. It serves both roles: a gateway has methods, a client has
    an identity.

    @ivar methods: what the peer must prove itself with, strongest first; empty: nothing.
    @ivar name: our name in challenges.
    @ivar rechallenge: how often the peer is challenged again; 0: never.
    @ivar encryption: whether MPPE must open, may open, or stays off, where the account of the peer
        says nothing else.
    @ivar relaxable: whether an account may go without encryption that is required here.
    @ivar bits: the MPPE key lengths allowed, of 40, 56 and 128; an account may allow fewer.
    @ivar stateful: whether a peer that insists on stateful MPPE is followed.
    @ivar echoFailures: unanswered Echo-Requests that end the link; 0: it is never asked.
    @ivar setupTimeout: how long it may take until the first network protocol opens.
    @ivar identity: what this end proves itself with; None: it won't.
    @ivar encrypted: whether what carries the link encrypts already: then there is no MPPE, and
        encryption that is required is there.
    @ivar accm: the control characters that the peer is asked to escape, as a map (RFC 1662 section
        7.1); None where nothing is escaped.
    @ivar authenticating: the PPP protocol numbers of everything that authenticates, those of the
        methods among them.
    """

    methods: tuple[IAuthenticationProtocol, ...] = ()
    name: bytes = b"pptpgw"
    rechallenge: float = 0
    encryption: Literal["require", "prefer", "off"] = "require"
    bits: tuple[int, ...] = (128,)
    relaxable: bool = False
    stateful: bool = False
    mru: int = 1400
    echoInterval: float = 30
    echoFailures: int = 3
    setupTimeout: float = 60
    identity: Identity | None = None
    encrypted: bool = False
    accm: int | None = None
    authenticating: frozenset[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Asked for with every frame, and the settings are made once.
        answers = self.identity.methods if self.identity is not None else ()
        numbers = ppp.AUTHENTICATION.union(one.number for one in (*self.methods, *answers))
        object.__setattr__(self, "authenticating", numbers)

    @property
    def usableMethods(self) -> tuple[IAuthenticationProtocol, ...]:
        """
        The methods that are offered: those that earn no MPPE keys aren't while MPPE is required.
        """
        if self.encryption != "require" or self.encrypted:
            return self.methods
        return tuple(method for method in self.methods if method.earnsKeys)

    def forProfile(self, profile: Profile) -> LinkSettings:
        """
        The same for a peer whose account C{profile} is: an account may demand encryption, allow
        fewer key lengths, and do without what isn't required here; only with L{relaxable} without
        what is.
        """
        if self.encrypted:
            return self
        encryption = profile.encryption or self.encryption
        if self.encryption == "require" and not self.relaxable:
            encryption = "require"
        bits = self.bits
        if profile.bits is not None:
            bits = tuple(one for one in bits if one in profile.bits)
        if (encryption, bits) == (self.encryption, self.bits):
            return self
        return replace(self, encryption=encryption, bits=bits)


class LinkOwner(TypingProtocol):
    """
    Whom a link asks and tells.
    """

    def authenticate(self, claim: Claim) -> Deferred[Grant]:
        """
        Judge a claim; fails with L{pptpgw.error.Refused}, or with L{pptpgw.error.Unavailable} if
        that can't be done.
        """

    def networkProtocols(self, grant: Grant | None) -> Sequence[INetworkProtocol]:
        """
        The network protocols for this peer; may raise L{pptpgw.error.Refused}.
        """

    def networkOpened(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        A network protocol carries packets.
        """

    def networkChanged(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        One that does is attached otherwise from now on.
        """

    def networkClosed(self, protocol: INetworkProtocol) -> None:
        """
        It doesn't any longer.
        """

    def networkFinished(self, protocol: INetworkProtocol, reason: str) -> None:
        """
        A network protocol is over, or never came up; the link goes on if it has another.
        """

    def linkEnded(self, cause: str) -> None:
        """
        The link is over, told once.
        """
