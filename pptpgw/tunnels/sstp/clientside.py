"""
The client's state machine ([MS-SSTP] section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime

from pptpgw.error import Malformed
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.tunnels.sstp.binding import NO_KEY, Hash, callConnected, strongest
from pptpgw.tunnels.sstp.machine import Machine, MachineOwner, State
from pptpgw.tunnels.sstp.wire import (
    PPP,
    Attribute,
    Identifier,
    Kind,
    Message,
    Status,
    decodeCryptoBindingRequest,
)

RETRIES = 3
"""
How often a Call Connect Request is repeated that the server didn't accept.
"""

_REQUEST = Message(
    Kind.CALL_CONNECT_REQUEST,
    (Attribute(Identifier.ENCAPSULATED_PROTOCOL, PPP.to_bytes(2, "big")),),
).encode()


class ClientMachine(Machine):
    """
    The machine of a connection that we opened.
    """

    def __init__(
        self,
        clock: IReactorTime,
        owner: MachineOwner,
        certificate: bytes,
        confirmed: Callable[[], object] = lambda: None,
    ) -> None:
        """
        @param certificate: the certificate that the server has shown, in DER.
        @param confirmed: called when the server shows that the binding holds.
        """
        super().__init__(clock, owner)
        self._certificate = certificate
        self._confirmed = confirmed
        self._retries = 0
        self._nonce = b""
        self._hash = Hash.SHA256

    def start(self) -> None:
        """
        Send the Call Connect Request, since the server has answered the HTTP request.
        """
        self._negotiating(State.REQUEST_SENT)
        self._owner.send(_REQUEST)

    def authenticated(self, keys: Sequence[bytes]) -> None:
        """
        Send the binding, since the authentication is over on both ends. This does nothing after the
        first time.

        @param keys: the L{pptpgw.interfaces.IKeys.bindings} that were earned; empty for none.
        """
        if self.state is State.ACK_RECEIVED:
            key = keys[0] if keys else NO_KEY
            self._connected()
            self._owner.established()
            self._owner.send(callConnected(self._hash, self._nonce, self._certificate, key))
            # No server answers this before it has found that the binding holds.
            self._send(Kind.ECHO_REQUEST)

    def _answered(self) -> None:
        confirmed, self._confirmed = self._confirmed, lambda: None
        confirmed()

    def _negotiate(self, message: Message, packet: bytes) -> bool:
        if self.state is not State.REQUEST_SENT:
            return False
        if message.kind == Kind.CALL_CONNECT_ACK:
            self._acknowledged(message)
        elif message.kind == Kind.CALL_CONNECT_NAK:
            self._refused()
        else:
            return False
        return True

    def _acknowledged(self, message: Message) -> None:
        value = message.value(Identifier.CRYPTO_BINDING_REQUEST)
        try:
            request = decodeCryptoBindingRequest(value or b"")
            chosen = strongest(request.hashes)
        except Malformed:
            chosen = None
        if chosen is None:
            text = "the server asks for no crypto binding that is known here"
            cause = Cause(text, Termination.USER_ERROR)
            self._abort(Identifier.CRYPTO_BINDING_REQUEST, Status.VALUE_NOT_SUPPORTED, cause)
            return
        self._hash, self._nonce = chosen, request.nonce
        self._negotiating(State.ACK_RECEIVED)
        self._owner.linkUp()

    def _refused(self) -> None:
        if self._retries < RETRIES:
            self._retries += 1
            self.start()
            return
        cause = Cause("the server doesn't accept PPP", Termination.USER_ERROR)
        self._abort(Identifier.STATUS_INFO, Status.RETRY_COUNT_EXCEEDED, cause)
