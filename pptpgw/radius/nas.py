"""
What we are called where RADIUS is spoken.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import NamedTuple


class NAS(NamedTuple):
    """
    The network access server that we are.

    @ivar identifier: our NAS-Identifier.
    @ivar addresses: those that can be our NAS-IP-Address, the first one meant for it; none: the one
        that was called.
    """

    identifier: bytes
    addresses: tuple[IPv4Address, ...]
