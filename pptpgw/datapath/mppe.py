"""
Encryption and decryption of MPPE packets (RFC 3078), with their key changes (RFC 3079 sections 2
and 3). There is one object for each direction, and one call for each packet or, on receiving, for a
run of them.

C{Encryptor} and C{Decryptor} are the compiled classes if the extension module fits
(L{pptpgw.ports.compiled}), and otherwise the classes of this module, which compute the same octets.
C{implementation} says which, in a word for a log.

A frame is two octets of header, and the ciphertext of protocol number and packet. The header holds
FLUSHED (0x8000), ENCRYPTED (0x1000) and the coherency count, modulo 4096; the compression bits
(0x4000, 0x2000) must be zero.

 - Stateless: the key changes before every packet, and FLUSHED is always set. A receiver also
   changes the key once for each packet lost.
 - Stateful: the key changes before each packet whose count ends in 0xFF. That packet is the flag
   packet, and is flushed too. Between flag packets RC4 goes on without initialization. After a loss
   a receiver refuses packets until a flushed one comes.

A decryptor accepts only the packet with the next count, so forged packets can't change its state.
Its owner handles packets with other counts on a copy: L{DecryptorType.skip} skips packets that were
lost.

C{reset()} of an encryptor answers a CCP Reset-Request. By RFC 3078 the next packet is flushed, and
RC4 is initialized again with the same key; Linux changes the key too. Both do the same at flag
packets. So C{reset()} moves the count on to the next flag packet, which to the receiver looks like
more packets lost. A decryptor reads a flushed packet that isn't a flag packet by the RFC. If that
gives no IP packet, it tries Linux's way, with up to L{RESETS} key changes.
"""

from __future__ import annotations

import hashlib
from struct import Struct
from typing import Protocol

from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext

from pptpgw.ports.compiled import fits
from pptpgw.ppp.mppe import PAD1, PAD2

MALFORMED = 1
"""
C{decrypt} refused a frame: it is too short, not encrypted, compressed, or not flushed though MPPE
is stateless.
"""

SKIPPED = 2
"""
C{decrypt} refused a frame: its count isn't the next one.
"""

LOST = 3
"""
C{decrypt} refused a frame: packets before it were skipped, so a flushed one must come first
(stateful).
"""

RESETS = 8
"""
The most key changes besides the RFC's that are tried for a flushed packet. Linux makes one for
every Reset-Request that it answers, and the flushed packets may be lost too.
"""

SHORTEST = 3
"""
The fewest octets of a frame: two of header and one of ciphertext.
"""

LONGEST = 0xFFFF
"""
The most octets of a packet.
"""

FLUSHED = 0x8000
ENCRYPTED = 0x1000
COUNTS = 4096

_FLAGS = 0xF000
_HEADER = Struct("!H")
_SALT = {40: b"\xd1\x26\x9e", 56: b"\xd1", 128: b""}
_LENGTH = {40: 8, 56: 8, 128: 16}

Packets = tuple[int, list[bytes]]
"""
A protocol number and packets of that protocol.
"""


class EncryptorType(Protocol):
    """
    The encryptor of the packets that one end sends.
    """

    @property
    def rekeys(self) -> int:
        """
        The number of key changes so far.
        """

    def encrypt(self, prefix: bytes, protocol: bytes, packet: bytes, /) -> bytes:
        """
        Return C{prefix} in clear, then the MPPE header, then C{protocol} and C{packet} encrypted.

        @raise ValueError: one of them is longer than 65,535 octets.
        """

    def reset(self) -> None:
        """
        Let the next packet be one from which a peer that lost packets can go on. Stateless, every
        packet is.
        """


class DecryptorType(Protocol):
    """
    The decryptor of the packets that one end receives.
    """

    @property
    def count(self) -> int:
        """
        The coherency count of the last packet.
        """

    @property
    def rekeys(self) -> int:
        """
        The number of key changes so far.
        """

    def decrypt(self, frame: bytes, /) -> bytes | int:
        """
        Decrypt an MPPE frame.

        @return: the plaintext, of at least one octet, protocol number first; or L{MALFORMED},
            L{SKIPPED} or L{LOST}, and then nothing has changed.
        """

    def decryptRun(self, frames: list[bytes], /) -> list[Packets]:
        """
        Decrypt C{frames} up to the first one that L{decrypt} refuses.

        @return: the packets in order. Those of one protocol that follow each other are together.
        @raise ValueError: a frame is longer than L{LONGEST}, and nothing has changed.
        """

    def skip(self, packets: int, /) -> None:
        """
        Skip the next C{packets} packets, and make the key changes that they bring.
        """

    def copy(self) -> DecryptorType:
        """
        Make another decryptor in the same state. If it is stateful, it needs a flushed packet next.
        """


