"""
The names of users: the Windows domain before a name, and which names mean the same user.
"""

from __future__ import annotations

# The number of octets of a name that are compared. Names of real users are shorter.
_LONGEST = 256


def accountName(name: bytes) -> bytes:
    """
    Return C{name} without the Windows domain that may stand before a backslash (RFC 2759 section
    4).
    """
    return name.rpartition(b"\\")[2]


def nameOf(name: bytes) -> str:
    """
    Return a user's name as text; octets that aren't UTF-8 are escaped.
    """
    return name.decode("utf-8", "backslashreplace")


def folded(name: bytes, domain: bool) -> str:
    """
    Return the form that all names of the same user have in common, whatever their case.

    @param domain: whether C{name} may begin with a Windows domain, which is then left out.
    """
    name = accountName(name) if domain else name
    return nameOf(name[:_LONGEST]).lower()
