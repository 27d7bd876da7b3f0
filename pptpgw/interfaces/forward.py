"""
Calls that this gateway places: those that are passed on, with what the other end is told of them,
and those that it dials; the tunnels that carry them; and calls that others pass on to this gateway.

The PPP of a call that is passed on doesn't end here. Its frames pass between the channel of the
caller and that of a second call, which this gateway places.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from pptpgw.interfaces.authentication import Claim
from pptpgw.interfaces.tunnel import ICall, ICallOwner


@dataclass(frozen=True, slots=True)
class Forward:
    """
    An end to which a call may be placed.

    @ivar tunnel: the tunnel that leads there: the name of its plugin, or the number that it has in
        RADIUS (Tunnel-Type, RFC 2868 section 3.1).
    @ivar endpoint: the address of the other end, in text, or its host name, and a port behind a
        colon if it isn't the usual one; for a line Twisted's client endpoint string.
    @ivar secret: the secret that both ends know; empty for none.
    @ivar name: the name by which we introduce ourselves; empty: the tunnel's own.
    @ivar peerName: the name by which the other end must introduce itself; empty for any.
    @ivar source: the address of ours to call from, in text; empty: the system chooses.
    @ivar assignment: calls of which everything else is the same share a tunnel only if this is the
        same, too (Tunnel-Assignment-ID, RFC 2868 section 3.6).
    @ivar preference: those with lower numbers are tried first.
    @ivar number: the telephone number that the other end, or a modem, is to dial; empty for none.
    @ivar ca: the file with the authorities that certificates of the other end may be by; empty:
        those of the system.
    @ivar fingerprint: the SHA-256 of the only certificate that is believed; empty: any by C{ca}.
    """

    tunnel: str | int
    endpoint: str
    secret: bytes = field(default=b"", repr=False)
    name: str = ""
    peerName: str = ""
    source: str = ""
    assignment: str = ""
    preference: int = 0
    number: str = ""
    ca: str = ""
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class ProxyClaim:
    """
    The claim of a caller as the end that passes its call on tells it: a L{Claim} without the
    protocol's plugin, which the other end may not have.

    @ivar number: the PPP protocol number of the authentication protocol.
    @ivar algorithm: see L{pptpgw.interfaces.IAuthenticationProtocol}.
    """

    number: int
    algorithm: bytes
    name: bytes
    identifier: int
    challenge: bytes = field(repr=False)
    response: bytes = field(repr=False)

    @classmethod
    def of(cls, claim: Claim) -> ProxyClaim:
        """
        Return what is told of C{claim}.
        """
        method = claim.method
        return cls(
            method.number,
            method.algorithm,
            claim.name,
            claim.identifier,
            claim.challenge,
            claim.response,
        )


@dataclass(frozen=True, slots=True)
class Negotiated:
    """
    What was negotiated with a caller before its call was passed on, for the other end to take over
    (RFC 2661 section 4.4.5). The options are those of LCP, as octets.

    @ivar firstReceived: the options of the caller's first Configure-Request; empty if LCP hasn't
        opened.
    @ivar lastReceived: those of the Configure-Request that the end that passes the call on has
        acknowledged.
    @ivar lastSent: those of the Configure-Request that the caller has acknowledged.
    @ivar claim: the caller's last claim; None if it has made none. The caller hasn't been told a
        verdict, unless its tunnel is bound to the authentication (L{pptpgw.interfaces.IBoundCall}).
    """

    firstReceived: bytes = b""
    lastReceived: bytes = b""
    lastSent: bytes = b""
    claim: ProxyClaim | None = None


class IProxiedCall(ICall):
    """
    A call that another end has passed on to this gateway.
    """

    negotiated: Negotiated | None = Attribute(
        "What the other end says that it has negotiated with the caller, once the call is "
        "established; None if it says nothing, or isn't to be trusted."
    )


class IJoinedCall(ICall):
    """
    A call that may be joined to another one, whose line concerns the other end if it has one.
    """

    setACCM: Callable[[int, int], object] | None = Attribute(
        "Called with the maps of the characters that the other end says are to be escaped on the "
        "line (RFC 1662 section 7.1): of what is sent by it and of what comes from it; None to "
        "ignore them. The owner of the call sets it, and it is None again after the end."
    )

    def joined(other: ICall) -> None:
        """
        Note which call this one is joined to. The other end is told of errors on its line, until
        this call ends. This is called once at most.
        """


class IForwarder(Interface):
    """
    A tunnel (L{pptpgw.interfaces.ITunnel}) that places calls, too, to pass others on.
    """

    kind = Attribute("The kind of tunnel, a L{pptpgw.interfaces.TunnelKind}.")

    def place(
        forward: Forward, negotiated: Negotiated, caller: ICall, owner: ICallOwner
    ) -> Deferred[ICall]:
        """
        Place a call to the end that C{forward} names.

        @param caller: the call that is passed on.
        @param owner: told when the call ends after it was established. It isn't told that the call
            is established.
        @return: fires with the call once it can carry frames. The channel must be opened at once,
            as the other end may send. It fails with L{pptpgw.error.PPTPGWError} if the other end
            can't be reached or refuses. To cancel it gives the call up.
        """


class IDialler(Interface):
    """
    A tunnel (L{pptpgw.interfaces.ITunnel}) that dials: it places calls whose PPP ends here, as a
    client does.
    """

    kind = Attribute("The kind of tunnel, a L{pptpgw.interfaces.TunnelKind}.")

    def dial(end: Forward, owner: ICallOwner) -> Deferred[ICall]:
        """
        Place a call to C{end}, by a connection of its own.

        @param owner: see L{IForwarder.place}.
        @return: see L{IForwarder.place}. It may also fail with an error of Twisted's endpoints.
        """
