"""
Calls that are passed on: where to, what the other end is told, and the tunnels that carry them
there.

The PPP of such a call doesn't end here. Its frames pass between the channel of the caller and that
of a second call, which this gateway places.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from pptpgw.interfaces.authentication import Claim
from pptpgw.interfaces.tunnel import ICall, ICallOwner


@dataclass(frozen=True, slots=True)
class Forward:
    """
    An end to which a call may be passed on.

    @ivar tunnel: the tunnel that leads there: the name of its plugin, or the number that it has in
        RADIUS (Tunnel-Type, RFC 2868 section 3.1).
    @ivar endpoint: the address of the other end, in text, or its host name.
    @ivar secret: the secret that both ends know; empty for none.
    @ivar name: the name by which we introduce ourselves; empty: the tunnel's own.
    @ivar peerName: the name by which the other end must introduce itself; empty for any.
    @ivar source: the address of ours to call from, in text; empty: the system chooses.
    @ivar assignment: calls of which everything else is the same share a tunnel only if this is the
        same, too (Tunnel-Assignment-ID, RFC 2868 section 3.6).
    @ivar preference: those with lower numbers are tried first.
    """

    tunnel: str | int
    endpoint: str
    secret: bytes = field(default=b"", repr=False)
    name: str = ""
    peerName: str = ""
    source: str = ""
    assignment: str = ""
    preference: int = 0


@dataclass(frozen=True, slots=True)
class Negotiated:
    """
    What was negotiated with a caller before its call was passed on, for the other end to take over
    (RFC 2661 section 4.4.5). The options are those of LCP, as octets.

    @ivar firstReceived: the options of the caller's first Configure-Request; empty if LCP hasn't
        opened.
    @ivar lastReceived: those of the Configure-Request that we acknowledged.
    @ivar lastSent: those of the Configure-Request that the caller acknowledged.
    @ivar claim: the caller's last claim, with its method, name, challenge, identifier and response;
        None if it has made none.
    """

    firstReceived: bytes = b""
    lastReceived: bytes = b""
    lastSent: bytes = b""
    claim: Claim | None = None


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
