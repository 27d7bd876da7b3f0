"""
The server's state machine ([MS-SSTP] section 3.3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from secrets import token_bytes

from twisted.internet.interfaces import IReactorTime

from pptpgw.error import Malformed
from pptpgw.sessions.cause import Cause, Termination
from pptpgw.sessions.remedy import Remedy
from pptpgw.tunnels.sstp.binding import HASHES, NO_KEY, fault
from pptpgw.tunnels.sstp.machine import Machine, MachineOwner, State
from pptpgw.tunnels.sstp.wire import (
    NONCE_OCTETS,
    PPP,
    CryptoBindingRequest,
    Identifier,
    Kind,
    Message,
    Status,
    StatusInfo,
    decodeCryptoBinding,
    decodeStatusInfo,
)

NAKS = 3
"""
The most Call Connect Naks that are sent on one connection.
"""

# The most attributes that one Nak is about, so that it fits into a packet.
_REJECTIONS = 16


class ServerMachine(Machine):
    """
    The machine of a connection that a client opened.

    The binding can be verified only when its key is known. A Call Connected that comes before that
    waits, within the time that the client has for it.
    """

    def __init__(
        self,
        clock: IReactorTime,
        owner: MachineOwner,
        certificate: bytes,
        random: Callable[[int], bytes] = token_bytes,
    ) -> None:
        """
        @param certificate: the certificate that the client was shown, in DER.
        @param random: makes the nonce.
        """
        super().__init__(clock, owner)
        self._certificate = certificate
        self._random = random
        self._nonce = b""
        self._naks = 0
        self._keys: Sequence[bytes] = ()
        self._waiting: tuple[Message, bytes] | None = None

    def start(self) -> None:
        """
        Wait for the client's Call Connect Request, since its HTTP request was answered.
        """
        self._negotiating(State.REQUEST_PENDING)

    def authenticated(self, keys: Sequence[bytes]) -> None:
        """
        Note that the caller has authenticated.

        @param keys: the L{pptpgw.interfaces.IKeys.bindings} that were earned; empty for none.
        """
        self._keys = keys or (NO_KEY,)
        waiting, self._waiting = self._waiting, None
        if waiting is not None and self.state is State.CONNECTED_PENDING:
            self._verify(*waiting)

    def _negotiate(self, message: Message, packet: bytes) -> bool:
        if self.state is State.REQUEST_PENDING and message.kind == Kind.CALL_CONNECT_REQUEST:
            self._requested(message)
            return True
        if self.state is State.CONNECTED_PENDING and message.kind == Kind.CALL_CONNECTED:
            if self._keys:
                self._verify(message, packet)
                return True
            if self._waiting is None:
                self._waiting = message, packet
                return True
        return False

    def _requested(self, message: Message) -> None:
        rejections = [one for one, _ in zip(_rejected(message), range(_REJECTIONS), strict=False)]
        if not rejections:
            self._nonce = self._random(NONCE_OCTETS)
            request = CryptoBindingRequest(HASHES, self._nonce).encode()
            self._negotiating(State.CONNECTED_PENDING)
            self._owner.send(Message(Kind.CALL_CONNECT_ACK, (request,)).encode())
            if self.state is State.CONNECTED_PENDING:
                self._owner.linkUp()
        elif self._naks < NAKS:
            self._naks += 1
            self._negotiating(State.REQUEST_PENDING)
            self._send(Kind.CALL_CONNECT_NAK, *rejections)
        else:
            text = "the caller repeats a request that isn't accepted"
            cause = Cause(text, Termination.USER_ERROR)
            self._abort(Identifier.STATUS_INFO, Status.RETRY_COUNT_EXCEEDED, cause)

    def _verify(self, message: Message, packet: bytes) -> None:
        """
        Verify the client's binding, and let packets pass if it holds.
        """
        value = message.value(Identifier.CRYPTO_BINDING)
        try:
            binding = decodeCryptoBinding(value or b"")
            acceptable = len(message.attributes) == 1
        except Malformed:
            acceptable = False
        if not acceptable:
            cause = Cause("the caller sent no crypto binding", Termination.USER_ERROR)
            status = Status.ATTRIBUTE_NOT_SUPPORTED_IN_MESSAGE
            self._abort(Identifier.STATUS_INFO, status, cause)
            return
        why = fault(packet, binding, self._nonce, self._certificate, self._keys)
        if not why:
            self._connected()
            self._owner.established()
            return
        self._owner.bindingFailed(why)
        text = f"the crypto binding doesn't hold, perhaps somebody stands between: {why}"
        cause = Cause(text, Termination.USER_ERROR, Remedy.BINDING)
        self._abort(Identifier.CRYPTO_BINDING, Status.VALUE_NOT_SUPPORTED, cause)


def _rejected(message: Message) -> Iterator[StatusInfo]:
    """
    Iterate over what isn't acceptable in a Call Connect Request (section 3.3.5.2.2).
    """
    seen = set[int]()
    for identifier, value in message.attributes:
        status = _statusOf(identifier, value)
        if identifier in seen:
            status = Status.DUPLICATE_ATTRIBUTE
        seen.add(identifier)
        if status is not Status.NO_ERROR:
            yield StatusInfo(identifier, status, value)
    if Identifier.ENCAPSULATED_PROTOCOL not in seen:
        yield StatusInfo(Identifier.STATUS_INFO, Status.REQUIRED_ATTRIBUTE_MISSING)


def _statusOf(identifier: int, value: bytes) -> Status:
    """
    Return what is to be said of an attribute of a Call Connect Request.
    """
    if identifier == Identifier.ENCAPSULATED_PROTOCOL:
        if len(value) != 2:
            return Status.INVALID_ATTRIBUTE_VALUE_LENGTH
        isPPP = int.from_bytes(value, "big") == PPP
        return Status.NO_ERROR if isPPP else Status.VALUE_NOT_SUPPORTED
    if identifier != Identifier.STATUS_INFO:
        return Status.UNRECOGNIZED_ATTRIBUTE
    try:
        status = decodeStatusInfo(value).status
    except Malformed:
        return Status.INVALID_ATTRIBUTE_VALUE_LENGTH
    return Status.STATUS_INFO_NOT_SUPPORTED_IN_MESSAGE if status else Status.NO_ERROR
