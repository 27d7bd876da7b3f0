"""
The keys of MPPE (RFC 3079).

An authentication earns I{start keys}, one for each direction. L{StartKeys} holds them, and returns
each as an L{MPPEParameters}. The data path makes the session keys, and is given start keys because
every session key depends on them (L{pptpgw.datapath.mppe}).

A start key has 8 octets for 40 and 56 bits, and 16 octets for 128. The 8 octets become a key of 40
or 56 bits when a salt replaces the first octets of each I{session} key, never of the start key
(RFC 3079 sections 2.1, 2.2, 3.1 and 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1

from zope.interface import implementer

from pptpgw.error import Refused
from pptpgw.interfaces import IKeys, MPPEParameters

MPPE_OVERHEAD = 4
"""
The octets by which MPPE enlarges a packet: two of its header, and two of the protocol number.
"""

# RFC 3079 section 3.4.
_MASTER = b"This is the MPPE Master Key"
_CLIENT_SENDS = (
    b"On the client side, this is the send key; on the server side, it is the receive key."
)
_SERVER_SENDS = (
    b"On the client side, this is the receive key; on the server side, it is the send key."
)

PAD1 = bytes(40)
PAD2 = b"\xf2" * 40
"""
What stands between and behind the parts that SHA hashes for a key (RFC 3079 section 3).
"""

_SHORT = 8
_LONG = 16
_BINDING = 32


def _sha(*parts: bytes) -> bytes:
    return sha1(b"".join(parts), usedforsecurity=False).digest()


def masterKey(passwordHashHash: bytes, ntResponse: bytes) -> bytes:
    """
    Return the master key, 16 octets: GetMasterKey of RFC 3079 section 3.4.
    """
    return _sha(passwordHashHash, ntResponse, _MASTER)[:_LONG]


def asymmetricStartKey(master: bytes, isSend: bool, isServer: bool) -> bytes:
    """
    Return a start key of 16 octets: GetAsymmetricStartKey of RFC 3079 section 3.4. The first 8
    octets are the RFC's result for the shorter keys.

    @param isSend: whether the key is for packets that this end sends.
    @param isServer: whether this end is the authenticator.
    """
    magic = _SERVER_SENDS if isSend is isServer else _CLIENT_SENDS
    return _sha(master, PAD1, magic, PAD2)[:_LONG]


@implementer(IKeys)
class StartKeys:
    """
    The start keys of both directions that an authentication earned.

    @ivar bindings: see L{IKeys}.
    """

    __slots__ = ("_receive", "_receiveShort", "_send", "_sendShort", "bindings")

    def __init__(
        self,
        send: bytes,
        receive: bytes,
        sendShort: bytes | None,
        receiveShort: bytes | None,
        bindings: Sequence[bytes],
    ) -> None:
        """
        @param send: the key by which this end encrypts with 128 bits: 16 octets.
        @param receive: the key by which this end decrypts with 128 bits: 16 octets.
        @param sendShort: the key by which this end encrypts with 40 and 56 bits: 8 octets, or None.
        @param receiveShort: the key by which this end decrypts with 40 and 56 bits, likewise.
        @param bindings: see L{IKeys}, as L{bindingKeys} makes them.
        """
        self.bindings = bindings
        self._send = send
        self._receive = receive
        self._sendShort = sendShort
        self._receiveShort = receiveShort

    @property
    def bits(self) -> tuple[int, ...]:
        """
        The key lengths in bits for which there are keys.
        """
        return (128,) if self._sendShort is None or self._receiveShort is None else (40, 56, 128)

    def send(self, bits: int, stateful: bool) -> MPPEParameters:
        """
        See L{IKeys.send}.

        @raise Refused: there is no key of this length.
        """
        return self._parameters(self._send, self._sendShort, bits, stateful)

    def receive(self, bits: int, stateful: bool) -> MPPEParameters:
        """
        See L{IKeys.receive}.

        @raise Refused: there is no key of this length.
        """
        return self._parameters(self._receive, self._receiveShort, bits, stateful)

    def _parameters(
        self, long: bytes, short: bytes | None, bits: int, stateful: bool
    ) -> MPPEParameters:
        key = long if bits == 128 else short
        if key is None or bits not in self.bits:
            raise Refused(f"this authentication earned no key of {bits} bits", retry=False)
        return MPPEParameters(startKey=key, bits=bits, stateful=stateful)


def bindingKeys(receive: bytes, send: bytes) -> tuple[bytes, ...]:
    """
    Return the L{IKeys.bindings} that belong to two keys of any length.

    @param receive: the key by which the authenticator decrypts.
    @param send: the key by which the authenticator encrypts.
    """
    first = (receive + send)[:_BINDING].ljust(_BINDING, b"\0")
    halves = receive[:_LONG] + send[:_LONG]
    return (first,) if len(halves) < _BINDING or halves == first else (first, halves)


def mschapV2Keys(passwordHashHash: bytes, ntResponse: bytes, isServer: bool) -> StartKeys:
    """
    Make the keys that MS-CHAPv2 earns (RFC 3079 section 3).

    @param isServer: whether this end is the authenticator.
    """
    master = masterKey(passwordHashHash, ntResponse)
    send = asymmetricStartKey(master, True, isServer)
    receive = asymmetricStartKey(master, False, isServer)
    bindings = bindingKeys(receive, send) if isServer else bindingKeys(send, receive)
    return StartKeys(send, receive, send[:_SHORT], receive[:_SHORT], bindings)


def mschapKeys(
    lmPasswordHash: bytes | None, passwordHashHash: bytes, challenge: bytes
) -> StartKeys:
    """
    Make the keys that MS-CHAPv1 earns, which are the same for both directions (RFC 3079 section 2).

    @param lmPasswordHash: the LAN Manager hash, from which the keys of 40 and 56 bits are made.
        None if only the NT hash is known: then there are no keys of these lengths.
    @param challenge: the authenticator's challenge, 8 octets.
    """
    long = _sha(passwordHashHash, passwordHashHash, challenge)[:_LONG]
    short = lmPasswordHash[:_SHORT] if lmPasswordHash is not None else None
    return StartKeys(long, long, short, short, bindingKeys(long, long))
