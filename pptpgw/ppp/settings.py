"""
The settings of a link, and the interface of its owner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from secrets import token_bytes
from typing import Any, Literal
from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred

from pptpgw.interfaces import (
    Attachments,
    Claim,
    Grant,
    IAuthenticationProtocol,
    IKeys,
    INetworkProtocol,
)
from pptpgw.ppp.mschap import PASSWORD_OCTETS, unicodePassword
from pptpgw.ppp.wire import ppp
from pptpgw.sessions.profile import Profile

ENDPOINT = b"\x01" + token_bytes(16)
"""
The endpoint discriminator of this process: a locally assigned address (RFC 1990 section 5.1.3).
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """
    The name and password by which this end authenticates if the peer demands it.

    @ivar methods: the protocols that this end is willing to use, in order of preference.
    @ivar newPassword: the password that replaces one that has expired, of no more than 256
        characters; empty if it isn't to be changed.
    @ivar changed: called when the peer has taken the new password; None if nobody is told.
    """

    name: bytes
    password: bytes = field(repr=False)
    methods: tuple[IAuthenticationProtocol, ...]
    newPassword: bytes = field(default=b"", repr=False)
    changed: Callable[[], None] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(unicodePassword(self.newPassword)) > PASSWORD_OCTETS:
            raise ValueError(f"a new password of more than {PASSWORD_OCTETS // 2} characters")


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """
    The settings of a link. They serve both roles: a gateway has methods, a client has an identity.

    @ivar methods: the protocols by which the peer must authenticate, strongest first; empty if it
        needn't.
    @ivar name: our name in challenges.
    @ivar rechallenge: seconds between two challenges during a session; 0 for none.
    @ivar encryption: whether MPPE must be used, may be used or stays off, unless the peer's account
        says otherwise.
    @ivar relaxable: whether an account may do without encryption that is required here.
    @ivar bits: the allowed MPPE key lengths in bits, of 40, 56 and 128; an account may allow fewer.
    @ivar stateful: whether stateful MPPE is used if the peer insists on it.
    @ivar mru: the largest information field that we receive, in octets.
    @ivar echoInterval: seconds of silence after which an Echo-Request is sent.
    @ivar echoFailures: the number of unanswered Echo-Requests that ends the link; 0 to send none.
    @ivar setupTimeout: seconds until the first network protocol must have opened.
    @ivar identity: the name and password of this end; None if it doesn't authenticate.
    @ivar encrypted: whether the tunnel encrypts: then MPPE isn't used, and required encryption
        counts as present.
    @ivar dials: whether this end has placed the call. If both ends authenticate, the keys are those
        of the exchange by which the end that dials does.
    @ivar accm: the map of control characters that the peer is asked to escape (RFC 1662 section
        7.1); None for a tunnel without escaping.
    @ivar qualityReports: the seconds between two Link-Quality-Reports that the peer is asked for; 0
        if there are none in either direction.
    @ivar qualityLoss: the part of the packets, from 0 to 1, that may be lost by these reports
        before the link ends; 0 for any.
    @ivar compression: the methods by which packets may be compressed where nothing encrypts, by
        their names in L{pptpgw.ppp.compression.METHODS}.
    @ivar mrru: the largest information field that we receive in fragments, in octets (RFC 1990); 0
        if the link can't be one of a bundle.
    @ivar shortNumbers: whether the peer is asked for short sequence numbers in fragments.
    @ivar endpoint: the class and the address of the endpoint discriminator.
    @ivar authenticating: the PPP protocol numbers of all authentication protocols, including those
        of the methods.
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
    dials: bool = False
    accm: int | None = None
    qualityReports: float = 0
    qualityLoss: float = 0
    compression: tuple[str, ...] = ()
    mrru: int = 0
    shortNumbers: bool = False
    endpoint: bytes = ENDPOINT
    authenticating: frozenset[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Computed here, because it is looked up for every frame, and the settings are made only
        # once.
        answers = self.identity.methods if self.identity is not None else ()
        numbers = ppp.AUTHENTICATION.union(one.number for one in (*self.methods, *answers))
        object.__setattr__(self, "authenticating", numbers)

    @property
    def usableMethods(self) -> tuple[IAuthenticationProtocol, ...]:
        """
        The methods that are offered to the peer. Those that earn no MPPE keys are left out if MPPE
        is required and needs keys of theirs.
        """
        if self.encryption != "require" or self.encrypted or self.dials:
            return self.methods
        return tuple(method for method in self.methods if method.earnsKeys)

    @property
    def mayCompress(self) -> bool:
        """
        Whether packets may be compressed: there is a method, and nothing encrypts.
        """
        return bool(self.compression) and self.encryption == "off" and not self.encrypted

    def forProfile(self, profile: Profile) -> LinkSettings:
        """
        Return these settings as changed by the account of a peer, which is C{profile}. An account
        may demand encryption, allow fewer key lengths, and do without encryption that isn't
        required here. With L{relaxable} it may also do without encryption that is required here.
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


