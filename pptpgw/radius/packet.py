"""
RADIUS packets (RFC 2865 section 3). The classes here wrap pyrad's: they have types, values are
octets, and any fault of a packet raises L{Malformed}.

The rules:

 - A request of ours always has a Message-Authenticator as its first attribute (RFC 3579 section
   3.2; draft-ietf-radext-deprecating-radius: it must not stand behind attributes that others can
   choose).
 - A reply is verified: its length, its attributes, its identifier, the Response Authenticator and
   the Message-Authenticator must be right. L{RADIUSRequest.reply} returns no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import md5
from importlib.resources import as_file, files
from secrets import token_bytes
from typing import Any

from pyrad import packet as pyrad
from pyrad import tools
from pyrad.dictionary import Dictionary

from pptpgw.error import Malformed
from pptpgw.radius.servers import Server

ACCESS_REQUEST = 1
ACCESS_ACCEPT = 2
ACCESS_REJECT = 3
ACCOUNTING_REQUEST = 4
ACCOUNTING_RESPONSE = 5
ACCESS_CHALLENGE = 11
STATUS_SERVER = 12
DISCONNECT_REQUEST = 40
DISCONNECT_ACK = 41
DISCONNECT_NAK = 42
COA_REQUEST = 43
COA_ACK = 44
COA_NAK = 45

HEADER_OCTETS = 20
MAXIMUM_OCTETS = 4096
"""
The octets of the largest packet (RFC 2865 section 3).
"""
LONGEST_VALUE = 253
"""
The octets that an attribute's value may have (RFC 2865 section 5).
"""
FRAMED = 2
"""
The value of Service-Type for PPP and its like (RFC 2865 section 5.6).
"""

LAST_TAG = 0x1F
"""
The highest octet that is the tag of a tunnel (RFC 2868 section 3.1).
"""

Attributes = Sequence[tuple[str, bytes]]
"""
Attributes: their names, and their values as octets.
"""

MESSAGE_AUTHENTICATOR = 80
"""
The type of the attribute Message-Authenticator (RFC 3579 section 3.2).
"""

_EXPECTED = {
    ACCESS_REQUEST: (ACCESS_ACCEPT, ACCESS_REJECT, ACCESS_CHALLENGE),
    ACCOUNTING_REQUEST: (ACCOUNTING_RESPONSE,),
    STATUS_SERVER: (ACCESS_ACCEPT, ACCOUNTING_RESPONSE),
}


_UNSIGNED = (
    "either the server doesn't send it (FreeRADIUS does from 3.0.27 and 3.2.5 on): update it, have "
    "it send one, or set require-message-authenticator = false in its [[radius.server]]; or "
    'the reply is forged: reach the server by a private network, or use transport = "tls"'
)
_WRONG = "the shared secret isn't the same at both ends, or the reply is forged"


class NotSure(Malformed):
    """
    A well-formed packet that doesn't prove that its sender knows the shared secret.

    @ivar cure: what the operator can do about it, for the log.
    """

    def __init__(self, text: str, cure: str) -> None:
        super().__init__(text)
        self.cure = cure


@cache
def dictionary() -> Any:
    """
    Return the dictionary of the attributes that the gateway knows, after reading it once.
    """
    with as_file(files("pptpgw.radius").joinpath("dictionary")) as path:
        return Dictionary(str(path))


def lengthOf(octets: bytes) -> int:
    """
    Return the length in the header with which C{octets} begin.

    @raise Malformed: the header isn't whole, or no packet can have this length.
    """
    if len(octets) < HEADER_OCTETS:
        raise Malformed(f"{len(octets)} octets, fewer than a header has")
    length = int.from_bytes(octets[2:4], "big")
    if not HEADER_OCTETS <= length <= MAXIMUM_OCTETS:
        raise Malformed(f"a length of {length} octets")
    return length


def integer(value: int) -> bytes:
    """
    Return the lower 32 bits of C{value}, as the value of an attribute.
    """
    return (value & 0xFFFFFFFF).to_bytes(4, "big")


class RADIUSPacket:
    """
    The attributes of a packet, by their names in the dictionary.

    @ivar code: the packet's code, such as L{ACCESS_REQUEST}.
    """

    __slots__ = ("_packet", "code")

    def __init__(self, packet: Any) -> None:
        """
        @param packet: the packet as an object of pyrad's.
        """
        self._packet = packet
        self.code: int = packet.code

    def octets(self, name: str) -> list[bytes]:
        """
        Return the values of an attribute as octets; an empty list if the packet doesn't have it.
        """
        return list(self._packet.get(_keyOf(name), ()))

    def values(self, name: str) -> Iterator[Any]:
        """
        Return the values of an attribute in the dictionary's type (an address is a C{str}). The
        iteration raises L{Malformed} at a value that doesn't have this type.
        """
        for octets in self.octets(name):
            yield decode(name, octets)

    def __repr__(self) -> str:
        return f"<RADIUS packet, code {self.code}>"


def decode(name: str, octets: bytes) -> Any:
    """
    Convert the octets of a value of the attribute C{name}.

    @raise Malformed: the octets don't have the attribute's type.
    """
    try:
        return tools.DecodeAttr(dictionary().attributes[name].type, octets)
    except ValueError as error:
        raise Malformed(f"{name} of {len(octets)} octets: {error}") from error


def _keyOf(name: str) -> Any:
    """
    Return pyrad's key for an attribute in a packet: its code, or its vendor and code.
    """
    return dictionary().attrindex.GetForward(name)


class Reply(RADIUSPacket):
    """
    A verified reply.

    @ivar server: the server that sent it.
    """

    __slots__ = ("_secret", "_vector", "server")

    def __init__(self, packet: Any, secret: bytes, vector: bytes, server: Server) -> None:
        """
        @param packet: the packet as an object of pyrad's.
        @param secret: the shared secret.
        @param vector: the Request Authenticator.
        @param server: the server that sent it.
        """
        RADIUSPacket.__init__(self, packet)
        self._secret = secret
        self._vector = vector
        self.server = server

    def revealed(self, name: str) -> list[bytes]:
        """
        Return the decrypted values of an attribute that is encrypted with a salt (RFC 2548 section
        2.4.2, RFC 2868 section 3.5).

        @raise Malformed: a value isn't encrypted this way.
        """
        return [self._unsalted(name, octets) for octets in self.octets(name)]

    def revealedByTag(self, name: str) -> list[tuple[int, bytes]]:
        """
        Return the decrypted values of an attribute that is encrypted with a salt and has a tag (RFC
        2868 section 3.5), each behind its tag; 0 for one without.

        @raise Malformed: a value isn't encrypted this way.
        """
        return [
            (octets[0] if octets[:1] <= bytes((LAST_TAG,)) else 0, self._unsalted(name, octets[1:]))
            for octets in self.octets(name)
            if octets
        ]

    def revealedPlainly(self, name: str) -> list[bytes]:
        """
        Return the decrypted values, with their padding, of an attribute that is encrypted like a
        User-Password (RFC 2865 section 5.2): MS-CHAP-MPPE-Keys (RFC 2548 section 2.4.1).

        @raise Malformed: a value isn't encrypted this way.
        """
        return [_reveal(name, self._secret, self._vector, one) for one in self.octets(name)]

    def _unsalted(self, name: str, octets: bytes) -> bytes:
        clear = _reveal(name, self._secret, self._vector + octets[:2], octets[2:])
        if clear[0] > len(clear) - 1:
            raise Malformed(f"{name} says that it has {clear[0]} octets: another shared secret?")
        return clear[1 : 1 + clear[0]]


def _reveal(name: str, secret: bytes, vector: bytes, hidden: bytes) -> bytes:
    """
    Decrypt what RFC 2865 section 5.2 encrypts: each block of 16 octets is combined with a hash of
    the secret and the encrypted block before it.
    """
    if not hidden or len(hidden) % 16:
        raise Malformed(f"{name} has {len(hidden)} hidden octets, which are no blocks of 16")
    clear = b""
    for start in range(0, len(hidden), 16):
        block = hidden[start : start + 16]
        mask = md5(secret + vector, usedforsecurity=False).digest()
        clear += bytes(a ^ b for a, b in zip(block, mask, strict=True))
        vector = block
    return clear


class RADIUSRequest(RADIUSPacket):
    """
    A request to one server.
    """

    __slots__ = ("_secret", "_server")

    def __init__(self, code: int, server: Server, secret: bytes) -> None:
        """
        @param code: L{ACCESS_REQUEST}, L{ACCOUNTING_REQUEST} or L{STATUS_SERVER}.
        @param server: the server that it is for.
        @param secret: the secret shared with that server.
        """
        make = pyrad.AcctPacket if code == ACCOUNTING_REQUEST else pyrad.AuthPacket
        RADIUSPacket.__init__(self, make(code=code, id=0, secret=secret, dict=dictionary()))
        self._server = server
        self._secret = secret
        if code != ACCOUNTING_REQUEST:
            self._packet.authenticator = token_bytes(16)
            self._packet.add_message_authenticator()

    def add(self, name: str, value: str | int | bytes) -> None:
        """
        Add an attribute.

        @param value: the value in the dictionary's type, or as octets.
        @raise ValueError: the value doesn't fit.
        """
        if not isinstance(value, bytes):
            self._packet.AddAttribute(name, value)
            return
        if len(value) > LONGEST_VALUE:
            raise ValueError(f"{name} of {len(value)} octets, at most {LONGEST_VALUE} fit")
        # Use the key: given the name, pyrad would take octets that begin with "0x" for digits.
        self._packet.setdefault(_keyOf(name), []).append(value)

    def addAll(self, attributes: Attributes) -> None:
        """
        Add attributes, in this order.

        @raise ValueError: a value doesn't fit.
        """
        for name, value in attributes:
            self.add(name, value)

    def addLong(self, name: str, value: bytes) -> None:
        """
        Add an attribute of any length, split into as many parts as needed: EAP-Message (RFC 3579
        section 3.1).
        """
        for start in range(0, len(value), LONGEST_VALUE):
            self.add(name, value[start : start + LONGEST_VALUE])

    def addPassword(self, password: bytes) -> None:
        """
        Add User-Password (RFC 2865 section 5.2).

        @raise ValueError: it is longer than 128 octets.
        """
        self.add("User-Password", self._packet.PwCrypt(password))

    def encode(self, identifier: int) -> bytes:
        """
        Return the octets of the packet.

        @raise ValueError: the packet is larger than L{MAXIMUM_OCTETS}.
        """
        self._packet.id = identifier
        octets: bytes = self._packet.RequestPacket()
        if len(octets) > MAXIMUM_OCTETS:
            raise ValueError(f"a packet of {len(octets)} octets, at most {MAXIMUM_OCTETS} fit")
        return octets

    def reply(self, octets: bytes) -> Reply:
        """
        Decode and verify the reply to this request, as it was encoded last.

        @raise Malformed: the octets are no reply.
        @raise NotSure: the server didn't make the reply, or that can't be verified.
        """
        octets = octets[: checked(octets)]
        packet = pyrad.Packet(secret=self._secret, dict=dictionary(), packet=octets)
        if packet.code not in _EXPECTED[self.code] or packet.id != self._packet.id:
            raise Malformed(f"code {packet.code} answers nothing that was asked")
        signed = MESSAGE_AUTHENTICATOR in packet
        if self.code == ACCESS_REQUEST and self._server.requireMessageAuthenticator and not signed:
            raise NotSure("no Message-Authenticator", _UNSIGNED)
        if not self._packet.VerifyReply(packet, octets):
            raise NotSure("an authenticator is wrong", _WRONG)
        return Reply(packet, self._secret, self._packet.authenticator, self._server)


def checked(octets: bytes) -> int:
    """
    Return the length of the packet at the beginning of C{octets}, after a check of all its
    attributes. What is behind it is padding (RFC 2865 section 3).

    @raise Malformed: the packet or an attribute isn't whole.
    """
    length = lengthOf(octets)
    if len(octets) < length:
        raise Malformed(f"{len(octets)} octets of {length}")
    place = HEADER_OCTETS
    signatures = 0
    while place < length:
        size = octets[place + 1] if place + 1 < length else 0
        if size < 2 or place + size > length:
            raise Malformed(f"attribute {octets[place]} of {size} octets")
        if octets[place] == MESSAGE_AUTHENTICATOR:
            signatures += 1
            if size != 18 or signatures > 1:
                raise Malformed("a Message-Authenticator that is none")
        place += size
    return length
