"""
The keys that authentication earns, and the parameters of encryption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from zope.interface import Attribute, Interface


@dataclass(frozen=True, slots=True)
class MPPEParameters:
    """
    The parameters of MPPE in one direction (RFC 3078, RFC 3079).

    @ivar startKey: the start key of this direction: 8 octets for 40 and 56 bits, 16 for 128.
    @ivar bits: 40, 56 or 128.
    @ivar stateful: whether the key changes only with each packet whose flag demands it (RFC 3078
        section 7.2), rather than with every packet (section 7.1).
    """

    startKey: bytes = field(repr=False)
    bits: int
    stateful: bool = False


class IKeys(Interface):
    """
    The keys that an authentication earned, as this end sees them: those of MPPE, and the one that
    binds a tunnel to the authentication within it.
    """

    bindings: Sequence[bytes] = Attribute(
        "The keys of 32 octets that both ends share for binding. The first one is the beginning of "
        "what the authenticator receives with and what it sends with, one behind the other; for "
        "EAP this is the beginning of the Master Session Key ([MS-SSTP] section 3.2.5.2.2). By it "
        "we bind; a peer may use any of them. Where those two are longer than 16 octets there is "
        "another key, of the first 16 octets of each, since pppd before 2.5 keeps no more."
    )
    bits = Attribute("The key lengths in bits for which there are keys, of 40, 56 and 128.")

    def send(bits: int, stateful: bool) -> MPPEParameters:
        """
        Return the parameters for packets that this end encrypts.

        @raise pptpgw.error.Refused: there is no key of C{bits} bits.
        """

    def receive(bits: int, stateful: bool) -> MPPEParameters:
        """
        Return the parameters for packets that this end decrypts.

        @raise pptpgw.error.Refused: there is no key of C{bits} bits.
        """
