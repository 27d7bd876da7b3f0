"""
The guard of a call whose tunnel is bound to the authentication here (L{IBoundCall}) and which is
passed on: it lets no frame pass by which its caller would authenticate anew.

The caller has its verdict before the other end has the claim. So verdicts of that end don't pass: a
success is left out, and a failure ends the call. The tunnel would prove nothing about a second
authentication ([MS-SSTP] has one binding for each connection, of the first one): whoever has an
account here could relay that of somebody else. So a challenge ends the call, too, and so does a
Configure-Request of LCP, by either end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pptpgw.datapath.passage import PassOn
from pptpgw.ppp.wire import ppp

REPEATED = "authentication that was over before the call was passed on"

_BEYOND = "the end that the call passed to"

_VERDICTS = {ppp.PAP: (2, 3), ppp.CHAP: (3, 4), ppp.EAP: (3, 4)}
"""
The codes of success and failure, by the authentication protocol.
"""


class Guard:
    """
    The guard of one call.
    """

    __slots__ = ("_authenticating", "_back", "_discard", "_end", "_onwards")

    def __init__(
        self,
        onwards: PassOn,
        back: PassOn,
        authenticating: frozenset[int],
        discard: Callable[[str], object],
        end: Callable[[str], object],
    ) -> None:
        """
        @param onwards: takes frames for the other end.
        @param back: takes frames for the caller.
        @param authenticating: the PPP protocol numbers of all authentication protocols.
        @param discard: called with the reason for each frame that is left out.
        @param end: called with the reason, to end the call.
        """
        self._onwards = onwards
        self._back = back
        self._authenticating = authenticating
        self._discard = discard
        self._end = end

    def onwards(self, protocol: int, frames: Sequence[bytes]) -> None:
        """
        Pass frames of the caller.
        """
        if protocol < ppp.LCP:
            self._onwards(protocol, frames)
        elif protocol == ppp.LCP:
            self._negotiated(self._onwards, "the caller", frames)
        elif protocol not in self._authenticating:
            self._onwards(protocol, frames)
        else:
            for _ in frames:
                self._discard(REPEATED)

    def back(self, protocol: int, frames: Sequence[bytes]) -> None:
        """
        Pass frames of the other end.
        """
        if protocol < ppp.LCP:
            self._back(protocol, frames)
        elif protocol == ppp.LCP:
            self._negotiated(self._back, _BEYOND, frames)
        elif protocol not in self._authenticating:
            self._back(protocol, frames)
        else:
            self._judged(protocol, frames)

    def _negotiated(self, passOn: PassOn, who: str, frames: Sequence[bytes]) -> None:
        for frame in frames:
            if frame[:1] == bytes((ppp.CONFIGURE_REQUEST,)):
                self._end(f"{who} negotiates LCP anew, and the call is bound to what was before")
                return
            passOn(ppp.LCP, (frame,))

    def _judged(self, protocol: int, frames: Sequence[bytes]) -> None:
        success, failure = _VERDICTS.get(protocol, (0, 0))
        for frame in frames:
            code = frame[0] if frame else 0
            if not code or code != success:
                verb = "refuses its caller" if code == failure else "asks its caller anew who it is"
                self._end(f"{_BEYOND} {verb}")
                return
            self._discard(REPEATED)
