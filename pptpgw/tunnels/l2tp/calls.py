"""
The calls of one control connection: which of them a message belongs to, and how many there may be.
"""

from __future__ import annotations

from pptpgw.error import Exhausted
from pptpgw.interfaces import UNKNOWN_STATIONS, ICallOwner, Stations
from pptpgw.tunnels.l2tp.call import L2TPCall, L2TPCallConnection
from pptpgw.tunnels.l2tp.details import NO_DETAILS, CallDetails, stationsOf
from pptpgw.tunnels.l2tp.ids import unused
from pptpgw.tunnels.l2tp.statetable import CallKind
from pptpgw.tunnels.l2tp.wire.code import AVP, MessageType
from pptpgw.tunnels.l2tp.wire.message import L2TPMessage


class CallTable(dict[int, L2TPCall]):
    """
    The calls that there are, by the session ids that we assigned.

    @ivar wasUsed: whether there has been a call.
    """

    def __init__(self, connection: L2TPCallConnection) -> None:
        super().__init__()
        self.wasUsed = False
        # None once the connection is closed.
        self._connection: L2TPCallConnection | None = connection
        self._serial = 0

    @property
    def isFull(self) -> bool:
        """
        Whether there are as many calls as are allowed.
        """
        return self._connection is None or len(self) >= self._connection.settings.maximumCalls

    @property
    def framesReceived(self) -> int:
        """
        How many frames came by the calls that there are.
        """
        return sum(call.framesReceived for call in self.values())

    def place(self, kind: CallKind, owner: ICallOwner, details: CallDetails) -> L2TPCall:
        """
        Make a call that this end asks for.

        @raise Exhausted: there are as many as are allowed.
        """
        if self.isFull:
            raise Exhausted(f"{self._connection!r} has as many calls as are allowed")
        self._serial += 1
        return self._add(kind, self._serial, 0, owner, details)

    def answer(self, kind: CallKind, request: L2TPMessage) -> L2TPCall | None:
        """
        Make a call that the peer asks for; there may be more of them than are allowed.

        @return: the call; None if it asks for one that there is already.
        """
        peerID = request.get(AVP.ASSIGNED_SESSION_ID)
        if self._withPeerID(peerID) is not None:
            return None
        assert self._connection is not None
        isBelieved = bool(self._connection.believed)
        stations = stationsOf(request) if isBelieved else UNKNOWN_STATIONS
        serial = request.get(AVP.CALL_SERIAL_NUMBER)
        return self._add(kind, serial, peerID, stations=stations)

    def find(self, sessionID: int, message: L2TPMessage) -> L2TPCall | None:
        """
        Return the call that a message belongs to; None if there is none.

        @param sessionID: the session id in its header.
        """
        call = self.get(sessionID)
        if call is None and message.type == MessageType.CDN:
            # The peer doesn't know our id yet, or doesn't use it.
            call = self._withPeerID(message.get(AVP.ASSIGNED_SESSION_ID))
        return call

    def finish(self, cause: str) -> None:
        """
        End all calls without sending anything.
        """
        for call in list(self.values()):
            call.finish(cause)

    def end(self) -> None:
        """
        Have no calls any more, since the connection is closed.
        """
        self._connection = None

    def _withPeerID(self, peerID: int) -> L2TPCall | None:
        return next((call for call in self.values() if call.peerID == peerID), None)

    def _add(
        self,
        kind: CallKind,
        serial: int,
        peerID: int,
        owner: ICallOwner | None = None,
        details: CallDetails = NO_DETAILS,
        stations: Stations = UNKNOWN_STATIONS,
    ) -> L2TPCall:
        assert self._connection is not None
        call = L2TPCall(
            self._connection, kind, unused(self), serial, peerID, owner, details, stations
        )
        self[call.localID] = call
        self.wasUsed = True
        return call
