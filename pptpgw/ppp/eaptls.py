"""
EAP-TLS (RFC 5216, and RFC 9190 for TLS 1.3), either end, with the octets of TLS in memory.

The rules:

 - A message of TLS has at most L{MESSAGE_OCTETS}, whatever it announces.  It is cut in fragments;
   each but the last is answered with an empty packet (section 2.1.5).
 - Before the account in the certificate is found good, the peer gets no Finished (TLS 1.2) and no
   protected success (TLS 1.3).
 - An alert is sent, and answered, before the Failure (section 2.1.3).
 - The keys are the first octets of the halves of the Master Session Key (RFC 5216 section 2.3, RFC
   9190 section 2.3, RFC 3079 section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from pptpgw.error import Malformed, Refused
from pptpgw.interfaces import Claim, Grant, IKeys
from pptpgw.ppp.eap import PACKET_OCTETS, EAPAuthenticator
from pptpgw.ppp.mppe import StartKeys
from pptpgw.wire import eap
from pptpgw.wire.eap import Fragment

MESSAGE_OCTETS = 1 << 16
# What is left of a packet for TLS: without its header, type, flags and length.
_FRAGMENT_OCTETS = PACKET_OCTETS - 10
_READ_OCTETS = 1 << 14

_EXPORT_12 = b"client EAP encryption"
_EXPORT_13 = b"EXPORTER_EAP_TLS_Key_Material"
# The Master Session Key and the extended one.  Only the first is used, but with TLS 1.3 the length
# goes into the derivation.
_KEY_OCTETS = 128
_HALF = 32
_LONG, _SHORT = 16, 8
# RFC 9190 section 2.1.1: what the server sends once it has nothing more to object.
_COMMITMENT = b"\0"


@dataclass(frozen=True, slots=True)
class CertifiedClaim(Claim):
    """
    A certificate that was verified; C{response} is it, in DER.

    @ivar keys: what this earns once the account is found good.
    """

    # The signer of the certificate chose the whole name: C{PARTNER\\alice} doesn't mean C{alice}.
    domain: ClassVar[bool] = False
    keys: IKeys


class Reassembly:
    """
    The fragments of one message of the peer's.
    """

    __slots__ = ("_limit", "_octets", "_total")

    def __init__(self) -> None:
        self._octets = bytearray()
        self._total: int | None = None

    def add(self, content: bytes) -> bytes | None:
        """
        The next fragment; gives the whole message with the last one.

        @raise Malformed: it is larger than announced or allowed, shorter than announced, or a
            fragment brings nothing.
        """
        fragment = Fragment.decode(content)
        if self._total is None:
            self._total = fragment.total
        limit = MESSAGE_OCTETS if self._total is None else min(self._total, MESSAGE_OCTETS)
        self._octets += fragment.octets
        if len(self._octets) > limit or (self._total or 0) > MESSAGE_OCTETS:
            raise Malformed(f"a TLS message of more than {limit} octets")
        if fragment.more:
            if not fragment.octets:
                raise Malformed("a fragment with nothing in it")
            return None
        if self._total is not None and len(self._octets) != self._total:
            raise Malformed(f"{len(self._octets)} octets of a TLS message of {self._total}")
        return bytes(self._octets)


def fragments(message: bytes) -> Iterator[Fragment]:
    """
    A message in fragments that fit a packet each; at least one.
    """
    if len(message) <= _FRAGMENT_OCTETS:
        yield Fragment(message)
        return
    for start in range(0, len(message), _FRAGMENT_OCTETS):
        end = start + _FRAGMENT_OCTETS
        total = len(message) if start == 0 else None
        yield Fragment(message[start:end], total, more=end < len(message))


class TLSSession:
    """
    One end of TLS in memory.

    @ivar established: the handshake is done at this end.
    @ivar failure: why there is none and won't be; empty: there may be.
    """

    __slots__ = ("_connection", "established", "failure")

    def __init__(self, context: SSL.Context, isServer: bool) -> None:
        self.established = False
        self.failure = ""
        self._connection = SSL.Connection(context, None)
        if isServer:
            self._connection.set_accept_state()
        else:
            self._connection.set_connect_state()

    def received(self, octets: bytes) -> bytes:
        """
        Go on with what the peer sent; what to send to it.
        """
        if octets:
            self._connection.bio_write(octets)
        try:
            if not self.established:
                self._connection.do_handshake()
                self.established = True
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            self.failure = _reason(error)
        return self._pending()

    def commit(self) -> bytes:
        """
        What the server sends last, C{received}'s octets aside.
        """
        if self._isTLS13:
            self._connection.send(_COMMITMENT)
        return self._pending()

    @property
    def committed(self) -> bool:
        """
        Whether the server has sent its last; what it sent else is read, and fails.
        """
        if not self._isTLS13:
            return True
        try:
            return self._connection.recv(_READ_OCTETS) == _COMMITMENT
        except SSL.WantReadError:
            return False
        except SSL.Error as error:
            self.failure = _reason(error)
            return False

    def refusal(self) -> str:
        """
        Why the peer, after the handshake, turned us down; empty: it has not.
        """
        try:
            self._connection.recv(_READ_OCTETS)
        except (SSL.WantReadError, SSL.ZeroReturnError):
            # Silence, or close_notify.
            return ""
        except SSL.Error as error:
            return _reason(error)
        return "the peer sent what has no place in EAP-TLS"

    @property
    def certificate(self) -> x509.Certificate | None:
        """
        The peer's certificate.
        """
        return self._connection.get_peer_certificate(as_cryptography=True)

    def keys(self, isServer: bool) -> StartKeys:
        """
        What the handshake earned.
        """
        if self._isTLS13:
            context = bytes((eap.TLS.number,))
            material = self._connection.export_keying_material(_EXPORT_13, _KEY_OCTETS, context)
        else:
            material = self._connection.export_keying_material(_EXPORT_12, _KEY_OCTETS)
        return startKeys(material, isServer)

    @property
    def _isTLS13(self) -> bool:
        return self._connection.get_protocol_version() == SSL.TLS1_3_VERSION

    def _pending(self) -> bytes:
        output = bytearray()
        while True:
            try:
                output += self._connection.bio_read(_READ_OCTETS)
            except SSL.WantReadError:
                return bytes(output)


def startKeys(material: bytes, isServer: bool) -> StartKeys:
    """
    MPPE's keys from a Master Session Key, or what RADIUS gives as MS-MPPE-Recv-Key and
    MS-MPPE-Send-Key (RFC 5216 section 2.3, RFC 2548 section 2.4).

    @param material: 32 octets for what the peer encrypts, 32 for what the authenticator does.
    """
    peers, ours = material[:_HALF], material[_HALF : 2 * _HALF]
    send, receive = (ours, peers) if isServer else (peers, ours)
    return StartKeys(send[:_LONG], receive[:_LONG], send[:_SHORT], receive[:_SHORT])


@dataclass(frozen=True, slots=True)
class TLSMethod:
    """
    The authenticator's end.

    @ivar context: with our certificate, and with the CAs that the peers' must lead to.
    @ivar nameOf: the account's name in a certificate; raises L{Refused} where there is none, and
        ValueError where it can't be read.
    """

    context: SSL.Context
    nameOf: Callable[[x509.Certificate], bytes]
    name: str = field(default="tls", init=False)
    method: eap.Method | None = field(default=eap.TLS, init=False)
    earnsKeys: bool = field(default=True, init=False)
    strength: int = field(default=500, init=False)

    async def authenticate(self, conversation: EAPAuthenticator) -> Grant:
        """
        Shake hands, and have the account in the certificate judged.
        """
        session = TLSSession(self.context, isServer=True)
        response = await conversation.ask(eap.TLS, Fragment(start=True).encode())
        while True:
            output = session.received(await _read(conversation, response))
            if session.failure:
                if output:
                    await _write(conversation, output)
                raise Refused(f"TLS failed: {session.failure}", retry=False)
            if session.established:
                break
            response = await _write(conversation, output)
        grant = await self._judge(conversation, session)
        response = await _write(conversation, output + session.commit())
        session.received(await _read(conversation, response))
        if refusal := session.refusal():
            raise Refused(f"TLS failed: {refusal}", retry=False)
        return grant

    async def _judge(self, conversation: EAPAuthenticator, session: TLSSession) -> Grant:
        try:
            certificate = session.certificate
            name = self.nameOf(certificate) if certificate is not None else b""
        except ValueError:
            # OpenSSL reads certificates less closely.
            certificate = None
        if certificate is None:
            raise Refused("the peer has no certificate that can be read", retry=False)
        return await conversation.judge(
            CertifiedClaim(
                conversation.protocol,
                name,
                conversation.identifier,
                b"",
                certificate.public_bytes(Encoding.DER),
                session.keys(isServer=True),
            )
        )


async def _read(conversation: EAPAuthenticator, response: eap.Response) -> bytes:
    """
    The message that C{response} begins.
    """
    message = Reassembly()
    while (whole := message.add(response.content)) is None:
        response = await conversation.ask(eap.TLS, Fragment().encode())
    return whole


async def _write(conversation: EAPAuthenticator, message: bytes) -> eap.Response:
    """
    Send a message; gives the Response to its last fragment.
    """
    for fragment in fragments(message):
        response = await conversation.ask(eap.TLS, fragment.encode())
        if fragment.more and Fragment.decode(response.content) != Fragment():
            raise Malformed("a fragment was answered, and not acknowledged")
    return response


def _reason(error: SSL.Error) -> str:
    """
    What OpenSSL says, in its words.
    """
    reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "; ".join(reason for _, _, reason in reasons) or type(error).__name__
