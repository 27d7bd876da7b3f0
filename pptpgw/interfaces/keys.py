"""
The keys of MPPE, and where they come from.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from zope.interface import Attribute, Interface


@dataclass(frozen=True, slots=True)
class MPPEParameters:
    """
    The parameters of MPPE in one direction (RFC 3078, RFC 3079).

    @ivar startKey: the start key of this direction: 8 octets for 40 and 56 bits, 16 for 128.
    @ivar bits: 40, 56 or 128.
    @ivar stateful: rekey at each flagged packet only, rather than for every packet.
    """

    startKey: bytes = field(repr=False)
    bits: int
    stateful: bool = False


class IKeys(Interface):
    """
    The MPPE keys that an authentication earned, as this end sees them.
    """

    bits = Attribute("The lengths that there are keys for, of 40, 56 and 128.")

    def send(bits: int, stateful: bool) -> MPPEParameters:
        """
        The parameters for packets that this end encrypts.
        """

    def receive(bits: int, stateful: bool) -> MPPEParameters:
        """
        The parameters for packets that this end decrypts.
        """
