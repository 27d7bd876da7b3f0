"""
The name and addresses of the gateway in RADIUS packets.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import NamedTuple


def ipv4(address: str) -> str:
    """
    Return C{address} if it is a dotted IPv4 address, and otherwise an empty text.
    """
    try:
        return str(IPv4Address(address))
    except ValueError:
        return ""


class NAS(NamedTuple):
    """
    The gateway as RADIUS sees it: a network access server.

    @ivar identifier: the NAS-Identifier.
    @ivar addresses: the addresses that may be the NAS-IP-Address, the preferred one first; if there
        are none, the address that was called is used.
    """

    identifier: bytes
    addresses: tuple[IPv4Address, ...]
