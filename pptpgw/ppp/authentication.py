"""
What every authentication protocol has in common: who claims what, and what was granted.

The protocols themselves (L{pptpgw.ppp.pap}, L{pptpgw.ppp.chap}) carry claims; who judges them is
the gateway's matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol as TypingProtocol

from pptpgw.interfaces import MPPEParameters


class Method(Enum):
    """
    The authentication protocols of LCP option 3, strongest first; the value is the name that the
    configuration uses.
    """

    MSCHAPV2 = "mschapv2"
    MSCHAP = "mschap"
    CHAP = "chap"
    PAP = "pap"

    @property
    def option(self) -> bytes:
        """
        The data of the LCP Authentication-Protocol option (RFC 1661 section 6.2, RFC 2484).
        """
        return _OPTION[self]

    @property
    def earnsKeys(self) -> bool:
        """
        Whether success gives the keys that MPPE needs (RFC 3079).
        """
        return self in (Method.MSCHAPV2, Method.MSCHAP)


_OPTION = {
    Method.MSCHAPV2: b"\xc2\x23\x81",
    Method.MSCHAP: b"\xc2\x23\x80",
    Method.CHAP: b"\xc2\x23\x05",
    Method.PAP: b"\xc0\x23",
}


class Keys(TypingProtocol):
    """
    The MPPE keys that an authentication earned, as this end sees them.
    """

    @property
    def bits(self) -> Sequence[int]:
        """
        The lengths that there are keys for, of 40, 56 and 128.
        """

    def send(self, bits: int, stateful: bool) -> MPPEParameters:
        """
        For what this end encrypts.
        """

    def receive(self, bits: int, stateful: bool) -> MPPEParameters:
        """
        For what this end decrypts.
        """


@dataclass(frozen=True, slots=True)
class Claim:
    """
    A peer says that it is C{name}.

    @ivar challenge: what we sent; empty for PAP.
    @ivar response: the value field of the Response (RFC 1994, RFC 2433, RFC 2759), or the password.
    @ivar identifier: the identifier of the exchange, which CHAP-MD5 hashes.
    """

    method: Method
    name: bytes
    identifier: int
    challenge: bytes = field(repr=False)
    response: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Grant:
    """
    A claim was found true.

    @ivar name: the user's name as the authenticator knows it.
    @ivar message: the message field of the Success; C{S=...} of MS-CHAPv2 begins it.
    @ivar keys: the keys earned, or None.
    @ivar subscriber: the L{pptpgw.interfaces.ISubscriber}.
    """

    name: str
    message: bytes
    keys: Keys | None
    subscriber: object