class EncryptorFactory(Protocol):
    """
    The type of C{Encryptor}, which makes an encryptor.
    """

    def __call__(self, startKey: bytes, bits: int, stateful: bool = False) -> EncryptorType:
        """
        @param startKey: the start key, of 8 octets for 40 and 56 bits and of 16 for 128 bits.
        @raise ValueError: C{startKey} hasn't the length that C{bits} require.
        """


class DecryptorFactory(Protocol):
    """
    The type of C{Decryptor}, which makes a decryptor.
    """

    def __call__(self, startKey: bytes, bits: int, stateful: bool = False) -> DecryptorType:
        """
        @param startKey: the start key, of 8 octets for 40 and 56 bits and of 16 for 128 bits.
        @raise ValueError: C{startKey} hasn't the length that C{bits} require.
        """


def split(plain: bytes) -> tuple[int, bytes]:
    """
    Split the plaintext of a frame into protocol number and packet (RFC 1661 section 2). A single
    octet is a protocol number even if it isn't odd.

    @param plain: at least one octet.
    """
    protocol = plain[0]
    if not protocol & 1 and len(plain) > 1:
        return protocol << 8 | plain[1], plain[2:]
    return protocol, plain[1:]


def decryptOneByOne(decryptor: DecryptorType, frames: list[bytes]) -> list[Packets]:
    """
    Do what L{DecryptorType.decryptRun} does, by L{DecryptorType.decrypt}.
    """
    if frames and max(map(len, frames)) > LONGEST:
        raise ValueError("longer than any packet")
    runs: list[Packets] = []
    for frame in frames:
        plain = decryptor.decrypt(frame)
        if isinstance(plain, int):
            break
        protocol, packet = split(plain)
        if runs and runs[-1][0] == protocol:
            runs[-1][1].append(packet)
        else:
            runs.append((protocol, [packet]))
    return runs


class _Keys:
    """
    The session key and the state of RC4, for both directions.
    """

    __slots__ = (
        "_apply",
        "_bits",
        "_length",
        "_session",
        "_start",
        "_stateful",
        "count",
        "rekeys",
    )

    def __init__(self, startKey: bytes, bits: int, stateful: bool = False) -> None:
        if len(startKey) != _LENGTH.get(bits):
            raise ValueError("MPPE takes 8 octets for 40 or 56 bits, 16 for 128")
        self._start = self._session = startKey
        self._bits = bits
        self._length = len(startKey)
        self._stateful = stateful
        self.count = COUNTS - 1
        self.rekeys = 0
        self._session = self._salted(self._newKey())
        self._initialize()

    def _newKey(self) -> bytes:
        """
        Return the next key by GetNewKeyFromSHA (RFC 3079 section 3, RFC 3078 section 7).
        """
        message = self._start + PAD1 + self._session + PAD2
        return hashlib.sha1(message, usedforsecurity=False).digest()[: self._length]

    def _salted(self, key: bytes) -> bytes:
        """
        Return C{key} with its first octets replaced by fixed ones if its strength is 40 or 56 bits
        (RFC 3079 section 3).
        """
        salt = _SALT[self._bits]
        return salt + key[len(salt) :]

    def _changeKey(self) -> None:
        """
        Change to the next session key: the new key, encrypted with itself.
        """
        interim = self._newKey()
        self._session = self._salted(_context(interim).update(interim))
        self.rekeys += 1

    def _initialize(self) -> None:
        """
        Initialize RC4 with the session key.
        """
        self._apply = _context(self._session).update


def _context(key: bytes) -> CipherContext:
    """
    Return RC4 initialized with C{key}.
    """
    return Cipher(ARC4(key), None).encryptor()


