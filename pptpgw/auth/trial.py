"""
A trial of a login without a call: both ends of an authentication protocol in one process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.python.failure import Failure
from zope.interface import implementer

from pptpgw.error import CallError
from pptpgw.interfaces import (
    Claim,
    Grant,
    IAuthenticationProtocol,
    IExchange,
    IKeys,
    IPeerResults,
    IVerdicts,
)

Authenticate = Callable[[Claim], Deferred[Grant]]


@implementer(IVerdicts, IPeerResults)
class Trial:
    """
    One login by one protocol: the authenticator challenges the peer, the peer answers with its
    password, and the claim is judged as that of a caller is. The peer verifies what the
    authenticator proves.

    @ivar finished: fires with the L{Grant} when both ends are content. It fails with the exception
        by which the claim was refused, and with L{CallError} if an end gave up for another reason.
        Cancelling it stops both ends.
    """

    def __init__(
        self,
        clock: Any,
        method: IAuthenticationProtocol,
        name: bytes,
        password: bytes,
        authenticate: Authenticate,
    ) -> None:
        """
        @param authenticate: judges the claim.
        """
        self.finished: Deferred[Grant] = Deferred(self._cancelled)
        self._clock = clock
        self._judge = authenticate
        self._grant: Grant | None = None
        self._verdict: Failure | None = None
        self._over = False
        self._authenticator: Any = method.makeAuthenticator(
            clock,
            lambda packet: self._pass(self._peer, packet),
            b"pptpgw",
            self._authenticate,
            self,
            0,
        )
        self._peer: Any = method.makePeer(
            clock,
            lambda packet: self._pass(self._authenticator, packet),
            name,
            password,
            self,
        )

    def start(self) -> Deferred[Grant]:
        """
        Begin, and return L{finished}.
        """
        self._peer.start()
        self._authenticator.start()
        return self.finished

    # IVerdicts, IPeerResults

    def granted(self, grant: Grant) -> None:
        """
        See L{IVerdicts.granted}.
        """
        self._grant = grant

    def authenticated(self, grant: Grant) -> None:
        """
        See L{IVerdicts.authenticated}: the peer must be content too.
        """

    def proven(self, keys: IKeys | None) -> None:
        """
        See L{IPeerResults.proven}.
        """
        self._end(self._grant)

    def refused(self, reason: str) -> None:
        """
        See L{IVerdicts.refused} and L{IPeerResults.refused}.
        """
        self._end(self._verdict or Failure(CallError(reason)))

    # What is private

    def _authenticate(self, claim: Claim) -> Deferred[Grant]:
        # The first verdict decides: the peer has only this password.
        judged = maybeDeferred(self._judge, claim)

        def failed(failure: Failure) -> Failure:
            self._verdict = failure
            self._clock.callLater(0, self._end, failure)
            return failure

        return judged.addErrback(failed)

    def _pass(self, end: IExchange, packet: bytes) -> None:
        self._clock.callLater(0, self._arrive, end, packet)

    def _arrive(self, end: IExchange, packet: bytes) -> None:
        if not self._over:
            end.received(packet)

    def _end(self, result: Grant | Failure | None) -> None:
        if self._over:
            return
        self._stop()
        if isinstance(result, Failure):
            self.finished.errback(result)
        else:
            assert result is not None
            self.finished.callback(result)

    def _stop(self) -> None:
        self._over = True
        self._authenticator.stop()
        self._peer.stop()

    def _cancelled(self, finished: Deferred[Grant]) -> None:
        self._stop()
        finished.errback(CancelledError())