class LinkPeer(TypingProtocol):
    """
    The peer of a network phase, as the LCP of its link knows it, or its bundle.
    """

    @property
    def peerMRU(self) -> int:
        """
        The largest information field that the peer can receive, in octets.
        """

    @property
    def demandedOfUs(self) -> IAuthenticationProtocol | None:
        """
        The protocol by which we authenticated to it, or None.
        """

    def sendProtocolReject(self, protocol: int, information: bytes) -> None:
        """
        See L{pptpgw.ppp.lcp.LCP.sendProtocolReject}.
        """


class LinkWatcher(TypingProtocol):
    """
    The interface of an object that a link tells how far it has come, and shows its frames.
    """

    def frame(self, isSent: bool, protocol: int, information: bytes) -> None:
        """
        Note a frame that the link sends or receives. Packets of open networks aren't shown.
        """

    def begins(self, stage: str) -> None:
        """
        Note that a stage begins: C{CCP}, or the name of a network protocol.
        """

    def passed(self, stage: str, following: str = "") -> None:
        """
        Note that a stage was passed: C{LCP} or C{CCP}.

        @param following: the name of the stage that begins now; empty if it is unknown.
        """

    def failed(self, stage: str, reason: str) -> None:
        """
        Note that a stage failed, for a reason in words.
        """


class LinkOwner(TypingProtocol):
    """
    The interface of a link's owner, which judges claims, chooses network protocols and is told
    events.
    """

    def authenticate(self, claim: Claim) -> Deferred[Grant]:
        """
        Judge a claim.

        @return: fires with the grant. It fails with L{pptpgw.error.Refused} if the claim is false,
            and with L{pptpgw.error.Unavailable} if it can't be judged at present.
        """

    def authenticated(self, keys: IKeys | None) -> Deferred[Any] | None:
        """
        Note that both ends have proved what the other one demanded, and know it.

        @param keys: the keys that were earned, or None.
        @return: None, and the network phase begins. Or else it doesn't, since the peer is to be
            left to another end: the Deferred has fired when L{pptpgw.ppp.link.Link.handOver} has
            been called, and is cancelled if LCP leaves Opened before.
        """

    def bundleOf(self, own: Any) -> Any:
        """
        Return the L{pptpgw.ppp.bundle.Bundle} that the link joins, whose peer has authenticated.

        @param own: the bundle that was made for it.
        """

    def networkProtocols(self, grant: Grant | None) -> Sequence[INetworkProtocol]:
        """
        Return the network protocols for this peer.

        @raise pptpgw.error.Refused: the peer may not have any.
        """

    def attached(self, attachments: Attachments) -> Attachments:
        """
        Return the attachments of a network protocol as the data path gets them.
        """

    def networkOpened(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        Note that C{protocol} carries packets from now on.
        """

    def networkChanged(self, protocol: INetworkProtocol, attachments: Attachments) -> None:
        """
        Note that the attachments of C{protocol}, which is open, were replaced.
        """

    def networkClosed(self, protocol: INetworkProtocol) -> None:
        """
        Note that C{protocol} carries no packets any more.
        """

    def networkFinished(self, protocol: INetworkProtocol, reason: str) -> None:
        """
        Note that C{protocol} has ended, or never opened. The link goes on if it has another
        protocol.
        """

    def linkEnded(self, cause: str) -> None:
        """
        Note that the link has ended. This is called once, and nothing is called after it.
        """
