"""
RADIUS packets (RFC 2865 section 3): pyrad's, behind a surface with types, on which octets stay as
they are and what is wrong with a packet is L{Malformed}.

The rules:

 - A request of ours has a Message-Authenticator always, as its first attribute (RFC 3579 section
   3.2; draft-ietf-radext-deprecating-radius: it must not stand behind what others may choose).
 - A reply is sure only if its length, its attributes, its identifier, the Response Authenticator
   and the Message-Authenticator are right; L{RADIUSRequest.reply} makes no other.
"""

from __future__ import annotations

from collections.abc import Iterator
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
The largest packet (RFC 2865 section 3).
"""
LONGEST_VALUE = 253
"""
Octets of an attribute's value, at most (RFC 2865 section 5).
"""

_MESSAGE_AUTHENTICATOR = 80
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
    The attributes that the gateway knows.
    """
    with as_file(files("pptpgw.radius").joinpath("dictionary")) as path:
        return Dictionary(str(path))


def lengthOf(octets: bytes) -> int:
    """
    The octets of the packet that C{octets} begin with, by its header.

    @raise Malformed: it has no header, or one that no packet can have.
    """
    if len(octets) < HEADER_OCTETS:
        raise Malformed(f"{len(octets)} octets, fewer than a header has")
    length = int.from_bytes(octets[2:4], "big")
    if not HEADER_OCTETS <= length <= MAXIMUM_OCTETS:
        raise Malformed(f"a length of {length} octets")
    return length


class RADIUSPacket:
    """
    The attributes of a packet, by the names of the dictionary.

    @ivar code: what kind of packet it is.
    """

    __slots__ = ("_packet", "code")

    def __init__(self, packet: Any) -> None:
        """
        @param packet: pyrad's.
        """
        self._packet = packet
        self.code: int = packet.code

    def octets(self, name: str) -> list[bytes]:
        """
        The values of an attribute as they are in the packet; none where it isn't there.
        """
        return list(self._packet.get(_keyOf(name), ()))

    def values(self, name: str) -> Iterator[Any]:
        """
        The values of an attribute, as the dictionary's type has them (an address is a C{str}): the
        iteration raises L{Malformed} at one that isn't of this type.
        """
        for octets in self.octets(name):
            yield decode(name, octets)

    def __repr__(self) -> str:
        return f"<RADIUS packet, code {self.code}>"


def decode(name: str, octets: bytes) -> Any:
    """
    The value of the attribute C{name} that C{octets} are.

    @raise Malformed: they are none.
    """
    try:
        return tools.DecodeAttr(dictionary().attributes[name].type, octets)
    except ValueError as error:
        raise Malformed(f"{name} of {len(octets)} octets: {error}") from error


def _keyOf(name: str) -> Any:
    """
    What pyrad calls an attribute in a packet: its code, or its vendor and code.
    """
    return dictionary().attrindex.GetForward(name)


class Reply(RADIUSPacket):
    """
    A sure reply.

    @ivar server: whose.
    """

    __slots__ = ("_secret", "_vector", "server")

    def __init__(self, packet: Any, secret: bytes, vector: bytes, server: Server) -> None:
        """
        @param vector: the Request Authenticator.
        """
        RADIUSPacket.__init__(self, packet)
        self._secret = secret
        self._vector = vector
        self.server = server

    def revealed(self, name: str) -> list[bytes]:
        """
        The values of an attribute that is hidden with a salt (RFC 2548 section 2.4.2, RFC 2868
        section 3.5), in clear.

        @raise Malformed: one isn't hidden this way.
        """
        return [self._unsalted(name, octets) for octets in self.octets(name)]

    def revealedPlainly(self, name: str) -> list[bytes]:
        """
        The values of an attribute that is hidden as a User-Password is (RFC 2865 section 5.2), in
        clear with their padding: MS-CHAP-MPPE-Keys (RFC 2548 section 2.4.1).

        @raise Malformed: one isn't hidden this way.
        """
        return [_reveal(name, self._secret, self._vector, one) for one in self.octets(name)]

    def _unsalted(self, name: str, octets: bytes) -> bytes:
        clear = _reveal(name, self._secret, self._vector + octets[:2], octets[2:])
        if clear[0] > len(clear) - 1:
            raise Malformed(f"{name} says that it has {clear[0]} octets: another shared secret?")
        return clear[1 : 1 + clear[0]]


def _reveal(name: str, secret: bytes, vector: bytes, hidden: bytes) -> bytes:
    """
    Undo what RFC 2865 section 5.2 does: each block of 16 octets is hidden under the secret and the
    hidden block before it.
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

        @param value: octets go as they are.
        @raise ValueError: it doesn't fit.
        """
        if not isinstance(value, bytes):
            self._packet.AddAttribute(name, value)
            return
        if len(value) > LONGEST_VALUE:
            raise ValueError(f"{name} of {len(value)} octets, at most {LONGEST_VALUE} fit")
        # By its key: by its name pyrad would take octets that begin with "0x" for digits.
        self._packet.setdefault(_keyOf(name), []).append(value)

    def addLong(self, name: str, value: bytes) -> None:
        """
        Add an attribute of any length, in as many parts as it takes: EAP-Message (RFC 3579
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
        The octets of the packet.

        @raise ValueError: it is larger than a packet may be.
        """
        self._packet.id = identifier
        octets: bytes = self._packet.RequestPacket()
        if len(octets) > MAXIMUM_OCTETS:
            raise ValueError(f"a packet of {len(octets)} octets, at most {MAXIMUM_OCTETS} fit")
        return octets

    def reply(self, octets: bytes) -> Reply:
        """
        The reply that C{octets} are, to this request as it was encoded last.

        @raise Malformed: they are none.
        @raise NotSure: they are one that the server didn't make, or may not have made.
        """
        octets = octets[: checked(octets)]
        packet = pyrad.Packet(secret=self._secret, dict=dictionary(), packet=octets)
        if packet.code not in _EXPECTED[self.code] or packet.id != self._packet.id:
            raise Malformed(f"code {packet.code} answers nothing that was asked")
        signed = _MESSAGE_AUTHENTICATOR in packet
        if self.code == ACCESS_REQUEST and self._server.requireMessageAuthenticator and not signed:
            raise NotSure("no Message-Authenticator", _UNSIGNED)
        if not self._packet.VerifyReply(packet, octets):
            raise NotSure("an authenticator is wrong", _WRONG)
        return Reply(packet, self._secret, self._packet.authenticator, self._server)


def checked(octets: bytes) -> int:
    """
    The octets of the packet that C{octets} begin with, all of it looked at: what is behind it is
    padding (RFC 2865 section 3).

    @raise Malformed: it isn't whole, or an attribute isn't.
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
        if octets[place] == _MESSAGE_AUTHENTICATOR:
            signatures += 1
            if size != 18 or signatures > 1:
                raise Malformed("a Message-Authenticator that is none")
        place += size
    return length
