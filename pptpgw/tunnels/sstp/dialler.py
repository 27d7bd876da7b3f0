"""
The calls by SSTP that the gateway dials.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from pptpgw.error import CallError, PPTPGWError
from pptpgw.interfaces import Forward, ICall, ICallOwner, Negotiated
from pptpgw.tunnels.client import hostAndPort
from pptpgw.tunnels.concentrator import Leg
from pptpgw.tunnels.sstp.client import PORT, ClientConnection, SSTPClient
from pptpgw.tunnels.sstp.trust import Trust

TIMEOUT = 30.0
"""
The most seconds for TCP, TLS and HTTP. Who dials may give up earlier.
"""


class SSTPDialler:
    """
    The connections by which calls were or are being placed, each of which has one call.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        # Each call with its connection, or with the attempt to make one.
        self._legs: dict[Leg, Deferred[Any] | ClientConnection] = {}

    def dial(self, end: Forward, owner: ICallOwner) -> Deferred[ICall]:
        """
        See L{pptpgw.interfaces.IDialler.dial}.

        @raise pptpgw.error.ConfigurationError: the address or the file with authorities can't be
            used.
        """
        client = SSTPClient(
            self._reactor,
            *hostAndPort(end.endpoint.split(":"), PORT),
            Trust(end.ca, end.fingerprint),
            TIMEOUT,
            end.source,
        )
        leg = Leg(Negotiated(), None, owner, self._over)
        self._legs[leg] = connecting = client.connect()
        connecting.addCallbacks(self._connected, self._failed, (leg,), errbackArgs=(leg,))
        return leg.placed

    def stop(self) -> None:
        """
        End every connection at once.
        """
        for one in tuple(self._legs.values()):
            if isinstance(one, Deferred):
                one.cancel()
            else:
                one.abort("the gateway stops")

    def _connected(self, connection: ClientConnection, leg: Leg) -> None:
        if leg not in self._legs:
            connection.abort("given up")
            return
        self._legs[leg] = connection
        try:
            leg.call = connection.place(leg)
        except PPTPGWError as error:
            self._over(leg)
            leg.failed(str(error))

    def _failed(self, failure: Failure, leg: Leg) -> None:
        self._legs.pop(leg, None)
        if failure.check(CancelledError) is not None:
            leg.failed("given up")
        elif not leg.placed.called:
            error = failure.value
            known = isinstance(error, PPTPGWError)
            leg.placed.errback(error if known else CallError(failure.getErrorMessage()))

    def _over(self, leg: Leg) -> None:
        one = self._legs.pop(leg, None)
        if isinstance(one, Deferred):
            one.cancel()