class PythonEncryptor(_Keys):
    """
    An L{EncryptorType} in Python.
    """

    __slots__ = ("_pending",)

    def __init__(self, startKey: bytes, bits: int, stateful: bool = False) -> None:
        super().__init__(startKey, bits, stateful)
        self._pending = False

    def encrypt(self, prefix: bytes, protocol: bytes, packet: bytes, /) -> bytes:
        """
        See L{EncryptorType}.
        """
        if max(len(prefix), len(protocol), len(packet)) > LONGEST:
            raise ValueError("longer than any packet")
        flags = ENCRYPTED
        count = (self.count + 1) % COUNTS
        if self._pending:
            count |= 0xFF
            self._pending = False
        if not self._stateful or count & 0xFF == 0xFF:
            self._changeKey()
            self._initialize()
            flags |= FLUSHED
        self.count = count
        return prefix + _HEADER.pack(flags | count) + self._apply(protocol + packet)

    def reset(self) -> None:
        """
        See L{EncryptorType}.
        """
        self._pending = self._stateful


class PythonDecryptor(_Keys):
    """
    A L{DecryptorType} in Python.
    """

    __slots__ = ("_skipped",)

    def __init__(self, startKey: bytes, bits: int, stateful: bool = False) -> None:
        super().__init__(startKey, bits, stateful)
        self._skipped = False

    def decrypt(self, frame: bytes, /) -> bytes | int:
        """
        See L{DecryptorType}.
        """
        if len(frame) < SHORTEST:
            return MALFORMED
        (header,) = _HEADER.unpack_from(frame)
        if header & _FLAGS & ~FLUSHED != ENCRYPTED:
            return MALFORMED
        flushed = bool(header & FLUSHED)
        if not flushed and not self._stateful:
            return MALFORMED
        if header % COUNTS != (self.count + 1) % COUNTS:
            return SKIPPED
        if not flushed and self._skipped:
            return LOST
        flag = header & 0xFF == 0xFF
        self.count = header % COUNTS
        self._skipped = False
        if not self._stateful or flag:
            self._changeKey()
        if flushed or flag:
            self._initialize()
        ciphertext = frame[2:]
        plain = self._apply(ciphertext)
        if self._stateful and flushed and not flag and not _looksLikeIP(plain):
            return self._asLinux(ciphertext, plain)
        return plain

    def decryptRun(self, frames: list[bytes], /) -> list[Packets]:
        """
        See L{DecryptorType}.
        """
        return decryptOneByOne(self, frames)

    def skip(self, packets: int, /) -> None:
        """
        See L{DecryptorType}.
        """
        changes = packets
        if self._stateful and packets > 0:
            changes = (self.count + packets + 1 >> 8) - (self.count + 1 >> 8)
            self._skipped = True
        for _ in range(changes):
            self._changeKey()
        self.count = (self.count + packets) % COUNTS

    def copy(self) -> PythonDecryptor:
        """
        See L{DecryptorType}. The state of RC4 can't be copied, so it begins anew.
        """
        other = PythonDecryptor(self._start, self._bits, self._stateful)
        other.count, other.rekeys, other._session = self.count, self.rekeys, self._session
        other._skipped = self._stateful
        return other

    def _asLinux(self, ciphertext: bytes, plain: bytes) -> bytes:
        """
        Decrypt a packet as Linux encrypts it after a Reset-Request: try one more key change at a
        time, and return C{plain} if no IP packet comes of it.

        @param plain: the plaintext by the RFC, which isn't an IP packet.
        """
        session, rekeys = self._session, self.rekeys
        for _ in range(RESETS):
            self._changeKey()
            self._initialize()
            changed = self._apply(ciphertext)
            if _looksLikeIP(changed):
                return changed
        self._session, self.rekeys = session, rekeys
        self._initialize()
        self._apply(ciphertext)
        return plain


def _looksLikeIP(plain: bytes) -> bool:
    """
    Return whether C{plain} begins like an IP packet after its PPP protocol number.
    """
    start = 1 if plain[:1] == b"\x00" else 0
    head = plain[start : start + 2]
    return len(head) == 2 and (head[0], head[1] >> 4) in ((0x21, 4), (0x57, 6))


Encryptor: EncryptorFactory = PythonEncryptor
Decryptor: DecryptorFactory = PythonDecryptor
implementation = "Python, RC4 from the cryptography package"
# The number of key changes that take about a tenth of a processor's time.
rekeysPerSecond = 1 << 14

try:
    from pptpgw.datapath import _mppe
except ImportError:
    pass
else:
    if fits(_mppe):
        Encryptor = _mppe.Encryptor
        Decryptor = _mppe.Decryptor
        implementation = "compiled"
        rekeysPerSecond = 1 << 17
