"""
The authentication of both ends of a link, while LCP is open: the exchange by which the peer
authenticates, and the one by which this end does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.interfaces import IReactorTime

from pptpgw.error import Malformed
from pptpgw.interfaces import (
    IAuthenticatorExchange,
    IChangingExchange,
    IExchange,
    IPeerResults,
    IResumableExchange,
    IVerdicts,
    ProxyClaim,
)
from pptpgw.ppp.exchange import Authenticate
from pptpgw.ppp.lcp import LCP
from pptpgw.ppp.settings import LinkSettings

_REQUEST = b"\x01"
"""
The code of a Challenge of CHAP and of a Request of EAP.
"""


class Authentication:
    """
    The exchanges that LCP has agreed on; there may be none. If both ends authenticate, the end that
    was called does so after the other one.

    @ivar isDemanded: whether the peer must authenticate.
    """

    __slots__ = (
        "_authenticator",
        "_exchanges",
        "_held",
        "_method",
        "_peer",
        "_pending",
        "_waits",
        "isDemanded",
    )

    def __init__(
        self,
        clock: IReactorTime,
        settings: LinkSettings,
        lcp: LCP,
        send: Callable[[int, bytes], None],
        authenticate: Authenticate,
        verdicts: IVerdicts,
        results: IPeerResults,
    ) -> None:
        """
        @param lcp: LCP, which is open.
        @param send: sends a packet of the given protocol.
        @param authenticate: judges claims of the peer.
        @param verdicts: told whether the peer has authenticated.
        @param results: told whether this end has.
        """
        # Each with the protocol number of its packets.
        self._exchanges: list[tuple[int, IExchange]] = []
        self._authenticator: IAuthenticatorExchange | None = None
        self._peer: IExchange | None = None
        # A stranger that calls gets no packet from which it could guess our password.
        self._waits = lcp.demanded is not None and not settings.dials
        # What the peer has asked meanwhile.
        self._held: bytes | None = None
        self._method = demanded = lcp.demanded
        self.isDemanded = demanded is not None
        if demanded is not None:
            self._authenticator = demanded.makeAuthenticator(
                clock,
                partial(send, demanded.number),
                settings.name,
                authenticate,
                verdicts,
                settings.rechallenge,
            )
            self._exchanges.append((demanded.number, self._authenticator))
        demandedOfUs, identity = lcp.demandedOfUs, settings.identity
        if demandedOfUs is not None and identity is not None:
            sendOurs = partial(send, demandedOfUs.number)
            peer = demandedOfUs.makePeer(clock, sendOurs, identity.name, identity.password, results)
            if identity.newPassword and IChangingExchange.providedBy(peer):
                IChangingExchange(peer).mayChange(identity.newPassword, identity.changed)
            self._exchanges.append((demandedOfUs.number, peer))
            self._peer = peer
        # One more, for L{start}: nothing can follow before all exchanges were started.
        self._pending = len(self._exchanges) + 1

    def start(self, claim: ProxyClaim | None) -> None:
        """
        Start the exchanges. L{proved} must be called afterwards.

        @param claim: the claim that the peer has made to another end, which is judged if it fits;
            None if there is none.
        """
        # If the claim is judged at once, L{believed} starts the exchange of this end.
        waits, authenticator = self._waits, self._authenticator
        isResumed = claim is not None and self._resumes(claim)
        if authenticator is not None and not isResumed:
            authenticator.start()
        if self._peer is not None and not waits:
            self._peer.start()

    def received(self, protocol: int, packet: bytes) -> bool:
        """
        Pass a packet to the exchanges of its protocol. If both ends authenticate by CHAP, each
        exchange handles the codes of its own direction.

        @return: whether there is one.
        """
        exchanges = [exchange for number, exchange in self._exchanges if number == protocol]
        for exchange in exchanges:
            if exchange is not self._peer or not self._waits:
                exchange.received(packet)
            elif packet[:1] == _REQUEST:
                self._held = packet
        return bool(exchanges)

    def believed(self) -> None:
        """
        Let this end authenticate, since the peer has: answer what it has asked, and asks from now
        on.
        """
        peer = self._peer
        if peer is None or not self._waits:
            return
        self._waits = False
        held, self._held = self._held, None
        peer.start()
        if held is not None:
            peer.received(held)

    def proved(self) -> bool:
        """
        Count that one exchange, or the start of all, is done.

        @return: whether that was the last.
        """
        self._pending -= 1
        return not self._pending

    def repeat(self) -> None:
        """
        Tell the peer once more that it is let in.
        """
        if self._authenticator is not None:
            self._authenticator.repeat()

    def stop(self) -> None:
        """
        Stop the exchanges of both ends, and forget them. Their timers end.
        """
        exchanges, self._exchanges = self._exchanges, []
        self._authenticator = self._peer = None
        for _, exchange in exchanges:
            exchange.stop()

    def _resumes(self, claim: ProxyClaim) -> bool:
        """
        Have the exchange of the peer take the claim that the peer has made to another end, if it
        fits.

        @return: whether it does.
        """
        exchange, method = self._authenticator, self._method
        if method is None:
            return False
        if (method.number, method.algorithm) != (claim.number, claim.algorithm):
            return False
        if not IResumableExchange.providedBy(exchange):
            return False
        try:
            IResumableExchange(exchange).resume(
                claim.identifier, claim.name, claim.challenge, claim.response
            )
        except Malformed:
            return False
        return True
