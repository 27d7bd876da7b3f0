"""
What we are called where RADIUS is spoken.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import NamedTuple


def ipv4(address: str) -> str:
    """
    C{address} if it is an IPv4 address, dotted, and otherwise an empty text.
    """
    try:
        return str(IPv4Address(address))
    except ValueError:
        return ""


class NAS(NamedTuple):
    """
    The network access server that we are.

    @ivar identifier: our NAS-Identifier.
    @ivar addresses: those that can be our NAS-IP-Address, the first one meant for it; none: the one
        that was called.
    """

    identifier: bytes
    addresses: tuple[IPv4Address, ...]
