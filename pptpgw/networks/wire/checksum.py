"""
The Internet checksum (RFC 1071).
"""

from __future__ import annotations


def checksum(octets: bytes) -> int:
    """
    Return the Internet checksum of C{octets} (RFC 1071).
    """
    if len(octets) & 1:
        octets += b"\x00"
    # 2**16 is 1 modulo 0xFFFF, so the remainder of the whole number is the sum with its carries.
    total = int.from_bytes(octets, "big")
    folded = total % 0xFFFF
    return 0xFFFF - (folded or (0xFFFF if total else 0))
