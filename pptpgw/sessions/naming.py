"""
The names of users: the Windows domain before a name, and which names mean the same user.
"""

from __future__ import annotations

# How many octets of a name are compared. Names of real users are shorter.
_LONGEST = 256


def accountName(name: bytes) -> bytes:
    """
    C{name} without the Windows domain that may stand before a backslash (RFC 2759 section 4).
    """
    return name.rpartition(b"\\")[2]


def nameOf(name: bytes) -> str:
    """
    The text of a user's name, whatever its octets are.
    """
    return name.decode("utf-8", "backslashreplace")


def folded(name: bytes, domain: bool) -> str:
    """
    The form of C{name} that all names of the same user have in common, whatever their case.

    @param domain: whether C{name} may have a Windows domain before it, which is then left out.
    """
    name = accountName(name) if domain else name
    return nameOf(name[:_LONGEST]).lower()
