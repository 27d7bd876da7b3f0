"""
TLS for EAP-TLS (RFC 5216, and RFC 9190 for TLS 1.3), which reads and writes octets in memory.

The rules:

 - A message of TLS may have L{MESSAGE_OCTETS} octets at most, whatever length it announces. It is
   cut into fragments (RFC 5216 section 2.1.5).
 - The MPPE keys are the first octets of each half of the Master Session Key (RFC 5216 section 2.3,
   RFC 9190 section 2.3, RFC 3079 section 4).
"""

from __future__ import annotations

from collections.abc import Iterator

from cryptography import x509
from OpenSSL import SSL

from pptpgw.error import Malformed
from pptpgw.ppp.eap import PACKET_OCTETS
from pptpgw.ppp.mppe import StartKeys, bindingKeys
from pptpgw.ppp.wire import eap
from pptpgw.ppp.wire.eap import Fragment

MESSAGE_OCTETS = 1 << 16
# The octets of a packet that are left for TLS, without header, type, flags and length.
_FRAGMENT_OCTETS = PACKET_OCTETS - 10
_READ_OCTETS = 1 << 14

_EXPORT_12 = b"client EAP encryption"
_EXPORT_13 = b"EXPORTER_EAP_TLS_Key_Material"
# The length of the Master Session Key together with the Extended Master Session Key, in octets.
# Only the former is used, but with TLS 1.3 the result depends on the length that is asked for.
_KEY_OCTETS = 128
_HALF = 32
_LONG, _SHORT = 16, 8
# The octet by which a server says that no more handshake messages follow (RFC 9190 section 2.1.1).
_COMMITMENT = b"\0"


class Reassembly:
    """
    The fragments of one TLS message from the peer, which are put together.
    """

    __slots__ = ("_limit", "_octets", "_total")

    def __init__(self) -> None:
        self._octets = bytearray()
        self._total: int | None = None

    def add(self, content: bytes) -> bytes | None:
        """
        Add the next fragment, and return the whole message if it was the last one, otherwise None.

        @raise Malformed: the message is larger than announced or allowed, or shorter than
            announced, or a fragment that isn't the last one is empty.
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
    Iterate over the fragments of a message, each of which fits into a packet. There is at least
    one.
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
    One end of a TLS connection whose octets are passed as arguments and results.

    @ivar established: whether the handshake is complete at this end.
    @ivar failure: why the handshake failed, in words; empty if it didn't.
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
        Handle octets from the peer, and return the octets to send to it.
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
            # Who verifies the certificate may have said more than OpenSSL can.
            self.failure = self._connection.get_app_data() or _reason(error)
        return self._pending()

    def commit(self) -> bytes:
        """
        Return the last octets that the server sends: with TLS 1.3 the commitment (RFC 9190 section
        2.1.1).
        """
        if self._isTLS13:
            self._connection.send(_COMMITMENT)
        return self._pending()

    @property
    def committed(self) -> bool:
        """
        Whether the server has sent its last message. Anything else that it sent is read, and counts
        as no commitment.
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
        Return why the peer refused us after the handshake; empty if it didn't.
        """
        try:
            self._connection.recv(_READ_OCTETS)
        except (SSL.WantReadError, SSL.ZeroReturnError):
            # Nothing came, or a close_notify.
            return ""
        except SSL.Error as error:
            return _reason(error)
        return "the peer sent what has no place in EAP-TLS"

    @property
    def certificate(self) -> x509.Certificate | None:
        """
        The peer's certificate, or None if it sent none.
        """
        return self._connection.get_peer_certificate(as_cryptography=True)

    def keys(self, isServer: bool) -> StartKeys:
        """
        Return the MPPE keys that the handshake earned.

        @param isServer: whether this end is the authenticator.
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
    Make the MPPE keys from a Master Session Key, or from the keys that RADIUS gives as
    MS-MPPE-Recv-Key and MS-MPPE-Send-Key (RFC 5216 section 2.3, RFC 2548 section 2.4).

    @param material: 32 octets for what the peer encrypts, then 32 for what the authenticator
        encrypts.
    @param isServer: whether this end is the authenticator.
    """
    peers, ours = material[:_HALF], material[_HALF : 2 * _HALF]
    send, receive = (ours, peers) if isServer else (peers, ours)
    return StartKeys(
        send[:_LONG], receive[:_LONG], send[:_SHORT], receive[:_SHORT], bindingKeys(peers, ours)
    )


def _reason(error: SSL.Error) -> str:
    """
    Return OpenSSL's own description of an error.
    """
    reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "; ".join(reason for _, _, reason in reasons) or type(error).__name__
