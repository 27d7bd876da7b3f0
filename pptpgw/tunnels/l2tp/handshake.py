"""
What the two ends of a control connection tell and prove to each other before it is established (RFC
2661 sections 5.1 and 5.1.1).
"""

from __future__ import annotations

from secrets import token_bytes
from typing import Any

from pptpgw.log import readable
from pptpgw.tunnels.l2tp.delivery import PEER_WINDOW, WINDOW
from pptpgw.tunnels.l2tp.secrets import PeerTrust
from pptpgw.tunnels.l2tp.settings import ControlSettings
from pptpgw.tunnels.l2tp.wire.avp import ResultCode
from pptpgw.tunnels.l2tp.wire.code import AVP, MessageType, StopResult
from pptpgw.tunnels.l2tp.wire.message import PROTOCOL_VERSION, L2TPMessage
from pptpgw.tunnels.l2tp.wire.secret import isResponse, response

CHALLENGE_OCTETS = 16


class Unacceptable(Exception):
    """
    The peer can't have a connection; the text says why, for the log.

    @ivar result: what the peer is told.
    """

    def __init__(self, text: str, result: ResultCode) -> None:
        super().__init__(text)
        self.result = result


def _unauthorized(text: str) -> Unacceptable:
    """
    Return why the peer isn't authorized. It isn't told that.
    """
    return Unacceptable(text, ResultCode(StopResult.NOT_AUTHORIZED))


class Handshake:
    """
    The handshake of one connection, at our end.

    @ivar believed: the printable name of a LAC that is believed what it tells of callers, since it
        has proved that it knows a secret of its own; empty for any other peer.
    @ivar peerName: the peer's Host Name, printable.
    @ivar peerWindow: the peer's receive window in messages.
    """

    def __init__(self, settings: ControlSettings, localID: int, isInitiator: bool) -> None:
        """
        @param localID: the id that we assign to the connection.
        @param isInitiator: whether we open the connection. Then a secret must be agreed on with
            every peer.
        """
        self.believed = self.peerName = ""
        self.peerWindow = PEER_WINDOW
        self._settings = settings
        self._localID = localID
        self._trust = settings.trust(b"") if isInitiator else PeerTrust()
        # What we have challenged the peer with; empty if nothing is to be proved.
        self._challenge = b""

    @property
    def secret(self) -> bytes:
        """
        The secret that is agreed on with the peer; empty for none.
        """
        return self._trust.secret

    def introduction(self) -> dict[int, Any]:
        """
        Return what our SCCRQ or SCCRP says of us.
        """
        values: dict[int, Any] = {
            AVP.PROTOCOL_VERSION: PROTOCOL_VERSION,
            AVP.FRAMING_CAPABILITIES: 3,
            AVP.HOST_NAME: self._settings.name,
            AVP.ASSIGNED_TUNNEL_ID: self._localID,
            AVP.RECEIVE_WINDOW_SIZE: WINDOW,
        }
        if self.secret:
            self._challenge = token_bytes(CHALLENGE_OCTETS)
            values[AVP.CHALLENGE] = self._challenge
        return values

    def named(self, request: L2TPMessage) -> None:
        """
        Find what is agreed on with the peer, by the name in its SCCRQ.
        """
        self._trust = self._settings.trust(request.get(AVP.HOST_NAME))

    def introduced(self, message: L2TPMessage) -> None:
        """
        Take what the peer's SCCRQ or SCCRP says of it.

        @raise Unacceptable: it has another version, or may not open connections.
        """
        name: bytes = message.get(AVP.HOST_NAME)
        self.peerName = readable(name)
        self.peerWindow = max(1, message.get(AVP.RECEIVE_WINDOW_SIZE, PEER_WINDOW))
        version: int = message.get(AVP.PROTOCOL_VERSION)
        if version >> 8 != PROTOCOL_VERSION >> 8:
            code = ResultCode(StopResult.UNSUPPORTED_PROTOCOL_VERSION, PROTOCOL_VERSION)
            raise Unacceptable(f"version {version >> 8}.{version & 0xFF} of L2TP", code)
        if not self._trust.permitted:
            raise _unauthorized(f"no secret is agreed on with {self.peerName!r}")

    def answer(self, message: L2TPMessage, kind: MessageType) -> dict[int, Any]:
        """
        Return what answers the challenge in C{message}, if it has one.

        @param kind: the type of the message that answers.
        @raise Unacceptable: no secret is agreed on.
        """
        challenge = message.get(AVP.CHALLENGE)
        if challenge is None:
            return {}
        if not self.secret:
            raise _unauthorized("the peer wants a secret, and none is agreed on with it")
        return {AVP.CHALLENGE_RESPONSE: response(kind, self.secret, challenge)}

    def verify(self, message: L2TPMessage) -> None:
        """
        Verify that the peer knows the secret, if one is agreed on.

        @raise Unacceptable: it doesn't.
        """
        if self._challenge:
            claimed = message.get(AVP.CHALLENGE_RESPONSE, b"")
            if not isResponse(claimed, message.type, self.secret, self._challenge):
                raise _unauthorized("the peer doesn't know the secret")
            if self._trust.isBelieved:
                self.believed = self.peerName
